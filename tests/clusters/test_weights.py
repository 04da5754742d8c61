"""What values say for clusters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from guardrail_mw.clusters.weights import weigh

from . import oracle, small
from .kit import KINDS, Crowd, Said, key, numbered, said, sizes

CARD, PROMPT = key("payment", 1), key("system", 1)


def weighed(crowd: Crowd, *clusters: list[str]) -> dict[tuple[int, int], Said]:
    graph = crowd.graph()
    cluster = numbered(graph, clusters)
    return said(graph, weigh(graph, cluster, sizes(cluster)))


def cluster_of_ten(strangers: int, outside: int = 0) -> dict[tuple[int, int], Said]:
    """A cluster of ten with one card, that `outside` others hold too; in all 10 + strangers + outside accounts."""
    crowd = Crowd(strangers)
    members = crowd.group("m", 10, 50, [CARD])
    crowd.group("o", outside, 50, [CARD])
    return weighed(crowd, members)


def test_by_hand() -> None:
    """1,000 accounts: ln(1 / (1.5 / 991)) = ln 660.667 = 6.49325."""
    assert cluster_of_ten(989, 1) == {(CARD, 0): Said(10, 6_493, 50)}


def test_nine_nats_are_the_most() -> None:
    """5,000 accounts and nobody else: ln(4,991 / 0.5) = 9.2085. At 4,061: ln(4,052 / 0.5) = 9.00011; at 4,060: 8.99987."""
    assert cluster_of_ten(4_990)[CARD, 0].weight == 9_000
    assert cluster_of_ten(4_051)[CARD, 0].weight == 9_000
    assert cluster_of_ten(4_050)[CARD, 0].weight == 8_999


def test_half_a_nat_is_the_least() -> None:
    """Of 1,009 accounts 606 others hold it: ln(1,000 / 606.5) = 0.50005; 607: 0.49840."""
    assert cluster_of_ten(999 - 606, 606)[CARD, 0].weight == 500
    assert cluster_of_ten(999 - 607, 607) == {}


def test_a_cluster_that_is_everybody_has_half_a_holder_against_it() -> None:
    """ln(1 / (0.5 / 1)) = 0.693."""
    assert cluster_of_ten(0)[CARD, 0].weight == 693


def test_what_one_member_holds_says_nothing() -> None:
    crowd = Crowd(1_000)
    members = crowd.group("m", 10, 50, [CARD])
    crowd.group("o", 3, 50, [PROMPT])
    crowd.shown[members[0]][PROMPT] = 50
    assert weighed(crowd, members).keys() == {(CARD, 0)}
    crowd.shown[members[1]][PROMPT] = 50
    assert weighed(crowd, members)[PROMPT, 0].members == 2


def test_of_each_cluster_when_its_second_came_to_hold_it() -> None:
    """Others' times do not matter; two in the same hour are two."""
    crowd = Crowd(5_000)
    one = [crowd.add(f"a:m{at}", 0, {CARD: at}) for at in (90, 30, 70, 50)]
    other = [crowd.add(f"a:n{number}", 0, {CARD: at}) for number, at in enumerate((40, 40, 80))]
    crowd.add("a:old", 0, {CARD: 1})
    found = weighed(crowd, one, other)
    assert (found[CARD, 0].second, found[CARD, 1].second) == (50, 40)


def test_rows_are_by_value_and_cluster() -> None:
    crowd = Crowd(5_000)
    one = crowd.group("m", 10, 50, [CARD, PROMPT])
    other = crowd.group("n", 10, 60, [PROMPT])
    graph = crowd.graph()
    cluster = numbered(graph, [one, other])
    found = weigh(graph, cluster, sizes(cluster))
    assert found.value.tolist() == [0, 1, 1]
    assert found.cluster.tolist() == [0, 0, 1]
    assert found.starts.tolist() == [0, 1, 3]


@pytest.mark.parametrize("crowd", [Crowd(), Crowd(3)])
def test_no_clusters_no_weights(crowd: Crowd) -> None:
    graph = crowd.graph()
    found = weigh(graph, np.full(graph.size, -1, np.int32), np.zeros(0, np.int64))
    assert (len(found.value), found.starts.tolist()) == (0, [0])


@given(small.crowds())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_small_worlds_have_the_oracles_weights(crowd: Crowd) -> None:
    """For any clusters at all: here by the last digit of a name."""
    clusters = [[each for each in crowd.since if each[-1] == digit and "~" not in each] for digit in "036"]
    clusters = [each for each in clusters if each]
    world = oracle.World(crowd.since, crowd.shown, KINDS)
    expected = oracle.weigh(world, [set(each) for each in clusters])
    found = weighed(crowd, *clusters)
    assert {at: tuple(each) for at, each in found.items()} == {at: tuple(each) for at, each in expected.items()}
