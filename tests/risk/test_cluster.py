"""What the verdict on an account's cluster is worth."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from guardrail_mw.risk.base import Finding
from guardrail_mw.risk.cluster import ClusterScorer, ClusterSettings
from guardrail_mw.risk.combination import Weighed, combine
from guardrail_mw.testing.requests import context, scope


def found(standing: dict[str, str], **worth: int) -> list[Finding]:
    return list(ClusterScorer(ClusterSettings(**worth), scope("cluster")).score(context(standing=standing)))


@pytest.mark.parametrize(("verdict", "score"), [("watched", 5), ("suspect", 60), ("confirmed", 90)])
def test_a_verdict_counts_as_reputation(verdict: str, score: int) -> None:
    assert found({"verdict": verdict}) == [Finding("reputation", score, f"cluster-{verdict}", {"verdict": verdict})]


@pytest.mark.parametrize(
    "standing", [{}, {"verdict": "none"}, {"verdict": ""}, {"verdict": "guilty"}, {"families": "network"}]
)
def test_nothing_is_held_against_the_others(standing: dict[str, str]) -> None:
    assert found(standing) == []


def test_a_verdict_counts_as_what_it_rests_on() -> None:
    findings = found({"verdict": "suspect", "families": "payment, network"})
    assert [(each.family, each.score) for each in findings] == [("network", 60), ("payment", 60)]
    # 1 - .4 × .4
    assert combine([Weighed("cluster", each, 1, shadow=False) for each in findings], {}).score == 84


@pytest.mark.parametrize("families", ["", ",", "handwriting", "network payment"])
def test_families_that_are_none_leave_reputation(families: str) -> None:
    assert [each.family for each in found({"verdict": "suspect", "families": families})] == ["reputation"]


def test_what_it_is_worth_is_the_policys() -> None:
    assert found({"verdict": "watched"}, watched=0) == []
    assert found({"verdict": "watched"}, watched=35)[0].score == 35


@pytest.mark.parametrize("worth", [{"watched": 70}, {"confirmed": 50}, {"suspect": 101}, {"watched": -1}, {"none": 5}])
def test_worth_that_is_none(worth: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ClusterSettings(**worth)


def test_who_is_only_watched_reaches_no_usual_rung() -> None:
    """1 - .95^5 = .226: below the lowest rung of the shipped ladder, a delay at 30."""
    findings = found({"verdict": "watched", "families": "client,content,device,network,payment"})
    assert round(combine([Weighed("cluster", each, 1, shadow=False) for each in findings], {}).score, 1) == 22.6
