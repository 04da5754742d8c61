"""Clusters so large that they matter, whoever they are: offices, classrooms, resellers, and whoever has not been found out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from guardrail_mw.clusters.features import Activities
    from guardrail_mw.clusters.graph import Graph
    from guardrail_mw.clusters.kinds import Declared

__all__ = ["FIVE", "GROWTH", "Materiality", "declared", "tokens_by_day", "worth"]

GROWTH: Final = 1.2
"""A material cluster's budget for a UTC day, in the largest of the seven days before it became so."""

FIVE: Final = 5
"""Accounts whose tokens a verified organisation has at least."""


@dataclass(frozen=True, slots=True)
class Materiality:
    """From either figure on a cluster is material."""

    accounts: int = 50
    share: float = 0.01
    """Of a day's tokens of everybody."""

    def holds(self, members: int, tokens: float, everybody: float) -> bool:
        """Whether a cluster is: its members, its tokens of its largest day, everybody's of a day."""
        return members >= self.accounts or (everybody > 0 and tokens >= self.share * everybody)


def declared(graph: Graph, cluster: NDArray[np.int32], clusters: int, known: Mapping[int, Declared]) -> dict[int, Declared]:
    """The organisation of each cluster half of whose members are one's; of two, the one that more are of.

    Its tokens are divided among its clusters by those members, so that to be in several makes no more of them.

    Args:
        graph: who holds what.
        cluster: each account's, -1 for none.
        clusters: how many there are.
        known: by the keys of the evidence of belonging to them.
    """
    sizes = np.bincount(cluster[cluster >= 0], minlength=clusters)
    found: dict[int, tuple[int, Declared]] = {}
    for key, organisation in known.items():
        row = int(np.searchsorted(graph.keys, key))
        if row == len(graph.keys) or graph.keys[row] != key:
            continue
        holders = cluster[graph.owner[graph.starts[row] : graph.starts[row + 1]]]
        members = np.bincount(holders[holders >= 0], minlength=clusters)
        for number in np.flatnonzero((members > 0) & (2 * members >= sizes)).tolist():
            if members[number] > found.get(number, (0, organisation))[0]:
                found[number] = int(members[number]), organisation
    together: dict[Declared, int] = {}
    for many, organisation in found.values():
        together[organisation] = together.get(organisation, 0) + many
    return {
        number: organisation._replace(tokens=max(1, organisation.tokens * many // together[organisation]))
        for number, (many, organisation) in found.items()
    }


def worth(activity: Activities) -> int:
    """What `FIVE` accounts use in a day: on the day of the last seven when an account that called used most in the mean."""
    mean = activity.tokens / np.maximum(1, activity.requests)
    tokens, active = (activity.daily * mean[:, None]).sum(axis=0), (activity.daily > 0).sum(axis=0)
    return round(FIVE * float((tokens / np.maximum(1, active)).max(initial=0.0)))


def tokens_by_day(activity: Activities, cluster: NDArray[np.int32], clusters: int) -> NDArray[np.float64]:
    """Tokens of each cluster on each of the last seven days, a row each, and of everybody in the last row.

    A day's tokens are its requests at the account's mean of tokens a request: only sums are kept.
    """
    mean = activity.tokens / np.maximum(1, activity.requests)
    tokens = activity.daily * mean[:, None]
    found = np.zeros((clusters + 1, tokens.shape[1]))
    inside = cluster >= 0
    np.add.at(found, cluster[inside], tokens[inside])
    found[clusters] = tokens.sum(axis=0)
    return found
