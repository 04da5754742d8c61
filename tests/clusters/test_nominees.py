"""Values that clusters have made their own, and clusters that are one by them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from guardrail_mw.algorithms import keys
from guardrail_mw.clusters.graph import Graph
from guardrail_mw.clusters.kinds import Kind, Kinds
from guardrail_mw.clusters.nominees import nominate, united
from guardrail_mw.clusters.reading import table
from guardrail_mw.clusters.weights import weigh

from . import oracle, small
from .kit import CONTENT, KINDS, MONTH, Crowd, key, numbered, sizes

NOW, NEW = 5_000, 4_000
CARD, TEXT, PROMPT = key("payment", 1), key("shingle", 1), key("system", 1)


def nominated(crowd: Crowd, *clusters: list[str]) -> tuple[set[int], set[tuple[int, int]]]:
    """Nominees, and which of them are whose own."""
    graph = crowd.graph()
    cluster = numbered(graph, clusters)
    weights = weigh(graph, cluster, sizes(cluster))
    found = nominate(graph, weights, cluster, sizes(cluster), graph.since <= NOW - MONTH, CONTENT, new=NEW)
    pairs = zip(weights.value[found.pair].tolist(), weights.cluster[found.pair].tolist(), strict=True)
    return set(graph.keys[found.value].tolist()), {(int(graph.keys[value]), number) for value, number in pairs}


def one_cluster(many: int, holding: int, elders: int = 1_000, at: int = 4_500, value: int = TEXT) -> Crowd:
    """A cluster of `many` with a card, of whom the first so many hold a value since `at`; and established accounts."""
    crowd = Crowd(elders)
    for each in crowd.group("m", many, at, [CARD])[:holding]:
        crowd.shown[each][value] = at
    return crowd


def members(crowd: Crowd) -> list[str]:
    return [each for each in crowd.since if each.startswith("a:m")]


@pytest.mark.parametrize(("holding", "found"), [(20, {TEXT}), (19, set())])
def test_twenty_new_uses(holding: int, found: set[int]) -> None:
    crowd = one_cluster(20, holding)
    assert nominated(crowd, members(crowd)) == (found, {(each, 0) for each in found})


def test_a_use_is_new_from_an_hour_on() -> None:
    crowd = one_cluster(20, 20, at=NEW)
    assert nominated(crowd, members(crowd))[0] == {TEXT}
    crowd.shown["a:m0007"][TEXT] = NEW - 1
    assert nominated(crowd, members(crowd))[0] == set()


def test_uses_of_all_clusters_count_and_of_nobody_else() -> None:
    crowd = one_cluster(20, 20)
    crowd.group("x", 5, 4_500, [TEXT])
    half, other = members(crowd)[:10], members(crowd)[10:]
    assert nominated(crowd, half, other) == ({TEXT}, {(TEXT, 0), (TEXT, 1)})
    assert nominated(crowd, half) == (set(), set())


@pytest.mark.parametrize(("elders", "found"), [(39, True), (38, False)])
def test_twenty_times_as_common(elders: int, found: bool) -> None:
    """Half of the members hold it; 0.5 / (1 / 40) is 20, 0.5 / (1 / 39) is 19.5."""
    crowd = one_cluster(40, 20, elders)
    assert bool(nominated(crowd, members(crowd))[0]) is found


def test_of_the_old_only_those_outside_count_against_it() -> None:
    """All members hold it: 1 / (50 / 1,000) is 20, one more of the old makes it 19.6. Who is younger than a month is not old."""
    crowd = one_cluster(20, 20, elders=0)
    crowd.group("old", 49, 0, [TEXT])
    crowd.group("else", 950, 0)
    crowd.since["a:m0000"] = 0
    assert nominated(crowd, members(crowd))[0] == {TEXT}
    crowd.add("a:one", NOW - MONTH, [TEXT])
    assert nominated(crowd, members(crowd))[0] == set()
    crowd.add("a:one", NOW - MONTH + 1, [TEXT])
    assert nominated(crowd, members(crowd))[0] == {TEXT}


@pytest.mark.parametrize("kind", ["system", "agent", "tls", "device_seen", "shingle"])
def test_content_and_what_a_program_fixes_can_be_nominated(kind: str) -> None:
    crowd = one_cluster(20, 20, value=key(kind, 1))
    assert nominated(crowd, members(crowd))[0] == {key(kind, 1)}


@pytest.mark.parametrize(
    "kind", ["payment", "device", "domain", "email_domain", "issuer", "network_wide", "release", "coactive"]
)
def test_nothing_else_can(kind: str) -> None:
    crowd = one_cluster(20, 20, value=key(kind, 2))
    assert nominated(crowd, members(crowd)) == (set(), set())


def test_nor_can_a_policys_own_that_is_bound() -> None:
    """Though it is of the family: a program with a licence of its own, say."""
    own = Kinds([Kind(40, "licence", "client", bound=True), Kind(41, "build", "client", bound=False)])
    crowd = one_cluster(20, 20)
    for each in members(crowd):
        crowd.shown[each] |= {keys.join(40, 1): 4_500, keys.join(41, 1): 4_500}
    graph = Graph.of(crowd.held(), table(own))
    cluster = numbered(graph, [members(crowd)])
    weights = weigh(graph, cluster, sizes(cluster))
    found = nominate(graph, weights, cluster, sizes(cluster), graph.since <= NOW - MONTH, CONTENT, new=NEW)
    assert graph.keys[found.value].tolist() == [TEXT, keys.join(41, 1)]


@pytest.mark.parametrize(("many", "own"), [(80, True), (81, False)])
def test_a_quarter_of_the_members_make_it_their_own(many: int, own: bool) -> None:
    crowd = one_cluster(many, 20)
    assert nominated(crowd, members(crowd)) == ({TEXT}, {(TEXT, 0)} if own else set())


@pytest.mark.parametrize(("many", "own"), [(5, True), (4, False)])
def test_five_at_least_do(many: int, own: bool) -> None:
    crowd = one_cluster(20, 20)
    small_one = crowd.group("x", many, 4_500, [TEXT, CARD])
    assert ((TEXT, 1) in nominated(crowd, members(crowd), small_one)[1]) is own


# Clusters that are one


def together(own: list[set[int]]) -> list[set[int]]:
    """Which clusters are one, where each has made these values its own."""
    crowd = Crowd(3_000)
    clusters = [crowd.group(f"m{number}", 25, 4_500, [key("payment", number + 1), *held]) for number, held in enumerate(own)]
    graph = crowd.graph()
    cluster = numbered(graph, clusters)
    weights = weigh(graph, cluster, sizes(cluster))
    pair = nominate(graph, weights, cluster, sizes(cluster), graph.since <= NOW - MONTH, CONTENT, new=NEW).pair
    whole = united(graph, weights, pair, len(own))
    return [set(np.flatnonzero(whole == number).tolist()) for number in range(int(whole.max()) + 1)]


def test_two_families_of_nominees_make_clusters_one() -> None:
    assert together([{PROMPT, TEXT}, {PROMPT, TEXT}, {PROMPT}]) == [{0, 1}, {2}]


def test_one_family_does_not_however_many_its_values() -> None:
    assert together([{PROMPT, key("agent", 1), key("tls", 1)}, {PROMPT, key("agent", 1), key("tls", 1)}]) == [{0}, {1}]
    assert together([{TEXT, key("shingle", 2)}, {TEXT, key("shingle", 2)}]) == [{0}, {1}]


def test_whatever_others_they_have() -> None:
    """Three templates in turn, one prompt: 0 and 1 share the first, 1 and 2 the second."""
    first, second, third = TEXT, key("shingle", 2), key("shingle", 3)
    assert together([{PROMPT, first}, {PROMPT, first, second}, {PROMPT, second, third}, {third}]) == [{0, 1, 2}, {3}]


def test_the_two_must_be_of_the_same_clusters() -> None:
    """0 shares a prompt with 1 and a text with 2."""
    assert together([{PROMPT, TEXT}, {PROMPT, key("shingle", 2)}, {key("system", 2), TEXT}]) == [{0}, {1}, {2}]


def test_they_must_share_a_value_of_each_themselves() -> None:
    """0 and 1 share a prompt; 2 shares a text with each, but not the prompt."""
    other = key("shingle", 2)
    assert together([{PROMPT, TEXT}, {PROMPT, other}, {TEXT, other}]) == [{0}, {1}, {2}]


def test_no_clusters() -> None:
    graph = Crowd(3).graph()
    cluster = np.full(3, -1, np.int32)
    weights = weigh(graph, cluster, sizes(cluster))
    found = nominate(graph, weights, cluster, sizes(cluster), np.ones(3, np.bool_), CONTENT, new=0)
    assert united(graph, weights, found.pair, 0).tolist() == []


@given(small.crowds())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_small_worlds_have_the_oracles_nominees(crowd: Crowd) -> None:
    """With each group, or two at once, as a cluster."""
    every = [[each for each in crowd.since if each[2:4] in names] for names in (("g0",), ("g1", "g2"), ("g3",))]
    clusters = [each for each in every if each]
    sets = [set(each) for each in clusters]
    world = oracle.World(crowd.since, crowd.shown, KINDS)
    expected = oracle.nominees(world, sets, now=NOW, new=NEW)
    own = oracle.own(world, sets, expected) & oracle.weigh(world, sets).keys()
    assert nominated(crowd, *clusters) == (expected, own)
