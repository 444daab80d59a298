// Calls a deployment as a program that uses the AI SDK of Vercel does; prints what the SDK made of it.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";

const [url, token] = process.argv.slice(2);
const provider = createOpenAICompatible({ name: "modelplane", baseURL: `${url}/serving-endpoints`, apiKey: token });
const told = {};

const whole = await generateText({ model: provider("talk"), prompt: "hello there", maxRetries: 0 });
told.whole = { text: whole.text, total: whole.usage.totalTokens };

const stream = streamText({ model: provider("talk"), prompt: "hello there", maxRetries: 0 });
told.stream = { text: "" };
for await (const part of stream.textStream) told.stream.text += part;
told.stream.total = (await stream.usage).totalTokens;

try {
  await generateText({ model: provider("nowhere"), prompt: "hello there", maxRetries: 0 });
} catch (error) {
  told.unknown = [error.name, error.statusCode, error.isRetryable, error.message];
}
console.log(JSON.stringify(told));
