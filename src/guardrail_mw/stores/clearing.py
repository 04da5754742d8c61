"""What an operator does to a subject of the memory store: make it new, and write down what is kept of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from guardrail_mw.algorithms.sketch import Sketch
from guardrail_mw.stores.homes import Home

__all__ = ["clear", "raw"]


def clear(home: Home, fields: Sequence[str] | None) -> int:
    """Make counters as new, all of them for None; returns how many there were. The home's own time goes on."""
    there = [*home.counters, *home.shares]
    gone = [field for field in there if fields is None or field in fields]
    for field in gone:
        home.counters.pop(field, None)
        home.shares.pop(field, None)
    return len(gone)


def raw(home: Home) -> dict[str, Any]:
    """Counters, leases, distinct values and receipts, as JSON has them."""
    leases: dict[str, Any] = {}
    distinct: dict[str, Any] = {}
    counters: dict[str, Any] = {**home.shares}
    for field, kept in home.counters.items():
        if isinstance(kept, dict):
            leases[field] = dict(kept)
        elif isinstance(kept, Sketch):
            counters[field] = kept.count()
        elif isinstance(kept[0], dict):
            distinct[field] = dict(kept[0])
        else:
            counters[field] = [list(each) if isinstance(each, tuple) else each for each in kept]
    return {"counters": counters, "leases": leases, "distinct": distinct, "receipts": sorted(home.open)}
