// OpenAI's own JavaScript client: multi-turn with its own objects, stream helper, tools, n, errors. Prints what it found as JSON.
import { createRequire } from "node:module";

const [address, folder] = process.argv.slice(2);
const OpenAI = createRequire(folder + "/")("openai").default;
const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: "none", maxRetries: 0 });
const asked = [{ role: "user", content: "Where is my order 17?" }];
const model = "student";
const found = {};

const first = await client.chat.completions.create({ model, messages: asked, temperature: 0 });
const again = await client.chat.completions.create({ model, messages: [...asked, first.choices[0].message, ...asked] });
found.turns = typeof again.choices[0].message.content;
found.id = first._request_id;

const stream = client.chat.completions.stream({ model, messages: asked, temperature: 0 });
found.streamed = (await stream.finalContent()) === first.choices[0].message.content;

const several = await client.chat.completions.create({ model, messages: asked, n: 2, seed: 1, logprobs: true });
found.choices = several.choices.length;
found.logprobs = several.choices[0].logprobs.content.length > 0;

const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: {} } } }];
try {
  const called = await client.chat.completions.create({ model, messages: asked, tools });
  found.called = called.choices[0].message.tool_calls?.[0]?.function?.name ?? null;
} catch (error) {
  found.called = error.status === 400 ? null : String(error); // a student whose template has no tools
}

try {
  await client.chat.completions.create({ model: "gpt-5", messages: asked });
} catch (error) {
  found.error = [error.status, error.code];
}
found.models = (await client.models.list()).data.map((entry) => entry.id);
console.log(JSON.stringify(found));
