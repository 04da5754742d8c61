"""Clusters from edges alone: islands, then growth, until nobody joins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from guardrail_mw.clusters.components import components
from guardrail_mw.clusters.growth import joining
from guardrail_mw.clusters.islands import composites, islands
from guardrail_mw.clusters.nominees import nominate, united
from guardrail_mw.clusters.weights import Weights, weigh

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from guardrail_mw.clusters.graph import Graph

__all__ = ["Formed", "form"]

ROUNDS: Final = 6
"""Rounds of growth at most; in each, whoever qualifies for the clusters of the round before joins."""
SHARE: Final = 0.3
"""Share of a cluster's members that must qualify for another for the two to be one."""
LEAST: Final = 3
"""Members that must, at least."""


class Formed(NamedTuple):
    """Clusters, as numbers from 0."""

    cluster: NDArray[np.int32]
    """Of each account, -1 for none."""
    weights: Weights
    """Of values for them."""
    nominated: NDArray[np.bool_]
    """Of each pair of weights."""


def form(graph: Graph, content: NDArray[np.bool_], *, now: int, age: int, new: int) -> Formed:
    """Find the clusters.

    Args:
        graph: edges.
        content: of each family, whether its values can be nominated.
        now: hours since the epoch of edges.
        age: hours after which an account is established.
        new: hours since the epoch of edges from which a use is new.
    """
    established = graph.since <= now - age
    cluster = islands(composites(graph, age=age), graph.size)
    for _ in range(ROUNDS):
        sizes = _sizes(cluster)
        weights = weigh(graph, cluster, sizes)
        nominees = nominate(graph, weights, cluster, sizes, established, content, new=new)
        merged = united(graph, weights, nominees.pair, len(sizes))
        if len(np.unique(merged)) < len(sizes):
            cluster = _renamed(cluster, merged)
            continue
        found = joining(graph, weights, nominees.pair, cluster, np.ones(graph.size, np.bool_), age=age)
        after = _grown(cluster, sizes, found.account, found.cluster, found.score)
        if np.array_equal(after, cluster):
            break
        cluster = after
    sizes = _sizes(cluster)
    weights = weigh(graph, cluster, sizes)
    return Formed(cluster, weights, nominate(graph, weights, cluster, sizes, established, content, new=new).pair)


def _sizes(cluster: NDArray[np.int32]) -> NDArray[np.int64]:
    return np.bincount(cluster[cluster >= 0], minlength=int(cluster.max(initial=-1)) + 1).astype(np.int64)


def _renamed(cluster: NDArray[np.int32], name: NDArray[np.int32]) -> NDArray[np.int32]:
    """The same clusters under other numbers; none is left out."""
    found = np.full_like(cluster, -1)
    mine = cluster >= 0
    _, found[mine] = np.unique(name[cluster[mine]], return_inverse=True)
    return found


def _grown(
    cluster: NDArray[np.int32],
    sizes: NDArray[np.int64],
    account: NDArray[np.int32],
    other: NDArray[np.int32],
    score: NDArray[np.int64],
) -> NDArray[np.int32]:
    """Accounts of no cluster join the one they score highest for; a cluster joins another that a share of it qualifies for."""
    free = cluster[account] < 0
    order = np.lexsort((other[free], -sizes[other[free]], -score[free], account[free]))
    joiner, first = np.unique(account[free][order], return_index=True)
    found = cluster.copy()
    found[joiner] = other[free][order][first]
    whose, target = cluster[account[~free]].astype(np.int64), other[~free].astype(np.int64)
    clusters = max(1, len(sizes))
    pairs, many = np.unique(whose * clusters + target, return_counts=True)
    whose, target = pairs // clusters, pairs % clusters
    enough = (many >= LEAST) & (many >= SHARE * sizes[whose])
    if not enough.any():
        return found
    return _renamed(found, components(whose[enough], target[enough], clusters))
