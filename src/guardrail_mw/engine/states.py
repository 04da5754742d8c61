"""How far a case has come, by its record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from guardrail_mw.friction.memory import whole

__all__ = ["OPEN", "STATES", "awaits", "decided", "state_of"]

OPEN: Final = ("asked", "started", "pending")
"""States in which somebody is still to be verified."""
STATES: Final = (*OPEN, "approved", "declined", "duplicate", "expired", "withdrawn")
_UNDECIDED: Final = frozenset({"", "pending"})


def decided(fields: Mapping[str, str], now: int) -> bool:
    """Whether something came of it that does not help the account, and it was not asked anew since."""
    return not awaits(fields) and (fields["state"] != "approved" or now >= whole(fields.get("until")))


def awaits(fields: Mapping[str, str]) -> bool:
    """Whether somebody is still to be verified: nothing came of it yet, or the account was asked anew since."""
    return fields.get("state", "") in _UNDECIDED or fields.get("anew") == fields.get("order", "-")


def state_of(fields: Mapping[str, str], now: int) -> str:
    """One of `STATES`; of an approval that has run out `expired`."""
    state = fields.get("state", "")
    if state == "pending":
        return state
    if awaits(fields):
        return "started" if not state and fields.get("ref") else "asked"
    if state == "approved" and now >= whole(fields.get("until")):
        return "expired"
    return "duplicate" if fields.get("why") == "duplicate" else state
