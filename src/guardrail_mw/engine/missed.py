"""Attempts that were refused without asking the store: they are counted there with the next charge of who made them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrail_mw.stores.base import Bill, Count, Entry, Step

if TYPE_CHECKING:
    from guardrail_mw.values import Observer

__all__ = ["MOST", "Missed"]

MOST: Final = 10_000
"""Counters of somebody's that may be owed something at once; what is beyond is lost, and counted as lost."""

_Owed = dict[tuple[str, str], int]
"""By home and field."""


class Missed:
    """What counts of attempts and of refusals are owed, in one process.

    Args:
        observer: hears `engine.attempts_lost`.
    """

    __slots__ = ("_observer", "_owed")

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._owed: _Owed = {}

    def __len__(self) -> int:
        """Counters that are owed something."""
        return len(self._owed)

    def note(self, bill: Bill) -> None:
        """A bill was refused, and nobody told the store."""
        for entry in bill.entries:
            for step in entry.steps:
                if type(step) is Count and step.what != "admitted":
                    self._owe(entry.home, step.field, step.cost)

    def take(self, bill: Bill) -> tuple[Bill, _Owed]:
        """The bill with what its counters are owed, and what that was. Until it is put back nobody else carries it."""
        taken: _Owed = {}
        entries = tuple([self._carrying(entry, taken) for entry in bill.entries])
        return (bill._replace(entries=entries, notes=None), taken) if taken else (bill, taken)

    def put_back(self, taken: _Owed) -> None:
        """The store did not take the bill."""
        for (home, field), owed in taken.items():
            self._owe(home, field, owed)

    def refused(self, bill: Bill, taken: _Owed) -> None:
        """The store refused the bill, which was `bill` before: its own refusal is owed to counters that were lent out."""
        for entry in bill.entries:
            for step in entry.steps:
                if type(step) is Count and step.what == "denied" and (entry.home, step.field) in taken:
                    self._owe(entry.home, step.field, step.cost)

    def _owe(self, home: str, field: str, cost: int) -> None:
        key = (home, field)
        if key not in self._owed and len(self._owed) >= MOST:
            self._observer.count("engine.attempts_lost", cost)
            return
        self._owed[key] = self._owed.get(key, 0) + cost

    def _carrying(self, entry: Entry, taken: _Owed) -> Entry:
        steps: list[Step] = []
        changed = False
        for step in entry.steps:
            owed = self._owed.pop((entry.home, step.field), 0) if type(step) is Count and step.what != "admitted" else 0
            if owed and type(step) is Count:
                taken[entry.home, step.field] = owed
                changed = True
                # What counts refusals alone would not count them with a bill that is admitted: this once it counts attempts.
                steps.append(step._replace(what="attempts", cost=owed + (step.cost if step.what == "attempts" else 0)))
            else:
                steps.append(step)
        return Entry(entry.home, tuple(steps), entry.parent) if changed else entry
