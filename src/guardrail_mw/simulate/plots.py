"""Plots as inline SVG, for one page: no script, no font, no colour but those that the page's style names."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

__all__ = ["Line", "bars", "lines"]

_WIDTH: Final = 720
_HEIGHT: Final = 240
_LEFT: Final = 60
_RIGHT: Final = 12
_TOP: Final = 12
_BOTTOM: Final = 30
_GRID: Final = 4
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
    most = _nice(max([max(each.figures, default=0) for each in drawn], default=0))
    inner, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    parts = []
    for index in range(_GRID + 1):
        y = _TOP + height * (1 - index / _GRID)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_short(most * index / _GRID)}</text>')
    for each in drawn:
        step = inner / max(1, len(each.figures))
        points = []
        for index, figure in enumerate(each.figures):
            y = _TOP + height * (1 - figure / most)
            points += [f"{_LEFT + index * step:.1f},{y:.1f}", f"{_LEFT + (index + 1) * step:.1f},{y:.1f}"]
        parts.append(f'<polyline class="line {each.style}" points="{" ".join(points)}"/>')
    base = _HEIGHT - 8
    parts.append(f'<text x="{_LEFT}" y="{base}">{escape(ends[0])}</text>')
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{base}" text-anchor="end">{escape(ends[1])}</text>')
    keys = "".join(f'<span class="key {each.style}"></span>{escape(each.name)} ' for each in drawn)
    return _figure(title, what, keys, "".join(parts), _HEIGHT)


def bars(title: str, what: str, rows: Sequence[tuple[str, float, str]]) -> str:
    """A bar a row: its name, its figure, and what stands at its end."""
    most = max([figure for _, figure, _ in rows], default=0) or 1
    inner = _WIDTH - _NAMES - 150
    parts = []
    for index, (name, figure, said) in enumerate(rows):
        y = _TOP + index * _ROW
        width = inner * figure / most
        parts.append(f'<text x="{_NAMES - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect class="bar a" x="{_NAMES}" y="{y}" width="{width:.1f}" height="{_ROW - 8}"/>')
        parts.append(f'<text x="{_NAMES + width + 6:.1f}" y="{y + 13}">{escape(said)}</text>')
    return _figure(title, what, "", "".join(parts), _TOP + len(rows) * _ROW + 4)


def _figure(title: str, what: str, keys: str, drawn: str, height: float) -> str:
    return (
        f'<figure><figcaption><strong>{escape(title)}</strong><span class="keys">{keys}</span></figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(f"{title}. {what}")}">{drawn}</svg></figure>'
    )


def _nice(most: float) -> float:
    """An end of an axis that divides well by four."""
    unit = 1.0
    while unit * 8 < most:
        unit *= 10
    return next(
        (unit * times for times in (0.4, 0.8, 1.2, 2, 4, 8) if unit * times >= max(most, _GRID)), max(unit * 8, _GRID)
    )


def _short(figure: float) -> str:
    for unit, sign in ((1_000_000, "M"), (1_000, "k")):
        if figure >= unit:
            return f"{figure / unit:g}{sign}"
    return f"{figure:g}"
