"""What can be ordered of a cluster, by the names that the operator's port and the command line have for it."""

from __future__ import annotations

from typing import Final

__all__ = ["ORDERS", "VALUES", "VERDICTS"]

ORDERS: Final = ("approve", "budget", "label", "reject", "release")
"""What can be ordered of a cluster."""
VALUES: Final = {"budget": "tokens", "label": "verdict"}
"""What the value of an order is called, where it has one."""
VERDICTS: Final = ("none", "watched", "suspect", "confirmed", "auto")
"""What a cluster can be labelled; with `auto` the model judges again."""
