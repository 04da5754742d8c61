"""What one command carries of a bill: all of it on one server, what lies in one slot on a cluster."""

from __future__ import annotations

from typing import NamedTuple

from redis import crc

from guardrail_mw.stores.base import Bill, Entry, opens

__all__ = ["Part", "key_slot", "parts", "whole"]


class Part:
    """What one command carries of a bill."""

    __slots__ = ("entries", "first", "home", "notes", "receipt", "standing")

    def __init__(self, entries: tuple[Entry, ...], first: int, home: str, *, receipt: bool, standing: bool) -> None:
        self.entries = entries
        self.first = first
        """Index of its first reading among the bill's."""
        self.home = home
        """Names the slot: every key shares this tag."""
        self.receipt = receipt
        """It holds the receipt: its slot is the payer's."""
        self.standing = standing
        """It checks the version: its slot is the candidate's."""
        self.notes: object = None
        """What its commands have in common, once one was made."""


class _Whole(NamedTuple):
    """The part that is all of a bill, kept with the entries that it is made of."""

    entries: tuple[Entry, ...]
    payer: str
    candidate: str
    part: Part


def whole(bill: Bill) -> Part:
    """All of a bill in one command, for a server that spans all keys."""
    entries = bill.entries
    kept = entries[0].whole if entries else None
    if type(kept) is _Whole and kept.entries is entries and kept.payer == bill.payer and kept.candidate == bill.candidate:
        return kept.part
    receipt = opens(bill)
    carried = entries
    if receipt and all([entry.home != bill.payer for entry in entries]):
        carried = (*entries, Entry(bill.payer, ()))
    part = Part(carried, 0, bill.payer, receipt=receipt, standing=bool(bill.candidate))
    if entries:
        entries[0].whole = _Whole(entries, bill.payer, bill.candidate, part)
    return part


def parts(bill: Bill) -> tuple[Part, ...]:
    """One part a home, for Redis Cluster: the payer's first, and one for the candidate's standing where it has no other."""
    receipt = opens(bill)
    found: list[Part] = []
    first = 0
    for entry in bill.entries:
        home = entry.home
        found.append(Part((entry,), first, home, receipt=receipt and home == bill.payer, standing=home == bill.candidate))
        first += len(entry.steps)
    if receipt and not any(part.receipt for part in found):
        own = (Entry(bill.payer, ()),)
        found.append(Part(own, first, bill.payer, receipt=True, standing=bill.payer == bill.candidate))
    if bill.candidate and not any(part.standing for part in found):
        found.append(Part((), first, bill.candidate, receipt=False, standing=True))
    found.sort(key=lambda part: not part.receipt)
    return tuple(found)


def key_slot(home: str) -> int:
    """The slot of a home's keys: that of its hash tag."""
    return crc.key_slot(home.encode())
