"""The design's own policy, as it stands there but for three lines, and an app behind it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardrail_mw.policy import loads
from guardrail_mw.telemetry.event import validate
from guardrail_mw.testing.clock import FakeClock

from ..asgi.kit import JSON, Answer, CountingStore, Guarded, Upstream, chat  # noqa: TID252 - the kit of the pipeline's tests
from ..identity.kit import NOW, public_jwk, token  # noqa: TID252 - an issuer with real keys

__all__ = ["CHAT", "HEADLESS", "LADDER", "MESSAGES", "POLICY", "SECRETS", "Site", "edited", "publish"]

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
HEADLESS = (
    b"user-agent",
    b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0",
)
"""Of automation a risk of 80."""
SECRETS = {"GUARDRAIL_ID_KEY": "i" * 32, "GUARDRAIL_KEYS": "k" * 32}

LADDER = """\
    - {at: 50, do: challenge, with: {use: altcha, immunity: 30m}, otherwise: trim}
    - {at: 75, do: verify, with: {use: step_up, acr: urn:example:kyc}}
"""
"""The two lines that are left out where a test is about the others."""

POLICY = """\
version: 1
mode: shadow                       # shadow: decide and record, never act | enforce | off
store:
  url: ${GUARDRAIL_STORE:-memory://}
  deadline: 25ms
  on_error: local                  # allow | deny | local
  processes: 4                     # how many share a limit when each must decide alone

identity:
  trusted_proxies: []              # whose X-Forwarded-For is believed: networks, unix, {hops: 2}
  network: {ipv4_prefix: 32, ipv6_prefix: 64}
  sources:                         # the first that recognises the credential owns it
    - use: jwt
      with:
        issuer: https://id.example/
        audience: model-api
        jwks: https://id.example/.well-known/jwks.json
        algorithms: [RS256, ES256, EdDSA]
        claims: {organisation: org_id, tier: plan, payment: pay_fp}
    - use: api_key
      with: {headers: [authorization, x-api-key], trust: app}
  anonymous: {account: network}    # who has none is its network
  assurance: [urn:example:basic, urn:example:kyc]    # the order of acr values, lowest first

routes:
  - {path: [/health, /ping], exempt: true}
  - {path: /v1/messages/**, dialect: anthropic}
  - {path: /v1/models, dialect: openai, limits: [requests]}
  - {path: [/v1/**, /invocations], dialect: openai}

reserve: {output: 1024, media: 1500}   # tokens assumed before the answer is known; strict: true reserves all that is allowed
inspect: {max_body: 32MiB}
headers: [ietf, dialect]

models:
  large: {names: [large-*], usd_per_million: {input: 3, cached: 0.3, output: 15}}

limits:
  - {name: requests, per: [account], rate: 120/minute}
  - {name: tokens, per: [account, model], unit: tokens, rate: 400000/minute}
  - {name: in-flight, per: [account], concurrency: 16}
  - {name: strangers, per: [network], when: {authenticated: false}, rate: 20/minute}
  - {name: spend, per: [account], unit: usd, budget: 500/month, shadow: true}
  - {name: burst-spend, per: [account], unit: usd, window: 12.50/hour, shadow: true}
  - {name: campaign, per: [cluster], when: {verdict: suspect, verified: false}, rate: 100/day}
  - {name: capacity, per: [], rate: 2000/second, keep: 30%}
  - {name: enterprise, replaces: requests, when: {tier: enterprise}, per: [organisation], rate: 6000/minute}

velocity:
  - {name: attempts, count: attempts, per: account, over: 10m}      # or admitted, denied
  - {name: devices-per-account, distinct: device, per: account, over: 24h}

risk:
  scorers:
    - {use: velocity, with: {devices-per-account: {from: 5, full: 20}}}   # linear: 0 at from, 100 at full
    - {use: automation}
    - {use: cluster}

friction:
  rollout: 5%
  delays: {at_once: 200, at_most: 10s}
  false_positives: 20/day          # established accounts that a rung may newly touch, one a cluster
  ladder:                          # the highest rung reached; deny and verify need two families
    - {at: 30, do: delay, with: {seconds: 0.5}}
    - {at: 95, do: deny}
  allow: [{organisation: internal}]
"""


def edited(*edits: tuple[str, str]) -> str:
    """The policy with some of its words changed; each stands there once."""
    text = POLICY
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def publish(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The issuer's keys, published where the policy says; the URLs that were asked for."""
    asked: list[str] = []

    async def fetch(url: str) -> bytes:
        asked.append(url)
        return json.dumps({"keys": [public_jwk(kind, kid=kind) for kind in ("RS256", "ES256", "EdDSA")]}).encode()

    monkeypatch.setattr("guardrail_mw.identity.jwks.fetch", fetch)
    return asked


class Site(Guarded):
    """An app behind the design's policy in `enforce`, on a clock that stands still.

    Args:
        edits: words of the policy that this test changes.
        app: the app behind.
        everybody: whether the ladder acts on all accounts, not on one in twenty.
        mode: of the policy.
    """

    def __init__(
        self,
        *edits: tuple[str, str],
        app: Any = None,
        everybody: bool = False,
        mode: str = "enforce",
        store: Any = None,
        clock: FakeClock | None = None,
    ) -> None:
        whole = [("rollout: 5%", "rollout: 100%")] if everybody else []
        policy: Any = loads(edited(("mode: shadow  ", f"mode: {mode}  "), *whole, *edits), environ={})
        clock = clock or FakeClock()
        super().__init__(app or Upstream(), policy, store=store or CountingStore(clock), clock=clock, environ=SECRETS)

    def who(self, name: str, kind: str = "ES256", **claims: Any) -> tuple[bytes, bytes]:
        """Somebody with a token, for an hour from now."""
        exp = NOW + self.clock.monotonic() // 1_000_000 + 3600
        told: dict[str, Any] = {"sub": name, "exp": exp} | claims
        return (b"authorization", b"Bearer " + token(kind, kid=kind, **told))

    async def as_(
        self, name: str, *headers: tuple[bytes, bytes], path: str = CHAT, body: Any = None, **claims: Any
    ) -> Answer:
        """POST as somebody with a token."""
        return await self.post(path, chat() if body is None else body, self.who(name, **claims), JSON, *headers)

    async def stranger(self, network: str, *headers: tuple[bytes, bytes], path: str = CHAT, body: Any = None) -> Answer:
        """POST from an address, without a credential."""
        return await self.post(path, chat() if body is None else body, JSON, *headers, client=(network, 1))

    @property
    def last(self) -> dict[str, Any]:
        """The event of the latest decision."""
        [event] = self.guardrail.recorder.latest(1)
        validate(event)
        return event

    @property
    def limits(self) -> dict[str, tuple[int, int, bool]]:
        """What the latest decision cost of each limit, what that left, and whether it had room."""
        return {each["name"]: (each["cost"], each["remaining"], each["ok"]) for each in self.last["limits"]}
