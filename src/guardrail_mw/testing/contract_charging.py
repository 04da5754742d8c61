# ruff: noqa: D102, S101, PLR2004 - tests: a name says what it shows, assert is how they speak, figures are worked out by hand
"""The store's contract: what is charged, and what is answered. Figures by hand; the clock starts at 2026-01-01T00:00:00Z."""

from __future__ import annotations

import asyncio
from math import ceil
from typing import Any, ClassVar

import pytest

from guardrail_mw.stores.base import Gcra, Share, Step, Store
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
    distinct,
    lease,
    look,
    settled,
    share,
    shown,
    spread,
    take,
    window,
)
from guardrail_mw.testing.clock import FakeClock

__all__ = ["Charging"]

SPENT: dict[str, Step] = {
    "bucket": bucket(10),
    "window": window(10),
    "budget": budget(10),
    "lease": lease(),
    "share": share(100),
}
"""Each kind of step, such that a second one is refused."""
MORE: dict[str, Step] = {"bucket": bucket(3), "window": window(3), "budget": budget(3), "lease": lease(3), "share": share(3)}
"""Each kind of step, as it fits into a new subject."""
PROBE: tuple[Step, ...] = (bucket(0), window(0), budget(0), lease(3), share(0))
NEW = [(10, 0), (10, 0), (10, MINUTE), (3, 0), (100, 0)]
"""What `PROBE` shows of a new subject."""


class Charging:
    """Every kind of step, all or nothing, several homes, shadow."""

    exact: ClassVar[bool]
    """Whether a bill of several homes is charged at once; else one home by one, and given back where another refused."""

    async def test_bucket(self, store: Store, clock: FakeClock) -> None:
        assert shown(await take(store, bucket(4))) == [(True, 6, 4 * SECOND, 0)]
        refused = await take(store, bucket(7))
        assert refused.code == "denied"
        assert shown(refused) == [(False, 6, 4 * SECOND, SECOND)]
        clock.advance(0.999999)
        assert shown(await take(store, bucket(7))) == [(False, 6, 3_000_001, 1)]
        clock.advance(0.000001)
        assert shown(await take(store, bucket(7))) == [(True, 0, 10 * SECOND, 0)]

    async def test_bucket_carries_remainders(self, store: Store, clock: FakeClock) -> None:
        """Seven a second: a unit spans 142,857 + 1/7 µs. Polled at odd times it admits burst + floor(rate * t)."""
        step = bucket(1, 7, 7)
        for left, reset in ((6, 142_858), (5, 285_715), (4, 428_572), (3, 571_429), (2, 714_286), (1, 857_143), (0, SECOND)):
            assert shown(await take(store, step)) == [(True, left, reset, 0)]
        admitted, passed = 7, 0
        for turn in range(60):
            gap = (142_857, 142_858, 99_991)[turn % 3]
            clock.advance(gap / SECOND)
            passed += gap
            while (await take(store, step)).code == "admitted":
                admitted += 1
            assert admitted == 7 + passed * 7 // SECOND

    async def test_bucket_is_exact_near_the_largest_numbers(self, store: Store, clock: FakeClock) -> None:
        """Amount and period are primes, burst * period is just below 2^52."""
        amount, period = 1_000_003, 4_294_967_291
        burst = 2**52 // period
        whole, one = Gcra("large", burst, amount, period, burst), Gcra("large", 1, amount, period, burst)
        full = -(-burst * period // amount)
        assert shown(await take(store, whole)) == [(True, 0, full, 0)]
        wait = ceil(period / amount)  # 4294.95… µs
        assert wait == 4295
        assert shown(await take(store, one)) == [(False, 0, full, wait)]
        clock.advance((wait - 1) / SECOND)
        assert shown(await take(store, one)) == [(False, 0, full - wait + 1, 1)]
        clock.advance(1 / SECOND)
        assert (await take(store, one)).code == "admitted"

    async def test_bucket_keeps_a_share_from_strangers(self, store: Store) -> None:
        assert shown(await take(store, bucket(7, kept=3))) == [(True, 0, 7 * SECOND, 0)]
        assert shown(await take(store, bucket(1, kept=3))) == [(False, 0, 7 * SECOND, SECOND)]
        assert shown(await take(store, bucket(3))) == [(True, 0, 10 * SECOND, 0)]
        assert shown(await take(store, bucket(1, kept=3))) == [(False, 0, 10 * SECOND, 4 * SECOND)]

    async def test_bucket_owes_nothing_after_a_cost_that_never_fits(self, store: Store) -> None:
        assert shown(await take(store, bucket(12))) == [(False, 10, 0, 2 * SECOND)]
        assert shown(await take(store, bucket(10))) == [(True, 0, 10 * SECOND, 0)]

    async def test_buckets_of_other_fields_and_homes_are_others(self, store: Store) -> None:
        await take(store, bucket(10))
        assert (await take(store, bucket(10)._replace(field="other"))).code == "admitted"
        assert (await take(store, bucket(10), home=NETWORK)).code == "admitted"
        assert (await take(store, bucket(1))).code == "denied"

    async def test_window(self, store: Store, clock: FakeClock) -> None:
        """Ten a minute in panes of 3 s: what came in the first leaves when the twenty-second begins."""
        assert shown(await take(store, window(6))) == [(True, 4, 63 * SECOND, 0)]
        clock.advance(30)
        assert shown(await take(store, window(4))) == [(True, 0, 63 * SECOND, 0)]
        clock.advance(32.999999)
        assert shown(await take(store, window(6))) == [(False, 0, 30_000_001, 1)]
        assert shown(await take(store, window(7))) == [(False, 0, 30_000_001, 30_000_001)]
        clock.advance(0.000001)
        assert shown(await take(store, window(6))) == [(True, 0, 63 * SECOND, 0)]

    async def test_window_forgets_after_a_long_time(self, store: Store, clock: FakeClock) -> None:
        await take(store, window(10))
        clock.advance(86_400)
        assert await look(store, window(0)) == [(10, 0)]
        assert (await take(store, window(10))).code == "admitted"

    @pytest.mark.parametrize(
        ("calendar", "ends"),
        [("minute", MINUTE), ("hour", HOUR), ("day", DAY), ("week", 4 * DAY), ("month", 31 * DAY), ("year", 365 * DAY)],
    )
    async def test_budget(self, store: Store, clock: FakeClock, calendar: str, ends: int) -> None:
        """2026 began on a Thursday; the week ends on Monday."""
        assert shown(await take(store, budget(8, calendar=calendar))) == [(True, 2, ends, 0)]
        clock.advance(ends / SECOND - 0.000001)
        assert shown(await take(store, budget(3, calendar=calendar))) == [(False, 2, 1, 1)]
        assert shown(await take(store, budget(2, calendar=calendar))) == [(True, 0, 1, 0)]
        clock.advance(0.000001)
        assert (await take(store, budget(10, calendar=calendar))).code == "admitted"

    async def test_budget_of_february_in_a_leap_year(self, store: Store, clock: FakeClock) -> None:
        clock.advance((2 * 365 + 31 + 28) * 86_400)  # 2028-02-29
        assert shown(await take(store, budget(1, calendar="month"))) == [(True, 9, DAY, 0)]

    async def test_lease(self, store: Store, clock: FakeClock) -> None:
        first = await take(store, lease(2))
        assert first.open
        assert shown(first) == [(True, 1, 0, 0)]
        clock.advance(10)
        assert shown(await take(store, lease(2))) == [(True, 0, 0, 0)]
        assert shown(await take(store, lease(2))) == [(False, 0, 0, 20 * SECOND)]
        clock.advance(19.999999)
        assert shown(await take(store, lease(2))) == [(False, 0, 0, 1)]
        clock.advance(0.000001)
        assert shown(await take(store, lease(2))) == [(True, 0, 0, 0)]

    async def test_share(self, store: Store) -> None:
        first = await take(store, share(60))
        assert first.open
        assert shown(first) == [(True, 40, 0, 0)]
        assert shown(await take(store, share(41))) == [(False, 40, 0, SECOND)]
        assert shown(await take(store, share(40))) == [(True, 0, 0, 0)]
        await settled(store, first)
        assert shown(await take(store, share(60))) == [(True, 0, 0, 0)]

    async def test_share_is_never_more_than_its_cap(self, store: Store) -> None:
        """What is all of the cap fits where nothing is open; what is more is refused or cut to the cap."""
        assert shown(await take(store, share(100))) == [(True, 0, 0, 0)]
        other = await take(store, share(150), home="a:0002")
        assert other.readings[0].remaining == (0 if other.code == "admitted" else 100)
        assert (await take(store, share(100), home="a:0002")).code == ("denied" if other.code == "admitted" else "admitted")

    async def test_share_of_a_dead_process_comes_back(self, store: Store, clock: FakeClock) -> None:
        await take(store, share(70))
        clock.advance(10)
        await take(store, share(20))
        clock.advance(19.999999)
        assert await look(store, share(0)) == [(10, 0)]
        clock.advance(0.000001)
        assert await look(store, share(0)) == [(80, 0)]
        assert shown(await take(store, share(80))) == [(True, 0, 0, 0)]

    @pytest.mark.parametrize("refuser", sorted(SPENT))
    async def test_all_or_nothing(self, store: Store, refuser: str) -> None:
        """Whatever refuses, nothing is charged, and the readings show how things stand."""
        await take(store, SPENT[refuser])
        before = await look(store, *PROBE)
        steps = [MORE[kind] if kind != refuser else SPENT[kind] for kind in SPENT]
        receipt = await take(store, *steps)
        assert receipt.code == "denied"
        assert not receipt.open
        assert [reading.ok for reading in receipt.readings] == [kind != refuser for kind in SPENT]
        assert [reading.wait > 0 for reading in receipt.readings] == [kind == refuser for kind in SPENT]
        for kind, reading, (remaining, reset) in zip(SPENT, receipt.readings, before, strict=True):
            if kind != refuser or kind != "lease":  # the probe's leases are of another limit
                assert (reading.remaining, reading.reset) == (remaining, reset)
        assert await look(store, *PROBE) == before

    async def test_all_of_it(self, store: Store) -> None:
        receipt = await take(store, *MORE.values(), distinct(1))
        assert receipt.code == "admitted"
        assert receipt.open
        assert receipt.standing is None
        assert shown(receipt)[:5] == [
            (True, 7, 3 * SECOND, 0),
            (True, 7, 63 * SECOND, 0),
            (True, 7, MINUTE, 0),
            (True, 2, 0, 0),
            (True, 97, 0, 0),
        ]
        assert await look(store, *PROBE) == [(7, 3 * SECOND), (7, 63 * SECOND), (7, MINUTE), (2, 0), (97, 0)]

    async def test_a_bill_that_reserves_nothing_leaves_no_receipt(self, store: Store) -> None:
        assert not (await take(store, bucket(1), window(1), budget(1), distinct(1))).open
        for step in (bucket(1, reserved=True), window(1, reserved=True), budget(1, reserved=True), lease(), share(1)):
            assert (await take(store, step)).open

    async def test_several_homes(self, store: Store) -> None:
        receipt = await store.charge(spread((ACCOUNT, bucket(4)), (NETWORK, window(5), lease(3)), ("e", bucket(6))))
        assert receipt.code == "admitted"
        assert shown(receipt) == [
            (True, 6, 4 * SECOND, 0),
            (True, 5, 63 * SECOND, 0),
            (True, 2, 0, 0),
            (True, 4, 6 * SECOND, 0),
        ]
        assert await look(store, bucket(0), home="e") == [(4, 6 * SECOND)]
        assert await look(store, window(0), lease(3), home=NETWORK) == [(5, 63 * SECOND), (2, 0)]

    @pytest.mark.parametrize("refuser", [ACCOUNT, NETWORK, "e"])
    async def test_all_or_nothing_over_several_homes(self, store: Store, refuser: str) -> None:
        await take(store, bucket(10)._replace(field="spent"), home=refuser)
        homes = (ACCOUNT, NETWORK, "e")
        steps: tuple[Step, ...] = (*MORE.values(), bucket(1)._replace(field="spent"))
        others = [step for step in steps if not isinstance(step, Share)]
        receipt = await store.charge(spread((ACCOUNT, *steps), (NETWORK, *others), ("e", *others)))
        assert receipt.code == "denied"
        assert not receipt.open
        asked = [ACCOUNT] * 6 + [NETWORK] * 5 + ["e"] * 5
        refused = [home for home, reading in zip(asked, receipt.readings, strict=True) if not reading.ok]
        assert refused == [refuser]
        await store.drain()
        for home in homes:
            assert await look(store, *PROBE, home=home) == NEW

    @pytest.mark.parametrize("refuser", sorted(SPENT))
    async def test_shadow(self, store: Store, refuser: str) -> None:
        """A shadow limit that would refuse leaves itself uncharged, says so, and lets the others charge."""
        await take(store, SPENT[refuser])
        before = dict(zip(SPENT, await look(store, *PROBE), strict=True))
        shadow: Any = SPENT[refuser]
        receipt = await take(store, shadow._replace(shadow=True), bucket(4)._replace(field="other"))
        assert receipt.code == "admitted"
        assert [reading.ok for reading in receipt.readings] == [False, True]
        assert receipt.readings[0].wait > 0
        assert receipt.readings[1].remaining == 6
        after = dict(zip(SPENT, await look(store, *PROBE), strict=True))
        assert after == before

    @pytest.mark.parametrize("kind", sorted(SPENT))
    async def test_shadow_that_fits_is_charged(self, store: Store, kind: str) -> None:
        shadow: Any = SPENT[kind]
        assert (await take(store, shadow._replace(shadow=True))).readings[0].ok
        assert (await take(store, SPENT[kind])).code == "denied"

    async def test_a_flood_of_refusals_starves_nobody(self, store: Store) -> None:
        """What one subject's own limit refuses takes nothing from what all share."""
        await take(store, bucket(10))
        for _ in range(30):
            assert (await store.charge(spread((ACCOUNT, bucket(1)), ("e", bucket(1), window(1))))).code == "denied"
        await store.drain()
        assert await look(store, bucket(0), window(0), home="e") == [(10, 0), (10, 0)]

    async def test_late(self, store: Store, clock: FakeClock) -> None:
        """On the microsecond is in time."""
        assert (await take(store, bucket(1), not_after=clock.now())).code == "admitted"
        receipt = await take(store, bucket(1), lease(), share(1), window(1), not_after=clock.now() - 1)
        assert receipt.code == "late"
        assert not receipt.open
        assert await look(store, *PROBE) == [(9, SECOND), *NEW[1:]]

    async def test_peek_changes_nothing(self, store: Store, clock: FakeClock) -> None:
        steps = (bucket(4), window(4), budget(4), lease(3), share(40), distinct(1))
        for _ in range(2):
            receipt = await store.peek(bill(*steps))
            assert (receipt.code, receipt.open, receipt.now) == ("admitted", False, clock.now())
            assert [(reading.ok, reading.mark) for reading in receipt.readings] == [(True, None)] * 6
            assert receipt.readings[5].remaining == 1
        assert await look(store, *PROBE) == NEW
        await take(store, *steps)
        refused = await store.peek(bill(bucket(7), window(7), budget(7), lease(1), share(70), distinct(2)))
        assert refused.code == "denied"
        assert [(reading.ok, reading.wait) for reading in refused.readings[:5]] == [
            (False, SECOND),
            (False, 63 * SECOND),
            (False, MINUTE),
            (False, 30 * SECOND),
            (False, SECOND),
        ]
        assert (await take(store, distinct(3))).readings[0].remaining == 2

    async def test_two_hundred_at_once(self, store: Store) -> None:
        receipts = await asyncio.gather(*(take(store, bucket(1)) for _ in range(200)))
        assert sum(receipt.code == "admitted" for receipt in receipts) == 10
        assert sum(receipt.code == "denied" for receipt in receipts) == 190

    @pytest.mark.parametrize(("step", "fit"), [(window(1), 10), (budget(1), 10), (lease(4), 4), (share(30), 3)])
    async def test_every_kind_is_exact_at_once(self, store: Store, step: Step, fit: int) -> None:
        receipts = await asyncio.gather(*(take(store, step) for _ in range(60)))
        assert sum(receipt.code == "admitted" for receipt in receipts) == fit

    async def test_two_hundred_over_several_homes_at_once(self, store: Store) -> None:
        """Everyone's ten, asked for by two hundred accounts, each with a bucket of its own."""
        bills = [spread((f"a:{number:04}", bucket(1)), ("e", bucket(1))) for number in range(200)]
        receipts = await asyncio.gather(*(store.charge(each) for each in bills))
        admitted = sum(receipt.code == "admitted" for receipt in receipts)
        assert admitted == 10 if self.exact else 0 < admitted <= 10
        await store.drain()
        assert await look(store, bucket(0), home="e") == [(10 - admitted, admitted * SECOND)]
