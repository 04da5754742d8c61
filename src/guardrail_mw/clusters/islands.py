"""Seeds of clusters: composite values that more accounts share than chance allows.

A composite is two values of two families, at least one of them bound, held by the same account. Joining accounts on any one
value that they share merges most of everybody; two at once hardly any. Two that are each popular meet by chance, so a composite
counts only where its holders surprise: by a Poisson law whose mean is what independence would give.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from guardrail_mw.clusters.columns import begins, within
from guardrail_mw.clusters.components import components

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from guardrail_mw.clusters.graph import Graph

__all__ = ["HOLDERS", "Composites", "composites", "islands", "surprise"]

HOLDERS: Final = 5
"""Accounts that a composite needs."""
LEAST: Final = 15_000
"""Millinats of surprise that it needs however few composites there are."""
BESIDE: Final = 5_000
"""Millinats that it needs above the logarithm of how many composites there are: about one in 150 rebuilds has one by chance."""
_CHUNK: Final = 4_000_000
"""Pairs that are made at a time, so that memory stays bounded."""


class Composites(NamedTuple):
    """Composites that are no chance, and who holds them: a holding a row."""

    owner: NDArray[np.int32]
    composite: NDArray[np.int32]
    low: NDArray[np.int32]
    """Of each composite the value that comes first, by row in the graph."""
    high: NDArray[np.int32]
    surprise: NDArray[np.int64]
    """Millinats."""


def surprise(together: NDArray[np.int64], expected: NDArray[np.float64]) -> NDArray[np.int64]:
    """Millinats against a Poisson law of mean `expected` giving `together` or more; Chernoff's bound, which errs to caution."""
    nats = together * np.log(together / expected) - together + expected
    return np.where(together > expected, np.floor(nats * 1000), 0).astype(np.int64)


def composites(graph: Graph, *, age: int) -> Composites:
    """Composites that surprise, and their holders, less those who were established and held one of the values before.

    Before is before the second account held both. Whoever was established by then is not pulled in by it: else to plant
    somebody's evidence would be enough to frame him.

    Args:
        graph: edges.
        age: hours after which an account is established.
    """
    wide = graph.holders >= HOLDERS
    found = [_counted(pairs) for pairs in _pairs(graph, wide)]
    empty = np.zeros(0, np.int64)
    ids, counts = _merged(found)
    values = len(graph.keys)
    low, high = ids // max(1, values), ids % max(1, values)
    expected = graph.holders[low].astype(np.float64) * graph.holders[high] / max(1, graph.size)
    worth = surprise(counts, expected) if len(ids) else empty
    enough = (counts >= HOLDERS) & (worth >= max(LEAST, int(1000 * log(max(1, len(ids)))) + BESIDE))
    ids, low, high, worth = ids[enough], low[enough], high[enough], worth[enough]
    owner, composite, begun, older = _holdings(graph, wide, ids)
    second = _second(composite, begun, len(ids))[composite]
    kept = (older >= second) | (second - graph.since[owner] < age)
    owner, composite = owner[kept], composite[kept]
    left = np.bincount(composite, minlength=len(ids)) >= HOLDERS
    kept = left[composite]
    row = (np.cumsum(left) - 1).astype(np.int32)
    return Composites(
        owner[kept],
        row[composite[kept]],
        low[left].astype(np.int32),
        high[left].astype(np.int32),
        worth[left],
    )


def islands(found: Composites, accounts: int) -> NDArray[np.int32]:
    """The island of each account, -1 for none: accounts that hold a composite in common are in one."""
    count = len(found.low)
    labels = components(found.owner, found.composite + np.int32(accounts), accounts + count)
    island = np.full(accounts, -1, np.int32)
    members = np.unique(found.owner)
    _, island[members] = np.unique(labels[members], return_inverse=True)
    return island


def _pairs(
    graph: Graph, wide: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Every account's pairs of values that could be composites: their number, and the rows of their two edges."""
    order, _ = graph.by_account()
    order = order[wide[graph.value[order]]]
    owner, value = graph.owner[order], graph.value[order]
    starts = begins(np.bincount(owner, minlength=graph.size))
    left = np.flatnonzero(graph.bound[value])
    degree = starts[owner[left] + 1] - starts[owner[left]]
    for begin, end in _chunks(degree):
        mine, many = left[begin:end], degree[begin:end]
        first = np.repeat(mine, many)
        second = np.repeat(starts[owner[mine]], many) + within(many)
        one, other = value[first], value[second]
        keep = (graph.family[one] != graph.family[other]) & (~graph.bound[other] | (one < other))
        first, second = first[keep], second[keep]
        one, other = one[keep].astype(np.int64), other[keep].astype(np.int64)
        number = np.minimum(one, other) * len(graph.keys) + np.maximum(one, other)
        yield number, order[first], order[second]


def _chunks(degree: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges of rows whose degrees come to about a chunk."""
    total = np.cumsum(degree)
    begin = 0
    while begin < len(degree):
        before = int(total[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(total, before + _CHUNK, side="right")))
        yield begin, end
        begin = end


def _counted(
    pairs: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    ids, counts = np.unique(pairs[0], return_counts=True)
    return ids, counts.astype(np.int64)


def _merged(found: list[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    ids, inverse = np.unique(np.concatenate([each[0] for each in found]), return_inverse=True)
    counts = np.bincount(inverse, weights=np.concatenate([each[1] for each in found])).astype(np.int64)
    return ids, counts


def _holdings(
    graph: Graph, wide: NDArray[np.bool_], ids: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Who holds the composites `ids` (sorted): account, place in `ids`, when it had both values, when it had the first."""
    owners, places, begun, older = [], [], [], []
    for number, one, other in _pairs(graph, wide):
        here = np.flatnonzero(np.isin(number, ids))
        place = np.searchsorted(ids, number[here])
        owners.append(graph.owner[one[here]])
        places.append(place.astype(np.int32))
        begun.append(np.maximum(graph.first[one[here]], graph.first[other[here]]))
        older.append(np.minimum(graph.first[one[here]], graph.first[other[here]]))
    if not owners:
        none = np.zeros(0, np.int64)
        return none.astype(np.int32), none.astype(np.int32), none, none
    return np.concatenate(owners), np.concatenate(places), np.concatenate(begun), np.concatenate(older)


def _second(group: NDArray[np.int32], time: NDArray[np.int64], groups: int) -> NDArray[np.int64]:
    """Of each group the second smallest time; of one that has but one, that."""
    order = np.lexsort((time, group))
    counts = np.bincount(group, minlength=groups)
    starts = np.cumsum(counts) - counts
    if not len(order):
        return np.zeros(groups, np.int64)
    place = np.minimum(starts + (counts > 1), len(order) - 1)
    found: NDArray[np.int64] = time[order][place]
    return found
