"""Values that clusters have made their own: new, and far commoner in them than in established traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from guardrail_mw.clusters.columns import within
from guardrail_mw.clusters.components import components

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from guardrail_mw.clusters.graph import Graph
    from guardrail_mw.clusters.weights import Weights

__all__ = ["Nominees", "nominate", "united"]

USES: Final = 20
"""New uses inside clusters that a nominee needs."""
LIFT: Final = 20.0
"""How many times commoner it must be among members than among established accounts of no cluster."""
PREVALENT: Final = 0.25
"""Share of a cluster's members from which a nominee is the cluster's own: of a template's pieces each holds but a sample."""
LEAST: Final = 5
"""Members that hold it at least."""


class Nominees(NamedTuple):
    """What was nominated."""

    value: NDArray[np.bool_]
    """Of each value of the graph, whether it is one."""
    pair: NDArray[np.bool_]
    """Of each pair of weights, whether its cluster has made its value its own."""


def nominate(
    graph: Graph,
    weights: Weights,
    cluster: NDArray[np.int32],
    sizes: NDArray[np.int64],
    established: NDArray[np.bool_],
    content: NDArray[np.bool_],
    *,
    new: int,
) -> Nominees:
    """Nominate assertable values of content and of programs.

    Args:
        graph: edges.
        weights: of values for clusters.
        cluster: of each account, -1 for none.
        sizes: members of each cluster.
        established: of each account.
        content: of each family, whether its values can be nominated.
        new: hours since the epoch of edges from which a use is new.
    """
    values = len(graph.keys)
    inside = cluster[graph.owner] >= 0
    member = np.bincount(graph.value[inside], minlength=values)
    recent = np.bincount(graph.value[inside & (graph.first >= new)], minlength=values)
    old = np.bincount(graph.value[~inside & established[graph.owner]], minlength=values)
    members, elders = int((cluster >= 0).sum()), int((established & (cluster < 0)).sum())
    lift = (member / max(1, members)) / ((old + 1) / (elders + 1))
    value = content[graph.family] & ~graph.bound & (recent >= USES) & (lift >= LIFT)
    own = (weights.members >= LEAST) & (weights.members >= PREVALENT * sizes[weights.cluster])
    return Nominees(value, value[weights.value] & own)


def united(graph: Graph, weights: Weights, pair: NDArray[np.bool_], clusters: int) -> NDArray[np.int32]:
    """Which clusters are one: those that have made nominees of two families their own, and the same ones. A number for each.

    Two that share a nominee of one family and, both again, one of another are one; each pair of nominees is a node that leads to
    the clusters which have made both their own.
    """
    value, whose = weights.value[pair].astype(np.int64), weights.cluster[pair].astype(np.int64)
    order = np.lexsort((value, whose))
    value, whose = value[order], whose[order]
    starts = np.searchsorted(whose, np.arange(clusters + 1))
    many = (starts[1:] - starts[:-1])[whose]
    one = np.repeat(np.arange(len(value)), many)
    other = np.repeat(starts[whose], many) + within(many)
    apart = graph.family[value[one]] < graph.family[value[other]]
    one, other = one[apart], other[apart]
    pairs, node = np.unique(value[one] * len(graph.keys) + value[other], return_inverse=True)
    labels = components(whose[one], node + clusters, clusters + len(pairs))
    _, found = np.unique(labels[:clusters], return_inverse=True)
    return np.asarray(found, np.int32)
