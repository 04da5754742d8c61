"""Resampled shapes come back as the tables have them."""

from __future__ import annotations

import numpy as np
import pytest

from guardrail_mw.simulate.world import volumes


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(2)


def test_accounts_spread_as_clients_do(rng: np.random.Generator) -> None:
    drawn = volumes.between(rng, 200_000, 1.0)
    quantiles = np.quantile(drawn, [0.1, 0.5, 0.9, 0.99])
    assert quantiles == pytest.approx([0.077, 1.0, 10.6, 45.4], rel=0.06)
    top = np.sort(drawn)[-20_000:].sum() / drawn.sum()
    assert 0.55 < top < 0.85  # of the trace's clients the tenth that calls most makes 71 to 79% of the calls


def test_no_spread_makes_all_alike(rng: np.random.Generator) -> None:
    assert set(volumes.between(rng, 100, 0.0).tolist()) == {1.0}
    assert set(volumes.within(rng, 100, 0.0).tolist()) == {1.0}


def test_tokens_have_their_profiles_shape(rng: np.random.Generator) -> None:
    n = 60_000
    means = np.full(n, 1500, np.float32)
    for name, middle, average in (
        ("conversation", (1020, 129), None),
        ("completion", (1469, 13), None),
        ("agent", None, (67_900, 528)),
    ):
        given, made = volumes.tokens(rng, np.full(n, volumes.PROFILES.index(name), np.int8), means)
        if middle:
            assert (np.median(given), np.median(made)) == pytest.approx(middle, rel=0.05)
        if average:
            assert (given.mean(), made.mean()) == pytest.approx(average, rel=0.03)


def test_an_exchange_of_a_campaign_has_the_plans_tokens_in_the_mean(rng: np.random.Generator) -> None:
    n = 60_000
    given, made = volumes.tokens(rng, np.full(n, volumes.PROFILES.index("exchange"), np.int8), np.full(n, 1500, np.float32))
    total = given + made
    assert total.mean() == pytest.approx(1500, rel=0.01)
    assert np.quantile(total, 0.9) > 2000
    assert min(given.min(), made.min()) >= 1


def test_profiles_may_be_mixed_in_one_draw(rng: np.random.Generator) -> None:
    profile = np.tile(np.array([0, 2], np.int8), 2000)
    given, _ = volumes.tokens(rng, profile, np.zeros(4000, np.float32))
    assert np.median(given[1::2]) > 20 * np.median(given[::2])


def test_rhythms_are_shares_of_a_day() -> None:
    hours, week = volumes.rhythm(list(volumes.RHYTHMS))
    assert hours.shape == (len(volumes.RHYTHMS), 24)
    assert hours[:, -1] == pytest.approx(1)
    assert week.shape == (len(volumes.RHYTHMS), 7)
