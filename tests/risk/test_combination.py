"""Noisy-or across families, the strongest of each: by hand, by an oracle in whole numbers, and as properties."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail_mw.risk.base import FAMILIES, Family, Finding
from guardrail_mw.risk.combination import NO_RISK, Risk, Weighed, combine, explain


def weighed(family: Family, score: int, weight: float = 1, *, reason: str = "because", shadow: bool = False) -> Weighed:
    return Weighed("scorer", Finding(family, score, reason), weight, shadow)


@pytest.mark.parametrize(
    ("findings", "weights", "risk"),
    [
        ([], {}, NO_RISK),
        ([weighed("device", 0)], {}, NO_RISK),
        ([weighed("device", 40)], {}, Risk(40, (("device", 40),))),
        # 1 - .6 × .7 = .58
        ([weighed("network", 30), weighed("device", 40)], {}, Risk(58, (("device", 40), ("network", 30)))),
        # The second of a family adds nothing.
        ([weighed("device", 39), weighed("device", 40), weighed("device", 1)], {}, Risk(40, (("device", 40),))),
        # 1 - .9 × .8 × .7 × .6 = 1 - .3024
        (
            [weighed("volume", 10), weighed("timing", 20), weighed("content", 30), weighed("client", 40)],
            {},
            Risk(69.76, (("client", 40), ("content", 30), ("timing", 20), ("volume", 10))),
        ),
        # 80 × .5 × .4 = 16; 1 - .84 × .5 = .58
        ([weighed("client", 80, 0.5), weighed("payment", 50)], {"client": 0.4}, Risk(58, (("payment", 50), ("client", 16)))),
        # The strongest is told after weighing: 60 × 1 above 90 × .5.
        ([weighed("device", 90, 0.5), weighed("device", 60)], {}, Risk(60, (("device", 60),))),
        ([weighed("device", 100), weighed("network", 30)], {}, Risk(100, (("device", 100), ("network", 30)))),
        ([weighed("device", 100, 0)], {}, NO_RISK),
        ([weighed("device", 100)], {"device": 0.0}, NO_RISK),
        # 33 × .333 = 10.989; to two decimals.
        ([weighed("device", 33, 0.333)], {}, Risk(10.99, (("device", 10.99),))),
    ],
)
def test_by_hand(findings: list[Weighed], weights: dict[Family, float], risk: Risk) -> None:
    assert combine(findings, weights) == risk


families = st.sampled_from(FAMILIES)
shares = st.integers(0, 100).map(lambda percent: percent / 100)
some = st.lists(st.builds(weighed, families, st.integers(0, 100), shares), max_size=12)
weightings = st.dictionaries(families, shares)


@given(some, weightings)
def test_an_oracle_in_fractions(findings: list[Weighed], weights: dict[Family, float]) -> None:
    none = Fraction(1)
    for family in FAMILIES:
        of = [
            Fraction(each.finding.score) * Fraction(str(each.weight)) * Fraction(str(weights.get(family, 1)))
            for each in findings
            if each.finding.family == family
        ]
        none *= 1 - max(of, default=Fraction(0)) / 100
    # Each family's figure is rounded once (.005 at most, ten families), the risk once more.
    assert abs(combine(findings, weights).score - float(100 * (1 - none))) <= 0.056


@given(some, weightings, st.randoms(use_true_random=False))
def test_order_never_matters(findings: list[Weighed], weights: dict[Family, float], random: Random) -> None:
    shuffled = list(findings)
    random.shuffle(shuffled)
    assert combine(shuffled, weights) == combine(findings, weights)


@given(some, weightings, st.builds(weighed, families, st.integers(0, 100), shares))
def test_one_more_finding_never_lowers_the_risk(
    findings: list[Weighed], weights: dict[Family, float], more: Weighed
) -> None:
    assert combine([*findings, more], weights).score >= combine(findings, weights).score


@given(some.filter(bool), weightings, st.data())
def test_a_higher_score_never_lowers_the_risk(
    findings: list[Weighed], weights: dict[Family, float], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(findings) - 1))
    before = findings[index]
    score = data.draw(st.integers(before.finding.score, 100))
    after = before._replace(finding=before.finding._replace(score=score))
    raised = [*findings[:index], after, *findings[index + 1 :]]
    assert combine(raised, weights).score >= combine(findings, weights).score


@given(some, weightings)
def test_between_the_strongest_family_and_100(findings: list[Weighed], weights: dict[Family, float]) -> None:
    risk = combine(findings, weights)
    assert max((score for _, score in risk.families), default=0) <= risk.score <= 100


def test_it_says_what_each_family_adds() -> None:
    findings = [
        weighed("device", 40, reason="devices-per-account"),
        weighed("device", 40, reason="new-devices"),
        weighed("network", 30, reason="shared-network"),
        weighed("payment", 0, reason="nothing"),
    ]
    assert explain(combine(findings, {}), findings) == [
        "device 40 (devices-per-account, new-devices) adds 28: without it the risk would be 30, not 58",
        "network 30 (shared-network) adds 18: without it the risk would be 40, not 58",
    ]


def test_what_is_in_shadow_explains_nothing() -> None:
    findings = [weighed("device", 40), weighed("device", 90, reason="watched", shadow=True)]
    assert explain(combine(findings[:1], {}), findings) == [
        "device 40 (because) adds 40: without it the risk would be 0, not 40"
    ]
    assert explain(NO_RISK) == []
