"""How many answers to challenges may clear nothing, before less and less is done about them.

Behind one address of a carrier there are thousands of people. Somebody among them who sends nothing but wrong answers must cost
us little, and must not keep the others' right ones out. So what a network is denied first is what it can do without: another
challenge, and the reason. Right answers go on to clear. Only what takes work is bounded in all, and of that each case stands for
a few tries: whoever would use it up needs new cases all the time, each of them a request that limits have met.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrail_mw.engine.clearing import Cleared
from guardrail_mw.identity.failures import Failures
from guardrail_mw.recent import Recent

if TYPE_CHECKING:
    from guardrail_mw.clock import Clock
    from guardrail_mw.engine.clearing import Said

__all__ = ["FAILURES", "JUDGED", "TRIES", "Patience"]

FAILURES: Final = 60
"""Answers a minute, of a network, that clear nothing and are told why, with another challenge; the rest get a 429."""
JUDGED: Final = 600
"""Those a minute that took work and cleared nothing; from then on nothing of the network's is read. With altcha's usual cost they
take half a second of a core."""
TRIES: Final = 5
"""Wrong answers to what one decision asked, its renewals included; then that is over."""
CASES: Final = 4_096
"""Cases remembered in a generation."""


class Patience:
    """Counts, in this process, what clears nothing: by network, by its parent, by case.

    Args:
        clock: read monotonically.
    """

    __slots__ = ("_cases", "_judged", "_told")

    def __init__(self, clock: Clock) -> None:
        self._told = Failures(clock, FAILURES)
        self._judged = Failures(clock, JUDGED)
        self._cases: Recent[str, int] = Recent(CASES)

    def exhausted(self, network: str, parent: str) -> bool:
        """Whether nothing more of a network's is read."""
        return self._judged.spent(network, parent)

    def told(self, network: str, parent: str) -> bool:
        """Count an answer that may clear nothing; whether its sender would be told why. `settle` takes back what did clear."""
        if self._told.spent(network, parent):
            return False
        self._told.add(network, parent)
        return True

    def tries(self, network: str, parent: str, case: str) -> bool:
        """Count a try, if there is one left for the case: many that come at once have each been counted before one is judged."""
        tried = self._cases.get(case) or 0
        if tried >= TRIES:
            return False
        self._cases.put(case, tried + 1)
        self._judged.add(network, parent)
        return True

    def settle(self, network: str, parent: str, case: str, found: Cleared | Said, *, told: bool) -> None:
        """Take back what was counted for an answer and was not called for: it has cleared, took no work, or was not its fault."""
        cleared = not isinstance(found, str)
        if cleared and told:
            self._told.give_back(network, parent)
        if cleared or found in {"cookies", "expired"}:
            self._judged.give_back(network, parent)
        if cleared or found in {"cookies", "expired", "unavailable"}:
            self._cases.put(case, (self._cases.get(case) or 1) - 1)
