"""What one command carries of a bill: all of it on one server, what lies in one slot on a cluster."""

from __future__ import annotations

from redis import crc

from guardrail_mw.stores.base import Bill, Entry, opens

__all__ = ["Part", "key_slot", "parts", "whole"]


class Part:
    """What one command carries of a bill."""

    __slots__ = ("_candidate", "_entries", "_payer", "entries", "first", "home", "notes", "receipt", "standing")

    def __init__(
        self, bill: Bill, entries: tuple[Entry, ...], first: int, home: str, *, receipt: bool, standing: bool
    ) -> None:
        self._entries = bill.entries
        self._payer = bill.payer
        self._candidate = bill.candidate
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

    def of(self, bill: Bill) -> bool:
        """Whether it is a part of this bill, too."""
        return self._entries is bill.entries and self._payer == bill.payer and self._candidate == bill.candidate


def whole(bill: Bill) -> Part:
    """All of a bill in one command, for a server that spans all keys."""
    kept = bill.notes.kept if bill.notes is not None else None
    if type(kept) is Part and kept.of(bill):
        return kept
    entries = bill.entries
    receipt = opens(bill)
    if receipt and all([entry.home != bill.payer for entry in entries]):
        entries = (*entries, Entry(bill.payer, ()))
    part = Part(bill, entries, 0, bill.payer, receipt=receipt, standing=bool(bill.candidate))
    if bill.notes is not None:
        bill.notes.kept = part
    return part


def parts(bill: Bill) -> tuple[Part, ...]:
    """One part a home, for Redis Cluster: the payer's first, and one for the candidate's standing where it has no other."""
    kept = bill.notes.kept if bill.notes is not None else None
    if type(kept) is tuple and all([part.of(bill) for part in kept]):
        return kept
    made = _parts(bill)
    if bill.notes is not None:
        bill.notes.kept = made
    return made


def _parts(bill: Bill) -> tuple[Part, ...]:
    receipt = opens(bill)
    found: list[Part] = []
    first = 0
    for entry in bill.entries:
        home = entry.home
        found.append(
            Part(bill, (entry,), first, home, receipt=receipt and home == bill.payer, standing=home == bill.candidate)
        )
        first += len(entry.steps)
    if receipt and not any(part.receipt for part in found):
        own = (Entry(bill.payer, ()),)
        found.append(Part(bill, own, first, bill.payer, receipt=True, standing=bill.payer == bill.candidate))
    if bill.candidate and not any(part.standing for part in found):
        found.append(Part(bill, (), first, bill.candidate, receipt=False, standing=True))
    found.sort(key=lambda part: not part.receipt)
    return tuple(found)


def key_slot(home: str) -> int:
    """The slot of a home's keys: that of its hash tag."""
    return crc.key_slot(home.encode())
