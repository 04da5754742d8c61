"""A bounded memory of what was seen lately, with nothing to do on a hit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Recent"]

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Two generations of a dict: what the older one still holds moves up when it is asked for, the rest goes with it.

    Close to LRU: an entry outlives at least `limit` later ones. A hit costs one `dict.get`, where moving it to the end of an
    ordered dict costs as much again. May be used from several threads: the worst a race can do is forget.

    Args:
        limit: entries in a generation, of which there are two.
        weigh: what an entry weighs, by its key; None where all are alike.
        most: what a generation may weigh together.
        heaviest: an entry that weighs more is not kept.
    """

    __slots__ = ("_heaviest", "_limit", "_most", "_new", "_old", "_weigh", "_weight")

    def __init__(self, limit: int, *, weigh: Callable[[K], int] | None = None, most: int = 0, heaviest: int = 0) -> None:
        self._limit = limit
        self._weigh = weigh
        self._most = most
        self._heaviest = heaviest
        self._new: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._weight = 0

    def __len__(self) -> int:
        """Entries of both generations, together."""
        return len(self._new) + len(self._old)

    def get(self, key: K) -> V | None:
        """What is remembered under `key`, or None."""
        found = self._new.get(key)
        if found is None and self._old:
            found = self._old.pop(key, None)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        """Remember `value`; whatever was not asked for since a generation began may be forgotten."""
        weight = 0
        if self._weigh is not None:
            weight = self._weigh(key)
            if weight > self._heaviest:
                return
        self._weight += weight
        if len(self._new) >= self._limit or self._weight > self._most:
            self._old = self._new
            self._new = {}
            self._weight = weight
        self._new[key] = value

    def pop(self, key: K) -> None:
        """Forget `key`."""
        self._new.pop(key, None)
        self._old.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        self._new = {}
        self._old = {}
        self._weight = 0
