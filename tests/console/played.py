"""The examples of docs/reference/operators-port.md: each endpoint is asked once, and what it answered is what the page shows."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, Final, NamedTuple

import httpx2

from guardrail_mw import Guardrail, GuardrailMiddleware
from guardrail_mw.algorithms import edges, keys
from guardrail_mw.console.app import app, openapi
from guardrail_mw.stores.base import Activity
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.guarded import ENVIRON
from guardrail_mw.testing.upstream import Upstream

__all__ = ["BODIES", "POLICY", "QUERIES", "Played", "play", "printed"]

POLICY: Final[dict[str, Any]] = {
    "version": 1,
    "mode": "enforce",
    "identity": {"sources": [{"use": "api_key", "with": {"headers": ["authorization"], "trust": "gateway"}}]},
    "routes": [{"path": "/v1/**", "dialect": "openai"}],
    "limits": [
        {"name": "requests", "per": ["account"], "rate": "60/minute"},
        {"name": "partners", "replaces": "requests", "when": {"tier": "partner"}, "per": ["account"], "rate": "600/minute"},
    ],
    "velocity": [{"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}],
    "risk": {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 2, "full": 12}}}]},
    "friction": {
        "ladder": [
            {"at": 30, "do": "trim"},
            {"at": 80, "do": "verify", "with": {"use": "identity", "provider": "desk", "level": "passport"}},
            {"at": 95, "do": "deny"},
        ]
    },
    "endpoints": {"public_url": "http://t"},
    "verification": {
        "name": "Example AI",
        "providers": {"desk": {"use": "manual", "with": {"levels": {"passport": {"ial": "2"}}}}},
    },
    "telemetry": {"metrics": True},
    "clusters": {},
}
QUERIES: Final = {
    "decisions": "account={account}&n=1",
    "limits": "route=/v1/models",
    "cases": "state=open",
    "appeals": "state=open",
    "clusters": "n=10",
    "explainCluster": "a={one}&b={other}",
}
"""Of the examples that have one, by the operation's id."""
BODIES: Final[dict[str, dict[str, Any]]] = {
    "reset": {"reason": "load test, agreed with their team"},
    "refill": {"limit": "requests", "reason": "load test, agreed with their team"},
    "identify": {"credential": "sk-example"},
    "link": {"account": "sk-example", "kind": "payment", "value": "fp_9f2c", "created": "2025-11-24T16:00:00Z"},
    "unlink": {"account": "sk-example", "kind": "payment", "value": "fp_9f2c"},
    "tier": {"tier": "partner", "reason": "contract signed in May", "until": "90d"},
    "label": {"slug": "research-partner", "reason": "contract signed in May", "until": "90d"},
    "unlabel": {"slug": "research-partner", "reason": "contract has ended"},
    "override": {"what": "allow", "reason": "known to us; their exports come in bursts", "until": "7d"},
    "decideCase": {"state": "approved", "reason": "passport seen in a call", "document": "DE C01X00T47"},
    "decideAppeal": {"granted": True, "reason": "known to us; their exports come in bursts", "until": "30d"},
    "splitCluster": {"accounts": ["a:member-16_____________"], "reason": "a reseller's customer", "until": "90d"},
    "joinCluster": {"reason": "it was one of them after all"},
    "releaseCluster": {"reason": "a class; their teacher wrote", "until": "7d"},
    "labelCluster": {"verdict": "suspect", "reason": "the same texts as in May"},
    "budgetCluster": {"tokens": "5000000", "reason": "as their contract says"},
    "approveCluster": {"reason": "seen by two of us"},
    "rejectCluster": {"reason": "a class; their teacher wrote"},
    "erase": {"reason": "asked for by its owner"},
    "switch": {"rule": "requests", "mode": "shadow", "reason": "half of support is refused"},
}
"""Of the examples that have one."""

METHODS: Final = ("get", "put", "post", "delete")
_EVENT: Final = ("v", "id", "at", "account", "decision", "status", "risk", "rung")
_MORE: Final = "…"
_WIDTH: Final = 110
_LONG: Final = 1000
_CUT: Final = 60
"""Characters that are shown of a longer text."""
_FEW: Final = 26
"""Of a list."""
_ID: Final = re.compile(r"\b[0-9a-f]{24}\b")


class Played(NamedTuple):
    """One example: what was asked, and what was answered."""

    method: str
    target: str
    """The path with its query."""
    sent: Any
    """The body; None for none."""
    status: int
    kind: str
    """The media type of the answer."""
    said: Any
    """The answer whole: its JSON, or its text."""


@cache
def play() -> dict[str, Played]:
    """Every operation in the document's order, by its id: what an account did, seen and then changed."""
    return asyncio.run(_play())


async def _play() -> dict[str, Played]:
    clock = FakeClock()
    token = "an-example-of-0123456789-characters"  # noqa: S105 - made up, opens nothing
    store = MemoryStore(clock=clock)
    guardrail = Guardrail(POLICY, store=store, clock=clock, environ=ENVIRON)
    async with (
        _client(GuardrailMiddleware(Upstream(), guardrail), "sk-example") as caller,
        _client(app(guardrail, token, clock=clock), token) as operator,
    ):

        async def calls() -> None:
            await caller.post("/v1/chat/completions", json={"model": "large", "messages": [], "n": 4})
            clock.advance(0.25)
            await guardrail.drain()

        for _ in range(8):
            await calls()
        acted = await _acted_together(guardrail, store, clock)
        found = await _asked(caller, operator, guardrail, calls, acted)
    await guardrail.close()
    return {name: _named(each, guardrail.policy.hash) for name, each in found.items()}


def _client(guarded: Any, key: str) -> httpx2.AsyncClient:
    head = {"authorization": f"Bearer {key}"}
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(guarded), base_url="http://t", headers=head, trust_env=False)


async def _objected(caller: httpx2.AsyncClient, operator: httpx2.AsyncClient, account: str) -> dict[str, str]:
    """Have the account asked for its identity, and appeal: the ids of its case and of its appeal."""
    await operator.post(f"/v1/accounts/{account}/override", json={"what": "verify", "reason": "seen in a campaign"})
    refused = await caller.post("/v1/chat/completions", json={"model": "large", "messages": [], "n": 4})
    text = {"text": "We are an office of forty; a nightly export runs at two."}
    await caller.post(refused.json()["error"]["appeal_url"], json=text)
    found = {}
    for kind in ("case", "appeal"):
        [one] = (await operator.get(f"/v1/{kind}s")).json()[f"{kind}s"]
        found[kind] = one["id"]
    return found


async def _acted_together(guardrail: Guardrail, store: MemoryStore, clock: FakeClock) -> dict[str, str]:
    """Have sixty among others share a card, a system prompt, and devices in fours: their cluster's id, and two of them."""
    for number in range(600):
        own = [keys.join(code, 1_000 + number) for code in (keys.PAYMENT, keys.SYSTEM, keys.DEVICE)]
        await store.link(f"a:other-{number:03d}".ljust(24, "_"), own)
    members = [f"a:member-{number:02d}".ljust(24, "_") for number in range(60)]
    hour = edges.hour_of(clock.now())
    for number, each in enumerate(members):
        values = ((keys.PAYMENT, 1), (keys.SYSTEM, 1), (keys.DEVICE, 100 + number // 4))
        await store.link(each, [keys.join(code, digest) for code, digest in values])
    await store.note([Activity(each, hour - ago, 1, 1_000) for each in members for ago in range(24)])
    [cluster] = (await guardrail.work()).clusters
    return {"cluster": cluster.id, "one": members[0], "other": members[1]}


async def _asked(
    caller: httpx2.AsyncClient,
    operator: httpx2.AsyncClient,
    guardrail: Guardrail,
    calls: Callable[[], Awaitable[None]],
    acted: dict[str, str],
) -> dict[str, Played]:
    latest = guardrail.recorder.latest(1)[0]
    named = {"account": latest["account"], "decision": latest["id"], **await _objected(caller, operator, latest["account"])}
    for verb in ("label", "override"):  # so that there is something to see
        await operator.post(f"/v1/accounts/{named['account']}/{verb}", json=BODIES[verb])
    named |= acted
    found = {}
    for path, item in openapi()["paths"].items():
        for method in [each for each in METHODS if each in item]:
            name = item[method]["operationId"]
            query = QUERIES.get(name, "").format(**named)
            target = path.format(**named) + (f"?{query}" if query else "")
            if method == "post":
                await calls()  # so that there is something to change
            answer = await operator.request(method, target, json=BODIES.get(name))
            kind = answer.headers["content-type"]
            said = answer.json() if kind == "application/json" else answer.text
            found[name] = Played(method.upper(), target, BODIES.get(name), answer.status_code, kind, said)
    return found


def _named(played: Played, policy: str) -> Played:
    """With ids of decisions that are the same each time, and a hash that no new key of policies changes."""
    seen: dict[str, str] = {}

    def known(found: re.Match[str]) -> str:
        return seen.setdefault(found[0], f"{0x5D1C0A7E3B << 56 | 0x9F24 + len(seen):024x}")

    text = _ID.sub(known, json.dumps([played.target, played.said])).replace(policy, "3f0c9a41d27be658")
    target, said = json.loads(text)
    return played._replace(target=target, said=said)


def printed(name: str, said: Any) -> str:
    """An answer as the page shows it: `…` for what is left out."""
    if isinstance(said, str):
        return "\n".join([*said.splitlines()[:3], _MORE])
    if name == "openapi":
        said = {"openapi": said["openapi"], "info": said["info"], _MORE: _MORE}
    if name == "export":
        said = {**said, "counters": {_MORE: _MORE}, "evidence": {_MORE: _MORE}}
    return _json(_shortened(said), 0)


def _shortened(said: Any) -> Any:
    if isinstance(said, str) and len(said) > _LONG:
        return f"{said[:_CUT]}{_MORE}"
    if isinstance(said, dict):
        if {"v", "id", "policy"} <= said.keys():  # an event
            said = {**{name: said[name] for name in _EVENT}, _MORE: _MORE}
        return {name: _shortened(each) for name, each in said.items()}
    if isinstance(said, list):
        few = 1 if _are_events(said) else 3 if said and str(said[0]).startswith("a:") else _FEW
        return [_shortened(each) for each in said[:few]] + [_MORE] * (len(said) > few)
    return said


def _are_events(said: list[Any]) -> bool:
    return bool(said) and isinstance(said[0], dict) and "policy" in said[0]


def _json(said: Any, indent: int) -> str:
    """On one line where it fits."""
    flat = json.dumps(said, ensure_ascii=False)
    if len(flat) + indent <= _WIDTH or not isinstance(said, dict | list):
        return flat
    inner = indent + 2
    if isinstance(said, dict):
        lines = [f"{json.dumps(name, ensure_ascii=False)}: {_json(each, inner)}" for name, each in said.items()]
    else:
        lines = [_json(each, inner) for each in said]
    opening, closing = "{}" if isinstance(said, dict) else "[]"
    body = ",\n".join(" " * inner + line for line in lines)
    return f"{opening}\n{body}\n{' ' * indent}{closing}"
