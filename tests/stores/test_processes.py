"""Several processes over one Redis never let more through than the limit."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from secrets import token_hex
from typing import Any

import pytest

from guardrail_mw.stores.base import Bill, Entry, Gcra, Lease
from guardrail_mw.stores.redis.store import RedisStore

pytestmark = pytest.mark.anyio

PROCESSES = 8
WORKER = """
import asyncio, json, sys
from collections import Counter
from secrets import token_hex

from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import Bill, Entry, Gcra, Window
from guardrail_mw.stores.redis.store import RedisStore

url, hits, limits = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
DAY = 86_400_000_000
OWN = Gcra("g", 1, 1, DAY, limits["gcra"], shadow=True), Window("w", 1, limits["window"], 20 * DAY, shadow=True)
ALL = Gcra("g", 1, 1, DAY, limits["all"]), Window("w", 1, limits["shared"], 20 * DAY, shadow=True)
ENTRIES = Entry("a:1", OWN), Entry("e", ALL)
NAMES = ("gcra", "window", "all", "shared")

async def worker(store, left, told):
    for _ in left:
        try:
            receipt = await store.charge(Bill(token_hex(12), ENTRIES, "a:1"))
        except StoreError:
            told["failed"] += 1
            continue
        told[receipt.code] += 1
        if receipt.code == "admitted":
            told.update(name for name, reading in zip(NAMES, receipt.readings) if reading.ok)

async def main():
    store, told = RedisStore(url, deadline=5_000_000), Counter()
    left = iter(range(hits))
    await asyncio.gather(*(worker(store, left, told) for _ in range(64)))
    await store.close()
    print(json.dumps(told))

asyncio.run(main())
"""
"""A shadow limit that refuses stays uncharged and lets the others charge, so four limits are counted at once."""


async def _run(url: str, hits: int, limits: dict[str, int]) -> dict[str, int]:
    """One process; what its callers were told."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, url, str(hits), json.dumps(limits), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    told: dict[str, int] = json.loads(out)
    return told


async def _never_more(server: Any, hits: int) -> None:
    limits = {"gcra": hits // 16, "window": hits // 10, "shared": hits // 5, "all": hits // 4}
    told = await asyncio.gather(*(_run(server.url, hits // PROCESSES, limits) for _ in range(PROCESSES)))
    total = {key: sum(each.get(key, 0) for each in told) for key in ("admitted", "denied", "failed", *limits)}
    assert total == {"admitted": hits // 4, "denied": hits - hits // 4, "failed": 0, **limits}
    assert min(each.get("admitted", 0) for each in told) > 0, "they ran side by side"


async def test_eight_processes_forty_thousand_hits(guardrail_start: Callable[..., Any]) -> None:
    await _never_more(guardrail_start("redis"), 40_000)


@pytest.mark.slow
async def test_eight_processes_a_million_hits(guardrail_start: Callable[..., Any]) -> None:
    await _never_more(guardrail_start("redis"), 1_000_000)


@pytest.mark.parametrize("kind", ["redis", "valkey", "fakeredis", "cluster"])
async def test_two_hundred_takes_of_ten_admit_ten(kind: str, request: pytest.FixtureRequest, guardrail_prefix: str) -> None:
    # One home is one slot: exactly 10, in a cluster too.
    server = request.getfixturevalue(f"guardrail_{kind}")
    store = RedisStore(server.url, deadline=2_000_000, prefix=guardrail_prefix)
    entries = (Entry("a:1", (Gcra("f", 1, 1, 86_400_000_000, 10),)),)
    try:
        receipts = await asyncio.gather(*(store.charge(Bill(token_hex(12), entries, "a:1")) for _ in range(200)))
    finally:
        await store.close()
    codes = [receipt.code for receipt in receipts]
    assert (codes.count("admitted"), codes.count("denied")) == (10, 190)


async def test_two_hundred_takes_over_three_slots_admit_at_most_ten(guardrail_cluster: Any, guardrail_prefix: str) -> None:
    store = RedisStore(guardrail_cluster.url, deadline=2_000_000, prefix=guardrail_prefix)
    step = Gcra("f", 1, 1, 86_400_000_000, 10)
    entries = (Entry("a:1", (step, Lease("l", 200))), Entry("n:2", (step,)), Entry("e", (step,)))
    try:
        receipts = await asyncio.gather(*(store.charge(Bill(token_hex(12), entries, "a:1")) for _ in range(200)))
        await store.drain()
        peeked = await store.peek(Bill(token_hex(12), entries, "a:1"))
    finally:
        await store.close()
    admitted = [receipt for receipt in receipts if receipt.code == "admitted"]
    assert len(admitted) <= 10
    assert {receipt.code for receipt in receipts} <= {"admitted", "denied"}
    assert peeked.readings[1].remaining == 200 - len(admitted), "what one slot refused, the others gave back"
