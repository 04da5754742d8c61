"""Waiting: how many requests may wait in a process at once, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from threading import Lock
from typing import Final

from guardrail_mw.values import Observer

__all__ = ["Sleep", "Waiting", "jittered"]

Sleep = Callable[[float], Awaitable[None]]
"""Waits so many seconds."""

_SECOND: Final = 1_000_000


def jittered(seconds: float, jitter: float, draw: float) -> float:
    """`seconds`, up to the part `jitter` of it more or less; `draw`, from 0 to 1, says where between.

    So that no timing tells a caller which rung it is on, and those who came together do not go on together.
    """
    return seconds * (1 + jitter * (2 * draw - 1))


class Waiting:
    """The places in which requests of one process wait. May be shared by several event loops.

    Args:
        at_once: how many there are. Each held connection costs the server more than it costs who holds it: where all are
            taken the caller is trimmed instead, so that waiting cannot be made into a way to exhaust us.
        at_most: µs that none waits longer than.
        observer: hears `friction.delayed`, `friction.delay_abandoned` and `friction.delays_full`.
    """

    __slots__ = ("_at_most", "_at_once", "_lock", "_observer", "_taken")

    def __init__(self, at_once: int, at_most: int, *, observer: Observer | None = None) -> None:
        self._at_once = at_once
        self._at_most = at_most / _SECOND
        self._observer = observer
        self._taken = 0
        self._lock = Lock()

    def resize(self, at_once: int, at_most: int) -> None:
        """Another policy runs: who waits already goes on waiting, and counts."""
        self._at_once = at_once
        self._at_most = at_most / _SECOND

    @property
    def taken(self) -> int:
        """How many wait now."""
        return self._taken

    def admit(self) -> bool:
        """Take a place, which `wait` (or `leave`) gives back; False where all are taken."""
        with self._lock:
            room = self._taken < self._at_once
            self._taken += room
        if not room:
            self._count("friction.delays_full")
        return room

    def leave(self) -> None:
        """Give back a place without having waited."""
        with self._lock:
            self._taken -= 1

    async def wait(self, seconds: float, sleep: Sleep = asyncio.sleep) -> float:
        """Wait in a place that `admit` gave, and give it back, whatever happens meanwhile.

        Args:
            seconds: for how long; cut to `at_most`.
            sleep: what waits; tests pass their own.

        Returns:
            The seconds that were waited.
        """
        seconds = min(max(seconds, 0.0), self._at_most)
        try:
            await sleep(seconds)
        except BaseException:
            self._count("friction.delay_abandoned")
            raise
        finally:
            self.leave()
        self._count("friction.delayed")
        return seconds

    def _count(self, event: str) -> None:
        if self._observer is not None:
            self._observer.count(event)
