"""Who joins a cluster, at every threshold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from guardrail_mw.clusters import fresh, growth
from guardrail_mw.clusters.forming import _grown
from guardrail_mw.clusters.graph import Graph
from guardrail_mw.clusters.growth import Joining, joining
from guardrail_mw.clusters.islands import composites, islands
from guardrail_mw.clusters.nominees import nominate
from guardrail_mw.clusters.reading import FAMILY
from guardrail_mw.clusters.weights import Weights, weigh

from . import oracle, small
from .kit import CONTENT, KINDS, MONTH, Crowd, key, numbered, sizes
from .worlds import Campaign, make

SECOND = 2_000
"""Hour at which the second member came to hold whatever it is."""
HE = "a:he"
_NAMES = {number: name for name, number in FAMILY.items()}


class Speaks(NamedTuple):
    """A value, what it says for the cluster, and whether the cluster has made it its own."""

    kind: str
    weight: int
    own: bool = False
    digest: int = 1
    cluster: int = 0


Found: TypeAlias = "dict[str, dict[int, tuple[int, frozenset[str], bool]]]"


def read(graph: Graph, found: Joining) -> Found:
    """By account and cluster: score, families, whether tied."""
    every: Found = {}
    columns = (found.account, found.cluster, found.score, found.families, found.tied)
    for account, cluster, score, families, tied in zip(*[each.tolist() for each in columns], strict=True):
        names = frozenset(name for number, name in _NAMES.items() if families >> number & 1)
        every.setdefault(graph.accounts[account], {})[cluster] = (score, names, tied)
    return every


def asked(values: Sequence[Speaks], since: int = 1_900, first: int = SECOND) -> dict[int, tuple[int, frozenset[str], bool]]:
    """For which clusters somebody qualifies who holds these values."""
    crowd = Crowd()
    held = {key(each.kind, each.digest): each for each in values}
    for cluster in (0, 1):
        crowd.group(f"m{cluster}", 2, SECOND, [value for value, each in held.items() if each.cluster == cluster])
    crowd.add(HE, since, dict.fromkeys(held, first))
    graph = crowd.graph()
    speaking = [held[value] for value in graph.keys.tolist()]
    row = np.arange(len(speaking), dtype=np.int32)
    weights = Weights(
        row,
        np.array([each.cluster for each in speaking], np.int32),
        np.full(len(row), 2, np.int32),
        np.array([each.weight for each in speaking], np.int64),
        np.full(len(row), SECOND, np.int64),
        np.arange(len(row) + 1),
    )
    clusters = numbered(graph, [[f"a:m{cluster}{number:04}" for number in (0, 1)] for cluster in (0, 1)])
    own = np.array([each.own for each in speaking], np.bool_)
    return read(graph, joining(graph, weights, own, clusters, clusters < 0, age=MONTH)).get(HE, {})


def score(*values: Speaks) -> int | None:
    found = asked(values)
    assert found.keys() <= {0}
    return found[0][0] if found else None


PROMPT, TEXT = Speaks("system", 9_000, own=True), Speaks("shingle", 9_000, own=True)


def test_twelve_nats_of_two_families_one_of_them_bound() -> None:
    assert asked([Speaks("payment", 9_000), Speaks("device", 3_000)]) == {
        0: (12_000, frozenset({"payment", "device"}), True)
    }
    assert score(Speaks("payment", 9_000), Speaks("device", 2_999)) is None
    assert score(Speaks("payment", 3_000), Speaks("system", 9_000)) == 12_000
    assert score(Speaks("payment", 6_000), Speaks("system", 5_999)) is None


def test_one_family_says_nine_nats_at_most() -> None:
    assert score(Speaks("payment", 9_000), Speaks("payment", 9_000, digest=2)) is None
    assert score(Speaks("payment", 8_000), Speaks("payment", 8_000, digest=2), Speaks("device", 3_000)) == 12_000
    assert score(Speaks("payment", 8_000), Speaks("payment", 8_000, digest=2), Speaks("device", 2_999)) is None
    assert score(Speaks("payment", 4_000), Speaks("payment", 4_000, digest=2), Speaks("device", 4_000)) == 12_000


def test_all_that_one_program_fixes_is_one_family() -> None:
    program = [Speaks(kind, 9_000, own=True) for kind in ("system", "agent", "tls", "device_seen")]
    assert score(*program) is None
    assert score(*program, Speaks("payment", 2_999)) is None
    assert score(*program, Speaks("payment", 3_000)) == 12_000


def test_a_family_counts_from_two_nats() -> None:
    """What does not count does not add up either."""
    assert score(Speaks("payment", 9_000), Speaks("device", 1_999), Speaks("network_wide", 1_999)) is None
    assert score(Speaks("payment", 8_000), Speaks("device", 2_000), Speaks("network_wide", 2_000)) == 12_000
    assert score(Speaks("payment", 9_000), Speaks("device", 3_000), Speaks("network_wide", 1_999)) == 12_000
    assert score(Speaks("payment", 9_000), Speaks("device", 3_000), Speaks("network_wide", 2_000)) == 14_000
    assert score(Speaks("payment", 9_000), *[Speaks("device", 1_000, digest=each) for each in (1, 2, 3)]) == 12_000


def test_without_a_bound_value_three_families_must_count() -> None:
    assert score(PROMPT, TEXT) is None
    assert score(PROMPT, TEXT, Speaks("network_wide", 1_999)) is None
    assert score(PROMPT, TEXT, Speaks("network_wide", 2_000)) == 20_000
    assert asked([Speaks("system", 8_000, own=True), Speaks("shingle", 2_000), Speaks("release", 2_000)]) == {
        0: (12_000, frozenset({"client", "content", "release"}), False)
    }
    assert score(Speaks("system", 8_000, own=True), Speaks("shingle", 2_000), Speaks("release", 1_999)) is None


def test_a_tie_is_one_bound_value_of_two_nats() -> None:
    """Two of less each make the family count, but tie nobody."""
    assert score(Speaks("payment", 2_000), PROMPT, Speaks("payment", 1_000, digest=2)) == 12_000
    assert score(Speaks("payment", 1_999), PROMPT, Speaks("payment", 1_001, digest=2)) is None
    assert score(Speaks("payment", 1_999), PROMPT, TEXT) is None
    assert score(Speaks("payment", 2_000), PROMPT, TEXT) == 20_000


def test_a_family_that_is_tied_may_be_tied_by_an_address() -> None:
    """An address that few hold is bound."""
    assert score(Speaks("network", 3_000), PROMPT) == 12_000
    assert score(Speaks("network_wide", 9_000), PROMPT) is None


def test_without_bound_or_own_evidence_nobody_is_looked_at() -> None:
    assert score(Speaks("system", 9_000), Speaks("shingle", 9_000), Speaks("release", 9_000)) is None
    assert score(Speaks("system", 9_000), Speaks("shingle", 9_000, own=True), Speaks("release", 9_000)) == 27_000


def test_several_may_be_qualified_for_and_each_is_scored_alone() -> None:
    one = [Speaks("payment", 9_000), Speaks("system", 4_000)]
    other = [Speaks("payment", 6_000, digest=2, cluster=1), Speaks("system", 6_000, digest=2, cluster=1)]
    assert {cluster: each[0] for cluster, each in asked([*one, *other]).items()} == {0: 13_000, 1: 12_000}
    assert asked([one[0], Speaks("system", 4_000, cluster=1)]) == {}


# Whoever was there before


@pytest.mark.parametrize(
    ("since", "first", "joins"),
    [
        (SECOND - MONTH, SECOND - 1, False),
        (SECOND - MONTH, SECOND, True),
        (SECOND - MONTH + 1, SECOND - 1, True),
        (-9_000, 0, False),
        (-9_000, SECOND + 1, True),
    ],
)
def test_what_an_established_account_held_before_says_nothing(since: int, first: int, joins: bool) -> None:
    assert bool(asked([Speaks("payment", 9_000), Speaks("device", 9_000)], since, first)) is joins
    assert bool(asked([Speaks("payment", 9_000), Speaks("network_wide", 9_000), PROMPT, TEXT], since, first)) is joins


def mixed(before: Iterable[Speaks], after: Iterable[Speaks]) -> bool:
    """Whether a victim joins who had these before, and took those up after; prompts and texts are the cluster's own."""
    crowd = Crowd(3_000)
    every = [*before, *after]
    for each in range(30):
        crowd.add(f"a:m{each:04}", SECOND, [key(value.kind, value.digest) for value in every])
    shown = {key(each.kind, each.digest): 0 for each in before}
    crowd.add(HE, -9_000, shown | {key(each.kind, each.digest): SECOND + 10 for each in after})
    graph = crowd.graph()
    clusters = numbered(graph, [[f"a:m{each:04}" for each in range(30)]])
    weights = weigh(graph, clusters, sizes(clusters))
    own = np.isin(graph.keys[weights.value], [key(each.kind, each.digest) for each in every if each.own])
    return HE in read(graph, joining(graph, weights, own, clusters, clusters < 0, age=MONTH))


def test_a_planted_card_ties_only_who_takes_up_two_families_of_theirs() -> None:
    """Each says 7.6 nats: ln(3,002 / 1.5). What they have not made their own does not do, nor what only a program fixes."""
    card, device, wide = Speaks("payment", 0), Speaks("device", 0), Speaks("network_wide", 0)
    agent, text = Speaks("agent", 0), Speaks("shingle", 0)
    assert not mixed([card, device, wide], [])
    assert not mixed([card, device], [PROMPT])
    assert not mixed([card], [PROMPT, agent])
    assert not mixed([card], [PROMPT, text])
    assert not mixed([card], [PROMPT, wide])
    assert mixed([card], [PROMPT, TEXT])
    assert not mixed([], [PROMPT, TEXT])


def test_what_is_taken_up_after_ties_as_anybodys() -> None:
    card, device, text = Speaks("payment", 0), Speaks("device", 0), Speaks("shingle", 0)
    assert mixed([], [card, TEXT])
    assert mixed([], [card, text])
    assert mixed([device], [card, text])
    assert not mixed([card], [device])
    assert mixed([card, device], [PROMPT, text, Speaks("network_wide", 0)])


# Who is asked


def campaign() -> tuple[Graph, Weights, list[str]]:
    crowd = Crowd(3_000)
    members = crowd.group("m", 30, SECOND, [key("payment", 1), key("device", 1), key("system", 1)])
    crowd.group("n", 3, SECOND, [key("payment", 1), key("device", 1)])
    graph = crowd.graph()
    cluster = numbered(graph, [members])
    return graph, weigh(graph, cluster, sizes(cluster)), members


def test_members_do_not_qualify_for_their_own() -> None:
    graph, weights, members = campaign()
    cluster = numbered(graph, [members])
    none = np.zeros(len(weights.value), np.bool_)
    everybody = joining(graph, weights, none, cluster, np.ones(graph.size, np.bool_), age=MONTH)
    assert read(graph, everybody).keys() == {"a:n0000", "a:n0001", "a:n0002"}
    one = joining(graph, weights, none, cluster, np.array([each == "a:n0001" for each in graph.accounts]), age=MONTH)
    assert read(graph, one).keys() == {"a:n0001"}
    nobody = joining(graph, weights, none, cluster, np.zeros(graph.size, np.bool_), age=MONTH)
    assert read(graph, nobody) == {}


def test_without_clusters_nobody_joins() -> None:
    graph, _, _ = campaign()
    cluster = np.full(graph.size, -1, np.int32)
    weights = weigh(graph, cluster, sizes(cluster))
    found = joining(graph, weights, np.zeros(0, np.bool_), cluster, np.ones(graph.size, np.bool_), age=MONTH)
    assert read(graph, found) == {}


# Where they go


def grown(clusters: list[int], joins: list[tuple[int, int, int]]) -> list[int]:
    """Accounts' clusters after (account, cluster, score)."""
    cluster = np.array(clusters, np.int32)
    account, other, score = [np.array([each[at] for each in joins], np.int64) for at in range(3)]
    after: list[int] = _grown(cluster, sizes(cluster), account.astype(np.int32), other.astype(np.int32), score).tolist()
    return after


def test_an_account_goes_where_it_scores_most() -> None:
    assert grown([0, 0, 1, 1, 1, -1, -1], [(5, 0, 13_000), (5, 1, 12_000)]) == [0, 0, 1, 1, 1, 0, -1]


def test_of_equals_to_the_larger_and_of_those_to_the_first() -> None:
    assert grown([0, 0, 1, 1, 1, -1], [(5, 0, 13_000), (5, 1, 13_000)]) == [0, 0, 1, 1, 1, 1]
    assert grown([0, 0, 1, 1, -1], [(4, 1, 13_000), (4, 0, 13_000)]) == [0, 0, 1, 1, 0]


def drawn(size: int, qualifying: int) -> bool:
    """Whether a cluster of so many, of whom so many qualify for another, becomes one with it."""
    found = grown([0] * 5 + [1] * size, [(5 + each, 0, 12_000) for each in range(qualifying)])
    assert found in ([0] * (5 + size), [0] * 5 + [1] * size)
    return found[-1] == 0


@pytest.mark.parametrize(("size", "needed"), [(3, 3), (5, 3), (10, 3), (11, 4), (20, 6), (21, 7), (100, 30), (1_000, 300)])
def test_a_cluster_goes_with_three_of_ten_and_three_at_least(size: int, needed: int) -> None:
    assert drawn(size, needed)
    assert not drawn(size, needed - 1)


def test_newcomers_go_with_the_cluster_that_they_join() -> None:
    joins = [(0, 1, 12_000), (1, 1, 12_000), (2, 1, 12_000), (8, 0, 12_000), (9, 2, 12_000)]
    assert grown([0, 0, 0, 1, 1, 1, 2, 2, -1, -1], joins) == [0, 0, 0, 0, 0, 0, 1, 1, 0, 1]


def test_chains_are_one() -> None:
    joins = [(each, 1, 12_000) for each in (0, 1, 2)] + [(each, 2, 12_000) for each in (3, 4, 5)]
    assert grown([0] * 3 + [1] * 3 + [2] * 3 + [3] * 3, joins) == [0] * 9 + [1] * 3


# The oracle


@given(small.crowds())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_small_worlds_have_the_oracles_joiners(crowd: Crowd) -> None:
    """With the first half of each group as a cluster, so that many qualify."""
    now, new = small.NOW, small.NOW - 45 * 24
    every = [[each for each in crowd.since if each[2:4] == name and int(each[4:]) < 12] for name in ("g0", "g1", "g2", "g3")]
    clusters = [each for each in every if each]
    sets = [set(each) for each in clusters]
    world = oracle.World(crowd.since, crowd.shown, KINDS)
    worth = oracle.weigh(world, sets)
    own = oracle.own(world, sets, oracle.nominees(world, sets, now=now, new=new))
    expected: Found = {}
    for each in oracle.qualify(world, worth, own, sets):
        expected.setdefault(each.account, {})[each.cluster] = (each.score, each.families, each.tied)
    graph = crowd.graph()
    cluster = numbered(graph, clusters)
    weights = weigh(graph, cluster, sizes(cluster))
    pair = nominate(graph, weights, cluster, sizes(cluster), graph.since <= now - MONTH, CONTENT, new=new).pair
    found = joining(graph, weights, pair, cluster, np.ones(graph.size, np.bool_), age=MONTH)
    assert read(graph, found) == expected


def test_a_few_accounts_at_a_time_find_what_all_at_once_find(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks bound the memory, and change nothing: down to an account at a time."""
    graph = make(3, 400, Campaign("one", 60, crossed=False), Campaign("two", 45, crossed=True)).crowd.graph()
    cluster = islands(composites(graph, age=MONTH), graph.size)
    cluster[::2] = -1  # so that there is somebody to join
    weights = weigh(graph, cluster, sizes(cluster))
    nominated = np.zeros(len(weights.value), np.bool_)
    nominated[::3] = True
    asked = np.ones(graph.size, np.bool_)
    asked[::7] = False
    whole = joining(graph, weights, nominated, cluster, asked, age=MONTH)
    assert len(whole.account) > 10
    for meetings in (1, 50, 1_000):
        monkeypatch.setattr(growth, "MEETINGS", meetings)
        found = joining(graph, weights, nominated, cluster, asked, age=MONTH)
        for mine, other in zip(map(np.asarray, found), map(np.asarray, whole), strict=True):
            assert mine.dtype == other.dtype
            assert mine.tolist() == other.tolist()


def test_the_young_are_scored_as_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is young enough for every value to count is scored by products of matrices: as all are with that way closed."""
    for seed in range(4):
        crowd = make(seed, 500, Campaign("one", 80, crossed=False), Campaign("two", 60, crossed=True)).crowd
        graph = crowd.graph()
        cluster = islands(composites(graph, age=MONTH), graph.size)
        cluster[seed::3] = -1
        weights = weigh(graph, cluster, sizes(cluster))
        nominated = weights.members >= 8
        asked = np.ones(graph.size, np.bool_)
        age = 70 * 24  # some are younger than that when the last value came to be a cluster's, and some are not
        young = weights.second.max() - graph.since < age
        assert 20 < young.sum() < graph.size - 20
        found = joining(graph, weights, nominated, cluster, asked, age=age)
        assert young[found.account].any()
        assert not young[found.account].all()
        with monkeypatch.context() as patched:
            patched.setattr(growth, "fresh", lambda *_: iter(()))
            patched.setattr(growth, "_is_new", lambda *_, size=graph.size: np.zeros(size, np.bool_))
            slow = joining(graph, weights, nominated, cluster, asked, age=age)
        with monkeypatch.context() as patched:
            patched.setattr(fresh, "PAIRS", 1)
            few = joining(graph, weights, nominated, cluster, asked, age=age)
        for mine, other, third in zip(map(np.asarray, found), map(np.asarray, slow), map(np.asarray, few), strict=True):
            assert mine.dtype == other.dtype == third.dtype
            assert mine.tolist() == other.tolist() == third.tolist()
