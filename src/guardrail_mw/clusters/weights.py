"""What a value says for a cluster: how much likelier its members are to hold it than everybody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from guardrail_mw.clusters.columns import begins
from guardrail_mw.clusters.scores import MOST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from guardrail_mw.clusters.graph import Graph

__all__ = ["LEAST", "Weights", "weigh"]

LEAST: Final = 500
"""Millinats below which a value says nothing worth keeping."""


class Weights(NamedTuple):
    """Pairs of a value and a cluster, sorted by value."""

    value: NDArray[np.int32]
    cluster: NDArray[np.int32]
    members: NDArray[np.int32]
    """Of the cluster that hold it."""
    weight: NDArray[np.int64]
    """Millinats, at most `MOST`."""
    second: NDArray[np.int64]
    """When the second of them came to hold it, in hours since the epoch of edges: who held it before is not pulled in by it."""
    starts: NDArray[np.int64]
    """Where each value's pairs begin."""


def weigh(graph: Graph, cluster: NDArray[np.int32], sizes: NDArray[np.int64]) -> Weights:
    """Weigh every value that at least two members of a cluster hold.

    ln of (share of members that hold it / share of all others that do), with half a holder more outside than are known.

    Args:
        graph: edges.
        cluster: of each account, -1 for none.
        sizes: members of each cluster.
    """
    inside = cluster[graph.owner] >= 0
    value, mine, first = graph.value[inside], cluster[graph.owner[inside]], graph.first[inside]
    clusters = max(1, len(sizes))
    number = value.astype(np.int64) * clusters + mine
    order = np.lexsort((first, number))
    number, first = number[order], first[order]
    ids, first_row, members = np.unique(number, return_index=True, return_counts=True)
    several = members >= 2  # noqa: PLR2004 - one shares with nobody
    ids, first_row, members = ids[several], first_row[several], members[several]
    held, whose = ids // clusters, ids % clusters
    share = members / sizes[whose]
    outside = (graph.holders[held] - members + 0.5) / (graph.size - sizes[whose] + 1)
    weight = np.floor(1000 * np.log(share / outside)).astype(np.int64)
    keep = weight >= LEAST
    held, whose, members, first_row = held[keep], whose[keep], members[keep], first_row[keep]
    return Weights(
        held.astype(np.int32),
        whose.astype(np.int32),
        members.astype(np.int32),
        np.minimum(weight[keep], MOST),
        first[first_row + 1],
        begins(np.bincount(held, minlength=len(graph.keys))),
    )
