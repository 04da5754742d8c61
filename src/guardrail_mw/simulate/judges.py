"""Other judges' opinions of the clusters that a run found: the model with one of its weights halved, or doubled."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from guardrail_mw.clusters.features import FEATURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from guardrail_mw.clusters.state import Cluster
    from guardrail_mw.clusters.verdict import Judge

__all__ = ["JUDGES", "panel", "suspected"]

_FACTORS: Final = {"halved": 0.5, "doubled": 2.0}
JUDGES: Final = ("as shipped", *(f"{name} {how}" for name in FEATURES for how in _FACTORS))
"""Their names, in the order of `Found.suspected`; the thresholds of all are the shipped one's."""


def panel(judge: Judge) -> tuple[Judge, ...]:
    """The judges, one a name of `JUDGES`."""
    found = [judge]
    for name in FEATURES:
        worth = judge.worth[name]
        for factor in _FACTORS.values():
            changed = {**judge.worth, name: worth._replace(weight=worth.weight * factor)}
            found.append(replace(judge, worth=changed))
    return tuple(found)


def suspected(judges: Sequence[Judge], clusters: Sequence[Cluster], floor: tuple[int, int]) -> NDArray[np.bool_]:
    """Whom each would suspect, a row a cluster and a column a judge; nobody below the floor of accounts and exchanges."""
    figures = np.array([[each.figures[name] for name in FEATURES] for each in clusters], np.float64).reshape(
        -1, len(FEATURES)
    )
    large = np.array([len(each.members) >= floor[0] and each.exchanges >= floor[1] for each in clusters], np.bool_)
    columns = [large & (judge.score(figures) >= judge.suspect) for judge in judges]
    return np.stack(columns, axis=1) if clusters else np.zeros((0, len(judges)), np.bool_)
