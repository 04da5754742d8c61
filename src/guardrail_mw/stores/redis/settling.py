"""Settlements and renewals into commands, and what comes back."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from guardrail_mw.algorithms import gcra, window
from guardrail_mw.stores.base import Bill, Budget, Count, Entry, Gcra, Lease, Receipt, Settlement, Share, Step, Window
from guardrail_mw.stores.redis.charging import CALENDAR
from guardrail_mw.stores.redis.parts import Part
from guardrail_mw.stores.redis.scripts import evalsha, tag

__all__ = ["Became", "parse_renew", "parse_settle", "renew_command", "settle_command"]

Became: TypeAlias = Literal["admitted", "denied", "stale"]
"""What became of all of a bill, one part of which was admitted."""


def _member(receipt: Receipt) -> str:
    """The receipt as it lies among its payer's: its id and the shares that it holds."""
    steps = [step for entry in receipt.bill.entries for step in entry.steps]
    held = [
        f"|{step.field}={step.cost}"
        for step, reading in zip(steps, receipt.readings, strict=True)
        if isinstance(step, Share) and reading.mark is not None
    ]
    return receipt.bill.id + "".join(held)


class _Keys:
    """Keys of a command, each once, and where."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def at(self, name: str) -> int:
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name) + 1


def _payer_first(bill: Bill, part: Part) -> list[tuple[Entry, int]]:
    """A part's entries, each with the index of its first reading; the payer's first."""
    found = []
    first = part.first
    for entry in part.entries:
        found.append((entry, first))
        first += len(entry.steps)
    return sorted(found, key=lambda each: each[0].home != bill.payer)


def settle_command(
    settlement: Settlement,
    part: Part,
    prefix: str,
    now: int | None = None,
    *,
    follow: bool = False,
    became: Became = "admitted",
) -> bytes | None:
    """The command that settles a part; None where there is nothing to correct or to tell.

    With `follow` it is not the payer's: sent once, after the payer's has been carried out. `became` sets counts right.
    """
    receipt = settlement.receipt
    bill = receipt.bill
    keys = _Keys()
    homes: list[str] = []
    opened = 0
    for entry, first in _payer_first(bill, part):
        name = tag(prefix, entry.home)
        holds = part.receipt and receipt.open and not follow and entry.home == bill.payer
        steps = _corrections(settlement, entry, first, keys, name)
        steps += [each for step in entry.steps if (each := _recounted(step, became))]
        if steps or holds:
            homes.append(" ".join([f"{keys.at(name)} {len(steps)}", *steps]))
        if holds:
            opened = keys.at(f"{name}:r")
    standing = keys.at(f"{tag(prefix, bill.candidate)}:s") if settlement.changes and part.standing else 0
    if not homes and not standing:
        return None
    text = " ".join([_member(receipt), str(now or 0), str(opened), str(standing), str(len(homes)), *homes])
    changes = [each for change in settlement.changes for each in change] if standing else []
    return evalsha("settle", keys.names, text, *changes)


def _corrections(settlement: Settlement, entry: Entry, first: int, keys: _Keys, name: str) -> list[str]:
    receipt = settlement.receipt
    found = []
    for index, step in enumerate(entry.steps, first):
        mark = receipt.readings[index].mark
        if mark is None:
            continue
        if isinstance(step, Lease):
            found.append(f"l {step.field} {keys.at(f'{name}:l:{step.field}')}")
        elif isinstance(step, (Gcra, Window, Budget)):
            used = 0 if settlement.outcome == "cancelled" else settlement.used[index] if settlement.used else None
            if used is not None and used != step.cost:
                found.append(_correction(step, used, mark))
    return found


def _recounted(step: Step, became: Became) -> str:
    """A count that went by its own part, set right."""
    if not isinstance(step, Count) or became == "admitted":
        return ""
    counted, counts = step.what != "denied", became == "denied" and step.what != "admitted"
    if counted == counts:
        return ""
    return f"c {step.field} {window.pane_length(step.window)} {step.cost if counts else -step.cost}"


def _correction(step: Gcra | Window | Budget, used: int, mark: tuple[int, ...]) -> str:
    more = used - step.cost
    match step:
        case Gcra():
            units = min(more, gcra.LARGEST // step.period) if more > 0 else -more
            span, span_rem = gcra.span(units, step.amount, step.period)
            noted = " ".join(map(str, gcra.mark(mark, step.cost, step.amount, step.period)))
            return f"g {step.field} {step.amount} {1 if more > 0 else -1} {span} {span_rem} {noted}"
        case Window():
            return f"w {step.field} {window.pane_length(step.window)} {mark[0]} {min(more, gcra.LARGEST)}"
        case Budget():
            return f"b {step.field} {mark[0]} {CALENDAR[step.calendar]} {min(more, gcra.LARGEST)}"


def parse_settle(reply: Any) -> bool:
    """False where the receipt was not open (any more): nothing was done, and nothing must follow."""
    return bool(reply == 1)


def renew_command(receipt: Receipt, part: Part, prefix: str, now: int | None = None) -> bytes | None:
    """The command that renews a part of an open receipt; None where it holds nothing that needs it."""
    bill = receipt.bill
    keys = _Keys()
    homes: list[str] = []
    opened = 0
    for entry, first in _payer_first(bill, part):
        name = tag(prefix, entry.home)
        holds = part.receipt and entry.home == bill.payer
        steps = []
        key = keys.at(name)
        for step, _, mark in _renewable(receipt, entry, first):
            if isinstance(step, Lease):
                steps.append(f"l {step.field} {keys.at(f'{name}:l:{step.field}')}")
            else:
                noted = " ".join(map(str, gcra.mark(mark, step.cost, step.amount, step.period)))
                steps.append(f"g {step.field} {step.amount} {noted}")
        if steps or holds:
            homes.append(" ".join([f"{key} {len(steps)}", *steps]))
        if holds:
            opened = keys.at(f"{name}:r")
    if not homes:
        return None
    return evalsha("renew", keys.names, " ".join([_member(receipt), str(now or 0), str(opened), str(len(homes)), *homes]))


def _renewable(receipt: Receipt, entry: Entry, first: int) -> list[tuple[Gcra | Lease, int, tuple[int, ...]]]:
    found: list[tuple[Gcra | Lease, int, tuple[int, ...]]] = []
    for index, step in enumerate(entry.steps, first):
        mark = receipt.readings[index].mark
        if mark is not None and isinstance(step, (Gcra, Lease)):
            found.append((step, index, mark))
    return found


def parse_renew(reply: bytes, receipt: Receipt, part: Part) -> Receipt:
    """The receipt with the marks of that part made new."""
    numbers = [int(each) for each in reply.split()]
    readings = list(receipt.readings)
    at = 0
    for entry, first in _payer_first(receipt.bill, part):
        for step, index, _ in _renewable(receipt, entry, first):
            if isinstance(step, Gcra):
                readings[index] = readings[index]._replace(mark=gcra.Mark(*numbers[at : at + 8]))
                at += 8
    return receipt._replace(readings=tuple(readings))
