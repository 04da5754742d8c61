"""Who joins a cluster: scores of accounts in millinats, by family of evidence."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

import numpy as np

from guardrail_mw.clusters.columns import among, begins, ranked, within
from guardrail_mw.clusters.fresh import Joining, fresh
from guardrail_mw.clusters.scores import ASSERTABLE, BOUND, COUNTS, JOINS, MOST
from guardrail_mw.clusters.weights import Weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from guardrail_mw.clusters.graph import Graph

__all__ = ["Joining", "joining"]

MEETINGS: Final = 1 << 23
"""Rows of edges beside weights that are worked out at a time, about 100 bytes each."""


def joining(
    graph: Graph,
    weights: Weights,
    nominated: NDArray[np.bool_],
    cluster: NDArray[np.int32],
    asked: NDArray[np.bool_],
    *,
    age: int,
) -> Joining:
    """Which of the accounts that are `asked` about qualify for a cluster other than their own.

    A value does not count for whoever was established, and held it, when the second member came to hold it: nobody is pulled
    in by what was his before. Where that is bound it still is a tie to them, for whoever took up afterwards what they have made
    their own, in two families.

    Only pairs that share bound or nominated evidence are looked at: of the rest there is no end, and hardly one could join.

    Args:
        graph: edges.
        weights: of values for clusters.
        nominated: of each pair in `weights`, whether the value is one that its cluster has made its own.
        cluster: of each account, -1 for none.
        asked: accounts.
        age: hours after which an account is established.
    """
    clusters = int(cluster.max(initial=-1)) + 1 or 1
    leads = nominated | graph.bound[weights.value]
    new = asked & _is_new(graph, weights, age)
    found = [*fresh(graph, weights, leads, cluster, new)]
    found += [
        _joining(graph, weights, nominated, leads, cluster, edges, first, last, clusters, age)
        for first, last, edges in _blocks(graph, weights, np.flatnonzero((asked & ~new)[graph.owner]))
    ]
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    order = np.lexsort((columns[1], columns[0]))
    return Joining(*[column[order] for column in columns])


def _is_new(graph: Graph, weights: Weights, age: int) -> NDArray[np.bool_]:
    """Of each account, whether it was not established yet when the last value came to be a cluster's: then all count for it."""
    return np.asarray(weights.second.max(initial=0) - graph.since < age, np.bool_)


def _blocks(graph: Graph, weights: Weights, edges: NDArray[np.int64]) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """Accounts one after another, so many at a time that what their edges meet fits into memory.

    Yields the first row, the one after the last, and their edges.
    """
    owner = graph.owner[edges]
    rows = np.bincount(owner, weights=np.diff(weights.starts)[graph.value[edges]], minlength=graph.size)
    block = (np.cumsum(rows) // MEETINGS).astype(np.int64)
    bounds = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), graph.size]
    for first, last in itertools.pairwise(bounds):
        yield first, last, edges if len(bounds) == 2 else edges[(owner >= first) & (owner < last)]  # noqa: PLR2004 - one block


def _joining(  # noqa: PLR0913 - columns
    graph: Graph,
    weights: Weights,
    nominated: NDArray[np.bool_],
    leads: NDArray[np.bool_],
    cluster: NDArray[np.int32],
    edges: NDArray[np.int64],
    first: int,
    last: int,
    clusters: int,
    age: int,
) -> Joining:
    """Those of the accounts from `first` to before `last`, whose edges these are."""
    below = (last - first) * clusters
    edge, pair = _meet(graph, weights, edges, leads)
    number = _number(graph, weights, edge, pair, first, clusters)
    foreign = cluster[graph.owner[edge]] != weights.cluster[pair]
    wanted = number[foreign]
    could = np.zeros(graph.size, np.bool_)
    could[graph.owner[edge[foreign]]] = True
    also, more = _meet(graph, weights, edges[could[graph.owner[edges]]], ~leads)
    edge, pair = np.concatenate((edge, also)), np.concatenate((pair, more))
    number = np.concatenate((number, _number(graph, weights, also, more, first, clusters)))
    here = among(number, wanted, below)
    return _scored(graph, weights, nominated, number[here], edge[here], pair[here], (first, clusters, below), age)


def _meet(
    graph: Graph, weights: Weights, edges: NDArray[np.int64], pairs: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of edges beside rows of weights on the same value."""
    chosen = np.flatnonzero(pairs)
    value = weights.value[chosen]
    pairs_of = np.bincount(value, minlength=len(graph.keys))
    many = pairs_of[graph.value[edges]]
    edge = np.repeat(edges, many)
    return edge, chosen[begins(pairs_of)[graph.value[edge]] + within(many)]


def _number(
    graph: Graph, weights: Weights, edge: NDArray[np.int64], pair: NDArray[np.int64], first: int, clusters: int
) -> NDArray[np.int64]:
    """Account, counted from the first, and cluster of each meeting, as one number."""
    return (graph.owner[edge].astype(np.int64) - first) * clusters + weights.cluster[pair]


def _scored(  # noqa: PLR0913 - columns
    graph: Graph,
    weights: Weights,
    nominated: NDArray[np.bool_],
    number: NDArray[np.int64],
    edge: NDArray[np.int64],
    pair: NDArray[np.int64],
    numbers: tuple[int, int, int],
    age: int,
) -> Joining:
    first, clusters, below = numbers
    pairs, place = ranked(number, below)
    value = graph.value[edge]
    hard = graph.bound[value]
    second = weights.second[pair]
    fair = (graph.first[edge] >= second) | (second - graph.since[graph.owner[edge]] < age)
    weight = np.where(fair, weights.weight[pair], 0)
    tied, held = np.zeros(len(pairs), np.bool_), np.zeros(len(pairs), np.bool_)
    tied[place[hard & (weight >= COUNTS)]] = True
    held[place[hard & (weights.weight[pair] >= COUNTS)]] = True
    own = np.where(nominated[pair], weight, 0)
    total = np.zeros(len(pairs), np.int64)
    families, taken = np.zeros(len(pairs), np.int32), np.zeros(len(pairs), np.int32)
    for family in np.unique(graph.family):
        mine = graph.family[value] == family
        score = np.minimum(_sums(place[mine], weight[mine], len(pairs)), MOST)
        counts = score >= COUNTS
        total += np.where(counts, score, 0)
        families |= np.where(counts, np.int32(1) << np.int32(family), 0).astype(np.int32)
        taken += _sums(place[mine], own[mine], len(pairs)) >= COUNTS
    several = np.bitwise_count(families)
    enough = (several >= ASSERTABLE) | (tied & (several >= BOUND)) | (held & (taken >= BOUND))
    joins = (total >= JOINS) & enough
    return Joining(
        (pairs[joins] // clusters + first).astype(np.int32),
        (pairs[joins] % clusters).astype(np.int32),
        total[joins],
        families[joins],
        held[joins],
    )


def _sums(place: NDArray[np.int64], weight: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    found = np.zeros(length, np.int64)
    np.add.at(found, place, weight)
    return found
