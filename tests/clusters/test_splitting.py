"""An operator's split: the two sides share nothing any more, and one account cannot tie them together again."""

from __future__ import annotations

import json
import zlib
from typing import Final

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from guardrail_mw.clusters.graph import Holdings
from guardrail_mw.clusters.rebuild import Rules, rebuild
from guardrail_mw.clusters.splitting import Split, apart, freed, holding, read_splits, write_splits
from guardrail_mw.clusters.state import Given, State

from .kit import DAY, TABLE, Crowd, idle, key
from .small import NOW, crowds

CARD, OTHER, DOMAIN = key("payment", 1), key("payment", 2), key("domain", 3)
SYSTEM, AGENT = key("system", 4), key("agent", 5)


def split(side: list[str], rest: list[str], *, at: int = 1, until: int = 0, name: str = "0123456789ab") -> Split:
    return Split(name, "c" * 12, tuple(side), tuple(rest), until, "they are not one", at)


def shown(held: Holdings) -> dict[str, set[int]]:
    """What each account holds."""
    found: dict[str, set[int]] = {name: set() for name in held.accounts}
    for owner, value in zip(held.owner.tolist(), held.key.tolist(), strict=True):
        found[held.accounts[owner]].add(value)
    return found


def of(held: Holdings, accounts: list[str]) -> set[int]:
    found = shown(held)
    return set().union(*(found[each] for each in accounts))


def test_a_value_stays_with_the_side_that_holds_it_more() -> None:
    crowd = Crowd()
    side, rest = crowd.group("s", 3, 0, [CARD, DOMAIN]), crowd.group("r", 4, 0, [CARD])
    crowd.add("a:s9", 0, [DOMAIN])
    held = apart(crowd.held(), [split([*side, "a:s9"], rest)])
    found = shown(held)
    assert all(found[each] == {CARD} for each in rest)
    assert found["a:s9"] == {DOMAIN}, "nobody of the rest holds it"
    [own] = found[side[0]] - {DOMAIN}
    assert own != CARD
    assert own >> 57 == CARD >> 57, "it is of the same kind"
    assert all(found[each] == {own, DOMAIN} for each in side), "they still share it among themselves"


def test_who_is_outside_stays_with_the_larger_side() -> None:
    crowd = Crowd()
    side, rest = crowd.group("s", 4, 0, [CARD]), crowd.group("r", 3, 0, [CARD])
    crowd.add("a:new", 5, [CARD])
    found = shown(apart(crowd.held(), [split(side, rest)]))
    assert found[side[0]] == found["a:new"] == {CARD}
    assert found[rest[0]] == found[rest[2]] != {CARD}


def test_what_is_popular_is_lost_and_gets_no_private_name() -> None:
    """Eight of ten who show the client are strangers: under a name of its own it would look like something that only two have."""
    crowd = Crowd()
    side, rest = crowd.group("s", 1, 0, [AGENT, CARD]), crowd.group("r", 1, 0, [AGENT, CARD])
    crowd.group("x", 8, 0, [AGENT])
    found = shown(apart(crowd.held(), [split(side, rest)]))
    assert found[rest[0]] == {AGENT, CARD}
    assert AGENT not in found[side[0]]
    assert len(found[side[0]]) == 1
    assert all(found[name] == {AGENT} for name in found if name.startswith("a:x"))


def test_one_account_cannot_tie_them_together() -> None:
    crowd = Crowd()
    side, rest = crowd.group("s", 4, 0, [CARD, DOMAIN]), crowd.group("r", 4, 0, [OTHER, SYSTEM])
    crowd.add("a:even", 5, [CARD, OTHER])
    crowd.add("a:mostly", 5, [CARD, DOMAIN, OTHER])
    crowd.add("a:apart", 5, [CARD, AGENT])
    found = shown(apart(crowd.held(), [split(side, rest)]))
    assert found["a:even"] == {OTHER}, "where it is even it is of the rest"
    assert found["a:mostly"] == {CARD, DOMAIN}
    assert found["a:apart"] == {CARD, AGENT}


def test_splits_of_one_cluster_add_up() -> None:
    crowd = Crowd()
    groups = [crowd.group(name, 3, 0, [CARD]) for name in "abc"]
    one = split(groups[0], groups[1] + groups[2], at=1, name="1" * 12)
    two = split(groups[1], groups[2], at=2, name="2" * 12)
    found = shown(apart(crowd.held(), [one, two]))
    values = [found[group[0]] for group in groups]
    assert len({min(each) for each in values}) == 3
    assert values[2] == {CARD}


def test_the_same_every_time_and_nothing_without_both_sides() -> None:
    crowd = Crowd()
    side, rest = crowd.group("s", 3, 0, [CARD]), crowd.group("r", 4, 0, [CARD])
    held = crowd.held()
    once, again = (apart(held, [split(side, rest)]) for _ in range(2))
    assert once.key.tolist() == again.key.tolist()
    assert apart(held, []) is held
    assert apart(held, [split(["a:gone"], rest)]) is held
    assert once.first.tolist() == held.first.tolist()


@settings(max_examples=60, deadline=None)
@given(crowds(), st.data())
def test_no_value_is_on_both_sides(crowd: Crowd, data: st.DataObject) -> None:
    names = sorted(crowd.since)
    assume(len(names) > 1)
    side = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=len(names) - 1, unique=True))
    rest = [each for each in names if each not in side][: data.draw(st.integers(1, len(names)))]
    held = apart(crowd.held(), [split(side, rest)])
    assert not rest or not of(held, side) & of(held, rest)
    before = shown(crowd.held())
    others = set(names) - set(side) - set(rest)
    assert all(shown(held)[each] <= before[each] for each in others), "strangers at most lose something"


MEMBERS: Final = 40


@pytest.mark.parametrize("smaller", [True, False])
def test_a_rebuild_finds_two_clusters(smaller: bool) -> None:
    """Forty who share a card, a domain and a system prompt, and devices in eights; eight of them are split off, or thirty-two."""
    crowd = Crowd(strangers=2_000)
    names = [f"a:m{number:03}" for number in range(MEMBERS)]
    for number, name in enumerate(names):
        crowd.add(name, NOW - 5 * DAY, [CARD, DOMAIN, SYSTEM, key("device", 100 + number // 8)])
    side = names[:8] if smaller else names[8:]
    rest = [name for name in names if name not in side]

    def clusters(held: Holdings) -> list[set[str]]:
        rules = Rules(TABLE, epoch=0)
        done = rebuild(held, idle(len(held.accounts)), State(), Given(), rules, NOW * 3_600_000_000)
        return sorted((set(each.members) for each in done.state.clusters), key=len)

    assert clusters(crowd.held()) == [set(names)]
    assert clusters(apart(crowd.held(), [split(side, rest)])) == sorted([set(side), set(rest)], key=len)


# What is kept


def test_splits_are_kept() -> None:
    one = split(["a:1"], ["a:2", "a:3"], at=9, name="1" * 12)
    ends = split(["a:1"], ["a:2"], at=5, until=100, name="2" * 12)
    assert read_splits(write_splits([one, ends], 99)) == (ends, one)
    assert read_splits(write_splits([one, ends], 100)) == (one,)
    assert read_splits(None) == ()
    assert holding([one, ends], 100) == (one,)


def test_another_version_is_refused() -> None:

    with pytest.raises(ValueError, match="format 7"):
        read_splits(zlib.compress(json.dumps({"format": 7}).encode()))


def test_who_was_split_off() -> None:
    one = split(["a:1", "a:2"], ["a:3"], at=9)
    later = split(["a:1"], ["a:2"], at=12)
    assert freed(["a:1", "a:2"], [one]) == 9
    assert freed(["a:1", "a:2"], [later, one]) == 12
    assert freed(["a:2", "a:8"], [one]) == 9, "half of it"
    assert freed(["a:2", "a:7", "a:8"], [one]) == -1
    assert freed(["a:3"], [one]) == -1
    assert freed([], [one]) == -1


def test_an_empty_crowd() -> None:
    none = np.zeros(0, np.int64)
    held = Holdings([], none, none.astype(np.int32), none, none)
    assert apart(held, [split(["a:1"], ["a:2"])]) is held
