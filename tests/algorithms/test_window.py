"""Counts over time against plain lists of what happened, and calendars against `datetime`."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from guardrail_mw.algorithms import window
from guardrail_mw.algorithms.window import NEW, Calendar

SECOND = 1_000_000
DAY = 86_400 * SECOND
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def test_panes_cover_the_window() -> None:
    assert window.pane_length(60 * SECOND) == 3 * SECOND
    assert window.pane_length(61) == 4  # 20 panes of 3 would leave one µs out
    for length in (1, 19, 20, 21, 999_999, 3_600 * SECOND + 1):
        assert length <= 20 * window.pane_length(length) < length + 20


def test_counts_leave_with_their_pane() -> None:
    # A minute in panes of 3 s: what came in pane 100 (300 to 303 s) counts until pane 121 begins, at 363 s.
    state, ok = window.take(NEW, 100, 4, 10)
    assert ok
    state, ok = window.take(state, 119, 6, 10)
    assert ok
    assert not window.take(state, 120, 1, 10)[1]
    assert window.until_free(window.advance(state, 120), 361 * SECOND, 1, 10, 3 * SECOND) == 2 * SECOND
    assert window.until_free(window.advance(state, 120), 361 * SECOND, 5, 10, 3 * SECOND) == (420 - 361) * SECOND
    state, ok = window.take(state, 121, 4, 10)
    assert ok
    assert state.total == 10


def test_a_refusal_counts_nothing() -> None:
    state = window.add(NEW, 7, 10)
    after, ok = window.take(state, 7, 1, 10)
    assert (ok, after.total) == (False, 10)


def test_what_fits_at_once_waits_for_nothing() -> None:
    assert window.until_free(NEW, 0, 10, 10, SECOND) == 0


def test_debts_count_in_the_running_pane() -> None:
    state = window.add(window.add(NEW, 50, 10), 60, 25)
    assert state.total == 35
    assert window.advance(state, 71).total == 25
    assert window.advance(state, 81).total == 0


@pytest.mark.parametrize(
    ("running", "back"),
    [(50, 7), (70, 7), (71, 0), (500, 0)],  # pane 50 counts until pane 71
)
def test_a_refund_goes_to_the_pane_that_was_charged_while_it_counts(running: int, back: int) -> None:
    state = window.add(window.add(NEW, 50, 10), min(running, 70), 3)
    before = window.advance(state, running).total
    assert window.refund(state, running, 50, 7).total == before - back


def test_a_refund_takes_from_no_other_pane() -> None:
    state = window.add(window.add(NEW, 50, 2), 51, 10)
    assert window.refund(state, 52, 50, 9).total == 10


def test_a_refund_of_a_pane_still_to_come_gives_nothing() -> None:
    state = window.add(NEW, 50, 2)
    assert window.refund(state, 50, 51, 1) == state


def test_a_pane_that_went_back_counts_in_the_newest() -> None:
    state = window.add(NEW, 50, 4)
    state, ok = window.take(state, 48, 3, 10)
    assert ok
    assert (state.head, state.total) == (50, 7)
    assert not window.take(state, 10, 4, 10)[1]


def most_in_a_window(seed: int) -> int:
    """How far a random history goes beyond the amount in its fullest window; checks that it refuses at most 5% early."""
    source = random.Random(seed)
    length = source.choice([20, 200, 997, 60 * SECOND])
    pane, amount = window.pane_length(length), source.choice([1, 5, 40])
    admitted: list[tuple[int, int]] = []
    state, now, excess = NEW, source.randrange(10**12), -amount
    for _ in range(600):
        now += source.choice([0, 1, source.randint(0, pane), source.randint(0, length // amount), source.randint(0, length)])
        cost = source.randint(1, amount)
        state, ok = window.take(state, now // pane, cost, amount)
        if ok:
            admitted.append((now, cost))
        else:
            early = sum(units for at, units in admitted if at > now - 21 * pane)
            assert early + cost > amount, "refused although nothing within 21 panes stood against it"
        excess = max(excess, sum(units for at, units in admitted if at >= now - length) - amount)
    return excess


@pytest.mark.parametrize("seed", range(40))
def test_never_over_in_any_window_and_at_most_a_twentieth_early(seed: int) -> None:
    assert most_in_a_window(seed) <= 0


def test_the_check_above_sees_a_window_that_is_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty panes in all, in place of twenty and the running one, let too much through."""
    monkeypatch.setattr(window, "RING", 20)
    assert max(most_in_a_window(seed) for seed in range(40)) > 0


@pytest.mark.parametrize("seed", range(20))
def test_a_wait_is_exact(seed: int) -> None:
    source = random.Random(seed)
    pane, amount, now, state = source.choice([1, 50, 3 * SECOND]), 20, 10**12, NEW
    for _ in range(300):
        now += source.randint(0, 4 * pane)
        cost = source.randint(1, amount)
        state, ok = window.take(state, now // pane, cost, amount)
        wait = window.until_free(state, now, cost, amount, pane)
        if not ok:
            assert window.take(state, (now + wait) // pane, cost, amount)[1]
            assert not window.take(state, (now + wait - 1) // pane, cost, amount)[1]


def begin(moment: datetime, unit: Calendar) -> datetime:
    """The start of the calendar period a moment lies in."""
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    match unit:
        case "minute":
            return moment.replace(second=0, microsecond=0)
        case "hour":
            return moment.replace(minute=0, second=0, microsecond=0)
        case "day":
            return midnight
        case "week":
            return midnight - timedelta(days=moment.weekday())
        case "month":
            return midnight.replace(day=1)
        case "year":
            return midnight.replace(month=1, day=1)


def after(start: datetime, unit: Calendar) -> datetime:
    """The start of the period that follows one."""
    steps = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
    if unit in steps:
        return start + steps[unit]
    return begin(start + timedelta(days=32 if unit == "month" else 366), unit)


def us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


UNITS: tuple[Calendar, ...] = ("minute", "hour", "day", "week", "month", "year")


@pytest.mark.parametrize("unit", UNITS)
def test_calendar_periods_are_those_of_datetime(unit: Calendar) -> None:
    source = random.Random(unit)
    latest = us(datetime(2400, 1, 1, tzinfo=UTC))
    moments = [source.randrange(latest) for _ in range(3000)]
    for year in (1970, 1999, 2000, 2023, 2024, 2100, 2399):
        for month, day in ((1, 1), (2, 28), (3, 1), (12, 31)):
            edge = us(datetime(year, month, day, tzinfo=UTC))
            moments += [edge, edge + 1, edge + DAY - 1, edge + DAY]
    for moment in moments:
        start = begin(EPOCH + timedelta(microseconds=moment), unit)
        assert window.calendar(moment, unit) == (us(start), us(after(start, unit)))


def test_the_budget_of_a_month_restarts_on_the_first() -> None:
    last = us(datetime(2028, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC))
    first = us(datetime(2028, 3, 1, tzinfo=UTC))
    assert window.calendar(last, "month") == (us(datetime(2028, 2, 1, tzinfo=UTC)), first)
    assert window.calendar(last + 1, "month") == (first, us(datetime(2028, 4, 1, tzinfo=UTC)))


def test_weeks_begin_on_monday() -> None:
    sunday = us(datetime(2026, 1, 4, 23, 0, tzinfo=UTC))
    assert window.calendar(sunday, "week")[1] == us(datetime(2026, 1, 5, tzinfo=UTC))


def test_waits_by_hand() -> None:
    # Panes of 3 µs; ten of ten in pane 100, which counts up to pane 120 and leaves at 121 x 3 = 363.
    state = window.add(window.NEW, 100, 10)
    assert window.until_free(state, 305, 1, 10, 3) == 58
    assert window.until_free(state, 305, 11, 10, 3) == 58, "what never fits waits until all is free"
    assert window.until_free(state, 362, 1, 10, 3) == 1
    assert window.until_free(state, 363, 1, 10, 3) == 0
    assert window.until_free(state, 400, 1, 10, 3) == 0
