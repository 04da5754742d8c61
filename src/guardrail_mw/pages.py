"""Pages that need nothing else: the frame of an HTML document, and of plots in SVG, without scripts, fonts or requests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

__all__ = ["GRID", "axis_end", "document", "figure", "key", "short", "steps"]

GRID: Final = 4
"""Parts that an axis is divided into."""


def document(title: str, style: str, body: Iterable[str]) -> str:
    """A whole page.

    Args:
        title: unescaped.
        style: CSS; nothing else may style it, and nothing may run.
        body: lines of HTML, for `main`.
    """
    return "\n".join([
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{escape(title)}</title>",
        f"<style>{style}</style>",
        "</head>",
        "<body>",
        "<main>",
        *body,
        "</main>",
        "</body>",
        "</html>",
        "",
    ])  # fmt: skip


def figure(title: str, what: str, keys: str, drawn: str, width: int, height: float) -> str:
    """A plot with its title; `what` it shows is read out in its place. `keys` and `drawn` are HTML and SVG."""
    return (
        f'<figure><figcaption><strong>{escape(title)}</strong><span class="keys">{keys}</span></figcaption>'
        f'<svg viewBox="0 0 {width} {height:.0f}" role="img" aria-label="{escape(f"{title}. {what}")}">{drawn}</svg></figure>'
    )


def key(style: str, name: str) -> str:
    """What a colour stands for."""
    return f'<span class="key {style}"></span>{escape(name)} '


def steps(style: str, figures: Sequence[float], most: float, box: tuple[float, float, float, float]) -> str:
    """A line of steps over parts of one size, in a box of left, top, width and height; its top is `most`."""
    left, top, width, height = box
    step = width / max(len(figures), 1)
    points = []
    for index, each in enumerate(figures):
        y = top + height * (1 - each / most)
        points += [f"{left + index * step:.1f},{y:.1f}", f"{left + (index + 1) * step:.1f},{y:.1f}"]
    return f'<polyline class="line {style}" points="{" ".join(points)}"/>'


def axis_end(most: float) -> float:
    """The next figure that divides well by four, above the largest: an axis ends there."""
    unit = 1.0
    while unit * 8 < most:
        unit *= 10
    for times in (0.4, 0.8, 1.2, 2, 4, 8):
        if unit * times >= most and unit * times >= GRID:
            return unit * times
    return max(unit * 8, GRID)


def short(number: float) -> str:
    """A number as an axis has it: `1.2k`, `3M`."""
    for unit, sign in ((1_000_000, "M"), (1_000, "k")):
        if number >= unit:
            return f"{number / unit:g}{sign}"
    return f"{number:g}"
