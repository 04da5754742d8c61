"""Who holds a value. Most are held once, and of those nothing is kept but the holder: 12 bytes in a bucket, one after another.

A value's key is 8 bytes (`edges`). Its last two name one of 65,536 buckets; there the other six stand with the six of its
holder's short name. What a second account shows moves out, into a record of its own: the first holder (6 bytes), how many hold
it (4), and where a rebuild had something to say, how many established ones (4) and at most three clusters, the heaviest first:
id (6 bytes) and weight in millinats (4, signed). All are big-endian.
"""

from __future__ import annotations

from collections.abc import Sequence

from guardrail_mw.algorithms.edges import long

__all__ = ["BARE", "SINGLE", "Bucket", "Said", "bare", "cut", "drop", "find", "hold", "holder", "read", "said"]

SINGLE = 12
"""Bytes of a value held once."""
BARE = 10
"""Bytes of a record of which no rebuild has said anything."""
CLUSTERS = 3
_REST = 6
_FULL = 0xFFFF_FFFF
_LEAST, _LARGEST = -(2**31), 2**31 - 1

Bucket = bytearray
"""Values held once, as they came."""
Said = tuple[int, str, int, tuple[tuple[str, int], ...]]
"""Holders, the first one's short name, the established, the clusters."""


def find(bucket: bytes | bytearray, rest: bytes) -> int:
    """Where a value stands in its bucket, by the first six bytes of its key; -1 where it does not."""
    at = bucket.find(rest)
    while at >= 0 and at % SINGLE:
        at = bucket.find(rest, at + 1)
    return at


def holder(bucket: bytes | bytearray, at: int) -> bytes:
    """Who holds the value that stands there."""
    return bytes(bucket[at + _REST : at + SINGLE])


def cut(bucket: bytearray, at: int) -> bytes:
    """Take out the value that stands there; returns its holder."""
    found = holder(bucket, at)
    del bucket[at : at + SINGLE]
    return found


def bare(first: bytes, holders: int) -> bytes:
    """A record of which no rebuild has said anything."""
    return first + holders.to_bytes(4, "big")


def hold(record: bytes) -> bytes:
    """One more holds it."""
    return record[:_REST] + min(int.from_bytes(record[_REST:BARE], "big") + 1, _FULL).to_bytes(4, "big") + record[BARE:]


def drop(record: bytes, who: bytes) -> bytes:
    """One fewer holds it; nothing is left where nobody does. Who was first and is no more is not remembered."""
    left = int.from_bytes(record[_REST:BARE], "big") - 1
    if left <= 0:
        return b""
    first = bytes(_REST) if record[:_REST] == who else record[:_REST]
    return first + left.to_bytes(4, "big") + record[BARE:]


def said(established: int, clusters: Sequence[tuple[str, int]]) -> bytes:
    """What a rebuild says of a value, as it stands at a record's end."""
    if not established and not clusters:
        return b""
    packed = [min(established, _FULL).to_bytes(4, "big")]
    for cluster, weight in clusters[:CLUSTERS]:
        packed += bytes.fromhex(cluster), min(max(weight, _LEAST), _LARGEST).to_bytes(4, "big", signed=True)
    return b"".join(packed)


def read(record: bytes) -> Said:
    """A record, or a holder alone."""
    first = long(record[:_REST])
    if len(record) < BARE:
        return 1, first, 0, ()
    established = int.from_bytes(record[BARE : BARE + 4], "big")
    clusters = [
        (record[at : at + 6].hex(), int.from_bytes(record[at + 6 : at + 10], "big", signed=True))
        for at in range(BARE + 4, len(record), 10)
    ]
    return int.from_bytes(record[_REST:BARE], "big"), first, established, tuple(clusters)
