"""Ranges of figures, and how they are drawn."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator

from guardrail_mw.simulate.world.arrays import Rng

__all__ = ["Per", "Range", "draw", "whole"]

_WIDE: Final = 10
"""From this ratio of its ends on, a range is drawn evenly on the logarithm."""


def _pair(value: object) -> object:
    """One number is a range of one."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (float(value), float(value))
    if isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(end, int | float) for end in value):  # noqa: PLR2004
        if value[0] > value[1]:
            raise ValueError(f"a range goes from its foot to its top, not from {value[0]} to {value[1]}")
        return (float(value[0]), float(value[1]))
    return value


Range: TypeAlias = Annotated[tuple[float, float], BeforeValidator(_pair)]
"""`[foot, top]`, or one figure. Evenly drawn, on the logarithm where the top is ten times the foot or more."""
Per: TypeAlias = Literal["group", "program"] | Range
"""How many accounts of a group hold one value: a range, the whole group, or all who use the same program."""


def draw(span: tuple[float, float], rng: Rng, n: int) -> NDArray[np.float64]:
    """Figures of a range."""
    low, high = span
    if low == high:
        return np.full(n, low)
    if low > 0 and high / low >= _WIDE:
        return np.exp(rng.uniform(np.log(low), np.log(high), n))
    return rng.uniform(low, high, n)


def whole(span: tuple[float, float], rng: Rng, n: int) -> NDArray[np.int64]:
    """Whole figures of a range, its ends included; at least the foot."""
    low, high = span
    return np.clip(np.rint(draw((low - 0.499, high + 0.499) if low > 1 else span, rng, n)), low, high).astype(np.int64)
