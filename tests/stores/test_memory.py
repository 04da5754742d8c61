"""What the memory store promises beyond the contract: bounds, and the short way that does what the long one does."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Literal

import pytest

from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import (
    Bill,
    Change,
    Count,
    Distinct,
    Entry,
    Gcra,
    Kept,
    Lease,
    Reading,
    Receipt,
    Settlement,
    Sketch,
    Step,
    Window,
)
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.testing.clock import FakeClock

pytestmark = pytest.mark.anyio

MINUTE = 60_000_000
WHATS: tuple[Literal["attempts", "admitted", "denied"], ...] = ("attempts", "admitted", "denied")


def bill(number: int, *entries: Entry, candidate: str = "", proved: bool = False) -> Bill:
    return Bill(f"{number:024x}", entries, entries[0].home, candidate, 0, proved)


def bucket(cost: int = 1, burst: int = 10, *, field: str = "requests") -> Gcra:
    """One a second."""
    return Gcra(field, cost, 1, 1_000_000, burst)


class Heard:
    def __init__(self) -> None:
        self.events: list[str] = []

    def count(self, event: str, by: int = 1) -> None:
        self.events += [event] * by


class TestBounds:
    async def test_newcomers_share_their_parents_home_once_the_store_is_full(self) -> None:
        clock, heard = FakeClock(), Heard()
        store = MemoryStore(clock=clock, max_subjects=3, observer=heard)
        await store.charge(bill(0, Entry("p:48", (bucket(),))))
        for number in (1, 2):
            await store.charge(bill(number, Entry(f"n:{number}", (bucket(),), "p:48")))

        third = await store.charge(bill(3, Entry("n:3", (bucket(),), "p:48")))
        fourth = await store.charge(bill(4, Entry("n:4", (bucket(),), "p:48")))

        assert [each.readings[0].remaining for each in (third, fourth)] == [8, 7]  # the parent's own charge came first
        assert store.subjects() == 3
        assert heard.events == ["store.shared_home"] * 2

    async def test_without_a_parent_they_share_everyones(self) -> None:
        store = MemoryStore(clock=FakeClock(), max_subjects=1)
        await store.charge(bill(0, Entry("a:1", (bucket(),))))
        for number in (1, 2):
            receipt = await store.charge(bill(number, Entry(f"a:{number + 1}", (bucket(),))))
        assert receipt.readings[0].remaining == 8
        assert store.subjects() == 2  # everyone's own home is always there

    async def test_nobody_who_differs_from_a_newcomer_is_evicted(self) -> None:
        clock = FakeClock()
        store = MemoryStore(clock=clock, max_subjects=2)
        await store.charge(bill(0, Entry("a:victim", (bucket(10),))))
        for number in range(1, 1000):
            await store.charge(bill(number, Entry(f"a:{number}", (bucket(),))))
            clock.advance(0.005)
        receipt = await store.charge(bill(1000, Entry("a:victim", (bucket(6),))))
        assert receipt.code == "denied"  # five of ten are back after 5 s
        assert receipt.readings[0].remaining == 4

    async def test_whoever_equals_a_newcomer_leaves_within_two_seconds(self) -> None:
        clock = FakeClock()
        store = MemoryStore(clock=clock)
        for number in range(100):
            await store.charge(bill(number, Entry(f"a:{number}", (bucket(2),))))
        assert store.subjects() == 100
        clock.advance(2)
        assert store.subjects() == 100  # two units take two seconds, and one is as new from then on
        clock.advance(2)
        assert store.subjects() == 0

    async def test_a_flood_of_refusals_leaves_nothing(self) -> None:
        clock = FakeClock()
        store = MemoryStore(clock=clock)
        for number in range(50):
            assert (await store.charge(bill(number, Entry(f"a:{number}", (bucket(11),))))).code == "denied"
        clock.advance(2)
        assert store.subjects() == 0

    async def test_standings_that_only_say_since_when_make_room(self) -> None:
        clock = FakeClock()
        store = MemoryStore(clock=clock, max_subjects=3)
        await store.remember("a:watched", [Change("set", "verdict", "watched")])
        for number in range(10):
            name = f"a:{number}"
            await store.charge(bill(number, Entry(name, (bucket(),)), candidate=name, proved=True))
        peeked = await store.peek(bill(99, Entry("a:watched", (bucket(),)), candidate="a:watched"))
        assert peeked.standing is not None
        assert peeked.standing.fields == {"verdict": "watched"}
        assert len(store._standings) == 3

    async def test_a_standing_that_holds_heat_does_not_make_room_before_one_that_says_since_when(self) -> None:
        """No plan depends on it, and it is worth keeping all the same."""
        clock = FakeClock()
        store = MemoryStore(clock=clock, max_subjects=3)
        await store.remember("a:hot", [Change("max", "heat", "7")])
        for number in range(10):
            name = f"a:{number}"
            await store.charge(bill(number, Entry(name, (bucket(),)), candidate=name, proved=True))
        peeked = await store.peek(bill(99, Entry("a:hot", (bucket(),)), candidate="a:hot"))
        assert peeked.standing is not None
        assert peeked.standing.fields == {"heat": "7"}

    async def test_standings_that_are_changed_are_bounded_too(self) -> None:
        store = MemoryStore(clock=FakeClock(), max_subjects=3)
        for number in range(10):
            await store.remember(f"a:{number}", [Change("max", "heat", "7")])
        assert len(store._standings) == 3

    async def test_what_counts_is_kept_as_long_as_it_counts(self) -> None:
        """Within a minute in panes of 3 s, an hour in panes of a minute, and an hour and the one before."""
        clock = FakeClock()
        store = MemoryStore(clock=clock)
        steps: tuple[Step, ...] = (
            Count("c", "denied", MINUTE),
            Distinct("d", "1", 60 * MINUTE),
            Sketch("s", "1", 60 * MINUTE),
        )
        for number, step in enumerate(steps):
            home = f"a:{number}"
            assert (await store.charge(bill(number, Entry(home, (bucket(11), step))))).code == "denied"
        for seconds, kept in ((62, 3), (2, 2), (3595, 2), (2, 1), (3538, 1), (2, 0)):
            clock.advance(seconds)
            assert store.subjects() == kept

    async def test_an_erased_subject_leaves_and_may_come_back(self) -> None:
        clock = FakeClock()
        store = MemoryStore(clock=clock)
        for _ in range(3):
            await store.charge(bill(0, Entry("a:1", (bucket(10),))))
            await store.erase("a:1")
        clock.advance(2)
        assert store.subjects() == 0
        assert (await store.charge(bill(1, Entry("a:1", (bucket(10),))))).code == "admitted"
        clock.advance(9)
        assert store.subjects() == 1
        clock.advance(3)
        assert store.subjects() == 0

    async def test_budgets_that_have_ended_are_forgotten(self) -> None:
        """A name for each period."""
        clock = FakeClock()
        store = MemoryStore(clock=clock)
        for number in range(3000):
            assert await store.take(f"deny {number}", "a:1", 1, clock.now() + MINUTE)
            clock.advance(1)
        assert len(store._members._budgets) <= 1024
        assert not await store.take("deny 2999", "a:2", 1, clock.now() + MINUTE)

    async def test_spent_tokens_are_never_forgotten_for_want_of_room(self) -> None:
        clock = FakeClock()
        store = MemoryStore(clock=clock, max_subjects=2)
        epoch = await store.epoch("one")
        assert await store.spend("one", MINUTE, epoch)
        assert await store.spend("two", MINUTE, epoch)
        with pytest.raises(StoreError, match="as many spent tokens"):
            await store.spend("three", MINUTE, epoch)
        assert not await store.spend("one", MINUTE, epoch)
        clock.advance(60)
        assert await store.spend("three", MINUTE, epoch)

    async def test_each_store_has_its_own_epoch(self) -> None:
        one, other = MemoryStore(), MemoryStore()
        assert not await one.spend("token", MINUTE, await other.epoch("token"))
        assert await one.spend("token", MINUTE, await one.epoch("token"))

    def test_a_forked_process_spends_nothing_that_its_parent_may(self) -> None:
        subprocess.run([sys.executable, "-c", FORKED], check=True)


FORKED = """
import asyncio, os
from guardrail_mw.stores.memory import MemoryStore

store = MemoryStore()
epoch = asyncio.run(store.epoch("token"))
child = os.fork()
spent = asyncio.run(store.spend("token", 60_000_000, epoch))
if not child:
    os._exit(spent)
assert spent
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
OUTCOMES: tuple[Literal["settled", "cancelled"], ...] = ("settled", "cancelled")


class Long(MemoryStore):
    """A store that never takes it."""

    def _take_plain(self, bill: Bill, now: int) -> None:
        """Nothing is plain."""


class TestTheShortWay:
    async def test_it_answers_as_the_long_one_does(self) -> None:
        chance = random.Random(7)
        clock = FakeClock()
        short, long = MemoryStore(clock=clock), Long(clock=clock)
        for number in range(2000):
            clock.advance(chance.choice([0, 0.000_001, 0.1, 1.7]))
            steps = tuple(
                Gcra(f"f{index}", chance.randint(0, 4), chance.choice([1, 7]), 1_000_000, 10, chance.choice([0, 3]))
                for index in range(chance.randint(1, 4))
            )
            steps = tuple(step._replace(field=f"{step.field}.{step.amount}", shadow=chance.random() < 0.3) for step in steps)
            plain = await short.charge(bill(number, Entry("a:1", steps)))
            slow = await long.charge(bill(number, Entry("a:1", steps)))
            assert (plain.code, plain.readings) == (slow.code, slow.readings)

    async def test_reservations_and_slots_answer_and_settle_as_they_do_the_long_way(self) -> None:
        """Buckets with estimates, and slots of which there are few: admitted, refused, renewed, settled for less or for more."""
        chance = random.Random(13)
        clock = FakeClock()
        short, long = MemoryStore(clock=clock), Long(clock=clock)
        open_: list[tuple[Receipt, Receipt]] = []
        seen = set()
        for number in range(4000):
            clock.advance(chance.choice([0, 0.000_001, 0.1, 1.7, 40 if chance.random() < 0.02 else 0]))
            if number % 900 == 899:
                clock.jump(-5)
            account = Entry(
                f"a:{chance.randrange(3)}",
                (
                    Gcra("requests", 1, 7, 3_000_000, 10),
                    Gcra("tokens", chance.randint(0, 9), 7, 1_000_000, 20, reserved=True),
                    Lease("slots", 3, shadow=chance.random() < 0.2),
                    Lease("more", 4),
                    Count("seen", "attempts", 10_000_007),
                ),
            )
            asked = bill(number, account, Entry("e", (Gcra("all", 1, 50, 1_000_000, 60),)))
            asked = asked._replace(payer=account.home)
            quick, slow = await short.charge(asked), await long.charge(asked)
            assert (quick.code, quick.readings, quick.open) == (slow.code, slow.readings, slow.open)
            seen.add((quick.code, all(reading.ok for reading in quick.readings)))
            if quick.code == "admitted":
                open_.append((quick, slow))
            while len(open_) > chance.randrange(6):
                pair = open_.pop(chance.randrange(len(open_)))
                if chance.random() < 0.2:
                    both = await short.renew([pair[0]]), await long.renew([pair[1]])
                    assert both[0][0].readings == both[1][0].readings
                    pair = both[0][0], both[1][0]
                used = (None, chance.randint(0, 12), None, None, None, None)
                outcome = chance.choice([*OUTCOMES])
                for store, receipt in zip((short, long), pair, strict=True):
                    store.settle([Settlement(receipt, outcome, used)])
            if number % 50 == 0:
                stands = await short.peek(asked), await long.peek(asked)
                assert stands[0].readings == stands[1].readings
                assert short.subjects() == long.subjects()
        assert seen == {("admitted", True), ("admitted", False), ("denied", False)}

    async def test_counts_answer_as_they_do_the_long_way(self) -> None:
        """Notes are kept on steps that come again, and on those whose home has steps of its own."""
        chance = random.Random(11)
        clock = FakeClock()
        short, long = MemoryStore(clock=clock), Long(clock=clock)
        counts = [Count(f"c{what}", what, 10_000_007) for what in WHATS]
        model = Entry("", (bucket(), *counts))
        mine: dict[str, Entry] = {}
        seen = set()
        for number in range(4000):
            clock.advance(chance.choice([0, 0.000_001, 0.3, 0.9, 1.7, 40 if chance.random() < 0.02 else 0]))
            if number % 700 == 699:
                clock.jump(-5)
            value = f"{chance.randrange(90 if number < 2000 else 12):016x}"
            watched: tuple[Step, ...] = (
                bucket(chance.choice([1, 2]), field="other"),
                Distinct("d", value, 200_000_003),
                Count("c", "attempts", 10_000_007, 2),
                Sketch("s", value, 50_000_000),
            )
            entries = (model.at("a:1", "e"), mine.setdefault(value, Entry("n:1", watched)))
            asked = bill(number, *entries)._replace(notes=Kept())
            quick = await short.charge(asked)
            slow = await long.charge(asked)
            assert (quick.code, quick.readings) == (slow.code, slow.readings)
            seen.add((quick.code, all(reading.ok for reading in quick.readings)))
        assert seen == {("admitted", True), ("admitted", False), ("denied", False)}

    @pytest.mark.parametrize(
        "steps",
        [(Count("c", "attempts", MINUTE), bucket()), (bucket(), Window("w", 1, 10, MINUTE)), (Lease("l", 3), bucket())],
    )
    async def test_what_does_not_fit_it_goes_the_long_way(self, steps: tuple[Step, ...]) -> None:
        store = MemoryStore(clock=FakeClock())
        entry = Entry("a:1", steps).at("a:2", "e")
        for number in (1, 2):
            receipt = await store.charge(bill(number, entry)._replace(notes=Kept()))
            assert receipt.code == "admitted"
            assert [reading.ok for reading in receipt.readings] == [True] * len(steps)
        counted = [reading for step, reading in zip(steps, receipt.readings, strict=True) if isinstance(step, Count)]
        assert [reading.remaining for reading in counted] == [2] * len(counted)

    async def test_a_mark_is_what_the_bucket_became(self) -> None:
        clock = FakeClock()
        store = MemoryStore(clock=clock)
        receipt = await store.charge(bill(0, Entry("a:1", (bucket(3),))))
        now = clock.now()
        assert receipt.readings == (Reading(True, 7, 3_000_000, 0, (now + 3_000_000, 0, 0, 0)),)


async def test_a_store_full_of_spent_tokens_looks_through_them_once_a_second() -> None:
    """Else whoever keeps it full has it look through all of them with each answer."""
    clock = FakeClock()
    store = MemoryStore(max_subjects=3, clock=clock)
    epoch = await store.epoch("x")
    for token in ("a", "b", "c"):
        assert await store.spend(token, 1_500_000, epoch)
    with pytest.raises(StoreError, match="as many spent tokens as it may"):
        await store.spend("d", 1_500_000, epoch)
    clock.advance(1)
    with pytest.raises(StoreError, match="as many spent tokens as it may"):
        await store.spend("d", 1_500_000, epoch)
    clock.advance(0.6)
    with pytest.raises(StoreError, match="as many spent tokens as it may"):  # it looked 0.6 s ago
        await store.spend("d", 1_500_000, epoch)
    clock.advance(0.4)
    assert await store.spend("d", 1_500_000, epoch)
