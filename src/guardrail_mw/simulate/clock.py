"""The time of a world: it stands where the traffic is."""

from __future__ import annotations

import asyncio
from typing import Final

from guardrail_mw.testing.clock import FakeClock

__all__ = ["WorldClock"]

_LONGEST_DELAY: Final = 60
"""Seconds. Whoever sleeps longer is background work, which a run calls by itself."""


class WorldClock(FakeClock):
    """Moved by the calls. A call that is delayed does not make all others late: it goes on at once, and is counted as delayed."""

    def move(self, at: int) -> None:
        """Let time pass until `at`, µs since the epoch; never backwards."""
        passed = at - self._wall
        if passed > 0:
            self._wall = at
            self._monotonic += passed

    async def sleep(self, seconds: float) -> None:
        """Over at once; for background work never."""
        if seconds > _LONGEST_DELAY:
            await asyncio.get_running_loop().create_future()
