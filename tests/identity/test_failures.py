"""Budgets for what fails."""

from __future__ import annotations

import pytest

from guardrail_mw.identity import failures
from guardrail_mw.identity.failures import Failures
from guardrail_mw.testing.clock import FakeClock


def test_so_many_at_once_and_one_back_each_share_of_a_minute() -> None:
    clock = FakeClock()
    budget = Failures(clock, 30)
    for _ in range(30):
        assert not budget.spent("n", "p")
        budget.add("n", "p")
    assert budget.spent("n", "p")
    assert not budget.spent("other", "p")
    clock.advance(1.999999)
    assert budget.spent("n", "p")
    clock.advance(0.000001)
    assert not budget.spent("n", "p")
    budget.add("n", "p")
    assert budget.spent("n", "p")


def test_networks_of_one_parent_cannot_add_theirs_up() -> None:
    budget = Failures(FakeClock(), 30)
    for number in range(300):
        assert not budget.spent(f"n{number}", "p")
        budget.add(f"n{number}", "p")
    assert budget.spent("fresh", "p")
    assert not budget.spent("fresh", "q")


def test_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "MOST", 10)
    budget = Failures(FakeClock(), 1)
    for number in range(50):
        budget.add(f"n{number}", f"n{number}")
    assert len(budget._owed) == 10
    assert budget.spent("n49", "n49")


@pytest.mark.parametrize("parent", ["p", "n"])
def test_what_is_given_back_may_fail_again(parent: str) -> None:
    budget = Failures(FakeClock(), 30)
    budget.give_back("n", parent)  # forgotten meanwhile
    for _ in range(1_000):
        budget.add("n", parent)
        budget.give_back("n", parent)
    for _ in range(30):
        assert not budget.spent("n", parent)
        budget.add("n", parent)
    assert budget.spent("n", parent)
