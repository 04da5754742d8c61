# ruff: noqa: D102, S101, PLR2004 - tests: a name says what it shows, assert is how they speak, figures are worked out by hand
"""The store's contract: evidence, for a store that is a `Graph`. The clock starts on day 365 since 2025-01-01, at 00:00 UTC."""

from __future__ import annotations

import asyncio
import json
from typing import ClassVar

import pytest

from guardrail_mw.algorithms import activity, edges
from guardrail_mw.stores.base import Activity, Change, Desk, Graph, Held, Record, Store
from guardrail_mw.testing.bills import DAY, HOUR, MINUTE, bill, bucket, look, take
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.contract_remembering import put, standing
from guardrail_mw.values import Standing

__all__ = ["Linking"]

TODAY = 365
NOW = 24 * TODAY
"""Hours since 2025-01-01 when the clock starts."""
CARD, DEVICE = 1 << 57 | 0xCAFE_0001_2345, 6 << 57 | 0xBEEF_0001_2345
"""Two values in one bucket."""
ONE, TWO = "0123456789ab", "ba9876543210"


def _name(number: int) -> str:
    """An account."""
    return f"a:{number:08d}-_aaaaaaaaaaaa"


def _short(number: int) -> str:
    """Its short name."""
    return f"{number:08d}"


def _graph(store: Store) -> Graph:
    """The store's; without one the test is skipped."""
    if not isinstance(store, Graph):
        pytest.skip("this store keeps no evidence")
    return store


async def _show(store: Store, number: int, *keys: int, version: int = 0) -> tuple[Record, ...]:
    """An account that is proved shows values in a request, and all that follows is carried out."""
    _graph(store)
    account = _name(number)
    receipt = await take(store, bucket(0), home=account, candidate=account, version=version, proved=True, edges=keys)
    assert receipt.code == "admitted"
    await store.drain()
    return receipt.records


async def _holders(store: Store, key: int, by: int = 99) -> int:
    """How many hold a value, told by one who begins to and then does no more."""
    records = await _show(store, by, key)
    await _graph(store).unlink(_name(by), [key])
    await store.drain()
    return records[0].holders - 1


async def _held(store: Store, since: int = 0) -> dict[str, Held]:
    """All that is read, by account; none comes twice."""
    found = [each async for batch in _graph(store).read(since) for each in batch]
    assert len({each.account for each in found}) == len(found)
    return {each.account: each for each in found}


async def _keys_of(store: Store, number: int) -> list[int]:
    """What an account is known to have shown."""
    everyone = await _held(store)
    return [edge.key for edge in edges.unpack(everyone[_name(number)].edges)] if _name(number) in everyone else []


class Linking:
    """`Graph`."""

    exact: ClassVar[bool]

    # With the charge

    async def test_a_value_is_held_once(self, store: Store) -> None:
        assert await _show(store, 1, CARD, DEVICE) == (Record(1, _short(1), 0, ()),) * 2

    async def test_those_who_share_a_value_are_counted(self, store: Store) -> None:
        await _show(store, 1, CARD)
        assert await _show(store, 2, DEVICE, CARD) == (Record(1, _short(2), 0, ()), Record(2, _short(1), 0, ()))
        assert await _show(store, 3, CARD) == (Record(3, _short(1), 0, ()),)
        assert await _show(store, 4, CARD, DEVICE) == (Record(4, _short(1), 0, ()), Record(2, _short(2), 0, ()))

    async def test_nobody_is_counted_twice(self, store: Store, clock: FakeClock) -> None:
        for _ in range(3):
            assert await _show(store, 1, CARD, DEVICE, CARD) == (Record(1, _short(1), 0, ()),) * 3
            clock.advance(86_400)
        await _show(store, 2, CARD, CARD)
        for number in (1, 2):
            assert await _show(store, number, CARD) == (Record(2, _short(1), 0, ()),)

    async def test_who_shows_nothing_is_told_nothing(self, store: Store) -> None:
        assert await _show(store, 1) == ()
        assert await _held(store) == {}

    async def test_a_denied_bill_notes_what_was_shown(self, store: Store) -> None:
        _graph(store)
        account = _name(1)
        receipt = await take(store, bucket(11), home=account, candidate=account, proved=True, edges=(CARD,))
        await store.drain()
        assert (receipt.code, receipt.records) == ("denied", (Record(1, _short(1), 0, ()),))
        assert await _keys_of(store, 1) == [CARD]
        assert await look(store, bucket(0), home=account) == [(10, 0)]

    async def test_a_stale_bill_notes_nothing(self, store: Store) -> None:
        _graph(store)
        account = _name(1)
        await store.remember(account, [put("tier", "x")])
        receipt = await take(store, bucket(1), home=account, candidate=account, proved=True, edges=(CARD,))
        await store.drain()
        assert (receipt.code, receipt.records) == ("stale", ())
        assert await _show(store, 2, CARD) == (Record(1, _short(2), 0, ()),)
        assert list(await _held(store)) == [_name(2)]

    async def test_a_late_bill_notes_nothing(self, store: Store, clock: FakeClock) -> None:
        _graph(store)
        account = _name(1)
        late = bill(bucket(1), home=account, candidate=account, proved=True, edges=(CARD, DEVICE), not_after=clock.now() - 1)
        receipt = await store.charge(late)
        await store.drain()
        assert (receipt.code, receipt.records) == ("late", ())
        assert await _held(store) == {}
        assert await _show(store, 2, CARD) == (Record(1, _short(2), 0, ()),)

    async def test_an_unproved_credential_notes_nothing(self, store: Store) -> None:
        _graph(store)
        receipt = await take(store, bucket(1), home="n:0001", candidate=_name(1), edges=(CARD,))
        await store.drain()
        assert (receipt.code, receipt.records) == ("admitted", ())
        assert await _held(store) == {}

    async def test_peeking_notes_nothing(self, store: Store) -> None:
        _graph(store)
        account = _name(1)
        receipt = await store.peek(bill(bucket(1), home=account, candidate=account, proved=True, edges=(CARD,)))
        assert receipt.records == ()
        assert await _held(store) == {}

    async def test_the_bill_comes_back_as_it_was(self, store: Store) -> None:
        _graph(store)
        account = _name(1)
        asked = bill(bucket(2), home=account, candidate=account, proved=True, edges=(CARD,))
        receipt = await store.charge(asked)
        assert receipt.bill == asked
        assert [reading.remaining for reading in receipt.readings] == [8]

    async def test_a_changed_standing_comes_along(self, store: Store, clock: FakeClock) -> None:
        await _show(store, 1, CARD)
        account = _name(1)
        receipt = await take(store, bucket(1), home=account, candidate=account, proved=True, edges=(CARD,))
        assert receipt.standing == Standing(0, {"since": str(clock.now())}, clock.now())
        assert receipt.records == (Record(1, _short(1), 0, ()),)

    async def test_what_looks_like_a_key_is_none(self, store: Store) -> None:
        """The end of a key and the times behind it; of a value's name in its bucket and its holder's."""
        real = bytes.fromhex("0102030405060708")
        beside = real[3:] + NOW.to_bytes(2, "big") + bytes([TODAY % 256])
        within = real[1:6] + edges.short(_name(1))[:1] + real[6:]
        fakes = [int.from_bytes(each, "big") for each in (beside, within)]
        key = int.from_bytes(real, "big")
        assert await _show(store, 1, key) == (Record(1, _short(1), 0, ()),)
        assert await _show(store, 2, *fakes) == (Record(1, _short(2), 0, ()),) * 2
        assert await _show(store, 1, *fakes) == (Record(2, _short(2), 0, ()),) * 2
        assert await _keys_of(store, 1) == [key, *fakes]
        assert await _show(store, 3, key, *fakes) == (Record(2, _short(1), 0, ()), *(Record(3, _short(2), 0, ()),) * 2)

    async def test_keys_of_all_63_bits(self, store: Store) -> None:
        keys = (2**63 - 1, 2**63 - 2, 2**62, 0, 0x0A0D_0A0D_0A0D_0A0D, 0x2500_2500_2500_2500)
        for number in (1, 2, 3):
            assert await _show(store, number, *keys) == (Record(number, _short(1), 0, ()),) * len(keys)
            assert await _keys_of(store, number) == list(keys)

    async def test_many_at_once(self, store: Store) -> None:
        """Each is counted once, whoever comes first."""
        _graph(store)
        asked = [
            bill(bucket(1), home=account, candidate=account, proved=True, edges=(CARD, DEVICE))
            for account in map(_name, range(40))
        ]
        receipts = await asyncio.gather(*[store.charge(each) for each in asked])
        await store.drain()
        if self.exact:
            assert sorted(receipt.records[0].holders for receipt in receipts) == list(range(1, 41))
        assert [await _holders(store, key) for key in (CARD, DEVICE)] == [40, 40]

    # What an account keeps

    async def test_edges_are_packed(self, store: Store, clock: FakeClock) -> None:
        await _show(store, 1, CARD)
        clock.advance(26 * 3600)
        await _show(store, 1, DEVICE)
        clock.advance(24 * 3600)
        await _show(store, 1, CARD)
        packed = (await _held(store))[_name(1)].edges
        first = [CARD.to_bytes(8, "big"), NOW.to_bytes(2, "big"), bytes([(TODAY + 2) % 256])]
        assert packed == b"".join([*first, DEVICE.to_bytes(8, "big"), (NOW + 26).to_bytes(2, "big"), bytes([110])])

    async def test_the_sixty_fifth_edge_takes_the_place_of_the_one_unseen_for_longest(
        self, store: Store, clock: FakeClock
    ) -> None:
        keys = [5 << 57 | number << 16 for number in range(70)]
        await _show(store, 1, *keys[:10])
        clock.advance(86_400)
        await _show(store, 1, *keys[10:64])
        await _show(store, 2, *keys[:4])
        await _show(store, 1, keys[0], keys[2])
        assert [record.holders for record in await _show(store, 1, keys[64])] == [1]
        assert await _keys_of(store, 1) == [keys[0], *keys[2:65]]
        assert [await _holders(store, key) for key in keys[:5]] == [2, 1, 2, 2, 1]
        await _show(store, 1, *keys[65:69])
        assert await _keys_of(store, 1) == [keys[0], keys[2], *keys[7:69]]
        assert [await _holders(store, key) for key in keys[:8]] == [2, 1, 2, 1, 0, 0, 0, 1]

    async def test_what_anybody_can_send_makes_room_before_what_costs_something(
        self, store: Store, clock: FakeClock
    ) -> None:
        """A card shown yesterday, an address and a kind of the policy's own outlast seventy user agents of today."""
        dear = [code << 57 | 9 for code in (1, 2, 3, 6, 8, 32)]
        await _show(store, 1, *dear)
        clock.advance(86_400)
        agents = [12 << 57 | number for number in range(70)]
        for first in range(0, 70, 10):
            await _show(store, 1, *agents[first : first + 10])
        assert await _keys_of(store, 1) == [*dear, *agents[12:]]
        cards = [1 << 57 | number for number in range(100, 160)]
        await _show(store, 1, *cards)
        assert await _keys_of(store, 1) == [*dear[2:], *cards]

    async def test_edges_of_more_than_ninety_days_make_room_first(self, store: Store, clock: FakeClock) -> None:
        keys = list(range(1, 66))
        await _show(store, 1, *keys[:3])
        clock.advance(86_400)
        await _show(store, 1, *keys[3:5])
        clock.advance(90 * 86_400)
        await _show(store, 1, *keys[5:64])
        assert await _keys_of(store, 1) == keys[:64]
        await _show(store, 1, keys[64])
        assert await _keys_of(store, 1) == keys[3:]

    async def test_more_at_once_than_there_is_room_for(self, store: Store) -> None:
        keys = list(range(100, 170))
        assert [record.holders for record in await _show(store, 1, *keys)] == [1] * 70
        assert await _keys_of(store, 1) == keys[6:]
        assert [await _holders(store, key) for key in (keys[0], keys[5], keys[6], keys[69])] == [0, 0, 1, 1]

    # Activity

    async def test_what_accounts_did_adds_up(self, store: Store) -> None:
        graph = _graph(store)
        await _show(store, 1, CARD)
        await graph.note([Activity(_name(1), NOW, 3, 900, 1, 2), Activity(_name(2), NOW + 1, 1, 5)])
        await graph.note([Activity(_name(1), NOW + 25, 2, 100), Activity(_name(1), NOW + 25, 40, 7, 20, 20)])
        everyone = await _held(store)
        one, two = (activity.unpack(everyone[_name(number)].activity) for number in (1, 2))
        hours = {0: 3, 1: 42}
        assert one == (NOW, NOW + 25, 2, 45, 1007, 22, 21, tuple(hours.get(at, 0) for at in range(24)), (0,) * 6 + (3, 42))
        assert two[:7] == (NOW + 1, NOW + 1, 1, 1, 5, 0, 0)
        assert [edge.key for edge in edges.unpack(everyone[_name(1)].edges)] == [CARD]
        assert everyone[_name(2)].edges == b""

    async def test_evidence_and_activity_leave_one_another_alone(self, store: Store) -> None:
        graph = _graph(store)
        await graph.note([Activity(_name(1), NOW, 3, 900)])
        await _show(store, 1, CARD, DEVICE)
        await graph.unlink(_name(1), [CARD])
        kept = (await _held(store))[_name(1)]
        assert kept.activity == activity.add(activity.EMPTY, NOW, 3, 900)
        assert await _keys_of(store, 1) == [DEVICE]

    @pytest.mark.parametrize(
        "told",
        [
            (60, 3, 2**46),
            (60_000, 2**31, 2**47),
            (2**16, 2**24, 2**48),
            (2**31, 2**31, 2**31),
        ],
    )
    async def test_sums_are_full_alike(self, store: Store, told: tuple[int, int, int]) -> None:
        """As `algorithms.activity` has it: sums stop, proportions stay."""
        requests, fresh, tokens = told
        hours = [NOW, NOW + 1, NOW - 30, NOW + 49, NOW + 49, NOW + 24 * 7 + 3, NOW + 24 * 40, NOW + 24 * 33, NOW + 24 * 32]
        expected = activity.EMPTY
        for hour in hours:
            expected = activity.add(expected, hour, requests, tokens, fresh // 3, fresh)
            await _graph(store).note([Activity(_name(1), hour, requests, tokens, fresh // 3, fresh)])
        assert (await _held(store))[_name(1)].activity == expected

    async def test_many_notes_at_once(self, store: Store) -> None:
        graph = _graph(store)
        await graph.note([])
        await graph.note([Activity(_name(number % 300), NOW, 1, number) for number in range(900)])
        everyone = await _held(store)
        assert len(everyone) == 300
        assert {activity.unpack(each.activity).requests for each in everyone.values()} == {3}
        assert activity.unpack(everyone[_name(7)].activity).tokens == 7 + 307 + 607

    # Reading

    async def test_everyone_is_read_once(self, store: Store) -> None:
        await _graph(store).note([Activity(_name(number), NOW, 1, 1) for number in range(1100)])
        assert sorted(await _held(store)) == [_name(number) for number in range(1100)]

    async def test_what_is_read(self, store: Store, clock: FakeClock) -> None:
        graph = _graph(store)
        begun = clock.now()
        await _show(store, 1, CARD)
        await graph.link(_name(1), [], 17)
        await store.remember(
            _name(1), [put("cluster", ONE), put("verdict", "watched"), put("budget", "5"), put("counters", f"{TWO} 9 5")]
        )
        await graph.link(_name(2), [DEVICE])
        everyone = await _held(store)
        packed = [edges.pack([edges.Edge(key, NOW, TODAY % 256)]) for key in (CARD, DEVICE)]
        assert everyone == {
            _name(1): Held(_name(1), begun, packed[0], activity.EMPTY, ONE, "watched", 17, "5", f"{TWO} 9 5"),
            _name(2): Held(_name(2), 0, packed[1], activity.EMPTY, "", "", 0),
        }

    async def test_who_was_not_seen_since_is_not_read(self, store: Store, clock: FakeClock) -> None:
        graph = _graph(store)
        await _show(store, 1, CARD, DEVICE)
        await _show(store, 2, CARD)
        await graph.note([Activity(_name(3), NOW, 1, 1)])
        clock.advance(3 * 86_400)
        await _show(store, 1, DEVICE)
        await graph.note([Activity(_name(4), NOW + 72, 1, 1)])
        assert sorted(await _held(store, TODAY)) == [_name(number) for number in range(1, 5)]
        assert sorted(await _held(store, TODAY + 1)) == [_name(1), _name(4)]
        assert sorted(await _held(store, TODAY + 3)) == [_name(1), _name(4)]
        assert sorted(await _held(store, TODAY + 4)) == []

    # Many standings at once

    async def test_many_standings_at_once(self, store: Store, clock: FakeClock) -> None:
        graph = _graph(store)
        await graph.assign([])
        await store.remember(_name(3), [put("cluster", TWO), put("rung", "delay 1")])
        clock.advance(1)
        its = [put("cluster", ONE), put("verdict", "suspect"), Change("first", "joined", "7"), Change("add", "n", "2")]
        await graph.assign([(_name(number), its) for number in range(250)])
        now = clock.now()
        fields = {"cluster": ONE, "verdict": "suspect", "joined": "7", "n": "2"}
        for number in (0, 1, 99, 100, 101, 249):
            assert await standing(store, _name(number)) == Standing(now, fields, now)
        assert await standing(store, _name(3)) == Standing(now, fields | {"rung": "delay 1"}, now)
        receipt = await take(store, bucket(1), home=_name(9), candidate=_name(9))
        assert receipt.code == "stale"
        clock.advance(1)
        await graph.assign(
            [(_name(3), [Change("unset", "verdict")]), (_name(4), []), (_name(5), [put("verdict", "suspect")])]
        )
        assert (await standing(store, _name(3))).version == clock.now()
        assert "verdict" not in (await standing(store, _name(3))).fields
        assert [(await standing(store, _name(number))).version for number in (4, 5)] == [now, now]

    # What a rebuild says

    async def test_a_record_tells_what_a_rebuild_said(self, store: Store) -> None:
        graph = _graph(store)
        for number in (1, 2):
            await _show(store, number, CARD, DEVICE)
        await graph.mark({CARD: ((ONE, 9000), (TWO, -1)), DEVICE: ()}, {DEVICE: 2})
        assert await _show(store, 3, CARD, DEVICE) == (
            Record(3, _short(1), 0, ((ONE, 9000), (TWO, -1))),
            Record(3, _short(1), 2, ()),
        )
        assert await _show(store, 1, CARD) == (Record(3, _short(1), 0, ((ONE, 9000), (TWO, -1))),)

    async def test_what_is_not_named_loses_it(self, store: Store) -> None:
        graph = _graph(store)
        for number in (1, 2):
            await _show(store, number, CARD, DEVICE)
        await graph.mark({CARD: ((ONE, 1),), DEVICE: ((TWO, 2),)}, {CARD: 1})
        await graph.mark({DEVICE: ((ONE, 3),)}, {})
        assert await _show(store, 1, CARD, DEVICE) == (Record(2, _short(1), 0, ()), Record(2, _short(1), 0, ((ONE, 3),)))
        await graph.mark({}, {})
        assert await _show(store, 1, CARD, DEVICE) == (Record(2, _short(1), 0, ()),) * 2

    async def test_at_most_three_clusters(self, store: Store) -> None:
        graph = _graph(store)
        for number in (1, 2):
            await _show(store, number, CARD)
        clusters = tuple((f"{number:012x}", 2**31 - 1 - number) for number in range(4))
        await graph.mark({CARD: clusters}, {CARD: 5})
        assert await _show(store, 1, CARD) == (Record(2, _short(1), 5, clusters[:3]),)

    async def test_a_value_held_once_has_clusters_but_no_count_of_the_established(self, store: Store) -> None:
        graph = _graph(store)
        await _show(store, 1, CARD, DEVICE)
        await graph.mark({CARD: ((ONE, 5),)}, {CARD: 1, DEVICE: 1})
        assert await _show(store, 1, CARD, DEVICE) == (Record(1, _short(1), 1, ((ONE, 5),)), Record(1, _short(1), 0, ()))
        assert await _show(store, 2, CARD, DEVICE) == (Record(2, _short(1), 1, ((ONE, 5),)), Record(2, _short(1), 0, ()))
        await graph.unlink(_name(1), [CARD, DEVICE])
        await graph.unlink(_name(2), [CARD, DEVICE])
        await store.drain()
        assert await _show(store, 3, CARD, DEVICE) == (Record(1, _short(3), 0, ()),) * 2

    async def test_a_value_that_nobody_holds_keeps_nothing(self, store: Store) -> None:
        graph = _graph(store)
        await graph.mark({CARD: ((ONE, 5),)}, {DEVICE: 3})
        assert await _show(store, 1, CARD, DEVICE) == (Record(1, _short(1), 0, ()),) * 2

    async def test_many_values_are_named(self, store: Store) -> None:
        graph = _graph(store)
        keys = [3 << 57 | number * 0x0001_0203_0405 for number in range(600)]
        for number in (1, 2):
            for start in range(0, 600, 60):
                await graph.link(_name(10 * start + number), keys[start : start + 60])
        await store.drain()
        await graph.mark({key: ((ONE, number),) for number, key in enumerate(keys)}, {})
        records = await _show(store, 3, *keys[300:330])
        assert [(record.holders, *record.clusters) for record in records] == [
            (3, (ONE, number)) for number in range(300, 330)
        ]

    # From outside

    async def test_evidence_from_outside(self, store: Store) -> None:
        graph = _graph(store)
        await graph.link(_name(1), [CARD, DEVICE], 1_234)
        await graph.link(_name(1), [CARD], 999)
        await store.drain()
        assert await _show(store, 2, CARD) == (Record(2, _short(1), 0, ()),)
        assert (await standing(store, _name(1))).fields == {"created": "1234"}
        assert await _keys_of(store, 1) == [CARD, DEVICE]
        assert (await _show(store, 1, DEVICE)) == (Record(1, _short(1), 0, ()),)

    async def test_evidence_is_taken_away(self, store: Store) -> None:
        graph = _graph(store)
        await _show(store, 1, CARD, DEVICE)
        await _show(store, 2, CARD, DEVICE)
        await graph.unlink(_name(1), [CARD, 77])
        await graph.unlink(_name(1), [CARD])
        await graph.unlink(_name(3), [CARD])
        await store.drain()
        assert await _keys_of(store, 1) == [DEVICE]
        assert await _show(store, 3, CARD, DEVICE, 77) == (
            Record(2, "", 0, ()),
            Record(3, _short(1), 0, ()),
            Record(1, _short(3), 0, ()),
        )

    async def test_what_the_last_holder_gave_up_begins_anew(self, store: Store) -> None:
        graph = _graph(store)
        await _show(store, 1, CARD)
        await graph.unlink(_name(1), [CARD])
        await store.drain()
        assert await _held(store) == {}
        await _show(store, 2, CARD)
        await _show(store, 3, CARD)
        for number in (2, 3):
            await graph.unlink(_name(number), [CARD])
        await store.drain()
        assert await _show(store, 4, CARD) == (Record(1, _short(4), 0, ()),)

    # The worker

    async def test_one_is_elected(self, store: Store, clock: FakeClock) -> None:
        graph = _graph(store)
        assert await graph.elect("rebuild", "w1", MINUTE)
        assert not await graph.elect("rebuild", "w2", MINUTE)
        assert await graph.elect("other", "w2", MINUTE)
        clock.advance(59)
        assert await graph.elect("rebuild", "w1", MINUTE)
        clock.advance(59.999999)
        assert not await graph.elect("rebuild", "w2", MINUTE)
        clock.advance(0.000001)
        assert await graph.elect("rebuild", "w2", HOUR)
        assert not await graph.elect("rebuild", "w1", MINUTE)

    async def test_at_most_one_is_elected_at_once(self, store: Store) -> None:
        graph = _graph(store)
        won = await asyncio.gather(*[graph.elect("rebuild", f"w{number}", MINUTE) for number in range(20)])
        assert sum(won) == 1

    async def test_notes_are_kept(self, store: Store) -> None:
        graph = _graph(store)
        assert await graph.recall("state") is None
        blob = bytes(range(256)) * 400
        await graph.keep("state", blob)
        await graph.keep("other", b"")
        assert await graph.recall("state") == blob
        assert await graph.recall("other") == b""
        await graph.keep("state", b"less\r\n\x00")
        assert await graph.recall("state") == b"less\r\n\x00"

    async def test_what_was_not_seen_for_long_is_swept(self, store: Store, clock: FakeClock) -> None:
        graph = _graph(store)
        await _show(store, 1, CARD, DEVICE, 7)
        await _show(store, 2, CARD)
        await graph.note([Activity(_name(2), NOW, 1, 1), Activity(_name(3), NOW, 1, 1), Activity(_name(4), NOW + 48, 1, 1)])
        clock.advance(2 * 86_400)
        await _show(store, 1, DEVICE)
        assert await graph.sweep(TODAY) == 0
        assert await graph.sweep(TODAY + 2) == 3
        await store.drain()
        assert sorted(await _held(store)) == [_name(1), _name(4)]
        assert await _keys_of(store, 1) == [DEVICE]
        assert await _show(store, 5, CARD, DEVICE, 7) == (
            Record(1, _short(5), 0, ()),
            Record(2, _short(1), 0, ()),
            Record(1, _short(5), 0, ()),
        )
        assert await graph.sweep(TODAY + 2) == 0

    # An operator

    async def test_evidence_is_exported_and_erased(self, store: Store) -> None:
        graph = _graph(store)
        if not isinstance(store, Desk):
            pytest.skip("this store has no desk")
        await _show(store, 1, CARD, DEVICE)
        await _show(store, 2, CARD)
        await graph.note([Activity(_name(1), NOW, 3, 900)])
        found = json.loads(json.dumps(await store.export(_name(1))))["evidence"]
        assert found["edges"] == [
            {"key": f"{key:016x}", "first_hour": NOW, "last_day": TODAY % 256} for key in (CARD, DEVICE)
        ]
        sums = {"first": NOW, "last": NOW, "days": 1, "requests": 3, "tokens": 900, "windowed": 0, "fresh": 0}
        assert found["activity"] == sums | {"hours": [3] + [0] * 23, "recent": [0] * 7 + [3]}
        assert await store.erase(_name(1))
        await store.drain()
        assert "evidence" not in await store.export(_name(1))
        assert list(await _held(store)) == [_name(2)]
        assert not await store.erase(_name(1))
        assert await _show(store, 3, CARD, DEVICE) == (Record(2, "", 0, ()), Record(1, _short(3), 0, ()))

    async def test_evidence_alone_is_erased(self, store: Store) -> None:
        if not isinstance(store, Desk):
            pytest.skip("this store has no desk")
        await _graph(store).link(_name(1), [CARD])
        assert await store.erase(_name(1))
        assert not await store.erase(_name(1))
        await _graph(store).note([Activity(_name(1), NOW, 1, 1)])
        assert await store.erase(_name(1))
        assert not await store.erase(_name(1))

    async def test_a_day_has_passed(self, store: Store, clock: FakeClock) -> None:
        """The store's time is told, not this machine's."""
        clock.advance(DAY / 1e6)
        await _show(store, 1, CARD)
        assert next(edges.unpack((await _held(store))[_name(1)].edges)) == (CARD, NOW + 24, (TODAY + 1) % 256)
