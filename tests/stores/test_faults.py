"""Real servers that fail, in each `on_error` mode: a decision by the deadline, in the mode, and back within a second.

Who decided is told apart: `store`, this process (`local`), or the caller, who got a StoreError (`allow`, `deny`). A decision
may take the deadline, 25 ms, and what this machine adds: 20 ms and three times the most that a timer of this loop was late
meanwhile; the second until the store is back, ten times that. Counts are compared with the store's own: the bucket refills by
1 a day.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from secrets import token_hex
from time import monotonic
from typing import Any

import pytest

from guardrail_mw.clock import SystemClock
from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import Bill, Change, Count, Distinct, Entry, Gcra, Lease, Receipt, Settlement, Sketch, Step
from guardrail_mw.stores.redis.codec import key_slot
from guardrail_mw.stores.redis.store import RedisStore
from guardrail_mw.stores.resilient import Resilient
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.processes import HOST
from guardrail_mw.testing.proxy import Proxy

pytestmark = pytest.mark.anyio

Start = Callable[..., Any]
DEADLINE = 25_000
PATIENT = 500_000
"""A deadline, in µs, for what is not about time."""
BURST = 10_000
DAY = 86_400_000_000
TAKE = Gcra("f", 1, 1, DAY, BURST)
SECOND = 1_000_000


@pytest.fixture(params=["allow", "deny", "local"])
def mode(request: pytest.FixtureRequest) -> str:
    """Of `on_error`."""
    return str(request.param)


class Watch(Counter[str]):
    """An observer that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[tuple[str, asyncio.Event]] = []

    def count(self, event: str, by: int = 1) -> None:
        self[event] += by
        for name, waiter in self._waiting:
            if name == event:
                waiter.set()

    def next(self, event: str) -> asyncio.Event:
        """Set when it happens again."""
        waiter = asyncio.Event()
        self._waiting.append((event, waiter))
        return waiter


class Lateness:
    """How late this loop's timers are: what a busy machine adds to every wait."""

    def __init__(self) -> None:
        self.most = 0.0
        self._loop = asyncio.get_running_loop()
        self._arm()

    def _arm(self) -> None:
        self._due = self._loop.time() + 0.002
        self._handle = self._loop.call_at(self._due, self._measure)

    def _measure(self) -> None:
        self.most = max(self.most, self._loop.time() - self._due)
        self._arm()

    def stop(self) -> None:
        self._handle.cancel()


class Guarded:
    """A store that is asked, and who decided."""

    def __init__(self, url: str, mode: str, deadline: int, clock: FakeClock | None) -> None:
        self.mode = mode
        self.seen = Watch()
        self.lateness = Lateness()
        self.redis = RedisStore(url, deadline=deadline, observer=self.seen, clock=clock)
        self.store = Resilient(
            self.redis,
            on_error=mode,  # type: ignore[arg-type]
            processes=2,
            clock=SystemClock(),
            observer=self.seen,
        )
        self.told = 0
        self.slowest = 0.0

    async def charge(self, *steps: Step, account: str = "a:1") -> Receipt:
        bill = Bill(token_hex(12), (Entry(account, steps or (TAKE,)),), account, account, proved=True)
        began = monotonic()
        try:
            receipt = await self.store.charge(bill)
        finally:
            self.slowest = max(self.slowest, monotonic() - began)
        assert receipt.code == "admitted"
        return receipt

    async def decide(self) -> str:
        """Who decided one more request."""
        try:
            receipt = await self.charge()
        except StoreError:
            return self.mode
        if receipt.local:
            return "local"
        self.told += 1
        return "store"

    async def until(self, event: asyncio.Event, *, at_once: int = 4) -> list[str]:
        """Who decided, four requests every 5 ms, until something happened; ten seconds at most."""
        answers: list[str] = []
        async with asyncio.timeout(10):
            while not event.is_set():
                answers += await asyncio.gather(*(self.decide() for _ in range(at_once)))
                await asyncio.sleep(0.005)
        return answers

    async def charged(self) -> int:
        """What the store has charged."""
        await self.store.drain()
        receipt = await self.redis.peek(Bill(token_hex(12), (Entry("a:1", (TAKE,)),), "a:1", "a:1"))
        return BURST - receipt.readings[0].remaining

    async def works(self) -> None:
        """The store decides; a busy machine may need more than one try."""
        async with asyncio.timeout(10):
            while await self.decide() != "store":
                await self.until_available()  # where it opened again: else this asked nobody, and let nothing run

    async def breaks(self) -> None:
        """The store has just broken: every decision is the mode's, before and after the breaker opens."""
        answers = await self.until(self.seen.next("store.opened"))
        answers += [await self.decide() for _ in range(20)]
        assert set(answers) == {self.mode}
        assert self.seen[f"on_error.{self.mode}"] >= len(answers)

    async def comes_back(self) -> None:
        """The store works again: within a second it decides again."""
        began = monotonic()
        await self.until_available()
        await self.works()
        assert monotonic() - began <= 1 + 10 * self.lateness.most

    async def until_available(self) -> None:
        """Wait for the breaker."""
        if not self.store.available:
            async with asyncio.timeout(10):
                await self.seen.next("store.closed").wait()


@asynccontextmanager
async def guarded(url: str, mode: str, deadline: int = DEADLINE, clock: FakeClock | None = None) -> AsyncIterator[Guarded]:
    made = Guarded(url, mode, deadline, clock)
    try:
        yield made
    finally:
        made.lateness.stop()
        await made.store.close()
    assert made.slowest <= deadline / 1e6 + 0.02 + 3 * made.lateness.most
    assert not [task for task in asyncio.all_tasks() if "guardrail" in task.get_name()]


async def test_absent_at_start(guardrail_start: Start, mode: str) -> None:
    server = guardrail_start("redis")
    server.kill()
    async with guarded(server.url, mode) as g:
        await g.breaks()
        server.restart()
        await g.comes_back()
        assert await g.charged() == g.told


async def test_killed(guardrail_start: Start, mode: str) -> None:
    server = guardrail_start("redis")
    async with guarded(server.url, mode) as g:
        await g.works()
        server.kill()
        await g.breaks()
        server.restart()
        g.told = 0  # it came back empty
        await g.comes_back()
        assert await g.charged() == g.told


async def test_frozen(guardrail_start: Start, mode: str) -> None:
    server = guardrail_start("redis")
    async with guarded(server.url, mode) as g:
        await g.works()
        server.freeze()
        try:
            await g.breaks()
        finally:
            server.thaw()
        await g.comes_back()
        assert await g.charged() == g.told, "what was sent to the frozen server was late, or was given back"


async def test_frozen_for_longer_than_a_batch_is_read_on(guardrail_start: Start, mode: str) -> None:
    server = guardrail_start("redis")
    async with guarded(server.url, mode) as g:
        await g.works()
        lost = g.seen.next("store.lost_connections")
        server.freeze()
        try:
            await g.breaks()
            assert set(await g.until(lost)) <= {mode}
        finally:
            server.thaw()
        await g.comes_back()
        assert g.seen["store.lost_charges"] >= 1
        assert await g.charged() == g.told, "what the thawed server found on the broken connections came too late to charge"


async def test_slow(guardrail_start: Start, mode: str) -> None:
    server = guardrail_start("redis")
    async with Proxy(server.process.port) as proxy, guarded(f"redis://{HOST}:{proxy.port}/0", mode) as g:
        await g.works()
        proxy.delay = 0.04  # the deadline is 25 ms
        await g.breaks()
        assert not g.store.available, "answers that come too late for a request do not close the breaker"
        proxy.delay = 0.0
        await g.comes_back()
        assert await g.charged() == g.told, "what was admitted too late was given back"


async def test_flapping(guardrail_start: Start, mode: str) -> None:
    server = guardrail_start("redis")
    async with guarded(server.url, mode) as g:
        await g.works()
        for _ in range(2):
            server.freeze()
            try:
                await g.breaks()
            finally:
                server.thaw()
            await g.comes_back()
        # On a busy machine a store that was just thawed may be late once more.
        assert g.seen["store.opened"] == g.seen["store.closed"] >= 2
        answers = await g.until(_flap(server, 8, 0.03))
        assert set(answers) <= {mode, "store"}
        assert len([task for task in asyncio.all_tasks() if task.get_name() == "guardrail store probe"]) <= 1
        await g.comes_back()
        assert g.seen["store.opened"] == g.seen["store.closed"]
        assert await g.charged() == g.told


def _flap(server: Any, times: int, seconds: float) -> asyncio.Event:
    """Freeze and thaw `times`, for `seconds` each; what is returned is set when that is over."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for turn in range(times):
        loop.call_later(2 * turn * seconds, server.freeze)
        loop.call_later((2 * turn + 1) * seconds, server.thaw)
    loop.call_later(2 * times * seconds, over.set)
    return over


async def test_connections_that_break(guardrail_start: Start, mode: str) -> None:
    server = guardrail_start("redis")
    async with Proxy(server.process.port) as proxy, guarded(f"redis://{HOST}:{proxy.port}/0", mode) as g:
        await g.works()
        for _ in range(10):
            under_way = [asyncio.create_task(g.decide()) for _ in range(20)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            proxy.cut()
            assert set(await asyncio.gather(*under_way)) <= {mode, "store"}
        await g.comes_back()
        assert 0 <= await g.charged() - g.told <= g.seen["store.lost_charges"]


async def test_emptied(guardrail_start: Start, mode: str) -> None:
    server = guardrail_start("redis")
    async with guarded(server.url, mode, PATIENT) as g:
        receipt = await g.charge(TAKE._replace(field="g", cost=50, reserved=True), Lease("l", 4))
        abandoned = await g.charge(TAKE._replace(field="g", cost=50, reserved=True), Lease("l", 4))
        server.flush()
        g.told = 0
        assert [await g.decide() for _ in range(5)] == ["store"] * 5
        (receipt,) = await g.store.renew([receipt])
        held = await g.charge(Lease("l", 4))
        assert held.readings[0].remaining == 2, "the lease was put back"
        g.store.settle([Settlement(receipt, "settled", (10, None)), Settlement(abandoned, "settled", (10, None))])
        assert await g.charged() == g.told == 5
        after = await g.charge(TAKE._replace(field="g"), Lease("l", 4))
        assert after.readings[0].remaining == BURST - 1, "what an emptied store forgot is not given back"
        assert after.readings[1].remaining == 2


async def test_scripts_flushed(guardrail_start: Start, mode: str) -> None:
    server = guardrail_start("redis")
    async with guarded(server.url, mode, PATIENT) as g:
        for _ in range(5):
            answers = await asyncio.gather(*(g.decide() for _ in range(40)))
            server.client().script_flush()
            answers += await asyncio.gather(*(g.decide() for _ in range(40)))
            assert set(answers) == {"store"}
        assert await g.charged() == g.told == 400
        assert g.seen["store.noscript"] >= 5


def _min_replicas(server: Any, *, broken: bool) -> None:
    server.client().config_set("min-replicas-to-write", int(broken))


def _replica(server: Any, *, broken: bool) -> None:
    server.client().replicaof(*(HOST, server.process.port) if broken else ("NO", "ONE"))


def _full(server: Any, *, broken: bool) -> None:
    server.client().config_set("maxmemory", int(broken))


@pytest.mark.parametrize("fault", [_min_replicas, _replica, _full])
async def test_a_store_that_answers_but_cannot_write(guardrail_start: Start, mode: str, fault: Callable[..., None]) -> None:
    server = guardrail_start("redis")
    async with guarded(server.url, mode) as g:
        await g.works()
        fault(server, broken=True)
        await g.breaks()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.35):  # probes at least three times
                await g.seen.next("store.closed").wait()
        fault(server, broken=False)
        await g.comes_back()
        assert await g.charged() == g.told


async def test_a_full_store_still_settles(guardrail_start: Start, mode: str) -> None:
    server = guardrail_start("redis")
    async with guarded(server.url, mode, PATIENT) as g:
        reserved = TAKE._replace(cost=100, reserved=True)
        under, over, cancelled = [await g.charge(reserved, Lease("l", 4)) for _ in range(3)]
        _full(server, broken=True)
        await g.breaks()
        learned = (Change("set", "tier", "pro"),)
        g.store.settle(
            [
                Settlement(under, "settled", (40, None), learned),
                Settlement(over, "settled", (130, None)),
                Settlement(cancelled, "cancelled"),
            ]
        )
        await g.redis.drain()
        assert server.client().zcard("gr:{a:1}:r") == 0
        assert server.client().zcard("gr:{a:1}:l:l") == 0
        assert server.client().hget("gr:{a:1}:s", "tier") == b"pro"
        _full(server, broken=False)
        assert await g.charged() == 40 + 130
        assert g.seen["store.lost_settlements"] == 0


async def test_a_full_store_counts_nothing_of_what_it_refuses(guardrail_start: Start) -> None:
    """The first write of a refused bill is one that a full server refuses, so no count, value or sketch is written in part."""
    server = guardrail_start("redis")
    store = RedisStore(server.url, deadline=PATIENT)
    watched = (Count("c", "attempts", SECOND * 3600), Distinct("d", "1" * 16, SECOND), Sketch("s", "1" * 16, SECOND))
    spent = (Gcra("spent", 2, 1, SECOND, 1),)
    for steps in (spent + watched, (*spent, watched[1]), (*spent, watched[2]), watched):
        _full(server, broken=True)
        with pytest.raises(StoreError):
            await store.charge(Bill("0" * 24, (Entry("a:1", steps),), "a:1"))
        assert server.client().dbsize() == 0
        _full(server, broken=False)
    await store.close()


async def test_decisions_by_this_process_alone_are_its_share(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    async with guarded(server.url, "local") as g:
        step = Gcra("ten", 1, 1, DAY, 10)  # among two processes: 5
        server.freeze()
        try:
            bills = [Bill(token_hex(12), (Entry("a:2", (step,)),), "a:2") for _ in range(8)]
            codes = [(await g.store.charge(bill)).code for bill in bills]
            assert codes == ["admitted"] * 5 + ["denied"] * 3
        finally:
            server.thaw()


def _migrate(server: Any, slot: int) -> list[Callable[[], object]]:
    """The steps that move a slot to the next node, each to be taken while requests go on."""
    nodes = server.nodes
    ids = [node.ask("CLUSTER", "MYID").split("\r\n")[1] for node in nodes]
    source = next(at for at, node in enumerate(nodes) if f"-{slot}" in _ranges(node, slot))
    target = (source + 1) % len(nodes)
    keys = nodes[source].ask("CLUSTER", "GETKEYSINSLOT", str(slot), "100").split("\r\n")[2::2]
    assert len([key for key in keys if key]) >= 2, "a script with an absent key needs a second one"
    move = [
        lambda key=key: nodes[source].ask("MIGRATE", HOST, str(nodes[target].port), key, "0", "1000") for key in keys if key
    ]
    return [
        lambda: nodes[target].ask("CLUSTER", "SETSLOT", str(slot), "IMPORTING", ids[source]),
        lambda: nodes[source].ask("CLUSTER", "SETSLOT", str(slot), "MIGRATING", ids[target]),
        *move,
        *(
            lambda node=node: node.ask("CLUSTER", "SETSLOT", str(slot), "NODE", ids[target])
            for node in (nodes[target], nodes[source], nodes[(source + 2) % 3])
        ),
    ]


def _ranges(node: Any, slot: int) -> str:
    """`-slot` where the node itself serves it."""
    line = next(line for line in node.ask("CLUSTER", "NODES").split("\n") if "myself" in line)
    for part in line.split()[8:]:
        first, _, last = part.partition("-")
        if first.isdigit() and int(first) <= slot <= int(last or first):
            return f"-{slot}"
    return ""


async def test_a_slot_moves_under_load(guardrail_start: Start, mode: str) -> None:
    server = guardrail_start("cluster")
    async with guarded(server.url, mode) as g:
        await g.works()
        answers: list[str] = []
        for step in _migrate(server, key_slot("a:1")):
            load = [asyncio.create_task(g.decide()) for _ in range(20)]
            reply = await asyncio.to_thread(step)
            assert str(reply).startswith("+OK")
            answers += await asyncio.gather(*load)
            await g.until_available()
            answers += [await g.decide() for _ in range(5)]
        await g.comes_back()
        assert set(answers) <= {"store", mode}
        assert await g.charged() == g.told, "what met MOVED, ASK or TRYAGAIN was charged once or not at all"
        for event in ("store.ask", "store.tryagain", "store.moved", f"on_error.{mode}"):
            assert g.seen[event] >= 1, event


def _slow(mode: str) -> Any:
    return pytest.param(mode, marks=pytest.mark.slow)


def _promoted(server: Any, old: int) -> None:
    """Return when the Sentinels have made another server master, and it takes writes."""
    server.sentinels[0].wait_until(lambda: server.master.port != old, "promote the replica")
    server.master.wait_until(lambda: "role:master" in server.master.ask("INFO", "replication"), "become master")


@pytest.mark.parametrize("mode", [_slow("allow"), _slow("deny"), "local"])
async def test_failed_over(guardrail_start: Start, mode: str) -> None:
    server = guardrail_start("sentinel")
    async with guarded(server.url, mode) as g:
        await g.works()
        old = server.master.port
        server.kill()
        await g.breaks()
        await asyncio.to_thread(_promoted, server, old)
        await g.comes_back()


async def _take(g: Guarded, step: Gcra) -> tuple[str, int]:
    receipt = await g.store.charge(Bill(token_hex(12), (Entry("a:1", (step,)),), "a:1"))
    return receipt.code, receipt.readings[0].wait


async def test_the_stores_clock_is_set_back(guardrail_start: Start, mode: str) -> None:
    server = guardrail_start("redis")
    clock = FakeClock()
    step = Gcra("f", 1, 1, SECOND, 2)
    async with guarded(server.url, mode, PATIENT, clock) as g:
        assert [await _take(g, step) for _ in range(3)] == [("admitted", 0), ("admitted", 0), ("denied", SECOND)]
        clock.jump(-3600)
        assert await _take(g, step) == ("denied", SECOND), "no refill"
        clock.advance(1)
        assert [await _take(g, step) for _ in range(2)] == [("admitted", 0), ("denied", SECOND)], "no lock-out"


async def test_the_stores_clock_is_set_forward_and_back(guardrail_start: Start, mode: str) -> None:
    server = guardrail_start("redis")
    clock = FakeClock()
    step = Gcra("f", 1, 1, SECOND, 2)
    async with guarded(server.url, mode, PATIENT, clock) as g:
        assert [await _take(g, step) for _ in range(3)] == [("admitted", 0), ("admitted", 0), ("denied", SECOND)]
        clock.jump(3600)  # as far as anybody can tell an hour has passed: a full bucket, no more
        assert [await _take(g, step) for _ in range(3)] == [("admitted", 0), ("admitted", 0), ("denied", SECOND)]
        clock.jump(-3600)
        assert await _take(g, step) == ("denied", SECOND), "no refill"
        clock.advance(1)
        assert [await _take(g, step) for _ in range(2)] == [("admitted", 0), ("denied", SECOND)], "no lock-out"
