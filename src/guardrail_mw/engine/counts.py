"""Counts of what happened, by name: the observer that every guardrail has."""

from __future__ import annotations

from collections import Counter
from threading import Lock

from guardrail_mw.values import Observer

__all__ = ["Counts"]


class Counts:
    """Counts events and passes them on. May be called from several threads."""

    def __init__(self, onward: Observer | None = None) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = Lock()
        self._onward = () if onward is None else (onward,)

    def tell(self, observer: Observer) -> None:
        """Pass counts on to another observer too, from now on."""
        self._onward = (*self._onward, observer)

    def count(self, event: str, by: int = 1) -> None:
        """`event` happened `by` times."""
        with self._lock:
            self._counts[event] += by
        for observer in self._onward:
            observer.count(event, by)

    def read(self) -> dict[str, int]:
        """All counts so far, by name."""
        with self._lock:
            return dict(sorted(self._counts.items()))
