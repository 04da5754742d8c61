# ruff: noqa: D102, S101, PLR2004 - tests: a name says what it shows, assert is how they speak, figures are worked out by hand
"""The store's contract: what is counted and limits nobody. Figures by hand; the clock starts at 2026-01-01T00:00:00Z."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Literal

import pytest

from guardrail_mw.stores.base import Bill, Entry, Receipt, Step, Store
from guardrail_mw.testing.bills import (
    ACCOUNT,
    HOUR,
    NETWORK,
    SECOND,
    bill,
    bucket,
    counted,
    distinct,
    lease,
    settled,
    sketch,
    spread,
    take,
    window,
)
from guardrail_mw.testing.clock import FakeClock

__all__ = ["Counting"]

WHATS: tuple[Literal["attempts", "admitted", "denied"], ...] = ("attempts", "admitted", "denied")
THREE: tuple[Step, Step, Step] = (counted("attempts"), counted("admitted"), counted("denied"))


def _numbers(receipt: Receipt, last: int = 3) -> list[int]:
    """What the last readings count."""
    assert all(reading == (True, reading.remaining, 0, 0, None) for reading in receipt.readings[-last:])
    return [reading.remaining for reading in receipt.readings[-last:]]


def _numbers_of(receipt: Receipt) -> list[int]:
    """What all of them count."""
    return _numbers(receipt, len(receipt.readings))


class Counting:
    """Counts of bills by what becomes of them, and of distinct values."""

    exact: ClassVar[bool]

    async def test_counts_by_what_becomes_of_the_bill(self, store: Store) -> None:
        """This bill is included where it counts."""
        assert _numbers(await take(store, bucket(6), *THREE)) == [1, 1, 0]
        assert _numbers(await take(store, bucket(4), *THREE)) == [2, 2, 0]
        denied = await take(store, bucket(1), *THREE)
        assert (denied.code, _numbers(denied)) == ("denied", [3, 2, 1])
        denied = await take(store, *THREE, bucket(1))
        assert [reading.remaining for reading in denied.readings] == [4, 2, 2, 0]
        assert _numbers(await store.peek(bill(*THREE))) == [4, 2, 2]

    async def test_a_count_costs_what_it_says(self, store: Store) -> None:
        assert _numbers(await take(store, counted("attempts", 5)), 1) == [5]
        assert _numbers(await take(store, counted("attempts", 0)), 1) == [5]
        assert _numbers(await take(store, counted("attempts", 7)), 1) == [12]

    @pytest.mark.parametrize("what", WHATS)
    async def test_a_count_slides(self, store: Store, clock: FakeClock, what: Any) -> None:
        """A minute in panes of 3 s: what came in the first leaves when the twenty-second begins."""
        steps = (bucket(11 if what == "denied" else 1, amount=10), counted(what))
        for pause, count in ((0, 1), (1.5, 2), (1.5, 3), (27, 4), (29.999999, 5), (3.000001, 4), (0, 5), (27, 5), (3, 5)):
            clock.advance(pause)
            assert _numbers(await take(store, *steps), 1) == [count]

    async def test_a_count_forgets_after_a_long_time(self, store: Store, clock: FakeClock) -> None:
        for pause in (0, 20, 20, 10):
            clock.advance(pause)
            await take(store, counted("attempts"))
        clock.advance(86_400)
        assert _numbers(await store.peek(bill(counted("attempts"))), 1) == [0]
        assert _numbers(await take(store, counted("attempts")), 1) == [1]
        clock.advance(10)  # slots of a day ago are not found again
        assert _numbers(await take(store, counted("attempts")), 1) == [2]
        clock.advance(40)
        assert _numbers(await take(store, counted("attempts")), 1) == [3]

    async def test_a_count_skips_panes_as_it_goes(self, store: Store, clock: FakeClock) -> None:
        """Against a list of when it was counted."""
        seen: list[int] = []
        for pause in (3, 3, 9, 0, 30, 6, 3, 57, 60, 61, 3, 2, 1, 63, 64, 12, 12, 12, 12, 12, 12, 12):
            clock.advance(pause)
            seen.append(clock.now() // (3 * SECOND))
            count = sum(pane >= seen[-1] - 20 for pane in seen)
            assert _numbers(await take(store, counted("attempts")), 1) == [count]

    async def test_counts_of_other_fields_and_homes_are_others(self, store: Store) -> None:
        await take(store, counted("attempts"))
        assert _numbers(await take(store, counted("attempts")._replace(field="other")), 1) == [1]
        assert _numbers(await take(store, counted("attempts"), home=NETWORK), 1) == [1]

    async def test_counts_over_several_homes(self, store: Store) -> None:
        """Each home goes by the whole bill; where homes are charged one by one, once that is known."""
        await take(store, bucket(10))
        spent = spread((ACCOUNT, bucket(1), *THREE), (NETWORK, bucket(1), *THREE), ("e", *THREE))
        denied = await store.charge(spent)
        assert denied.code == "denied"
        counts = [reading.remaining for reading in denied.readings]
        assert counts[1:4] == [1, 0, 1]
        assert counts[5:] == ([1, 0, 1, 1, 0, 1] if self.exact else [1, 1, 0, 1, 1, 0])
        await store.drain()
        for home in (ACCOUNT, NETWORK, "e"):
            assert _numbers(await store.peek(bill(*THREE, home=home))) == [1, 0, 1]
        admitted = spread((NETWORK, bucket(1), *THREE), ("e", *THREE))
        assert [reading.remaining for reading in (await store.charge(admitted)).readings[1:]] == [2, 1, 1, 2, 1, 1]
        stale = await store.charge(spread((NETWORK, *THREE), (ACCOUNT, *THREE), candidate=ACCOUNT, version=5))
        assert stale.code == "stale"
        await store.drain()
        assert _numbers(await store.peek(bill(*THREE, home=NETWORK))) == [2, 1, 1]
        assert _numbers(await store.peek(bill(*THREE))) == [1, 0, 1]

    async def test_what_was_counted_is_not_given_back(self, store: Store) -> None:
        receipt = await take(store, bucket(4), lease(), *THREE)
        await settled(store, receipt, outcome="cancelled")
        [renewed] = await store.renew([await take(store, lease(), *THREE)])
        await settled(store, renewed)
        assert _numbers(await store.peek(bill(*THREE))) == [2, 2, 0]

    async def test_a_count_leaves_no_receipt(self, store: Store) -> None:
        receipt = await take(store, bucket(1), *THREE)
        assert not receipt.open
        await settled(store, receipt, outcome="cancelled")
        assert _numbers(await store.peek(bill(*THREE))) == [1, 1, 0]

    async def test_what_is_late_or_stale_is_no_attempt(self, store: Store, clock: FakeClock) -> None:
        assert (await take(store, *THREE, not_after=clock.now() - 1)).code == "late"
        assert (await take(store, *THREE, candidate=ACCOUNT, version=5)).code == "stale"
        await store.drain()
        assert _numbers(await store.peek(bill(*THREE))) == [0, 0, 0]

    async def test_a_refused_bill_is_counted_beside_any_kind_of_step(self, store: Store, clock: FakeClock) -> None:
        """Also where nothing was ever charged, and after the clock was set back."""
        refused = (bucket(11), window(11), lease(), distinct(1), *THREE)
        assert _numbers(await take(store, *refused)) == [1, 0, 1]
        clock.advance(10)
        assert _numbers(await take(store, *refused)) == [2, 0, 2]
        await take(store, bucket(1))
        clock.jump(-3600)
        assert _numbers(await take(store, *refused)) == [3, 0, 3]
        assert (await take(store, distinct(2))).readings[0].remaining == 2

    async def test_counts_at_once(self, store: Store) -> None:
        """Ten of sixty are admitted, whose counts end where the others' begin."""
        receipts = await asyncio.gather(*(take(store, bucket(1), *THREE) for _ in range(60)))
        assert sorted(receipt.readings[1].remaining for receipt in receipts) == list(range(1, 61))
        assert _numbers(await store.peek(bill(*THREE))) == [60, 10, 50]

    async def test_a_count_is_kept_as_long_as_it_counts(self, store: Store, clock: FakeClock) -> None:
        await take(store, bucket(11), counted("denied", length=HOUR))
        for _ in range(6):
            clock.advance(600)
            await take(store, bucket(11, amount=10)._replace(field="other"), home=NETWORK)
        assert _numbers(await store.peek(bill(counted("denied", length=HOUR))), 1) == [1]
        clock.advance(180)
        assert _numbers(await store.peek(bill(counted("denied", length=HOUR))), 1) == [0]

    async def test_distinct(self, store: Store, clock: FakeClock) -> None:
        """Within an hour, in panes of a minute: a value counts for sixty panes after its own."""
        counts = []
        for number in (1, 2, 1, 3):
            counts += [reading.remaining for reading in (await take(store, distinct(number))).readings]
        assert counts == [1, 2, 2, 3]
        clock.advance(1800)
        assert (await take(store, distinct(1))).readings[0].remaining == 3
        clock.advance(1800)
        assert (await take(store, distinct(1))).readings[0].remaining == 3
        clock.advance(60)
        assert (await take(store, distinct(1))).readings[0].remaining == 1

    async def test_distinct_is_exact_to_sixty_four(self, store: Store, clock: FakeClock) -> None:
        for number in range(1, 65):
            [reading] = (await take(store, distinct(number))).readings
            assert (reading.ok, reading.remaining) == (True, number)
            clock.advance(1)
        # The 65th pushes out the oldest, seen in the first minute; until that has left, an hour later, the count is a floor.
        [reading] = (await take(store, distinct(65))).readings
        assert (reading.ok, reading.remaining) == (False, 64)
        clock.advance(3600 - 4 - 0.000001)
        [reading] = (await take(store, distinct(65))).readings
        assert (reading.ok, reading.remaining) == (False, 64)
        clock.advance(0.000001)
        [reading] = (await take(store, distinct(65))).readings
        assert (reading.ok, reading.remaining) == (True, 5)  # 61 to 64, and 65

    async def test_distinct_never_refuses_and_counts_whatever_becomes_of_the_bill(self, store: Store) -> None:
        await take(store, bucket(10))
        for number in range(1, 71):
            assert (await take(store, bucket(1), distinct(number))).code == "denied"
        receipt = await take(store, distinct(71))
        assert receipt.code == "admitted"
        assert receipt.readings[0].ok is False
        assert receipt.readings[0].remaining == 64

    async def test_a_sketch(self, store: Store, clock: FakeClock) -> None:
        """Of a few it is as good as exact. An hour and the one before it: 2026 began with one."""
        counts = [_numbers(await take(store, sketch(number)), 1)[0] for number in (1, 2, 1, 3, 3)]
        assert counts == [1, 2, 2, 3, 3]
        clock.advance(3600)
        assert _numbers(await take(store, sketch(3)), 1) == [3]
        assert _numbers(await take(store, sketch(4)), 1) == [4]
        clock.advance(3599.999999)
        assert _numbers(await store.peek(bill(sketch(4))), 1) == [4]
        clock.advance(0.000001)
        assert _numbers(await take(store, sketch(5)), 1) == [3]
        clock.advance(7200)
        assert _numbers(await take(store, sketch(4)), 1) == [1]

    async def test_a_sketch_never_refuses_and_counts_whatever_becomes_of_the_bill(self, store: Store) -> None:
        for number in range(1, 6):
            denied = await take(store, bucket(11), sketch(number))
            assert (denied.code, _numbers(denied, 1)) == ("denied", [number])
        receipt = await take(store, bucket(1), sketch(5))
        assert (receipt.code, receipt.open, _numbers(receipt, 1)) == ("admitted", False, [5])
        await settled(store, receipt, outcome="cancelled")
        assert _numbers(await take(store, sketch(6)), 1) == [6]
        assert _numbers(await take(store, sketch(6), home=NETWORK), 1) == [1]

    async def test_a_sketch_of_many_is_within_five_per_cent(self, store: Store) -> None:
        """Beyond 64 it goes on, and what it holds does not grow with it."""
        steps = tuple(sketch(number)._replace(field=f"sketch-{number % 4}") for number in range(12_000))
        counts = [0] * 4
        for first in range(0, 12_000, 400):
            receipts = await asyncio.gather(
                *(
                    store.charge(Bill(f"{first + at:024x}", (Entry(ACCOUNT, steps[first + at : first + at + 4]),), ACCOUNT))
                    for at in range(0, 400, 4)
                )
            )
            counts = [max(pair) for pair in zip(counts, *map(_numbers_of, receipts), strict=True)]
        assert counts == pytest.approx([3000] * 4, rel=0.05)
        assert _numbers(await take(store, sketch(0)._replace(field="sketch-0")), 1) == pytest.approx([3000], rel=0.05)

    async def test_looking_at_a_sketch_sees_nothing(self, store: Store) -> None:
        await take(store, sketch(1))
        for number in (2, 3):
            await store.peek(bill(sketch(number)))
        assert _numbers(await take(store, sketch(4)), 1) == [2]
