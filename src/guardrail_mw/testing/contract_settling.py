# ruff: noqa: D102, S101, PLR2004 - tests: a name says what it shows, assert is how they speak, figures are worked out by hand
"""The store's contract: what came of a charge. Figures by hand; the clock starts at 2026-01-01T00:00:00Z."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from guardrail_mw.stores.base import Change, Gcra, Receipt, Settlement, Store
from guardrail_mw.testing.bills import (
    ACCOUNT,
    MINUTE,
    NETWORK,
    SECOND,
    bill,
    bucket,
    budget,
    distinct,
    lease,
    look,
    settled,
    share,
    spread,
    take,
    window,
)
from guardrail_mw.testing.clock import FakeClock

__all__ = ["Settling", "renewed", "reserve"]

EMPTY = bucket(0, 100)


def reserve(cost: int) -> Gcra:
    """Of a hundred, at one a second."""
    return bucket(cost, 100, reserved=True)


async def renewed(store: Store, receipt: Receipt) -> Receipt:
    """The receipt, renewed."""
    [renewed] = await store.renew([receipt])
    return renewed


class Settling:
    """Corrections, cancellations, renewals, leases."""

    @pytest.mark.parametrize(
        ("used", "remaining", "reset"),
        [(25, 75, 25), (0, 100, 0), (60, 40, 60), (None, 40, 60), (70, 30, 70), (100, 0, 100), (150, 0, 150)],
    )
    async def test_a_reservation_is_corrected(self, store: Store, used: int | None, remaining: int, reset: int) -> None:
        receipt = await take(store, reserve(60))
        await settled(store, receipt, used)
        assert await look(store, EMPTY) == [(remaining, reset * SECOND)]

    async def test_what_was_underestimated_is_owed_in_full(self, store: Store, clock: FakeClock) -> None:
        await settled(store, await take(store, reserve(100)), 250)
        refused = await take(store, reserve(1))
        assert (refused.code, refused.readings[0].wait) == ("denied", 151 * SECOND)
        clock.advance(151)
        assert (await take(store, reserve(1))).code == "admitted"

    async def test_an_estimate_above_the_burst_reserves_the_burst_and_owes_the_rest(self, store: Store) -> None:
        receipt = await take(store, reserve(100))
        assert receipt.readings[0].remaining == 0
        await settled(store, receipt, 130)
        assert await look(store, EMPTY) == [(0, 130 * SECOND)]

    async def test_nothing_said_leaves_everything_as_it_was_charged(self, store: Store) -> None:
        await settled(store, await take(store, reserve(60), window(4, reserved=True)))
        assert await look(store, EMPTY, window(0)) == [(40, 60 * SECOND), (6, 63 * SECOND)]

    @pytest.mark.parametrize("second", ["settled", "cancelled"])
    async def test_a_receipt_settles_once(self, store: Store, second: Literal["settled", "cancelled"]) -> None:
        receipt = await take(store, reserve(60), window(6, reserved=True), budget(6, reserved=True), share(60))
        other = await take(store, reserve(10), share(20))
        first = Settlement(receipt, "settled", (20, 2, 8, None))
        store.settle([first, first])
        await store.drain()
        await settled(store, receipt, 0, 0, 0, outcome=second)
        await settled(store, receipt, 90, 9, 9, outcome=second)
        assert await look(store, EMPTY, window(0), budget(0), share(0)) == [
            (70, 30 * SECOND),
            (8, 63 * SECOND),
            (2, MINUTE),
            (80, 0),
        ]
        await settled(store, other, 0)
        assert await look(store, EMPTY, share(0)) == [(80, 20 * SECOND), (100, 0)]

    async def test_settlements_come_in_any_order(self, store: Store) -> None:
        receipts = [await take(store, reserve(cost)) for cost in (10, 20, 30)]
        for receipt, used in ((receipts[1], 15), (receipts[0], 25), (receipts[2], 10)):
            await settled(store, receipt, used)
        # 60 reserved, 5 back, 15 owed, 20 back.
        assert await look(store, EMPTY) == [(50, 50 * SECOND)]

    async def test_a_refund_is_what_time_has_left(self, store: Store, clock: FakeClock) -> None:
        """60 reserved, 29 s pass, 20 used: of 40 unused 31 can come back, the rest has come by itself."""
        receipt = await take(store, reserve(60))
        clock.advance(29)
        await settled(store, receipt, 20)
        assert await look(store, EMPTY) == [(100, 0)]
        assert (await take(store, reserve(101))).code == "denied"

    async def test_a_refund_is_what_time_has_left_at_each_renewal(self, store: Store, clock: FakeClock) -> None:
        """15 reserved, 60 by another; at 10 s what may come back of the 15 is cut to 5, and stays though T has passed."""
        receipt = await take(store, reserve(15))
        await take(store, reserve(60))
        for _ in range(4):
            clock.advance(10)
            receipt = await renewed(store, receipt)
        await settled(store, receipt, 0)
        assert await look(store, EMPTY) == [(70, 30 * SECOND)]

    async def test_refunds_of_others_come_out_of_the_same_time(self, store: Store, clock: FakeClock) -> None:
        """A 50, B 50, both unused; at 20 B gives back 50, and of A's 50 nothing is left that time has not given."""
        first, second = await take(store, reserve(50)), await take(store, reserve(50))
        clock.advance(20)
        await settled(store, second, 0)
        await settled(store, first, 0)
        assert await look(store, EMPTY) == [(70, 30 * SECOND)]

    async def test_open_reservations_are_bounded_together(self, store: Store, clock: FakeClock) -> None:
        """A and B reserve all of the burst; C uses 20 at second 20, then A and B come back whole. 80 remain, not 90."""
        first, second = await take(store, reserve(50)), await take(store, reserve(50))
        clock.advance(10)
        first, second = await store.renew([first, second])
        clock.advance(10)
        await take(store, bucket(20, 100))
        first, second = await store.renew([first, second])
        await settled(store, first, 0)
        await settled(store, second, 0)
        assert await look(store, EMPTY) == [(80, 20 * SECOND)]

    async def test_remainders_come_back_whole(self, store: Store) -> None:
        await take(store, bucket(1, 7, 7))
        await settled(store, await take(store, bucket(3, 7, 7, reserved=True)), 0)
        await settled(store, await take(store, bucket(3, 7, 7, reserved=True)), 1)
        assert await look(store, bucket(0, 7, 7)) == [(5, 285_715)]

    async def test_a_debt_without_end_is_cut(self, store: Store) -> None:
        await settled(store, await take(store, reserve(1), window(1, reserved=True), budget(1, reserved=True)), *[2**60] * 3)
        receipt = await take(store, reserve(1), window(1), budget(1))
        assert receipt.code == "denied"
        assert [reading.remaining for reading in receipt.readings] == [0, 0, 0]
        assert 0 < receipt.readings[0].wait < 2**53

    async def test_a_window_is_corrected_in_the_pane_that_was_charged(self, store: Store, clock: FakeClock) -> None:
        receipt = await take(store, window(8, reserved=True))
        clock.advance(29)
        await take(store, window(2))
        await settled(store, receipt, 3)
        assert await look(store, window(0)) == [(5, 61 * SECOND)]
        clock.advance(34)
        assert await look(store, window(0)) == [(8, 27 * SECOND)]

    async def test_a_window_s_debt_counts_when_it_is_known(self, store: Store, clock: FakeClock) -> None:
        receipt = await take(store, window(8, reserved=True))
        clock.advance(29)
        await settled(store, receipt, 15)
        assert await look(store, window(0)) == [(0, 61 * SECOND)]
        clock.advance(34)
        assert await look(store, window(0)) == [(3, 27 * SECOND)]

    async def test_a_window_s_refund_goes_nowhere_once_its_pane_is_gone(self, store: Store, clock: FakeClock) -> None:
        """Ten in ten seconds, panes of half a second: what came first leaves at 10.5 s."""
        receipt = await take(store, window(8, length=10 * SECOND, reserved=True))
        clock.advance(10.5)
        await take(store, window(4, length=10 * SECOND))
        await settled(store, receipt, 0)
        assert await look(store, window(0, length=10 * SECOND)) == [(6, 10_500_000)]

    @pytest.mark.parametrize(("used", "remaining"), [(3, 7), (12, 0), (10, 0)])
    async def test_a_budget_is_corrected(self, store: Store, used: int, remaining: int) -> None:
        await settled(store, await take(store, budget(10, reserved=True)), used)
        assert await look(store, budget(0)) == [(remaining, MINUTE)]

    @pytest.mark.parametrize(("used", "remaining"), [(0, 6), (13, 3)])
    async def test_a_budget_of_the_next_period_gets_debts_and_no_refunds(
        self, store: Store, clock: FakeClock, used: int, remaining: int
    ) -> None:
        clock.advance(45)
        receipt = await take(store, budget(10, reserved=True))
        clock.advance(20)
        await take(store, budget(4))
        await settled(store, receipt, used)
        assert await look(store, budget(0)) == [(remaining, 55 * SECOND)]

    async def test_cancelled_gives_everything_back_but_what_was_seen(self, store: Store) -> None:
        kept = await take(store, reserve(10), window(1), budget(1), lease(3), share(10))
        steps = (bucket(20, 100), window(4, reserved=True), budget(4), lease(3), share(50), distinct(1))
        receipt = await store.charge(spread((ACCOUNT, *steps), (NETWORK, bucket(5), lease())))
        await settled(store, receipt, 90, 9, 9, outcome="cancelled")
        assert await look(store, EMPTY, window(0), budget(0), lease(3), share(0)) == [
            (90, 10 * SECOND),
            (9, 63 * SECOND),
            (9, MINUTE),
            (2, 0),
            (90, 0),
        ]
        assert await look(store, bucket(0), lease(), home=NETWORK) == [(10, 0), (1, 0)]
        assert (await take(store, distinct(2))).readings[0].remaining == 2
        await settled(store, kept)

    async def test_a_bill_without_a_receipt_can_be_cancelled(self, store: Store, clock: FakeClock) -> None:
        receipt = await store.charge(spread((ACCOUNT, bucket(4), window(4), budget(4)), ("e", bucket(6))))
        assert not receipt.open
        clock.advance(2)
        await settled(store, receipt, outcome="cancelled")
        assert await look(store, bucket(0), window(0), budget(0)) == [(10, 0), (10, 0), (10, 58 * SECOND)]
        assert await look(store, bucket(0), home="e") == [(10, 0)]

    async def test_a_bill_without_a_receipt_is_not_corrected_by_saying_nothing(self, store: Store) -> None:
        receipt = await take(store, bucket(4))
        await settled(store, receipt)
        assert await look(store, bucket(0)) == [(6, 4 * SECOND)]

    async def test_a_shadow_step_that_was_not_charged_is_not_corrected(self, store: Store) -> None:
        await take(store, reserve(90))
        receipt = await take(store, reserve(20)._replace(shadow=True), lease())
        await settled(store, receipt, 0)
        assert await look(store, EMPTY) == [(10, 90 * SECOND)]
        receipt = await take(store, reserve(20)._replace(shadow=True), lease())
        await settled(store, receipt, 50, outcome="cancelled")
        assert await look(store, EMPTY, lease()) == [(10, 90 * SECOND), (1, 0)]

    async def test_a_settled_lease_is_free(self, store: Store) -> None:
        receipt = await store.charge(spread((ACCOUNT, lease()), ("e", lease(2))))
        assert (await take(store, lease())).code == "denied"
        await settled(store, receipt)
        assert await look(store, lease()) == [(1, 0)]
        assert await look(store, lease(2), home="e") == [(2, 0)]

    async def test_an_expired_receipt_settles_nothing(self, store: Store, clock: FakeClock) -> None:
        """Whoever did not renew for 30 s has lost it: the charge stands, the slot was given away."""
        in_time, late = await take(store, reserve(20), lease(2)), await take(store, reserve(60), lease(2))
        clock.advance(29.999999)
        await settled(store, in_time, 30)
        clock.advance(0.000001)
        await settled(store, late, 0)
        assert await look(store, EMPTY, lease(2)) == [(40, 60 * SECOND), (2, 0)]

    async def test_a_renewed_receipt_settles(self, store: Store, clock: FakeClock) -> None:
        receipt = await take(store, reserve(80), share(100), lease())
        for _ in range(3):
            clock.advance(25)
            receipt = await renewed(store, receipt)
        clock.advance(4)
        assert (await take(store, share(1))).code == "denied"
        await settled(store, receipt, 81)
        assert await look(store, EMPTY, share(0), lease()) == [(98, 2 * SECOND), (100, 0), (1, 0)]

    async def test_a_lost_lease_is_put_back_over_the_limit(self, store: Store, clock: FakeClock) -> None:
        first = await take(store, lease(), share(60))
        clock.advance(30)
        second = await take(store, lease(), share(70))
        assert second.code == "admitted"
        first = await renewed(store, first)
        assert (await take(store, lease())).readings[0].remaining == 0
        assert await look(store, share(0)) == [(0, 0)]
        await settled(store, second)
        assert (await take(store, lease())).code == "denied"
        assert await look(store, share(0)) == [(40, 0)]
        await settled(store, first)
        assert (await take(store, lease())).code == "admitted"

    async def test_a_lost_lease_of_a_home_that_was_forgotten_is_put_back(self, store: Store, clock: FakeClock) -> None:
        """The payer is still known; of the other home nothing was left but the lease."""
        receipt = await store.charge(spread((ACCOUNT, window(1)), (NETWORK, lease(), bucket(1, reserved=True))))
        clock.advance(30)
        await take(store, bucket(1), home="a:0002")
        receipt = await renewed(store, receipt)
        assert (await take(store, lease(), home=NETWORK)).code == "denied"
        await settled(store, receipt, None, None, 5)
        assert await look(store, lease(), bucket(0), home=NETWORK) == [(1, 0), (6, 4 * SECOND)]

    async def test_renewals_answer_in_order(self, store: Store, clock: FakeClock) -> None:
        """What has no receipt comes back as it is."""
        receipts = [
            await take(store, reserve(5), home=ACCOUNT),
            await take(store, bucket(1), home=NETWORK),
            await store.charge(spread(("e", lease(5)), (NETWORK, lease(5)))),
        ]
        clock.advance(10)
        again = await store.renew(receipts)
        assert [receipt.bill for receipt in again] == [receipt.bill for receipt in receipts]
        assert again[1] == receipts[1]
        assert await store.renew([]) == []

    async def test_an_hour_long_stream_keeps_its_lease(self, store: Store, clock: FakeClock) -> None:
        receipt = await store.charge(spread((ACCOUNT, lease()), ("e", lease())))
        for turn in range(360):
            clock.advance(10)
            receipt = await renewed(store, receipt)
            if turn % 30 == 0:
                assert (await take(store, lease())).code == "denied"
                assert (await take(store, lease(), home="e")).code == "denied"
        await settled(store, receipt)
        assert (await take(store, lease())).code == "admitted"
        assert (await take(store, lease(), home="e")).code == "admitted"

    async def test_a_settlement_during_a_renewal_has_the_last_word(self, store: Store, clock: FakeClock) -> None:
        """One task renews what others settle at the same moment."""
        receipts = [await take(store, lease(20), share(5)) for _ in range(20)]
        clock.advance(10)
        renewal = asyncio.create_task(store.renew(receipts))
        await asyncio.sleep(0)
        for receipt in receipts:
            store.settle([Settlement(receipt, "settled")])
            await asyncio.sleep(0)
        await renewal
        await store.drain()
        assert await look(store, lease(20), share(0)) == [(20, 0), (100, 0)]

    async def test_a_killed_process_frees_its_slots_in_thirty_seconds(self, store: Store, clock: FakeClock) -> None:
        receipt = await take(store, lease(), share(100))
        clock.advance(10)
        await store.renew([receipt])
        clock.advance(29.999999)
        assert (await take(store, lease())).code == "denied"
        clock.advance(0.000001)
        assert (await take(store, lease(), share(100))).code == "admitted"

    async def test_what_was_learned_is_told_once(self, store: Store) -> None:
        learned = (Change("add", "score", "3"), Change("set", "rung", "delay"))
        receipt = await take(store, reserve(1), candidate=ACCOUNT)
        await settled(store, receipt, 1, changes=learned)
        await settled(store, receipt, 1, changes=learned)
        standing = (await store.peek(bill(candidate=ACCOUNT))).standing
        assert standing is not None
        assert (standing.fields["score"], standing.fields["rung"]) == ("3", "delay")

    async def test_what_was_learned_without_a_receipt_is_told(self, store: Store) -> None:
        receipt = await take(store, bucket(1), home=NETWORK, candidate=ACCOUNT)
        await settled(store, receipt, changes=(Change("set", "proved", "1"),))
        assert (await take(store, bucket(1), home=NETWORK, candidate=ACCOUNT)).code == "stale"

    async def test_settling_what_was_denied_does_nothing(self, store: Store) -> None:
        await take(store, bucket(10))
        denied = await take(store, bucket(1), lease())
        await settled(store, denied, outcome="cancelled")
        store.settle([])
        await store.drain()
        assert await look(store, bucket(0), lease()) == [(0, 10 * SECOND), (1, 0)]
