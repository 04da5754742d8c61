"""What it takes to join a cluster, in a rebuild and between two. Millinats and families; nothing here needs numpy."""

from __future__ import annotations

from typing import Final

__all__ = ["ASSERTABLE", "BOUND", "COUNTS", "JOINS", "MOST"]

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
