"""Counts over time: a sliding window of panes, and a calendar budget.

A sliding window is twenty panes and the running one, all counted whole: it looks back over at least the window and at most
5% more, so it never lets through too much in any window, and may refuse up to 5% early. A calendar budget is one pane that
ends where the calendar says, UTC.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["NEW", "PANES", "Calendar", "Panes", "add", "advance", "calendar", "pane_length", "refund", "take", "until_free"]

PANES = 20
RING = PANES + 1
Calendar = Literal["minute", "hour", "day", "week", "month", "year"]
_LENGTHS = {"minute": 60_000_000, "hour": 3_600_000_000, "day": 86_400_000_000}
_DAY = _LENGTHS["day"]
_FEBRUARY = 2


class Panes(NamedTuple):
    """The state of one window. Slot `pane % 21` of `counts` belongs to the newest pane of that residue, up to `head`."""

    head: int
    total: int
    counts: tuple[int, ...]


NEW = Panes(0, 0, (0,) * RING)


def pane_length(window: int) -> int:
    """µs of a pane of a `window` of µs, rounded up: twenty of them cover the window."""
    return -(-window // PANES)


def advance(state: Panes, pane: int) -> Panes:
    """Drop what has left the window when `pane` is the running one. A pane that went back changes nothing."""
    passed = pane - state.head
    if passed <= 0:
        return state
    if passed >= RING:
        return Panes(pane, 0, NEW.counts)
    counts = list(state.counts)
    total = state.total
    for step in range(1, passed + 1):
        slot = (state.head + step) % RING
        total -= counts[slot]
        counts[slot] = 0
    return Panes(pane, total, tuple(counts))


def take(state: Panes, pane: int, cost: int, amount: int) -> tuple[Panes, bool]:
    """Count `cost` in the running `pane` if the window's total stays at most `amount`."""
    state = advance(state, pane)
    if state.total + cost > amount:
        return state, False
    return add(state, pane, cost), True


def add(state: Panes, pane: int, cost: int) -> Panes:
    """Count `cost` whatever the total: what was underestimated is owed in full, in the running pane."""
    state = advance(state, pane)
    counts = list(state.counts)
    counts[state.head % RING] += cost
    return Panes(state.head, state.total + cost, tuple(counts))


def refund(state: Panes, pane: int, charged: int, cost: int) -> Panes:
    """Give `cost` back to the pane that was `charged` while it counts, else nowhere. `pane` is the running one."""
    state = advance(state, pane)
    if not state.head - RING < charged <= state.head:
        return state
    counts = list(state.counts)
    slot = charged % RING
    back = min(cost, counts[slot])
    counts[slot] -= back
    return Panes(state.head, state.total - back, tuple(counts))


def until_free(state: Panes, now: int, cost: int, amount: int, length: int) -> int:
    """µs until `cost` fits, when panes of `length` µs drop out one by one and nothing else is charged."""
    need = state.total + cost - amount
    if need <= 0:
        return 0
    for pane in range(state.head - PANES, state.head + 1):
        need -= state.counts[pane % RING]
        if need <= 0:
            return max(0, (pane + RING) * length - now)
    return max(0, (state.head + RING) * length - now)


def calendar(now: int, unit: Calendar) -> tuple[int, int]:
    """The running calendar period: its start and its end in µs since the epoch, UTC. Weeks begin on Monday."""
    if unit in _LENGTHS:
        length = _LENGTHS[unit]
        start = now - now % length
        return start, start + length
    days = now // _DAY
    if unit == "week":
        monday = days - (days + 3) % 7  # the epoch was a Thursday
        return monday * _DAY, (monday + 7) * _DAY
    year, month = _civil(days)
    if unit == "year":
        return _days(year, 1) * _DAY, _days(year + 1, 1) * _DAY
    following = (year + month // 12, month % 12 + 1)
    return _days(year, month) * _DAY, _days(*following) * _DAY


def _civil(days: int) -> tuple[int, int]:
    """Year and month of a day since the epoch. Source: Howard Hinnant, chrono-compatible low-level date algorithms."""
    shifted = days + 719_468
    era = shifted // 146_097
    day_of_era = shifted - era * 146_097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    month = (shifted_month + 2) % 12 + 1  # the shifted year begins in March
    return year_of_era + era * 400 + (month <= _FEBRUARY), month


def _days(year: int, month: int) -> int:
    """Days since the epoch of the first of a month; the inverse of `_civil`."""
    year -= month <= _FEBRUARY
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468
