// What a solving fetch sends to a guarded server on behalf of an official client that asks several questions: one line of JSON.
// usage: node solving_fetch.mjs URL SDK QUESTIONS   (beside guardrail-fetch.js and a node_modules that holds the SDKs)
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { solving } from "./guardrail-fetch.js";

const [url, sdk, questions] = process.argv.slice(2);
const seen = [];
const warnings = [];
const texts = [];

async function seeing(input, init) {
  const response = await fetch(input, init);
  seen.push([new URL(input instanceof Request ? input.url : input).pathname, response.status]);
  return response;
}

const given = { apiKey: "sk-one", maxRetries: 0, fetch: solving(seeing, { warn: (said) => warnings.push(said) }) };
const asked = { model: "demo-small", messages: [{ role: "user", content: "How do you count?" }], max_tokens: 64 };
const ask = {
  openai: async (client) => (await client.chat.completions.create(asked)).choices[0].message.content,
  anthropic: async (client) => (await client.messages.create(asked)).content[0].text,
}[sdk];
const client = sdk === "openai" ? new OpenAI({ baseURL: `${url}/v1`, ...given }) : new Anthropic({ baseURL: url, ...given });

for (let number = 0; number < Number(questions); number += 1) texts.push(await ask(client));
console.log(JSON.stringify({ texts, seen, warnings }));
