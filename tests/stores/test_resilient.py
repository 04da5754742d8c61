"""A store that fails, and what is decided all the same. Nothing here waits for time: the clock and the pauses are ours."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import aclosing, asynccontextmanager
from threading import Event, Thread
from typing import Any

import pytest

from guardrail_mw.algorithms import edges
from guardrail_mw.errors import StoreError, StoreTimeout
from guardrail_mw.stores.base import (
    Activity,
    Bill,
    Change,
    Entry,
    Gcra,
    Graph,
    Held,
    Lease,
    Receipt,
    Record,
    Settlement,
    Store,
    Switches,
)
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.stores.resilient import Resilient
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.values import Standing

pytestmark = pytest.mark.anyio

SECOND = 1_000_000
TAKE = Gcra("f", 1, 1, SECOND, 8)
"""8, and 1 a second; a quarter of it: 2, and 1 in 4 s."""


class Shared(MemoryStore):
    """A shared store that can be broken."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock=clock)
        self.broken: Exception | None = None
        self.calls: Counter[str] = Counter()
        self.hanging = False
        self.settled: list[Settlement] = []
        self.closed = 0

    def _called(self, verb: str) -> None:
        self.calls[verb] += 1
        if self.broken is not None:
            raise self.broken

    async def charge(self, bill: Bill) -> Receipt:
        self._called("probe" if bill.payer.startswith("p:") else "charge")
        return await super().charge(bill)

    def settle(self, settlements: Sequence[Settlement]) -> None:
        self.settled += settlements
        super().settle(settlements)

    async def renew(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        self.calls["renew"] += len(receipts)
        return list(receipts) if self.broken else await super().renew(receipts)

    async def remember(self, account: str, changes: Sequence[Change]) -> int:
        self._called("remember")
        if self.hanging:
            await asyncio.get_running_loop().create_future()
        return await super().remember(account, changes)

    async def epoch(self, token: str) -> str:
        self._called("epoch")
        return await super().epoch(token)

    async def spend(self, token: str, ttl: int, epoch: str) -> bool:
        self._called("spend")
        return await super().spend(token, ttl, epoch)

    async def peek(self, bill: Bill) -> Receipt:
        self._called("peek")
        return await super().peek(bill)

    async def close(self) -> None:
        self.closed += 1


class Counts(Counter[str]):
    """An observer."""

    def count(self, event: str, by: int = 1) -> None:
        self[event] += by


class World:
    """A resilient store around a breakable one, with a clock and pauses that tests let pass."""

    def __init__(self, on_error: str = "local") -> None:
        self.clock = FakeClock()
        self.shared = Shared(self.clock)
        self.counts = Counts()
        self.pausing: list[asyncio.Future[None]] = []
        self.store = Resilient(
            self.shared,
            on_error=on_error,  # type: ignore[arg-type]
            processes=4,
            clock=self.clock,
            observer=self.counts,
            pause=self._pause,
        )
        self._bills = 0

    async def _pause(self, seconds: float) -> None:
        assert seconds == 0.1
        self.pausing.append(asyncio.get_running_loop().create_future())
        await self.pausing[-1]

    def bill(self, *steps: Gcra | Lease, account: str = "a:1", version: int = 0, seen: int = 0) -> Bill:
        self._bills += 1
        return Bill(f"{self._bills:024x}", (Entry(account, steps or (TAKE,)),), account, account, version, seen=seen)

    async def settle_down(self) -> None:
        """Let every task run until it waits for us."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def tick(self, times: int = 1) -> None:
        """Let 100 ms pass, for the probe too."""
        for _ in range(times):
            await self.settle_down()
            self.clock.advance(0.1)
            for pause in self.pausing:
                if not pause.done():
                    pause.set_result(None)
            self.pausing.clear()
            await self.settle_down()

    async def refused(self, error: Exception | None = None) -> None:
        """The store breaks, three requests meet it within 50 ms."""
        self.shared.broken = error or StoreTimeout("late")
        for _ in range(3):
            try:
                await self.store.charge(self.bill(account="a:victim"))
            except StoreError:
                assert self.store.on_error != "local"
            self.clock.advance(0.025)
        assert not self.store.available


@asynccontextmanager
async def world(on_error: str = "local") -> AsyncIterator[World]:
    made = World(on_error)
    try:
        yield made
    finally:
        made.shared.broken = None
        await made.store.close()
        assert not [task for task in asyncio.all_tasks() if "guardrail" in task.get_name()], "close() leaves no task"


async def test_it_is_a_store_with_switches() -> None:
    async with world() as w:
        assert isinstance(w.store, Store)
        assert isinstance(w.store, Switches)


async def test_a_store_that_works_is_asked_and_nothing_else_happens() -> None:
    async with world() as w:
        codes = [(await w.store.charge(w.bill())).code for _ in range(9)]
        assert codes == ["admitted"] * 8 + ["denied"]
        assert w.shared.calls == {"charge": 9}
        assert not w.counts
        assert w.store.available


@pytest.mark.parametrize("on_error", ["allow", "deny"])
async def test_allow_and_deny_are_the_callers_to_apply(on_error: str) -> None:
    async with world(on_error) as w:
        w.shared.broken = broken = StoreTimeout("late")
        with pytest.raises(StoreTimeout) as caught:
            await w.store.charge(w.bill())
        assert caught.value is broken
        await w.refused()
        asked = w.shared.calls["charge"]
        with pytest.raises(StoreError, match="unavailable"):
            await w.store.charge(w.bill())
        assert w.shared.calls["charge"] == asked, "an open breaker leaves the store alone"
        assert w.counts == {f"on_error.{on_error}": 5, "store.opened": 1}


async def test_local_decides_at_this_process_share() -> None:
    async with world() as w:
        w.shared.broken = StoreError("down")
        receipts = [await w.store.charge(w.bill()) for _ in range(3)]
        assert [receipt.code for receipt in receipts] == ["admitted", "admitted", "denied"]
        assert all(receipt.local for receipt in receipts)
        assert receipts[2].readings[0].wait == 4 * SECOND
        assert w.counts == {"on_error.local": 3}


async def test_a_late_answer_is_no_answer() -> None:
    async with world() as w:
        late = w.bill()._replace(not_after=w.clock.now() - 1)
        receipt = await w.store.charge(late)
        assert (receipt.code, receipt.local) == ("admitted", True)
        assert w.counts == {"on_error.local": 1}


async def test_one_slow_reply_does_not_keep_the_next_request_from_asking() -> None:
    async with world() as w:
        w.shared.broken = StoreTimeout("late")
        for _ in range(32):
            await w.store.charge(w.bill())
        w.shared.broken = None
        assert not (await w.store.charge(w.bill())).local


async def test_cancelled_requests_say_nothing_about_the_store() -> None:
    async with world() as w:
        w.shared.broken = asyncio.CancelledError()  # type: ignore[assignment]
        for _ in range(10):
            with pytest.raises(asyncio.CancelledError):
                await w.store.charge(w.bill())
            w.clock.advance(0.1)
        assert w.store.available


@pytest.mark.parametrize(
    ("on_error", "meanwhile"),
    [
        ("local", "this process decides alone, with 1/4 of each limit (on_error: local)"),
        ("allow", "every request is let through, uncharged (on_error: allow)"),
        ("deny", "every request is refused with 503 (on_error: deny)"),
    ],
)
async def test_the_log_says_what_is_done_meanwhile_and_when_it_is_over(
    on_error: str, meanwhile: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(on_error) as w:
        await w.refused()
        await w.tick(5)
        w.shared.broken = None
        await w.tick(5)
        assert w.store.available
    assert [record.getMessage() for record in caplog.records if record.name == "guardrail_mw"] == [
        f"The store does not answer. Until it does, {meanwhile}.",
        "The store answers again, and decides.",
    ]


async def test_service_returns_within_a_second_of_the_stores() -> None:
    async with world() as w:
        await w.refused()
        await w.tick(5)
        assert w.shared.calls["probe"] == 6  # one when it opened, one every 100 ms
        w.shared.broken = None
        before = w.clock.monotonic()
        while not w.store.available:
            assert (await w.store.charge(w.bill())).local, "no request is ever the probe"
            await w.tick()
        assert w.clock.monotonic() - before == 300_000
        assert not (await w.store.charge(w.bill())).local
        assert (w.counts["store.opened"], w.counts["store.closed"]) == (1, 1)
        assert not w.pausing, "nobody probes a store that works"


async def test_a_store_that_flaps_returns_within_a_second_each_time_and_leaves_one_task() -> None:
    async with world() as w:
        took = []
        for _ in range(6):
            await w.refused()
            await w.settle_down()
            assert len([task for task in asyncio.all_tasks() if task.get_name() == "guardrail store probe"]) == 1
            w.shared.broken = None
            before = w.clock.monotonic()
            while not w.store.available:
                await w.tick()
            took.append(w.clock.monotonic() - before)
        # The first probe meets it still broken or already well; then 3, 6, 8, 8, … in a row.
        assert max(took) <= 800_000
        assert took == sorted(took)
        assert w.counts["store.opened"] == w.counts["store.closed"] == 6


async def test_a_probe_that_breaks_in_its_own_way_does_not_end_probing() -> None:
    async with world() as w:
        await w.refused()
        w.shared.broken = RuntimeError("a plugin's bug")
        await w.tick(3)
        w.shared.broken = None
        await w.tick(3)
        assert w.store.available


async def test_every_running_loop_can_find_out_that_the_store_is_back() -> None:
    async with world() as w:
        await w.refused()
        results: list[bool] = []

        async def elsewhere() -> None:
            results.append((await w.store.charge(w.bill())).local)
            await w.settle_down()
            w.shared.broken = None
            await w.tick(3)
            results.append((await w.store.charge(w.bill())).local)

        here = w.pausing
        w.pausing = []
        thread = Thread(target=lambda: asyncio.run(elsewhere()))
        thread.start()
        await asyncio.to_thread(thread.join)
        assert results == [True, False]
        w.pausing += here
        await w.tick()


async def test_a_receipt_settles_where_it_was_charged() -> None:
    async with world() as w:
        step = TAKE._replace(reserved=True)
        shared = await w.store.charge(w.bill(step))
        w.shared.broken = StoreError("down")
        local = await w.store.charge(w.bill(step))
        w.shared.broken = None
        w.store.settle([Settlement(local, "cancelled"), Settlement(shared, "cancelled")])
        assert [each.receipt for each in w.shared.settled] == [shared]
        assert (await w.store.charge(w.bill())).readings[0].remaining == 7
        w.shared.broken = StoreError("down")
        assert (await w.store.charge(w.bill())).readings[0].remaining == 1


@pytest.mark.parametrize("on_error", ["allow", "deny"])
async def test_allow_and_deny_keep_nothing_of_their_own(on_error: str) -> None:
    async with world(on_error) as w:
        receipt = await w.store.charge(w.bill(TAKE._replace(reserved=True)))
        (receipt,) = await w.store.renew([receipt])
        w.store.settle([Settlement(receipt, "cancelled")])
        assert [each.receipt for each in w.shared.settled] == [receipt]
        assert (await w.store.charge(w.bill())).readings[0].remaining == 7


async def test_a_receipt_is_renewed_where_it_was_charged() -> None:
    async with world() as w:
        step = Lease("l", 4)
        shared = await w.store.charge(w.bill(step))
        local_of_another = w.bill(step, account="a:2")
        w.shared.broken = StoreError("down")
        local = await w.store.charge(local_of_another)
        w.shared.broken = None
        for _ in range(6):
            w.clock.advance(10)
            shared, again, local = await w.store.renew([shared, shared, local])
            assert again == shared
        assert (shared.local, local.local) == (False, True)
        assert w.shared.calls["renew"] == 12
        assert (await w.store.charge(w.bill(step))).readings[0].remaining == 2
        w.shared.broken = StoreError("down")
        assert (await w.store.charge(w.bill(step, account="a:2"))).code == "denied"


async def test_a_store_that_works_renews_and_settles() -> None:
    async with world() as w:
        step = Lease("l", 4)
        (receipt,) = await w.store.renew([await w.store.charge(w.bill(step))])
        w.store.settle([Settlement(receipt, "settled")])
        once = await w.store.charge(w.bill())
        w.store.settle([Settlement(once, "cancelled")])
        assert [each.receipt for each in w.shared.settled] == [receipt, once]
        assert (await w.store.charge(w.bill(step))).readings[0].remaining == 3


async def test_while_the_store_is_away_its_receipts_come_back_as_they_were() -> None:
    async with world() as w:
        shared = await w.store.charge(w.bill(Lease("l", 4)))
        await w.refused()
        assert await w.store.renew([shared]) == [shared]
        assert w.shared.calls["renew"] == 0


async def test_leases_of_the_shared_store_count_and_live_on_while_it_is_away() -> None:
    # 8 slots among four: 2. One is held in the shared store, for a minute.
    async with world() as w:
        step = Lease("l", 8)
        shared = await w.store.charge(w.bill(step))
        await w.refused()
        assert [(await w.store.charge(w.bill(step))).code for _ in range(2)] == ["admitted", "denied"]
        for _ in range(6):
            w.clock.advance(10)
            (shared,) = await w.store.renew([shared])
        assert [(await w.store.charge(w.bill(step))).code for _ in range(2)] == ["admitted", "denied"]
        w.store.settle([Settlement(shared, "settled")])
        assert [(await w.store.charge(w.bill(step))).code for _ in range(2)] == ["admitted", "denied"]


async def test_a_version_that_this_process_holds_is_not_stale_here() -> None:
    async with world() as w:
        version = await w.shared.remember("a:1", [Change("set", "verdict", "suspect")])
        await w.refused()
        receipt = await w.store.charge(w.bill(version=version))
        assert (receipt.code, receipt.local) == ("admitted", True)


async def test_heat_that_no_plan_depends_on_is_told_with_the_next_receipt_here_too() -> None:
    async with world() as w:
        version = await w.shared.remember("a:1", [Change("set", "verdict", "suspect")])
        assert (await w.store.charge(w.bill())).code == "stale"
        await w.refused()
        taught = await w.store.charge(w.bill(version=version, seen=version))
        assert taught.standing is None
        w.store.settle([Settlement(taught, "settled", (), (Change("max", "heat", "7"),))])
        told = await w.store.charge(w.bill(version=version, seen=version))
        assert (told.code, told.local) == ("admitted", True)
        assert told.standing == Standing(version, {"verdict": "suspect", "heat": "7"}, -1)
        w.shared.broken = None
        await w.tick(3)
        back = await w.store.charge(w.bill(version=version, seen=-1))
        assert (back.code, back.local) == ("admitted", False)
        assert back.standing is not None
        assert back.standing.fields == {"verdict": "suspect", "heat": "7"}


async def test_what_an_exchange_taught_binds_at_once_and_reaches_the_store() -> None:
    async with world() as w:
        version = await w.shared.remember("a:1", [Change("set", "verdict", "suspect")])
        assert (await w.store.charge(w.bill())).code == "stale"  # this process meets the standing
        await w.refused()
        taught = await w.store.charge(w.bill(version=version))
        w.store.settle([Settlement(taught, "settled", (), (Change("set", "proved", "1"), Change("max", "risk", "40")))])
        stale = await w.store.charge(w.bill(version=version))
        assert (stale.code, stale.local) == ("stale", True)
        assert stale.standing == Standing(-1, {"verdict": "suspect", "proved": "1", "risk": "40"}, -1)
        assert (await w.store.charge(w.bill(version=-1))).code == "admitted"
        w.shared.broken = None
        await w.tick(3)
        assert w.store.available
        back = await w.store.charge(w.bill(version=-1))
        assert (back.code, back.local) == ("stale", False)
        assert back.standing is not None
        assert back.standing.version > version
        assert back.standing.fields == {"verdict": "suspect", "proved": "1", "risk": "40"}
        assert w.counts["on_error.changes_lost"] == 0


async def test_the_shared_store_does_not_hear_of_it_twice() -> None:
    async with world() as w:
        w.shared.broken = StoreError("down")
        taught = await w.store.charge(w.bill())
        w.store.settle([Settlement(taught, "settled", (), (Change("add", "n", "1"), Change("set", "tier", "x")))])
        await w.settle_down()
        assert w.shared.calls["remember"] == 1
        assert w.counts["on_error.changes_lost"] == 1, "the sum may have been added: it is not sent again"
        w.shared.broken = None
        await w.tick()
        standing = (await w.store.peek(w.bill())).standing
        assert standing is not None
        assert standing.fields == {"tier": "x"}


async def test_what_an_uncharged_exchange_taught_reaches_the_store_too() -> None:
    async with world("allow") as w:
        await w.refused()
        w.store.learn("a:1", [Change("set", "proved", "1")])
        w.shared.broken = None
        await w.tick(3)
        standing = (await w.store.peek(w.bill())).standing
        assert standing is not None
        assert standing.fields == {"proved": "1"}


async def test_draining_carries_over_what_was_learned() -> None:
    async with world() as w:
        for number in range(50):
            w.store.learn(f"a:{number}", [Change("set", "proved", "1")])
        await w.store.drain()
        assert w.shared.calls["remember"] == 50


async def test_closing_while_the_store_is_away_gives_up_what_was_learned() -> None:
    w = World()
    await w.refused()
    w.store.learn("a:1", [Change("set", "proved", "1")])
    await w.settle_down()
    await w.store.close()
    assert w.shared.closed == 1
    assert not [task for task in asyncio.all_tasks() if "guardrail" in task.get_name()]


async def test_a_loop_that_ends_while_it_carries_leaves_that_to_others() -> None:
    async with world() as w:

        async def elsewhere() -> None:
            w.store.learn("a:1", [Change("set", "proved", "1")])
            await w.settle_down()

        w.shared.hanging = True
        await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
        assert w.shared.calls["remember"] == 1
        w.shared.hanging = False
        await w.store.drain()
        standing = (await w.store.peek(w.bill())).standing
        assert standing is not None
        assert standing.fields == {"proved": "1"}


async def test_loops_that_ended_are_not_kept() -> None:
    async with world() as w:
        await w.refused()

        async def elsewhere() -> None:
            await w.store.charge(w.bill())
            await w.settle_down()

        for _ in range(5):
            await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
        assert len(w.store._tending._loops) == 2, "this one, and the last, which the next would forget"


async def test_closing_stops_the_probes_of_other_loops() -> None:
    async with world() as w:
        await w.refused()
        probing = Event()

        async def elsewhere() -> None:
            await w.store.charge(w.bill())
            await w.settle_down()
            probing.set()
            await asyncio.wait([task for task in asyncio.all_tasks() if task.get_name() == "guardrail store probe"])

        thread = Thread(target=lambda: asyncio.run(elsewhere()), daemon=True)
        thread.start()
        await asyncio.to_thread(probing.wait, 10)
        await w.store.close()
        await asyncio.to_thread(thread.join, 10)
        assert not thread.is_alive()


async def test_settling_outside_any_loop_is_looked_after_later() -> None:
    async with world() as w:
        w.shared.broken = StoreError("down")
        taught = await w.store.charge(w.bill())
        w.shared.broken = None
        settlement = Settlement(taught, "settled", (), (Change("set", "proved", "1"),))
        await asyncio.to_thread(w.store.settle, [settlement])
        assert w.shared.calls["remember"] == 0
        w.shared.broken = StoreError("down")
        await w.store.charge(w.bill())
        w.shared.broken = None
        await w.settle_down()
        assert w.shared.calls["remember"] == 1


@pytest.mark.parametrize("on_error", ["allow", "deny", "local"])
async def test_what_no_process_can_know_alone_fails(on_error: str) -> None:
    async with world(on_error) as w:
        bill = w.bill()
        epoch = await w.store.epoch("token")

        async def fail_all() -> None:
            for call in (
                w.store.epoch("token"),
                w.store.spend("token", SECOND, epoch),
                w.store.peek(bill),
                w.store.remember("a:1", [Change("set", "tier", "x")]),
                w.store.read_switches(),
                w.store.write_switch("", "shadow"),
                w.store.reset("a:1"),
                w.store.export("a:1"),
                w.store.erase("a:1"),
                w.store.take("deny", "a:1", 1, w.clock.now() + SECOND),
                w.store.file("cases", "c1", [], w.clock.now() + SECOND),
                w.store.pull("cases", "c1"),
                w.store.listed("cases", 9),
                w.store.shred("cases", "c1"),
            ):
                with pytest.raises(StoreError):
                    await call

        await w.refused()
        asked = sum(w.shared.calls.values()) - w.shared.calls["probe"]
        await fail_all()
        assert sum(w.shared.calls.values()) - w.shared.calls["probe"] == asked
        w.shared.broken = None
        await w.tick(3)
        assert await w.store.epoch("token") == epoch
        assert await w.store.spend("token", SECOND, epoch)
        assert not await w.store.spend("token", SECOND, epoch)
        w.shared.broken = StoreError("down")
        with pytest.raises(StoreError, match="down"):
            await w.store.spend("other", SECOND, epoch)


async def test_other_verbs_failures_open_it_as_well() -> None:
    async with world() as w:
        w.shared.broken = StoreError("down")
        for _ in range(3):
            with pytest.raises(StoreError):
                await w.store.spend("token", SECOND, "any")
            w.clock.advance(0.025)
        assert not w.store.available


async def test_a_store_that_can_only_be_read_is_not_well() -> None:
    async with world() as w:
        for _ in range(3):
            w.shared.broken = None
            await w.store.peek(w.bill())
            await w.store.read_switches()
            w.shared.broken = StoreError("READONLY")
            await w.store.charge(w.bill())
            w.clock.advance(0.025)
        assert not w.store.available


async def test_switches_pass_through() -> None:
    async with world() as w:
        await w.store.write_switch("tokens", "shadow")
        assert await w.shared.read_switches() == {"tokens": "shadow"}
        assert await w.store.read_switches() == {"tokens": "shadow"}


async def test_an_operator_s_commands_pass_through() -> None:
    async with world() as w:
        await w.store.remember("a:1", [Change("set", "tier", "x")])
        await w.store.charge(w.bill(version=w.clock.now(), seen=w.clock.now()))
        assert await w.store.export("a:1") == await w.shared.export("a:1")
        assert await w.store.reset("a:1", ["f"]) == 1
        assert await w.store.reset("a:1") == 0
        assert await w.store.erase("a:1")
        assert not await w.store.erase("a:1")
        until = w.clock.now() + SECOND
        assert [await w.store.take("deny", member, 1, until) for member in ("a:1", "a:2")] == [True, False]
        assert not await w.shared.take("deny", "a:2", 1, until)


async def test_records_are_the_shared_store_s() -> None:
    async with world() as w:
        until = w.clock.now() + SECOND
        filed = await w.store.file("cases", "c1", [Change("add", "asked", "1")], until)
        assert filed == await w.store.pull("cases", "c1") == await w.shared.pull("cases", "c1") == {"asked": "1"}
        await w.store.file("cases", "c2", [], until)
        assert await w.store.listed("cases", 1) == ["c2"]
        assert await w.store.listed("cases", 1, "c2") == ["c1"]
        assert await w.store.shred("cases", "c1")
        assert not await w.store.shred("cases", "c1")
        assert await w.shared.listed("cases", 9) == ["c2"]
        with pytest.raises(ValueError, match="small letters"):
            await w.store.file("Cases", "c1", [], until)
        assert w.store.available


async def test_a_record_that_fails_is_a_failure_of_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:

        async def fail(*_: object) -> None:
            raise StoreTimeout("a record that takes too long")

        monkeypatch.setattr(w.shared, "file", fail)
        for _ in range(3):
            with pytest.raises(StoreTimeout, match="takes too long"):
                await w.store.file("cases", "c1", [], w.clock.now() + SECOND)
            w.clock.advance(0.025)
        assert not w.store.available


async def test_what_this_process_learned_is_erased_too() -> None:
    async with world() as w:
        w.shared.broken = StoreError("down")
        taught = await w.store.charge(w.bill())
        w.store.settle([Settlement(taught, "settled", (), (Change("max", "heat", "7"),))])
        w.shared.broken = None
        assert await w.store.erase("a:1")
        await w.tick(3)
        assert (await w.shared.export("a:1"))["standing"]["fields"] == {}


class Bare:
    """A store without switches, desk, tally and records."""

    def __init__(self) -> None:
        self._store = MemoryStore()
        for verb in ("charge", "settle", "renew", "remember", "epoch", "spend", "peek", "drain", "close"):
            setattr(self, verb, getattr(self._store, verb))


async def test_a_store_without_switches() -> None:
    bare = Resilient(Bare(), on_error="deny", processes=1, clock=FakeClock())  # type: ignore[arg-type]
    assert await bare.read_switches() == {}
    with pytest.raises(StoreError, match="Bare has no write_switch"):
        await bare.write_switch("", "off")
    for call in (bare.reset("a:1"), bare.export("a:1"), bare.erase("a:1")):
        with pytest.raises(StoreError, match="has no desk"):
            await call
    with pytest.raises(StoreError, match="keeps no budgets of members"):
        await bare.take("deny", "a:1", 1, SECOND)
    for ask in (
        bare.file("cases", "c1", [], SECOND),
        bare.pull("cases", "c1"),
        bare.listed("cases", 9),
        bare.shred("cases", "c1"),
    ):
        with pytest.raises(StoreError, match="keeps no records"):
            await ask
    for work in graph_calls(bare):
        with pytest.raises(StoreError, match="keeps no evidence"):
            await work


def graph_calls(graph: Graph) -> list[Awaitable[Any]]:
    """Everything that is done to evidence, once."""
    return [
        graph.note([Activity("a:1", 9000, 2, 30)]),
        graph.link("a:1", [7, 8], 5),
        graph.unlink("a:1", [8]),
        graph.mark({7: (("0" * 12, 5),)}, {}),
        graph.assign([("a:1", [Change("set", "cluster", "0" * 12)])]),
        graph.elect("rebuild", "w1", SECOND),
        graph.keep("state", b"x"),
        graph.recall("state"),
        reading(graph),
        graph.sweep(0),
    ]


async def reading(graph: Graph) -> list[Held]:
    return [each async for batch in graph.read(0) for each in batch]


async def test_evidence_is_the_shared_store_s() -> None:
    async with world() as w:
        shown = await w.store.charge(w.bill()._replace(proved=True, edges=(9,)))
        assert shown.records == (Record(1, "1AAAAAAA", 0, ()),)
        found = [await call for call in graph_calls(w.store)]
        assert found[:9] == [None] * 5 + [True, None, b"x", await reading(w.shared)]
        assert found[9] == 0
        [held] = found[8]
        assert [edge.key for edge in edges.unpack(held.edges)] == [9, 7]
        assert (held.cluster, held.created) == ("0" * 12, 5)
        assert not await w.store.elect("rebuild", "w2", SECOND)


async def test_reading_that_is_left_off_ends_at_the_store_too(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []

    async def endless(_: int) -> AsyncIterator[Sequence[Held]]:
        try:
            while True:
                yield []
        finally:
            ended.append(True)

    async with world() as w:
        monkeypatch.setattr(w.shared, "read", endless)
        async with aclosing(w.store.read(0)) as batches:  # type: ignore[type-var]
            assert await anext(batches) == []
        assert ended == [True]


async def test_evidence_waits_for_the_store() -> None:
    async with world() as w:
        await w.refused()
        receipt = await w.store.charge(w.bill()._replace(proved=True, edges=(9,)))
        assert (receipt.local, receipt.records) == (True, ())
        for call in graph_calls(w.store):
            with pytest.raises(StoreError, match="unavailable"):
                await call
        assert await reading(w.shared) == []


async def test_bulk_work_that_fails_says_nothing_of_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:

        async def fail(*_: object) -> None:
            raise StoreTimeout("a mark that takes too long")

        monkeypatch.setattr(w.shared, "mark", fail)
        for _ in range(9):
            with pytest.raises(StoreTimeout, match="takes too long"):
                await w.store.mark({}, {})
            w.clock.advance(0.1)
        assert w.store.available
        assert not w.counts
