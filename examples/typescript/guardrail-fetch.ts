// A `fetch` that solves the challenges of a guarded server and sends the request again, once:
//
//     import OpenAI from "openai";
//     import { solving } from "./guardrail-fetch.ts";
//
//     const client = new OpenAI({ fetch: solving(fetch) });
//
// It needs nothing but what the platform has (fetch and WebCrypto), so it runs in Node 20 and later, Deno, Bun and browsers.
// Whatever cannot be solved comes back as the 403 that it was.

export interface Options {
  /** Seconds that one challenge may take from the refusal to its clearance. */
  longest?: number;
  /** Rounds of hashing that a puzzle may take on average. */
  hardest?: number;
  /** Servers besides the request's own to which an answer may be sent: "https://guard.example". */
  origins?: readonly string[];
  /** Hears why a challenge was not solved. */
  warn?: (said: string) => void;
}

interface Parameters {
  algorithm: string;
  nonce: string;
  salt: string;
  cost: number;
  keyLength: number;
  keyPrefix: string;
}

interface Challenge {
  type: "altcha";
  url: string;
  case: string;
  parameters: Parameters;
  signature: string;
}

type Fetch = typeof globalThis.fetch;

/** Bytes of a key that one pass of an algorithm makes. */
const ALGORITHMS: Record<string, number> = { "PBKDF2/SHA-256": 32, "PBKDF2/SHA-384": 48, "PBKDF2/SHA-512": 64 };

/** Tries that are under way together. */
const ABREAST = 8;

class Unsolved extends Error {}

/** Requests of one credential to one server: one of them solves at a time, and the others go by what it reached. */
class Turn {
  cleared = 0;
  #last: Promise<unknown> = Promise.resolve();

  take<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work);
    this.#last = mine.catch(() => undefined);
    return mine;
  }
}

/** Cookies, for platforms whose fetch keeps none. A browser's keeps its own and shows neither side of them to scripts. */
class Jar {
  #cookies = new Map<string, { origin: string; path: string; pair: string; until: number }>();

  keep(url: URL, headers: Headers): void {
    for (const line of headers.getSetCookie?.() ?? []) {
      const [pair = "", ...rest] = line.split(";").map((part) => part.trim());
      const named = new Map(rest.map((part) => [part.split("=", 1)[0]!.toLowerCase(), part.slice(part.indexOf("=") + 1)]));
      const path = named.get("path")?.startsWith("/") ? named.get("path")! : url.pathname.replace(/(?<=.)\/[^/]*$/, "") || "/";
      const age = named.get("max-age");
      const expires = named.get("expires");
      const until = age !== undefined ? Date.now() + 1000 * Number(age) : expires !== undefined ? Date.parse(expires) : Infinity;
      if (!(named.has("secure") && url.protocol !== "https:")) {
        this.#cookies.set(JSON.stringify([url.origin, path, pair.split("=", 1)[0]]), { origin: url.origin, path, pair, until });
      }
    }
  }

  addTo(url: URL, headers: Headers): void {
    const pairs = new Map((headers.get("cookie") ?? "").split("; ").map((pair) => [pair.split("=", 1)[0], pair]));
    for (const { origin, path, pair, until } of this.#cookies.values()) {
      const below = url.pathname === path || url.pathname.startsWith(path.endsWith("/") ? path : `${path}/`);
      if (origin === url.origin && below && until > Date.now()) pairs.set(pair.split("=", 1)[0], pair);
    }
    const line = [...pairs.values()].filter(Boolean).join("; ");
    if (line) headers.set("cookie", line);
  }
}

/** Wraps a fetch. What it returns is used in the same way. */
export function solving(fetch: Fetch = globalThis.fetch, options: Options = {}): Fetch {
  const { longest = 30, hardest = 30_000_000, warn = (said: string) => console.warn(`guardrail: ${said}`) } = options;
  const listed = new Set((options.origins ?? []).map((each) => new URL(each).origin));
  const jar = new Jar();
  const turns = new Map<string, { turn: Turn; users: number }>();

  async function send(url: URL, input: URL | string | Request, init: RequestInit, headers: Headers): Promise<Response> {
    const mine = new Headers(headers);
    jar.addTo(url, mine);
    const response = await fetch(input, { ...init, headers: mine });
    jar.keep(url, response.headers);
    return response;
  }

  /** Whether the server was satisfied with the answer to a challenge, or to the one that it made in its place. */
  async function clear(from: URL, challenge: Challenge, init: RequestInit, until: number): Promise<boolean> {
    let base = from;
    for (let turn = 0; turn < 2; turn += 1) {
      const url = URL.canParse(challenge.url, base) ? new URL(challenge.url, base) : undefined;
      if (url?.origin !== from.origin && !(url && listed.has(url.origin))) {
        throw new Unsolved(`the answer is wanted at another server, ${challenge.url.slice(0, 200)}; list its origin if it is yours`);
      }
      check(challenge.parameters, hardest);
      const answer = await solve(challenge, until, init.signal);
      const headers = new Headers({ accept: "application/json", "content-type": "application/json" });
      const body = JSON.stringify({ case: challenge.case, answer });
      const asked = { method: "POST", body, signal: init.signal, credentials: init.credentials, redirect: "error" } as const;
      const response = await send(url, url, asked, headers);
      if (response.ok) {
        await response.body?.cancel();
        return true;
      }
      const successor = challengeIn(await response.text());
      if (!successor) return false;
      [base, challenge] = [url, successor];
    }
    return false;
  }

  return async (input, init = {}) => {
    const request = input instanceof Request ? input : undefined;
    const url = new URL(request?.url ?? String(input), globalThis.location?.href);
    const headers = new Headers(init.headers ?? request?.headers);
    headers.set("guardrail-solve", "altcha");
    const asked: RequestInit = { ...init, signal: init.signal ?? request?.signal, credentials: init.credentials ?? request?.credentials };
    const replayable = init.body == null ? !request?.body : isWhole(init.body);

    const key = JSON.stringify([url.origin, headers.get("authorization"), headers.get("x-api-key"), headers.get("api-key")]);
    const shared = turns.get(key) ?? { turn: new Turn(), users: 0 };
    turns.set(key, shared);
    shared.users += 1;
    const { turn } = shared;

    try {
      let until = 0;
      for (let relied = false; ; ) {
        const cleared = turn.cleared;
        const response = await send(url, input, asked, headers);
        if (response.status !== 403 || !response.headers.get("content-type")?.includes("json")) return response;
        const challenge = challengeIn(await response.clone().text());
        if (!challenge) return response;
        if (!replayable) {
          warn("a challenge was not solved: the request's body is a stream that cannot be sent again");
          return response;
        }
        until ||= performance.now() + 1000 * longest;
        const through = await turn.take(async () => {
          asked.signal?.throwIfAborted();
          if (turn.cleared !== cleared && !relied) return "relied";
          if (!(await clear(url, challenge, asked, until))) return undefined;
          turn.cleared += 1;
          return "cleared";
        }).catch((error: unknown) => {
          asked.signal?.throwIfAborted();
          warn(`a challenge was not solved: ${error instanceof Error ? error.message : String(error)}`);
          return undefined;
        });
        if (!through) return response;
        await response.body?.cancel();
        if (through === "cleared") return await send(url, input, asked, headers);
        relied = true; // another request of this credential was let through meanwhile: so may this one be
      }
    } finally {
      shared.users -= 1;
      if (!shared.users) turns.delete(key);
    }
  };
}

/** Whether a body is there once it was sent. */
function isWhole(body: unknown): boolean {
  const kinds = [Blob, FormData, URLSearchParams, ArrayBuffer];
  return typeof body === "string" || ArrayBuffer.isView(body) || kinds.some((kind) => body instanceof kind);
}

/** The challenge in the body of a refusal: OpenAI's place, Anthropic's, or RFC 9457's. */
function challengeIn(text: string): Challenge | undefined {
  let document: any;
  try {
    document = JSON.parse(text);
  } catch {
    return undefined;
  }
  const found = document?.error?.challenge ?? document?.error?.details?.challenge ?? document?.challenge;
  const texts = [found?.url, found?.case, found?.signature];
  return found?.type === "altcha" && texts.every((each) => typeof each === "string") ? found : undefined;
}

/** Throws where the work is not what is known here, or too much. */
function check(asked: Parameters | undefined, hardest: number): asserts asked is Parameters {
  const pass = ALGORITHMS[asked?.algorithm ?? ""];
  if (!asked || !pass) throw new Unsolved("its algorithm is not known");
  const { cost, keyLength, keyPrefix, nonce, salt } = asked;
  const counts = Number.isSafeInteger(cost) && cost > 0 && Number.isSafeInteger(keyLength) && keyLength > 0 && keyLength <= 64;
  const hex = [nonce, salt].every((each) => typeof each === "string" && /^([0-9a-f]{2}){0,64}$/i.test(each));
  if (!counts || !hex || typeof keyPrefix !== "string" || !/^[0-9a-f]*$/i.test(keyPrefix)) throw new Unsolved("it cannot be read");
  const effort = cost * Math.ceil(keyLength / pass) * 16 ** keyPrefix.length;
  if (keyPrefix.length > Math.min(4, 2 * keyLength) || effort > hardest) {
    throw new Unsolved(`it is too hard: ${effort} rounds of hashing on average`);
  }
}

/** Finds the number whose key begins as it should, and packs it as the altcha library reads it. */
async function solve(challenge: Challenge, until: number, signal?: AbortSignal | null): Promise<string> {
  const { parameters, signature } = challenge;
  const [nonce, salt] = [unhex(parameters.nonce), unhex(parameters.salt)];
  const hash = parameters.algorithm.slice("PBKDF2/".length);
  const prefix = parameters.keyPrefix.toLowerCase();

  async function derive(counter: number): Promise<string> {
    const password = new Uint8Array(nonce.length + 4);
    password.set(nonce);
    new DataView(password.buffer).setUint32(nonce.length, counter);
    const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
    const recipe = { name: "PBKDF2", hash, salt, iterations: parameters.cost };
    return hex(new Uint8Array(await crypto.subtle.deriveBits(recipe, key, 8 * parameters.keyLength)));
  }

  const begun = performance.now();
  for (let first = 0; performance.now() < until; first += ABREAST) {
    signal?.throwIfAborted();
    const keys = await Promise.all(Array.from({ length: ABREAST }, (_, index) => derive(first + index)));
    const index = keys.findIndex((key) => key.startsWith(prefix));
    if (index >= 0) {
      const solution = { counter: first + index, derivedKey: keys[index], time: performance.now() - begun };
      const text = new TextEncoder().encode(JSON.stringify({ challenge: { parameters, signature }, solution }));
      return btoa(Array.from(text, (byte) => String.fromCharCode(byte)).join(""));
    }
  }
  throw new Unsolved("its time was up");
}

function unhex(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
