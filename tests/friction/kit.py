"""What the tests of friction have in common: ladders from a line, and somebody to stand before them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardrail_mw.conditions import Traits
from guardrail_mw.friction.ladder import Ladder, Person
from guardrail_mw.friction.settings import FrictionSettings
from guardrail_mw.stores.base import Change

KEY = b"thresholds hang on this key" + b"." * 5
NOW = 1_767_225_600_000_000
MINUTE = 60_000_000

DELAY: Mapping[str, Any] = {"at": 30, "do": "delay"}
TRIM: Mapping[str, Any] = {"at": 50, "do": "trim"}
DENY: Mapping[str, Any] = {"at": 95, "do": "deny"}


def friction(*rungs: Mapping[str, Any], **section: Any) -> FrictionSettings:
    return FrictionSettings.model_validate({"ladder": [dict(rung) for rung in rungs], **section})


def ladder(*rungs: Mapping[str, Any], shadowed: frozenset[str] = frozenset(), **section: Any) -> Ladder:
    return Ladder(friction(*rungs, **section), key=KEY, shadowed=shadowed)


def person(
    name: str = "a:one",
    fields: Mapping[str, str] | None = None,
    *,
    now: int = NOW,
    solves: frozenset[str] | None = None,
    signed_in: int = 0,
    anonymous: bool = False,
    **traits: Any,
) -> Person:
    return Person(name, "" if anonymous else name, Traits(**traits), fields or {}, now, signed_in, solves)


def carried_out(fields: dict[str, str], changes: tuple[Change, ...]) -> dict[str, str]:
    """A standing, the changes made to it as a store would."""
    fields = dict(fields)
    for op, field, value in changes:
        if op == "set":
            fields[field] = value
        elif op == "unset":
            fields.pop(field, None)
        elif op == "add":
            fields[field] = str(int(fields.get(field, "0")) + int(value))
        else:
            assert op == "max"
            fields[field] = str(max(int(fields.get(field, "0")), int(value)))
    return fields
