"""Who shares what, worked out by counting."""

from __future__ import annotations

import numpy as np
import pytest

from guardrail_mw.simulate.world.figures import draw, whole
from guardrail_mw.simulate.world.ranges import merged
from guardrail_mw.simulate.world.sharing import allot, shuffled, spread

GROUP = np.repeat(np.arange(4), [7, 1, 40, 12])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_a_fixed_share_holds_in_every_group_but_for_its_last_value(rng: np.random.Generator) -> None:
    value, count = allot((3.0, 3.0), GROUP, rng)
    holders = np.bincount(value).tolist()
    assert holders == [3, 3, 1, 1, *[3] * 13, 1, 3, 3, 3, 3]
    assert count == len(holders)


def test_no_value_is_held_in_two_groups(rng: np.random.Generator) -> None:
    value, count = allot((2.0, 9.0), GROUP, rng)
    groups = [len(set(GROUP[value == each].tolist())) for each in range(count)]
    assert groups == [1] * count
    assert 2 <= max(np.bincount(value)) <= 9


def test_a_group_may_share_one_value_and_each_account_may_have_its_own(rng: np.random.Generator) -> None:
    assert allot("group", GROUP, rng)[0].tolist() == GROUP.tolist()
    assert allot((1.0, 1.0), GROUP, rng)[0].tolist() == list(range(60))
    assert allot((1.0, 1.0), GROUP[:0], rng)[1] == 0


def test_shuffling_keeps_how_many_hold_each_value_and_keeps_them_in_their_group(rng: np.random.Generator) -> None:
    value, _ = allot((4.0, 4.0), GROUP, rng)
    mixed = shuffled(value, GROUP, np.ones(60), rng)
    assert np.bincount(mixed).tolist() == np.bincount(value).tolist()
    assert (mixed != value).sum() > 20
    for group in range(4):
        assert sorted(mixed[group == GROUP]) == sorted(value[group == GROUP])
    assert shuffled(value, GROUP, np.zeros(60), rng).tolist() == value.tolist()


def test_shells_are_spread_evenly() -> None:
    number, count = spread(10, np.zeros(200, int), 1)
    assert count == 10
    assert np.bincount(number).tolist() == [20] * 10
    assert spread("none", GROUP, 4)[1] == 0
    assert spread("own", GROUP, 4)[1] == 60
    assert spread("group", GROUP, 4)[0].tolist() == GROUP.tolist()


def test_a_wide_range_is_even_on_the_logarithm(rng: np.random.Generator) -> None:
    assert np.median(draw((10, 1000), rng, 20_000)) == pytest.approx(100, rel=0.05)  # the root of 10 × 1000
    assert np.median(draw((10, 90), rng, 20_000)) == pytest.approx(50, rel=0.05)
    assert draw((3, 3), rng, 4).tolist() == [3] * 4


def test_whole_figures_reach_both_ends_and_pass_neither(rng: np.random.Generator) -> None:
    figures = whole((2, 4), rng, 3_000)
    assert set(figures.tolist()) == {2, 3, 4}
    assert min(np.bincount(figures)[2:]) > 900  # a third each


def test_a_mapping_is_laid_over_another() -> None:
    under = {"a": {"b": 1, "c": 2}, "d": 3}
    assert merged(under, {"a": {"c": 4}, "e": 5}) == {"a": {"b": 1, "c": 4}, "d": 3, "e": 5}
    assert under == {"a": {"b": 1, "c": 2}, "d": 3}
