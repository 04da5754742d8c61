"""Approximate counts, against sets."""

from __future__ import annotations

import random
from itertools import pairwise
from math import exp

import pytest

from guardrail_mw.algorithms import sketch
from guardrail_mw.algorithms.sketch import Sketch


def digest(number: int) -> str:
    return f"{number:016x}"


def seen(sketched: Sketch, numbers: range, pane: int = 1) -> int:
    count = 0
    for number in numbers:
        count = sketched.see(pane, digest(number))
    return count


def test_a_few_are_exact() -> None:
    sketched = Sketch()
    assert sketched.count() == 0
    assert [sketched.see(1, digest(number // 2)) for number in range(128)] == [number // 2 + 1 for number in range(128)]
    assert sketched.count() == 64


@pytest.mark.parametrize("start", [0, 10**6, 10**9, 2**63])
def test_many_are_within_five_per_cent(start: int) -> None:
    """1.6% is the standard error, at every size: where the first registers fill, and beyond."""
    sketched = Sketch()
    done = 0
    for size in (65, 100, 500, 1000, 4096, 8000, 10_000, 20_000, 40_000):
        count = seen(sketched, range(start + done, start + size))
        done = size
        assert count == pytest.approx(size, rel=0.05)
    assert seen(sketched, range(start, start + 40_000, 7)) == count, "what was seen before changes nothing"


def test_on_the_whole_it_is_not_biased() -> None:
    """Sixty-four sketches of 3000: their mean is within three standard errors, 1.625% / 8 each."""
    counts = [seen(Sketch(), range(number * 10**7, number * 10**7 + 3000)) for number in range(64)]
    assert sum(counts) / 64 == pytest.approx(3000, rel=3 * 0.01625 / 8)
    spread = (sum((count - 3000) ** 2 for count in counts) / 64) ** 0.5 / 3000
    assert 0.008 < spread < 0.025


def test_two_panes_count() -> None:
    sketched = Sketch()
    assert seen(sketched, range(1000), pane=5) == pytest.approx(1000, rel=0.05)
    assert seen(sketched, range(500, 2000), pane=6) == pytest.approx(2000, rel=0.05)
    sketched.advance(7)
    assert sketched.count() == pytest.approx(1500, rel=0.05)
    sketched.advance(8)
    assert sketched.count() == 0
    assert sketched.see(8, digest(1)) <= 1


def test_two_panes_of_a_few_are_exact() -> None:
    sketched = Sketch()
    assert seen(sketched, range(40), pane=5) == 40
    assert seen(sketched, range(30, 60), pane=6) == 60
    sketched.advance(7)
    assert sketched.count() == 30
    sketched.advance(9)
    assert sketched.count() == 0


def test_what_the_first_registers_hold_leaves_with_its_pane() -> None:
    """Half of what was kept itself was of the pane before."""
    sketched = Sketch()
    seen(sketched, range(40), pane=5)
    assert seen(sketched, range(40, 140), pane=6) == pytest.approx(140, rel=0.1)
    sketched.advance(7)
    assert sketched.count() == pytest.approx(100, rel=0.1)


def test_after_a_long_silence_it_begins_anew() -> None:
    sketched = Sketch()
    seen(sketched, range(1000), pane=5)
    assert sketched.see(50, digest(1)) == 1


def test_a_pane_that_went_back_is_the_newest() -> None:
    sketched = Sketch()
    sketched.see(6, digest(1))
    assert sketched.see(4, digest(2)) == 2
    sketched.advance(7)
    assert sketched.count() == 2


def test_ranks_are_zeros_at_the_end() -> None:
    """Half of all values have rank 1, a quarter 2, and so on; registers are used alike."""
    places = [sketch.place(digest(number)) for number in range(40_000)]
    for rank, share in ((1, 0.5), (2, 0.25), (3, 0.125)):
        assert sum(each[1] == rank for each in places) / 40_000 == pytest.approx(share, rel=0.05)
    assert min(each[0] for each in places) >= 0
    assert max(each[0] for each in places) == sketch.REGISTERS - 1


def test_the_estimate_at_its_ends() -> None:
    empty = [sketch.REGISTERS] + [0] * 53
    assert sketch.estimate(empty) == 0
    full = [0] * 53 + [sketch.REGISTERS]
    assert sketch.estimate(full) == sketch.MOST


def test_it_is_the_same_whatever_the_order() -> None:
    numbers = list(range(5000))
    counts = set()
    for seed in range(3):
        random.Random(seed).shuffle(numbers)
        sketched = Sketch()
        counts.add([sketched.see(1, digest(number)) for number in numbers][-1])
    assert len(counts) == 1


@pytest.mark.parametrize(
    ("state", "register", "rank"),
    [
        # SplitMix64 from seed 0 adds 9e3779b97f4a7c15 a step; its first outputs, as its authors' program prints them, are
        ("9e3779b97f4a7c15", 0xDAF, 3),  # e220a8397b1dcdaf: what is left ends in ...1dc, two zeros
        ("3c6ef372fe94f82a", 0x5F4, 2),  # 6e789e6aa1b965f4: ...b96, one zero
        ("daa66d2c7ddf743f", 0x54F, 3),  # 06c45d188009454f: ...094, two zeros
        ("0", 0, 53),  # mixes to 0: nothing but zeros, and the rank above all others
    ],
)
def test_values_are_mixed_by_the_finaliser_of_splitmix64(state: str, register: int, rank: int) -> None:
    assert sketch.place(state) == (register, rank)


@pytest.mark.parametrize("power", [8, 12, 16, 24, 40, 56, 60, 62, 63, 64, 65, 66])
def test_the_estimate_is_as_many_as_leave_such_ranks(power: int) -> None:
    """Of n values a register is left at rank k or below with probability exp(-n / 4096 / 2^k), and at 53 with certainty."""
    below = [exp(-(2.0**power) / sketch.REGISTERS / 2.0**rank) for rank in range(53)] + [1.0]
    places = [round(sketch.REGISTERS * share) for share in below]
    ranks = [places[0]] + [high - low for low, high in pairwise(places)]
    assert sum(ranks) == sketch.REGISTERS
    assert sketch.estimate(ranks) == pytest.approx(2.0**power, rel=0.005)


def test_registers_of_two_panes_ago_do_not_count() -> None:
    sketched = Sketch()
    seen(sketched, range(1000), pane=5)
    sketched.advance(7)
    assert sketched.count() == 0
