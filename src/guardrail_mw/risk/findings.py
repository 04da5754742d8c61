"""What may pass for a finding: plugins are other people's code, and what they say ends in events and logs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from guardrail_mw.risk.base import FAMILIES, Finding

__all__ = ["MOST", "sound"]

MOST: Final = 16
"""Findings of one scorer in one request; what comes after is not read."""
_FIGURES: Final = 16
_NAME: Final = 40
_TEXT: Final = 64
_LARGEST: Final = 2**53
_EXACT: Final = frozenset({int, float, str})
_FAMILIES: Final = frozenset(FAMILIES)
_REASON: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def sound(said: Any) -> tuple[Finding | None, bool]:
    """The finding that something is, and whether it was one as it stood.

    A score outside 0 to 100 is cut to that, and an enumeration's members become what they stand for: neither is a fault. A
    family that is none, a reason that is no code and a score that is no number make it no finding. Figures that cannot be
    written down are left out.
    """
    if not isinstance(said, Finding):
        return None, False
    family: Any
    reason: Any
    family, score, reason, figures = said
    if not isinstance(family, str) or family not in _FAMILIES or not isinstance(reason, str) or not _is_code(reason):
        return None, False
    if not _is_number(score):
        return None, False
    if type(score) is not int or not 0 <= score <= 100:  # noqa: PLR2004 - the scale
        said = said._replace(score=int(min(max(score, 0), 100)))
    if type(family) is not str or type(reason) is not str:
        said = said._replace(family=_plain(family), reason=_plain(reason))
    if type(figures) is dict and not figures:
        return said, True
    written = _written(figures)
    if written is None:
        return said._replace(figures={}), False
    return said if written is figures else said._replace(figures=written), True


@lru_cache(1024)
def _is_code(reason: str) -> bool:
    return len(reason) <= _TEXT and _REASON.fullmatch(reason) is not None


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _written(figures: object) -> Mapping[str, int | float | str] | None:
    """The figures as they are recorded, in exact types; None where that cannot be."""
    if not isinstance(figures, Mapping) or len(figures) > _FIGURES:
        return None
    exact = type(figures) is dict
    for name, value in figures.items():
        if not isinstance(name, str) or len(name) > _NAME:
            return None
        if isinstance(value, str):
            if len(value) > _TEXT or not value.isprintable():
                return None
        elif not _is_number(value) or not -_LARGEST <= value <= _LARGEST:
            return None
        exact = exact and type(name) is str and type(value) in _EXACT
    return figures if exact else {_plain(name): _plain(value) for name, value in figures.items()}


def _plain(value: Any) -> Any:
    """What a member of an enumeration, or another subclass, stands for."""
    if isinstance(value, str):
        return str.__str__(value)
    return float(value) if isinstance(value, float) else int(value)
