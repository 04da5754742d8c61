"""A budget by network for what fails: a signature costs 30 to 100 µs to verify, a key a query; asking costs nothing."""

from __future__ import annotations

from collections import OrderedDict

from guardrail_mw.clock import Clock
from guardrail_mw.values import Subject

__all__ = ["Failures", "homes_of"]

PARENT_FACTOR = 10
"""How many times a network's budget its parent has: 65,536 networks of a /48 cannot add theirs up."""
MOST = 16_384
"""Networks remembered; of more, the one that failed longest ago is forgotten."""


def homes_of(subject: Subject) -> tuple[str, str]:
    """The network that a caller's failures are counted for, and that network's parent; itself where it has none."""
    return subject.network, subject.network_parent or subject.network


class Failures:
    """Counts failures by network and by parent; each is paid back by the minute.

    Args:
        clock: read monotonically.
        per_minute: failures that a network may have at once, and regains in a minute.
    """

    __slots__ = ("_clock", "_owed", "_per_minute")

    def __init__(self, clock: Clock, per_minute: int) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._owed: OrderedDict[str, int] = OrderedDict()
        """Home to the µs at which all of its budget is back."""

    def spent(self, network: str, parent: str) -> bool:
        """Whether this network, or all of its parent, has used up its budget."""
        if not self._owed:
            return False
        now = self._clock.monotonic()
        return self._is_spent(network, self._per_minute, now) or (
            parent != network and self._is_spent(parent, self._per_minute * PARENT_FACTOR, now)
        )

    def add(self, network: str, parent: str) -> None:
        """One more failed."""
        now = self._clock.monotonic()
        self._charge(network, self._per_minute, now)
        if parent != network:
            self._charge(parent, self._per_minute * PARENT_FACTOR, now)

    def give_back(self, network: str, parent: str) -> None:
        """One that was added has not failed: where many come at once, each is added before it is known how it ends."""
        for home, per_minute in {parent: self._per_minute * PARENT_FACTOR, network: self._per_minute}.items():
            if home in self._owed:
                self._owed[home] -= 60_000_000 // per_minute

    def _is_spent(self, home: str, per_minute: int, now: int) -> bool:
        """Less than the cost of one is left."""
        return self._owed.get(home, 0) - now > 60_000_000 - 60_000_000 // per_minute

    def _charge(self, home: str, per_minute: int, now: int) -> None:
        self._owed[home] = max(self._owed.get(home, 0), now) + 60_000_000 // per_minute
        self._owed.move_to_end(home)
        if len(self._owed) > MOST:
            self._owed.popitem(last=False)
