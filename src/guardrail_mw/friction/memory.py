"""What a ladder remembers of an account in its standing, and how that fades.

`heat` is one whole number, the µs at which the remembered risk will have faded to one point. A risk R at time t, halving every
H, gives t + H·log2(R); the larger of two such numbers is the larger risk at every later time. So the standing's `max` merges
what several processes saw, and nobody has to read before writing.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log2
from typing import Final, NamedTuple

__all__ = ["MOST", "On", "Override", "heat", "override", "remembered", "rung", "whole"]

MOST: Final = 100.0
_DOUBLINGS: Final = log2(MOST)


def whole(text: str | None) -> int:
    """A whole number that a standing holds; 0 where there is none, or something else."""
    if text is None:
        return 0
    try:
        return int(text)
    except ValueError:
        return 0


def heat(risk: float, now: int, half_life: int) -> int:
    """The µs at which a `risk` of 1 to 100, met `now`, will have faded to one point."""
    return now + round(half_life * log2(risk))


def remembered(until: int, now: int, half_life: int) -> float:
    """What is left `now` of the risk that fades to one point at `until`; 0 once it is less."""
    if until < now:
        return 0.0
    doublings = (until - now) / half_life
    return MOST if doublings >= _DOUBLINGS else float(2.0**doublings)


class On(NamedTuple):
    """The rung that an account is on."""

    name: str
    """Empty for none."""
    since: int
    """µs."""
    up: str = ""
    """The highest rung that the requests it met have led up to; empty for none."""


def rung(fields: Mapping[str, str]) -> On:
    """The rung that an account is on: `rung` is its name, when it came there, and where `up` has led."""
    name, _, rest = fields.get("rung", "").partition(" ")
    since, _, up = rest.partition(" ")
    return On(name, whole(since), up)


class Override(NamedTuple):
    """What an operator has decided for an account."""

    what: str
    """`allow`, `deny`, or a rung's name."""
    until: int
    """µs; 0 is for good."""


def override(fields: Mapping[str, str], now: int) -> Override | None:
    """The override that holds `now`, if one does."""
    text = fields.get("override")
    if not text:
        return None
    what, _, until = text.partition(" ")
    found = Override(what, whole(until))
    return found if not found.until or now < found.until else None
