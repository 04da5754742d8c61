"""Coarse co-activity: accounts that work at the same hours of the day, at the same pace, hold one value (see `hours`).

Made from the activity that a store keeps of every account, when evidence is read: no request carries it, and no store holds it.
All of it is whole numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from guardrail_mw.algorithms import keys
from guardrail_mw.clusters.hours import BLOCK, BLOCKS, PACE, PACES, PART

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from guardrail_mw.clusters.features import Activities

__all__ = ["DAYS", "REQUESTS", "Coactive", "coactive"]

REQUESTS: Final = 100
"""Requests from which an account has hours that say anything: with fewer, chance decides which blocks count."""
DAYS: Final = 3
"""Days on which it must have made them: a night's work is no habit."""
_DAY: Final = 24


class Coactive(NamedTuple):
    """The accounts that have a value: an account a row."""

    row: NDArray[np.int32]
    """Of the account, in the activity."""
    key: NDArray[np.int64]
    first: NDArray[np.int64]
    """Hours since the epoch of edges: when it is held since."""


def coactive(done: Activities, oldest: int) -> Coactive:
    """The values of all accounts that have one.

    A value is held since the account's first request, because its hours are those of all its requests. So nobody who was
    established comes to hold one anew because his habits changed, and whoever comes later comes to what was there.

    Args:
        done: what each account has done.
        oldest: day since the epoch of edges before which an account that did nothing since has no value any more.
    """
    all_of_it = done.hours.sum(axis=1)  # not `requests`: where an hour is full, all hours are halved
    busy = (done.requests >= REQUESTS) & (done.days >= DAYS) & (all_of_it > 0) & (done.last // _DAY >= oldest)
    row = np.flatnonzero(busy)
    blocks = done.hours[row].reshape(-1, BLOCKS, BLOCK).sum(axis=2)
    worked = (blocks * PART >= all_of_it[row][:, None]) @ (1 << np.arange(BLOCKS))
    pace = np.searchsorted(PACES, done.requests[row] // np.maximum(1, done.days[row]), side="right")
    key = (keys.COACTIVE << keys.BITS) | (worked << PACE) | pace
    return Coactive(row.astype(np.int32), key.astype(np.int64), done.first[row])
