"""A process that must decide alone: the same bill on a store of its own, at its share of every limit.

`processes` share a limit, so each lets a fraction through: a rate's period is multiplied by their number, everything that is
an amount is divided by it, rounded down but never below 1. What then no longer fits passes when the bucket (the window, the
budget, the share) is new, and owes the rest: exactly what a bucket as deep as the cost does.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from typing import TYPE_CHECKING

from guardrail_mw.stores.base import Bill, Budget, Entry, Gcra, Lease, Receipt, Settlement, Share, Window

if TYPE_CHECKING:
    from guardrail_mw.stores.base import Step, Store

__all__ = ["Alone", "scaled"]

HELD = 100_000
"""Open receipts of the shared store that are remembered at most."""


def scaled(step: Step, processes: int) -> Step:
    """One process's share of a step. A cost that did not fit the whole does not fit the share either."""
    match step:
        case Gcra():
            return _gcra(step, processes)
        case Window() | Budget():
            return step._replace(amount=_room(step.cost, step.amount, processes))
        case Lease():
            return step._replace(limit=_part(step.limit, processes))
        case Share():
            return step._replace(cap=_room(step.cost, step.cap, processes))
        case _:  # distinct values are counted, never limited
            return step


def _gcra(step: Gcra, processes: int) -> Gcra:
    common = gcd(step.amount, processes)
    depth = _room(step.cost, step.burst - step.kept, processes)
    burst = max(_part(step.burst, processes), depth)
    return step._replace(
        amount=step.amount // common,
        period=step.period * (processes // common),
        burst=burst,
        kept=burst - depth,
    )


def _part(whole: int, processes: int) -> int:
    return max(whole // processes, min(whole, 1))


def _room(cost: int, whole: int, processes: int) -> int:
    part = _part(whole, processes)
    return cost if part < cost <= whole else part


class Alone:
    """Charges bills on `store`, which nobody else uses, at a share of `processes`.

    The standing is not checked there: a bill's version is the newest that this process knows, or its owner says `stale`.
    Leases and shares that this process holds in the shared store count from the first bill on (`hold`).
    """

    def __init__(self, store: Store, processes: int) -> None:
        self.store = store
        self._processes = processes
        self._held: dict[str, Receipt] = {}
        self._adopted: dict[str, Receipt] = {}

    async def charge(self, bill: Bill) -> Receipt:
        """The receipt's bill is the one that was charged: settle and renew with it."""
        if self._held:
            await self._adopt()
        entries = bill.entries
        if self._processes > 1:
            entries = tuple([_entry(entry, self._processes) for entry in entries])
        receipt = await self.store.charge(bill._replace(entries=entries, candidate="", version=0, not_after=None, edges=()))
        return receipt._replace(bill=receipt.bill._replace(candidate=bill.candidate, version=bill.version), local=True)

    def settle(self, settlement: Settlement) -> None:
        """Settle a receipt that was charged here; what it taught is its owner's to keep."""
        self.store.settle([settlement._replace(receipt=_own(settlement.receipt), changes=())])

    async def renew(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        """Renew what was charged here."""
        renewed = await self.store.renew([_own(receipt) for receipt in receipts])
        return [
            after._replace(bill=after.bill._replace(candidate=before.bill.candidate, version=before.bill.version))
            for before, after in zip(receipts, renewed, strict=True)
        ]

    # What this process holds in the shared store

    def hold(self, receipt: Receipt) -> None:
        """The shared store opened a receipt."""
        if len(self._held) >= HELD:
            del self._held[next(iter(self._held))]
        self._held[receipt.bill.id] = receipt

    def release(self, receipt: Receipt) -> None:
        """It was settled."""
        self._held.pop(receipt.bill.id, None)
        adopted = self._adopted.pop(receipt.bill.id, None)
        if adopted is not None:
            self.store.settle([Settlement(adopted, "cancelled")])

    async def keep(self, receipts: Sequence[Receipt]) -> None:
        """They were renewed: what was taken over here lives on as well."""
        adopted = [self._adopted[each.bill.id] for each in receipts if each.bill.id in self._adopted]
        if adopted:
            await self.store.renew(adopted)

    async def _adopt(self) -> None:
        held, self._held = self._held, {}
        adopted = [taken for taken in map(_slots, held.values()) if taken is not None]
        while len(self._adopted) > HELD:
            del self._adopted[next(iter(self._adopted))]
        self._adopted.update((each.bill.id, each) for each in adopted)
        await self.store.renew(adopted)


def _entry(entry: Entry, processes: int) -> Entry:
    return Entry(entry.home, tuple([scaled(step, processes) for step in entry.steps]), entry.parent)


def _own(receipt: Receipt) -> Receipt:
    return receipt._replace(bill=receipt.bill._replace(candidate="", version=0))


def _slots(receipt: Receipt) -> Receipt | None:
    """The leases and shares of a receipt, as a receipt of their own; None where it holds none."""
    bill = receipt.bill
    entries = []
    readings = []
    index = 0
    for entry in bill.entries:
        kept = []
        for step in entry.steps:
            reading = receipt.readings[index]
            if isinstance(step, (Lease, Share)) and reading.mark is not None:
                kept.append(step)
                readings.append(reading._replace(mark=()))
            index += 1
        if kept:
            entries.append(Entry(entry.home, tuple(kept), entry.parent))
    if not entries:
        return None
    own = bill._replace(entries=tuple(entries), candidate="", version=0, proved=False, not_after=None)
    return receipt._replace(bill=own, readings=tuple(readings))
