"""From what a store has packed to the columns that a rebuild works on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple, Self, get_args

import numpy as np

from guardrail_mw.algorithms import activity, edges, keys
from guardrail_mw.clusters.coactive import coactive
from guardrail_mw.clusters.features import Activities
from guardrail_mw.clusters.graph import Holdings, Table
from guardrail_mw.clusters.shingles import KEPT
from guardrail_mw.values import Family

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from guardrail_mw.clusters.kinds import Kinds
    from guardrail_mw.stores.base import Graph, Held

__all__ = ["FAMILIES", "FAMILY", "Read", "Reader", "table"]

FAMILY: Final = {name: number for number, name in enumerate(get_args(Family))}
"""Families' numbers."""
FAMILIES: Final = (FAMILY["payment"], FAMILY["network"], FAMILY["content"], FAMILY["client"])
_HOUR: Final = 3_600_000_000
_AHEAD: Final = 250
"""Days since an edge was last seen, modulo 256, from which on it was seen after the day on which the reading began."""
_WEEK: Final = 7
_EDGE: Final = np.dtype([("key", ">i8"), ("first", ">u2"), ("last", "u1")])
_DONE: Final = np.dtype([
    ("first", ">u2"), ("last", ">u2"), ("days", ">u2"), ("requests", ">u4"), ("tokens_high", ">u2"), ("tokens", ">u4"),
    ("windowed_high", ">u2"), ("windowed", "u1"), ("fresh_high", ">u2"), ("fresh", "u1"), ("hours", ">u2", 24),
    ("recent", "u1", (8, 3)),
])  # fmt: skip
"""As `algorithms.activity` packs it."""


def table(kinds: Kinds) -> Table:
    """The kinds as a rebuild looks them up."""
    family, bound, below = np.full(64, -1, np.int8), np.zeros(64, np.bool_), np.zeros(64, np.int32)
    for code, kind in kinds.by_code.items():
        family[code], bound[code], below[code] = FAMILY[kind.family], kind.bound, kind.below
    return Table(family, bound, below, (keys.NETWORK, keys.NETWORK_WIDE))


class Read(NamedTuple):
    """What there is, and what members' standings say at present."""

    held: Holdings
    activity: Activities
    standings: dict[str, tuple[str, ...]]
    """Of accounts that are in a cluster as far as they know: its id, verdict, budget and counters."""


class Reader:
    """Collects what a store reads out.

    Args:
        now: µs.
        lookback: days after which an edge that was not seen again counts no more.
        hours: whether the hours at which an account works are evidence too.
    """

    def __init__(self, now: int, lookback: int, *, hours: bool = True) -> None:
        self._today = edges.day_of(now)
        self._hours = hours
        self._lookback = lookback
        self._accounts: list[str] = []
        self._since: list[int] = []
        self._edges: list[bytes] = []
        self._done: list[bytes] = []
        self._standings: dict[str, tuple[str, ...]] = {}

    def add(self, batch: Sequence[Held]) -> None:
        """More of it."""
        if not batch:
            return
        accounts, begun, shown, done, cluster, verdict, created, budget, counters = zip(*batch, strict=True)
        self._accounts += accounts
        self._since += [opened or since for opened, since in zip(created, begun, strict=True)]
        self._edges += shown
        self._done += done
        if any(cluster):
            named = zip(accounts, zip(cluster, verdict, budget, counters, strict=True), strict=True)
            self._standings.update([each for each in named if each[1][0]])

    @classmethod
    async def collected(cls, store: Graph, now: int, lookback: int, *, hours: bool = True) -> Self:
        """With all that a store has of the last `lookback` days.

        Raises:
            StoreError: the store failed.
        """
        reader = cls(now, lookback, hours=hours)
        async for batch in store.read(edges.horizon(now, lookback)):
            reader.add(batch)
        return reader

    def read(self) -> Read:
        """All of it, in the order of the accounts' names: the same whatever order it came in."""
        order = sorted(range(len(self._accounts)), key=self._accounts.__getitem__)
        packed = [self._edges[at] for at in order]
        rows = np.frombuffer(b"".join(packed), _EDGE)
        owner = np.repeat(np.arange(len(order), dtype=np.int32), [len(each) // edges.EDGE for each in packed])
        age = (self._today - rows["last"].astype(np.int64)) % 256
        kept = (age <= self._lookback) | (age >= _AHEAD)  # seen after midnight, while it was read
        first, key = rows["first"].astype(np.int64), rows["key"].astype(np.int64)
        kept &= ~_beyond(owner, key)
        earliest = np.full(len(order), np.iinfo(np.int64).max)
        np.minimum.at(earliest, owner, first)
        told = np.array([self._since[at] for at in order], np.int64)
        since = np.where(told > 0, (told - edges.EPOCH) // _HOUR, earliest)
        done = np.frombuffer(b"".join([self._done[at] for at in order]), _DONE)
        held = Holdings([self._accounts[at] for at in order], since, owner[kept], key[kept], first[kept])
        did = _activities(done, self._today)
        if self._hours:
            held = _with_hours(held, did, self._today - self._lookback)
        return Read(held, did, self._standings)


def _with_hours(held: Holdings, done: Activities, oldest: int) -> Holdings:
    """And what is made from what accounts did: behind the edges that they showed."""
    found = coactive(done, oldest)
    owner, key = np.concatenate((held.owner, found.row)), np.concatenate((held.key, found.key))
    return replace(held, owner=owner, key=key, first=np.concatenate((held.first, found.first)))


def _beyond(owner: NDArray[np.int32], key: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Of edges, the shingles beyond an account's lowest: several processes may have noted more, each its own."""
    mine = np.flatnonzero(key >> keys.BITS == keys.SHINGLE)
    mine = mine[np.lexsort((key[mine], owner[mine]))]
    starts = np.searchsorted(owner[mine], owner[mine])
    found = np.zeros(len(key), np.bool_)
    found[mine[np.arange(len(mine)) - starts >= KEPT]] = True
    return found


def _activities(done: np.ndarray[tuple[int], np.dtype[np.void]], today: int) -> Activities:
    whole = {name: done[name].astype(np.int64) for name in done.dtype.names or ()}
    days = whole["recent"] @ np.array([65_536, 256, 1], np.int64)
    newest = whole["last"] // 24
    day = newest[:, None] - (newest[:, None] - np.arange(activity.RING)) % activity.RING
    days = np.where(day > today - _WEEK, days, 0)
    return Activities(
        whole["requests"],
        (whole["tokens_high"] << 32) + whole["tokens"],
        whole["first"],
        whole["last"],
        whole["days"],
        whole["hours"],
        (whole["windowed_high"] << 8) + whole["windowed"],
        (whole["fresh_high"] << 8) + whole["fresh"],
        days,
    )


assert _DONE.itemsize == activity.LENGTH  # noqa: S101 - one layout, written twice
assert _EDGE.itemsize == edges.EDGE  # noqa: S101 - likewise
