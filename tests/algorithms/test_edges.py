"""Packed edges, against dictionaries; figures by hand. 2026-01-01 is day 365 since 2025-01-01."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from guardrail_mw.algorithms import edges
from guardrail_mw.algorithms.edges import Edge

DAY = 86_400_000_000
START = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z in µs."""


def moment(year: int, month: int, day: int, *time: int) -> int:
    return int(datetime(year, month, day, *time, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[arg-type, misc]


def test_hours_and_days_since_2025() -> None:
    assert (edges.hour_of(START), edges.day_of(START)) == (8760, 365)
    assert edges.hour_of(moment(2025, 1, 1)) == edges.hour_of(moment(2024, 6, 1)) == 0
    assert (edges.hour_of(moment(2025, 1, 2, 23, 59, 59)), edges.day_of(moment(2025, 1, 2, 23))) == (47, 1)
    assert edges.hour_of(moment(2032, 6, 23, 15)) == 65_535 == edges.hour_of(moment(2040, 1, 1))
    assert edges.hour_of(moment(2032, 6, 23, 14)) == 65_534


def test_eleven_bytes_an_edge() -> None:
    packed = edges.pack([Edge(0x0102_0304_0506_0708, 0x1122, 0xFE), Edge(2**63 - 1, 0, 0)])
    assert packed == bytes.fromhex("0102030405060708 1122 fe 7fffffffffffffff 0000 00")
    assert list(edges.unpack(packed)) == [Edge(0x0102_0304_0506_0708, 0x1122, 0xFE), Edge(2**63 - 1, 0, 0)]
    assert list(edges.unpack(b"")) == []


def test_age_goes_round() -> None:
    assert [edges.age(last, 365) for last in (109, 108, 110)] == [0, 1, 255]
    assert edges.youngest(edges.pack([Edge(1, 0, 100), Edge(2, 0, 104)]), 365) == 5
    assert edges.youngest(b"", 365) > 366


def test_first_and_last() -> None:
    noted = edges.note(b"", [5, 6], START)
    assert tuple(noted) == (edges.pack([Edge(5, 8760, 109), Edge(6, 8760, 109)]), (True, True), ())
    noted = edges.note(noted.edges, [6, 7], START + DAY + DAY // 2)
    assert tuple(noted) == (edges.pack([Edge(5, 8760, 109), Edge(6, 8760, 110), Edge(7, 8796, 110)]), (False, True), ())
    assert edges.note(noted.edges, [], START) == (noted.edges, (), ())


def test_a_key_twice_is_new_once() -> None:
    assert edges.note(b"", [5, 5, 6, 5], START).new == (True, False, True, False)


def test_what_is_shown_now_does_not_make_room_for_what_is_new() -> None:
    """The oldest is shown again in the very bill that brings one too many."""
    kept = edges.note(b"", [1], START).edges
    kept = edges.note(kept, list(range(2, 65)), START + DAY).edges
    noted = edges.note(kept, [99, 1], START + 2 * DAY)
    assert (noted.new, noted.gone) == ((True, False), (2,))


def test_the_oldest_of_several_is_the_first_shown() -> None:
    kept = edges.note(b"", list(range(64)), START).edges
    noted = edges.note(kept, [64, 65], START)
    assert noted.gone == (0, 1)
    assert [edge.key for edge in edges.unpack(noted.edges)] == list(range(2, 66))


def test_ninety_days_and_one() -> None:
    kept = edges.note(b"", [1, 2, 3], START).edges
    kept = edges.note(kept, list(range(4, 65)), START + 5 * DAY).edges
    assert edges.note(kept, [65], START + 90 * DAY).gone == (1,)
    assert edges.note(kept, [65], START + 91 * DAY).gone == (1, 2, 3)
    assert edges.note(kept, [64], START + 91 * DAY).gone == (), "nobody needs room"


def test_removing() -> None:
    kept = edges.note(b"", [1, 2, 3], START).edges
    kept = edges.note(kept, [2], START + DAY).edges
    later = START + 9 * DAY
    assert edges.remove(kept, [1, 3, 77], later) == (edges.pack([Edge(2, 8760, 110)]), (1, 3))
    assert edges.remove(kept, None, later) == (b"", (1, 2, 3))
    assert edges.remove(kept, None, later, 365) == (kept, ())
    assert edges.remove(kept, None, later, 366)[1] == (1, 3)
    assert edges.remove(kept, [2, 3], later, 366)[1] == (3,)
    assert edges.remove(kept, None, later, 367) == (b"", (1, 2, 3))


@pytest.mark.parametrize(
    ("account", "name"),
    [
        ("a:Zl2hO0eYqf3rG4mSPc9xUw", "Zl2hO0eY"),
        ("a:-_-_09azZZZZ", "-_-_09az"),
        ("a:0001", "0001AAAA"),
        ("a:AAAAAAAA", ""),
        ("a:", ""),
        ("a:ü+/=. xy", "A-_AAAxy"),
    ],
)
def test_short_names(account: str, name: str) -> None:
    packed = edges.short(account)
    assert len(packed) == 6
    assert edges.long(packed) == name


def test_short_names_differ_where_names_do() -> None:
    rng = random.Random(1)
    names = {"".join(rng.choices("-_09azAZ", k=8)) for _ in range(2000)} - {"AAAAAAAA"}
    assert {edges.long(edges.short(f"a:{name}rest")) for name in names} == names


class Naive:
    """An account's edges by key, in the order in which they came: first hour and last day, whole."""

    def __init__(self) -> None:
        self.kept: dict[int, list[int]] = {}

    def note(self, keys: list[int], day: int) -> tuple[list[bool], set[int]]:
        gone: set[int] = set()
        had = [key in self.kept for key in keys]
        for key in keys:
            if key in self.kept:
                self.kept[key][1] = day
        new = []
        for key, before in zip(keys, had, strict=True):
            new.append(not before and key not in self.kept)
            if not new[-1]:
                continue
            if len(self.kept) == 64:
                old = [each for each, (_, last) in self.kept.items() if day - last > 90]
                cheap = {each: last for each, (_, last) in self.kept.items() if each >> 57 in {4, 5, 7, *range(9, 32)}}
                going = cheap or {each: last for each, (_, last) in self.kept.items()}
                old = old or [min(going, key=going.__getitem__)]
                for each in old:
                    del self.kept[each]
                gone.update(old)
            self.kept[key] = [day * 24, day]
        return new, gone


@pytest.mark.parametrize("seed", range(5))
def test_against_a_dictionary(seed: int) -> None:
    rng = random.Random(seed)
    keys = [rng.choice([0, 1, 0x0101_0101, rng.getrandbits(63)]) * rng.choice([1, 2**8, 2**24]) % 2**63 for _ in range(120)]
    naive, packed, day = Naive(), b"", 365
    for _ in range(400):
        day += rng.choice([0, 0, 0, 1, 1, 3, 20])
        shown = rng.choices(keys, k=rng.randrange(1, 12))
        noted = edges.note(packed, shown, START + (day - 365) * DAY)
        new, gone = naive.note(shown, day)
        assert (list(noted.new), set(noted.gone)) == (new, gone)
        packed = noted.edges
        assert list(edges.unpack(packed)) == [Edge(key, first, last % 256) for key, (first, last) in naive.kept.items()]
        if rng.random() < 0.1:
            before = day - rng.randrange(100)
            packed, gone_ = edges.remove(packed, None, START + (day - 365) * DAY, before)
            old = [key for key, (_, last) in naive.kept.items() if last < before]
            assert list(gone_) == old
            for key in old:
                del naive.kept[key]
