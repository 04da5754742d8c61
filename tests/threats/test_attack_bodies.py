"""A trimmed body is held once, and no longer than any other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .kit import CHAT, JSON, KEY, Guarded, Upstream, policy, scope_of

pytestmark = pytest.mark.anyio

LIMIT = {"name": "requests", "rate": "1000/minute"}
TOKENS = {"name": "tokens", "unit": "tokens", "rate": "100000000/minute"}
AGENT = (b"user-agent", b"Mozilla/5.0 HeadlessChrome/120.0.0.0")
RISK = {"scorers": [{"use": "automation"}]}


def site(*limits: Any) -> Guarded:
    return Guarded(Upstream(), policy(*limits, risk=RISK, friction={"ladder": [{"at": 30, "do": "trim"}]}))


@pytest.mark.parametrize("limits", [[LIMIT], [LIMIT, TOKENS]], ids=["unread", "read"])
@pytest.mark.parametrize("pieces", [1, 50])
async def test_who_is_trimmed_cannot_hold_the_room_for_bodies_while_his_answer_lasts(limits: Any, pieces: int) -> None:
    """Else four accounts with long streams keep everybody's bodies out, which none can who is not trimmed."""
    guarded = site(*limits)
    held: list[int] = []

    async def streaming(_: Any) -> None:
        held.append(guarded.middleware._budget.used)

    guarded.app.before = streaming
    body = json.dumps({"model": "small", "n": 4, "user": "x" * 100_000}).encode()
    step = -(-len(body) // pieces)
    chunks = [body[at : at + step] for at in range(0, len(body), step)]
    answer = await guarded.ask(scope_of(CHAT, headers=(KEY, JSON, AGENT)), *chunks)
    assert answer.field("x-guardrail-trimmed") == "n"
    assert json.loads(guarded.app.bodies[0])["n"] == 1
    assert held == [0]
    assert guarded.middleware._budget.used == 0


async def test_what_vouches_for_the_old_body_goes_with_it() -> None:
    """RFC 9530's digests and their elders; an app that checks them would refuse what it did not ask for."""
    guarded = site(LIMIT)
    told = [
        (b"content-digest", b"sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"),
        (b"repr-digest", b"sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"),
        (b"digest", b"sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="),
        (b"content-md5", b"Q2hlY2sgSW50ZWdyaXR5IQ=="),
    ]
    names = {name for name, _ in told}
    await guarded.ask(scope_of(CHAT, headers=(KEY, JSON, AGENT, *told)), b'{"n":4}')
    await guarded.ask(scope_of(CHAT, headers=(KEY, JSON, AGENT, *told)), b'{"n":1}')
    trimmed, whole = [{name for name, _ in scope["headers"]} & names for scope in guarded.app.scopes]
    assert (trimmed, whole) == (set(), names)


@pytest.mark.parametrize("body", [b'{"n":4,"n":1}', b'{"n":'], ids=["twice", "half"])
async def test_what_cannot_be_trimmed_is_charged_as_a_request(body: bytes) -> None:
    """As where bodies are read for tokens: each is parsed, so they must not be free."""
    guarded = site({"name": "requests", "rate": "2/hour"}, {"name": "slots", "concurrency": 1})
    statuses = [(await guarded.ask(scope_of("/other", headers=(KEY, JSON, AGENT)), body)).status for _ in range(3)]
    assert statuses == [400, 400, 429]
    assert guarded.app.calls == 0
    assert await guarded.left() == {"requests": 0, "slots": 1}
