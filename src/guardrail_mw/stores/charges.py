"""What bills take of the memory store's homes, and what becomes of it. Everything is done under the store's lock."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal

from guardrail_mw.algorithms import gcra, lease
from guardrail_mw.stores.base import Bill, Count, Gcra, Lease, Reading, Receipt, Settlement, Share, Step, opens
from guardrail_mw.stores.buckets import plains, take_all
from guardrail_mw.stores.clearing import clear
from guardrail_mw.stores.homes import Home, Homes
from guardrail_mw.stores.kinds import KINDS, Kind, bucket_of

__all__ = ["Charges"]

_tuple = tuple.__new__

_Taken = tuple[Kind, Step, Home, int, Any, bool]


class _Open:
    """An open receipt: where its charges really lie."""

    __slots__ = ("homes", "payer", "shares")

    def __init__(self, payer: Home, homes: list[Home], shares: tuple[tuple[str, int], ...]) -> None:
        self.payer = payer
        self.homes = homes
        self.shares = shares


class Charges:
    """Takes bills, settles and renews them. Standings are nothing to it: a bill comes here once its version is the newest.

    Args:
        homes: what is charged.
    """

    def __init__(self, homes: Homes) -> None:
        self._homes = homes
        self.open: dict[str, _Open] = {}
        """Receipts that are to be settled, by their bills' ids."""

    # Charging

    def charge(self, bill: Bill, now: int) -> Receipt:
        """Take all of a bill or nothing; but for what counts refusals."""
        if self._homes.due <= now:
            self.evict(now)
        steps = plains(bill)
        if steps is None:
            return self._take(bill, now)
        known, find = self._homes.known.get, self._homes.find
        homes = [known(entry.home) or find(entry.home, entry.parent, now) for entry in bill.entries]
        readings = take_all(homes, steps, now, bill.id)
        if readings is None:
            return self._take(bill, now)
        is_open = opens(bill)
        if is_open:
            self._leave(bill, homes, (), now)
        return _tuple(Receipt, (bill, "admitted", now, None, readings, is_open, False, ()))

    def _take(self, bill: Bill, now: int) -> Receipt:
        """The long way, for bills of anything, and for those that are refused."""
        homes = self._all(bill, now)
        taken, admitted = _take(bill, homes, now)
        if not admitted:
            for home in homes:
                home.note(now)
            for kind, step, home, own, state, _ in taken:
                if isinstance(step, Count) and step.what != "admitted":
                    kind.write(step, home, own, state, bill.id)
            return Receipt(bill, "denied", now, None, _read(taken, charged=False))
        for home in homes:
            home.tick(now)
        for kind, step, home, own, state, _ in taken:
            if state is not None and not (isinstance(step, Count) and step.what == "denied"):
                kind.write(step, home, own, state, bill.id)
        is_open = opens(bill)
        if is_open:
            shares = [
                (step.field, step.cost) for _, step, _, _, state, _ in taken if type(step) is Share and state is not None
            ]
            self._leave(bill, homes, tuple(shares), now)
        return Receipt(bill, "admitted", now, None, _read(taken, charged=True), is_open)

    def peek(self, bill: Bill, now: int) -> Receipt:
        """What `charge` would say; nothing is taken."""
        homes = [copy.deepcopy(self._homes.known.get(entry.home)) or Home() for entry in bill.entries]
        taken, admitted = _take(bill, homes, now)
        code: Literal["admitted", "denied"] = "admitted" if admitted else "denied"
        return Receipt(bill, code, now, None, _read(taken, charged=False))

    def _all(self, bill: Bill, now: int) -> list[Home]:
        return [self._homes.find(entry.home, entry.parent, now) for entry in bill.entries]

    def _leave(self, bill: Bill, homes: list[Home], shares: tuple[tuple[str, int], ...], now: int) -> None:
        """Leave the receipt beside the payer's home."""
        payer = self._payer(bill, homes, now)
        self._lay(payer, bill.id, shares, now)
        self.open[bill.id] = _Open(payer, homes, shares)

    def _lay(self, payer: Home, receipt: str, shares: tuple[tuple[str, int], ...], now: int) -> None:
        for swept in payer.leave(receipt, payer.tick(now), shares):
            self.open.pop(swept, None)

    def _payer(self, bill: Bill, homes: list[Home], now: int) -> Home:
        for entry, home in zip(bill.entries, homes, strict=True):
            if entry.home == bill.payer:
                return home
        return self._homes.find(bill.payer, "e", now)

    # Homes that go

    def evict(self, now: int) -> None:
        """Homes that equal a new subject's go, and their receipts with them."""
        for receipt in self._homes.evict(now):
            self.open.pop(receipt, None)

    def forget(self, name: str) -> bool:
        """Make a home as new, its time and its receipts as well. False where there was nothing."""
        home = self._homes.known.get(name)
        if home is None:
            return False
        for receipt in home.open:
            self.open.pop(receipt, None)
        some = bool(home.open or home.counters or home.shares)
        clear(home, None)
        home.open.clear()
        home.last = home.offset = home.expiry = 0
        return some

    def _present(self, held: _Open, bill: Bill, now: int) -> list[Home]:
        """The homes of an open receipt; one that was evicted since, for it equalled a newcomer's, is a newcomer's."""
        for index, entry in enumerate(bill.entries):
            if held.homes[index].evicted:
                held.homes[index] = self._homes.find(entry.home, entry.parent, now)
        return held.homes

    # Settling

    def settle(self, settlement: Settlement, now: int) -> bool:
        """Correct what was charged to what was used. False where the receipt is open no more: nothing is done then."""
        bill = settlement.receipt.bill
        homes: Sequence[Home | None]
        if settlement.receipt.open:
            held = self.open.pop(bill.id, None)
            if held is None or not held.payer.forget(bill.id, held.payer.time(now)):
                return False
            homes = self._present(held, bill, now)
        else:
            known = self._homes.known.get
            homes = [known(entry.home) or known(entry.parent) for entry in bill.entries]
        _settle(settlement, homes, now)
        return True

    def renew(self, receipt: Receipt, now: int) -> Receipt:
        """Keep an open receipt, its leases and its reservations for as long again; what was lost is put back."""
        bill = receipt.bill
        held = self.open.get(bill.id)
        if held is None:
            homes = self._all(bill, now)
            shares = tuple((step.field, step.cost) for step, reading in _charged(receipt) if isinstance(step, Share))
            held = _Open(self._payer(bill, homes, now), homes, shares)
        self._lay(held.payer, bill.id, held.shares, now)
        self.open[bill.id] = held
        readings = list(receipt.readings)
        index = 0
        for entry, home in zip(bill.entries, self._present(held, bill, now), strict=True):
            for step in entry.steps:
                noted = readings[index].mark
                if isinstance(step, Lease) and noted is not None:
                    own = home.tick(now)
                    KINDS[Lease].write(step, home, own, own + lease.TTL, bill.id)
                elif isinstance(step, Gcra) and noted is not None:
                    own = home.tick(now)
                    mark = gcra.mark(noted, step.cost, step.amount, step.period)
                    mark = gcra.renew(bucket_of(home, step.field), own, mark, step.amount)
                    readings[index] = readings[index]._replace(mark=mark)
                index += 1
        return receipt._replace(readings=tuple(readings))


def _take(bill: Bill, homes: list[Home], now: int) -> tuple[list[_Taken], bool]:
    """Every step's state after the bill, and whether all admit it."""
    taken: list[_Taken] = []
    admitted = True
    for entry, home in zip(bill.entries, homes, strict=True):
        own = home.time(now)
        for step in entry.steps:
            kind = KINDS[type(step)]
            state, ok = kind.take(step, home, own, bill.id)
            taken.append((kind, step, home, own, state, ok))
            if not ok and not getattr(step, "shadow", True):
                admitted = False
    return taken, admitted


def _read(taken: list[_Taken], *, charged: bool) -> tuple[Reading, ...]:
    return tuple(
        [
            kind.read(step, home, own, ok=ok, charged=charged and state is not None)
            for kind, step, home, own, state, ok in taken
        ]
    )


def _charged(receipt: Receipt) -> list[tuple[Step, Reading]]:
    """The steps that were charged, with their readings."""
    steps = [step for entry in receipt.bill.entries for step in entry.steps]
    return [(step, reading) for step, reading in zip(steps, receipt.readings, strict=True) if reading.mark is not None]


def _settle(settlement: Settlement, homes: Sequence[Home | None], now: int) -> None:
    receipt, outcome, used, _ = settlement
    cancelled = outcome == "cancelled"
    readings = receipt.readings
    index = -1
    for entry, home in zip(receipt.bill.entries, homes, strict=True):
        for step in entry.steps:
            index += 1
            mark = readings[index].mark
            if home is None or mark is None:
                continue
            spent = 0 if cancelled else used[index] if used else None
            if type(step) is Gcra and (spent is None or spent == step.cost):
                continue  # as most: nothing to correct
            if KINDS[type(step)].settle(step, home, home.time(now), mark, spent, receipt.bill.id):
                home.tick(now)
