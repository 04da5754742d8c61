"""Judgement over real servers: what one process learns, every other knows on the account's next request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from guardrail_mw.stores.base import Change
from guardrail_mw.stores.redis import RedisStore
from guardrail_mw.telemetry.event import validate
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.servers import Server

from ..asgi.kit import JSON, Guarded, Upstream, chat, policy  # noqa: TID252 - the kit of the pipeline's tests

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
SECRETS = {"GUARDRAIL_ID_KEY": "i" * 32, "GUARDRAIL_KEYS": "k" * 32}
DAY = 86_400
REQUESTS = {"name": "requests", "rate": "1000/minute"}
VELOCITY = [
    {"name": "attempts", "count": "attempts", "per": "account", "over": "10m"},
    {"name": "admitted", "count": "admitted", "per": "account", "over": "10m"},
    {"name": "networks", "distinct": "network", "per": "account", "over": "1h"},
]
RISK = {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 0, "full": 10}, "networks": {"from": 1, "full": 3}}}]}
DELAY = {"at": 25, "do": "delay", "with": {"seconds": 0.5}}
Guard = Callable[..., Guarded]


@pytest.fixture
async def guard(guardrail_server: Server, guardrail_prefix: str) -> AsyncIterator[Guard]:
    """Processes that share one store and one clock."""
    clock = FakeClock()
    guarded: list[Guarded] = []

    def make(*ladder: dict[str, Any], **friction: Any) -> Guarded:
        store = RedisStore(guardrail_server.url, deadline=10_000_000, prefix=guardrail_prefix, clock=clock)
        document = policy(REQUESTS, velocity=VELOCITY, risk=RISK, friction={"ladder": list(ladder), **friction})
        found = Guarded(Upstream(), document, store=store, clock=clock, environ=SECRETS)
        guarded.append(found)
        return found

    yield make
    for each in guarded:
        await each.guardrail.close()


def last(guarded: Guarded) -> dict[str, Any]:
    [event] = guarded.guardrail.recorder.latest(1)
    validate(event)
    return event


async def ask(guarded: Guarded, key: bytes = b"sk-one", network: int = 1) -> int:
    answer = await guarded.post(CHAT, chat(), (b"authorization", b"Bearer " + key), JSON, client=(f"203.0.113.{network}", 1))
    return answer.status


async def test_counts_are_those_of_all_processes(guard: Guard) -> None:
    one, other = guard(), guard()
    for _ in range(3):
        assert await ask(one) == 200
    assert await ask(other, network=2) == 200
    assert last(other)["velocity"] == {"attempts": [4, False], "admitted": [4, False], "networks": [2, False]}


async def test_a_rung_is_remembered_and_known_everywhere(guard: Guard) -> None:
    one, other = guard(DELAY), guard(DELAY)
    await ask(other)
    for _ in range(9):
        await ask(one)
    assert last(one)["rung"] == "delay"
    await one.guardrail.drain()
    one.clock.advance(1200)  # the counts are forgotten, the risk is not
    assert await ask(other) == 200
    assert (last(other)["risk"], last(other)["rung"]) == (10.0, "delay")
    assert last(other)["effective"] == pytest.approx(100 * 2 ** (-1200.5 / 1800), abs=0.01)  # the last one waited


async def test_a_refusal_by_risk_gives_back_what_was_charged(guard: Guard) -> None:
    guarded = guard({"at": 90, "do": "deny"})
    statuses = [await ask(guarded, network=number) for number in (1, 2, 3, 4)]
    assert statuses == [200, 200, 403, 403]
    await guarded.guardrail.drain()
    assert await ask(guarded, network=5) == 403
    assert last(guarded)["velocity"] == {"attempts": [5, False], "admitted": [5, False], "networks": [5, False]}
    assert last(guarded)["limits"][0]["remaining"] == 997  # two that went through, and this one before it was given back


async def test_what_an_operator_says_holds_on_the_next_request(guard: Guard) -> None:
    one, other = guard(DELAY), guard(DELAY)
    await ask(one)
    await ask(other)
    await one.store.remember(last(one)["account"], [Change("set", "override", "deny 0")])
    assert [await ask(other), await ask(one)] == [403, 403]


async def test_a_budget_of_established_accounts_is_shared(guard: Guard) -> None:
    """Two may newly come onto the rung in a day, whichever process meets them; those are on it, the third is not."""
    trim = {"at": 50, "do": "trim"}
    one, other = (guard(DELAY, trim, false_positives="2/day") for _ in range(2))
    keys = [b"sk-a", b"sk-b", b"sk-c"]
    for key in keys:
        await ask(one, key)
    one.clock.advance(40 * DAY)
    rungs = []
    for key, process in zip(keys, (one, other, one), strict=True):
        for _ in range(8):
            await ask(process, key)
        await process.guardrail.drain()
        rungs.append(last(process)["rung"])
    assert rungs == ["trim", "trim", None]
    assert last(one)["why"][0] == "budget"
    one.clock.advance(DAY)
    for _ in range(8):
        await ask(one, b"sk-c")
    assert last(one)["rung"] == "trim"
