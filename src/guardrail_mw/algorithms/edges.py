"""What an account has shown, packed: 11 bytes an edge, at most 64 of them, in the order in which they were first shown.

An edge is 8 bytes of key (63 bits, big-endian), 2 of when it was first shown (hours since 2025-01-01 UTC, big-endian) and 1 of
when it last was (days since then, modulo 256). Where there is no room, edges that were not seen for more than 90 days go, and
where there are none, the one that was last seen longest ago; of several, the one shown first. What was not seen for long must be
removed (with `before`) by whoever keeps it: after 256 days its age begins anew.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from guardrail_mw.algorithms import keys

__all__ = [
    "CHEAP",
    "EDGE",
    "EPOCH",
    "KEPT",
    "MOST",
    "Edge",
    "Noted",
    "age",
    "day_of",
    "horizon",
    "hour_of",
    "long",
    "note",
    "pack",
    "remove",
    "short",
    "unpack",
    "youngest",
]

EDGE = 11
"""Bytes of an edge."""
MOST = 64
"""Edges of an account."""
CHEAP = frozenset({keys.EMAIL_DOMAIN, keys.ISSUER, keys.DEVICE_SEEN, keys.NETWORK_WIDE, *range(keys.TLS, keys.OWN)})
"""Codes of kinds that anybody can send; a policy's own are not among them."""
KEPT = 90
"""Days after which an edge that was not shown again is the first to go."""
EPOCH = 1_735_689_600_000_000
"""2025-01-01T00:00:00Z in µs."""

_HOUR = 3_600_000_000
_LAST = 0xFFFF
_KEY = 8
_NAME = 8
_NOBODY = bytes(6)
_ORDINARY, _URL_SAFE = b"+/", b"-_"
_TO_URL = bytes.maketrans(_ORDINARY, _URL_SAFE)
_FROM_URL = bytes.maketrans(_URL_SAFE, _ORDINARY)
_AGES = [bytes((today - each) % 256 for each in range(256)) for today in range(256)]
"""By today modulo 256: the age of an edge by the day it was last seen."""


class Edge(NamedTuple):
    """An edge, read."""

    key: int
    first: int
    """Hours since 2025-01-01 UTC."""
    last: int
    """Days since then, modulo 256."""


class Noted(NamedTuple):
    """What noting made of an account's edges."""

    edges: bytes
    new: tuple[bool, ...]
    """Parallel to the keys: whether the account had not shown it before."""
    gone: tuple[int, ...]
    """Keys of the edges that made room."""


def hour_of(now: int) -> int:
    """Hours since 2025-01-01 UTC at `now` µs, as far as 2 bytes go: to 2032."""
    hour = (now - EPOCH) // _HOUR
    return hour if 0 <= hour <= _LAST else 0 if hour < 0 else _LAST


def day_of(now: int) -> int:
    """Days since 2025-01-01 UTC at `now` µs."""
    return hour_of(now) // 24


def horizon(now: int, lookback: int) -> int:
    """The day since 2025-01-01 UTC that is `lookback` days before `now` µs; the first there is where that is earlier."""
    return max(0, day_of(now) - lookback)


def age(last: int, today: int) -> int:
    """Days since an edge was last seen, modulo 256."""
    return (today - last) % 256


def youngest(edges: bytes, today: int) -> int:
    """Days since any of the edges was seen; more than there are where there is none."""
    return min(edges[EDGE - 1 :: EDGE].translate(_AGES[today % 256]), default=_LAST)


def pack(edges: Sequence[Edge]) -> bytes:
    """Edges as they are kept."""
    return b"".join([_edge(*edge) for edge in edges])


def unpack(edges: bytes) -> Iterator[Edge]:
    """The edges, in the order in which they were first shown."""
    for at in range(0, len(edges), EDGE):
        key, first = int.from_bytes(edges[at : at + 8], "big"), int.from_bytes(edges[at + 8 : at + 10], "big")
        yield Edge(key, first, edges[at + 10])


def note(edges: bytes, keys: Sequence[int], now: int) -> Noted:
    """The account shows `keys` at `now` µs. Those that it has shown before are put down as seen before any makes room."""
    hour = hour_of(now)
    today = hour // 24 % 256
    kept = bytearray(edges)
    wanted = [key.to_bytes(_KEY, "big") for key in keys]
    places = [_place(kept, key) for key in wanted]
    for place in places:
        if place >= 0:
            kept[place + EDGE - 1] = today
    new = []
    gone: list[int] = []
    for key, place in zip(wanted, places, strict=True):
        is_new = place < 0 and _place(kept, key) < 0
        new.append(is_new)
        if is_new:
            if len(kept) >= MOST * EDGE:
                gone += _make_room(kept, today)
            kept += key + hour.to_bytes(2, "big") + bytes((today,))
    return Noted(bytes(kept), tuple(new), tuple(gone))


def remove(edges: bytes, keys: Sequence[int] | None, now: int, before: int | None = None) -> tuple[bytes, tuple[int, ...]]:
    """Take edges away: those of `keys`, all of them for None; and of these only what was last seen before the day `before`.

    Returns what is left, and the keys that went.
    """
    today = day_of(now)
    left, gone = [], []
    for edge in unpack(edges):
        if (keys is None or edge.key in keys) and (before is None or today - age(edge.last, today) < before):
            gone.append(edge.key)
        else:
            left.append(edge)
    return pack(left), tuple(gone)


def short(account: str) -> bytes:
    """The first 8 characters of an account's name, behind `a:`, in 6 bytes: base64url, as digests are written.

    A shorter name is filled up with `A`, and so is what base64url has no place for; nobody's real name has either.
    """
    name = account[2 : 2 + _NAME].encode("ascii", "replace").translate(_FROM_URL)
    name = bytes([each if chr(each).isalnum() or each in _ORDINARY else 65 for each in name])
    return a2b_base64(name.ljust(_NAME, b"A"))


def long(packed: bytes) -> str:
    """The name that `short` packed; empty where it stands for nobody."""
    return "" if packed == _NOBODY else b2a_base64(packed, newline=False).translate(_TO_URL).decode()


def _edge(key: int, first: int, last: int) -> bytes:
    return key.to_bytes(_KEY, "big") + first.to_bytes(2, "big") + bytes((last,))


def _place(edges: bytes | bytearray, key: bytes) -> int:
    """Where the edge with this key begins, -1 where there is none. What looks like a key in between is none."""
    at = edges.find(key)
    while at >= 0 and at % EDGE:
        at = edges.find(key, at + 1)
    return at


def _make_room(edges: bytearray, today: int) -> list[int]:
    ages = edges[EDGE - 1 :: EDGE].translate(_AGES[today])
    going = [at for at, each in enumerate(ages) if each > KEPT]
    if not going:
        cheap = [at for at in range(len(ages)) if edges[at * EDGE] >> 1 in CHEAP] or range(len(ages))
        going = [max(cheap, key=ages.__getitem__)]
    gone = []
    for at in reversed(going):
        begin = at * EDGE
        gone.append(int.from_bytes(edges[begin : begin + _KEY], "big"))
        del edges[begin : begin + EDGE]
    return gone[::-1]
