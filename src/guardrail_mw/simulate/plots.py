"""Plots as inline SVG, for one page: no script, no font, no colour but those that the page's style names."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

from guardrail_mw.pages import GRID, axis_end, figure, key, short, steps

__all__ = ["Line", "bars", "lines"]

_WIDTH: Final = 720
_HEIGHT: Final = 240
_LEFT: Final = 60
_RIGHT: Final = 12
_TOP: Final = 12
_BOTTOM: Final = 30
_ROW: Final = 26
_NAMES: Final = 130


class Line(NamedTuple):
    """A line of steps."""

    name: str
    style: str
    """A class of the page's style: `a` to `d`; with `plan` it is dashed."""
    figures: Sequence[float]


def lines(title: str, what: str, drawn: Sequence[Line], ends: tuple[str, str]) -> str:
    """Lines over parts of one length.

    Args:
        title: of the plot.
        what: what it shows, in a sentence: read out in its place.
        drawn: all of one length.
        ends: what stands below the first part and below the last.
    """
    most = axis_end(max([max(each.figures, default=0) for each in drawn], default=0))
    inner, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    parts = []
    for index in range(GRID + 1):
        y = _TOP + height * (1 - index / GRID)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{short(most * index / GRID)}</text>')
    parts += [steps(each.style, each.figures, most, (_LEFT, _TOP, inner, height)) for each in drawn]
    base = _HEIGHT - 8
    parts.append(f'<text x="{_LEFT}" y="{base}">{escape(ends[0])}</text>')
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{base}" text-anchor="end">{escape(ends[1])}</text>')
    keys = "".join(key(each.style, each.name) for each in drawn)
    return figure(title, what, keys, "".join(parts), _WIDTH, _HEIGHT)


def bars(title: str, what: str, rows: Sequence[tuple[str, float, str]]) -> str:
    """A bar a row: its name, its figure, and what stands at its end."""
    most = max([number for _, number, _ in rows], default=0) or 1
    inner = _WIDTH - _NAMES - 150
    parts = []
    for index, (name, number, said) in enumerate(rows):
        y = _TOP + index * _ROW
        width = inner * number / most
        parts.append(f'<text x="{_NAMES - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect class="bar a" x="{_NAMES}" y="{y}" width="{width:.1f}" height="{_ROW - 8}"/>')
        parts.append(f'<text x="{_NAMES + width + 6:.1f}" y="{y + 13}">{escape(said)}</text>')
    return figure(title, what, "", "".join(parts), _WIDTH, _TOP + len(rows) * _ROW + 4)
