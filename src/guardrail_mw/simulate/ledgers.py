"""What is noted of a run while it goes on, in bounded memory: some 60 bytes an account, and what was not simply served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from guardrail_mw.simulate.caller import CODES
from guardrail_mw.simulate.words import Exceptions
from guardrail_mw.simulate.world.arrays import DAY, HOUR, Column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from guardrail_mw.simulate.caller import Seen
    from guardrail_mw.simulate.world.batch import Batch

__all__ = ["SERVED", "Campaigns", "Found", "Ordinary", "running"]

SERVED: Final = 2
"""Codes up to this one are answers with content."""
_SUSPECT: Final = 2
_TRIMMED: Final = CODES.index("trimmed")


class Found(NamedTuple):
    """A cluster, as a rebuild left it."""

    id: str
    verdict: int
    """Index into `caller.VERDICTS`."""
    rows: NDArray[np.int64]
    """Its members."""
    suspected: NDArray[np.bool_] = np.zeros(0, np.bool_)
    """By which of `judges.JUDGES`; empty while there is too little history for any."""


class Ordinary:
    """Ordinary people's requests, of a run or of its twin."""

    def __init__(self, start: int, days: int, cohort: NDArray[Any], cohorts: int) -> None:
        self._start = start
        self._cohort = cohort
        self.number = np.zeros(len(cohort), np.int32)
        """Requests of each account so far."""
        self.active = np.zeros((days, len(cohort)), np.bool_)
        """Whether an account called on a day."""
        self.requests = np.zeros((days, cohorts), np.int64)
        """By day and cohort."""
        self.codes = np.zeros(len(CODES), np.int64)
        self.mark = 0
        """Of who called when: the same in the run and in its twin, or they cannot be compared."""
        self._columns: tuple[Column[Any], ...] = (
            Column(np.int32), Column(np.int32), Column(np.int64), Column(np.uint8)
        )  # fmt: skip

    def calls(self, batch: Batch, seen: Seen) -> None:
        """A batch of the world's."""
        rows = np.flatnonzero(batch.operator < 0)
        if not len(rows):
            return
        account, at, code = batch.account[rows], batch.at[rows], seen.codes[rows]
        number = self.number[account] + running(account)
        np.add.at(self.number, account, 1)
        day = np.minimum((at - self._start) // DAY, len(self.active) - 1)
        self.active[day, account] = True
        np.add.at(self.requests, (day, self._cohort[account]), 1)
        self.codes += np.bincount(code, minlength=len(CODES))
        mixed = (at.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) ^ (account.astype(np.uint64) << np.uint64(17))
        self.mark = (self.mark + int(mixed.sum(dtype=np.uint64))) & 0xFFFF_FFFF_FFFF_FFFF
        odd = np.flatnonzero(code)
        columns: list[NDArray[Any]] = [account, number, at, code]
        for column, values in zip(self._columns, columns, strict=True):
            column.add(values[odd])

    def exceptions(self) -> Exceptions:
        """What was not simply served."""
        account, number, at, code = (column.all for column in self._columns)
        return Exceptions(account, number, at, code)


class Campaigns:
    """Operators' calls, and clusters."""

    def __init__(self, start: int, days: int, accounts: int, operators: int) -> None:
        self._start = start
        self.attempts = np.zeros(operators, np.int64)
        """Useful calls, refused ones too."""
        self.codes = np.zeros((operators, len(CODES)), np.int64)
        """All calls, by what became of them."""
        self.served = np.zeros((operators, 24 * days), np.int64)
        """Useful exchanges served, by the hour of the run."""
        self.tokens = np.zeros(operators, np.int64)
        """Of useful exchanges served."""
        self.owner = np.full(accounts, -1, np.int16)
        """The operator that has called through an account."""
        self.exchanges = np.zeros(accounts, np.int32)
        """Operators' calls through an account."""
        self.first = np.zeros(accounts, np.int64)
        """µs of an account's first call by an operator; 0 for none."""
        self.joined = np.zeros(accounts, np.int32)
        """Which of its calls (the first is 1) was the first that was decided as a cluster's member's."""
        self.budgets: dict[tuple[int, int], list[int]] = {}
        """By cluster and day: requests of suspect or confirmed members that were served whole, and trimmed."""
        self.free = np.zeros(operators, np.int64)
        """Calls that were answered while the account was in no suspect cluster, or its verdict waited for approval."""
        self.bound: dict[tuple[int, int, int], int] = {}
        """By operator, cluster and day: calls of suspect or confirmed members that were answered."""
        self.judged = np.zeros(accounts, np.int64)
        """µs since when an account has been in a suspect cluster without a break; 0 where it is in none."""
        self.ever = np.zeros(accounts, np.bool_)
        """Whether it ever was."""
        self.cluster = np.full(accounts, -1, np.int64)
        """Since the last rebuild: index into `last`."""
        self.last: Sequence[Found] = ()
        self.looks: list[tuple[int, int, int, int]] = []
        """Of each rebuild: µs, clusters that are watched or worse, suspect or worse, accounts in the latter."""

    def calls(self, batch: Batch, seen: Seen) -> None:
        """A batch of the world's."""
        self._budgets(batch, seen)
        rows = np.flatnonzero(batch.operator >= 0)
        if not len(rows):
            return
        operator, account, at = batch.operator[rows], batch.account[rows], batch.at[rows]
        code, useful = seen.codes[rows], batch.useful[rows]
        np.add.at(self.codes, (operator, code), 1)
        self.attempts += np.bincount(operator[useful], minlength=len(self.attempts))
        loose = (code <= SERVED) & (seen.verdict[rows] < _SUSPECT)
        self.free += np.bincount(operator[loose], minlength=len(self.free))
        good = useful & (code <= SERVED)
        hour = np.minimum((at[good] - self._start) // HOUR, self.served.shape[1] - 1)
        np.add.at(self.served, (operator[good], hour), 1)
        used = (batch.input[rows].astype(np.int64) + batch.output[rows])[good]
        np.add.at(self.tokens, operator[good], used)
        number = self.exchanges[account] + running(account) + 1
        np.add.at(self.exchanges, account, 1)
        self.owner[account] = operator
        new = np.flatnonzero(number == 1)
        self.first[account[new]] = at[new]
        inside = np.flatnonzero((seen.cluster[rows] >= 0) & (self.joined[account] == 0))[::-1]
        self.joined[account[inside]] = number[inside]  # in reverse, so that the first one stays

    def _budgets(self, batch: Batch, seen: Seen) -> None:
        rows = np.flatnonzero((seen.verdict >= _SUSPECT) & (seen.codes <= SERVED))
        if not len(rows):
            return
        days = (batch.at[rows] - self._start) // DAY
        columns = (seen.cluster[rows], days, seen.codes[rows], batch.operator[rows])
        for cluster, day, code, operator in zip(*(each.tolist() for each in columns), strict=True):
            self.budgets.setdefault((cluster, day), [0, 0])[code == _TRIMMED] += 1
            if operator >= 0:
                self.bound[operator, cluster, day] = self.bound.get((operator, cluster, day), 0) + 1

    def rebuilt(self, at: int, clusters: Sequence[Found]) -> None:
        """Clusters were worked out anew."""
        self.last = clusters
        self.cluster[:] = -1
        bad = np.zeros(len(self.judged), np.bool_)
        for index, each in enumerate(clusters):
            self.cluster[each.rows] = index
            if each.verdict >= _SUSPECT:
                bad[each.rows] = True
        self.judged = np.where(bad, np.where(self.judged > 0, self.judged, at), 0)
        self.ever |= bad
        worse = sum(each.verdict >= _SUSPECT for each in clusters)
        self.looks.append((at, sum(each.verdict >= 1 for each in clusters), worse, int(bad.sum())))


def running(values: NDArray[Any]) -> NDArray[np.int64]:
    """How often each value stood before, in its order."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    begins = np.concatenate(([True], ordered[1:] != ordered[:-1])) if len(values) else np.zeros(0, bool)
    place = np.arange(len(values))
    first = place[begins][np.cumsum(begins) - 1]
    found = np.empty(len(values), np.int64)
    found[order] = place - first
    return found
