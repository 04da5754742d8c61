"""When ordinary people call: days, sessions, lessons. It does not react to anything."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from guardrail_mw.simulate.world import volumes
from guardrail_mw.simulate.world.arrays import DAY, HOUR, MINUTE, SECOND, Rng, Wides
from guardrail_mw.simulate.world.people import People

__all__ = ["plan_day", "weekday"]

_SESSION_CALLS: Final = 6.0
"""Calls of a session at most, in the mean. LMSYS-Chat-1M and WildChat count 2.0 and 2.5 turns a conversation; people have
two or three at a sitting."""
_GAP: Final = 1.5
"""Minutes between the calls of a session: an assumption."""
_LONGEST: Final = 4 * HOUR
_LESSON: Final = 50 * MINUTE
_MONDAY: Final = 3
"""1970 began on a Thursday."""
_RHYTHMS: Final = list(volumes.RHYTHMS)
_HOURS, _WEEK = volumes.rhythm(_RHYTHMS)
_LESSONS: Final = _RHYTHMS.index("lesson")
_CRON: Final = _RHYTHMS.index("cron")


def weekday(at: int) -> int:
    """Of a moment in microseconds: 0 is Monday."""
    return (at // DAY + _MONDAY) % 7


def plan_day(people: People, rows: NDArray[Any], start: int, rng: Rng) -> tuple[NDArray[np.int32], Wides]:
    """Who calls when on a day.

    Args:
        people: personas.
        rows: those who may call.
        start: microseconds: midnight UTC.
        rng: where from.

    Returns:
        Rows of personas and the times of their calls, sorted by time.
    """
    rows = rows[(people.begin[rows] < start + DAY) & (people.until[rows] > start)]
    day, rhythm = weekday(start), people.rhythm[rows]
    slot = people.slot[rows]
    chance = np.where(slot >= 0, np.where(slot // 1440 == day, 0.85, 0.0), people.active[rows] * _WEEK[rhythm, day])
    rows = rows[rng.random(len(rows)) < chance]
    mean = people.rate[rows] * volumes.within(rng, len(rows), people.spread[rows])
    count = np.minimum(np.maximum(rng.poisson(np.minimum(mean, 1e6)), 1), people.most[rows])
    sessions = 1 + (rng.random(len(rows)) * count / _SESSION_CALLS).astype(np.int64)
    whose = np.repeat(np.arange(len(rows)), sessions)
    starts = _starts(people, rows[whose], start, rng)
    first = np.cumsum(sessions) - sessions
    caller = np.repeat(np.arange(len(rows)), count)
    session = first[caller] + (rng.random(len(caller)) * sessions[caller]).astype(np.int64)
    length = np.minimum(count / sessions * _GAP * MINUTE, _LONGEST)
    lesson = people.slot[rows] >= 0
    length[lesson] = _LESSON
    at = starts[session] + (rng.random(len(caller)) * length[caller]).astype(np.int64)
    cron = np.flatnonzero(people.rhythm[rows][caller] == _CRON)
    at[cron] = _on_the_hour(people, rows[caller[cron]], start, rng)
    at = start + (at - start) % DAY
    row = rows[caller].astype(np.int32)
    keep = (at >= people.begin[row]) & (at < people.until[row])
    row, at = row[keep], at[keep]
    order = np.argsort(at)
    return row[order], at[order]


def _starts(people: People, rows: NDArray[Any], start: int, rng: Rng) -> Wides:
    """When sessions begin: by the rhythm's local hours, or when the group meets."""
    hour, rhythm = np.empty(len(rows)), people.rhythm[rows]
    for code in np.unique(rhythm):
        mine = np.flatnonzero(rhythm == code)
        hour[mine] = np.interp(rng.random(len(mine)), np.concatenate(([0.0], _HOURS[code])), np.arange(25))
    utc = (hour - people.zone[rows]) % 24
    slot = people.slot[rows]
    utc = np.where(slot >= 0, slot % 1440 / 60, utc)
    return np.asarray(start + (utc * HOUR).astype(np.int64), np.int64)


def _on_the_hour(people: People, rows: NDArray[Any], start: int, rng: Rng) -> Wides:
    """Scheduled jobs: at the full hour, within a few seconds, at hours that are always the same for an account."""
    turn = rng.integers(0, 4, len(rows))
    hour = (rows * 7 + turn * 6 + people.zone[rows]) % 24
    late = (rng.exponential(2.0, len(rows)) * SECOND).astype(np.int64)
    return np.asarray(start + hour * HOUR + late, np.int64)
