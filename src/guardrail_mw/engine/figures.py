"""Figures as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

__all__ = ["ago", "amount", "clean", "number", "plural", "span", "utc"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SPANS: Final = (("d", 86_400_000_000), ("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000))


def utc(us: int) -> str:
    """A time in µs since the epoch, to the second."""
    try:
        return f"{_EPOCH + timedelta(microseconds=us):%Y-%m-%d %H:%M:%S} UTC"
    except OverflowError:
        return f"{us} µs"


def span(us: int) -> str:
    """A length of time in its largest unit, to three figures: `4.2 s`, `1.5 h`."""
    for unit, length in _SPANS:
        if us >= length:
            return f"{us / length:.3g} {unit}" if 2 * us < 1999 * length else f"{us // length} {unit}"
    return "0 s" if not us else f"{us} µs"


def ago(us: int, now: int) -> str:
    """Since when, and how long that is."""
    return f"since {utc(us)} ({span(max(0, now - us))})"


def amount(units: int, unit: str) -> str:
    """So many of a limit's unit; micro-dollars as dollars."""
    if unit == "usd":
        return f"${Decimal(units).scaleb(-6):f}" if units else "$0"
    return plural(units, unit.replace("_", " ").removesuffix("s"))


def plural(count: int, noun: str) -> str:
    """So many of something."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def number(points: float) -> str:
    """Points of risk, to two decimals."""
    return f"{points:.2f}".rstrip("0").rstrip(".")


def clean(text: str) -> str:
    """One line, whatever it was made from: nothing in it moves a terminal's cursor."""
    return text if text.isprintable() else "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
