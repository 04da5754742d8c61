"""Where time comes from. Everything else takes it as an argument."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """Two readings, both in whole microseconds."""

    def now(self) -> int:
        """Wall-clock time: µs since 1970-01-01T00:00:00Z. May jump; stores guard against that."""
        ...

    def monotonic(self) -> int:
        """µs from an arbitrary start; never goes back. For deadlines and caches inside the process."""
        ...


class SystemClock:
    """The machine's clocks."""

    __slots__ = ()

    def now(self) -> int:
        """Wall-clock µs since the epoch."""
        return time.time_ns() // 1000

    def monotonic(self) -> int:
        """Monotonic µs."""
        return time.monotonic_ns() // 1000
