"""Whoever invents keys fills neither memory nor Redis, moves nobody's counters, and is let off nothing."""

from __future__ import annotations

import asyncio
import faulthandler
import resource
from collections.abc import Iterable
from typing import Any

import pytest

from guardrail_mw.engine import planning
from guardrail_mw.identity.resolver import REMEMBERED
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.stores.redis import RedisStore
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.servers import Server

from .kit import CHAT, KEY, SECRETS, Guarded, Keyring, key, policy

pytestmark = pytest.mark.anyio

LIMITS = (
    {"name": "requests", "rate": "100/minute"},
    {"name": "strangers", "per": ["network"], "when": {"authenticated": False}, "rate": "20/minute"},
)
DAILY = {"name": "requests", "rate": "100/day"}
"""What one request takes is a quarter of an hour in coming back: each counter of an invented key's would be seen to stay."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "BREW", "X" * 5000)


async def flood(guarded: Guarded, keys: range, methods: tuple[str, ...] = ("POST",)) -> dict[int, int]:
    statuses: dict[int, int] = {}
    for number in keys:
        for method in methods:
            answer = await guarded.get(CHAT, key(number), method=method, client=("203.0.113.66", 1))
            statuses[answer.status] = statuses.get(answer.status, 0) + 1
    return statuses


def tariffs(guarded: Guarded) -> int:
    """Kept with subjects: what a flood could pile up."""
    known = guarded.guardrail._resolver._known
    subjects = [*known._new.values(), *known._old.values()]
    return sum(len(each.cache) if each.cache is not None else each.memo is not None for each in subjects)


async def test_invented_keys_create_nothing_and_their_network_pays() -> None:
    guarded = Guarded(Keyring(), policy(*LIMITS, trust="app"))
    assert (await guarded.post(CHAT, {})).status == 200  # proves the victim's key
    before = await guarded.left(KEY)
    assert before == {"requests": 100}
    await guarded.post(CHAT, {})
    assert await flood(guarded, range(2000)) == {401: 20, 429: 1980}
    assert await guarded.left(KEY) == {"requests": 99}
    assert isinstance(guarded.store, MemoryStore)
    assert guarded.store.subjects() == 3  # the victim, its network (paid before the proof), the flood's network
    assert len(guarded.store._standings) == 1


async def test_what_is_kept_for_invented_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two generations of 50 subjects were the guard alone: at 64 plans each they would be 6,400."""
    monkeypatch.setattr(planning, "_KEPT_IN_ALL", 300)
    guarded = Guarded(Keyring(), policy(*LIMITS, trust="app"))
    await flood(guarded, range(200), METHODS)
    assert tariffs(guarded) <= 301
    engine = guarded.guardrail.engine
    assert len(engine.router._known) == 8  # seven methods that everybody knows, and all others together
    assert len(engine.planner._plans) <= 8


async def test_a_flood_of_paths_is_not_remembered() -> None:
    guarded = Guarded(Keyring(), policy(*LIMITS, trust="app"))
    for number in range(5000):
        await guarded.get(f"/v1/{number}", KEY)
    for number in range(50):
        await guarded.get(f"/v1/{number}" + "x" * 5000, KEY)
    known = guarded.guardrail.engine.router._known
    assert len(known) <= 2048
    assert max(len(path) for path, _ in known) <= 2048
    assert tariffs(guarded) <= 64


def resident() -> int:
    """Bytes of this process's memory that it had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def swiftly(guarded: Guarded, keys: Iterable[int]) -> None:
    """Present each key once, at no more cost to the client than it takes."""

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        pass

    middleware = guarded.middleware
    for number in keys:
        scope = {"type": "http", "method": "POST", "path": CHAT, "headers": [key(number)], "client": ("203.0.113.66", 1)}
        await middleware(scope, receive, send)


async def together(guarded: Guarded, keys: range) -> None:
    """As `swiftly`, 64 at once."""
    coming = iter(keys)
    await asyncio.gather(*[swiftly(guarded, coming) for _ in range(64)])


@pytest.mark.slow
async def test_a_million_invented_keys() -> None:
    """What 200,000 keys took is all that a million take, and the victim's figures stand."""
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    guarded = Guarded(Keyring(), policy(*LIMITS, trust="app"), store=store, clock=clock)
    await guarded.post(CHAT, {})
    await guarded.post(CHAT, {})
    await swiftly(guarded, range(200_000))
    before = resident()
    await swiftly(guarded, range(200_000, 1_000_000))
    assert resident() - before < 50_000_000
    assert tariffs(guarded) <= planning._KEPT_IN_ALL + 1
    assert len(guarded.guardrail._resolver._known) <= 2 * REMEMBERED
    assert store.subjects() <= 3
    assert len(store._standings) == 1
    assert await guarded.left(KEY) == {"requests": 99}


async def keys_after_flood(server: Server, prefix: str, count: int) -> tuple[set[str], dict[str, int]]:
    clock = FakeClock()
    store = RedisStore(server.url, deadline=5_000_000, prefix=prefix, clock=clock)
    guarded = Guarded(Keyring(), policy(*LIMITS, trust="app"), store=store, clock=clock, environ=SECRETS)
    try:
        await guarded.post(CHAT, {})
        await guarded.guardrail.drain()
        await guarded.post(CHAT, {})
        await flood(guarded, range(count))
        await guarded.guardrail.drain()
        left = await guarded.left(KEY)
    finally:
        await guarded.guardrail.close()
    found = {name.decode().removeprefix(prefix) for name in server.client().scan_iter(match=prefix + "*", count=1000)}
    return found, left


async def test_redis_keeps_no_key_of_invented_ones(guardrail_redis: Server, guardrail_prefix: str) -> None:
    found, left = await keys_after_flood(guardrail_redis, guardrail_prefix, 500)
    assert left == {"requests": 99}
    assert len([name for name in found if "{a:" in name]) == 2, found  # the victim's counters and standing
    assert len(found) <= 4, found


@pytest.mark.slow
async def test_a_million_invented_keys_on_redis(guardrail_redis: Server, guardrail_prefix: str) -> None:
    """The server holds what it held before, the process what the first 200,000 took, and the victim's figures stand.

    64 at once, which the store sends together: one after the other they would take three times as long.
    """
    faulthandler.dump_traceback_later(1800, exit=True, file=2)  # three minutes; on a busy machine many more
    clock = FakeClock()
    server = guardrail_redis.client()
    store = RedisStore(guardrail_redis.url, deadline=60_000_000, prefix=guardrail_prefix, clock=clock)
    guarded = Guarded(Keyring(), policy(DAILY, trust="app"), store=store, clock=clock, environ=SECRETS)
    held: list[int] = []
    process: list[int] = []
    try:
        for _ in range(2):
            await guarded.post(CHAT, {})
            await guarded.guardrail.drain()
        before = int(server.info("memory")["used_memory"])
        for number in range(10):  # looked at between: what expires meanwhile was held, too
            await together(guarded, range(number * 100_000, (number + 1) * 100_000))
            held.append(int(server.info("memory")["used_memory"]) - before)
            process.append(resident())
            assert held[-1] < 64_000_000, held
        await guarded.guardrail.drain()
        assert guarded.guardrail.counts.read()["engine.refused"] == 999_900  # their network may ask 100 times
        assert await guarded.left(KEY) == {"requests": 99}
    finally:
        await guarded.guardrail.close()
    assert process[-1] - process[1] < 50_000_000, process
    assert tariffs(guarded) <= planning._KEPT_IN_ALL + 1
    assert len(guarded.guardrail._resolver._known) <= 2 * REMEMBERED
    found = set(server.scan_iter(match=guardrail_prefix + "*", count=1000))
    assert len(found) <= 4, found
