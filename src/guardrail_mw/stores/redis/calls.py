"""What the store sends, and what becomes of each answer: charges (also split over slots), settlements, renewals."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from guardrail_mw.errors import StoreError, StoreTimeout
from guardrail_mw.stores.base import Bill, Reading, Receipt, Settlement
from guardrail_mw.stores.redis import codec
from guardrail_mw.stores.redis.pipes import Call

if TYPE_CHECKING:
    from guardrail_mw.stores.redis.book import Book

__all__ = ["SETTLE", "Charge", "Renewal", "Settle", "Split", "SplitCharge", "padded"]

SETTLE = 5.0
"""Seconds that a settlement waits for a store that is away, then it is counted as lost."""
_ABSENT = Reading(ok=True, remaining=0, reset=0, wait=0)


class Charge(Call):
    """A bill, or a part of one. An admission that nobody takes is given back."""

    __slots__ = ("bill", "book", "ended", "owed", "part", "receipt")

    charges = True

    def __init__(self, book: Book, bill: Bill, part: codec.Part, payload: bytes, deadline: float) -> None:
        self.payload = payload
        self.deadline = deadline
        self.future: asyncio.Future[Any] = book.loop.create_future()
        self.replays = None
        self.book = book
        self.bill = bill
        self.part = part
        self.receipt: Receipt | None = None
        self.ended = False
        """Nothing can come of it any more."""
        self.owed = False
        """Whoever waited has left, and `drain` waits for its end."""

    def receive(self, reply: Any) -> int:
        """Wake the waiter, or give back; a command that was too late is sent once more, with the store's time as told."""
        receipt = codec.parse_charge(reply, self.bill, self.part)
        if receipt.code == "late" and self.bill.not_after is None and not self.future.done():
            left = round((self.deadline - monotonic()) * 1e6)
            self.payload = self.book.pack(self.bill, self.part, receipt.now + left)
            if not self.lane.late(self):
                self.fail(StoreTimeout("The store was reached too late."))
            return receipt.now
        self.answer(receipt)
        return receipt.now

    def answer(self, receipt: Receipt) -> None:
        """A receipt for whoever waits, or for nobody."""
        self.receipt = receipt
        if self.future.done():
            self._take_back()
        else:
            self.future.set_result(receipt)

    def leave(self) -> None:
        """Whoever waited is gone, perhaps in the moment when the answer was ready."""
        if self.ended:
            return
        if self.receipt is not None:
            self._take_back()
        elif not self.owed:
            self.future.cancel()
            self.owed = True
            self.book.debts.add()

    def _take_back(self) -> None:
        receipt = self.receipt
        if receipt is not None and receipt.code == "admitted":
            self._give_back(receipt)
        self.end()

    def _give_back(self, receipt: Receipt) -> None:
        self.book.give_back(receipt, self.part)

    def end(self) -> None:
        """Nothing can come of it any more."""
        self.ended = True
        if self.owed:
            self.owed = False
            self.book.debts.done()

    def fail(self, error: StoreError) -> None:
        """It charged nothing."""
        if not self.future.done():
            self.future.set_exception(error)
        self.end()

    def dropped(self) -> None:
        """It was never sent."""
        self.end()


class Split:
    """A bill over several slots: admitted where all its parts are; else those that were are given back."""

    __slots__ = ("became", "bill", "calls", "future", "left", "receipts")

    def __init__(self, bill: Bill, count: int, future: asyncio.Future[Receipt]) -> None:
        self.became: codec.Became = "admitted"
        """What is known to have become of all of it; where nobody waits any more, each part's counts stay as they are."""
        self.bill = bill
        self.calls: list[SplitCharge] = []
        self.future = future
        self.receipts: list[Receipt | None] = [None] * count
        self.left = count

    def answer(self, index: int, receipt: Receipt) -> None:
        """One part's; the last concludes."""
        self.receipts[index] = receipt
        self.left -= 1
        if self.left:
            return
        receipts = [receipt for receipt in self.receipts if receipt is not None]
        merged = codec.merge(self.bill, receipts)
        self.future.set_result(merged)
        if merged.code != "admitted":
            self.became = "denied" if merged.code == "denied" else "stale"
            self.leave()

    def leave(self) -> None:
        """Give back what was admitted, and what still will be."""
        for call in self.calls:
            call.leave()


class SplitCharge(Charge):
    """A part of a `Split`; all share one future."""

    __slots__ = ("index", "split")

    def __init__(self, book: Book, split: Split, index: int, part: codec.Part, payload: bytes, deadline: float) -> None:
        self.payload = payload
        self.deadline = deadline
        self.future = split.future
        self.replays = None
        self.book = book
        self.bill = split.bill
        self.part = part
        self.receipt = None
        self.ended = self.owed = False
        self.split = split
        self.index = index

    def answer(self, receipt: Receipt) -> None:
        """Into the whole; where that is decided already, back."""
        self.receipt = receipt
        if self.future.done():
            self._take_back()
        else:
            self.split.answer(self.index, receipt)

    def _give_back(self, receipt: Receipt) -> None:
        self.book.give_back(receipt, self.part, self.split.became)


def padded(receipt: Receipt, part: codec.Part) -> Receipt:
    """A part's receipt as one of the whole bill, with nothing charged elsewhere."""
    count = sum(len(entry.steps) for entry in receipt.bill.entries)
    if len(receipt.readings) == count:
        return receipt
    after = count - part.first - len(receipt.readings)
    return receipt._replace(readings=(_ABSENT,) * part.first + receipt.readings + (_ABSENT,) * after)


class Settle(Call):
    """A settlement, or a part of one. Sent again only where it cannot have run, or where its receipt makes that harmless."""

    __slots__ = ("book", "followers", "repeatable", "settlement")

    def __init__(
        self, book: Book, settlement: Settlement, payload: bytes, *, repeatable: bool, followers: Sequence[codec.Part] = ()
    ) -> None:
        self.payload = payload
        self.deadline = monotonic() + SETTLE
        self.replays = None
        self.book = book
        self.settlement = settlement
        self.repeatable = repeatable
        """It removes a receipt: done twice, the second finds nothing."""
        self.followers = followers
        book.debts.add()

    def wanted(self) -> bool:
        """Always: nobody waits for it."""
        return True

    def receive(self, reply: Any) -> int:
        """Settled, now or before; what follows goes to the other slots, if this was the first time."""
        if codec.parse_settle(reply) and self.followers:
            self.book.follow(self.settlement, self.followers)
        self.book.debts.done()
        return 0

    def fail(self, error: StoreError) -> None:
        """Refused, or the store was away for too long: the charge stands as it was."""
        self.book.lost_settlement(error)
        self.book.debts.done()

    def lost(self, error: StoreError) -> None:
        """It may have run: once more if that is harmless."""
        if self.repeatable and self.may_replay("LOST", 1):
            self.lane.errand(self)
            self.lane.hurry()
        else:
            self.fail(error)


class Renewal(Call):
    """Keeps a part of a receipt open. While it is under way its receipt must not be settled: it would come back to life."""

    __slots__ = ("book", "id")

    def __init__(self, book: Book, receipt_id: str, payload: bytes, deadline: float) -> None:
        super().__init__(payload, deadline, book.loop.create_future())
        self.book = book
        self.id = receipt_id
        book.renewals.began(self)

    def receive(self, reply: Any) -> int:
        """The marks are here."""
        super().receive(reply)
        self.book.renewals.ended(self)
        return 0

    def fail(self, error: StoreError) -> None:
        """The receipt stays as it was."""
        if not self.future.done():
            self.future.set_exception(error)
        self.book.renewals.ended(self)

    def dropped(self) -> None:
        """It was never sent."""
        self.book.renewals.ended(self)
