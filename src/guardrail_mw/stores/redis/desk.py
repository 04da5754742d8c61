"""What an operator does to one subject: plain commands, for nobody waits and the keys are found out first.

A home's hash names every field that its other keys belong to: whoever makes one of those notes it there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeAlias

from guardrail_mw.stores.redis.charging import parse_standing
from guardrail_mw.stores.redis.scripts import command, tag

__all__ = ["erase", "export", "reset"]

Ask: TypeAlias = Callable[[bytes], Awaitable[Any]]
"""Sends a command to the home's slot."""
_TIME = "t"
"""The home's own time stays, whatever is made new: what is open counts on it."""


def _rings(names: Iterable[str]) -> dict[str, list[str]]:
    """Each field, and what a hash has of it: itself, and the slots of its ring, `field:0` to `field:20`."""
    found: dict[str, list[str]] = {}
    for name in names:
        if name != _TIME:
            field, colon, slot = name.rpartition(":")
            found.setdefault(field if colon and slot.isdecimal() else name, []).append(name)
    return found


def _beside(key: str, field: str) -> list[str]:
    """A field's keys besides the hash."""
    return [f"{key}:l:{field}", f"{key}:d:{field}", f"{key}:h:{field}:0", f"{key}:h:{field}:1"]


async def _fields(ask: Ask, key: str) -> dict[str, list[str]]:
    return _rings(name.decode() for name in await ask(command("HKEYS", key)))


async def reset(ask: Ask, prefix: str, home: str, fields: Sequence[str] | None) -> int:
    """See `Desk.reset`."""
    key = tag(prefix, home)
    there = await _fields(ask, key)
    gone = [field for field in there if fields is None or field in fields]
    if gone:
        await ask(command("DEL", *[each for field in gone for each in _beside(key, field)]))
        await ask(command("HDEL", key, *[name for field in gone for name in there[field]]))
    return len(gone)


async def export(ask: Ask, prefix: str, account: str) -> dict[str, Any]:
    """See `Desk.export`."""
    key = tag(prefix, account)
    stored, standing, receipts = await asyncio.gather(
        ask(command("HGETALL", key)), ask(command("HGETALL", f"{key}:s")), ask(command("ZRANGE", f"{key}:r", "0", "-1"))
    )
    counters = _pairs(stored)
    counters.pop(_TIME, None)
    fields = list(_rings(counters))
    leases = await asyncio.gather(*[_scores(ask, f"{key}:l:{field}") for field in fields])
    values = await asyncio.gather(*[_scores(ask, f"{key}:d:{field}") for field in fields])
    found = parse_standing(standing)
    beside = {field for field, *kept in zip(fields, leases, values, strict=True) if any(kept)}
    return {
        "account": account,
        "standing": {"version": found.version, "seen": found.seen, "fields": dict(found.fields)},
        "counters": {name: value for name, value in counters.items() if name not in beside},
        "leases": {field: held for field, held in zip(fields, leases, strict=True) if held},
        "distinct": {field: seen for field, seen in zip(fields, values, strict=True) if seen},
        "receipts": sorted(receipt.decode().partition("|")[0] for receipt in receipts),
    }


def _pairs(stored: Any) -> dict[str, str]:
    if isinstance(stored, dict):
        stored = [each for pair in stored.items() for each in pair]
    flat = [each.decode() for each in stored]
    return dict(zip(flat[::2], flat[1::2], strict=True))


async def _scores(ask: Ask, key: str) -> dict[str, int]:
    return {
        member: int(score) for member, score in _pairs(await ask(command("ZRANGE", key, "0", "-1", "WITHSCORES"))).items()
    }


async def erase(ask: Ask, prefix: str, account: str) -> bool:
    """See `Desk.erase`."""
    key = tag(prefix, account)
    keys = [key, f"{key}:s", f"{key}:r"]
    keys += [each for field in await _fields(ask, key) for each in _beside(key, field)]
    return bool(await ask(command("DEL", *keys)))
