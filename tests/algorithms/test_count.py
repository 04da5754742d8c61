"""Counts in a sliding window, against a list of everything that was ever counted."""

from __future__ import annotations

import random

import pytest

from guardrail_mw.algorithms import count


def test_twenty_panes_and_the_running_one_count() -> None:
    state = count.add(count.NEW, 100, 3)
    state = count.add(state, 100, 1)
    state = count.add(state, 101, 5)
    assert count.advance(state, 101)[1] == 9
    assert count.advance(state, 120)[1] == 9  # 100 is the twentieth before
    assert count.advance(state, 121)[1] == 5
    assert count.advance(state, 122)[1] == 0


def test_a_pane_that_went_back_counts_in_the_newest() -> None:
    state = count.add(count.add(count.NEW, 100, 3), 90, 4)
    assert state[:3] == (100, 7, 7)
    assert count.advance(state, 120)[1] == 7
    assert count.advance(state, 121)[1] == 0


def test_to_look_changes_nothing() -> None:
    state = count.add(count.NEW, 100, 3)
    assert count.advance(state, 100) is state
    assert count.advance(state, 99) is state


@pytest.mark.parametrize("seed", range(40))
def test_against_the_naive_count(seed: int) -> None:
    source = random.Random(seed)
    seen: list[tuple[int, int]] = []
    state, pane = count.NEW, 1000
    for _ in range(400):
        pane += source.choice([0, 0, 0, 1, 1, source.randrange(6), 20, 21, 22, 50] if source.random() < 0.3 else [0, 1])
        cost = source.choice([0, 1, 1, 1, 30])
        seen.append((pane, cost))
        state = count.add(state, pane, cost)
        assert state[1] == sum(cost for at, cost in seen if at >= pane - 20)
        assert state[2] == sum(cost for at, cost in seen if at == pane)


def test_a_new_pane_runs_from_nothing_however_much_there_is() -> None:
    state = count.add(count.add(count.NEW, 100, 1000), 101, 5)
    assert state[:3] == (101, 1005, 5)
