"""Who in a group has a value in common with whom."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from guardrail_mw.simulate.world.arrays import Rng, Wides
from guardrail_mw.simulate.world.figures import whole

__all__ = ["allot", "distinct", "shuffled", "spread"]


def distinct(values: NDArray[Any]) -> tuple[Wides, int]:
    """Values as numbers from 0, and how many there are."""
    known, number = np.unique(values, return_inverse=True)
    return number.astype(np.int64), len(known)


def allot(per: str | tuple[float, float], group: NDArray[Any], rng: Rng) -> tuple[Wides, int]:
    """Values for accounts, so that each is held by as many as `per` says and by none of another group.

    Args:
        per: how many hold one value, or `group`; drawn for each value. The last of a group has what is left.
        group: each account's group, in order.
        rng: where from.

    Returns:
        Each account's value, numbered from 0 in their order, and how many values there are.
    """
    n = len(group)
    if not n:
        return np.zeros(0, np.int64), 0
    if isinstance(per, str):
        return group.astype(np.int64), int(group[-1]) + 1
    if per[1] <= 1:
        return np.arange(n, dtype=np.int64), n
    starts = np.concatenate(([True], group[1:] != group[:-1]))
    if per[0] == per[1]:
        within = np.arange(n) - np.flatnonzero(starts)[np.cumsum(starts) - 1]
        fresh = within % int(per[0]) == 0
    else:
        ends = np.cumsum(whole(per, rng, n))
        number = np.searchsorted(ends, np.arange(n), side="right")
        fresh = starts | np.concatenate(([True], number[1:] != number[:-1]))
    value = np.cumsum(fresh) - 1
    return value.astype(np.int64), int(value[-1]) + 1


def shuffled(value: Wides, group: NDArray[Any], share: NDArray[Any], rng: Rng) -> Wides:
    """The same values, those of a share of each group's accounts given among them anew: how many hold each stays."""
    rows = np.flatnonzero(rng.random(len(group)) < share)
    order = np.lexsort((rng.random(len(rows)), group[rows]))
    result = value.copy()
    result[rows] = value[rows][order]
    return result


def spread(over: str | int, group: NDArray[Any], groups: int) -> tuple[Wides, int]:
    """Organisations: none, each account's own, the group's, or so many that each have an even part of it."""
    n = len(group)
    if over == "none":
        return np.zeros(n, np.int64), 0
    if over == "own":
        return np.arange(n, dtype=np.int64), n
    if isinstance(over, str):
        return group.astype(np.int64), groups
    size = np.bincount(group, minlength=groups)
    within = np.arange(n) - (np.cumsum(size) - size)[group]
    return group.astype(np.int64) * over + within * over // size[group], groups * over
