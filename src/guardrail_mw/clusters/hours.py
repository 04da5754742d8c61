"""What a value of co-activity says: at which hours of the day an account works, and how much. Nothing here needs numpy.

It is plain, not a digest: 8 bits say which three-hour blocks of the UTC day have a twentieth of an account's requests at least,
and 3 bits its pace, in steps of three. So what it says can be read off the key. Who has such a value stands in `coactive`.
"""

from __future__ import annotations

from typing import Final

from guardrail_mw.algorithms import keys

__all__ = ["BLOCK", "BLOCKS", "PACE", "PACES", "PART", "tell"]

PART: Final = 20
"""A block counts from this part of the requests on: a twentieth."""
BLOCK: Final = 3
"""Hours."""
BLOCKS: Final = 24 // BLOCK
PACES: Final = (3, 9, 27, 81, 243, 729, 2187)
"""Requests on an active day at which the next step of pace begins."""
PACE: Final = 3
"""Bits of the pace."""
_LENGTH: Final = BLOCKS + PACE
_DAY: Final = 24


def tell(key: int) -> str:
    """What a value says: `works 06-12 and 15-18 UTC, 9 to 26 requests on an active day`.

    Empty for a key that is none. One that a split has renamed is none: it stands for the same hours, on one side only.
    """
    said = key & (1 << keys.BITS) - 1
    if keys.code_of(key) != keys.COACTIVE or said >> _LENGTH or not said >> PACE:
        return ""
    pace = said & (1 << PACE) - 1
    least, most = (0, *PACES)[pace], (*PACES, 0)[pace]
    often = f"under {most}" if not least else f"{least:,} or more" if not most else f"{least:,} to {most - 1:,}"
    return f"works {_spans(said >> PACE)}, {often} requests on an active day"


def _spans(worked: int) -> str:
    """Blocks as hours; those that go on past midnight as one."""
    if worked == (1 << BLOCKS) - 1:
        return "at all hours"
    on = [bool(worked >> block & 1) for block in range(BLOCKS)]
    spans = []
    for begin in range(BLOCKS):
        if on[begin] and not on[begin - 1]:
            end = begin
            while on[end % BLOCKS]:
                end += 1
            spans.append(f"{begin * BLOCK:02}-{end % BLOCKS * BLOCK or _DAY:02}")
    return f"{' and '.join([', '.join(spans[:-1]), spans[-1]] if len(spans) > 1 else spans)} UTC"
