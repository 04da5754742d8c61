"""The memory store's standings: how they begin, change and make room. Everything is done under the store's lock."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TypeAlias

from guardrail_mw.stores.base import Change
from guardrail_mw.values import PLAN_FIELDS, Standing

__all__ = ["Known", "begin", "change", "combine", "due", "merge", "present"]

Known: TypeAlias = tuple[int, dict[str, str], int, int]
"""A standing's version, its fields, when it was last changed, and until when it is kept. All but the fields are µs."""

TOUCHED = 3_600_000_000
"""µs between two notes that an account still calls."""
STANDING_TTL = 90 * 86_400_000_000 + TOUCHED
"""µs a standing is kept after that note: at least 90 days after an account's last call."""
TOUCH_AT = STANDING_TTL - TOUCHED
"""µs left to a standing below which a call is noted."""
_SINCE = frozenset({"since"})


def present(standings: dict[str, Known], account: str, now: int) -> Standing:
    """How an account stands; nothing is known of one whose time is over."""
    known = standings.get(account)
    return Standing(known[0], dict(known[1]), known[2]) if known is not None and known[3] > now else Standing()


def due(known: Known, now: int) -> bool:
    """Whether a call must be noted in the standing."""
    return known[3] - now <= TOUCH_AT or "since" not in known[1]


def begin(standings: dict[str, Known], account: str, now: int, most: int) -> None:
    """Note that a proved account calls, and since when where nobody has."""
    version, known, seen = present(standings, account, now)
    fields = dict(known)
    if "since" not in fields:
        fields["since"] = str(now)
        seen = max(now, seen + 1)
    standings.pop(account, None)
    _make_room(standings, most)
    standings[account] = (version, fields, seen, now + STANDING_TTL)


def change(standings: dict[str, Known], account: str, changes: Sequence[Change], now: int, most: int) -> int:
    """See `Store.remember`."""
    version, known, seen = present(standings, account, now)
    fields = dict(known)
    other = anew = False
    for each in changes:
        before = fields.get(each.field)
        after = merge(each, before)
        if after is None:
            fields.pop(each.field, None)
        else:
            fields[each.field] = after
        if before != after:
            other = True
            anew = anew or each.field in PLAN_FIELDS
    if anew:
        version = max(now, version + 1)
    if other:
        seen = max(now, seen + 1)
    if account not in standings:
        _make_room(standings, most)
    standings[account] = (version, fields, seen, now + STANDING_TTL)
    return version


def _make_room(standings: dict[str, Known], most: int) -> None:
    """Give up the standing touched longest ago of those that say nothing but since when; at most 64 are looked at."""
    if len(standings) < most:
        return
    oldest = islice(standings.items(), 64)
    spare = next((account for account, known in oldest if known[1].keys() <= _SINCE), next(iter(standings)))
    del standings[spare]


def merge(change: Change, before: str | None) -> str | None:
    """What a standing's field becomes; None where it goes."""
    if change.field == "since" and before is not None:
        return before  # nothing overwrites it
    return combine(change, before)


def combine(change: Change, before: str | None) -> str | None:
    """What any field becomes; None where it goes."""
    match change.op:
        case "set":
            return change.value
        case "unset":
            return None
        case "first":
            return change.value if before is None else before
        case "add":
            return str(int(before or 0) + int(change.value))
        case "max":
            return change.value if before is None else str(max(int(before), int(change.value)))
