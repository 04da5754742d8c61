"""What happens to some groups, beyond what their traits say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from guardrail_mw.simulate.world.arrays import DAY, HOUR, Ints, Rng
from guardrail_mw.simulate.world.people import FOREVER, People

__all__ = ["SPECIAL", "Span"]


@dataclass(frozen=True, slots=True)
class Span:
    """A world's time, in microseconds."""

    start: int
    end: int
    viral: tuple[int, int]
    """When the viral prompt is passed on."""


_Special: TypeAlias = Callable[[People, Ints, Rng, Span], tuple[People, Ints]]


def _lesson(people: People, group: Ints, rng: Rng, _span: Span) -> tuple[People, Ints]:
    """A class meets once a week, on a weekday between 8 and 17 local time; on other days nobody calls."""
    groups = int(group[-1]) + 1
    local = rng.integers(0, 5, groups) * 1440 + rng.integers(8 * 4, 17 * 4, groups) * 15
    first = np.searchsorted(group, np.arange(groups))
    slot = (local - people.zone[first] * 60) % (7 * 1440)
    # One that would pass midnight UTC begins an hour before it, so that a lesson is within a day of the world's.
    people.slot = (slot - np.maximum(0, slot % 1440 - 23 * 60)).astype(np.int16)[group]
    return people, group


def _startup(people: People, group: Ints, rng: Rng, _span: Span) -> tuple[People, Ints]:
    """The staff begins to work as it joins: nobody waits for days."""
    people.begin = people.created + (rng.random(len(people)) * 2 * HOUR).astype(np.int64)
    return people, group


def _hackathon(people: People, group: Ints, _rng: Rng, _span: Span) -> tuple[People, Ints]:
    """All end at the same moment, two days after the first came."""
    first = np.searchsorted(group, np.arange(int(group[-1]) + 1))
    opening = np.minimum.reduceat(people.created, first)
    people.until = np.minimum(people.until, (opening + 3 * DAY)[group])
    return people, group


def _viral(people: People, group: Ints, rng: Rng, span: Span) -> tuple[People, Ints]:
    """They call as others do; for a few days they call more often, with everybody's prompt. Half of them come for it.

    Three personas of each account: before, during and, for three of five, after.
    """
    first, last = span.viral
    new = rng.random(len(people)) < 0.5  # noqa: PLR2004
    moment = rng.integers(first, last, len(people))
    people.created = np.where(new, moment, people.created)
    people.begin = np.where(new, moment, people.begin)
    during = people.take(np.arange(len(people)))
    during.begin, during.until = np.maximum(people.begin, first), np.full(len(people), last)
    during.active = np.maximum(during.active, 0.7).astype(np.float32)
    people.until = np.full(len(people), first)
    for each in (people, after := people.take(np.flatnonzero(rng.random(len(people)) < 0.6))):  # noqa: PLR2004
        each.templated = np.zeros(len(each), np.float32)
    after.begin, after.until = np.full(len(after), last), np.full(len(after), FOREVER)
    return People.joined([people, during, after]), np.concatenate((group, group, group[after.account]))


def _migration(people: People, group: Ints, rng: Rng, span: Span) -> tuple[People, Ints]:
    """At a moment of each organisation's own its accounts end, and others of the same people begin within a day.

    The issuer's claim says when an account was made: for four organisations of five that is the new one's making.
    """
    groups = int(group[-1]) + 1
    moment = (span.start + rng.uniform(0.2, 0.9, groups) * (span.end - span.start)).astype(np.int64)[group]
    after = people.take(np.arange(len(people)))
    people.until = np.minimum(people.until, moment)
    after.begin = moment + (rng.exponential(3.0, len(after)) * HOUR).astype(np.int64)
    keeps = (rng.random(groups) < 0.2)[group]  # noqa: PLR2004
    after.created = np.where(keeps, people.created, moment)
    after.issuer = (people.issuer + 1) % 3
    after.account += len(people)
    return People.joined([people, after]), np.concatenate((group, group))


SPECIAL: Final[dict[str, _Special]] = {
    "lesson": _lesson,
    "startup": _startup,
    "hackathon": _hackathon,
    "viral": _viral,
    "migration": _migration,
}
"""By the name that `ranges.yaml` gives."""
