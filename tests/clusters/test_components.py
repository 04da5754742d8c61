"""Connected components."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from guardrail_mw.clusters.components import components


def of(edges: list[tuple[int, int]], size: int) -> list[int]:
    one, other = np.array([each[0] for each in edges], np.int64), np.array([each[1] for each in edges], np.int64)
    found: list[int] = components(one, other, size).tolist()
    return found


def test_by_hand() -> None:
    assert of([(3, 1), (4, 2), (2, 0)], 6) == [0, 1, 0, 1, 0, 2]
    assert of([], 3) == [0, 1, 2]
    assert of([], 0) == []


def test_an_edge_may_come_many_times() -> None:
    """256 of them are as many as a byte cannot tell from none."""
    for many in (255, 256, 257, 512):
        assert of([(0, 2)] * many, 3) == [0, 1, 0]


@given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40))
def test_as_merging_sets_does(edges: list[tuple[int, int]]) -> None:
    """And numbered by the first node of each, on which the order of clusters rests."""
    home = {node: {node} for node in range(30)}
    for one, other in edges:
        both = home[one] | home[other]
        home |= dict.fromkeys(both, both)
    order: dict[int, int] = {}
    assert of(edges, 30) == [order.setdefault(min(home[node]), len(order)) for node in range(30)]
