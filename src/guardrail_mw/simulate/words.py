"""What the table's words mean, as functions of columns. Each is worked out by hand on small examples in the tests.

*Held*: exchanges of accounts that are in one of their operator's clusters at the end. *Touched*: an account one of whose requests
was answered worse than the same request in a twin run without clusters; a group of which more than max(1, 1%) of the accounts
are. *Denied*: an account of which, beyond the twin, all of at least 3 requests in a row, over at least 10 minutes, were refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DENIED",
    "SEVERITY",
    "WINDOW",
    "Exceptions",
    "Pairs",
    "Window",
    "b_cubed",
    "contained",
    "denied",
    "held",
    "owners",
    "pairs",
    "quantile",
    "shares",
    "touched_groups",
    "worse",
    "worst_window",
    "zero_bound",
]

SEVERITY: Final = np.array([0, 2, 1, 3, 6, 5, 4], np.int8)
"""By a call's code: served, trimmed, delayed, limited, denied, asked to verify, challenged. What is larger is worse."""
_REFUSED: Final = 3
DENIED: Final = (3, 600_000_000)
"""Requests, and µs."""
WINDOW: Final = 30
"""Days."""


# Clusters


def shares(cluster: NDArray[Any], owner: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many of each account's cluster are of its owner, and how many there are in all; 0 for accounts in no cluster.

    Args:
        cluster: of each account, a number from 0, -1 for none.
        owner: the operator of each account, -1 for an ordinary one.
    """
    own, size = np.zeros(len(cluster), np.int64), np.zeros(len(cluster), np.int64)
    rows = np.flatnonzero(cluster >= 0)
    if len(rows):
        kinds = int(owner.max()) + 2
        number = cluster[rows].astype(np.int64) * kinds + owner[rows] + 1
        own[rows] = np.bincount(number)[number]
        size[rows] = np.bincount(cluster[rows])[cluster[rows]]
    return own, size


def owners(cluster: NDArray[Any], owner: NDArray[Any]) -> NDArray[np.int64]:
    """Whose each cluster is: the operator's who has more than half of its members, or -1. A row a cluster."""
    many = int(cluster.max(initial=-1)) + 1
    found = np.full(many, -1, np.int64)
    own, size = shares(cluster, owner)
    rows = np.flatnonzero((cluster >= 0) & (owner >= 0) & (2 * own > size))
    found[cluster[rows]] = owner[rows]
    return found


def held(cluster: NDArray[Any], owner: NDArray[Any], exchanges: NDArray[Any], operators: int) -> NDArray[np.float64]:
    """Of each operator, the share of its exchanges made by accounts that are in one of its clusters; nan where it made none."""
    whose = owners(cluster, owner)
    mine = np.flatnonzero(owner >= 0)
    inside = mine[(cluster[mine] >= 0) & (np.append(whose, -2)[cluster[mine]] == owner[mine])]
    total = np.bincount(owner[mine], weights=exchanges[mine], minlength=operators)
    part = np.bincount(owner[inside], weights=exchanges[inside], minlength=operators)
    found: NDArray[np.float64] = np.divide(part, total, out=np.full(operators, np.nan), where=total > 0)
    return found


def b_cubed(
    cluster: NDArray[Any], owner: NDArray[Any], operators: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """B-cubed precision and recall of each operator's accounts, and precision averaged over all their accounts.

    Precision of an account: of its cluster's members, the share that is its operator's; recall: of its operator's accounts, the
    share that is in its cluster. An account in no cluster has no precision, and is found by none but itself. (Bagga and Baldwin,
    Entity-based cross-document coreferencing, 1998.)
    """
    own, size = shares(cluster, owner)
    mine = np.flatnonzero(owner >= 0)
    total = np.bincount(owner[mine], minlength=operators)
    found = mine[size[mine] > 0]
    exact = own[found] / size[found]
    clustered = np.bincount(owner[found], minlength=operators)
    nothing = np.full(operators, np.nan)
    precision = np.divide(
        np.bincount(owner[found], weights=exact, minlength=operators), clustered, out=nothing.copy(), where=clustered > 0
    )
    reached = np.maximum(own[mine], 1) / total[owner[mine]]
    recall = np.divide(np.bincount(owner[mine], weights=reached, minlength=operators), total, out=nothing, where=total > 0)
    return precision, recall, float(exact.mean()) if len(exact) else float("nan")


class Pairs(NamedTuple):
    """Pairs of accounts that are in one cluster."""

    own: int
    """Of one operator."""
    cross: int
    """Of two operators."""
    mixed: int
    """An operator's and an ordinary one."""
    ordinary: int


def pairs(cluster: NDArray[Any], owner: NDArray[Any]) -> Pairs:
    """Count them."""
    rows = np.flatnonzero(cluster >= 0)
    if not len(rows):
        return Pairs(0, 0, 0, 0)
    kinds = int(owner.max()) + 2
    counts = np.bincount(
        cluster[rows].astype(np.int64) * kinds + owner[rows] + 1, minlength=(int(cluster.max()) + 1) * kinds
    )
    table = counts.reshape(-1, kinds)
    people, bad = table[:, 0], table[:, 1:]
    campaign = bad.sum(axis=1)
    own = int((bad * (bad - 1) // 2).sum())
    every = int((campaign * (campaign - 1) // 2).sum())
    return Pairs(own, every - own, int((people * campaign).sum()), int((people * (people - 1) // 2).sum()))


def contained(judged: NDArray[Any], share: float) -> int | None:
    """When so large a share of accounts was judged for good.

    Args:
        judged: of each account, µs since when it has been in a suspect cluster until the end; 0 for never.
        share: of them.
    """
    wanted = int(np.ceil(share * len(judged)))
    when = np.sort(judged[judged > 0])
    return int(when[wanted - 1]) if 0 < wanted <= len(when) else None


def quantile(numbers: NDArray[Any], share: float) -> float | None:
    """The least figure that so large a share does not pass (no interpolation); None where it would be infinite, or there is none.

    Args:
        numbers: 0 stands for what never came.
        share: 0.5 for the median.
    """
    if not len(numbers):
        return None
    ordered = np.sort(np.where(numbers > 0, numbers.astype(np.float64), np.inf))
    found = float(ordered[max(0, int(np.ceil(share * len(ordered))) - 1)])
    return found if np.isfinite(found) else None


# Friction


@dataclass(frozen=True, slots=True)
class Exceptions:
    """Ordinary requests that were not simply served, in columns."""

    account: NDArray[np.int32]
    number: NDArray[np.int32]
    """Which of its account's requests: 0 is the first."""
    at: NDArray[np.int64]
    code: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.at)

    @property
    def key(self) -> NDArray[np.int64]:
        """Account and number in one."""
        return self.account.astype(np.int64) << 32 | self.number

    def ordered(self) -> Exceptions:
        """By account, then number."""
        return self.take(np.argsort(self.key, kind="stable"))

    def take(self, rows: NDArray[Any]) -> Exceptions:
        """Some of them."""
        return Exceptions(self.account[rows], self.number[rows], self.at[rows], self.code[rows])


def _twins(run: Exceptions, twin: Exceptions) -> NDArray[np.int8]:
    """How severe the answers were that the twin gave to the same requests."""
    found = np.zeros(len(run), np.int8)
    if len(twin):
        other = twin.ordered()
        keys, mine = other.key, run.key
        place = np.minimum(np.searchsorted(keys, mine), len(keys) - 1)
        same = keys[place] == mine
        found[same] = SEVERITY[other.code[place[same]]]
    return found


def worse(run: Exceptions, twin: Exceptions) -> Exceptions:
    """Requests that were answered worse than in the twin."""
    return run.take(np.flatnonzero(SEVERITY[run.code] > _twins(run, twin)))


def denied(run: Exceptions, twin: Exceptions) -> NDArray[np.int32]:
    """Accounts that were denied. What the twin refused as well neither counts nor ends a row of refusals."""
    refused = run.take(np.flatnonzero(SEVERITY[run.code] >= _REFUSED)).ordered()
    if not len(refused):
        return np.zeros(0, np.int32)
    key = refused.key
    begins = np.concatenate(([True], key[1:] != key[:-1] + 1))
    row = np.cumsum(begins) - 1
    beyond = _twins(refused, twin) < _REFUSED
    many = np.bincount(row[beyond], minlength=int(row[-1]) + 1)
    first, last = np.full(len(many), np.iinfo(np.int64).max), np.zeros(len(many), np.int64)
    np.minimum.at(first, row[beyond], refused.at[beyond])
    np.maximum.at(last, row[beyond], refused.at[beyond])
    whose = refused.account[np.flatnonzero(begins)]
    least, long = DENIED
    return np.unique(whose[(many >= least) & (last - first >= long)])


class Window(NamedTuple):
    """Thirty days, and who was touched in them."""

    first: int
    """Day of the run."""
    accounts: NDArray[np.int64]


def worst_window(account: NDArray[Any], day: NDArray[Any], days: int, width: int = WINDOW) -> Window:
    """The days in which most accounts were touched; the first such of several.

    Args:
        account: of each touch.
        day: of the run, of each touch.
        days: of the run.
        width: days of a window; a shorter run is one window.
    """
    best = Window(0, np.zeros(0, np.int64))
    touches = np.unique(np.stack([day.astype(np.int64), account.astype(np.int64)]), axis=1)
    for first in range(max(1, days - width + 1)):
        here = (touches[0] >= first) & (touches[0] < first + width)
        found = np.unique(touches[1][here])
        if len(found) > len(best.accounts):
            best = Window(first, found)
    return best


def touched_groups(accounts: NDArray[Any], group: NDArray[Any]) -> NDArray[np.int64]:
    """Groups of which more than max(1, 1%) of the accounts are touched.

    Args:
        accounts: rows of those touched, once each.
        group: of every account; below 0 for whom no group counts.
    """
    size = np.bincount(group[group >= 0])
    hit = group[accounts]
    many = np.bincount(hit[hit >= 0], minlength=len(size))
    return np.flatnonzero(many > np.maximum(1.0, 0.01 * size))


def zero_bound(n: int) -> float:
    """Nothing was found among `n`: with 95% confidence the share is at most this (3/n, Hanley and Lippman-Hand, JAMA 1983)."""
    return min(1.0, 3 / n) if n else 1.0
