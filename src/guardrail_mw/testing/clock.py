"""A clock that stands still until it is told to move."""

from __future__ import annotations

__all__ = ["FakeClock"]


class FakeClock:
    """Drives the memory store, and through the scripts' `now` argument the real Lua, exactly and at once.

    Args:
        start: wall-clock µs since the epoch; 2026-01-01T00:00:00Z unless given.
    """

    def __init__(self, start: int = 1_767_225_600_000_000) -> None:
        self._wall = start
        self._monotonic = 0

    def now(self) -> int:
        """Wall-clock µs since the epoch."""
        return self._wall

    def monotonic(self) -> int:
        """µs since this clock was made, jumps of the wall clock left out."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks. Whole µs: 0.000001 is the least."""
        passed = round(seconds * 1_000_000)
        if passed < 0:
            raise ValueError(f"time cannot pass backwards: advance({seconds}); to set the wall clock back, use jump()")
        self._wall += passed
        self._monotonic += passed

    async def sleep(self, seconds: float) -> None:
        """As `asyncio.sleep`, and over at once: that time has passed. What a guarded app lets wait waits here."""
        self.advance(seconds)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an operator or NTP would."""
        self._wall += round(seconds * 1_000_000)
