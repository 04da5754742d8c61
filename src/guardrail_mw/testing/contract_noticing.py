# ruff: noqa: D102, S101, PLR2004 - tests: a name says what it shows, assert is how they speak, figures are worked out by hand
"""The store's contract: what a caller is told of a standing that changed. The clock starts at 2026-01-01T00:00:00Z."""

from __future__ import annotations

import asyncio

import pytest

from guardrail_mw.stores.base import Change, Receipt, Store
from guardrail_mw.testing.bills import ACCOUNT, NETWORK, SECOND, bill, bucket, counted, distinct, lease, settled, shown, take
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.contract_remembering import put, standing
from guardrail_mw.values import Standing

__all__ = ["Noticing"]

HEAT = 1_767_225_600_000_000 + 1800 * SECOND * 6
"""µs at which a risk of 64 that halves every half hour is 1."""


async def _told(store: Store, seen: int, version: int = 0, cost: int = 1) -> Receipt:
    """Charge a bill of somebody who has seen that much of the standing."""
    return await take(store, bucket(cost), candidate=ACCOUNT, version=version, seen=seen)


class Noticing:
    """`seen`: a change that no plan depends on is told with the next receipt, and the bill is decided as it stands."""

    async def test_nothing_is_told_of_a_newcomer(self, store: Store) -> None:
        receipt = await _told(store, 0)
        assert (receipt.code, receipt.standing) == ("admitted", None)
        assert await standing(store) == Standing(0, {}, 0)

    async def test_what_changed_is_told_with_the_receipt(self, store: Store, clock: FakeClock) -> None:
        assert await store.remember(ACCOUNT, [put("rung", "delay 1"), Change("max", "heat", str(HEAT))]) == 0
        receipt = await _told(store, 0)
        kept = Standing(0, {"rung": "delay 1", "heat": str(HEAT)}, clock.now())
        assert (receipt.code, receipt.standing, shown(receipt)) == ("admitted", kept, [(True, 9, SECOND, 0)])
        receipt = await _told(store, kept.seen)
        assert (receipt.code, receipt.standing, shown(receipt)) == ("admitted", None, [(True, 8, 2 * SECOND, 0)])

    async def test_what_is_denied_is_told_too(self, store: Store, clock: FakeClock) -> None:
        await store.remember(ACCOUNT, [put("rung", "delay 1")])
        receipt = await _told(store, 0, cost=11)
        assert (receipt.code, receipt.standing) == ("denied", Standing(0, {"rung": "delay 1"}, clock.now()))
        assert shown(receipt) == [(False, 10, 0, SECOND)]

    async def test_it_is_told_beside_any_kind_of_step(self, store: Store, clock: FakeClock) -> None:
        await store.remember(ACCOUNT, [put("rung", "delay 1")])
        steps = (bucket(1, 50, 7, 9), counted("attempts"), distinct(1), lease())
        receipt = await take(store, *steps, candidate=ACCOUNT)
        assert (receipt.code, receipt.open) == ("admitted", True)
        assert receipt.standing == Standing(0, {"rung": "delay 1"}, clock.now())
        assert [reading.remaining for reading in receipt.readings] == [49, 1, 1, 0]
        await settled(store, receipt)
        again = await take(store, *steps, candidate=ACCOUNT, seen=receipt.standing.seen)
        assert (again.code, again.standing) == ("admitted", None)

    async def test_the_version_comes_first(self, store: Store, clock: FakeClock) -> None:
        """What plans depend on is still `stale`, and a version that fits is not hidden by what else changed."""
        version = await store.remember(ACCOUNT, [put("tier", "x")])
        clock.advance(1)
        await store.remember(ACCOUNT, [put("rung", "delay 1")])
        stale = await _told(store, 0)
        assert (stale.code, stale.readings) == ("stale", ())
        assert stale.standing == Standing(version, {"tier": "x", "rung": "delay 1"}, version + SECOND)
        assert (await _told(store, version, version)).standing == stale.standing
        assert (await _told(store, version + SECOND, version)).standing is None

    @pytest.mark.parametrize("seen", [-3, 1, 2**52])
    async def test_whoever_has_seen_what_is_not_there_is_told(self, store: Store, seen: int) -> None:
        """A process that made up changes of its own, or a store that was emptied."""
        receipt = await _told(store, seen)
        assert (receipt.code, receipt.standing) == ("admitted", Standing(0, {}, 0))

    async def test_a_version_that_no_store_gives_is_stale(self, store: Store) -> None:
        receipt = await _told(store, -2, -1)
        assert (receipt.code, receipt.standing) == ("stale", Standing(0, {}, 0))

    async def test_the_beginning_of_a_standing_is_a_change(self, store: Store, clock: FakeClock) -> None:
        begun = clock.now()
        for seen, expected in ((0, None), (0, Standing(0, {"since": str(begun)}, begun)), (begun, None)):
            receipt = await take(store, bucket(1), candidate=ACCOUNT, proved=True, seen=seen)
            assert (receipt.code, receipt.standing) == ("admitted", expected)
            clock.advance(7200)  # that an account still calls is noted, and is no change

    async def test_the_beginning_of_a_standing_that_was_changed_before(self, store: Store, clock: FakeClock) -> None:
        await store.remember(ACCOUNT, [put("rung", "delay 1")])
        receipt = await take(store, bucket(1), candidate=ACCOUNT, proved=True)
        fields = {"rung": "delay 1", "since": str(clock.now())}
        assert receipt.standing == Standing(0, fields, clock.now() + 1)

    async def test_what_changes_nothing_is_not_told(self, store: Store, clock: FakeClock) -> None:
        await store.remember(ACCOUNT, [put("note", "x"), Change("max", "heat", str(HEAT)), put("tier", "x")])
        before = await standing(store)
        clock.advance(1)
        same = [put("note", "x"), Change("max", "heat", str(HEAT - 1)), Change("max", "heat", str(HEAT))]
        same += [Change("first", "note", "y"), Change("unset", "never"), Change("add", "met", "0"), Change("unset", "met")]
        await store.remember(ACCOUNT, [each for each in same if each.field != "met"])
        await store.remember(ACCOUNT, [])
        assert await standing(store) == before

    async def test_it_grows_with_every_change(self, store: Store, clock: FakeClock) -> None:
        """Though the clock stands, or is set back."""
        seen = []
        for number in range(8):
            if number == 4:
                clock.jump(-3600)
            await store.remember(ACCOUNT, [put("note", str(number)), Change("add", "met", "1")])
            seen.append((await standing(store)).seen)
        assert seen == [seen[0] + number for number in range(8)]
        assert (await standing(store)).version == 0

    async def test_a_settlement_s_changes_are_told(self, store: Store, clock: FakeClock) -> None:
        receipt = await take(store, bucket(1), home=NETWORK, candidate=ACCOUNT)
        clock.advance(3)
        await settled(store, receipt, changes=(Change("max", "heat", str(HEAT)), Change("add", "met", "1")))
        assert (await _told(store, 0)).standing == Standing(0, {"heat": str(HEAT), "met": "1"}, clock.now())
        clock.advance(3)
        leased = await take(store, lease(), candidate=ACCOUNT, seen=clock.now() - 3 * SECOND)
        assert leased.standing is None
        await settled(store, leased, changes=(Change("max", "heat", str(HEAT + 1)), Change("add", "met", "1")))
        assert (await _told(store, 0)).standing == Standing(0, {"heat": str(HEAT + 1), "met": "2"}, clock.now())

    async def test_whole_numbers_are_exact_to_the_largest(self, store: Store) -> None:
        """Times in µs are; 2^53 - 1 is the largest that any store must hold."""
        most = 2**53 - 1
        await store.remember(ACCOUNT, [Change("max", "heat", str(most - 1)), Change("add", "met", str(most - 1))])
        await store.remember(ACCOUNT, [Change("max", "heat", str(most)), Change("add", "met", "1")])
        await store.remember(ACCOUNT, [Change("max", "heat", str(most - 1)), Change("max", "low", str(-most))])
        assert (await standing(store)).fields == {"heat": str(most), "met": str(most), "low": str(-most)}

    async def test_fields_of_one_letter_are_not_shown(self, store: Store) -> None:
        """What a store notes for itself."""
        await take(store, bucket(1), candidate=ACCOUNT, proved=True)
        await store.remember(ACCOUNT, [put("tier", "x")])
        assert set((await standing(store)).fields) == {"since", "tier"}

    async def test_an_expired_standing_is_told_as_gone(self, store: Store, clock: FakeClock) -> None:
        await store.remember(ACCOUNT, [put("rung", "delay 1")])
        seen = (await standing(store)).seen
        clock.advance(91 * 86_400)
        receipt = await _told(store, seen)
        assert (receipt.code, receipt.standing) == ("admitted", Standing(0, {}, 0))
        assert (await _told(store, 0)).standing is None

    async def test_an_expired_standing_begins_anew_and_is_told(self, store: Store, clock: FakeClock) -> None:
        await store.remember(ACCOUNT, [put("rung", "delay 1")])
        seen = (await standing(store)).seen
        clock.advance(91 * 86_400)
        receipt = await take(store, bucket(1), candidate=ACCOUNT, proved=True, seen=seen)
        assert receipt.standing == Standing(0, {"since": str(clock.now())}, clock.now())

    async def test_peek_tells_whatever_was_seen(self, store: Store, clock: FakeClock) -> None:
        await store.remember(ACCOUNT, [put("rung", "delay 1")])
        for seen in (0, clock.now()):
            receipt = await store.peek(bill(bucket(1), candidate=ACCOUNT, seen=seen))
            assert receipt.standing == Standing(0, {"rung": "delay 1"}, clock.now())

    async def test_no_change_at_once_is_hidden(self, store: Store) -> None:
        await asyncio.gather(*(store.remember(ACCOUNT, [Change("add", "met", "1")]) for _ in range(20)))
        seen = (await standing(store)).seen
        await asyncio.gather(*(store.remember(ACCOUNT, [Change("add", "met", "1")]) for _ in range(3)))
        receipt = await _told(store, seen)
        assert receipt.standing is not None
        assert (receipt.standing.fields["met"], receipt.standing.seen) == ("23", seen + 3)
