"""How many different values were seen within a window: exact to 64.

Each value is kept with the pane (a sixtieth of the window) it was last seen in. The 65th pushes out the oldest, and the pane
of what was pushed out is noted: until it leaves the window the count reads `64+`.
"""

from __future__ import annotations

__all__ = ["LIMIT", "PANES", "add", "pane_length", "sweep"]

LIMIT = 64
PANES = 60

Seen = dict[str, int]
"""Value (a digest in hex) to the pane it was last seen in."""


def pane_length(window: int) -> int:
    """µs of a pane of a `window` of µs, rounded up."""
    return -(-window // PANES)


def sweep(seen: Seen, pane: int) -> None:
    """Forget what left the window; the running pane and sixty before it count."""
    for value in [value for value, last in seen.items() if last < pane - PANES]:
        del seen[value]


def add(seen: Seen, overflow: int, pane: int, value: str) -> tuple[int, int, bool]:
    """See `value` in `pane`.

    Returns the pane of the newest value ever pushed out (pass it back as `overflow`; -1 for none), the count, and whether the
    count is a floor (`64+`).
    """
    sweep(seen, pane)
    seen[value] = max(pane, seen.get(value, pane))
    if len(seen) > LIMIT:
        oldest = min(seen, key=lambda each: (seen[each], each))
        overflow = max(overflow, seen.pop(oldest))
    return overflow, len(seen), overflow >= max(0, pane - PANES)
