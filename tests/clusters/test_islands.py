"""Seeds of clusters: composites that surprise."""

from __future__ import annotations

from math import log, pi
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import poisson

from guardrail_mw.clusters import islands as module
from guardrail_mw.clusters.islands import Composites, composites, islands, surprise

from . import oracle, small
from .kit import DAY, KINDS, MONTH, Crowd, key, named

CARD, DEVICE, PROMPT, TEXT = key("payment", 1), key("device", 1), key("system", 1), key("shingle", 1)


def chance(together: int, expected: float) -> int:
    return int(surprise(np.array([together], np.int64), np.array([expected]))[0])


def found(crowd: Crowd) -> dict[tuple[int, int], tuple[int, set[str]]]:
    """By pair of keys: surprise, and who is tied by it."""
    graph = crowd.graph()
    every = composites(graph, age=MONTH)
    held: dict[int, set[str]] = {number: set() for number in range(len(every.low))}
    for owner, number in zip(every.owner.tolist(), every.composite.tolist(), strict=True):
        assert graph.accounts[owner] not in held[number]
        held[number].add(graph.accounts[owner])
    pairs = zip(graph.keys[every.low].tolist(), graph.keys[every.high].tolist(), every.surprise.tolist(), strict=True)
    return {(low, high): (worth, held[number]) for number, (low, high, worth) in enumerate(pairs)}


# Surprise


def test_surprise_by_hand() -> None:
    """10 ln(10 / 1) - 10 + 1 = 23.02585 - 9 = 14.02585; 5 ln 50 - 5 + 0.1 = 19.56012 - 4.9 = 14.66012."""
    assert chance(10, 1.0) == 14_025
    assert chance(5, 0.1) == 14_660


@pytest.mark.parametrize(("together", "expected"), [(5, 5.0), (5, 5.5), (5, 100.0), (1, 1.0)])
def test_what_is_expected_surprises_nobody(together: int, expected: float) -> None:
    assert chance(together, expected) == 0


def exact(together: int, expected: float) -> float:
    """Millinats of a Poisson law of that mean giving so many or more: SciPy's first term, and the series of the rest over it."""
    term, series, more = 1.0, 1.0, together
    while term > 1e-18 * series:
        more += 1
        term *= expected / more
        series += term
    return -1000 * (float(poisson.logpmf(together, expected)) + log(series))


@given(st.integers(1, 2_000), st.floats(1e-6, 1_999))
def test_it_never_says_more_than_the_law_itself(together: int, expected: float) -> None:
    """And less by little: by Stirling's formula the law's first term is ln sqrt(2 pi k) + 1 / 12 k beyond Chernoff's bound."""
    bound = chance(together, expected)
    if together <= expected:
        assert bound == 0
        return
    tail = exact(together, expected)
    whole = float(poisson.sf(together - 1, expected))
    if whole > 1e-200:
        assert tail == pytest.approx(-1000 * log(whole), rel=1e-6, abs=1e-6)
    assert bound <= tail + 1e-9 * tail + 1e-6
    assert bound >= tail - 1000 * (0.5 * log(2 * pi * together) + 1 / (12 * together)) - 1.001


# Composites


def pair(many: int, *values: int, strangers: int = 1_000) -> Crowd:
    crowd = Crowd(strangers)
    crowd.group("g", many, 100, values)
    return crowd


def test_five_holders_are_a_composite_and_four_are_none() -> None:
    """5 ln(5 / (25 / 1005)) - 5 + 25 / 1005 = 5 ln 201 - 4.97512 = 26.51652 - 4.97512 = 21.5414."""
    crowd = pair(5, CARD, PROMPT)
    assert found(crowd) == {(CARD, PROMPT): (21_541, {f"a:g{number:04}" for number in range(5)})}
    assert found(pair(4, CARD, PROMPT)) == {}


def test_five_must_hold_both() -> None:
    """Six hold the card and six the prompt, of whom four hold both."""
    crowd = pair(4, CARD, PROMPT, strangers=100_000)
    crowd.group("c", 2, 100, [CARD])
    crowd.group("p", 2, 100, [PROMPT])
    assert found(crowd) == {}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (key("payment", 1), key("payment", 2)),
        (key("domain", 1), key("organisation", 2)),
        (key("domain", 1), key("email_domain", 2)),
        (key("network", 1), key("network_wide", 2)),
        (key("device", 1), key("device", 2)),
    ],
)
def test_two_of_one_family_are_none(one: int, other: int) -> None:
    assert found(pair(15, one, other)) == {}


@pytest.mark.parametrize(("one", "other"), [("system", "shingle"), ("network_wide", "agent"), ("email_domain", "shingle")])
def test_two_that_anybody_can_send_are_none(one: str, other: str) -> None:
    assert found(pair(50, key(one, 1), key(other, 1), strangers=10_000)) == {}


@pytest.mark.parametrize(("holders", "composite"), [(19, True), (20, False)])
def test_a_network_and_a_prompt(holders: int, composite: bool) -> None:
    """Twenty behind one address are an office, or a carrier's NAT."""
    assert bool(found(pair(holders, key("network", 1), PROMPT))) is composite


def test_a_bound_value_ties_whichever_of_the_two_it_is() -> None:
    """Codes put the card before the prompt, and the wide network after the device."""
    assert list(found(pair(9, CARD, PROMPT))) == [(CARD, PROMPT)]
    assert list(found(pair(9, key("network_wide", 1), DEVICE))) == [(DEVICE, key("network_wide", 1))]
    assert list(found(pair(9, key("email_domain", 1), DEVICE))) == [(key("email_domain", 1), DEVICE)]


def test_two_bound_ones_are_counted_once() -> None:
    assert list(found(pair(9, CARD, DEVICE))) == [(CARD, DEVICE)]


def test_popular_values_meet_by_chance() -> None:
    """Half of 400 have the card, half the prompt; 100 have both, as is to be expected, or all 200."""
    for together, many in ((100, 0), (200, 1)):
        crowd = Crowd()
        for number in range(400):
            shown = [CARD] * (number < 200) + [PROMPT] * (200 - together <= number < 400 - together)
            crowd.add(f"a:{number:03}", 0, shown)
        assert len(found(crowd)) == many


@pytest.mark.parametrize(("accounts", "composite"), [(267, False), (268, True)])
def test_fifteen_nats_are_the_least(accounts: int, composite: bool) -> None:
    """5 ln(n / 5) - 5 + 25 / n: 14.983 at 267 accounts, 15.001 at 268."""
    assert bool(found(pair(5, CARD, PROMPT, strangers=accounts - 5))) is composite


@pytest.mark.parametrize(("texts", "composite"), [(146, True), (150, False)])
def test_many_composites_ask_for_more(texts: int, composite: bool) -> None:
    """At 268 accounts each is worth 15.001. 150 x 146 composites ask for ln 21,900 + 5 = 14.994, 150 x 150 for 15.021."""
    cards = [key("payment", number) for number in range(150)]
    crowd = pair(5, *cards, *[key("shingle", number) for number in range(texts)], strangers=263)
    assert bool(found(crowd)) is composite


# Whoever was there before


def planted(since: int, values: dict[int, int]) -> set[str]:
    """Fifty came at hour 2,000, with one card and one prompt; who is tied, of them and of one more."""
    crowd = Crowd(2_000)
    crowd.group("bad", 50, 2_000, [CARD, PROMPT])
    crowd.add("a:he", since, values)
    ((_, tied),) = found(crowd).values()
    assert len(tied - {"a:he"}) == 50
    return tied


@pytest.mark.parametrize(
    ("since", "values", "member"),
    [
        (2_000 - 365 * DAY, {CARD: 0, PROMPT: 0}, False),
        (2_000 - 365 * DAY, {CARD: 0, PROMPT: 2_500}, False),
        (2_000 - 365 * DAY, {CARD: 2_500, PROMPT: 0}, False),
        (2_000 - 365 * DAY, {CARD: 1_999, PROMPT: 1_999}, False),
        (2_000 - 365 * DAY, {CARD: 2_000, PROMPT: 2_000}, True),
        (2_000 - MONTH, {CARD: 1_999, PROMPT: 2_000}, False),
        (2_000 - MONTH + 1, {CARD: 1_999, PROMPT: 2_000}, True),
        (2_000 - MONTH + 1, {CARD: 1_300, PROMPT: 1_300}, True),
    ],
)
def test_who_was_established_by_then_and_had_one_before(since: int, values: dict[int, int], member: bool) -> None:
    assert ("a:he" in planted(since, values)) is member


def test_then_is_when_the_second_had_both() -> None:
    """The second to have both was established by then, and had the card before: he is not tied, the rest are."""
    crowd = Crowd(2_000)
    crowd.group("bad", 20, 2_000, [CARD, PROMPT])
    crowd.add("a:first", 1_000, [CARD, PROMPT])
    crowd.add("a:second", 500, {CARD: 500, PROMPT: 1_500})
    ((_, tied),) = found(crowd).values()
    assert "a:first" in tied
    assert "a:second" not in tied
    assert len(tied) == 21


def test_five_must_be_left() -> None:
    """Five share both, of whom one had the card for a year."""
    for many, composite in ((4, False), (5, True)):
        crowd = Crowd(5_000)
        crowd.group("new", many, 9_000, [CARD, PROMPT])
        crowd.add("a:old", 0, [CARD, PROMPT])
        assert bool(found(crowd)) is composite


# Islands


def test_who_holds_a_composite_in_common_is_in_one() -> None:
    crowd = pair(9, CARD, PROMPT, strangers=5_000)
    crowd.group("h", 9, 100, [key("payment", 2), key("system", 2)])
    crowd.group("i", 9, 100, [key("device", 3), key("system", 3)])
    for name in ("a:h0000", "a:h0001", "a:h0002", "a:h0003", "a:h0004"):
        crowd.shown[name] |= {key("device", 3): 100, key("system", 3): 100}
    graph = crowd.graph()
    found = named(graph, islands(composites(graph, age=MONTH), graph.size))
    assert [{name[2] for name in members} for members in found] == [{"g"}, {"h", "i"}]


def test_one_value_in_common_joins_nobody() -> None:
    """Two groups with one prompt, and a card each."""
    crowd = pair(9, CARD, PROMPT, strangers=5_000)
    crowd.group("h", 9, 100, [key("payment", 2), PROMPT])
    graph = crowd.graph()
    assert [len(each) for each in named(graph, islands(composites(graph, age=MONTH), graph.size))] == [9, 9]


def test_no_composites_are_no_islands() -> None:
    none: Any = np.zeros(0, np.int32)
    assert islands(Composites(none, none, none, none, none.astype(np.int64)), 3).tolist() == [-1, -1, -1]


# The oracle


@given(small.crowds(), st.sampled_from([4_000_000, 1, 50]))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_small_worlds_have_the_oracles_composites(crowd: Crowd, chunk: int) -> None:
    """However many pairs are made at a time."""
    world = oracle.World(crowd.since, crowd.shown, KINDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", chunk)
        assert found(crowd) == oracle.composites(world)
    graph = crowd.graph()
    cluster = islands(composites(graph, age=MONTH), graph.size)
    assert [set(each) for each in named(graph, cluster)] == oracle.islands(world)
