"""How much, how long and when: shapes of real services, from published traces; figures only.

- `BETWEEN`, `WITHIN`, `HOURS`, `WEEK`: worked out from the per-client rates of ServeGen (Xiang et al., NSDI 2026;
  github.com/alibaba/ServeGen, data/language: 314 clients of three model services over 14 days, 227 of them with at least five
  active days). Each client's requests are summed by day.
- `TOKENS["conversation"]`, `TOKENS["completion"]`: the Azure LLM inference traces of 2023 (Patel et al., Splitwise, ISCA
  2024; github.com/Azure/AzurePublicDataset: 19,366 conversation and 8,819 code calls), context and generated tokens.
- `TOKENS["agent"]`: GitHub Copilot coding agent traces 2026 (Azure, arXiv 2608.00101): 9.3M calls, 67,900 prompt and 528
  completion tokens a call on average, 31 calls a session. Only sums are published with the card, so the shape about the mean
  is our assumption: log-normal, sigma 0.8.
- `TOKENS["short"]`: an assumption for scheduled and batch work of one short task a call.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from guardrail_mw.simulate.world.arrays import Floats, Ints, Rng

__all__ = ["BETWEEN", "HOURS", "PROFILES", "RHYTHMS", "TOKENS", "WEEK", "WITHIN", "between", "rhythm", "tokens", "within"]

_POINTS: Final = np.array([0, 1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 100]) / 100
_FINE: Final = np.array([0, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 100]) / 100

BETWEEN: Final = np.array([0.0042, 0.0063, 0.033, 0.077, 0.17, 0.34, 0.6, 1.0, 1.53, 2.39, 4.46, 10.6, 18.5, 45.4, 254.0])
"""A client's mean requests a day over the median client's, at `_POINTS`."""
WITHIN: Final = np.array([0.0015, 0.0015, 0.069, 0.2, 0.55, 0.8, 0.937, 1.0, 1.05, 1.17, 1.47, 2.46, 5.04, 5.04, 5.04])
"""A day's requests over the same client's median day. Cut at the 95th percentile: above are clients that just began."""
HOURS: Final = np.array(
    [320, 363, 285, 230, 246, 157, 173, 253, 342, 462, 538, 559, 519, 544, 530, 515, 540, 556, 531, 482, 494, 482, 466, 413]
)
"""Shares of the local hours of a day, in ten-thousandths: the median client."""
WEEK: Final = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.55, 0.55])
"""Monday first; the second figure is the trace's weekend over its working days."""


def _band(first: int, last: int, outside: float) -> NDArray[np.float64]:
    """The hours' shape, with hours outside [first, last) at a share of it."""
    shape = HOURS.astype(np.float64)
    keep = np.zeros(24, bool)
    keep[first:last] = True
    return np.asarray(np.where(keep, shape, outside * shape), np.float64)


RHYTHMS: Final[dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]] = {
    "people": (HOURS.astype(np.float64), WEEK),
    "work": (_band(8, 19, 0.04), np.array([1, 1, 1, 1, 0.95, 0.12, 0.1])),
    "evening": (_band(17, 24, 0.25), np.array([1, 1, 1, 1, 1, 1.2, 1.2])),
    "flat": (np.ones(24), np.ones(7)),
    "night": (_band(0, 7, 0.05), np.ones(7)),
    "lesson": (np.ones(24), np.ones(7)),
    "cron": (np.ones(24), np.ones(7)),
}
"""Shares of local hours and of weekdays. Bands are assumptions; their shape inside is the trace's."""

TOKENS: Final[dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]] = {
    "conversation": (
        np.array([2, 181, 207, 387, 403, 703, 1020, 1071, 1130, 1315, 2734, 4083, 4142, 14050.0]),
        np.array([7, 41, 54, 77, 91, 103, 129, 177, 384, 400, 424, 451, 601, 1000.0]),
    ),
    "completion": (
        np.array([3, 75, 147, 385, 770, 1075, 1469, 1909, 2433, 3192, 5187, 7303, 7436, 7437.0]),
        np.array([6, 6, 7, 8, 9, 11, 13, 16, 20, 29, 55, 90, 251, 1899.0]),
    ),
}
_LOGNORMAL: Final = {"agent": (67_900.0, 528.0, 0.8), "short": (420.0, 160.0, 0.6)}
"""Means of input and output, and sigma of both."""
PROFILES: Final = ("conversation", "completion", "agent", "short", "exchange")
"""What a call's length is drawn from; `exchange` is a campaign's, whose mean is the plan's."""
_EXCHANGE_SIGMA: Final = 0.5


def _resample(table: NDArray[np.float64], points: NDArray[np.float64], u: NDArray[Any]) -> NDArray[np.float64]:
    """Values at the quantiles `u`, interpolated between logarithms."""
    values: NDArray[np.float64] = np.exp(np.interp(u, points, np.log(table)))
    return values


def between(rng: Rng, n: int, spread: NDArray[Any] | float) -> Floats:
    """How an account's volume relates to its group's median: `BETWEEN` to the power of `spread` (0: all alike)."""
    return np.asarray(_resample(BETWEEN, _POINTS, rng.random(n)) ** spread, np.float32)


def within(rng: Rng, n: int, spread: NDArray[Any] | float) -> Floats:
    """How a day's volume relates to the account's median day."""
    return np.asarray(_resample(WITHIN, _POINTS, rng.random(n)) ** spread, np.float32)


def rhythm(names: list[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each: cumulative shares of 24 local hours (the last is 1), and weekday factors."""
    hours = np.array([np.cumsum(RHYTHMS[name][0]) / RHYTHMS[name][0].sum() for name in names])
    return hours, np.array([RHYTHMS[name][1] for name in names], np.float64)


def tokens(rng: Rng, profile: NDArray[np.int8], mean: Floats) -> tuple[Ints, Ints]:
    """Input and output tokens of calls.

    Args:
        rng: where from.
        profile: index into `PROFILES`, a call a row.
        mean: tokens that an exchange of a campaign has on average; only looked at where the profile is `exchange`.
    """
    n = len(profile)
    given, made = np.empty(n), np.empty(n)
    for code, name in enumerate(PROFILES):
        rows = np.flatnonzero(profile == code)
        if not len(rows):
            continue
        if name in TOKENS:
            given[rows] = _resample(TOKENS[name][0], _FINE, rng.random(len(rows)))
            made[rows] = _resample(TOKENS[name][1], _FINE, rng.random(len(rows)))
        elif name in _LOGNORMAL:
            first, second, sigma = _LOGNORMAL[name]
            given[rows] = first * np.exp(sigma * rng.standard_normal(len(rows), np.float32) - sigma * sigma / 2)
            made[rows] = second * np.exp(sigma * rng.standard_normal(len(rows), np.float32) - sigma * sigma / 2)
        else:
            total = mean[rows] * np.exp(
                _EXCHANGE_SIGMA * rng.standard_normal(len(rows), np.float32) - _EXCHANGE_SIGMA * _EXCHANGE_SIGMA / 2
            )
            part = 0.2 + 0.3 * rng.random(len(rows), np.float32)
            given[rows], made[rows] = total * part, total * (1 - part)
    return np.maximum(np.rint(given), 1).astype(np.int32), np.maximum(np.rint(made), 1).astype(np.int32)
