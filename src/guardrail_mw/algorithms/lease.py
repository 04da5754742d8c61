"""Concurrency: slots that are lent for a time, so that whoever dies gives back what it held."""

from __future__ import annotations

__all__ = ["TTL", "count", "next_expiry", "sweep", "take"]

TTL = 30_000_000
"""µs a lease or an open receipt lives unless renewed."""

Held = dict[str, int]
"""Holder to expiry, µs."""


def sweep(held: Held, now: int) -> None:
    """Forget the leases that have expired; one that expires at `now` is free."""
    for holder in [holder for holder, expiry in held.items() if expiry <= now]:
        del held[holder]


def count(held: Held, now: int) -> int:
    """Leases that still hold at `now`."""
    return sum(expiry > now for expiry in held.values())


def take(held: Held, now: int, holder: str, limit: int) -> bool:
    """Lend a slot to `holder` for `TTL` if fewer than `limit` are out. A holder that has one keeps it."""
    sweep(held, now)
    if len(held) >= limit and holder not in held:
        return False
    held[holder] = now + TTL
    return True


def next_expiry(held: Held, now: int) -> int:
    """µs until the first lease expires by itself; 0 when none is out."""
    return min((expiry for expiry in held.values() if expiry > now), default=now) - now
