"""Clusters so large that they matter, whoever they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from guardrail_mw.clusters.features import Activities
from guardrail_mw.clusters.inheriting import taken_along
from guardrail_mw.clusters.material import Materiality, tokens_by_day
from guardrail_mw.clusters.rebuild import Rules, _material
from guardrail_mw.clusters.state import Cluster

from .kit import TABLE


def activity(daily: list[list[int]], tokens: list[int], requests: list[int]) -> Activities:
    """What accounts did, on days that are told."""
    n = len(daily)
    none = np.zeros(n, np.int64)
    return Activities(
        np.array(requests), np.array(tokens), none, none, none, np.zeros((n, 24), np.int64), none, none, np.array(daily)
    )


def test_a_days_tokens_are_its_requests_at_the_accounts_own_mean() -> None:
    """10 tokens a request for the first, 100 for the second: 3 and 1 requests of the first day are 30 and 100."""
    done = activity([[3, 0], [1, 2], [5, 5]], [100, 1_000, 50], [10, 10, 0])
    found = tokens_by_day(done, np.array([0, 0, -1], np.int32), 1)
    assert found.tolist() == [[130.0, 200.0], [380.0, 450.0]]  # the third: 50 tokens, and requests unknown are taken for one


def test_from_which_size_on_or_which_share() -> None:
    rule = Materiality(50, 0.01)
    assert rule.holds(50, 0, 0)
    assert not rule.holds(49, 0, 0)
    assert rule.holds(5, 10, 1_000)
    assert not rule.holds(5, 9.99, 1_000)


def test_a_budget_is_fixed_when_the_cluster_becomes_material() -> None:
    rules = Rules(TABLE)
    tokens, everybody = np.array([100.0, 250.0]), np.array([90_000.0, 10_000.0])
    assert _material(None, 50, tokens, everybody, rules, 7) == {"material": 7, "budget": 300}
    assert _material(None, 49, tokens, everybody, rules, 7) == {}
    assert _material(None, 5, tokens * 4, everybody, rules, 7) == {"material": 7, "budget": 1_200}
    known = Cluster("a" * 12, (), "none", 0, 0, material=3, budget=5)
    assert _material(known, 50, tokens, everybody, rules, 7) == {"material": 3, "budget": 5}
    assert _material(replace(known, budget=0), 5, tokens, everybody, rules, 7) == {"material": 3, "budget": 300}
    assert _material(replace(known, budget=0), 5, tokens * 0, everybody, rules, 7) == {"material": 3, "budget": 0}
    assert _material(replace(known, material=None), 49, tokens, everybody, rules, 7) == {}
    part = taken_along(replace(known, members=tuple("abcde")), ("a", "b"))
    assert part == {"material": 3, "budget": 2}
