"""Plots show the figures that they are given."""

from __future__ import annotations

import re

import pytest

from guardrail_mw.cli.replay.plots import Bars, Series, columns, pairs
from guardrail_mw.pages import axis_end


def test_a_step_is_as_high_as_its_figure() -> None:
    """Between y = 192 (nothing) and 12 (400, where the axis ends): 100 is at 147, 400 at 12. Two parts are 328 wide each."""
    drawn = columns("Some <title>", "What it shows.", [Series("then", "then", [100, 400])], ("left", "right"))
    [points] = re.findall(r'points="([^"]*)"', drawn)
    assert points == "56.0,147.0 384.0,147.0 384.0,12.0 712.0,12.0"
    assert 'aria-label="Some &lt;title&gt;. What it shows."' in drawn
    assert re.findall(r'text-anchor="end">([^<]*)<', drawn) == ["0", "100", "200", "300", "400", "right"]


def test_bars_are_as_long_as_their_figures() -> None:
    """458 is all that there is room for, and 8000 is where the axis ends."""
    series = [Series("then", "then", ()), Series("now", "now", ())]
    drawn = pairs("Touched", "", series, [Bars("a", (8000, 2000)), Bars("b" * 40, (0, 4000))])
    assert re.findall(r'width="([\d.]+)"', drawn) == ["458.0", "114.5", "0.0", "229.0"]
    assert f">{'b' * 25}…<" in drawn


@pytest.mark.parametrize(
    ("most", "ends"), [(0, 4), (3, 4), (5, 8), (9, 12), (20, 20), (21, 40), (81, 120), (100, 120), (399, 400), (1785, 2000)]
)
def test_an_axis_ends_at_a_round_figure(most: float, ends: float) -> None:
    assert axis_end(most) == ends
