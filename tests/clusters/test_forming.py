"""The clusters, against an oracle in plain Python, and by hand."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings

from guardrail_mw.clusters import islands
from guardrail_mw.clusters.forming import form
from guardrail_mw.clusters.graph import Graph

from . import oracle, small, worlds
from .kit import CONTENT, DAY, KINDS, MONTH, TABLE, Crowd, key, named
from .worlds import Campaign, Made

NEW = 45 * DAY
"""Hours in which a use is new."""


def formed(crowd: Crowd, now: int, order: list[int] | None = None) -> list[set[str]]:
    graph = Graph.of(crowd.held(order), TABLE)
    found = form(graph, CONTENT, now=now, age=MONTH, new=now - NEW)
    return [set(members) for members in named(graph, found.cluster)]


def slowly(crowd: Crowd, now: int) -> list[set[str]]:
    return oracle.form(oracle.World(crowd.since, crowd.shown, KINDS), now=now, new=now - NEW)


@given(small.crowds())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_small_worlds_have_the_oracles_clusters(crowd: Crowd) -> None:
    expected = slowly(crowd, small.NOW)
    event(f"{len(expected)} clusters")
    assert formed(crowd, small.NOW) == expected


@pytest.fixture(scope="module", params=[1, 2, 3])
def world(request: pytest.FixtureRequest) -> Made:
    """5,000 accounts, 800 of them of two campaigns."""
    return worlds.make(request.param, 5_000, Campaign("aligned", 400, crossed=False), Campaign("crossed", 400, crossed=True))


def test_a_world_has_the_oracles_clusters(world: Made) -> None:
    assert formed(world.crowd, worlds.NOW) == slowly(world.crowd, worlds.NOW)


def test_a_world_has_its_campaigns_and_whoever_pays_with_one_card(world: Made) -> None:
    """Naive campaigns are found whole, as one, with nobody else in them."""
    clusters = formed(world.crowd, worlds.NOW)
    assert world.cohorts["aligned"] in clusters
    assert world.cohorts["crossed"] in clusters
    assert {world.whose(each) for members in clusters for each in members} <= {"aligned", "crossed", "office", "service"}
    assert all(len({world.whose(each) for each in members}) == 1 for members in clusters)


def test_it_matters_not_in_which_order_edges_come(world: Made) -> None:
    order = list(range(world.crowd.edges))
    random.Random(5).shuffle(order)
    assert formed(world.crowd, worlds.NOW, order) == formed(world.crowd, worlds.NOW)


def test_nor_in_which_order_accounts_come(world: Made) -> None:
    """By name they are the same, where no account scores the same for two clusters of one size."""
    names = sorted(world.crowd.since)
    random.Random(6).shuffle(names)
    graph = Graph.of(world.crowd.held(names=names), TABLE)
    found = named(graph, form(graph, CONTENT, now=worlds.NOW, age=MONTH, new=worlds.NOW - NEW).cluster)
    assert sorted(found[0]) != found[0]
    assert {frozenset(each) for each in found} == {frozenset(each) for each in formed(world.crowd, worlds.NOW)}


def test_it_matters_not_in_how_many_parts_pairs_are_made(world: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = formed(world.crowd, worlds.NOW)
    monkeypatch.setattr(islands, "_CHUNK", 1_000)
    assert formed(world.crowd, worlds.NOW) == whole


def test_the_same_comes_out_twice(world: Made) -> None:
    graph = world.crowd.graph()
    once, again = [form(graph, CONTENT, now=worlds.NOW, age=MONTH, new=worlds.NOW - NEW) for _ in range(2)]
    columns: list[tuple[Any, Any]] = [*zip(once.weights, again.weights, strict=True), (once.cluster, again.cluster)]
    assert all(np.array_equal(one, other) for one, other in [*columns, (once.nominated, again.nominated)])


@pytest.mark.parametrize("crowd", [Crowd(), Crowd(1), Crowd(500)])
def test_nothing_shared_is_no_cluster(crowd: Crowd) -> None:
    assert formed(crowd, small.NOW) == []


def campaign(strangers: int = 2_000) -> Crowd:
    """Thirty accounts of one card and one prompt."""
    crowd = Crowd(strangers)
    crowd.group("camp", 30, 2_000, [key("payment", 1), key("system", 1), key("shingle", 1)])
    return crowd


def test_a_victim_is_never_a_member_by_what_was_planted() -> None:
    """His address and card, of old, shown by fifty attackers besides what they share: they are a cluster, without him."""
    crowd = Crowd(2_000)
    planted = [key("network_wide", 7), key("payment", 7), key("device", 7)]
    attackers = crowd.group("bad", 50, 2_000, [*planted, key("system", 1), key("shingle", 1)])
    crowd.add("a:victim", 2_100 - 365 * DAY, dict.fromkeys(planted, 0))
    assert formed(crowd, 2_100) == [set(attackers)]
    crowd.add("a:victim", 2_100 - 365 * DAY, dict.fromkeys([*planted, key("agent", 9)], 0))
    assert formed(crowd, 2_100) == [set(attackers)]


def test_a_first_holder_who_is_not_established_is_a_member() -> None:
    """The first of a campaign holds its card before the others do: he is one of them."""
    crowd = campaign()
    crowd.add("a:first", 1_900, [key("payment", 1), key("system", 1), key("shingle", 1)])
    assert formed(crowd, 2_100) == [{each for each in crowd.since if not each.startswith("a:~")}]


def test_the_month_counts_up_to_when_the_second_came() -> None:
    """Second at hour 2,000: who began at 1,280 was established by then, an hour later not."""
    for since, member in ((1_280, False), (1_281, True)):
        crowd = campaign()
        crowd.add("a:first", since, [key("payment", 1), key("system", 1), key("shingle", 1)])
        assert any("a:first" in each for each in formed(crowd, 2_100)) is member


@pytest.mark.parametrize(("days", "address", "many"), [(29, False, 30), (30, False, 0), (30, True, 30)])
def test_whoever_lies_still_for_a_month_is_found_by_what_is_begun_together_alone(
    days: int, address: bool, many: int
) -> None:
    """As docs/explanation/how-accounts-are-linked.md owns: their card was there before, so that it seeds nothing."""
    crowd, begun = Crowd(2_000), days * DAY
    for number in range(30):
        shown = {key("payment", 1): 0, key("system", 1): begun, key("shingle", 1): begun}
        crowd.add(f"a:c{number:02}", 0, shown | ({key("network", number // 10): begun} if address else {}))
    assert [len(each) for each in formed(crowd, begun + 10 * DAY)] == ([many] if many else [])


def test_what_an_established_account_takes_up_later_counts() -> None:
    """A bought account: years old, the campaign's card and prompt since yesterday."""
    crowd = campaign()
    crowd.add("a:bought", -9_000, dict.fromkeys([key("payment", 1), key("system", 1), key("shingle", 1)], 2_090))
    assert "a:bought" in formed(crowd, 2_100)[0]


def linked(many: int) -> Crowd:
    """A campaign, and pairs of others: each has the texts, and two bound values of which two of those before them have the same.

    No two values have five holders in common, so that only growth finds them, a pair a round.
    """
    crowd = campaign()
    before = ["a:camp0000", "a:camp0001"]
    for number in range(many):
        shared = [key("device", 10 + number), key("domain", 10 + number)]
        for each in before:
            crowd.shown[each] |= dict.fromkeys(shared, 2_050)
        before = [crowd.add(f"a:pair{number}{one}", 2_050, [*shared, key("shingle", 1)]) for one in "ab"]
    return crowd


@pytest.mark.parametrize("many", [1, 2, 6, 7])
def test_growth_goes_from_hand_to_hand(many: int) -> None:
    """For six rounds."""
    crowd = linked(many)
    (found,) = formed(crowd, 2_100)
    assert [found] == slowly(crowd, 2_100)
    assert len(found) == 30 + 2 * min(many, 6)
