"""Judges with other weights, and what they would have made of a run."""

from __future__ import annotations

import numpy as np

from guardrail_mw.clusters.features import FEATURES
from guardrail_mw.clusters.state import Cluster
from guardrail_mw.clusters.verdict import Judge, Worth
from guardrail_mw.simulate.judges import JUDGES, panel, suspected
from guardrail_mw.simulate.ledgers import Found
from guardrail_mw.simulate.opinions import ORACLE, Opinions

HOUR = 3_600_000_000


def judge() -> Judge:
    """Only size and youth count: 1 nat for each above 4, 2 for all being young; suspect from 3 nats on."""
    worth = {name: Worth(0.0, 0.0, 1.0, "") for name in FEATURES}
    worth["size"] = Worth(1.0, 4.0, 1.0, "")
    worth["young"] = Worth(2.0, 0.0, 1.0, "")
    return Judge(0.0, 3000, 6000, worth)


def cluster(size: float, young: float, *, members: int = 20, exchanges: int = 300) -> Cluster:
    figures = dict.fromkeys(FEATURES, 0.0) | {"size": size, "young": young}
    return Cluster("c", tuple(f"a:{n}" for n in range(members)), "none", 0, 0, exchanges=exchanges, figures=figures)


def names(row: np.ndarray) -> set[str]:
    return {JUDGES[each] for each in np.flatnonzero(row).tolist()}


def test_one_weight_at_a_time_is_halved_or_doubled() -> None:
    judges = panel(judge())
    assert len(judges) == len(JUDGES) == 1 + 2 * len(FEATURES)
    assert JUDGES[:3] == ("as shipped", "size halved", "size doubled")
    # 1.5 above in size and young by half: 1.5 + 1 = 2.5 nats; doubled size 4, doubled youth 3.5, halved 1.75 and 2.
    # 2 above in size and all young: 2 + 2 = 4; halved size 3, halved youth 3.
    # 2.5 and half: 3.5; halved size 2.25; halved youth 3.
    found = suspected(judges, [cluster(5.5, 0.5), cluster(6.0, 1.0), cluster(6.5, 0.5)], (20, 300))
    assert names(found[0]) == {"size doubled", "young doubled"}
    assert names(found[1]) == set(JUDGES)
    assert names(found[2]) == set(JUDGES) - {"size halved"}


def test_below_the_floor_nobody_suspects() -> None:
    large = [cluster(9.0, 1.0, members=19), cluster(9.0, 1.0, exchanges=299), cluster(9.0, 1.0)]
    assert suspected(panel(judge()), large, (20, 300)).any(axis=1).tolist() == [False, False, True]
    assert suspected(panel(judge()), [], (20, 300)).shape == (0, len(JUDGES))


def test_opinions_of_a_run() -> None:
    """Accounts 0 to 3 are people, 4 to 7 an operator's, who begins at hour 10."""
    people = np.array([True] * 4 + [False] * 4)
    opinions = Opinions(8, people)
    none = np.zeros(len(JUDGES), np.bool_)
    shipped, doubled = none.copy(), none.copy()
    shipped[0] = True
    doubled[[0, 2]] = True  # as shipped, and "size doubled"
    mine, theirs = np.array([3, 4, 5, 6, 7]), np.array([0, 1, 2])
    opinions.look(11 * HOUR, [Found("m", 1, mine), Found("t", 1, theirs)], np.array([0, -1]))  # too early for any judge
    opinions.look(12 * HOUR, [Found("m", 1, mine, none), Found("t", 1, theirs, doubled)], np.array([0]))
    opinions.look(14 * HOUR, [Found("m", 2, mine[:3], doubled), Found("t", 0, theirs, none)], np.array([0]))
    opinions.look(17 * HOUR, [Found("m", 2, mine, shipped), Found("t", 0, theirs, none)], np.array([0]))
    found = {each["judge"]: each for each in opinions.figures([("one", 10 * HOUR, np.array([4, 5, 6, 7]))])}
    assert list(found) == [*JUDGES, ORACLE]
    assert found["as shipped"] == {
        "judge": "as shipped",
        "contained": {"one": [4.0, 7.0]},  # 4 and 5 from hour 14, 6 and 7 from hour 17
        "ordinary_in_a_suspect_cluster": 3,
        "suspect_clusters_of_no_operator": 1,
    }
    assert found["size doubled"]["contained"] == {"one": [None, None]}  # they were let go again at hour 17
    assert found["size doubled"]["ordinary_in_a_suspect_cluster"] == 3
    assert found[ORACLE]["contained"] == {"one": [2.0, 7.0]}  # 4 and 5 from hour 12; 6 and 7 were out at hour 14
    assert found[ORACLE]["ordinary_in_a_suspect_cluster"] == 1
    assert found[ORACLE]["suspect_clusters_of_no_operator"] == 0
    assert found["young halved"]["contained"] == {"one": [None, None]}
