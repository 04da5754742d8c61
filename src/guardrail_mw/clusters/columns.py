"""What several stages do with sorted columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["among", "begins", "ranked", "within"]

_TABLE: Final = 1 << 29
"""Bytes of a table that spares sorting."""
_SPARSE: Final = 64
"""Places of a table for each number, beyond which looking through it takes longer than sorting."""


def begins(many: NDArray[Any]) -> NDArray[np.int64]:
    """Where each run begins, of runs of so many rows after one another; one more than there are runs."""
    found = np.zeros(len(many) + 1, np.int64)
    np.cumsum(many, out=found[1:])
    return found


def within(many: NDArray[Any]) -> NDArray[np.int64]:
    """The place of each row in its run: 0, 1, … for each of `many`."""
    return np.asarray(np.arange(int(many.sum())) - np.repeat(np.cumsum(many) - many, many), np.int64)


def among(number: NDArray[np.int64], wanted: NDArray[np.int64], below: int) -> NDArray[np.bool_]:
    """Whether each number is one of those wanted; all are at least 0 and below `below`."""
    if not _dense(len(number) + len(wanted), below):
        return np.asarray(np.isin(number, wanted), np.bool_)
    table = np.zeros(below, np.bool_)
    table[wanted] = True
    return table[number]


def ranked(number: NDArray[np.int64], below: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The numbers that there are, in order, and the place of each of `number` among them; all from 0 on, and below `below`."""
    if not _dense(4 * len(number), 4 * below):
        found, place = np.unique(number, return_inverse=True)
        return found, np.asarray(place, np.int64)
    table = np.zeros(below, np.bool_)
    table[number] = True
    found = np.flatnonzero(table)
    rank = np.empty(below, np.int32)
    rank[found] = np.arange(len(found), dtype=np.int32)
    return found, rank[number].astype(np.int64)


def _dense(numbers: int, below: int) -> bool:
    """Whether a table with a place for every number that there could be is the quicker way."""
    return below <= _TABLE and below <= _SPARSE * numbers
