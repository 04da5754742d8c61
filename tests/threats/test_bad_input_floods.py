"""What is bad about a request is paid for like any request: bad ones cannot be sent without end."""

from __future__ import annotations

from typing import Any

import pytest

from .kit import CHAT, JSON, KEY, Guarded, Upstream, chat, policy

pytestmark = pytest.mark.anyio

REQUESTS = {"name": "requests", "rate": "3/minute"}
TOKENS = {"name": "tokens", "unit": "tokens", "rate": "6000/minute"}
SLOTS = {"name": "slots", "concurrency": 1}
BAD = {
    "not JSON": (b"{", 400, ()),
    "doubled": (b'{"model": "a", "model": "b"}', 400, ()),
    "too long": (b'{"prompt": "' + b"x" * 2000 + b'"}', 413, ()),
    "encoded": (b"{}", 415, ((b"content-encoding", b"gzip"),)),
    "two types": (b"{}", 400, ((b"content-type", b"text/plain"),)),
    "can never fit": (b'{"prompt": ["a", "b", "c", "d"]}', 400, ()),
}


def document(**rest: Any) -> dict[str, Any]:
    return policy(REQUESTS, TOKENS, SLOTS, inspect={"max_body": "1KB"}, **rest)


@pytest.mark.parametrize("what", BAD)
async def test_a_flood_of_bad_bodies_is_refused_like_any_other(what: str) -> None:
    """Three a minute, then 429 goes before the 4xx; no tokens and no slot stay taken."""
    body, status, extra = BAD[what]
    guarded = Guarded(Upstream(), document())
    statuses = [(await guarded.post(CHAT, body, KEY, JSON, *extra)).status for _ in range(5)]
    assert statuses == [status, status, status, 429, 429]
    assert guarded.app.calls == 0
    assert await guarded.left() == {"requests": 0, "tokens": 6000, "slots": 1}
    guarded.clock.advance(20)  # one a 20 s comes back
    assert (await guarded.post(CHAT, body, KEY, JSON, *extra)).status == status


@pytest.mark.parametrize("what", BAD)
async def test_in_shadow_they_are_charged_once_and_pass(what: str) -> None:
    body, status, extra = BAD[what]
    guarded = Guarded(Upstream(), document(mode="shadow"))
    assert (await guarded.post(CHAT, body, KEY, JSON, *extra)).status == 200
    assert guarded.app.bodies == [body]
    assert guarded.app.scopes[0]["state"]["guardrail"].would.status == status
    assert (await guarded.left())["requests"] == 2


async def test_what_is_shed_is_not_charged() -> None:
    """The process is full: no fault of this client's."""
    guarded = Guarded(Upstream(), document())
    guarded.middleware._budget.used = 1 << 40
    assert (await guarded.post(CHAT, chat(4))).status == 503
    assert guarded.bills == []


async def test_bad_bodies_do_not_unprove_and_do_not_prove() -> None:
    guarded = Guarded(Upstream(), {**document(), **policy(REQUESTS, TOKENS, trust="app")})
    assert (await guarded.post(CHAT, b"{")).status == 400
    assert not guarded.store._standings
    assert (await guarded.post(CHAT, {})).status == 200
    assert (await guarded.post(CHAT, b"{")).status == 400
    assert len(guarded.store._standings) == 1
    assert await guarded.left(KEY) == {"requests": 2, "tokens": 6000}


async def test_bad_credentials_cost_no_store_and_no_app() -> None:
    """Nothing to charge: whose they are is not known, and a client whose token expired must hear so, not 429."""
    listed = {"sources": [{"use": "api_key", "with": {"trust": "keys", "keys": ["0" * 64]}}]}
    guarded = Guarded(Upstream(), {**document(), "identity": listed})
    assert {(await guarded.post(CHAT, b"{", (b"authorization", b"Bearer %d" % each))).status for each in range(50)} == {401}
    assert guarded.bills == []
    assert guarded.app.calls == 0
