"""Columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

__all__ = ["table"]


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines below their heads; columns of figures to the right."""
    widths = [max(len(head), *(len(line[at]) for line in lines)) for at, head in enumerate(heads)]
    right = [
        all(line[at].replace(",", "").replace(".", "").lstrip("-").isdigit() for line in lines) for at in range(len(heads))
    ]
    for line in (heads, *lines):
        cells = [f"{cell:{'>' if figure else '<'}{width}}" for cell, width, figure in zip(line, widths, right, strict=True)]
        yield "  ".join(cells).rstrip()
