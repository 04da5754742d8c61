"""What each side has seen so far: counted from answers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail_mw.cli.demo.walk.calling import Answer, What
    from guardrail_mw.cli.demo.walk.scene import Side

__all__ = ["Tale"]

_MINUTE = 60_000_000


class Tale:
    """One side's figures.

    Args:
        name: whose.
        begin: µs of the demo's clock.
    """

    def __init__(self, name: Side, begin: int) -> None:
        self.name = name
        self._begin = begin
        self.accounts: set[int] = set()
        """Who have called."""
        self.asked = 0
        self.ended: Counter[What] = Counter()
        """How each call ended in the client's eyes."""
        self.met: Counter[What] = Counter()
        """All answers, those included that a client saw to by itself."""
        self.limits: Counter[str] = Counter()
        """Refusals by limit."""
        self.last_served: int | None = None
        """µs."""
        self.verdict = "-"
        self.minutes: Counter[int] = Counter()
        """Exchanges served, by the minute since the beginning."""
        self.by_verdict: Counter[str] = Counter()
        """Exchanges served, by the verdict that stood."""

    def note(self, at: int, account: int, answers: Sequence[Answer]) -> None:
        """A call was made."""
        self.accounts.add(account)
        self.asked += 1
        self.met.update(each.what for each in answers)
        last = answers[-1]
        self.ended[last.what] += 1
        if last.what == "limited":
            self.limits[last.by] += 1
        if last.what == "served":
            self.last_served = at
            self.minutes[(at - self._begin) // _MINUTE] += 1
            self.by_verdict[self.verdict] += 1

    @property
    def served(self) -> int:
        """Calls that were answered."""
        return self.ended["served"]

    @property
    def refused(self) -> int:
        """Calls that were not."""
        return self.asked - self.served
