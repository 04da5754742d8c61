"""Scores of accounts that are younger than whatever clusters have in common: a family's score is a product of matrices then.

For them every value counts: accounts times values, with a one for each that is held, times values times clusters, with what each
says. Where many accounts meet many clusters that takes a fifth of the time and of the memory that it takes row by row: a campaign
of twenty thousand accounts does in its first hours, before its cards are seen to be one operator's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from guardrail_mw.clusters.columns import begins
from guardrail_mw.clusters.scores import ASSERTABLE, BOUND, COUNTS, JOINS, MOST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from guardrail_mw.clusters.graph import Graph
    from guardrail_mw.clusters.weights import Weights

__all__ = ["Joining", "fresh"]

PAIRS: Final = 1 << 24
"""Accounts times clusters that are worked out at a time, about 20 bytes each."""


class Joining(NamedTuple):
    """Accounts that qualify for a cluster; an account may for several."""

    account: NDArray[np.int32]
    cluster: NDArray[np.int32]
    score: NDArray[np.int64]
    """Millinats."""
    families: NDArray[np.int32]
    """Bits of the families that count."""
    tied: NDArray[np.bool_]
    """Whether it shares a bound value with members."""


def fresh(
    graph: Graph, weights: Weights, leads: NDArray[np.bool_], cluster: NDArray[np.int32], asked: NDArray[np.bool_]
) -> Iterator[Joining]:
    """Which of the accounts that are `asked` about qualify for a cluster other than their own, some of them at a time.

    Args:
        graph: edges.
        weights: of values for clusters.
        leads: of each pair in `weights`, whether it leads to accounts: nobody is looked at for the others alone.
        cluster: of each account, -1 for none.
        asked: accounts that were not established when any value came to be a cluster's.
    """
    clusters = int(cluster.max(initial=-1)) + 1 or 1
    leading = np.zeros(len(graph.keys), np.bool_)
    leading[weights.value[leads]] = True
    led = np.zeros(graph.size, np.bool_)
    led[graph.owner[leading[graph.value]]] = True
    accounts = np.flatnonzero(asked & led)
    held = _held(graph, accounts)
    family = graph.family[weights.value]
    lead = _said(graph, weights, leads, clusters, np.ones(len(leads), np.int64))
    hard = _said(graph, weights, graph.bound[weights.value] & (weights.weight >= COUNTS), clusters, weights.weight)
    said = {
        int(each): _said(graph, weights, family == each, clusters, weights.weight) for each in np.unique(family).tolist()
    }
    step = max(1, PAIRS // clusters)
    for first in range(0, len(accounts), step):
        some = accounts[first : first + step]
        mine = held[first : first + step]
        number, total, families, tied = _scored(mine, said, lead, hard, clusters)
        whose, target = some[number // clusters], number % clusters
        foreign = cluster[whose] != target
        yield Joining(
            whose[foreign].astype(np.int32),
            target[foreign].astype(np.int32),
            total[foreign],
            families[foreign],
            tied[foreign],
        )


def _held(graph: Graph, accounts: NDArray[np.int64]) -> Any:
    """A one for each value that each of the accounts holds."""
    place = np.full(graph.size, -1, np.int64)
    place[accounts] = np.arange(len(accounts))
    row = place[graph.owner]
    mine = row >= 0
    ones = np.ones(int(mine.sum()), np.int64)
    return csr_array((ones, (row[mine], graph.value[mine])), shape=(len(accounts), len(graph.keys)))


def _said(graph: Graph, weights: Weights, pairs: NDArray[np.bool_], clusters: int, figure: NDArray[np.int64]) -> Any:
    """A figure for each of some pairs of a value and a cluster."""
    starts = begins(np.bincount(weights.value[pairs], minlength=len(graph.keys)))
    return csr_array((figure[pairs], weights.cluster[pairs], starts), shape=(len(graph.keys), clusters))


def _scored(
    held: Any, said: dict[int, Any], lead: Any, hard: Any, clusters: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], NDArray[np.bool_]]:
    """Of those pairs of an account and a cluster that qualify: number, score, families, and whether they are tied."""
    below = held.shape[0] * clusters
    led, tied = np.zeros(below, np.bool_), np.zeros(below, np.bool_)
    total, families = np.zeros(below, np.int32), np.zeros(below, np.int32)
    led[_numbers(held @ lead, clusters)[0]] = True
    tied[_numbers(held @ hard, clusters)[0]] = True
    for family, figures in said.items():
        number, score = _numbers(held @ figures, clusters)
        counts = score >= COUNTS
        number, score = number[counts], score[counts]
        total[number] += np.minimum(score, MOST).astype(np.int32)
        families[number] |= np.int32(1) << np.int32(family)
    found = np.flatnonzero(led & (total >= JOINS))
    several = np.bitwise_count(families[found])
    found = found[(several >= ASSERTABLE) | (tied[found] & (several >= BOUND))]
    return found, total[found].astype(np.int64), families[found], tied[found]


def _numbers(product: Any, clusters: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places of a product's figures, account and cluster as one number, and the figures."""
    row = np.repeat(np.arange(product.shape[0], dtype=np.int64), np.diff(product.indptr))
    return row * clusters + product.indices, product.data
