"""What a verdict looks at: figures of a cluster that strangers cannot move, from members tied by bound evidence only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from guardrail_mw.clusters.graph import Graph

__all__ = ["FEATURES", "Activities", "features", "tied"]

FEATURES: Final = (
    "size", "young", "pace", "evenness", "round_the_clock", "weekend", "templated", "fresh", "cards", "addresses", "growth",
)  # fmt: skip
"""Names of the figures, in order; `verdict.toml` says what each is worth and explains it."""
_DAY: Final = 24


@dataclass(frozen=True, slots=True)
class Activities:
    """What each account has done, a row each."""

    requests: NDArray[np.int64]
    tokens: NDArray[np.int64]
    first: NDArray[np.int64]
    """Hour since the epoch of edges of the first request, and of the last."""
    last: NDArray[np.int64]
    days: NDArray[np.int64]
    """Days with a request."""
    hours: NDArray[np.int64]
    """24 columns: requests by the hour of the UTC day."""
    windowed: NDArray[np.int64]
    """Requests in the week after a model was first seen, and of them those to that model."""
    fresh: NDArray[np.int64]
    daily: NDArray[np.int64]
    """Requests of each of the last days that are told apart, in no order; 0 for one that is more than a week ago."""

    @property
    def recent(self) -> NDArray[np.int64]:
        """Requests of the last seven days."""
        found: NDArray[np.int64] = self.daily.sum(axis=1)
        return found


def tied(graph: Graph, cluster: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Of each account, whether it holds a bound value that another member of its cluster holds."""
    inside = (cluster[graph.owner] >= 0) & graph.bound[graph.value]
    clusters = int(cluster.max(initial=-1)) + 1 or 1
    number = graph.value[inside].astype(np.int64) * clusters + cluster[graph.owner[inside]]
    _, place, many = np.unique(number, return_inverse=True, return_counts=True)
    found = np.zeros(graph.size, np.bool_)
    found[graph.owner[inside][many[place] >= 2]] = True  # noqa: PLR2004 - one shares with nobody
    return found


def features(
    graph: Graph,
    cluster: NDArray[np.int32],
    activity: Activities,
    templated: NDArray[np.bool_],
    families: tuple[int, int],
    *,
    young: int,
) -> NDArray[np.float64]:
    """Figures of each cluster, a row each, columns as `FEATURES`.

    Args:
        graph: edges.
        cluster: of each account, -1 for none.
        activity: of each account.
        templated: of each account, whether it holds content that its cluster has made its own.
        families: the numbers of the families payment and network.
        young: hours since the epoch of edges from which an account is young.
    """
    rows = np.flatnonzero(tied(graph, cluster))
    clusters = int(cluster.max(initial=-1)) + 1
    whose = cluster[rows]
    count = np.maximum(1, np.bincount(whose, minlength=clusters)).astype(np.float64)

    def mean(column: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(whose, weights=column, minlength=clusters) / count

    requests = activity.requests[rows].astype(np.float64)
    total = np.bincount(whose, weights=requests, minlength=clusters)
    level = np.log1p(requests / np.maximum(1, activity.days[rows]))
    spread = np.sqrt(np.maximum(0.0, mean(level**2) - mean(level) ** 2))
    recent = np.bincount(whose, weights=activity.recent[rows].astype(np.float64), minlength=clusters)
    windowed = np.bincount(whose, weights=activity.windowed[rows].astype(np.float64), minlength=clusters)
    fresh = np.bincount(whose, weights=activity.fresh[rows].astype(np.float64), minlength=clusters)
    hours = np.zeros((clusters, _DAY))
    np.add.at(hours, whose, activity.hours[rows].astype(np.float64))
    span = np.maximum(1.0, (activity.last[rows] - activity.first[rows]) / _DAY + 1)
    return np.stack(
        [
            np.log(count),
            mean((graph.since[rows] >= young).astype(np.float64)),
            mean(level),
            _evenness(spread, total / count),
            _entropy(hours),
            mean(np.minimum(1.0, activity.days[rows] / span)),
            mean(templated[rows].astype(np.float64)),
            (fresh + 1) / (windowed + 10),
            np.log1p(_shared(graph, cluster, families[0], clusters)),
            np.log1p(_shared(graph, cluster, families[1], clusters)),
            recent / np.maximum(1.0, total),
        ],
        axis=1,
    )


def _evenness(spread: NDArray[np.float64], requests: NDArray[np.float64]) -> NDArray[np.float64]:
    """How alike members' paces are: 1 for a usual spread, up to 2.5. Where each has made a few requests, that says little."""
    alike = np.minimum(2.5, 1 / (0.1 + spread))
    return np.asarray(1 + (alike - 1) * requests / (requests + 3))


def _entropy(hours: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the hours of the day, 1 for an even spread: bits over the bits of 24."""
    share = hours / np.maximum(1.0, hours.sum(axis=1, keepdims=True))
    return np.asarray(-(share * np.log(np.where(share > 0, share, 1.0))).sum(axis=1) / np.log(_DAY))


def _shared(graph: Graph, cluster: NDArray[np.int32], family: int, clusters: int) -> NDArray[np.float64]:
    """How many different bound values of a family at least three members share."""
    mine = (cluster[graph.owner] >= 0) & graph.bound[graph.value] & (graph.family[graph.value] == family)
    number = cluster[graph.owner[mine]].astype(np.int64) * len(graph.keys) + graph.value[mine]
    ids, many = np.unique(number, return_counts=True)
    whose = ids[many >= 3] // max(1, len(graph.keys))  # noqa: PLR2004 - two may be a household
    return np.bincount(whose, minlength=clusters).astype(np.float64)
