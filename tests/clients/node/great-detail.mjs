import Client from "@great-detail/whatsapp";

const headers = { Authorization: "Bearer token" };

export function client(gate, phoneNumberID) {
  const whatsapp = new Client({ baseUrl: gate, graphVersion: "v23.0/", request: { headers } });
  return {
    text: (to, body) => whatsapp.message.createMessage({ phoneNumberID, to, type: "text", text: { body } }).json(),
    template: (to, name, code) =>
      whatsapp.message
        .createMessage({ phoneNumberID, to, type: "template", template: { name, language: { code } } })
        .json(),
    read: (message_id) => whatsapp.message.createStatus({ phoneNumberID, message_id, status: "read" }).json(),
    upload: (mimeType, text) =>
      whatsapp.media.upload({ phoneNumberID, mimeType, file: new Blob([text], { type: mimeType }) }).json(),
    download: async (mediaID) => {
      const { url } = await whatsapp.media.getURL({ mediaID }).json();
      return whatsapp.media.download({ mediaURL: url, request: { headers } }).bytes();
    },
    templates: (waba) => whatsapp.template.list(waba, {}).json(),
  };
}

export const codeOf = (error) => error.data?.error?.code;
