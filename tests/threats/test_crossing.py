"""No reply reaches another request, whoever leaves, whenever: each caller is told the figures of its own account."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.stores.redis import RedisStore
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.servers import Server

from .kit import CHAT, SECRETS, Answer, Guarded, key, policy

pytestmark = pytest.mark.anyio

ACCOUNTS = 40
"""Account n has a budget of n + 1 thousands, by its tier: so figures tell whose they are."""


def document() -> dict[str, Any]:
    limits: list[dict[str, Any]] = [
        {"name": f"t{n}", "when": {"tier": f"t{n}"}, "per": ["account"], "budget": f"{(n + 1) * 1_000_000}/day"}
        for n in range(ACCOUNTS)
    ]
    limits.append({"name": "slots", "per": ["account"], "concurrency": 1_000_000})
    return {
        **policy(*limits),
        "identity": {
            "trusted_proxies": ["10.0.0.0/8"],
            "sources": [{"use": "header", "with": {"account": "x-user", "tier": "x-tier"}}],
        },
    }


async def app(scope: Any, _receive: Any, send: Any) -> None:
    user = dict(scope["headers"])[b"x-user"]
    assert scope["state"]["guardrail"].readings[0].name == "t" + user.decode()
    await asyncio.sleep(0)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-user", user)]})
    await send({"type": "http.response.body", "body": b""})


async def storm(guarded: Guarded, count: int, seed: int) -> dict[int, int]:
    """Requests of all accounts at once, a third of them cancelled at a random moment; how many of each were answered."""
    chance = random.Random(seed)
    answered = dict.fromkeys(range(ACCOUNTS), 0)
    gate = asyncio.Semaphore(200)

    async def one(number: int) -> None:
        async with gate:
            named = ((b"x-user", b"%d" % number), (b"x-tier", b"t%d" % number))
            task = asyncio.create_task(guarded.post(CHAT, {}, *named, client=("10.0.0.1", 1)))
            if chance.random() < 1 / 3:
                for _ in range(chance.randrange(12)):
                    await asyncio.sleep(0)
                task.cancel()
            try:
                answer: Answer = await task
            except asyncio.CancelledError:
                return
            assert answer.status == 200, answer
            assert answer.field("x-user") == str(number)
            told = answer.field("ratelimit") or ""
            assert told.startswith(f'"t{number}";r='), (number, told)
            left = int(told.split("r=")[1].split(";")[0].split(",")[0])
            assert (number + 1) * 1_000_000 - count <= left < (number + 1) * 1_000_000, (number, told)
            answered[number] += 1

    await asyncio.gather(*[one(chance.randrange(ACCOUNTS)) for _ in range(count)])
    return answered


async def check(guarded: Guarded, answered: dict[int, int], count: int) -> None:
    await guarded.guardrail.drain()
    charged = 0
    for number, least in answered.items():
        named = ((b"x-user", b"%d" % number), (b"x-tier", b"t%d" % number))
        from ..asgi.kit import left  # noqa: TID252

        found = await left(guarded.guardrail, named, CHAT, peer="10.0.0.1")
        spent = (number + 1) * 1_000_000 - found[f"t{number}"]
        assert spent >= least
        assert found["slots"] == 1_000_000
        charged += spent
    assert sum(answered.values()) <= charged <= count


async def test_in_memory() -> None:
    clock = FakeClock()
    guarded = Guarded(app, document(), store=MemoryStore(clock=clock), clock=clock)
    await check(guarded, await storm(guarded, 3000, 1), 3000)


async def over_redis(server: Server, prefix: str, count: int) -> None:
    clock = FakeClock()
    store = RedisStore(server.url, deadline=5_000_000, prefix=prefix, clock=clock)
    guarded = Guarded(app, document(), store=store, clock=clock, environ=SECRETS)
    try:
        await check(guarded, await storm(guarded, count, 2), count)
    finally:
        await guarded.guardrail.close()


async def test_over_redis(guardrail_redis: Server, guardrail_prefix: str) -> None:
    await over_redis(guardrail_redis, guardrail_prefix, 3000)


@pytest.mark.slow
async def test_a_hundred_thousand_over_redis(guardrail_redis: Server, guardrail_prefix: str) -> None:
    await over_redis(guardrail_redis, guardrail_prefix, 100_000)


async def test_concurrent_strangers_are_told_of_themselves_only() -> None:
    """A 429 names the caller's limit, never another's figures."""
    clock = FakeClock()
    guarded = Guarded(
        app_of_nobody, policy({"name": "mine", "rate": "1/minute"}), store=MemoryStore(clock=clock), clock=clock
    )
    answers = await asyncio.gather(*[guarded.post(CHAT, {}, key(number % 50)) for number in range(100)])
    assert [answer.status for answer in answers] == [200] * 50 + [429] * 50
    assert len({answer.decision for answer in answers}) == 100


async def app_of_nobody(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
