# ruff: noqa: D102, S101 - tests: a name says what it shows, assert is how they speak, figures are worked out by hand
"""The store's contract: records that outlive accounts. For a store that keeps them."""

from __future__ import annotations

import asyncio

import pytest

from guardrail_mw.stores.base import Change, Desk, Files, Store
from guardrail_mw.testing.bills import ACCOUNT, DAY, HOUR, SECOND, bucket, take
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.contract_remembering import put

__all__ = ["Filing"]


def _files(store: Store) -> Files:
    """The store's; without them the test is skipped."""
    if not isinstance(store, Files):
        pytest.skip("this store keeps no records")
    return store


class Filing:
    """`Files`."""

    # What a record says

    async def test_a_record_is_what_was_merged_into_it(self, store: Store, clock: FakeClock) -> None:
        files, until = _files(store), clock.now() + DAY
        assert await files.pull("cases", "c1") is None
        begun = [
            put("state", "asked"),
            Change("first", "opened", "1"),
            Change("add", "asked", "2"),
            Change("max", "level", "-7"),
        ]
        said = {"state": "asked", "opened": "1", "asked": "2", "level": "-7"}
        assert await files.file("cases", "c1", begun, until) == said
        assert await files.pull("cases", "c1") == said
        more = [
            put("state", "started"),
            Change("first", "opened", "2"),
            Change("add", "asked", "-5"),
            Change("max", "level", "-8"),
            Change("max", "score", "10"),
        ]
        said |= {"state": "started", "asked": "-3", "score": "10"}
        assert await files.file("cases", "c1", more, until) == said
        less = [
            Change("unset", "state"),
            Change("unset", "nothing"),
            Change("max", "score", "9"),
            Change("max", "level", "100"),
        ]
        assert await files.file("cases", "c1", less, until) == {"opened": "1", "asked": "-3", "level": "100", "score": "10"}
        assert await files.pull("cases", "c1") == {"opened": "1", "asked": "-3", "level": "100", "score": "10"}

    async def test_changes_of_one_field_follow_one_another(self, store: Store, clock: FakeClock) -> None:
        changes = [
            put("state", "asked"),
            Change("unset", "state"),
            Change("first", "state", "7"),
            Change("add", "state", "3"),
            Change("max", "state", "9"),
            put("gone", "x"),
            Change("unset", "gone"),
        ]
        assert await _files(store).file("cases", "c1", changes, clock.now() + DAY) == {"state": "10"}
        assert await _files(store).pull("cases", "c1") == {"state": "10"}

    async def test_no_field_of_a_record_is_special(self, store: Store, clock: FakeClock) -> None:
        """Nor does any that a store may use itself get into the way."""
        names = ("since", "v", "u", "w", "t", "until", "made", "cases", "{}", "a:b", "=")
        files, until = _files(store), clock.now() + DAY
        for value in ("1", "2"):
            filed = await files.file("cases", "c1", [put(name, value) for name in names], until)
            assert filed == dict.fromkeys(names, value)
        assert await files.file("cases", "c1", [Change("unset", name) for name in names[1:]], until) == {"since": "2"}

    async def test_a_record_may_be_empty(self, store: Store, clock: FakeClock) -> None:
        """It is one all the same: an event that was heard."""
        files, until = _files(store), clock.now() + DAY
        assert await files.file("heard", "e1", [], until) == {}
        assert await files.pull("heard", "e1") == {}
        await files.file("heard", "e1", [put("state", "x")], until)
        assert await files.file("heard", "e1", [Change("unset", "state")], until) == {}
        assert await files.pull("heard", "e1") == {}
        assert await files.listed("heard", 9) == ["e1"]

    async def test_texts_are_any(self, store: Store, clock: FakeClock) -> None:
        texts = {"none": "", "lines": "a\r\nb\0c ", "words": "Grüße, 世界 🦀", "long": "ä" * 50_000}
        changes = [put(field, text) for field, text in texts.items()]
        assert await _files(store).file("appeals", "a1", changes, clock.now() + DAY) == texts
        assert await _files(store).pull("appeals", "a1") == texts

    async def test_what_was_pulled_is_whoever_pulled_it_s(self, store: Store, clock: FakeClock) -> None:
        filed = await _files(store).file("cases", "c1", [put("state", "asked")], clock.now() + DAY)
        filed["state"] = "other"
        pulled = await _files(store).pull("cases", "c1")
        assert pulled == {"state": "asked"}
        pulled["state"] = "other"
        assert await _files(store).pull("cases", "c1") == {"state": "asked"}

    async def test_drawers_and_accounts_are_apart(self, store: Store, clock: FakeClock) -> None:
        files, until = _files(store), clock.now() + DAY
        await files.file("cases", ACCOUNT, [put("state", "asked")], until)
        await files.file("appeals", ACCOUNT, [put("state", "open")], until)
        await take(store, bucket(1), candidate=ACCOUNT, proved=True)
        if isinstance(store, Desk):
            assert await store.erase(ACCOUNT)
        assert await files.pull("cases", ACCOUNT) == {"state": "asked"}
        assert await files.shred("cases", ACCOUNT)
        assert await files.pull("appeals", ACCOUNT) == {"state": "open"}
        assert (await files.listed("cases", 9), await files.listed("appeals", 9)) == ([], [ACCOUNT])

    # Its time

    async def test_a_record_is_forgotten_on_time(self, store: Store, clock: FakeClock) -> None:
        files = _files(store)
        await files.file("cases", "c1", [put("state", "asked")], clock.now() + HOUR)
        clock.advance(3599.999999)
        assert await files.pull("cases", "c1") == {"state": "asked"}
        assert await files.listed("cases", 9) == ["c1"]
        clock.advance(0.000001)
        assert await files.pull("cases", "c1") is None
        assert await files.listed("cases", 9) == []
        assert not await files.shred("cases", "c1")

    async def test_the_latest_time_holds(self, store: Store, clock: FakeClock) -> None:
        files, now = _files(store), clock.now()
        await files.file("cases", "c1", [put("state", "asked")], now + 2 * HOUR)
        await files.file("cases", "c1", [put("level", "id")], now + HOUR)
        await files.file("cases", "c1", [Change("add", "asked", "1")], now - HOUR)
        await files.file("cases", "c2", [], now + HOUR)
        clock.advance(7199.999999)
        assert await files.pull("cases", "c1") == {"state": "asked", "level": "id", "asked": "1"}
        assert await files.listed("cases", 9) == ["c1"]
        assert await files.file("cases", "c1", [], now + 3 * HOUR) == {"state": "asked", "level": "id", "asked": "1"}
        clock.advance(3600)
        assert await files.listed("cases", 9) == ["c1"]
        clock.advance(0.000001)
        assert await files.pull("cases", "c1") is None
        assert await files.listed("cases", 9) == []

    async def test_what_was_forgotten_begins_anew(self, store: Store, clock: FakeClock) -> None:
        files = _files(store)
        await files.file("cases", "c1", [put("state", "asked"), Change("add", "asked", "5")], clock.now() + SECOND)
        await files.file("cases", "c2", [], clock.now() + DAY)
        clock.advance(1)
        assert await files.file("cases", "c1", [Change("add", "asked", "1")], clock.now() + SECOND) == {"asked": "1"}
        assert await files.pull("cases", "c1") == {"asked": "1"}
        assert await files.listed("cases", 9) == ["c1", "c2"]
        clock.advance(1)
        assert await files.listed("cases", 9) == ["c2"]

    async def test_what_is_over_is_not_kept(self, store: Store, clock: FakeClock) -> None:
        files = _files(store)
        for until in (clock.now(), clock.now() - DAY, 0, -1):
            assert await files.file("cases", "c1", [put("state", "asked")], until) == {"state": "asked"}
            assert await files.pull("cases", "c1") is None
        assert await files.listed("cases", 9) == []
        assert await files.file("cases", "c1", [], clock.now() + 1) == {}
        assert await files.pull("cases", "c1") == {}

    async def test_a_record_may_be_kept_for_ever(self, store: Store, clock: FakeClock) -> None:
        await _files(store).file("cases", "c1", [put("state", "asked")], 10**30)
        clock.advance(50 * 365 * 86_400)
        assert await _files(store).pull("cases", "c1") == {"state": "asked"}
        assert await _files(store).listed("cases", 9) == ["c1"]

    # Listing

    async def test_records_are_listed_last_made_first(self, store: Store, clock: FakeClock) -> None:
        """Those of one moment, too; and not when something was last filed, nor by their names or times."""
        files = _files(store)
        assert await files.listed("cases", 9) == []
        for number, name in enumerate(("m", "z", "a", "k", "b")):
            await files.file("cases", name, [], clock.now() + DAY - number % 3)
            clock.advance(number // 3)
        await files.file("cases", "m", [put("state", "x")], clock.now() + 2 * DAY)
        assert await files.listed("cases", 9) == ["b", "k", "a", "z", "m"]

    async def test_a_listing_has_pages(self, store: Store, clock: FakeClock) -> None:
        files = _files(store)
        for number in range(7):
            await files.file("cases", f"c{number}", [], clock.now() + DAY)
        assert await files.listed("cases", 3) == ["c6", "c5", "c4"]
        assert await files.listed("cases", 3, "c4") == ["c3", "c2", "c1"]
        assert await files.listed("cases", 3, "c1") == ["c0"]
        assert await files.listed("cases", 3, "c0") == []
        assert await files.listed("cases", 7, "c6") == ["c5", "c4", "c3", "c2", "c1", "c0"]
        for after in ("", "c7", "no name", "{"):
            assert await files.listed("cases", 2, after) == ["c6", "c5"]
        for most in (0, -1, -8):
            assert await files.listed("cases", most) == []
        assert await files.listed("cases", 1_000_000, "c2") == ["c1", "c0"]

    async def test_what_goes_meanwhile_leaves_the_pages_as_they_are(self, store: Store, clock: FakeClock) -> None:
        files = _files(store)
        for number in range(6):
            await files.file("cases", f"c{number}", [], clock.now() + (SECOND if number in {1, 4} else DAY))
        assert await files.listed("cases", 2) == ["c5", "c4"]
        clock.advance(1)
        assert await files.listed("cases", 2, "c5") == ["c3", "c2"]
        await files.shred("cases", "c2")
        assert await files.listed("cases", 2, "c3") == ["c0"]
        assert await files.listed("cases", 2, "c2") == ["c5", "c3"]

    async def test_a_clock_that_was_set_back_leaves_the_order(self, store: Store, clock: FakeClock) -> None:
        files = _files(store)
        for name in ("c0", "c1", "c2"):
            await files.file("cases", name, [], clock.now() + DAY)
            clock.jump(-3600)
        assert await files.listed("cases", 9) == ["c2", "c1", "c0"]

    # Shredding

    async def test_a_record_is_shredded(self, store: Store, clock: FakeClock) -> None:
        files, until = _files(store), clock.now() + DAY
        assert not await files.shred("cases", "c1")
        for name in ("c1", "c2"):
            await files.file("cases", name, [put("state", name)], until)
        assert await files.shred("cases", "c1")
        assert not await files.shred("cases", "c1")
        assert await files.pull("cases", "c1") is None
        assert await files.pull("cases", "c2") == {"state": "c2"}
        assert await files.listed("cases", 9) == ["c2"]
        assert await files.file("cases", "c1", [Change("add", "asked", "1")], clock.now() + HOUR) == {"asked": "1"}
        assert await files.listed("cases", 9) == ["c1", "c2"]
        clock.advance(3600)
        assert await files.pull("cases", "c1") is None

    # Many at once

    async def test_sixty_add_to_one_record(self, store: Store, clock: FakeClock) -> None:
        """Nothing is lost, no two are told the same sum, and who was first is told alike."""
        files, until = _files(store), clock.now() + DAY

        async def one(number: int) -> dict[str, str]:
            changes = [Change("add", "sum", "1"), Change("first", "who", str(number)), put(f"of.{number}", "x")]
            return await files.file("cases", "c1", changes, until + number)

        told = await asyncio.gather(*(one(number) for number in range(60)))
        assert sorted(int(each["sum"]) for each in told) == list(range(1, 61))
        assert len({each["who"] for each in told}) == 1
        assert sorted(len(each) for each in told) == list(range(3, 63))
        assert (await files.pull("cases", "c1") or {}).keys() == {"sum", "who", *[f"of.{number}" for number in range(60)]}
        assert await files.listed("cases", 9) == ["c1"]

    async def test_sixty_records_at_once(self, store: Store, clock: FakeClock) -> None:
        files, until = _files(store), clock.now() + DAY
        names = [f"c{number}" for number in range(60)]
        await asyncio.gather(*(files.file("cases", name, [put("state", name)], until) for name in names))
        assert sorted(await files.listed("cases", 99)) == sorted(names)
        assert sorted(await asyncio.gather(*(files.shred("cases", names[number % 20]) for number in range(60)))) == (
            [False] * 40 + [True] * 20
        )
        assert sorted(await files.listed("cases", 99)) == sorted(names[20:])

    # Names

    @pytest.mark.parametrize(
        "name", ["{", "}", "{}", "a{b}c", "u", "r:u", ":", "%7B", "*?[x]", "\\", "'\"", "-", "~!", "x" * 200]
    )
    async def test_names_are_what_can_be_printed(self, store: Store, clock: FakeClock, name: str) -> None:
        files, until = _files(store), clock.now() + DAY
        await files.file("cases", "another", [put("state", "x")], until)
        assert await files.file("cases", name, [put(name, "1")], until) == {name: "1"}
        assert await files.pull("cases", name) == {name: "1"}
        assert await files.listed("cases", 9) == [name, "another"]
        assert await files.listed("cases", 9, name) == ["another"]
        assert await files.shred("cases", name)
        assert await files.listed("cases", 9) == ["another"]

    @pytest.mark.parametrize("name", ["", " ", "a b", "a\n", "\0", "ä", "x\x7f", "x" * 201, "\ud800"])
    async def test_no_other_names_are_taken(self, store: Store, clock: FakeClock, name: str) -> None:
        files, until = _files(store), clock.now() + DAY
        with pytest.raises(ValueError, match="printable ASCII"):
            await files.file("cases", name, [], until)
        with pytest.raises(ValueError, match="printable ASCII"):
            await files.file("cases", "c1", [put("state", "x"), put(name, "x")], until)
        assert await files.pull("cases", name) is None
        assert not await files.shred("cases", name)
        assert await files.listed("cases", 9, name) == []
        assert await files.pull("cases", "c1") is None

    @pytest.mark.parametrize("drawer", ["", "Cases", "a:b", "a b", "1a", "{a}", "ä", "x" * 33])
    async def test_a_drawer_is_a_word(self, store: Store, clock: FakeClock, drawer: str) -> None:
        files = _files(store)
        with pytest.raises(ValueError, match="small letters"):
            await files.file(drawer, "c1", [], clock.now() + DAY)
        assert await files.pull(drawer, "c1") is None
        assert not await files.shred(drawer, "c1")
        assert await files.listed(drawer, 9) == []

    @pytest.mark.parametrize(
        "change",
        [Change("add", "sum", ""), Change("add", "sum", "1.5"), Change("max", "sum", "x"), put("state", "\ud800")],
    )
    async def test_what_cannot_be_merged_is_refused_whole(self, store: Store, clock: FakeClock, change: Change) -> None:
        files, until = _files(store), clock.now() + DAY
        with pytest.raises(ValueError, match=r"whole number|surrogates"):
            await files.file("cases", "c1", [put("level", "id"), change], until)
        assert await files.pull("cases", "c1") is None
