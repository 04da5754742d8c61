"""The table, worked out by hand on a town of eight accounts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from guardrail_mw.simulate.caller import Seen
from guardrail_mw.simulate.ledgers import Found
from guardrail_mw.simulate.table import Table, Twin
from guardrail_mw.simulate.world.batch import Batch
from guardrail_mw.simulate.world.labels import Labels

_START = 1_767_571_200_000_000
_MINUTE = 60_000_000
_DAY = 1440 * _MINUTE


class Operator:
    """An operator of three accounts with a plan of ten exchanges."""

    goal = 10
    begin = _START + _DAY

    def bought(self, people: Any) -> dict[str, int]:
        return {"accounts": 3}


def world() -> Any:
    """Accounts 0 to 4: an office (group 0). 5, 6 and 7: the operator's. 8: alone."""
    labels = Labels(
        ["offices", "homes", "campaign"],
        ["one"],
        np.array([0, 0, 0, 0, 0, 2, 2, 2, 1], np.int16),
        np.array([0, 0, 0, 0, 0, 2, 2, 2, 1], np.int32),
        np.array([-1, -1, -1, -1, -1, 0, 0, 0, -1], np.int16),
        np.full(9, -1, np.int16),
        np.zeros(9, bool),
    )
    campaign = SimpleNamespace(operator="one", attacker="naive", means=["slow"], tokens=100)
    scenario = SimpleNamespace(name="town", days=3, campaigns=[campaign])
    return SimpleNamespace(
        labels=labels, scenario=scenario, start=_START, seed=1, accounts=range(9), operators=[Operator()], people=None
    )


CALLS = [  # minute, account, operator, code, cluster, verdict
    (0, 0, -1, 0, -1, 0), (1, 1, -1, 0, -1, 0), (2, 8, -1, 0, -1, 0),
    (1440, 5, 0, 0, -1, 0), (1441, 6, 0, 0, -1, 0), (1442, 5, 0, 0, -1, 0),
    (1500, 0, -1, 1, 0, 2), (1501, 1, -1, 3, 0, 2), (1502, 5, 0, 0, 0, 2), (1503, 6, 0, 3, 0, 2),
    (1510, 1, -1, 3, 0, 2), (1512, 1, -1, 4, 0, 2), (1600, 7, 0, 0, -1, 0), (1601, 7, 0, 1, 0, 2),
    (2900, 8, -1, 3, -1, 0),
]  # fmt: skip


def part(calls: list[Any], *, twin: bool) -> tuple[Batch, Seen]:
    columns = np.array(calls, np.int64).reshape(-1, 6).T
    none = np.zeros(len(calls), np.int64)
    named: dict[str, Any] = dict.fromkeys(Batch.__dataclass_fields__, none)
    named |= {
        "at": _START + columns[0] * _MINUTE,
        "account": columns[1].astype(np.int32),
        "operator": columns[2].astype(np.int16),
        "useful": columns[2] >= 0,
        "input": none + 60,
        "output": none + 20,
    }
    codes = np.where(columns[1] == 8, columns[3], 0) if twin else columns[3]
    clusters, verdicts = (none - 1, none) if twin else (columns[4], columns[5])
    return Batch(**named), Seen(codes.astype(np.uint8), clusters.astype(np.int32), verdicts.astype(np.uint8))


@pytest.fixture
def figures() -> Any:
    town = world()
    table, twin = Table(town), Twin(town)
    table.calls(*part(CALLS[:6], twin=False))
    found = [Found("c", 2, np.array([0, 1, 5, 6, 7]))]
    table.rebuilt(_START + 1450 * _MINUTE, [Found("c", 1, np.array([5, 6]))])
    table.rebuilt(_START + 1490 * _MINUTE, found)
    table.calls(*part(CALLS[6:], twin=False))
    table.rebuilt(_START + 3 * _DAY, found)
    twin.calls(*part(CALLS, twin=True))
    return table.figures(twin)


def test_operators(figures: Any) -> None:
    [one] = figures["operators"]
    assert one["attacker"] == "naive+slow"
    assert one["accounts"] == 3
    # Served: 5 three times, 6 once, 7 twice, of which once trimmed: six of ten planned. 80 tokens each of 100 planned.
    assert one["leak"] == 0.6
    assert one["leak_tokens"] == pytest.approx(6 * 80 / 1000)
    assert one["attempts"] == 7
    # All answers are one or the other; under the verdict of the second day 5 and 7, which was trimmed.
    assert one["budget"] == {"before": 4, "under": 2, "cluster_days": 1, "most_in_a_day": 2}
    assert one["held"] == 1.0
    assert one["clusters"] == 1
    assert one["precision"] == pytest.approx(3 / 5)
    assert one["recall"] == 1.0
    assert one["known_after_hours"] == pytest.approx(10 / 60, abs=0.01)
    # All three were in the suspect cluster from minute 1490 on: in the hour that ends at 1500 three had been served.
    assert one["contained"] == {"50%": {"hours": 0.83, "exchanges": 3}, "95%": {"hours": 0.83, "exchanges": 3}}
    # Account 7 came when the cluster was known; its second call was decided as a member's.
    assert one["joins"] == {"accounts": 1, "median": 2, "p95": 2}
    assert one["by_day"] == [0, 6, 0]
    assert figures["together"] == {"goal": 10, "leak": 0.6, "leak_tokens": pytest.approx(0.48), "held": 1.0}


def test_clusters(figures: Any) -> None:
    clusters = figures["clusters"]
    assert clusters["precision_by_account"] == pytest.approx(3 / 5)
    assert clusters["pairs"] == {"own": 3, "cross": 0, "mixed": 6, "ordinary": 1}
    assert clusters["by_verdict"] == {"none": 0, "watched": 0, "suspect": 1, "confirmed": 0}
    assert clusters["suspect"] == [
        {"cluster": "c", "verdict": "suspect", "accounts": 5, "operator": "one", "ordinary": 2, "cohorts": ["offices"]}
    ]
    assert clusters["ordinary_in_a_suspect_cluster"] == {"most": 2, "cluster": "c", "of": 5, "at": _START + 1490 * _MINUTE}
    # Members of the suspect cluster on the second day: one served whole (5), two trimmed (0 and 7).
    assert figures["budgets"] == {"cluster_days": 1, "served": 1, "trimmed": 2, "most_in_a_day": 1}


def test_other_clusters_are_scored_by_the_same_words() -> None:
    town = world()
    table = Table(town)
    table.calls(*part(CALLS, twin=False))
    # The operator's accounts have made two calls each (5 three): 5 and 7 are in a cluster of their own, 6 with two of the office.
    found = table.scored([Found("x", 1, np.array([5, 7])), Found("y", 2, np.array([0, 1, 6]))])
    assert found["held"] == {"one": pytest.approx(5 / 7)}
    assert found["precision_by_account"] == pytest.approx((1 + 1 + 1 / 3) / 3)
    assert (found["suspect"], found["ordinary_in_suspect_clusters"]) == (1, 2)


def test_friction(figures: Any) -> None:
    friction = figures["friction"]
    offices, homes = friction["cohorts"]["offices"], friction["cohorts"]["homes"]
    # Two of the office's accounts called; both were answered worse. Two of five are more than one.
    assert (offices["accounts"], offices["touched"], offices["share"]) == (2, 2, 1.0)
    assert (offices["groups"], offices["groups_touched"]) == (1, 1)
    assert offices["requests"] == 6
    assert offices["worse"] == 4
    assert offices["rungs"]["trimmed"] == {"requests": 1, "accounts": 1}
    assert offices["rungs"]["limited"] == {"requests": 2, "accounts": 1}
    assert offices["rungs"]["denied"] == {"requests": 1, "accounts": 1}
    # Account 1: three in a row, from minute 1501 to 1512.
    assert friction["denied"] == [{"account": 1, "cohort": "offices", "in_a_suspect_cluster": True}]
    assert friction["denied_outside_suspect_clusters"] == 0
    # Account 8 was refused in the twin as well; it is alone, so no group counts.
    assert (homes["touched"], homes["worse"], homes["accounts"], homes["groups"]) == (0, 0, 1, 0)
    assert friction["all"]["touched"] == 2
    assert friction["all"]["accounts"] == 3


def test_who_is_framed_is_counted_apart() -> None:
    town = world()
    town.labels.victims["one"] = [0]
    table, twin = Table(town), Twin(town)
    table.calls(*part(CALLS, twin=False))
    table.rebuilt(_START + 3 * _DAY, [Found("c", 2, np.array([1, 5]))])
    twin.calls(*part(CALLS, twin=True))
    figures = table.figures(twin)
    assert figures["friction"]["all"]["touched"] == 0
    assert figures["friction"]["denied"] == []
    assert "offices" not in figures["friction"]["cohorts"]
    assert figures["framing"] == [
        {"operator": "one", "accounts": 5, "touched": 2, "denied_or_limited": 1, "ever_in_a_suspect_cluster": 1}
    ]


def test_a_twin_of_another_town_is_refused() -> None:
    town = world()
    table, twin = Table(town), Twin(town)
    table.calls(*part(CALLS, twin=False))
    twin.calls(*part(CALLS[1:], twin=True))
    with pytest.raises(ValueError, match="cannot be compared"):
        table.figures(twin)
