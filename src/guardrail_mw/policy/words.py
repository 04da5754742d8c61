"""Words that sentences about a policy share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from guardrail_mw.conditions import WhenSettings

__all__ = ["conditions", "either", "period"]

_UNITS: Final = (("day", 86_400_000_000), ("hour", 3_600_000_000), ("minute", 60_000_000), ("second", 1_000_000))


def conditions(when: WhenSettings) -> Iterator[str]:
    """Whom a rule is for, each condition in words."""
    for key in type(when).model_fields:
        value = getattr(when, key)
        if isinstance(value, bool):
            yield key if value else f"not {key}"
        elif isinstance(value, str):
            yield f"its {key} is {value} or above"
        elif value is not None:
            whose = "the" if key in {"route", "method", "model"} else "its"
            yield f"{whose} {key} is {either(value)}"


def period(us: int) -> str:
    """A time in its largest whole unit: `minute`, `2 hours`."""
    name, length = next((name, length) for name, length in _UNITS if us % length == 0)
    return name if us == length else f"{us // length} {name}s"


def either(names: list[str]) -> str:
    """One of several: `a, b or c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
