"""What it takes to join a cluster, in a rebuild and between two. Millinats and families; nothing here needs numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardrail_mw.values import Family

__all__ = ["ASSERTABLE", "BOUND", "COUNTS", "JOINS", "MOST", "by_family"]

JOINS: Final = 12_000
"""Millinats at which an account joins."""
COUNTS: Final = 2_000
"""Millinats from which a family counts among those that it needs."""
MOST: Final = 9_000
"""Millinats that one family can say at most."""
BOUND: Final = 2
"""Families that must count, where a bound value is shared."""
ASSERTABLE: Final = 3
"""Families that must count, where none is."""


def by_family(said: Iterable[tuple[Family, int]]) -> dict[Family, int]:
    """Millinats that each family says: the sum of its values' weights, each of them 0 or more, but no more than `MOST`."""
    sums: dict[Family, int] = {}
    for family, weight in said:
        sums[family] = min(MOST, sums.get(family, 0) + weight)
    return sums
