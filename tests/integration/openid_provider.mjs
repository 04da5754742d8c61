// An OpenID provider for tests: `node openid_provider.mjs PORT SECONDS CLIENT REDIRECT_URI API`, with oidc-provider beside it.
// Its time is SECONDS, and stands still: a line on its input is so many seconds that pass, and it answers what time it is then.
// A person signs in with a password (urn:example:basic), and with an identity card besides (urn:example:kyc).
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { Provider, interactionPolicy } from "oidc-provider";

const [port, seconds, client, back, api] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const BASIC = "urn:example:basic";
const KYC = "urn:example:kyc";
const PEOPLE = { ada: { password: "engine", card: "L01X00T47" } };
const FOREVER = 20 * 365 * 86400; // a cookie that ends by this clock must not have ended by the browser's

let now = Number(seconds) * 1000;
globalThis.Date = class extends Date {
  constructor(...given) {
    super(...(given.length ? given : [now]));
  }

  static now() {
    return now;
  }
};

function key(alg, kind, options) {
  return { ...generateKeyPairSync(kind, options).privateKey.export({ format: "jwk" }), alg, kid: alg, use: "sig" };
}

// RFC 9470, section 5: whoever's session is not of a kind that was asked for is asked to sign in. What they do then is theirs to
// choose, for `acr_values` is a wish (OpenID Connect Core, section 3.1.2.1); the token says what it was.
const { Check } = interactionPolicy;
const policy = interactionPolicy.base();
policy.get("login").checks.add(
  new Check("acr_values", "a stronger sign-in is asked for", ({ oidc }) => {
    const wanted = oidc.params.acr_values?.split(" ");
    const enough = !wanted || wanted.includes(oidc.acr) || oidc.result?.login;
    return enough ? Check.NO_NEED_TO_PROMPT : Check.REQUEST_PROMPT;
  }),
);

const provider = new Provider(issuer, {
  acrValues: [BASIC, KYC],
  claims: { openid: ["sub"], acr: null, auth_time: null },
  clients: [
    { client_id: client, client_name: "Example Chat", redirect_uris: [back], token_endpoint_auth_method: "none" },
  ],
  cookies: { keys: [randomBytes(16).toString("hex")] },
  extraTokenClaims({ oidc }) {
    const { acr, authTime } = oidc.entities.AuthorizationCode;
    return { acr, auth_time: authTime };
  },
  features: {
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: () => ({
        scope: "chat",
        audience: api,
        accessTokenTTL: 3600,
        accessTokenFormat: "jwt",
        jwt: { sign: { alg: "ES256" } },
      }),
      useGrantedResource: () => true,
    },
  },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  interactions: { policy, url: (_, interaction) => `/interaction/${interaction.uid}` },
  jwks: { keys: [key("ES256", "ec", { namedCurve: "P-256" }), key("RS256", "rsa", { modulusLength: 2048 })] },
  ttl: { Grant: FOREVER, Interaction: FOREVER, Session: FOREVER },
});

function page(title, fields, button) {
  return `<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">
<link rel=icon href="data:,"><title>${title}</title>
<style>body{font:16px/1.5 system-ui;max-width:24rem;margin:12vh auto;padding:0 1rem}label{display:block;margin:1rem 0}
input,button{font:inherit;width:100%;box-sizing:border-box;padding:.5rem}</style>
<h1>${title}</h1><form method=post>${fields}<button>${button}</button></form></html>`;
}

function question({ prompt, params, session }) {
  if (prompt.name === "consent") {
    return page("Allow access", `<p>Example Chat wants to ask models on your behalf (${params.scope}).`, "Allow");
  }
  const asked = params.acr_values?.split(" ").includes(KYC);
  const card = "<label>Number of your identity card<input name=card autocomplete=off></label>";
  const why = asked ? "<p>Example Chat asks you to show who you are." : "";
  const known = `<label>Name<input name=name autocomplete=username value="${session?.accountId ?? ""}"></label>`;
  const secret = "<label>Password<input name=password type=password autocomplete=current-password></label>";
  const again = prompt.reasons.includes("max_age") ? "<p>It has been a while since you signed in." : "";
  return page("Sign in", `${why}${again}${known}${secret}${asked ? card : ""}`, "Sign in");
}

async function allowed({ grantId, params, prompt, session }) {
  const missing = prompt.details;
  const grant = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  if (missing.missingOIDCScope) grant.addOIDCScope(missing.missingOIDCScope.join(" "));
  for (const [where, scopes] of Object.entries(missing.missingResourceScopes ?? {})) {
    grant.addResourceScope(where, scopes.join(" "));
  }
  return { consent: { grantId: await grant.save() } };
}

async function interact(request, response) {
  const interaction = await provider.interactionDetails(request, response);
  const form = new URLSearchParams(request.method === "POST" ? await text(request) : "");
  const person = PEOPLE[form.get("name")];
  if (request.method === "POST" && interaction.prompt.name === "consent") {
    await provider.interactionFinished(request, response, await allowed(interaction));
  } else if (person !== undefined && person.password === form.get("password")) {
    const acr = person.card === form.get("card") ? KYC : BASIC;
    await provider.interactionFinished(request, response, { login: { accountId: form.get("name"), acr } });
  } else {
    response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(question(interaction));
  }
}

const answer = provider.callback();
const server = createServer((request, response) => {
  if (!request.url.startsWith("/interaction/")) return answer(request, response);
  return interact(request, response).catch((error) => response.writeHead(500).end(String(error.stack)));
});
server.listen(Number(port), "127.0.0.1", () => console.log("ready"));

const orders = createInterface({ input: process.stdin });
orders.on("line", (passed) => {
  now += Number(passed) * 1000;
  console.log(now / 1000);
});
orders.on("close", () => process.exit());
