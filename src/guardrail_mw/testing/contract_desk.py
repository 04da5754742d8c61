# ruff: noqa: D102, S101, PLR2004 - tests: a name says what it shows, assert is how they speak, figures are worked out by hand
"""The store's contract: what an operator does to a subject, and budgets of members. For a store that has them."""

from __future__ import annotations

import asyncio
import json

import pytest

from guardrail_mw.stores.base import Change, Desk, Step, Store, Tally
from guardrail_mw.testing.bills import (
    ACCOUNT,
    DAY,
    HOUR,
    MINUTE,
    NETWORK,
    SECOND,
    bill,
    bucket,
    budget,
    counted,
    distinct,
    lease,
    look,
    settled,
    share,
    sketch,
    take,
    window,
)
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.contract_remembering import put, standing
from guardrail_mw.values import Standing

__all__ = ["Budgeting", "Operating"]

STEPS: tuple[Step, ...] = (
    bucket(4),
    window(4),
    budget(4),
    lease(3),
    share(40),
    distinct(1),
    sketch(1),
    counted("attempts", 4),
)
FIELDS = [step.field for step in STEPS]
PROBE: tuple[Step, ...] = (bucket(0), window(0), budget(0), lease(3), share(0), counted("attempts", 0))
NEW = [(10, 0), (10, 0), (10, MINUTE), (3, 0), (100, 0), (0, 0)]
HELD = [(6, 4 * SECOND), (6, 63 * SECOND), (6, MINUTE), (2, 0), (60, 0), (4, 0)]


def _desk(store: Store) -> Desk:
    """The store's; without one the test is skipped."""
    if not isinstance(store, Desk):
        pytest.skip("this store has no desk")
    return store


def _tally(store: Store) -> Tally:
    """The store's; without one the test is skipped."""
    if not isinstance(store, Tally):
        pytest.skip("this store has no tally")
    return store


class Operating:
    """`Desk`."""

    async def test_reset_of_everything(self, store: Store) -> None:
        await take(store, *STEPS)
        await take(store, *STEPS, home=NETWORK)
        assert await _desk(store).reset(ACCOUNT) == len(STEPS)
        assert await look(store, *PROBE) == NEW
        assert await look(store, *PROBE, home=NETWORK) == HELD
        receipt = await take(store, distinct(2), sketch(2))
        assert [reading.remaining for reading in receipt.readings] == [1, 1]

    async def test_reset_of_fields(self, store: Store) -> None:
        await take(store, *STEPS)
        assert await _desk(store).reset(ACCOUNT, [FIELDS[1], FIELDS[4], "unknown"]) == 2
        assert await look(store, *PROBE) == [HELD[0], NEW[1], *HELD[2:4], NEW[4], HELD[5]]
        assert await _desk(store).reset(ACCOUNT, ["lease", "distinct", "sketch"]) == 3
        assert await look(store, *PROBE) == [HELD[0], NEW[1], HELD[2], NEW[3], NEW[4], HELD[5]]
        receipt = await take(store, distinct(2), sketch(2))
        assert [reading.remaining for reading in receipt.readings] == [1, 1]
        assert await _desk(store).reset(ACCOUNT, []) == 0

    async def test_reset_of_nobody(self, store: Store) -> None:
        assert await _desk(store).reset("a:9999") == 0
        assert await _desk(store).reset("a:9999", ["bucket"]) == 0
        await take(store, bucket(11), lease(), share(1))
        assert await _desk(store).reset(ACCOUNT) == 0

    async def test_a_window_s_past_is_reset_with_it(self, store: Store, clock: FakeClock) -> None:
        """Nothing of its panes is found again."""
        for _ in range(3):
            await take(store, window(2), counted("attempts"))
            clock.advance(9)
        assert await _desk(store).reset(ACCOUNT, ["window", "counted-attempts"]) == 2
        await take(store, window(1), counted("attempts"))
        clock.advance(36.5)
        assert await look(store, window(0), counted("attempts", 0)) == [(9, 26_500_000), (1, 0)]

    async def test_what_is_open_goes_on_after_a_reset(self, store: Store) -> None:
        """What it reserved was given back already; what it was underestimated by is owed."""
        receipt = await take(store, bucket(6, reserved=True), window(6, reserved=True), lease(), share(60))
        await _desk(store).reset(ACCOUNT)
        await take(store, bucket(3), window(3))
        await settled(store, receipt, 1, 8)
        assert await look(store, bucket(0), window(0), lease(), share(0)) == [
            (7, 3 * SECOND),
            (5, 63 * SECOND),
            (1, 0),
            (100, 0),
        ]

    async def test_a_share_that_was_reset_is_given_back_once(self, store: Store, clock: FakeClock) -> None:
        lost, kept = await take(store, share(60)), await take(store, share(40))
        await _desk(store).reset(ACCOUNT, ["share"])
        await take(store, share(30))
        assert await look(store, share(0)) == [(70, 0)]
        await settled(store, lost)
        [remaining] = [each for each, _ in await look(store, share(0))]
        assert 70 <= remaining <= 100
        await settled(store, kept)
        clock.advance(31)
        assert await look(store, share(0)) == [(100, 0)]

    async def test_a_renewal_after_a_reset_puts_the_slot_back(self, store: Store) -> None:
        receipt = await take(store, lease())
        await _desk(store).reset(ACCOUNT)
        await store.renew([receipt])
        assert await look(store, lease()) == [(0, 0)]
        assert await _desk(store).reset(ACCOUNT) == 1
        assert await look(store, lease()) == [(1, 0)]
        await store.renew([receipt])
        assert await _desk(store).erase(ACCOUNT)
        assert await look(store, lease()) == [(1, 0)]

    async def test_a_home_s_time_goes_on_after_a_reset(self, store: Store, clock: FakeClock) -> None:
        receipt = await take(store, bucket(1), lease())
        clock.jump(-3600)
        await take(store, bucket(1))
        await _desk(store).reset(ACCOUNT)
        clock.advance(29.999999)
        await settled(store, receipt)
        await take(store, bucket(10))
        clock.advance(4)
        assert await look(store, bucket(0)) == [(4, 6 * SECOND)]

    async def test_export(self, store: Store, clock: FakeClock) -> None:
        await store.remember(ACCOUNT, [put("tier", "x"), put("label.campaign", "0 ä")])
        version = (await standing(store)).version
        receipt = await take(store, *STEPS)
        found = json.loads(json.dumps(await _desk(store).export(ACCOUNT)))
        assert sorted(found) == ["account", "counters", "distinct", "leases", "receipts", "standing"]
        assert found["account"] == ACCOUNT
        fields = {"tier": "x", "label.campaign": "0 ä"}
        assert found["standing"] == {"version": version, "seen": version, "fields": fields}
        assert {"bucket", "window", "budget", "share", "sketch", "counted-attempts"} <= set(found["counters"])
        assert not {"lease", "distinct"} & set(found["counters"])
        assert found["leases"] == {"lease": {receipt.bill.id: clock.now() + 30 * SECOND}}
        assert found["distinct"] == {"distinct": {f"{1:016x}": clock.now() // MINUTE}}
        assert found["receipts"] == [receipt.bill.id]

    async def test_export_of_nobody(self, store: Store) -> None:
        assert await _desk(store).export("a:9999") == {
            "account": "a:9999",
            "standing": {"version": 0, "seen": 0, "fields": {}},
            "counters": {},
            "leases": {},
            "distinct": {},
            "receipts": [],
        }

    async def test_erase(self, store: Store) -> None:
        await take(store, *STEPS, home=NETWORK)
        await take(store, *STEPS, candidate=ACCOUNT, proved=True)
        await store.remember(ACCOUNT, [put("tier", "x")])
        assert await _desk(store).erase(ACCOUNT)
        assert await _desk(store).export(ACCOUNT) == await _desk(store).export("a:9999") | {"account": ACCOUNT}
        assert await standing(store) == Standing(0, {}, 0)
        assert await look(store, *PROBE) == NEW
        assert await look(store, *PROBE, home=NETWORK) == HELD
        assert not await _desk(store).erase(ACCOUNT)

    @pytest.mark.parametrize("step", [bucket(1), lease(), share(1), distinct(1), counted("attempts")])
    async def test_erase_of_a_single_thing(self, store: Store, step: Step) -> None:
        await take(store, step)
        assert await _desk(store).erase(ACCOUNT)
        assert not await _desk(store).erase(ACCOUNT)

    async def test_erase_of_a_standing_alone(self, store: Store) -> None:
        await store.remember(ACCOUNT, [put("tier", "x")])
        assert await _desk(store).erase(ACCOUNT)
        assert (await take(store, bucket(1), candidate=ACCOUNT)).code == "admitted"
        assert not await _desk(store).erase("a:9999")

    async def test_what_is_open_when_its_account_is_erased_settles_to_nothing(self, store: Store) -> None:
        receipt = await take(store, bucket(6, reserved=True), lease(), share(60), candidate=ACCOUNT)
        await _desk(store).erase(ACCOUNT)
        await settled(store, receipt, 1, changes=(Change("set", "rung", "delay 1"),))
        assert await look(store, bucket(0), lease(), share(0)) == [(10, 0), (1, 0), (100, 0)]
        assert await standing(store) == Standing(0, {}, 0)

    async def test_values_of_a_refused_bill_are_erased_too(self, store: Store) -> None:
        for number in range(3):
            await take(store, bucket(11), distinct(number), sketch(number))
        assert await _desk(store).erase(ACCOUNT)
        receipt = await store.peek(bill(distinct(9), sketch(9)))
        assert receipt.readings[0].remaining == 1
        assert (await take(store, distinct(9), sketch(9))).readings[1].remaining == 1


class Budgeting:
    """`Tally`."""

    async def test_a_budget_takes_so_many(self, store: Store, clock: FakeClock) -> None:
        until = clock.now() + DAY
        assert [await _tally(store).take("deny", f"a:{number}", 3, until) for number in range(5)] == [True] * 3 + [False] * 2
        assert [await _tally(store).take("deny", f"a:{number}", 3, until) for number in range(4)] == [True] * 3 + [False]
        assert await _tally(store).take("delay", "a:4", 3, until)
        assert await _tally(store).take("deny", "a:4", 4, until)
        assert await _tally(store).take("deny", "a:0", 0, until)
        assert not await _tally(store).take("deny", "a:5", 0, until)

    async def test_a_budget_ends(self, store: Store, clock: FakeClock) -> None:
        until = clock.now() + HOUR
        assert await _tally(store).take("deny", "a:0", 1, until)
        clock.advance(3599.999999)
        assert not await _tally(store).take("deny", "a:1", 1, until + HOUR)
        assert await _tally(store).take("deny", "a:0", 1, until + HOUR)
        clock.advance(0.000001)
        assert await _tally(store).take("deny", "a:1", 1, until + HOUR)
        assert not await _tally(store).take("deny", "a:0", 1, until + HOUR)

    async def test_a_budget_that_has_ended_takes_nobody(self, store: Store, clock: FakeClock) -> None:
        assert not await _tally(store).take("deny", "a:0", 1, clock.now())
        assert await _tally(store).take("deny", "a:1", 1, clock.now() + 1)

    async def test_a_budget_at_once(self, store: Store, clock: FakeClock) -> None:
        taken = await asyncio.gather(
            *(_tally(store).take("deny", f"a:{number % 20}", 7, clock.now() + DAY) for number in range(60))
        )
        assert sum(taken[:20]) == 7
        assert taken[:20] == taken[20:40] == taken[40:]
