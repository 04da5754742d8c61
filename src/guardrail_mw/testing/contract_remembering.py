# ruff: noqa: D102, S101, PLR2004 - tests: a name says what it shows, assert is how they speak, figures are worked out by hand
"""The store's contract: standings, time, tokens, switches. The clock starts at 2026-01-01T00:00:00Z."""

from __future__ import annotations

import asyncio

import pytest

from guardrail_mw.stores.base import Budget, Change, Gcra, Store, Switches, Window
from guardrail_mw.testing.bills import (
    ACCOUNT,
    DAY,
    MINUTE,
    NETWORK,
    SECOND,
    bill,
    bucket,
    budget,
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
from guardrail_mw.values import PLAN_FIELDS, Standing

__all__ = ["Forgetting", "Keeping", "Remembering", "put", "standing"]


def put(field: str, value: str) -> Change:
    """Set a field."""
    return Change("set", field, value)


async def standing(store: Store, account: str = ACCOUNT) -> Standing:
    """What is remembered."""
    receipt = await store.peek(bill(candidate=account, version=7))
    assert receipt.standing is not None
    return receipt.standing


class Remembering:
    """Versioned standing."""

    async def test_nothing_is_known_of_a_newcomer(self, store: Store) -> None:
        assert (await take(store, bucket(1), candidate=ACCOUNT)).code == "admitted"
        assert await standing(store) == Standing(0, {})
        receipt = await take(store, bucket(1), candidate=ACCOUNT, version=5)
        assert (receipt.code, receipt.standing, receipt.readings) == ("stale", Standing(0, {}), ())

    async def test_a_change_is_met_on_the_very_next_call(self, store: Store, clock: FakeClock) -> None:
        version = await store.remember(ACCOUNT, [put("verdict", "suspect"), put("rung", "delay")])
        assert version == clock.now()
        receipt = await take(store, bucket(1), candidate=ACCOUNT)
        assert receipt.code == "stale"
        assert receipt.standing is not None
        assert receipt.standing.version == version
        assert (receipt.standing.fields["verdict"], receipt.standing.fields["rung"]) == ("suspect", "delay")
        admitted = await take(store, bucket(1), candidate=ACCOUNT, version=version, seen=receipt.standing.seen)
        assert (admitted.code, admitted.standing) == ("admitted", None)

    async def test_stale_charges_nothing(self, store: Store) -> None:
        await store.remember(ACCOUNT, [put("tier", "x")])
        receipt = await store.charge(
            spread(
                (ACCOUNT, bucket(1), window(1), budget(1), lease(), share(1)),
                (NETWORK, bucket(1), lease()),
                candidate=ACCOUNT,
            )
        )
        assert (receipt.code, receipt.open) == ("stale", False)
        await store.drain()
        assert await look(store, bucket(0), window(0), budget(0), lease(), share(0)) == [
            (10, 0),
            (10, 0),
            (10, MINUTE),
            (1, 0),
            (100, 0),
        ]
        assert await look(store, bucket(0), lease(), home=NETWORK) == [(10, 0), (1, 0)]

    async def test_the_candidate_need_not_pay(self, store: Store) -> None:
        """A key that nobody has proved: its network pays, the account's standing is checked."""
        version = await store.remember(ACCOUNT, [put("override", "allow")])
        receipt = await take(store, bucket(1), home=NETWORK, candidate=ACCOUNT)
        assert receipt.code == "stale"
        assert (await take(store, bucket(1), home=NETWORK, candidate=ACCOUNT, version=version)).code == "admitted"

    @pytest.mark.parametrize("field", sorted(PLAN_FIELDS))
    async def test_what_a_plan_depends_on_makes_a_version(self, store: Store, clock: FakeClock, field: str) -> None:
        first = await store.remember(ACCOUNT, [put(field, "x")])
        clock.advance(5)
        assert await store.remember(ACCOUNT, [put(field, "x")]) == first
        assert await store.remember(ACCOUNT, [put(field, "y")]) == first + 5 * SECOND
        clock.advance(5)
        assert await store.remember(ACCOUNT, [Change("unset", field)]) == first + 10 * SECOND
        assert field not in (await standing(store)).fields

    async def test_nothing_else_makes_a_version(self, store: Store, clock: FakeClock) -> None:
        assert await store.remember(ACCOUNT, [put("rung", "delay"), Change("add", "score", "4")]) == 0
        version = await store.remember(ACCOUNT, [put("tier", "x")])
        clock.advance(1)
        assert (
            await store.remember(ACCOUNT, [put("note", "x"), Change("max", "risk", "9"), Change("unset", "rung")]) == version
        )

    async def test_a_version_only_grows(self, store: Store, clock: FakeClock) -> None:
        """Though the clock stands, or is set back."""
        versions = [await store.remember(ACCOUNT, [put("tier", str(number))]) for number in range(4)]
        clock.jump(-3600)
        versions += [await store.remember(ACCOUNT, [put("tier", str(number))]) for number in range(4, 8)]
        assert versions == sorted(set(versions))

    async def test_versions_are_an_account_s_own(self, store: Store) -> None:
        await store.remember(ACCOUNT, [put("tier", "x")])
        assert (await take(store, bucket(1), home="a:0002", candidate="a:0002")).code == "admitted"

    async def test_a_proved_account_s_standing_begins_with_its_first_request(self, store: Store, clock: FakeClock) -> None:
        begun = clock.now()
        for _ in range(2):
            assert (await take(store, bucket(1), candidate=ACCOUNT, proved=True)).code == "admitted"
            clock.advance(7200)
        assert await standing(store) == Standing(0, {"since": str(begun)}, begun)

    async def test_an_unproved_credential_creates_nothing(self, store: Store) -> None:
        await take(store, bucket(1), home=NETWORK, candidate=ACCOUNT)
        assert await standing(store) == Standing(0, {})

    @pytest.mark.parametrize(
        "change",
        [put("since", "1"), Change("first", "since", "1"), Change("unset", "since"), Change("max", "since", "9" * 16)],
    )
    async def test_nothing_overwrites_since(self, store: Store, clock: FakeClock, change: Change) -> None:
        await take(store, bucket(1), candidate=ACCOUNT, proved=True)
        await store.remember(ACCOUNT, [change])
        await settled(store, await take(store, lease(), candidate=ACCOUNT), changes=(change,))
        assert (await standing(store)).fields["since"] == str(clock.now())

    async def test_changes_merge(self, store: Store) -> None:
        first = [
            put("note", "one"),
            Change("first", "seen", "one"),
            Change("add", "score", "3"),
            Change("max", "top", "7"),
            Change("max", "low", "-5"),
            put("gone", "x"),
        ]
        second = [
            put("note", "two"),
            Change("first", "seen", "two"),
            Change("add", "score", "-5"),
            Change("max", "top", "10"),
            Change("max", "low", "-9"),
            Change("unset", "gone"),
            Change("unset", "never"),
        ]
        await store.remember(ACCOUNT, first)
        await store.remember(ACCOUNT, second)
        assert (await standing(store)).fields == {"note": "two", "seen": "one", "score": "-2", "top": "10", "low": "-5"}

    async def test_several_changes_of_one_field_in_a_row(self, store: Store) -> None:
        await store.remember(
            ACCOUNT, [Change("add", "score", "2"), Change("add", "score", "3"), Change("first", "score", "9")]
        )
        await store.remember(ACCOUNT, [Change("unset", "score"), Change("first", "score", "1")])
        assert (await standing(store)).fields == {"score": "1"}

    async def test_values_are_kept_byte_for_byte(self, store: Store) -> None:
        odd = "ä |=\n{}\0 '\"%s 1e3"
        await store.remember(ACCOUNT, [put("note", odd), put("empty", "")])
        assert (await standing(store)).fields == {"note": odd, "empty": ""}

    async def test_no_concurrent_change_is_lost(self, store: Store) -> None:
        receipts = [await take(store, share(1), candidate=ACCOUNT) for _ in range(20)]

        async def learn(number: int) -> None:
            await store.remember(
                ACCOUNT,
                [Change("add", "score", "1"), Change("max", "top", str(number)), Change("first", "who", str(number))],
            )
            await settled(store, receipts[number], changes=(Change("add", "score", "100"),))

        await asyncio.gather(*(learn(number) for number in range(20)))
        fields = (await standing(store)).fields
        assert (fields["score"], fields["top"]) == ("2020", "19")
        assert fields["who"] in {str(number) for number in range(20)}

    async def test_concurrent_changes_make_different_versions(self, store: Store) -> None:
        versions = await asyncio.gather(*(store.remember(ACCOUNT, [put("tier", str(number))]) for number in range(20)))
        assert len(set(versions)) == 20
        assert max(versions) == (await standing(store)).version

    async def test_a_standing_expires_ninety_days_after_the_last_call(self, store: Store, clock: FakeClock) -> None:
        """Within a day after it."""
        version = await store.remember(ACCOUNT, [put("tier", "x")])
        for _ in range(3):
            clock.advance(89 * 86_400)
            assert (await take(store, bucket(1), candidate=ACCOUNT, version=version, proved=True)).code == "admitted"
        clock.advance(91 * 86_400)
        assert (await standing(store)).fields == {}
        assert (await take(store, bucket(1), candidate=ACCOUNT)).code == "admitted"

    async def test_an_expired_standing_begins_anew(self, store: Store, clock: FakeClock) -> None:
        await store.remember(ACCOUNT, [put("tier", "x"), Change("add", "score", "5")])
        await take(store, bucket(1), candidate=ACCOUNT, proved=True)
        clock.advance(91 * 86_400)
        assert await store.remember(ACCOUNT, [Change("add", "score", "1")]) == 0
        assert (await standing(store)).fields == {"score": "1"}

    async def test_peek_brings_the_standing_whatever_its_version(self, store: Store) -> None:
        version = await store.remember(ACCOUNT, [put("tier", "x")])
        for asked in (0, version, version + 1):
            receipt = await store.peek(bill(bucket(1), candidate=ACCOUNT, version=asked))
            assert receipt.standing == Standing(version, {"tier": "x"}, version)
            assert shown(receipt)[0][0]


class Keeping:
    """Time, tokens, switches."""

    async def test_a_clock_set_back_neither_refills_nor_locks_out(self, store: Store, clock: FakeClock) -> None:
        await take(store, bucket(10))
        clock.jump(-3600)
        assert shown(await take(store, bucket(1))) == [(False, 0, 10 * SECOND, SECOND)]
        clock.advance(0.999999)
        assert (await take(store, bucket(1))).readings[0].wait == 1
        clock.advance(0.000001)
        assert shown(await take(store, bucket(1))) == [(True, 0, 10 * SECOND, 0)]
        clock.advance(4)
        assert shown(await take(store, bucket(4))) == [(True, 0, 10 * SECOND, 0)]

    async def test_a_clock_set_back_again_and_again(self, store: Store, clock: FakeClock) -> None:
        admitted = 0
        for _ in range(30):
            while (await take(store, bucket(1))).code == "admitted":
                admitted += 1
            clock.jump(-5)
            await take(store, bucket(1))
            clock.advance(1)
        assert admitted == 10 + 29

    async def test_a_clock_set_back_keeps_windows_and_budgets(self, store: Store, clock: FakeClock) -> None:
        clock.advance(30)
        await take(store, window(10), budget(10))
        clock.jump(-86_400)
        refused = await take(store, window(1), budget(1))
        assert shown(refused) == [(False, 0, 63 * SECOND, 63 * SECOND), (False, 0, 30 * SECOND, 30 * SECOND)]
        clock.advance(30)
        assert (await take(store, budget(10))).code == "admitted"
        clock.advance(33)
        assert (await take(store, window(10))).code == "admitted"

    async def test_a_clock_set_back_keeps_leases_their_time(self, store: Store, clock: FakeClock) -> None:
        receipt = await take(store, lease(), share(100))
        clock.jump(-3600)
        assert (await take(store, lease())).readings[0].wait == 30 * SECOND
        clock.advance(29.999999)
        assert (await take(store, lease())).code == "denied"
        await settled(store, receipt)
        assert (await take(store, lease(), share(100))).code == "admitted"

    async def test_a_clock_set_back_refunds_no_more(self, store: Store, clock: FakeClock) -> None:
        receipt = await take(store, bucket(10, reserved=True))
        clock.advance(6)
        await take(store, bucket(6))
        clock.jump(-100)
        await settled(store, receipt, 0)
        assert await look(store, bucket(0)) == [(4, 6 * SECOND)]

    @pytest.mark.parametrize("step", [bucket(1, reserved=True), window(1, reserved=True), budget(1, reserved=True)])
    async def test_a_clock_set_back_after_a_settlement(
        self, store: Store, clock: FakeClock, step: Gcra | Window | Budget
    ) -> None:
        """What was owed at second 20 is owed from then on, not from second 5."""
        receipt = await take(store, bucket(10), step._replace(field="reserved"), lease())
        clock.advance(20)
        await settled(store, receipt, None, 6)
        clock.jump(-15)
        assert await look(store, bucket(0)) == [(10, 0)]
        assert shown(await take(store, bucket(3))) == [(True, 7, 3 * SECOND, 0)]

    async def test_a_clock_set_back_after_a_renewal(self, store: Store, clock: FakeClock) -> None:
        receipt = await take(store, bucket(10), lease())
        clock.advance(20)
        await store.renew([receipt])
        clock.jump(-15)
        assert (await take(store, lease())).readings[0].wait == 30 * SECOND
        assert await look(store, bucket(0)) == [(10, 0)]

    async def test_a_clock_set_forward_is_time_that_passes(self, store: Store, clock: FakeClock) -> None:
        await take(store, bucket(10))
        clock.jump(4)
        assert shown(await take(store, bucket(4))) == [(True, 0, 10 * SECOND, 0)]

    async def test_late_is_by_the_store_s_clock(self, store: Store, clock: FakeClock) -> None:
        await take(store, bucket(1))
        clock.jump(-3600)
        assert (await take(store, bucket(1), not_after=clock.now())).code == "admitted"
        assert (await take(store, bucket(1), not_after=clock.now() - 1)).code == "late"

    async def test_a_token_is_spent_once(self, store: Store, clock: FakeClock) -> None:
        one, other = [await store.epoch(token) for token in ("one", "other")]
        assert await store.spend("one", DAY, one)
        assert not await store.spend("one", DAY, one)
        assert await store.spend("other", DAY, other)
        clock.advance(86_399)
        assert not await store.spend("one", DAY, one)

    async def test_a_token_is_spent_once_whoever_asks_at_the_same_time(self, store: Store) -> None:
        epoch = await store.epoch("one")
        assert sum(await asyncio.gather(*(store.spend("one", DAY, epoch) for _ in range(50)))) == 1

    async def test_an_epoch_is_a_short_text_that_stays(self, store: Store) -> None:
        """While nothing is forgotten, whatever is spent and whoever asks."""
        tokens = [f"token-{number}" for number in range(100)]
        epochs = [await store.epoch(token) for token in tokens]
        assert {(0 < len(epoch) <= 100, len(epoch.split())) for epoch in epochs} == {(True, 1)}
        assert await store.spend(tokens[7], DAY, epochs[7])
        assert await asyncio.gather(*(store.epoch(token) for token in tokens)) == epochs

    async def test_a_token_is_not_spent_in_another_epoch(self, store: Store) -> None:
        """Which neither spends it."""
        epoch = await store.epoch("one")
        for other in ("", "another", f"{epoch}0", epoch[:-1], f" {epoch}"):
            assert not await store.spend("one", DAY, other)
        assert await store.spend("one", DAY, epoch)
        assert not await store.spend("one", DAY, "another")

    async def test_switches(self, store: Store) -> None:
        """Where the store has them."""
        if not isinstance(store, Switches):
            pytest.skip("this store has no switches")
        assert await store.read_switches() == {}
        await store.write_switch("", "shadow")
        await store.write_switch("requests", "off")
        await store.write_switch("requests", "enforce")
        assert await store.read_switches() == {"": "shadow", "requests": "enforce"}
        await store.write_switch("", None)
        await store.write_switch("unknown", None)
        assert await store.read_switches() == {"requests": "enforce"}

    async def test_several_event_loops(self, store: Store) -> None:
        """Each in a thread of its own, all at once: the limit is one."""

        async def hits() -> int:
            receipts = await asyncio.gather(*(take(store, bucket(1, 50)) for _ in range(50)))
            await store.close()
            return sum(receipt.code == "admitted" for receipt in receipts)

        admitted = await asyncio.gather(*(asyncio.to_thread(asyncio.run, hits()) for _ in range(4)))
        assert sum(admitted) == 50
        assert (await take(store, bucket(1, 50))).code == "denied"

    async def test_close_may_be_repeated(self, store: Store) -> None:
        await take(store, bucket(1))
        await store.close()
        await store.close()


class Forgetting:
    """For a store that can tell how many subjects it keeps."""

    async def subjects(self, store: Store) -> int:
        """How many subjects' counters `store` keeps."""
        raise NotImplementedError("subjects() must return how many subjects' counters the store keeps")

    async def test_counters_vanish_when_they_equal_a_newcomer_s(self, store: Store, clock: FakeClock) -> None:
        """A second after, at most; the longest of these ends after 63 s."""
        receipt = await take(store, bucket(5), window(5), budget(5), lease(), share(50))
        await settled(store, receipt)
        await take(store, bucket(10), home=NETWORK)
        assert await self.subjects(store) == 2
        clock.advance(12)
        assert await self.subjects(store) == 1
        clock.advance(53)
        assert await self.subjects(store) == 0

    async def test_what_is_refused_or_looked_at_keeps_nobody(self, store: Store, clock: FakeClock) -> None:
        await take(store, bucket(11), window(11), budget(11))
        await store.peek(bill(bucket(1), lease(), share(1)))
        clock.advance(2)
        assert await self.subjects(store) == 0
