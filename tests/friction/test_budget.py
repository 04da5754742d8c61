"""The budget of false positives: who counts, in which period, and what is done when it is spent."""

from __future__ import annotations

import pytest

from guardrail_mw.friction.budget import Spent, Take, established, take
from guardrail_mw.stores.base import Change

from .kit import DELAY, NOW, TRIM, ladder, person

DAY = 86_400_000_000
OLD = {"since": str(NOW - 30 * DAY)}
MIDNIGHT = 1_767_225_600  # 2026-01-01T00:00:00Z, a Thursday; NOW is that moment
STEPS = ladder(DELAY, {**TRIM, "false_positives": "3/week"}, false_positives="20/day")


@pytest.mark.parametrize(
    ("since", "known"), [(NOW - 30 * DAY, True), (NOW - 30 * DAY + 1, False), (NOW, False), (0, False), ("x", False)]
)
def test_thirty_days_make_an_account_established(since: object, known: bool) -> None:
    assert established({"since": str(since)}, NOW) is known


def test_of_whom_nothing_is_known_is_not() -> None:
    assert not established({}, NOW)


def test_an_entry_of_an_established_account_is_taken_from_the_rung_s_budget_of_that_day() -> None:
    who = person(fields=OLD, now=NOW + 5)
    asked = take(who, STEPS.step(who, 40, 1))
    assert asked == Take(f"delay.{MIDNIGHT}", "a:one", 20, NOW + DAY)


def test_a_rung_s_own_budget_stands_above_the_section_s() -> None:
    who = person(fields=OLD, now=NOW + 5)
    monday = MIDNIGHT - 3 * 86_400
    assert take(who, STEPS.step(who, 60, 1)) == Take(f"trim.{monday}", "a:one", 3, NOW + 4 * DAY)


def test_of_a_cluster_one_account_counts() -> None:
    who = person(fields={**OLD, "cluster": "c:gang"})
    asked = take(who, STEPS.step(who, 40, 1))
    assert asked is not None
    assert asked.member == "c:gang"


def test_who_does_not_count() -> None:
    new = person(fields={"since": str(NOW - DAY)})
    nobody = person("n:net", OLD, anonymous=True)
    there = person(fields={**OLD, "rung": f"delay {NOW}"})
    calm = person(fields=OLD)
    for who, risk in ((new, 40), (nobody, 40), (there, 40), (calm, 1)):
        assert take(who, STEPS.step(who, risk, 1)) is None
    boundless = ladder(DELAY)
    assert take(calm, boundless.step(calm, 40, 1)) is None


def test_an_operator_s_word_is_not_counted() -> None:
    who = person(fields={**OLD, "override": "trim 0"})
    assert take(who, STEPS.step(who, 1, 1)) is None


def test_a_spent_budget_is_asked_once_and_alarms_once_until_its_period_ends() -> None:
    spent = Spent()
    day, week = Take("delay.1", "a:one", 20, 100), Take("trim.1", "a:one", 3, 700)
    assert not spent.holds(day)
    assert (spent.note(day, 50), spent.note(day, 60), spent.note(week, 60)) == (True, False, True)
    assert spent.holds(day._replace(member="a:two"))
    assert spent.note(Take("delay.2", "a:one", 20, 200), 100)
    assert (spent.holds(day), spent.holds(week)) == (False, True)


def test_the_whole_way_of_somebody_for_whom_there_is_no_room() -> None:
    who = person(fields={**OLD, "rung": f"delay {NOW - 1}"})
    step = STEPS.step(who, 60, 1)
    assert take(who, step) is not None
    lower = STEPS.lower(who, step)
    assert lower.rung is not None
    assert (lower.rung.name, lower.entered, take(who, lower)) == ("delay", False, None)
    assert [change.field for change in lower.changes] == ["heat"]
    assert Change("set", "rung", f"trim {NOW}") in step.changes
