"""Bills into commands, replies into receipts.

A command carries its tokens in one argument, and a reply comes back as one string, because eight limits must fit into 800
bytes both ways. What is the same for every request of a subject is encoded once and kept (`Part.notes`, in `Bill.notes`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from guardrail_mw.algorithms import distinct, gcra, window
from guardrail_mw.stores.base import (
    Bill,
    Budget,
    Count,
    Distinct,
    Entry,
    Gcra,
    Lease,
    Reading,
    Receipt,
    Share,
    Sketch,
    Step,
    Window,
    opens,
)
from guardrail_mw.stores.kinds import SHARE_WAIT
from guardrail_mw.stores.redis.parts import Part, parts
from guardrail_mw.stores.redis.scripts import SHA, tag
from guardrail_mw.values import Standing

__all__ = ["CALENDAR", "charge_command", "merge", "parse_charge", "parse_standing", "suffixes_of"]

CALENDAR = {"minute": "i", "hour": "h", "day": "d", "week": "w", "month": "m", "year": "y"}
"""Calendar units as the scripts know them."""
_WHAT = {"attempts": "a", "admitted": "y", "denied": "n"}
_COUNT, _SEEN = (0, 0, 0), (0, 1, 0)
"""In place of a bucket's figures, for a step whose reading is a count."""
_CODES: dict[bytes, Literal["admitted", "denied", "stale", "late"]] = {
    b"A": "admitted",
    b"D": "denied",
    b"S": "stale",
    b"L": "late",
}
_ADMITTED = ord("A")
_SEVERITY = ("admitted", "denied", "late", "stale")
_tuple = tuple.__new__


class _Frame(NamedTuple):
    """A command without what differs from request to request."""

    prefix: str
    head: bytes
    standing: int
    middle: str
    tail: str
    buckets: tuple[tuple[tuple[int, int, int], ...], ...] | None


class _Sent(NamedTuple):
    """Steps as they are sent, whoever's home they stand in."""

    suffixes: tuple[str, ...]
    """Of the keys besides the home's own."""
    text: str
    buckets: tuple[tuple[int, int, int], ...] | None


def _sent(entry: Entry) -> _Sent:
    notes = entry.notes
    if notes is None:
        return _encoded(entry.steps)
    if type(notes.kept) is not _Sent:
        notes.kept = _encoded(entry.steps)
    return notes.kept


def _encoded(steps: tuple[Step, ...]) -> _Sent:
    suffixes: list[str] = []
    texts = []
    for step in steps:
        key = len(suffixes) + 1
        suffixes += suffixes_of(step)
        texts.append(_step(step, key))
    figures = [_figures(step) for step in steps]
    buckets = None if None in figures else tuple([each for each in figures if each is not None])
    return _Sent(tuple(suffixes), " ".join(texts), buckets)


def suffixes_of(step: Step) -> list[str]:
    """Of the keys that a step has besides its home's own."""
    match step:
        case Lease():
            return [f":l:{step.field}"]
        case Distinct():
            return [f":d:{step.field}"]
        case Sketch():
            return [f":h:{step.field}:0", f":h:{step.field}:1"]
        case _:
            return []


def _figures(step: Step) -> tuple[int, int, int] | None:
    """Of a step that has a short way: a bucket's amount, period and depth."""
    match step:
        case Gcra():
            return step.amount, step.period, (step.burst - step.kept) * step.period
        case Count() | Sketch():
            return _COUNT
        case Distinct():
            return _SEEN
        case _:
            return None


def _packed(key: str) -> bytes:
    raw = key.encode()
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


def _framed(bill: Bill, part: Part, prefix: str) -> _Frame:
    """What is the same in all of a part's commands for the bill's payer and candidate."""
    kept = part.notes
    if not isinstance(kept, _Frame) or kept.prefix != prefix:
        kept = part.notes = _frame(bill, part, prefix)
    return kept


def _frame(bill: Bill, part: Part, prefix: str) -> _Frame:
    keys = []
    count = 0
    tokens = []
    buckets = []
    for entry in part.entries:
        sent = _sent(entry)
        name = tag(prefix, entry.home)
        base = count + 1
        keyed = 1 + len(sent.suffixes)
        count += keyed
        keys.append(_packed(name))
        keys += [_packed(name + suffix) for suffix in sent.suffixes]
        holds = part.receipt and entry.home == bill.payer
        if holds:
            keys.append(_packed(f"{name}:r"))
            count += 1
        tokens.append(f"{base} {keyed if holds else 0} {len(entry.steps)} {sent.text}")
        buckets.append(sent.buckets)
    standing = 0
    if part.standing:
        count = standing = count + 1
        keys.append(_packed(f"{tag(prefix, bill.candidate)}:s"))
    digits = str(count).encode()
    head = b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n$%d\r\n%b\r\n%b" % (
        count + 4,
        SHA["charge"],
        len(digits),
        digits,
        b"".join(keys),
    )
    return _Frame(
        prefix,
        head,
        standing,
        f" {part.receipt:d} ",
        f" {' '.join([str(len(part.entries)), *tokens])}",
        None if None in buckets or part.receipt else tuple([each for each in buckets if each is not None]),
    )


def _step(step: Step, key: int) -> str:  # noqa: PLR0911 - a kind, a line
    """A step's tokens. `key` is the first of its own keys, counted from the home's."""
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
            return f"b {step.field} {step.cost} {step.amount} {CALENDAR[step.calendar]} {step.shadow:d}"
        case Lease():
            return f"l {step.field} {key} {step.limit} {step.shadow:d}"
        case Share():
            return f"s {step.field} {step.cost} {step.cap} {step.shadow:d}"
        case Distinct():
            return f"d {step.field} {key} {step.value} {distinct.pane_length(step.window)}"
        case Sketch():
            return f"k {step.field} {key} {step.value} {step.window}"
        case Count():
            return f"c {step.field} {step.cost} {_WHAT[step.what]} {window.pane_length(step.window)}"


def charge_command(
    bill: Bill, part: Part, prefix: str, not_after: int, now: int | None = None, *, peek: bool = False
) -> bytes:
    """The command that charges a part of a bill. `now` is None in production: the script takes the server's time."""
    frame = _framed(bill, part, prefix)
    text = (
        f"{bill.id} {frame.standing} {bill.version} {bill.seen} {'1' if bill.proved else '0'} {not_after} {now or 0}"
        f"{frame.middle}{'1' if peek else '0'}{frame.tail}"
    ).encode()
    return b"%b$%d\r\n%b\r\n" % (frame.head, len(text), text)


def parse_charge(reply: Any, bill: Bill, part: Part, *, peek: bool = False) -> Receipt:
    """The receipt of a part: readings for its steps only; nothing is marked as charged after a peek."""
    frame = part.notes
    if (
        not peek
        and type(reply) is bytes
        and reply[0] == _ADMITTED
        and isinstance(frame, _Frame)
        and frame.buckets is not None
    ):
        receipt = _parse_buckets(reply, bill, frame.buckets)
        if receipt is not None:
            return receipt
    standing = None
    if isinstance(reply, list):
        reply, stored = reply
        standing = parse_standing(stored)
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
    """The short way for what was admitted on buckets and counted; None where a bucket, in shadow, refused."""
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
            elif not amount:
                ok = numbers[at] if period else 1
                at += period
                readings.append(_tuple(Reading, (ok == 1, numbers[at], 0, 0, None)))
                at += 1
                continue
            else:
                ok, ahead, rem, refunded, refunded_rem = numbers[at : at + 5]
                at += 5
            if not ok:
                return None
            left = (room - ahead * amount - rem) // period
            mark = (own + ahead, rem, refunded, refunded_rem)
            readings.append(_tuple(Reading, (True, left, ahead + 1 if rem else ahead, 0, mark)))
    return _tuple(Receipt, (bill, "admitted", now, None, tuple(readings), False, False, ()))


def parse_standing(stored: Iterable[bytes]) -> Standing:
    """A standing as it is stored, without what the store notes for itself."""
    flat = [each.decode() for each in stored]
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    fields.pop("u", None)
    version, seen = int(fields.pop("v", 0)), int(fields.pop("w", 0))
    return Standing(version, fields, seen)


def _read_gcra(  # noqa: PLR0913 - as the reply has them
    step: Gcra,
    own: int,
    charged: bool,  # noqa: FBT001
    ok: int,
    ahead: int,
    rem: int,
    refunded: int,
    refunded_rem: int,
) -> Reading:
    _, cost, amount, period, burst, kept, _, _ = step
    bucket = gcra.Bucket(own + ahead, rem, refunded, refunded_rem)
    left = gcra.remaining(bucket, own, amount, period, burst - kept)
    wait = 0 if ok else gcra.wait(bucket, own, cost, amount, period, burst - kept)
    reset = ahead + (rem > 0) if ahead >= 0 else 0
    return Reading(ok == 1, left, reset, wait, bucket if charged and ok else None)


def _read_unit(step: Gcra, own: int, charged: bool, ok: int, ahead: int, refunded: int) -> Reading:  # noqa: FBT001
    return _read_gcra(step, own, charged, ok, ahead, 0, refunded, 0)


def _read_window(
    step: Window,
    own: int,
    charged: bool,  # noqa: FBT001
    ok: int,
    total: int,
    reset: int,
    wait: int,
) -> Reading:
    mark = (own // window.pane_length(step.window),) if charged and ok else None
    return Reading(ok == 1, max(0, step.amount - total), reset, wait, mark)


def _read_budget(step: Budget, own: int, charged: bool, ok: int, total: int) -> Reading:  # noqa: FBT001
    start, end = window.calendar(own, step.calendar)
    mark = (start,) if charged and ok else None
    return Reading(ok == 1, max(0, step.amount - total), end - own, 0 if ok else end - own, mark)


def _read_lease(step: Lease, own: int, charged: bool, ok: int, out: int, wait: int) -> Reading:  # noqa: ARG001, FBT001
    return Reading(ok == 1, max(0, step.limit - out), 0, wait, () if charged and ok else None)


def _read_share(step: Share, own: int, charged: bool, ok: int, total: int) -> Reading:  # noqa: ARG001, FBT001
    return Reading(ok == 1, max(0, step.cap - total), 0, 0 if ok else SHARE_WAIT, () if charged and ok else None)


def _read_distinct(step: Distinct, own: int, charged: bool, ok: int, count: int) -> Reading:  # noqa: ARG001, FBT001
    return Reading(ok == 1, count, 0, 0)


def _read_count(step: Count | Sketch, own: int, charged: bool, count: int) -> Reading:  # noqa: ARG001, FBT001
    return Reading(ok=True, remaining=count, reset=0, wait=0)


_UNIT: tuple[Any, int] = (_read_unit, 3)
_READ: dict[type, tuple[Any, int]] = {
    Gcra: (_read_gcra, 5),
    Window: (_read_window, 4),
    Budget: (_read_budget, 2),
    Lease: (_read_lease, 3),
    Share: (_read_share, 2),
    Distinct: (_read_distinct, 2),
    Sketch: (_read_count, 1),
    Count: (_read_count, 1),
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
