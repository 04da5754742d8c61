"""False positives: how many established accounts a rung may newly touch.

Rungs are brought in on traffic of which most is honest. The budget bounds what a bad rule can do before anybody looks: once it
is spent, established accounts that would newly come onto the rung go one lower. Strangers and new accounts do not count, else
whoever can make accounts could spend it for all others; of a cluster one account counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrail_mw.algorithms.window import calendar
from guardrail_mw.friction.memory import whole

if TYPE_CHECKING:
    from guardrail_mw.friction.step import Person, Step

__all__ = ["ESTABLISHED", "Spent", "Take", "established", "established_at", "take"]

ESTABLISHED: Final = 30 * 86_400_000_000
"""µs since its first proved request after which an account is established."""


class Take(NamedTuple):
    """What to ask of the store's `Tally`."""

    budget: str
    """Of a rung in one calendar period: a new period is a new budget."""
    member: str
    """The cluster's home, or the account's."""
    most: int
    until: int
    """The store's µs at which the period ends."""


def established(fields: Mapping[str, str], now: int) -> bool:
    """Whether an account has been known for 30 days."""
    return now >= established_at(fields)


def established_at(fields: Mapping[str, str]) -> float:
    """The µs at which an account has been known for 30 days; never, for one of which it is not known since when."""
    since = whole(fields.get("since"))
    return since + ESTABLISHED if since > 0 else inf


def take(person: Person, step: Step) -> Take | None:
    """What an entry costs; None where it costs nothing: no entry, no budget, or nobody established."""
    rung = step.rung
    if not step.entered or rung is None or rung.budget is None or not person.candidate:
        return None
    if not established(person.fields, person.now):
        return None
    start, end = calendar(person.now, rung.budget.calendar)
    member = person.fields.get("cluster") or person.candidate
    return Take(f"{rung.name}.{start // 1_000_000}", member, int(rung.budget.amount), end)


class Spent:
    """Budgets that this process knows to be spent, so that it need not ask again before the period ends.

    Whoever was in one of them already and comes again meets the lower rung too, until then.
    """

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until: dict[str, int] = {}

    def note(self, asked: Take, now: int) -> bool:
        """The store had no room. True the first time in a period: that is worth an alarm."""
        self._until = {budget: until for budget, until in self._until.items() if now < until}
        first = asked.budget not in self._until
        self._until[asked.budget] = asked.until
        return first

    def holds(self, asked: Take) -> bool:
        """Whether the budget is known to be spent."""
        return asked.budget in self._until
