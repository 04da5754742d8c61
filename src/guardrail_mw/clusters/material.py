"""Clusters so large that they matter, whoever they are: offices, classrooms, resellers, and whoever has not been found out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from guardrail_mw.clusters.features import Activities

__all__ = ["GROWTH", "Materiality", "tokens_by_day"]

GROWTH: Final = 1.2
"""A material cluster's budget for a UTC day, in the largest of the seven days before it became so."""


@dataclass(frozen=True, slots=True)
class Materiality:
    """From either figure on a cluster is material."""

    accounts: int = 50
    share: float = 0.01
    """Of a day's tokens of everybody."""

    def holds(self, members: int, tokens: float, everybody: float) -> bool:
        """Whether a cluster is: its members, its tokens of its largest day, everybody's of a day."""
        return members >= self.accounts or (everybody > 0 and tokens >= self.share * everybody)


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
