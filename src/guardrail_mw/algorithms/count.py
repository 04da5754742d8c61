"""Counts in a sliding window that nothing refuses and nothing gives back, so that one more costs next to nothing.

The panes are those of `window`: twenty and the running one. What comes in the running pane stands apart and joins the ring when
the next begins: until then, to count is to add to two numbers.
"""

from __future__ import annotations

from typing import TypeAlias

from guardrail_mw.algorithms.window import RING

__all__ = ["NEW", "State", "add", "advance"]

State: TypeAlias = tuple[int, int, int, tuple[int, ...]]
"""The newest pane, all that counts, what of it came in the newest pane, and the ring: slot `pane % 21` holds an older pane's.

A plain tuple: the garbage collector soon passes over those, and there may be millions.
"""
_EMPTY = (0,) * RING
NEW: State = (0, 0, 0, _EMPTY)


def advance(state: State, pane: int) -> State:
    """Drop what has left the window when `pane` is the running one. A pane that went back changes nothing."""
    head, total, running, ring = state
    passed = pane - head
    if passed <= 0:
        return state
    if passed >= RING or not total:
        return pane, 0, 0, _EMPTY
    counts = list(ring)
    counts[head % RING] = running
    for newer in range(head + 1, pane + 1):
        slot = newer % RING
        total -= counts[slot]
        counts[slot] = 0
    return pane, total, 0, tuple(counts)


def add(state: State, pane: int, cost: int) -> State:
    """Count `cost` in the running `pane`."""
    head, total, running, ring = state if pane <= state[0] else advance(state, pane)
    return head, total + cost, running + cost, ring
