"""Connected components, in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["components"]


def components(one: NDArray[Any], other: NDArray[Any], size: int) -> NDArray[np.int32]:
    """The component of each of `size` nodes, where edges lead from `one` to `other`: numbers from 0, none left out."""
    edges = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(size, size))
    _, labels = connected_components(edges, directed=False)
    return np.asarray(labels, np.int32)
