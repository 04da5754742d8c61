"""Plots as inline SVG: no script, no font, no colour that the page's own style does not name."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

from guardrail_mw.pages import GRID, axis_end, figure, key, short, steps

__all__ = ["Bars", "Series", "columns", "pairs"]

_WIDTH: Final = 720
_HEIGHT: Final = 220
_LEFT: Final = 56
_RIGHT: Final = 8
_TOP: Final = 12
_BOTTOM: Final = 28
_ROW: Final = 46
_NAMES: Final = 190
_LETTERS: Final = 26


class Series(NamedTuple):
    """What is drawn in one colour."""

    name: str
    style: str
    """The class that the page's style colours: `then` or `now`."""
    figures: Sequence[float]


class Bars(NamedTuple):
    """A name with a figure of each series."""

    name: str
    figures: Sequence[float]


def columns(title: str, what: str, series: Sequence[Series], ends: tuple[str, str]) -> str:
    """A line of steps for each series, over parts of the same size.

    Args:
        title: of the plot, read out in its place.
        what: what it shows, in a sentence, likewise.
        series: all of one length.
        ends: what stands below the first part, and below the last.
    """
    most = axis_end(max([max(each.figures, default=0) for each in series], default=0))
    inner, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    parts = [_grid(most, inner, height)]
    parts += [steps(each.style, each.figures, most, (_LEFT, _TOP, inner, height)) for each in series]
    base = _HEIGHT - 8
    parts.append(f'<text x="{_LEFT}" y="{base}">{escape(ends[0])}</text>')
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{base}" text-anchor="end">{escape(ends[1])}</text>')
    return _figure(title, what, series, "".join(parts), _HEIGHT)


def pairs(title: str, what: str, series: Sequence[Series], rows: Sequence[Bars]) -> str:
    """Bars of each series below one another, a group for each name."""
    most = axis_end(max([max(row.figures, default=0) for row in rows], default=0))
    inner = _WIDTH - _NAMES - 72
    thick = (_ROW - 14) / max(len(series), 1)
    parts = []
    for index, row in enumerate(rows):
        top = _TOP + index * _ROW
        name = row.name if len(row.name) <= _LETTERS else f"{row.name[: _LETTERS - 1]}…"
        parts.append(f'<text x="{_NAMES - 8}" y="{top + _ROW / 2 - 2:.1f}" text-anchor="end">{escape(name)}</text>')
        for place, (each, number) in enumerate(zip(series, row.figures, strict=True)):
            y, width = top + place * thick, inner * number / most
            parts.append(
                f'<rect class="bar {each.style}" x="{_NAMES}" y="{y:.1f}" width="{width:.1f}" height="{thick - 2:.1f}"/>'
            )
            parts.append(f'<text x="{_NAMES + width + 6:.1f}" y="{y + thick - 5:.1f}">{number:,}</text>')
    return _figure(title, what, series, "".join(parts), _TOP + len(rows) * _ROW + 4)


def _grid(most: float, inner: float, height: float) -> str:
    lines = []
    for index in range(GRID + 1):
        y = _TOP + height * (1 - index / GRID)
        lines.append(f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + inner}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(most * index / GRID)}</text>')
    return "".join(lines)


def _figure(title: str, what: str, series: Sequence[Series], drawn: str, height: float) -> str:
    return figure(title, what, "".join(key(each.style, each.name) for each in series), drawn, _WIDTH, height)
