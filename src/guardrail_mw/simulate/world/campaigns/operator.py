"""One operator at work: a goal, accounts, and what it does when it is refused."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from guardrail_mw.simulate.world import volumes
from guardrail_mw.simulate.world.arrays import DAY, HOUR, MINUTE, SECOND, Bools, Ints, Rng, Wides
from guardrail_mw.simulate.world.figures import draw
from guardrail_mw.simulate.world.people import FOREVER, People
from guardrail_mw.simulate.world.ranges import Conduct

__all__ = ["SERVED", "Force", "Operator"]

SERVED: Final = 2
"""Codes up to this one are calls that were answered: served, trimmed, delayed."""
_ASKED: Final = 5
"""The code of a call that was refused until its account is verified."""
_ATTEMPTS: Final = 200_000
"""Calls that an operator makes in a step at most, however many it still owes."""


class Force(NamedTuple):
    """An operator's personas."""

    rows: Ints
    """In the order in which they are taken into use."""
    first: int
    """How many it begins with."""
    aged: int
    """How many of those in reserve were made before."""


class Operator:
    """Its state between steps. What it plans is exact: without refusals its useful calls come to its goal."""

    def __init__(self, number: int, conduct: Conduct, goal: int, force: Force, span: tuple[int, int], rng: Rng) -> None:
        self.number, self.conduct = number, conduct
        self.goal = 0 if conduct.drawn else goal
        """Its plan: useful exchanges. Of a control that lives as a cohort does, what it has called so far."""
        self.begin, self.end = span
        rows = self.rows = force.rows
        """Personas, those in reserve included."""
        self.active = np.arange(force.first)
        """Those in use: places in `rows`."""
        self._next = force.first
        self.served = 0
        """Useful exchanges that were answered, or not yet told of."""
        self.attempts = 0
        self.moves = False
        """Whether its work goes to those of its accounts that are not held up."""
        self._stuck = np.zeros(len(rows), bool)
        """Those that were asked to prove who they are."""
        self._passed = np.zeros(len(rows), bool)
        """Those that have."""
        self._refusals = np.zeros(len(rows), np.int32)
        self._today = np.zeros(len(rows), np.int32)
        self._day = -1
        self._due = np.zeros(0, np.int64)
        """When accounts are to be replaced."""
        sigma = draw(conduct.evenness, rng, 1)[0]
        self._weight = np.exp(sigma * rng.standard_normal(len(rows)))
        self._cover = float(draw(conduct.cover, rng, 1)[0])
        self._beat = None if conduct.beat is None else float(draw(conduct.beat, rng, 1)[0])
        self._jitter = float(draw(conduct.jitter, rng, 1)[0])
        hours = round(float(draw(conduct.hours, rng, 1)[0]))
        self._hours = volumes.RHYTHMS[conduct.rhythm][0].copy()
        self._hours[(np.arange(24) - int(rng.integers(24))) % 24 >= hours] = 0
        self._done = np.concatenate(([0.0], np.cumsum(self._hours / self._hours.sum())))
        self._order = np.argsort(rows)

    @property
    def reacts(self) -> bool:
        """Whether refusals change what it does."""
        return self.conduct.burnt is not None or self.conduct.again > 1 or self.moves

    def bought(self, people: People) -> dict[str, int]:
        """What it has used so far: accounts, cards, devices, addresses."""
        used = self.rows[: self._next]
        devices = int(people.devices[used][people.device[used] >= 0].sum())
        cards = np.unique(people.card[used][people.account[used] == used])
        return {
            "accounts": len(used),
            "cards": int((cards >= 0).sum()),
            "devices": len(np.unique(people.device[used])) if devices <= len(used) else devices,
            "addresses": len(np.unique(people.address[used])),
        }

    def _owed(self, at: int) -> int:
        """Useful exchanges that are to be done by a moment."""
        if at >= self.end:
            return self.goal
        return int(self.goal * min(1.0, self._spent(at) / self._spent(self.end)))

    def _spent(self, at: int) -> float:
        """Days' worth of work from its beginning to a moment, by the hours in which it works."""

        def since(moment: int) -> float:
            days, rest = divmod(moment, DAY)
            return float(days) + float(np.interp(rest / HOUR, np.arange(25), self._done))

        return max(0.0, since(at) - since(self.begin))

    def step(self, people: People, start: int, stop: int, rng: Rng) -> tuple[Ints, Wides, Bools]:
        """Its calls in [start, stop): personas, times, and whether each is useful."""
        none = np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, bool)
        if self.conduct.drawn or stop <= self.begin or start >= self.end:
            return none
        start, stop = max(start, self.begin), min(stop, self.end)
        self._replace(people, stop)
        if start // DAY != self._day:
            self._day, self._today[:] = start // DAY, 0
        owed = self._owed(stop) - self.served
        if owed <= 0 or not len(self.active):
            return none
        backlog = max(0, self._owed(start) - self.served)
        useful = min(owed + backlog * (self.conduct.again - 1), _ATTEMPTS + self._owed(stop) - self._owed(start))
        cover = round(useful * self._cover / (1 - self._cover))
        places = self._allot(useful + cover, rng)
        kind = np.zeros(len(places), bool)
        kind[: max(0, len(places) - cover)] = True
        kind = rng.permutation(kind)
        self.served += int(kind.sum())
        self.attempts += int(kind.sum())
        rows, at = self.rows[places], self._times(len(places), start, stop, rng)
        # What was taken into use within the step calls from then on.
        early = np.flatnonzero(at < people.begin[rows])
        at[early] = people.begin[rows[early]] + (rng.random(len(early)) * (stop - people.begin[rows[early]])).astype(
            np.int64
        )
        return rows, at, kind

    def _allot(self, calls: int, rng: Rng) -> NDArray[Any]:
        """Accounts for so many calls, by weight; with a limit a day, those with the fewest calls today first."""
        held_up = self._stuck & ~self._passed
        limit, free = self.conduct.per_day, self.active[~held_up[self.active]]
        active = free if self.moves else self.active
        if not len(active):
            return active
        if limit is None:
            weight = self._weight[active]
            return rng.permutation(np.repeat(active, rng.multinomial(calls, weight / weight.sum())))
        left = limit - self._today[active]
        calls = min(calls, int(left.sum()))
        slots = np.repeat(active, left)
        # Each account's n-th call today comes after everybody's (n - 1)-th.
        turn = np.arange(len(slots)) - np.repeat(np.cumsum(left) - left, left) + self._today[slots]
        chosen = slots[np.lexsort((rng.random(len(slots)), turn))[:calls]]
        np.add.at(self._today, chosen, 1)
        return rng.permutation(chosen)

    def _times(self, calls: int, start: int, stop: int, rng: Rng) -> Wides:
        u = rng.random(calls) * (stop - start)
        if self._beat is not None:
            beat = self._beat * SECOND
            u = np.floor(u / beat) * beat + rng.random(calls) * self._jitter * SECOND
        return start + np.minimum(u.astype(np.int64), stop - start - 1)

    def _replace(self, people: People, stop: int) -> None:
        """Take accounts into use whose time comes before a step's end: aged ones first, then fresh ones."""
        due = np.sort(self._due[self._due < stop])[: len(self.rows) - self._next]
        self._due = self._due[self._due >= stop]
        fresh = np.arange(self._next, self._next + len(due))
        self._next += len(fresh)
        rows = self.rows[fresh]
        people.begin[rows] = due
        new = people.created[rows] == FOREVER
        people.created[rows[new]] = due[new] // SECOND * SECOND
        self.active = np.concatenate((self.active, fresh))

    def told(self, rows: Ints, codes: NDArray[Any], useful: Bools, now: int, rng: Rng) -> None:
        """What became of its calls, before the moment `now`."""
        refused = codes > SERVED
        if not self.reacts:
            return
        self.served -= int((refused & useful).sum())
        if self.moves:
            self._stuck[self._places(rows[codes == _ASKED])] = True
        if self.conduct.burnt is None or not refused.any():
            return
        np.add.at(self._refusals, self._places(rows[refused]), 1)
        burnt = self._refusals[self.active] >= self.conduct.burnt
        gone = int(burnt.sum())
        self.active = self.active[~burnt]
        if gone and self.conduct.replace is not None:
            later = (draw(self.conduct.replace, rng, gone) * MINUTE).astype(np.int64)
            self._due = np.concatenate((self._due, now + later))

    def passed(self, row: int) -> None:
        """One of its personas was verified."""
        self._passed[self._places(np.array([row]))] = True

    def _places(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Where personas stand in `rows`."""
        places: NDArray[Any] = self._order[np.searchsorted(self.rows[self._order], rows)]
        return places
