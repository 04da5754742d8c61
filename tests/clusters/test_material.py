"""Clusters so large that they matter, whoever they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from guardrail_mw.clusters.features import Activities
from guardrail_mw.clusters.inheriting import taken_along
from guardrail_mw.clusters.kinds import Declared
from guardrail_mw.clusters.material import Materiality, declared, tokens_by_day
from guardrail_mw.clusters.rebuild import Rules, _material
from guardrail_mw.clusters.state import Cluster

from .kit import TABLE, Crowd, key, numbered


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


ACME, OTHER = Declared("acme", 900), Declared("other", 1_000)
ORGANISATIONS = {key("organisation", 1): ACME, key("organisation", 2): OTHER, key("organisation", 3): Declared("nobody", 5)}


def crowd(*groups: tuple[int, int, int]) -> tuple[list[list[str]], Crowd]:
    """Groups of so many of the first organisation, of the second, and of none."""
    made = Crowd()
    found = []
    for number, (first, second, none) in enumerate(groups):
        found.append(
            made.group(f"{number}a", first, 0, [key("organisation", 1)])
            + made.group(f"{number}b", second, 0, [key("organisation", 2)])
            + made.group(f"{number}c", none, 0)
        )
    return found, made


def known(*groups: tuple[int, int, int]) -> dict[int, Declared]:
    """Which of such clusters are whose."""
    clusters, made = crowd(*groups)
    graph = made.graph()
    return declared(graph, numbered(graph, clusters), len(groups), ORGANISATIONS)


def test_a_cluster_is_the_organisations_that_half_of_its_members_are_of() -> None:
    assert known((3, 0, 3), (0, 3, 4), (2, 2, 0)) == {0: Declared("acme", 540), 2: Declared("acme", 360)}
    assert known((2, 3, 0)) == {0: OTHER}
    assert known((0, 0, 4)) == {}


def test_an_organisations_tokens_are_divided_among_its_clusters() -> None:
    """6 of its members here and 3 there: 600 and 300 of 900, so that a split makes no more of them."""
    assert known((6, 0, 0), (3, 0, 1)) == {0: Declared("acme", 600), 1: Declared("acme", 300)}
    assert known((899, 0, 0), (2, 0, 0))[1] == Declared("acme", 1)


def test_what_the_policy_gives_holds_in_place_of_what_was_worked_out_and_an_operators_word_before_both() -> None:
    plain = Cluster("a" * 12, (), "none", 0, 0, budget=7)
    assert (plain.allowance, plain.shares) == (0, False)
    organised = replace(plain, organisation="acme", declared=5)
    assert (organised.allowance, organised.shares) == (5, True)
    assert replace(organised, material=1).allowance == 5
    assert replace(organised, granted=9).allowance == 9
