"""When to stop asking a store, and when to begin again. A state machine: time is an argument, in monotonic µs.

Closed, it counts what real requests met. Open, no request asks; a probe does, at most ten times a second, and after a few
successes in a row the breaker closes. There is no half-open state: no request is ever the probe, and no crowd comes back to
a store that has answered once.
"""

from __future__ import annotations

from collections import deque

__all__ = ["PROBE_EVERY", "Breaker"]

RUN = 3
"""Failures in a row that open it, if they lie `SPREAD` apart."""
SPREAD = 50_000
"""µs from the first failure of the run to the last. One late reply fails a whole batch of requests at one moment."""
SECOND = 1_000_000
SHARE_OF = 20
"""Results that the last second must have for the failing share of them to mean anything."""
SHARE_OVER = 500_000
"""µs the failures of the last second must lie apart."""
KEPT = 1024
"""Failures remembered at most."""
PROBE_EVERY = 100_000
"""µs between probes."""
SUCCESSES = (3, 6, 8)
"""Probes in a row that must succeed: the first time, when it opens again within `CALM`, and from then on. 8 are still within
a second."""
CALM = 10_000_000
"""µs closed after which an opening is a first one."""


class Breaker:
    """Opens on three failures in a row over 50 ms, or when half of at least twenty results of the last second failed.

    The share looks back from the present failure to the oldest one of the last second, and needs half a second between the
    two: so neither one slow reply, nor one slow batch, nor a single pause of the server opens it.
    """

    __slots__ = ("_again", "_due", "_failures", "_good", "_level", "_run", "_run_from", "_successes", "open", "since")

    def __init__(self) -> None:
        self.open = False
        """Whether the store is to be left alone."""
        self.since = 0
        """When it opened or closed last."""
        self._run = 0
        self._run_from = 0
        self._successes = 0
        self._failures: deque[tuple[int, int]] = deque(maxlen=KEPT)
        self._level = 0
        self._again = 0
        self._good = 0
        self._due = 0

    def succeeded(self) -> None:
        """A request was answered. Needs no time: it is on every request's way."""
        self._successes += 1
        self._run = 0

    def failed(self, now: int) -> bool:
        """A request failed. True when that opened the breaker; what fails while it is open is old news."""
        if self.open:
            return False
        if self._run == 0:
            self._run_from = now
        self._run += 1
        self._failures.append((now, self._successes))
        while self._failures[0][0] <= now - SECOND:
            self._failures.popleft()
        if not (self._in_a_row(now) or self._too_many(now)):
            return False
        self.open = True
        self._level = min(self._level + 1, len(SUCCESSES) - 1) if now < self._again else 0
        self._good = 0
        self._due = self.since = now
        return True

    def _in_a_row(self, now: int) -> bool:
        return self._run >= RUN and now - self._run_from >= SPREAD

    def _too_many(self, now: int) -> bool:
        first, successes = self._failures[0]
        failures = len(self._failures)
        total = failures + self._successes - successes
        return total >= SHARE_OF and failures * 2 >= total and now - first >= SHARE_OVER

    def due(self, now: int) -> bool:
        """Whether it is time for a probe. Who is told True makes it: the next is due `PROBE_EVERY` later."""
        if not self.open or now < self._due:
            return False
        self._due = now + PROBE_EVERY
        return True

    def probed(self, now: int, *, ok: bool) -> bool:
        """A probe ended. True when that closed the breaker."""
        if not self.open:
            return False
        self._good = self._good + 1 if ok else 0
        if self._good < SUCCESSES[self._level]:
            return False
        self.open = False
        self.since = now
        self._again = now + CALM
        self._run = 0
        self._failures.clear()
        return True
