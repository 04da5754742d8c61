"""What somebody meant who wrote a rate, a budget or a time as other tools have it: `60/m`, `1 hour`."""

from __future__ import annotations

import re
from typing import Final

from guardrail_mw.quantities import Duration, Quantity, QuantityError

__all__ = ["meant", "seconds"]

_WORDS: Final = {
    "ms": ("ms", "msec", "msecs", "millisecond", "milliseconds"),
    "second": ("s", "sec", "secs", "second", "seconds"),
    "minute": ("m", "min", "mins", "minute", "minutes"),
    "hour": ("h", "hr", "hrs", "hour", "hours"),
    "day": ("d", "day", "days"),
    "week": ("w", "wk", "week", "weeks"),
    "month": ("mo", "mon", "month", "months"),
    "year": ("y", "yr", "year", "years"),
}
_UNITS: Final = {word: unit for unit, words in _WORDS.items() for word in words}
_LETTERS: Final = {"ms": "ms", "second": "s", "minute": "m", "hour": "h", "day": "d"}
_NUMBER: Final = r"\s*([0-9]+(?:\.[0-9]+)?)\s*"
_RATE: Final = re.compile(rf"{_NUMBER}(?:/|per|an|a)\s*([0-9]*)\s*([a-z]+)\s*", re.IGNORECASE | re.ASCII)
_TIME: Final = re.compile(rf"{_NUMBER}([a-z]+)\s*", re.IGNORECASE | re.ASCII)


def meant(kind: type[Quantity], text: str) -> str:
    """`Write 60/minute.`, where that is what a text says in other words; else nothing."""
    written = _time(text) if kind is Duration else _rate(text)
    try:
        return f"Write {kind.parse(written)}." if written else ""
    except QuantityError:
        return ""


def seconds(value: object) -> str:
    """`Write 0.5.`, of a time with its unit where a plain number of seconds is expected; else nothing."""
    try:
        return f"Write {Duration.parse(_time(value)).seconds:g}." if isinstance(value, str) else ""
    except QuantityError:
        return ""


def _rate(text: str) -> str:
    found = _RATE.fullmatch(text)
    unit = _UNITS.get(found[3].lower()) if found is not None else None
    if found is None or unit is None:
        return ""
    return f"{found[1]} per {found[2]} {unit}s" if found[2] not in {"", "1"} else f"{found[1]}/{unit}"


def _time(text: str) -> str:
    found = _TIME.fullmatch(text)
    unit = _UNITS.get(found[2].lower()) if found is not None else None
    if found is None or unit not in {*_LETTERS, "week"}:
        return ""
    if unit == "week":
        return f"{int(found[1]) * 7}d" if found[1].isdigit() else ""
    return f"{found[1]}{_LETTERS[unit]}"
