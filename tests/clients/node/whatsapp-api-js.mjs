import { WhatsAppAPI } from "whatsapp-api-js";
import { Language, Template, Text } from "whatsapp-api-js/messages";

export function client(gate, number) {
  const whatsapp = new WhatsAppAPI({
    token: "token",
    secure: false,
    v: "v23.0",
    ponyfill: { fetch: (url, init) => fetch(String(url).replace("https://graph.facebook.com", gate), init) },
  });
  return {
    text: (to, body) => whatsapp.sendMessage(number, { phone: to }, new Text(body)),
    template: (to, name, language) => whatsapp.sendMessage(number, { phone: to }, new Template(name, new Language(language))),
    read: (wamid) => whatsapp.markAsRead(number, wamid),
    upload: (type, text) => {
      const form = new FormData();
      form.set("file", new Blob([text], { type }));
      return whatsapp.uploadMedia(number, form);
    },
    download: async (id) => (await whatsapp.fetchMedia((await whatsapp.retrieveMedia(id)).url)).bytes(),
  };
}

/** It throws nothing: an error of Graph's is what a call returns. */
export const codeOf = (answer) => answer.error?.code;
