"""Distinct values, against a list of everything that was ever seen."""

from __future__ import annotations

import random

import pytest

from guardrail_mw.algorithms import distinct


class Naive:
    """Remembers when each value was last seen, for ever, and counts."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}

    def add(self, pane: int, value: str) -> tuple[int, bool]:
        """The count, at most 64, and whether there are more."""
        self.last[value] = pane
        count = sum(last >= pane - 60 for last in self.last.values())
        return min(count, 64), count > 64


def digest(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}"


def test_a_pane_is_a_sixtieth_of_the_window() -> None:
    assert distinct.pane_length(86_400_000_000) == 1_440_000_000
    assert distinct.pane_length(61) == 2


def test_a_value_counts_once_and_for_sixty_panes_after_its_own() -> None:
    seen: dict[str, int] = {}
    assert distinct.add(seen, -1, 100, "a") == (-1, 1, False)
    assert distinct.add(seen, -1, 101, "b") == (-1, 2, False)
    assert distinct.add(seen, -1, 110, "a") == (-1, 2, False)
    assert distinct.add(seen, -1, 161, "a") == (-1, 2, False)  # b's 101 is sixty panes back
    assert distinct.add(seen, -1, 162, "a") == (-1, 1, False)


def test_sixty_four_are_exact_and_the_sixty_fifth_makes_it_a_floor() -> None:
    seen: dict[str, int] = {}
    overflow = -1
    for number in range(64):
        overflow, count, floor = distinct.add(seen, overflow, 1000 + number // 32, digest(number))
        assert (count, floor) == (number + 1, False)
    overflow, count, floor = distinct.add(seen, overflow, 1010, digest(64))
    assert (overflow, count, floor) == (1000, 64, True)  # the oldest, of pane 1000, was pushed out
    # It is a floor until pane 1000 has left the window, at 1061. By then the other 31 of that pane are gone too.
    overflow, count, floor = distinct.add(seen, overflow, 1060, digest(64))
    assert (count, floor) == (64, True)
    overflow, count, floor = distinct.add(seen, overflow, 1061, digest(64))
    assert (count, floor) == (33, False)


def test_in_the_first_panes_of_time_a_few_are_exact() -> None:
    """A window so long, or a clock so young, that fewer than sixty panes have passed."""
    assert distinct.add({}, -1, 3, "a") == (-1, 1, False)


@pytest.mark.parametrize("seed", range(60))
def test_against_the_naive_count(seed: int) -> None:
    source = random.Random(seed)
    population = source.choice([10, 64, 65, 66, 70, 100, 400])
    pace = source.choice([0.02, 0.3, 1.0, 2.0])
    naive, overflow, pane = Naive(), -1, 10_000
    seen: dict[str, int] = {}
    for _ in range(1200):
        pane += source.choice([0, 0, int(source.expovariate(1) * pace), 61 if source.random() < 0.01 else 0])
        value = digest(source.randrange(population))
        overflow, count, floor = distinct.add(seen, overflow, pane, value)
        assert (count, floor) == naive.add(pane, value)
        assert len(seen) <= distinct.LIMIT


def test_a_pane_that_went_back_makes_nothing_older() -> None:
    seen: dict[str, int] = {}
    distinct.add(seen, -1, 100, "a")
    distinct.add(seen, -1, 99, "a")
    assert distinct.add(seen, -1, 160, "b") == (-1, 2, False)  # sixty panes after 100 it still counts
    assert distinct.add(seen, -1, 161, "b") == (-1, 1, False)


def test_what_the_very_first_pane_pushed_out_is_noted() -> None:
    seen: dict[str, int] = {}
    for number in range(64):
        assert distinct.add(seen, -1, 0, f"{number:02x}") == (-1, number + 1, False)
    assert distinct.add(seen, -1, 0, "ff") == (0, 64, True)
