"""How much a cluster looks like a campaign, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from guardrail_mw.clusters.features import FEATURES
from guardrail_mw.clusters.state import ORDER, Verdict
from guardrail_mw.clusters.verdict import Case, Judge, judged

HOUR = 3_600_000_000
NOW = 1_000 * HOUR
FLOOR = (20, 300)
JUDGE = replace(Judge.shipped(), suspect=3_000, confirmed=6_000)
CASE = Case(accounts=20, exchanges=300, score=3_000, since=None, ordered=None)


def said(case: Case, *, cold: bool = False, now: int = NOW) -> tuple[Verdict, int | None]:
    return judged(case, JUDGE, floor=FLOOR, now=now, cold=cold)


# The model


def text(**other: str) -> str:
    parts = ["bias = -1.5", "suspect = 2.0", "confirmed = 4.5"]
    for number, name in enumerate(FEATURES):
        parts.append(other.get(name, f'[figures.{name}]\nweight = {number}.0\ncentre = 1.0\nscale = 2.0\nwhy = "it is so"'))
    return "\n".join(parts)


def test_the_score_is_a_sum_and_the_bias() -> None:
    """Weights 0 to 10, each figure one scale above its centre: 55 - 1.5; a figure half a scale below gives half its weight."""
    judge = Judge.read(text())
    above = np.full((1, len(FEATURES)), 3.0)
    assert judge.score(above).tolist() == [53_500]
    below = above.copy()
    below[0, 4] = 0.0
    assert judge.score(np.concatenate((below, above))).tolist() == [53_500 - 4_000 - 2_000, 53_500]
    assert judge.parts(below)[0].tolist() == [0, 1, 2, 3, -2, 5, 6, 7, 8, 9, 10]


def test_nats_are_rounded_down() -> None:
    assert Judge.read(text().replace("bias = -1.5", "bias = -1.5004")).score(np.ones((1, len(FEATURES)))).tolist() == [
        -1_501
    ]


def test_no_clusters_no_scores() -> None:
    assert Judge.shipped().score(np.zeros((0, len(FEATURES)))).tolist() == []


def test_the_shipped_one_explains_every_figure() -> None:
    judge = Judge.shipped()
    assert tuple(judge.worth) == FEATURES
    assert all(each.why and each.scale > 0 for each in judge.worth.values())
    assert judge.confirmed == judge.suspect + 3_000


def test_a_model_names_all_figures_and_no_others() -> None:
    with pytest.raises(ValueError, match="they must be"):
        Judge.read(text(pace=""))
    with pytest.raises(ValueError, match="'haste'"):
        Judge.read(text() + '\n[figures.haste]\nweight = 1.0\ncentre = 1.0\nscale = 1.0\nwhy = "no"')


@pytest.mark.parametrize(
    ("suspect", "confirmed", "both"),
    [(None, None, (2_000, 4_500)), (3.5, None, (3_500, 6_000)), (None, 9.25, (2_000, 9_250)), (1.0, 1.5, (1_000, 1_500))],
)
def test_a_policys_thresholds(suspect: float | None, confirmed: float | None, both: tuple[int, int]) -> None:
    judge = Judge.read(text()).at(suspect, confirmed)
    assert (judge.suspect, judge.confirmed) == both


# The verdict


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, "suspect"),
        ({"score": 2_999}, "watched"),
        ({"score": -50_000}, "watched"),
        ({"score": 5_999}, "suspect"),
        ({"score": 6_000}, "confirmed"),
        ({"accounts": 19}, "none"),
        ({"exchanges": 299}, "none"),
        ({"accounts": 19, "score": 90_000}, "none"),
        ({"exchanges": 299, "score": 90_000}, "none"),
    ],
)
def test_thresholds_and_floors(change: dict[str, int], verdict: Verdict) -> None:
    assert said(CASE._replace(**change)) == (verdict, NOW if verdict in {"suspect", "confirmed"} else None)  # type: ignore[arg-type]


def test_suspect_for_a_day_is_confirmed() -> None:
    since = NOW - 24 * HOUR
    assert said(CASE._replace(since=since)) == ("confirmed", since)
    assert said(CASE._replace(since=since + 1)) == ("suspect", since + 1)


def test_one_look_without_begins_the_day_anew() -> None:
    case = CASE._replace(since=NOW - 23 * HOUR)
    assert said(case._replace(score=2_999)) == ("watched", None)
    assert said(case._replace(accounts=19)) == ("none", None)
    assert said(CASE._replace(since=None)) == ("suspect", NOW)


def test_a_cold_start_goes_no_further_than_watched() -> None:
    """And its days do not count towards the day of suspicion."""
    for score, since in product((2_999, 3_000, 90_000), (None, NOW - 48 * HOUR)):
        assert said(CASE._replace(score=score, since=since), cold=True) == ("watched", None)
    assert said(CASE._replace(accounts=19), cold=True) == ("none", None)


@pytest.mark.parametrize("ordered", ORDER)
@pytest.mark.parametrize("cold", [True, False])
def test_an_operators_word_holds(ordered: Verdict, cold: bool) -> None:
    for change in ({}, {"score": -9_000}, {"score": 90_000}, {"accounts": 1}, {"exchanges": 0}):
        assert said(CASE._replace(ordered=ordered, **change), cold=cold)[0] == ordered


def test_an_operators_word_begins_the_day_anew() -> None:
    since = NOW - 30 * HOUR
    for ordered in ORDER:
        assert said(CASE._replace(ordered=ordered, since=since)) == (ordered, None)


def test_the_order_of_verdicts() -> None:
    assert ORDER == ("none", "watched", "suspect", "confirmed")
