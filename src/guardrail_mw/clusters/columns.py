"""What several stages do with sorted columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["begins", "within"]


def begins(many: NDArray[Any]) -> NDArray[np.int64]:
    """Where each run begins, of runs of so many rows after one another; one more than there are runs."""
    found = np.zeros(len(many) + 1, np.int64)
    np.cumsum(many, out=found[1:])
    return found


def within(many: NDArray[Any]) -> NDArray[np.int64]:
    """The place of each row in its run: 0, 1, … for each of `many`."""
    return np.asarray(np.arange(int(many.sum())) - np.repeat(np.cumsum(many) - many, many), np.int64)
