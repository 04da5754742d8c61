"""When to stop asking a scorer that keeps being slow, and when to try it again. Time is an argument, in monotonic µs.

Unlike the store's breaker it has no background: a real request is the probe, one in half a minute, because what it risks is
one slow answer and not its own admission.
"""

from __future__ import annotations

from typing import Final

__all__ = ["OFF", "RUN", "SPREAD", "Fuse"]

RUN: Final = 5
"""Slow answers in a row that blow it, if they lie `SPREAD` apart."""
SPREAD: Final = 250_000
"""µs from the first of the run to the last: one pause makes all that wait at that moment slow."""
OFF: Final = 30_000_000
"""µs that a scorer is left alone, then asked once."""


class Fuse:
    """Blows after five slow answers in a row over 250 ms; after 30 s one request asks again, and its answer decides."""

    __slots__ = ("_run_from", "burns", "until")

    def __init__(self) -> None:
        self.until = 0
        """Monotonic µs until when nobody asks; 0 while it is whole."""
        self.burns = 0
        """Slow answers since the last quick one."""
        self._run_from = 0

    def probe(self, now: int) -> bool:
        """Of a blown one: whether this request is the one that asks. Who is told True asks; the next may 30 s later."""
        if now < self.until:
            return False
        self.until = now + OFF
        return True

    def quick(self) -> None:
        """It answered in time. Needs no clock: it is on every request's way."""
        self.burns = 0
        self.until = 0

    def slow(self, now: int) -> bool:
        """It did not. True when it is left alone from now on."""
        if self.burns == 0:
            self._run_from = now
        self.burns += 1
        if not self.until and (self.burns < RUN or now - self._run_from < SPREAD):
            return False
        self.until = now + OFF
        return True
