"""Time that passes sixty times as fast, and never faster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from guardrail_mw.simulate.clock import WorldClock

__all__ = ["SPEED", "Pacer"]

SPEED: Final = 60
"""Seconds of the demo's clock to one of the machine's, at most."""
_SECOND: Final = 1_000_000


class Pacer:
    """Moves the demo's clock from one moment to the next, each as late as it is due.

    Where the machine is late, the clock is: it never makes up for that, so it is nowhere more than sixty times as fast. What
    happens on it is the same on every machine.

    Args:
        clock: what is moved.
        seconds: the machine's monotonic time.
        sleep: waits so many of the machine's seconds.
    """

    def __init__(
        self,
        clock: WorldClock,
        *,
        seconds: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.clock = clock
        self._seconds, self._sleep = seconds, sleep
        self._started = seconds()
        self._opened = clock.now()
        self._at, self._due = clock.now(), self._started

    def start(self) -> None:
        """Begin to count, from where the clock stands."""
        self._started = self._due = self._seconds()
        self._opened = self._at = self.clock.now()

    async def until(self, at: int) -> None:
        """Let time pass until `at`, µs of the demo's clock."""
        due = self._due + (at - self._at) / _SECOND / SPEED
        left = due - self._seconds()
        if left > 0:
            await self._sleep(left)
        self._at, self._due = at, max(due, self._seconds())
        self.clock.move(at)

    @property
    def here(self) -> float:
        """The machine's seconds since the start."""
        return self._seconds() - self._started

    @property
    def speed(self) -> float:
        """How many times as fast the demo's clock has been so far."""
        return (self.clock.now() - self._opened) / _SECOND / self.here if self.here > 0 else 0.0
