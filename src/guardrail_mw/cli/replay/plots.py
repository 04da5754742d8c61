"""Plots as inline SVG: no script, no font, no colour that the page's own style does not name."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

__all__ = ["Bars", "Series", "columns", "pairs"]

_WIDTH: Final = 720
_HEIGHT: Final = 220
_LEFT: Final = 56
_RIGHT: Final = 8
_TOP: Final = 12
_BOTTOM: Final = 28
_ROW: Final = 46
_NAMES: Final = 190
_GRID: Final = 4
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
    most = _nice(max([max(each.figures, default=0) for each in series], default=0))
    inner, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    parts = [_grid(most, inner, height)]
    for each in series:
        step = inner / max(len(each.figures), 1)
        points = []
        for index, figure in enumerate(each.figures):
            y = _TOP + height * (1 - figure / most)
            points += [f"{_LEFT + index * step:.1f},{y:.1f}", f"{_LEFT + (index + 1) * step:.1f},{y:.1f}"]
        parts.append(f'<polyline class="line {each.style}" points="{" ".join(points)}"/>')
    base = _HEIGHT - 8
    parts.append(f'<text x="{_LEFT}" y="{base}">{escape(ends[0])}</text>')
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{base}" text-anchor="end">{escape(ends[1])}</text>')
    return _figure(title, what, series, "".join(parts), _HEIGHT)


def pairs(title: str, what: str, series: Sequence[Series], rows: Sequence[Bars]) -> str:
    """Bars of each series below one another, a group for each name."""
    most = _nice(max([max(row.figures, default=0) for row in rows], default=0))
    inner = _WIDTH - _NAMES - 72
    thick = (_ROW - 14) / max(len(series), 1)
    parts = []
    for index, row in enumerate(rows):
        top = _TOP + index * _ROW
        name = row.name if len(row.name) <= _LETTERS else f"{row.name[: _LETTERS - 1]}…"
        parts.append(f'<text x="{_NAMES - 8}" y="{top + _ROW / 2 - 2:.1f}" text-anchor="end">{escape(name)}</text>')
        for place, (each, figure) in enumerate(zip(series, row.figures, strict=True)):
            y, width = top + place * thick, inner * figure / most
            parts.append(
                f'<rect class="bar {each.style}" x="{_NAMES}" y="{y:.1f}" width="{width:.1f}" height="{thick - 2:.1f}"/>'
            )
            parts.append(f'<text x="{_NAMES + width + 6:.1f}" y="{y + thick - 5:.1f}">{figure:,}</text>')
    return _figure(title, what, series, "".join(parts), _TOP + len(rows) * _ROW + 4)


def _grid(most: float, inner: float, height: float) -> str:
    lines = []
    for index in range(_GRID + 1):
        y = _TOP + height * (1 - index / _GRID)
        lines.append(f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + inner}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(most * index / _GRID)}</text>')
    return "".join(lines)


def _figure(title: str, what: str, series: Sequence[Series], drawn: str, height: float) -> str:
    keys = "".join(f'<span class="key {each.style}"></span>{escape(each.name)} ' for each in series)
    return (
        f'<figure><figcaption><strong>{escape(title)}</strong><span class="keys">{keys}</span></figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(f"{title}. {what}")}">'
        f"{drawn}</svg></figure>"
    )


def _nice(most: float) -> float:
    """The next figure that divides well by four, above the largest: an axis ends there."""
    unit = 1.0
    while unit * 8 < most:
        unit *= 10
    for times in (0.4, 0.8, 1.2, 2, 4, 8):
        if unit * times >= most and unit * times >= _GRID:
            return unit * times
    return max(unit * 8, _GRID)


def _short(figure: float) -> str:
    for unit, sign in ((1_000_000, "M"), (1_000, "k")):
        if figure >= unit:
            return f"{figure / unit:g}{sign}"
    return f"{figure:g}"
