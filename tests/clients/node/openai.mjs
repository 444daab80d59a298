// Calls a deployment as a program that uses OpenAI's own client does; prints what the client made of it.
import OpenAI from "openai";

const [url, token] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/serving-endpoints`, apiKey: token, maxRetries: 0 });
const messages = [{ role: "user", content: "hello there" }];
const told = {};

const whole = await client.chat.completions.create({ model: "talk", messages });
told.whole = { text: whole.choices[0].message.content, total: whole.usage.total_tokens };

told.stream = { text: "", usage: [] };
for await (const chunk of await client.chat.completions.create({ model: "talk", messages, stream: true })) {
  told.stream.text += chunk.choices[0].delta.content ?? "";
  if (chunk.usage) told.stream.usage.push([chunk.choices.length, chunk.usage.total_tokens]);
}

const runner = client.chat.completions.stream({ model: "talk", messages });
told.helper = { text: await runner.finalContent(), total: (await runner.totalUsage()).total_tokens };

const vectors = await client.embeddings.create({ model: "vectors", input: ["a", "b"] });
told.vectors = vectors.data.length;
told.models = (await client.models.list()).data.map((model) => model.id);
told.model = (await client.models.retrieve("talk")).id;

async function refused(call) {
  try {
    await call();
  } catch (error) {
    return [error.constructor.name, error.status, error.code, error.type, error.message];
  }
}
told.unknown = await refused(() => client.chat.completions.create({ model: "nowhere", messages }));
told.malformed = await refused(() => client.chat.completions.create({ model: "talk", messages: [] }));
told.stranger = await refused(() =>
  client.withOptions({ apiKey: "dapi-wrong" }).chat.completions.create({ model: "talk", messages }),
);
told.nothing = await refused(() => client.responses.create({ model: "talk", input: "hello" }));
console.log(JSON.stringify(told));
