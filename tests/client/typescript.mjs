// What a solving fetch makes of a server that asks for proof of work: one line of JSON for the scenario that is asked for.
// usage: node typescript.mjs URL SCENARIO [OPTIONS]   (beside guardrail-fetch.js and a node_modules that holds the SDKs)
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { solving } from "./guardrail-fetch.js";

const [url, scenario, options = "{}"] = process.argv.slice(2);
const warnings = [];
const solve = solving(fetch, { ...JSON.parse(options), warn: (said) => warnings.push(said) });
const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "sk-one", fetch: solve });
const asked = { model: "m", messages: [{ role: "user", content: "Hello?" }] };
const headers = { authorization: "Bearer sk-one" };

async function get(init) {
  const response = await solve(`${url}/other`, init);
  return { status: response.status, body: await response.json(), warnings };
}

const scenarios = {
  openai: async () => (await openai.chat.completions.create(asked)).choices[0].message.content,
  anthropic: async () => {
    const client = new Anthropic({ baseURL: url, apiKey: "sk-one", fetch: solve });
    return (await client.messages.create({ ...asked, max_tokens: 9 })).content[0].text;
  },
  stream: async () => {
    const heard = [];
    for await (const chunk of await openai.chat.completions.create({ ...asked, stream: true })) {
      heard.push(chunk.choices[0].delta.content);
      await fetch(`${url}/go`);
    }
    return heard;
  },
  upload: async () => {
    const file = new File([new Uint8Array(20_000)], "a.wav");
    return (await openai.audio.transcriptions.create({ model: "m", file })).text;
  },
  refused: async () => {
    try {
      return await openai.chat.completions.create(asked);
    } catch (error) {
      const known = error instanceof OpenAI.PermissionDeniedError;
      return { known, code: error.code, message: error.message, type: error.error.challenge.type, warnings };
    }
  },
  get: () => get({ headers }),
  cookies: async () => [await get({ headers: { cookie: "mine=1" } }), await get({ headers: { cookie: "mine=1" } })],
  together: async () => (await Promise.all(Array.from({ length: 20 }, () => get({ headers })))).map((each) => each.status),
  relied: async () =>
    (await Promise.all(["a", "b"].map((each) => get({ headers: { ...headers, "x-account": each } })))).map((each) => each.status),
  body: () => get({ method: "POST", headers, duplex: "half", body: new Blob(["one"]).stream() }),
  aborted: async () => {
    const aborted = new AbortController();
    const watched = solving(async (...given) => {
      const response = await fetch(...given);
      setTimeout(() => aborted.abort(), 0);
      return response;
    });
    return await watched(`${url}/other`, { headers, signal: aborted.signal }).catch((error) => error.name);
  },
  timed: async () => {
    const took = [];
    for (let run = 0; run < 20; run += 1) {
      const begun = performance.now();
      await get({ headers: { authorization: String(run) } });
      took.push(performance.now() - begun);
    }
    return took.reduce((sum, each) => sum + each) / took.length;
  },
};

console.log(JSON.stringify(await scenarios[scenario]()));
