"""The words that the store and its scripts exchange: bills into commands, replies into receipts.

A command carries its tokens in one argument, and a reply comes back as one string, because eight limits must fit into 800 bytes
both ways. What is the same for every request of a subject is encoded once and kept in `Entry.wire`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from redis import crc

from guardrail_mw.algorithms import distinct, gcra, window
from guardrail_mw.stores.base import Budget, Distinct, Entry, Gcra, Lease, Reading, Receipt, Share, Step, Window, opens
from guardrail_mw.stores.homes import SHARE_WAIT
from guardrail_mw.values import Standing

if TYPE_CHECKING:
    from guardrail_mw.stores.base import Bill, Change, Settlement

__all__ = [
    "SCRIPTS",
    "Part",
    "Script",
    "charge_command",
    "command",
    "key_slot",
    "merge",
    "parse_charge",
    "parse_remember",
    "parse_renew",
    "parse_settle",
    "parse_spend",
    "parse_switches",
    "parts",
    "remember_command",
    "renew_command",
    "settle_command",
    "spend_command",
    "switch_command",
    "switches_command",
    "whole",
]

_CALENDAR = {"minute": "i", "hour": "h", "day": "d", "week": "w", "month": "m", "year": "y"}
_CODES: dict[bytes, Literal["admitted", "denied", "stale", "late"]] = {
    b"A": "admitted",
    b"D": "denied",
    b"S": "stale",
    b"L": "late",
}
_ADMITTED = ord("A")
_tuple = tuple.__new__
_SEVERITY = ("admitted", "denied", "late", "stale")


class Script(NamedTuple):
    """A Lua script as the server knows it."""

    name: str
    source: bytes
    sha: str


def _script(name: str) -> Script:
    folder = files("guardrail_mw.stores.redis") / "lua"
    source = (folder / "common.lua").read_bytes() + (folder / f"{name}.lua").read_bytes()
    return Script(name, source, sha1(source, usedforsecurity=False).hexdigest())


SCRIPTS = tuple(_script(name) for name in ("charge", "settle", "renew", "remember", "spend"))
_SHA = {script.name: script.sha.encode() for script in SCRIPTS}


class Part:
    """What one command carries of a bill."""

    __slots__ = ("_frame", "entries", "first", "home", "receipt", "standing")

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
        self._frame: _Frame | None = None

    def frame(self, bill: Bill, prefix: str) -> _Frame:
        """What is the same in all its commands for the bill's payer and candidate."""
        kept = self._frame
        if kept is None or kept.prefix != prefix:
            kept = self._frame = _frame(bill, self, prefix)
        return kept


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


def command(*arguments: str | bytes) -> bytes:
    """A command as it goes over the wire (RESP)."""
    packed = [f"*{len(arguments)}\r\n".encode()]
    for argument in arguments:
        raw = argument.encode() if isinstance(argument, str) else argument
        packed.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(packed)


def _evalsha(script: str, keys: Sequence[str], *arguments: str) -> bytes:
    return command("EVALSHA", _SHA[script], str(len(keys)), *keys, *arguments)


def _tag(prefix: str, home: str) -> str:
    return f"{prefix}{{{home}}}"


# Charge


class _Wire(NamedTuple):
    """An entry as it is sent: its keys, packed, and how many; its steps, and how many; what its buckets are read with."""

    prefix: str
    keys: bytes
    count: int
    steps: str
    length: int
    buckets: tuple[tuple[int, int, int], ...] | None
    """Amount, period and depth × period of each step where all are buckets."""


class _Frame(NamedTuple):
    """A command without what differs from request to request."""

    prefix: str
    head: bytes
    standing: int
    middle: str
    tail: str
    buckets: tuple[tuple[tuple[int, int, int], ...], ...] | None


def _wire(entry: Entry, prefix: str) -> _Wire:
    kept = entry.wire
    if isinstance(kept, _Wire) and kept.prefix == prefix:
        return kept
    tag = _tag(prefix, entry.home)
    keys = [tag]
    steps = []
    for step in entry.steps:
        if isinstance(step, (Lease, Distinct)):
            keys.append(f"{tag}:{'l' if isinstance(step, Lease) else 'd'}:{step.field}")
        steps.append(_step(step, len(keys) - 1))
    buckets = [
        (step.amount, step.period, (step.burst - step.kept) * step.period) for step in entry.steps if isinstance(step, Gcra)
    ]
    wire = _Wire(
        prefix,
        b"".join([_packed(key) for key in keys]),
        len(keys),
        " ".join(steps),
        len(steps),
        tuple(buckets) if len(buckets) == len(steps) else None,
    )
    entry.wire = wire
    return wire


def _packed(key: str) -> bytes:
    raw = key.encode()
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


def _frame(bill: Bill, part: Part, prefix: str) -> _Frame:
    keys = []
    count = 0
    tokens = []
    wires = [_wire(entry, prefix) for entry in part.entries]
    for entry, wire in zip(part.entries, wires, strict=True):
        base = count + 1
        count += wire.count
        keys.append(wire.keys)
        holds = part.receipt and entry.home == bill.payer
        if holds:
            keys.append(_packed(f"{_tag(prefix, entry.home)}:r"))
            count += 1
        tokens.append(f"{base} {wire.count if holds else 0} {wire.length} {wire.steps}")
    standing = 0
    if part.standing:
        count = standing = count + 1
        keys.append(_packed(f"{_tag(prefix, bill.candidate)}:s"))
    digits = str(count).encode()
    head = b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n$%d\r\n%b\r\n%b" % (
        count + 4,
        _SHA["charge"],
        len(digits),
        digits,
        b"".join(keys),
    )
    buckets = [wire.buckets for wire in wires]
    return _Frame(
        prefix,
        head,
        standing,
        f" {part.receipt:d} ",
        f" {' '.join([str(len(part.entries)), *tokens])}",
        None if None in buckets or part.receipt else tuple([each for each in buckets if each is not None]),
    )


def _step(step: Step, key: int) -> str:
    match step:
        case Gcra():
            cost, cost_rem = gcra.span(step.cost, step.amount, step.period)
            depth, depth_rem = gcra.span(step.burst - step.kept, step.amount, step.period)
            if step.amount == 1:
                return f"u {step.field} {cost} {depth} {step.shadow:d}"
            return f"g {step.field} {cost} {cost_rem} {step.amount} {depth} {depth_rem} {step.shadow:d}"
        case Window():
            return f"w {step.field} {step.cost} {step.amount} {window.pane_length(step.window)} {step.shadow:d}"
        case Budget():
            return f"b {step.field} {step.cost} {step.amount} {_CALENDAR[step.calendar]} {step.shadow:d}"
        case Lease():
            return f"l {step.field} {key} {step.limit} {step.shadow:d}"
        case Share():
            return f"s {step.field} {step.cost} {step.cap} {step.shadow:d}"
        case Distinct():
            return f"d {step.field} {key} {step.value} {distinct.pane_length(step.window)}"


def charge_command(  # noqa: PLR0913 - what a command is made of
    bill: Bill, part: Part, prefix: str, not_after: int, now: int | None = None, *, peek: bool = False
) -> bytes:
    """The command that charges a part of a bill. `now` is None in production: the script takes the server's time."""
    frame = part.frame(bill, prefix)
    text = (
        f"{bill.id} {frame.standing} {bill.version} {'1' if bill.proved else '0'} {not_after} {now or 0}{frame.middle}"
        f"{'1' if peek else '0'}{frame.tail}"
    ).encode()
    return b"%b$%d\r\n%b\r\n" % (frame.head, len(text), text)


def parse_charge(reply: Any, bill: Bill, part: Part, *, peek: bool = False) -> Receipt:
    """The receipt of a part: readings for its steps only; nothing is marked as charged after a peek."""
    frame = part._frame  # noqa: SLF001 - its own
    if not peek and type(reply) is bytes and reply[0] == _ADMITTED and frame is not None and frame.buckets is not None:
        receipt = _parse_buckets(reply, bill, frame.buckets)
        if receipt is not None:
            return receipt
    standing = None
    if isinstance(reply, list):
        reply, stored = reply
        standing = _standing(stored)
    tokens = reply.split()
    code = _CODES[tokens[0]]
    now = int(tokens[1])
    if code in {"late", "stale"}:
        return Receipt(bill, code, now, standing, ())
    readings: list[Reading] = []
    at = 2
    charged = code == "admitted" and not peek
    for entry in part.entries:
        own = now + int(tokens[at])
        at += 1
        for step in entry.steps:
            read, length = _UNIT if isinstance(step, Gcra) and step.amount == 1 else _READ[type(step)]
            readings.append(read(step, own, charged, *map(int, tokens[at : at + length])))
            at += length
    return Receipt(bill, code, now, standing, tuple(readings), part.receipt and charged)


def _parse_buckets(reply: bytes, bill: Bill, homes: tuple[tuple[tuple[int, int, int], ...], ...]) -> Receipt | None:
    """The short way for what was admitted on buckets alone; None where one of them, in shadow, refused."""
    numbers = [int(each) for each in reply[2:].split()]
    now = numbers[0]
    readings = []
    at = 1
    for buckets in homes:
        own = now + numbers[at]
        at += 1
        for amount, period, room in buckets:
            if amount == 1:
                ok, ahead, refunded = numbers[at : at + 3]
                rem = refunded_rem = 0
                at += 3
            else:
                ok, ahead, rem, refunded, refunded_rem = numbers[at : at + 5]
                at += 5
            if not ok:
                return None
            left = (room - ahead * amount - rem) // period
            mark = _tuple(gcra.Bucket, (own + ahead, rem, refunded, refunded_rem))
            readings.append(_tuple(Reading, (True, left, ahead + 1 if rem else ahead, 0, mark)))
    return _tuple(Receipt, (bill, "admitted", now, None, tuple(readings), False, False))


def _standing(stored: Iterable[bytes]) -> Standing:
    flat = [each.decode() for each in stored]
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    fields.pop("u", None)
    return Standing(int(fields.pop("v", 0)), fields)


def _read_gcra(step: Gcra, own: int, charged: bool, ok: int, ahead: int, rem: int, refunded: int, refunded_rem: int) -> Reading:  # noqa: FBT001, PLR0913
    _, cost, amount, period, burst, kept, _, _ = step
    bucket = gcra.Bucket(own + ahead, rem, refunded, refunded_rem)
    left = gcra.remaining(bucket, own, amount, period, burst - kept)
    wait = 0 if ok else gcra.wait(bucket, own, cost, amount, period, burst - kept)
    reset = ahead + (rem > 0) if ahead >= 0 else 0
    return Reading(ok == 1, left, reset, wait, bucket if charged and ok else None)


def _read_unit(step: Gcra, own: int, charged: bool, ok: int, ahead: int, refunded: int) -> Reading:  # noqa: FBT001, PLR0913
    return _read_gcra(step, own, charged, ok, ahead, 0, refunded, 0)


def _read_window(step: Window, own: int, charged: bool, ok: int, total: int, reset: int, wait: int) -> Reading:  # noqa: FBT001, PLR0913
    mark = (own // window.pane_length(step.window),) if charged and ok else None
    return Reading(ok == 1, max(0, step.amount - total), reset, wait, mark)


def _read_budget(step: Budget, own: int, charged: bool, ok: int, total: int) -> Reading:  # noqa: FBT001
    start, end = window.calendar(own, step.calendar)
    mark = (start,) if charged and ok else None
    return Reading(ok == 1, max(0, step.amount - total), end - own, 0 if ok else end - own, mark)


def _read_lease(step: Lease, own: int, charged: bool, ok: int, out: int, wait: int) -> Reading:  # noqa: ARG001, FBT001, PLR0913
    return Reading(ok == 1, max(0, step.limit - out), 0, wait, () if charged and ok else None)


def _read_share(step: Share, own: int, charged: bool, ok: int, total: int) -> Reading:  # noqa: ARG001, FBT001
    return Reading(ok == 1, max(0, step.cap - total), 0, 0 if ok else SHARE_WAIT, () if charged and ok else None)


def _read_distinct(step: Distinct, own: int, charged: bool, ok: int, count: int) -> Reading:  # noqa: ARG001, FBT001
    return Reading(ok == 1, count, 0, 0)


_UNIT: tuple[Any, int] = (_read_unit, 3)
_READ: dict[type, tuple[Any, int]] = {
    Gcra: (_read_gcra, 5),
    Window: (_read_window, 4),
    Budget: (_read_budget, 2),
    Lease: (_read_lease, 3),
    Share: (_read_share, 2),
    Distinct: (_read_distinct, 2),
}


def merge(bill: Bill, receipts: Sequence[Receipt]) -> Receipt:
    """The receipts of a bill's parts, in the order of `parts`, as one. Where one refused nothing is marked as charged."""
    worst = max(receipts, key=lambda receipt: _SEVERITY.index(receipt.code))
    if worst.code in {"late", "stale"}:
        return worst
    admitted = worst.code == "admitted"
    readings: dict[int, Reading] = {}
    for part, receipt in zip(parts(bill), receipts, strict=True):
        for index, reading in enumerate(receipt.readings, part.first):
            readings[index] = reading if admitted else reading._replace(mark=None)
    standing = next((receipt.standing for receipt in receipts if receipt.standing is not None), None)
    merged = tuple(readings[index] for index in range(len(readings)))
    return Receipt(bill, worst.code, worst.now, standing, merged, admitted and opens(bill))


# Settle and renew


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
    settlement: Settlement, part: Part, prefix: str, now: int | None = None, *, follow: bool = False
) -> bytes | None:
    """The command that settles a part; None where there is nothing to correct or to tell.

    With `follow` it is not the payer's: sent once, after the payer's has been carried out.
    """
    receipt = settlement.receipt
    bill = receipt.bill
    keys = _Keys()
    homes: list[str] = []
    opened = 0
    for entry, first in _payer_first(bill, part):
        tag = _tag(prefix, entry.home)
        holds = part.receipt and receipt.open and not follow and entry.home == bill.payer
        steps = _corrections(settlement, entry, first, keys, tag)
        if steps or holds:
            homes.append(" ".join([f"{keys.at(tag)} {len(steps)}", *steps]))
        if holds:
            opened = keys.at(f"{tag}:r")
    standing = keys.at(f"{_tag(prefix, bill.candidate)}:s") if settlement.changes and part.standing else 0
    if not homes and not standing:
        return None
    text = " ".join([_member(receipt), str(now or 0), str(opened), str(standing), str(len(homes)), *homes])
    changes = [each for change in settlement.changes for each in change] if standing else []
    return _evalsha("settle", keys.names, text, *changes)


def _corrections(settlement: Settlement, entry: Entry, first: int, keys: _Keys, tag: str) -> list[str]:
    receipt = settlement.receipt
    found = []
    for index, step in enumerate(entry.steps, first):
        mark = receipt.readings[index].mark
        if mark is None:
            continue
        if isinstance(step, Lease):
            found.append(f"l {step.field} {keys.at(f'{tag}:l:{step.field}')}")
        elif isinstance(step, (Gcra, Window, Budget)):
            used = 0 if settlement.outcome == "cancelled" else settlement.used[index] if settlement.used else None
            if used is not None and used != step.cost:
                found.append(_correction(step, used, mark))
    return found


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
            return f"b {step.field} {mark[0]} {_CALENDAR[step.calendar]} {min(more, gcra.LARGEST)}"


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
        tag = _tag(prefix, entry.home)
        holds = part.receipt and entry.home == bill.payer
        steps = []
        key = keys.at(tag)
        for step, _, mark in _renewable(receipt, entry, first):
            if isinstance(step, Lease):
                steps.append(f"l {step.field} {keys.at(f'{tag}:l:{step.field}')}")
            else:
                noted = " ".join(map(str, gcra.mark(mark, step.cost, step.amount, step.period)))
                steps.append(f"g {step.field} {step.amount} {noted}")
        if steps or holds:
            homes.append(" ".join([f"{key} {len(steps)}", *steps]))
        if holds:
            opened = keys.at(f"{tag}:r")
    if not homes:
        return None
    return _evalsha("renew", keys.names, " ".join([_member(receipt), str(now or 0), str(opened), str(len(homes)), *homes]))


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


# The rest


def remember_command(account: str, changes: Sequence[Change], prefix: str, now: int | None = None) -> bytes:
    """The command that changes a standing."""
    return _evalsha(
        "remember", [f"{_tag(prefix, account)}:s"], str(now or 0), *[each for change in changes for each in change]
    )


def parse_remember(reply: bytes) -> int:
    """The standing's version."""
    return int(reply)


def spend_command(token: str, ttl: int, prefix: str, now: int | None = None) -> bytes:
    """The command that spends a token once within `ttl` µs."""
    return _evalsha("spend", [f"{prefix}{{x:{token}}}"], f"{now or 0} {ttl}")


def parse_spend(reply: Any) -> bool:
    """True the first time."""
    return bool(reply == 1)


def switches_command(prefix: str) -> bytes:
    """The command that reads the switches."""
    return command("HGETALL", f"{prefix}switches")


def parse_switches(reply: Any) -> dict[str, str]:
    """Rule name, empty for everything, to mode."""
    if isinstance(reply, dict):
        return {key.decode(): value.decode() for key, value in reply.items()}
    flat = [each.decode() for each in reply]
    return dict(zip(flat[::2], flat[1::2], strict=True))


def switch_command(rule: str, mode: str | None, prefix: str) -> bytes:
    """The command that sets a switch, or takes it away."""
    if mode is None:
        return command("HDEL", f"{prefix}switches", rule)
    return command("HSET", f"{prefix}switches", rule, mode)


def key_slot(home: str) -> int:
    """The slot of a home's keys: that of its hash tag."""
    return crc.key_slot(home.encode())
