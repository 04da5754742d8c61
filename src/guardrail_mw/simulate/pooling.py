"""Several seeds' figures together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from guardrail_mw.simulate.words import zero_bound

__all__ = ["cohorts", "spread", "wilson"]

_SUMS: Final = ("accounts", "touched", "groups", "groups_touched", "requests", "worse", "denied")
_GROUPS: Final = 600
"""Groups from which on a cohort's figure is one; below it there is only a bound, and no claim."""


def wilson(hit: int, of: int) -> float:
    """The upper end of the 95% interval of a share (Wilson, 1927); 3/n where nothing was hit."""
    if not hit or not of:
        return zero_bound(of)
    z = 1.959964
    share = hit / of
    middle = share + z * z / (2 * of)
    around = z * math.sqrt((share * (1 - share) + z * z / (4 * of)) / of)
    return min(1.0, (middle + around) / (1 + z * z / of))


def cohorts(runs: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Friction by cohort, `all` among them: sums over the runs, each in its worst thirty days."""
    names: dict[str, None] = {"all": None}
    for run in runs:
        names.update(dict.fromkeys(run["friction"]["cohorts"]))
    found = {}
    for name in names:
        parts = [part for run in runs if (part := _part(run, name)) is not None]
        if not parts:
            continue
        total: dict[str, Any] = {key: sum(part[key] for part in parts) for key in _SUMS}
        total["rungs"] = {
            rung: {key: sum(part["rungs"][rung][key] for part in parts) for key in ("requests", "accounts")}
            for rung in parts[0]["rungs"]
        }
        total["share"] = total["touched"] / max(1, total["accounts"])
        total["bound"] = wilson(total["touched"], total["accounts"])
        total["groups_share"] = total["groups_touched"] / max(1, total["groups"])
        total["groups_bound"] = wilson(total["groups_touched"], total["groups"])
        total["per_million"] = 1e6 * total["worse"] / max(1, total["requests"])
        total["claim"] = total["groups"] >= _GROUPS
        found[name] = total
    return found


def _part(run: dict[str, Any], name: str) -> dict[str, Any] | None:
    friction = run["friction"]
    part: dict[str, Any] | None = friction["all"] if name == "all" else friction["cohorts"].get(name)
    return part


def spread(values: Sequence[float | None]) -> tuple[float, float, float] | None:
    """Mean, least and largest of what there is."""
    known = [value for value in values if value is not None]
    return (sum(known) / len(known), min(known), max(known)) if known else None
