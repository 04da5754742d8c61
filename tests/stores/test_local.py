"""One process's share of a bill. Every figure is worked out by hand; times in µs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from guardrail_mw.stores import local
from guardrail_mw.stores.base import Bill, Budget, Distinct, Entry, Gcra, Lease, Receipt, Settlement, Share, Window
from guardrail_mw.stores.local import Alone, scaled
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.testing.clock import FakeClock

if TYPE_CHECKING:
    from guardrail_mw.stores.base import Step

pytestmark = pytest.mark.anyio

SECOND = 1_000_000


def bill(number: int, *steps: Step) -> Bill:
    """The `number`-th bill of account `a:1`."""
    return Bill(f"{number:024x}", (Entry("a:1", steps),), "a:1")


def alone(clock: FakeClock, processes: int) -> Alone:
    return Alone(MemoryStore(clock=clock), processes)


@pytest.mark.parametrize(
    ("step", "processes", "share"),
    [
        # 120 a minute is 1 in 500 ms; a quarter of it 1 in 2 s.
        (Gcra("f", 1, 1, 500_000, 120), 4, Gcra("f", 1, 1, 2_000_000, 30)),
        # 2 in 3 µs; a quarter is 1 in 6, a third 2 in 9.
        (Gcra("f", 1, 2, 3, 8), 4, Gcra("f", 1, 1, 6, 2)),
        (Gcra("f", 1, 2, 3, 9), 3, Gcra("f", 1, 2, 9, 3)),
        (Gcra("f", 1, 1, 10, 10), 1, Gcra("f", 1, 1, 10, 10)),
        # Rounded down, so that together they let no more through; below 1 up to 1.
        (Gcra("f", 1, 1, 10, 11), 4, Gcra("f", 1, 1, 40, 2)),
        (Gcra("f", 1, 1, 10, 3), 4, Gcra("f", 1, 1, 40, 1)),
        # `keep`: strangers have 7 of 10, a share of 1 of 2; all kept stays all kept.
        (Gcra("f", 1, 1, 10, 10, kept=3), 4, Gcra("f", 1, 1, 40, 2, kept=1)),
        (Gcra("f", 1, 1, 10, 10, kept=10), 4, Gcra("f", 1, 1, 40, 2, kept=2)),
        (Gcra("f", 1, 1, 10, 3, kept=1), 4, Gcra("f", 1, 1, 40, 1, kept=0)),
        # A cost of 7 fits 10, not a share of 2: a bucket 7 deep lets it through when full. 11 never fitted.
        (Gcra("f", 7, 1, 10, 10), 4, Gcra("f", 7, 1, 40, 7)),
        (Gcra("f", 7, 1, 10, 10, kept=3), 4, Gcra("f", 7, 1, 40, 7)),
        (Gcra("f", 8, 1, 10, 10, kept=3), 4, Gcra("f", 8, 1, 40, 2, kept=1)),
        (Gcra("f", 11, 1, 10, 10), 4, Gcra("f", 11, 1, 40, 2)),
        (Window("f", 1, 100, 60, shadow=True), 8, Window("f", 1, 12, 60, shadow=True)),
        (Window("f", 50, 100, 60), 8, Window("f", 50, 50, 60)),
        (Window("f", 101, 100, 60), 8, Window("f", 101, 12, 60)),
        (Budget("f", 1, 500, "month", reserved=True), 4, Budget("f", 1, 125, "month", reserved=True)),
        (Budget("f", 1, 3, "day"), 4, Budget("f", 1, 1, "day")),
        (Lease("f", 16), 4, Lease("f", 4)),
        (Lease("f", 3), 8, Lease("f", 1)),
        (Share("f", 5, 100), 4, Share("f", 5, 25)),
        (Share("f", 50, 100), 4, Share("f", 50, 50)),
        (Distinct("f", "0" * 16, 60), 4, Distinct("f", "0" * 16, 60)),
    ],
)
def test_a_share_of_a_step(step: Step, processes: int, share: Step) -> None:
    assert scaled(step, processes) == share


async def test_all_together_admit_at_most_the_limit() -> None:
    # A bucket of 10 and 1 a second among four: 2 each, then 1 every 4 s each. In 100 s: 4 times 2 + 25, at most 10 + 100.
    clock = FakeClock()
    four = [alone(clock, 4) for _ in range(4)]
    admitted = 0
    for second in range(101):
        for process, each in enumerate(four):
            for attempt in range(3):
                receipt = await each.charge(bill(second * 100 + process * 10 + attempt, Gcra("f", 1, 1, SECOND, 10)))
                admitted += receipt.code == "admitted"
        clock.advance(1)
    assert admitted == 108


async def test_a_cost_above_the_share_passes_when_full_and_owes_the_rest() -> None:
    # A share of 2, 1 in 4 s. 7 are admitted and take 28 s; 1 more fits when at most 1 is missing, after 24 s.
    clock = FakeClock()
    one = alone(clock, 4)
    large, small = Gcra("f", 7, 1, SECOND, 10), Gcra("f", 1, 1, SECOND, 10)
    assert (await one.charge(bill(1, large))).code == "admitted"
    refused = await one.charge(bill(2, small))
    assert (refused.code, refused.readings[0].wait) == ("denied", 24 * SECOND)
    clock.advance(23.999999)
    assert (await one.charge(bill(3, small))).code == "denied"
    clock.advance(0.000001)
    assert (await one.charge(bill(4, small))).code == "admitted"  # full again 28 + 4 s after the start
    clock.advance(7.999999)
    assert (await one.charge(bill(5, large))).readings[0].wait == 1
    clock.advance(0.000001)
    assert (await one.charge(bill(6, large))).code == "admitted"


async def test_what_was_not_used_of_it_comes_back() -> None:
    # 7 reserved, 1 used: 4 s are owed, not 28; one of two is left.
    one = alone(FakeClock(), 4)
    receipt = await one.charge(bill(1, Gcra("f", 7, 1, SECOND, 10, reserved=True)))
    one.settle(Settlement(receipt, "settled", (1,)))
    small = Gcra("f", 1, 1, SECOND, 10)
    assert [(await one.charge(bill(number, small))).code for number in (2, 3)] == ["admitted", "denied"]


async def test_a_large_cost_passes_an_empty_window_only() -> None:
    # A minute's window of 100 among eight: 12.
    clock = FakeClock()
    one = alone(clock, 8)
    assert (await one.charge(bill(1, Window("f", 50, 100, 60 * SECOND)))).code == "admitted"
    assert (await one.charge(bill(2, Window("f", 1, 100, 60 * SECOND)))).code == "denied"
    clock.advance(64)
    assert (await one.charge(bill(3, Window("f", 1, 100, 60 * SECOND)))).code == "admitted"
    assert (await one.charge(bill(4, Window("f", 50, 100, 60 * SECOND)))).code == "denied"


async def test_the_receipt_says_where_and_for_whom_it_was_charged() -> None:
    one = alone(FakeClock(), 4)
    asked = bill(1, Lease("f", 8))._replace(candidate="a:1", version=77, proved=True, not_after=5)
    receipt = await one.charge(asked)
    assert (receipt.code, receipt.local, receipt.open) == ("admitted", True, True)
    assert (receipt.bill.candidate, receipt.bill.version) == ("a:1", 77)
    assert receipt.bill.entries[0].steps == (Lease("f", 2),)
    (renewed,) = await one.renew([receipt])
    assert (renewed.local, renewed.bill.candidate, renewed.bill.version) == (True, "a:1", 77)


async def held(clock: FakeClock, number: int, *steps: Step) -> Receipt:
    """A receipt of a shared store."""
    return await MemoryStore(clock=clock).charge(bill(number, *steps))


async def test_it_starts_from_the_leases_that_this_process_holds() -> None:
    # 8 slots among two: 4 each. This process holds 3 in the shared store.
    clock = FakeClock()
    one = alone(clock, 2)
    step = Lease("f", 8)
    shared = [await held(clock, number, Gcra("g", 1, 1, SECOND, 5, reserved=True), step) for number in (1, 2, 3)]
    for receipt in shared:
        one.hold(receipt)
    assert [(await one.charge(bill(number, step))).code for number in (10, 11)] == ["admitted", "denied"]
    one.release(shared[0])
    assert [(await one.charge(bill(number, step))).code for number in (12, 13)] == ["admitted", "denied"]


async def test_leases_that_were_given_back_before_do_not_count() -> None:
    clock = FakeClock()
    one = alone(clock, 2)
    receipt = await held(clock, 1, Lease("f", 2))
    one.hold(receipt)
    one.release(receipt)
    assert (await one.charge(bill(10, Lease("f", 2)))).code == "admitted"


async def test_renewals_keep_what_was_taken_over() -> None:
    clock = FakeClock()
    one = alone(clock, 2)
    receipt = await held(clock, 1, Lease("f", 2))
    one.hold(receipt)
    assert (await one.charge(bill(10, Lease("f", 2)))).code == "denied"
    for _ in range(6):
        clock.advance(10)
        await one.keep([receipt])
    assert (await one.charge(bill(11, Lease("f", 2)))).code == "denied"
    clock.advance(30)  # nobody renewed it: its holder is dead
    assert (await one.charge(bill(12, Lease("f", 2)))).code == "admitted"


async def test_open_reservations_of_the_shared_store_count_towards_a_share() -> None:
    # 100 among two: 50. 30 are reserved in the shared store.
    clock = FakeClock()
    one = alone(clock, 2)
    receipt = await held(clock, 1, Share("f", 30, 100))
    one.hold(receipt)
    assert [(await one.charge(bill(number, Share("f", cost, 100)))).code for number, cost in ((10, 21), (11, 20))] == [
        "denied",
        "admitted",
    ]
    one.release(receipt)
    assert (await one.charge(bill(12, Share("f", 30, 100)))).code == "admitted"


async def test_a_shadow_lease_that_was_not_granted_is_not_taken_over() -> None:
    clock = FakeClock()
    shared = MemoryStore(clock=clock)
    step = Lease("f", 1, shadow=True)
    receipts = [await shared.charge(bill(number, step, Lease("g", 9))) for number in (1, 2)]
    one = alone(clock, 1)
    for receipt in receipts:
        one.hold(receipt)
    readings = (await one.charge(bill(3, Lease("f", 9), Lease("g", 9)))).readings
    assert [reading.remaining for reading in readings] == [9 - 2, 9 - 3]


async def test_what_is_remembered_of_the_shared_store_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "HELD", 2)
    clock = FakeClock()
    one = alone(clock, 1)
    step = Lease("f", 9)
    for number in range(1, 6):
        one.hold(await held(clock, number, step))
    assert (await one.charge(bill(10, step))).readings[0].remaining == 9 - 3, "the newest two, and this one"
    for number in range(6, 9):
        one.hold(await held(clock, number, step))
    assert (await one.charge(bill(11, step))).readings[0].remaining == 9 - 6
    assert (len(one._held), len(one._adopted)) == (0, 4)
    for number in range(9, 14):
        one.hold(await held(clock, 100 + number, step))
        await one.charge(bill(number, Gcra("g", 1, 1, 1, 1)))
    assert len(one._adopted) <= 3


async def test_receipts_without_leases_are_not_taken_over() -> None:
    clock = FakeClock()
    one = alone(clock, 1)
    one.hold(await held(clock, 1, Gcra("g", 1, 1, SECOND, 5, reserved=True)))
    await one.charge(bill(2, Lease("f", 1)))
    assert not one._adopted


async def test_what_a_bill_shows_is_not_noted() -> None:
    """It would be known to this process alone."""
    own = MemoryStore(clock=FakeClock())
    one = Alone(own, 4)
    asked = bill(1, Gcra("f", 1, 1, SECOND, 8))._replace(candidate="a:1", proved=True, edges=(1 << 57,))
    receipt = await one.charge(asked)
    assert (receipt.code, receipt.records) == ("admitted", ())
    assert [batch async for batch in own.read(0)] == []
