"""What an account has done, in 94 bytes that are only ever added to.

    0   2  first hour (since 2025-01-01 UTC, as in `edges`)
    2   2  last hour
    4   2  days on which it was active; 0 where nothing was noted yet
    6   4  requests
    10  6  tokens
    16  3  requests while any model was new, whatever they asked for
    19  3  of these, requests for a model that was new
    22  48 requests by hour of the day (UTC), 2 bytes each
    70  24 requests of the last eight days, 3 bytes each: day d stands at d modulo 8, the newest is that of the last hour

All are big-endian. Sums stop at what their bytes hold; the two at 16 and 19 are halved together instead, and so are the hours,
because only their proportions matter. An hour that is told late counts on its day while that is one of the eight.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

__all__ = ["EMPTY", "LENGTH", "Summary", "add", "since", "unpack"]

LENGTH = 94
EMPTY = bytes(LENGTH)
HOURS, DAYS = 22, 70
"""Where the hours begin, and the days."""
RING = 8
"""Days that are told apart."""
_MOST = 0xFF_FFFF
_FULL = 0xFFFF
_HEAD = Struct(">HHHIHIHBHB")
"""The sums; those of 6 and 3 bytes in two parts."""
_LAST = Struct(">HH")
"""The last hour and the days, from 2 on."""
_DAY = Struct(">24H")


class Summary(NamedTuple):
    """It, read."""

    first: int
    """Hours since 2025-01-01 UTC."""
    last: int
    days: int
    """On which it was active."""
    requests: int
    tokens: int
    windowed: int
    fresh: int
    hours: tuple[int, ...]
    """Requests by hour of the day (UTC), 24 of them."""
    recent: tuple[int, ...]
    """Requests of the last eight days, the last active day's last."""


def unpack(packed: bytes) -> Summary:
    """What was noted."""
    first, last, days, requests, tokens, windowed, fresh = _sums(packed)
    places = [DAYS + (last // 24 - back) % RING * 3 for back in range(RING - 1, -1, -1)]
    recent = tuple([int.from_bytes(packed[at : at + 3], "big") for at in places])
    return Summary(first, last, days, requests, tokens, windowed, fresh, _DAY.unpack_from(packed, HOURS), recent)


def add(packed: bytes, hour: int, requests: int, tokens: int, fresh: int = 0, windowed: int = 0) -> bytes:
    """More was done in `hour` (since 2025-01-01 UTC)."""
    first, last, days, had, spent, during, anew = _sums(packed)
    kept = bytearray(packed)
    day, newest = hour // 24, last // 24
    if not days:
        first, last, days, newest = hour, hour, 1, day
    elif day > newest:
        days += 1
        for each in range(max(newest + 1, day - RING + 1), day + 1):
            at = DAYS + each % RING * 3
            kept[at : at + 3] = b"\0\0\0"
        newest = day
    if day > newest - RING:
        at = DAYS + day % RING * 3
        kept[at : at + 3] = _sum(kept[at : at + 3], requests)
    _count(kept, HOURS + hour % 24 * 2, requests)
    during, anew = during + windowed, anew + fresh
    while during > _MOST or anew > _MOST:
        during, anew = during // 2, anew // 2
    spent = min(spent + tokens, 0xFFFF_FFFF_FFFF)
    kept[:HOURS] = _HEAD.pack(
        min(first, hour),
        max(last, hour),
        min(days, _FULL),
        min(had + requests, 0xFFFF_FFFF),
        *divmod(spent, 1 << 32),
        *divmod(during, 256),
        *divmod(anew, 256),
    )
    return bytes(kept)


def since(packed: bytes, day: int) -> bool:
    """Whether anything was done on that day or later."""
    last, days = _LAST.unpack_from(packed, 2)
    return bool(days) and last // 24 >= day


def _sums(packed: bytes) -> tuple[int, int, int, int, int, int, int]:
    first, last, days, requests, tokens, tokens_low, during, during_low, anew, anew_low = _HEAD.unpack_from(packed)
    return first, last, days, requests, tokens << 32 | tokens_low, during << 8 | during_low, anew << 8 | anew_low


def _sum(before: bytearray, more: int) -> bytes:
    return min(int.from_bytes(before, "big") + more, _MOST).to_bytes(3, "big")


def _count(kept: bytearray, at: int, requests: int) -> None:
    """Add to an hour of the day; where it is full, all of them are halved."""
    after = int.from_bytes(kept[at : at + 2], "big") + requests
    while after > _FULL:
        after //= 2
        halved = [each // 2 for each in _DAY.unpack_from(kept, HOURS)]
        _DAY.pack_into(kept, HOURS, *halved)
    kept[at : at + 2] = after.to_bytes(2, "big")
