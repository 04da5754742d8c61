// What the official JavaScript client makes of the guarded server's answers: one line of JSON for the scenario that is asked for.
// usage: node openai_sdk.mjs BASE_URL SCENARIO   (beside a node_modules that holds `openai`)
import OpenAI from "openai";

const [baseURL, scenario] = process.argv.slice(2);
const asked = { model: "demo-small", messages: [{ role: "user", content: "How do you count?" }], max_tokens: 64 };

function client(maxRetries) {
  return new OpenAI({ baseURL, apiKey: "sk-one", maxRetries, timeout: 10_000 });
}

function understood(error) {
  return {
    name: error.constructor.name,
    isRateLimit: error instanceof OpenAI.RateLimitError,
    isAuthentication: error instanceof OpenAI.AuthenticationError,
    isPermission: error instanceof OpenAI.PermissionDeniedError,
    isServer: error instanceof OpenAI.InternalServerError,
    isBadRequest: error instanceof OpenAI.BadRequestError,
    status: error.status,
    code: error.code,
    message: error.message,
    decision: error.headers?.get("x-guardrail-decision"),
    inBody: error.error?.decision,
  };
}

async function failing(call) {
  try {
    await call();
  } catch (error) {
    return understood(error);
  }
  return { name: "no error" };
}

async function whole(openai) {
  const found = await openai.chat.completions.create(asked);
  return { text: found.choices[0].message.content, input: found.usage.prompt_tokens, output: found.usage.completion_tokens };
}

async function streamed(openai) {
  const stream = await openai.chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } });
  let text = "";
  let usage = null;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  return { text, input: usage.prompt_tokens, output: usage.completion_tokens };
}

const scenarios = {
  success: () => whole(client(0)),
  stream: () => streamed(client(0)),
  refused: async () => {
    await whole(client(0));
    return failing(() => whole(client(0)));
  },
  retried: async () => {
    await whole(client(2));
    return whole(client(2));
  },
  patient: async () => {
    await whole(client(2));
    return failing(() => whole(client(2)));
  },
  failing: () => failing(() => whole(client(2))),
  bad: () => failing(() => client(2).chat.completions.create({ ...asked, n: 1.5 })),
};

console.log(JSON.stringify(await scenarios[scenario]()));
