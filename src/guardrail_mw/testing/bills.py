"""Short ways to say what the contract's tests ask of a store."""

from __future__ import annotations

from itertools import count
from typing import Any, Literal, TypeAlias

from guardrail_mw.stores.base import (
    Bill,
    Budget,
    Change,
    Count,
    Distinct,
    Entry,
    Gcra,
    Lease,
    Receipt,
    Settlement,
    Share,
    Sketch,
    Step,
    Store,
    Window,
)

__all__ = [
    "ACCOUNT",
    "DAY",
    "HOUR",
    "MINUTE",
    "NETWORK",
    "SECOND",
    "Shown",
    "bill",
    "bucket",
    "budget",
    "counted",
    "distinct",
    "lease",
    "look",
    "settled",
    "share",
    "shown",
    "sketch",
    "spread",
    "take",
    "window",
]

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 3600 * SECOND
DAY = 24 * HOUR
ACCOUNT = "a:0001"
NETWORK = "n:0001"

Shown: TypeAlias = tuple[bool, int, int, int]
"""Of a reading: ok, remaining, reset, wait."""

_ids = count(1)


def bucket(cost: int, burst: int = 10, amount: int = 1, period: int = SECOND, **more: Any) -> Gcra:
    """One unit a second, ten deep."""
    return Gcra("bucket", cost, amount, period, burst, **more)


def window(cost: int, amount: int = 10, length: int = MINUTE, **more: Any) -> Window:
    """Ten a minute; a pane is 3 s."""
    return Window("window", cost, amount, length, **more)


def budget(cost: int, amount: int = 10, calendar: Any = "minute", **more: Any) -> Budget:
    """Ten a calendar minute."""
    return Budget("budget", cost, amount, calendar, **more)


def lease(limit: int = 1, **more: Any) -> Lease:
    """One slot."""
    return Lease("lease", limit, **more)


def share(cost: int, cap: int = 100, **more: Any) -> Share:
    """A hundred units in open reservations."""
    return Share("share", cost, cap, **more)


def distinct(number: int, length: int = HOUR) -> Distinct:
    """A value; within an hour, in panes of a minute."""
    return Distinct("distinct", f"{number:016x}", length)


def sketch(number: int, length: int = HOUR) -> Sketch:
    """A value among very many; within an hour or two."""
    return Sketch("sketch", f"{number:016x}", length)


def counted(what: Literal["attempts", "admitted", "denied"], cost: int = 1, length: int = MINUTE) -> Count:
    """A count over a minute; a pane is 3 s."""
    return Count(f"counted-{what}", what, length, cost)


def bill(*steps: Step, home: str = ACCOUNT, **more: Any) -> Bill:
    """A bill of one home, which pays."""
    return spread((home, *steps), **more)


def spread(*entries: tuple[str, *tuple[Step, ...]], **more: Any) -> Bill:
    """A bill of several homes; the first pays."""
    made = tuple(Entry(home, tuple(steps)) for home, *steps in entries)
    return Bill(f"{next(_ids):024x}", made, entries[0][0], **more)


def shown(receipt: Receipt) -> list[Shown]:
    """What the receipt's readings show."""
    return [(reading.ok, reading.remaining, reading.reset, reading.wait) for reading in receipt.readings]


async def take(store: Store, *steps: Step, home: str = ACCOUNT, **more: Any) -> Receipt:
    """Charge a bill of one home."""
    return await store.charge(bill(*steps, home=home, **more))


async def look(store: Store, *steps: Step, home: str = ACCOUNT) -> list[tuple[int, int]]:
    """Peek: of each step, what remains, and when it is as new."""
    receipt = await store.peek(bill(*steps, home=home))
    return [(reading.remaining, reading.reset) for reading in receipt.readings]


async def settled(
    store: Store,
    receipt: Receipt,
    *used: int | None,
    outcome: Literal["settled", "cancelled"] = "settled",
    changes: tuple[Change, ...] = (),
) -> None:
    """Settle, and wait until it is carried out. What is not said of a step's use is None."""
    silent = (None,) * (len(receipt.readings) - len(used))
    store.settle([Settlement(receipt, outcome, (*used, *silent), changes)])
    await store.drain()
