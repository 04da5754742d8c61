"""Ghost charges: what the store has charged is what callers were told, whatever stalls and whoever leaves.

The bucket refills by 2 a day, so that what it lacks is what was charged; beside it the same is counted in a window. The
bucket begins far from full: a fuller one may take back less than was taken, by what time could have given back as well (see
`algorithms.gcra.refund`). A stalled server is a frozen one, for 1 to 40 ms, again and again; deadlines are 1 to 25 ms; a
third of the callers leaves, after a number of turns of the loop, after a time, or in the very turn in which the answer came.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from secrets import token_hex
from threading import Event, Thread
from typing import Any

import pytest

from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import Bill, Entry, Gcra, Lease, Receipt, Settlement, Window
from guardrail_mw.stores.redis.store import RedisStore
from guardrail_mw.testing.processes import HOST
from guardrail_mw.testing.proxy import Proxy

pytestmark = pytest.mark.anyio

Start = Callable[..., Any]
BURST = 100_000
DAY = 86_400_000_000
TAKE = Gcra("f", 1, 1, DAY // 2, BURST)
COUNT = Window("w", 1, BURST, 30 * DAY)
BEFORE = 20_000
"""Charged to begin with."""
DEADLINES = (1_000, 2_000, 5_000, 10_000, 25_000)


class Seen(Counter[str]):
    """An observer."""

    def count(self, event: str, by: int = 1) -> None:
        self[event] += by


@contextmanager
def stalling(pids: list[int], random: Random) -> Iterator[None]:
    """Freeze and thaw the servers at random from a thread, as a machine that is too busy does."""
    over = Event()

    def run() -> None:
        while not over.wait(random.uniform(0.001, 0.02)):
            pid = random.choice(pids)
            os.kill(pid, signal.SIGSTOP)
            over.wait(random.choice((0.001, 0.003, 0.01, 0.04)))
            os.kill(pid, signal.SIGCONT)

    thread = Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Callers:
    """Ask, leave in every way there is, and keep account of what they were told."""

    def __init__(self, url: str, random: Random, *entries: Entry, deadlines: Sequence[int] = DEADLINES) -> None:
        self.seen = Seen()
        self.stores = [RedisStore(url, deadline=deadline, observer=self.seen) for deadline in deadlines]
        self.entries = entries
        self.answers: Counter[str] = Counter()
        self.kept: list[tuple[RedisStore, Receipt]] = []
        self.on_answer: Callable[[], None] = lambda: None
        self._random = random

    def bill(self) -> Bill:
        return Bill(token_hex(12), self.entries, self.entries[0].home)

    async def begin(self, url: str) -> None:
        store = RedisStore(url, deadline=1_000_000)
        steps = (TAKE._replace(cost=BEFORE), COUNT._replace(cost=BEFORE))
        first = Bill(token_hex(12), tuple(Entry(entry.home, steps) for entry in self.entries), self.entries[0].home)
        assert (await store.charge(first)).code == "admitted"
        await store.close()

    async def one(self) -> None:
        store = self._random.choice(self.stores)
        task = asyncio.ensure_future(store.charge(self.bill()))
        await self._perhaps_leave(task)
        try:
            receipt = await task
        except asyncio.CancelledError:
            self.answers["left"] += 1
        except StoreError:
            self.answers["failed"] += 1
            await asyncio.sleep(self._random.uniform(0.001, 0.01))  # else a stall would be over for all in one go
        else:
            self.answers[receipt.code] += 1
            self.on_answer()
            if receipt.open:
                self.kept.append((store, receipt))

    async def _perhaps_leave(self, task: asyncio.Future[Receipt]) -> None:
        way = self._random.randrange(9)
        if way == 0:
            for _ in range(self._random.randrange(12)):
                await asyncio.sleep(0)
            task.cancel()
        elif way == 1:
            await asyncio.wait([task], timeout=self._random.uniform(0, 0.02))
            task.cancel()
        elif way == 2:
            await leave_when_answered(task)

    async def crowd(self, total: int, at_once: int) -> None:
        """`total` requests, `at_once` at any time."""
        left = iter(range(total))

        async def worker() -> None:
            for _ in left:
                await self.one()

        await asyncio.gather(*(worker() for _ in range(at_once)))

    async def close(self) -> None:
        """Everything is given back that is to be."""
        for store in self.stores:
            await store.close()

    async def charged(self, url: str) -> list[int]:
        """What each bucket lacks."""
        store = RedisStore(url)
        readings = (await store.peek(self.bill())).readings
        await store.close()
        return [BURST - BEFORE - reading.remaining for reading in readings]

    @property
    def lost(self) -> int:
        """At most so many charges stand that nobody was told of: each was counted."""
        return self.seen["store.lost_charges"] + self.seen["store.lost_settlements"]


async def leave_when_answered(task: asyncio.Future[Receipt]) -> None:
    """Cancel when the store's answer is there and the caller is about to run: whoever looks every turn sees it first."""
    await asyncio.sleep(0)
    waiter = getattr(task, "_fut_waiter", None)
    while waiter is not None and not waiter.done():  # noqa: ASYNC110 - an event would wake us after the caller
        await asyncio.sleep(0)
    task.cancel()


async def account(server: Any, pids: list[int], total: int, *homes: str) -> None:
    random = Random(20260601)
    callers = Callers(server.url, random, *(Entry(home, (TAKE, COUNT)) for home in homes))
    await callers.begin(server.url)
    try:
        with stalling(pids, random):
            await callers.crowd(total, 64)
    finally:
        await callers.close()
    charged = await callers.charged(server.url)
    told = callers.answers["admitted"]
    assert callers.answers.total() == total
    assert callers.answers.keys() <= {"admitted", "left", "failed"}
    assert min(callers.answers[each] for each in ("admitted", "left", "failed")) >= total // 50
    assert callers.seen["store.given_back"] >= total // 200, "the callers that left did not leave in time"
    for each in charged:
        assert 0 <= each - told <= callers.lost


async def test_four_thousand_requests_of_a_server_that_stalls(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    await account(server, [server.pid], 4_000, "a:1")


async def test_two_thousand_requests_of_a_cluster_that_stalls(guardrail_start: Start) -> None:
    server = guardrail_start("cluster")
    await account(server, [node.pid for node in server.nodes], 2_000, "a:1", "n:2", "e")


@pytest.mark.slow
async def test_a_hundred_thousand_requests_of_a_server_that_stalls(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    await account(server, [server.pid], 100_000, "a:1")


@pytest.mark.parametrize("turns", range(12))
async def test_callers_that_leave_at_every_await_point(guardrail_redis: Any, guardrail_prefix: str, turns: int) -> None:
    store = RedisStore(guardrail_redis.url, prefix=guardrail_prefix)
    bill = Bill(token_hex(12), (Entry("a:1", (COUNT, Lease("l", 9))),), "a:1")
    try:
        await store.peek(bill)  # connected
        told = 0
        for _ in range(50):
            task = asyncio.ensure_future(store.charge(bill._replace(id=token_hex(12))))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            try:
                store.settle([Settlement(await task, "settled")])
                told += 1
            except asyncio.CancelledError:
                continue
        await store.drain()
        readings = (await store.peek(bill)).readings
        assert (BURST - readings[0].remaining, readings[1].remaining) == (told, 9)
    finally:
        await store.close()


async def test_callers_that_leave_in_the_turn_of_the_answer(guardrail_redis: Any, guardrail_prefix: str) -> None:
    seen = Seen()
    store = RedisStore(guardrail_redis.url, prefix=guardrail_prefix, observer=seen)
    bill = Bill(token_hex(12), (Entry("a:1", (COUNT, Lease("l", 9))),), "a:1")
    try:
        await store.peek(bill)
        for _ in range(50):
            task = asyncio.ensure_future(store.charge(bill._replace(id=token_hex(12))))
            await leave_when_answered(task)
            with pytest.raises(asyncio.CancelledError):
                await task
        await store.drain()
        readings = (await store.peek(bill)).readings
        assert (BURST - readings[0].remaining, readings[1].remaining) == (0, 9)
        assert seen["store.given_back"] == 50
    finally:
        await store.close()


async def test_connections_that_break_leave_their_own_batches_charges(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    random = Random(7)
    async with Proxy(server.process.port) as proxy:
        proxy.delay = 0.001
        url = f"redis://{HOST}:{proxy.port}/0"
        callers = Callers(url, random, Entry("a:1", (TAKE, COUNT)), deadlines=(25_000, 1_000_000))
        await callers.begin(server.url)
        callers.on_answer = lambda: proxy.cut() if random.randrange(20) == 0 else None
        try:
            await callers.crowd(3_000, 64)
        finally:
            await callers.close()
    charged = await callers.charged(server.url)
    assert callers.seen["store.lost_charges"] >= 1
    for each in charged:
        assert 0 <= each - callers.answers["admitted"] <= callers.lost
    assert callers.answers["admitted"] >= 50
