import { WhatsAppClient } from "@kapso/whatsapp-cloud-api";

export function client(gate, number) {
  const whatsapp = new WhatsAppClient({ accessToken: "token", baseUrl: gate, graphVersion: "v23.0" });
  const phoneNumberId = number;
  return {
    text: (to, body) => whatsapp.messages.sendText({ phoneNumberId, to, body }),
    template: (to, name, code) =>
      whatsapp.messages.sendTemplate({ phoneNumberId, to, template: { name, language: { code } } }),
    read: (messageId) => whatsapp.messages.markRead({ phoneNumberId, messageId }),
    upload: (type, text) => whatsapp.media.upload({ phoneNumberId, type, file: new Blob([text], { type }) }),
    download: async (mediaId) => new Uint8Array(await whatsapp.media.download({ mediaId, auth: "always" })),
    templates: (businessAccountId) => whatsapp.templates.list({ businessAccountId }),
  };
}

export const codeOf = (error) => error.code;
