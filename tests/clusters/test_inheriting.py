"""Whose counters a rebuilt cluster is charged at, and what was merged."""

from __future__ import annotations

from dataclasses import replace

from guardrail_mw.clusters.descent import name
from guardrail_mw.clusters.inheriting import inherited, merged, midnight, sharing, taken_along, without_parts
from guardrail_mw.clusters.state import Cluster, Merged

DAY = 86_400_000_000
NOW = 20_000 * DAY + 5
OLD, NEW, THIRD = (Cluster(each * 12, (), "none", 0, 0) for each in "abc")
PART = replace(NEW, counters=OLD.id, until=NOW + 1, shared=7)


def ends(now: int) -> int:
    return now + 100


def test_the_end_of_a_day() -> None:
    assert midnight(NOW) == 20_001 * DAY
    assert midnight(20_001 * DAY) == 20_002 * DAY


def test_whose_counters() -> None:
    shares = {"counters": OLD.id, "until": NOW + 100, "shared": 0}
    assert inherited(None, None, NOW, ends) == {}
    assert inherited(OLD, OLD, NOW, ends) == {}
    assert inherited(OLD, None, NOW, ends) == {}
    assert inherited(None, OLD, NOW, ends) == shares
    assert inherited(None, replace(OLD, material=1, budget=9), NOW, ends) == shares | {"shared": 9}


def test_a_part_goes_on_as_it_began() -> None:
    """Under its own id, and in parts of it; the end does not move, and afterwards what is split from it is split from it."""
    shares = {"counters": OLD.id, "until": NOW + 1, "shared": 7}
    assert inherited(PART, PART, NOW, ends) == shares
    assert inherited(PART, OLD, NOW, ends) == shares
    assert inherited(None, PART, NOW, ends) == shares
    assert inherited(PART, PART, NOW + 1, ends) == {}
    assert inherited(None, PART, NOW + 1, ends) == {"counters": PART.id, "until": NOW + 101, "shared": 0}


def test_parts_share_the_budget_that_holds_now() -> None:
    given = replace(OLD, material=1, budget=9, granted=50)
    assert sharing([PART, given]) == (replace(PART, shared=50), given)
    assert sharing([PART, THIRD]) == (PART, THIRD)


def test_a_split_makes_no_more_of_a_budget() -> None:
    """Of 100 for ten, three take 30 along: seven keep 70. A stranger among them brings nothing, and takes nothing."""
    whole = replace(OLD, members=tuple("abcdefghij"), material=1, budget=100)
    assert taken_along(whole, ("a", "b", "c", "x")) == {"material": 1, "budget": 30}
    assert taken_along(replace(whole, material=None, budget=0), ("a",)) == {}
    part = replace(NEW, members=("a", "b", "c", "x"), lineage=(NEW.id, OLD.id), material=1, budget=30)
    rest = replace(whole, members=tuple("defghij"), lineage=(OLD.id,))
    other = replace(THIRD, lineage=(THIRD.id,), material=5, budget=9)
    before = {each.id: each for each in (whole, other)}
    assert without_parts([part, rest, other], before) == [part, replace(rest, budget=70), other]
    assert without_parts([part, replace(rest, budget=70), other], before | {NEW.id: part}) == [
        part,
        replace(rest, budget=70),
        other,
    ]
    assert without_parts([replace(part, budget=200), rest], before)[1].budget == 1


def rebuilt(before: dict[str, str], *groups: str, **sharing: Cluster) -> list[tuple[str, str]]:
    """Of those merged, which went into which; accounts are letters."""
    members = [tuple(group) for group in groups]
    named = name(members, before, NOW)
    clusters = [
        replace(sharing.get(each.id, OLD), id=each.id, members=mine) for each, mine in zip(named, members, strict=True)
    ]
    found = merged(named, clusters, before, NOW, ends)
    assert all((each.at, each.until) == (NOW, NOW + 100) for each in found)
    return [(each.source, each.target) for each in found]


def test_what_was_merged() -> None:
    """The larger keeps its id; of one that is no more, at least half went into one other."""
    before = dict.fromkeys("abcde", "one") | dict.fromkeys("vwxy", "two")
    assert rebuilt(before, "abcde", "vwxy") == []
    assert rebuilt(before, "abcdevwxy") == [("two", "one")]
    assert rebuilt(before, "abcdevw") == [("two", "one")]
    assert rebuilt(before, "abcdev") == []
    assert rebuilt(before, "abcdev", "wxy") == []  # which lives on in the three
    assert rebuilt({}, "abc") == []


def test_one_that_went_into_two_halves_is_charged_to_one() -> None:
    before = dict.fromkeys("abcde", "one") | dict.fromkeys("fghij", "two") | dict.fromkeys("xy", "three")
    assert rebuilt(before, "abcdex", "fghijy") == [("three", "one")]


def test_several_at_once() -> None:
    before = dict.fromkeys("abcde", "one") | dict.fromkeys("xy", "two") | dict.fromkeys("uv", "three")
    assert rebuilt(before, "abcdeuvxy") == [("three", "one"), ("two", "one")]


def test_what_is_merged_into_a_part_goes_where_that_is_charged() -> None:
    before = dict.fromkeys("abcde", "one") | dict.fromkeys("xy", "two")
    assert rebuilt(before, "abcdexy", one=PART) == [("two", OLD.id)]
    assert rebuilt(before, "abcdexy", one=replace(PART, counters="two")) == []


def test_it_is_told_as_a_whole() -> None:
    before = dict.fromkeys("abcde", "one") | dict.fromkeys("xy", "two")
    named = name([tuple("abcdexy")], before, NOW)
    assert merged(named, [replace(OLD, id="one")], before, NOW, ends) == (Merged("two", "one", NOW, NOW + 100),)
