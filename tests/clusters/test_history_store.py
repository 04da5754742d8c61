"""Evidence of the past, in the stores that ship."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from guardrail_mw.algorithms import edges
from guardrail_mw.clusters.history import Showing, backfill
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.stores.redis import RedisStore
from guardrail_mw.stores.resilient import Resilient
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.servers import Server

DAY = 86_400_000_000
CARD, DEVICE = 1 << 57 | 7, 6 << 57 | 7
ACCOUNT = "a:" + "A" * 22


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_times_are_kept(kind: str, guardrail_start: Callable[..., Server]) -> None:
    clock = FakeClock()
    store: Any = MemoryStore(clock=clock)
    if kind == "redis":
        store = RedisStore.from_url(
            guardrail_start("redis").url, deadline=10_000_000, max_subjects=10, clock=clock, observer=None
        )
    graph = Resilient(store, on_error="allow", processes=1, clock=clock)
    now, today = clock.now(), edges.day_of(clock.now())

    async def kept() -> bytes:
        found = [each.edges async for batch in graph.read(0) for each in batch]
        return found[0] if found else b""

    async def seen() -> list[tuple[int, int, int]]:
        return [(key, today - first // 24, edges.age(last, today)) for key, first, last in edges.unpack(await kept())]

    async def act() -> None:
        await graph.link(ACCOUNT, [CARD])
        past = [Showing(CARD, now - 60 * DAY, now - 30 * DAY), Showing(DEVICE, now - 50 * DAY, now - 40 * DAY)]
        assert await backfill(graph, ACCOUNT, past, await kept(), now) == 2
        assert await seen() == [(CARD, 60, 0), (DEVICE, 50, 40)]
        assert await backfill(graph, ACCOUNT, past, await kept(), now) == 0
        await graph.close()

    asyncio.run(act())
