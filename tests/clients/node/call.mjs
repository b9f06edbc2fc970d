// call.mjs SDK GATE NUMBER VERB ARGUMENT…: make one call of an SDK, and print what it returned or threw as JSON.
const [sdk, gate, number, verb, ...given] = process.argv.slice(2);
const { client, codeOf } = await import(`./${sdk}.mjs`);
const said = { thrown: null, message: null };
try {
  said.returned = await client(gate, number)[verb](...given);
} catch (error) {
  Object.assign(said, { thrown: error.constructor.name, message: error.message, code: codeOf(error) });
}
said.code ??= codeOf(said.returned ?? {}) ?? null;
console.log(JSON.stringify(said, (_, value) => (value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value)));
