"""What operators have decided of clusters, as it is kept."""

from __future__ import annotations

import json
from dataclasses import asdict

from guardrail_mw.clusters.state import Given, Order

__all__ = ["read_orders", "write_orders"]


def read_orders(kept: bytes | None) -> Given:
    """From the store; none where there are none."""
    if kept is None:
        return Given()
    return Given({name: tuple(Order(**each) for each in orders) for name, orders in json.loads(kept).items()})


def write_orders(given: Given, now: int) -> bytes:
    """For the store, less those whose time is over at `now` µs."""
    kept = {
        name: [asdict(each) for each in orders if not each.until or now < each.until]
        for name, orders in given.orders.items()
    }
    return json.dumps({name: orders for name, orders in kept.items() if orders}, sort_keys=True).encode()
