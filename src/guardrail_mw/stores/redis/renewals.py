"""Renewals under way, and the settlements that must wait for them: what is settled before would come back to life."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING

from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import Receipt, Settlement
from guardrail_mw.stores.redis import codec
from guardrail_mw.stores.redis.calls import Renewal

if TYPE_CHECKING:
    from guardrail_mw.stores.redis.book import Book

__all__ = ["Renewals"]


class Renewals:
    """Those of one event loop."""

    def __init__(self, book: Book, prefix: str) -> None:
        self._book = book
        self._ways = book.ways
        self._prefix = prefix
        self._under_way: dict[str, list[Renewal]] = {}
        self._deferred: dict[str, list[Settlement]] = {}

    async def renew(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        """See `Store.renew`."""
        deadline = monotonic() + self._ways.patience
        calls: list[tuple[int, codec.Part, Renewal]] = []
        for index, receipt in enumerate(receipts):
            for part in self._book.parts(receipt.bill) if receipt.open else ():
                payload = codec.renew_command(receipt, part, self._prefix, self._ways.now())
                if payload is None:
                    continue
                try:
                    lane, slot = self._ways.way(part.home)
                except StoreError:
                    continue
                call = Renewal(self._book, receipt.bill.id, payload, deadline)
                call.slot = slot
                lane.errand(call)
                calls.append((index, part, call))
        if calls:
            try:
                await asyncio.wait([call.future for _, _, call in calls], timeout=self._ways.patience)
            finally:
                for _, _, call in calls:
                    call.future.cancel()
        renewed = list(receipts)
        for index, part, call in calls:
            if not call.future.cancelled() and call.future.exception() is None:
                renewed[index] = codec.parse_renew(call.future.result(), renewed[index], part)
        return renewed

    def began(self, call: Renewal) -> None:
        """A renewal is under way."""
        self._under_way.setdefault(call.id, []).append(call)

    def ended(self, call: Renewal) -> None:
        """It is no more: what was settled meanwhile can go."""
        under_way = self._under_way.get(call.id, [])
        if call in under_way:
            under_way.remove(call)
        if not under_way:
            self._under_way.pop(call.id, None)
            for settlement in self._deferred.pop(call.id, ()):
                self._book.settle(settlement)
                self._book.debts.done()

    def defer(self, settlement: Settlement) -> bool:
        """Settle it later, where its receipt is being renewed. False where it is not."""
        bill = settlement.receipt.bill
        if bill.id not in self._under_way:
            return False
        self._book.debts.add()
        self._deferred.setdefault(bill.id, []).append(settlement)
        return True
