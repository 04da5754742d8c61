"""What a store must answer, as plainly as it can be said: lists, dictionaries and exact fractions, and no care for speed.

It shares no code with the stores but the values of `stores.base` and the calendar. Nothing is ever forgotten here; what
counts is looked up anew each time. A bucket's refunds follow the design: min(unused, max(0, T - now)), T being the TAT that
the charge left, less all that the bucket has refunded since, and no more than the ceiling that the last renewal found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor
from typing import Any, TypeAlias, TypeVar

from guardrail_mw.algorithms.window import calendar
from guardrail_mw.clock import Clock
from guardrail_mw.stores.base import (
    Bill,
    Budget,
    Change,
    Count,
    Distinct,
    Gcra,
    Lease,
    Reading,
    Receipt,
    Settlement,
    Share,
    Sketch,
    Step,
    Window,
)
from guardrail_mw.values import PLAN_FIELDS, Standing

__all__ = ["Model"]

LEASE = 30_000_000
STANDING = 90 * 86_400_000_000
SHARE_WAIT = 1_000_000
EXACT = 64


@dataclass
class _Mark:
    """What a bucket's charge remembers."""

    tat: Fraction
    refunded: Fraction
    unused: Fraction
    ceiling: Fraction | None = None


@dataclass
class _Home:
    """One subject: everything that ever happened to it."""

    last: int = 0
    offset: int = 0
    tats: dict[str, Fraction] = field(default_factory=dict)
    refunded: dict[str, Fraction] = field(default_factory=dict)
    counts: dict[tuple[str, int], int] = field(default_factory=dict)
    leases: dict[tuple[str, str], int] = field(default_factory=dict)
    seen: dict[tuple[str, str], int] = field(default_factory=dict)
    counted: dict[tuple[str, int], int] = field(default_factory=dict)
    open: dict[str, int] = field(default_factory=dict)
    shares: dict[tuple[str, str], int] = field(default_factory=dict)

    def time(self, raw: int) -> int:
        """Its own time: the clock's, never back."""
        self.offset = max(self.offset, self.last - raw)
        return raw + self.offset


@dataclass
class _Charged:
    """A bill that was admitted: the marks of the steps that were charged, by index; and whether it was settled."""

    bill: Bill
    marks: dict[int, _Mark | int | None]
    settled: bool = False


_K = TypeVar("_K", int, str)
_Place: TypeAlias = tuple[int, _Home, int, Step]


class Model:
    """A store's verbs, without the waiting.

    Args:
        clock: the one that the compared store is driven by.
        split: the compared store charges each home by itself; when one refuses, what the others charged is given back.
    """

    def __init__(self, clock: Clock, *, split: bool = False) -> None:
        self._clock = clock
        self._split = split
        self._homes: dict[str, _Home] = {}
        self._charged: dict[str, _Charged] = {}
        self._standings: dict[str, tuple[Standing, int]] = {}
        self._spent: dict[str, int] = {}
        self._budgets: dict[tuple[str, str], int] = {}

    # Charging

    def _places(self, bill: Bill) -> Iterator[_Place]:
        """Each step: its index, its home, the home's time."""
        index = 0
        for entry in bill.entries:
            home = self._homes.setdefault(entry.home, _Home())
            for step in entry.steps:
                yield index, home, home.time(self._clock.now()), step
                index += 1

    def charge(self, bill: Bill) -> Receipt:
        """See `Store.charge`."""
        now = self._clock.now()
        if bill.not_after is not None and now > bill.not_after:
            return Receipt(bill, "late", now, None, ())
        known = self.standing(bill.candidate) if bill.candidate else Standing()
        if bill.candidate and known.version != bill.version:
            if self._split:
                self._give_back(bill, but=bill.candidate)
            return Receipt(bill, "stale", now, known, ())
        fits = self._fits(bill, seen=True)
        if not self._admits(bill, fits):
            if self._split:
                self._split_up(bill, fits)
            self._count(bill, admitted=False)
            return Receipt(bill, "denied", now, self._told(bill, known), self._readings(bill, fits))
        self._count(bill, admitted=True)
        self._charge(bill, fits)
        return Receipt(bill, "admitted", now, self._told(bill, known), self._readings(bill, fits), _leaves(bill))

    def _charge(self, bill: Bill, fits: list[bool]) -> None:
        marks: dict[int, _Mark | int | None] = {}
        for index, home, own, step in self._places(bill):
            home.last = own
            if fits[index] and not isinstance(step, (Distinct, Sketch, Count)):
                marks[index] = self._take(home, own, step, bill.id)
        if _leaves(bill):
            payer = self._homes.setdefault(bill.payer, _Home())
            payer.open[bill.id] = payer.time(self._clock.now()) + LEASE
        if bill.proved and bill.candidate:
            self._begin(bill.candidate)
        self._charged[bill.id] = _Charged(bill, marks)

    def _told(self, bill: Bill, known: Standing) -> Standing | None:
        """The standing as it is now, where what was known of it before the bill is not what the caller has."""
        return self.standing(bill.candidate) if bill.candidate and known.seen != bill.seen else None

    def _count(self, bill: Bill, *, admitted: bool) -> None:
        became = "admitted" if admitted else "denied"
        for _, home, own, step in self._places(bill):
            if isinstance(step, Count) and step.what in {"attempts", became}:
                pane = own // -(-step.window // 20)
                home.counted[step.field, pane] = home.counted.get((step.field, pane), 0) + step.cost

    def _begin(self, account: str) -> None:
        now = self._clock.now()
        version, fields, seen = self.standing(account)
        if "since" not in fields:
            fields, seen = {"since": str(now), **fields}, max(seen + 1, now)
        self._standings[account] = (Standing(version, fields, seen), now + STANDING)

    def _split_up(self, bill: Bill, fits: list[bool]) -> None:
        """A bill that one home refuses. Where the candidate's own admitted, its standing has begun."""
        steps = [(entry.home, step) for entry in bill.entries for step in entry.steps]
        refused = {
            home for (home, step), ok in zip(steps, fits, strict=True) if not ok and not getattr(step, "shadow", True)
        }
        if bill.proved and bill.candidate and bill.candidate not in refused:
            self._begin(bill.candidate)
        if len(bill.entries) > 1:
            self._give_back(bill)

    def _give_back(self, bill: Bill, but: str = "") -> None:
        """Each home that would admit was charged, and is given back. One that refused a stale bill has counted it."""
        for entry in bill.entries:
            if entry.home == but:
                continue
            alone = Bill(f"{bill.id}/{entry.home}", (entry,), entry.home)
            fits = self._fits(alone, seen=True)
            if self._admits(alone, fits):
                self._charge(alone, fits)
                self.settle(Settlement(Receipt(alone, "admitted", 0, None, ()), "cancelled"))
                self._homes[entry.home].open.pop(alone.id, None)
            elif but:
                self._count(alone, admitted=False)

    def peek(self, bill: Bill) -> Receipt:
        """See `Store.peek`; the readings show the state as it is."""
        fits = self._fits(bill, seen=False)
        standing = self.standing(bill.candidate) if bill.candidate else None
        code: Any = "admitted" if self._admits(bill, fits) else "denied"
        return Receipt(bill, code, self._clock.now(), standing, self._readings(bill, fits, charged=False))

    def _fits(self, bill: Bill, *, seen: bool) -> list[bool]:
        fits = []
        for _, home, own, step in self._places(bill):
            if isinstance(step, (Distinct, Sketch)):
                if seen:
                    home.seen[step.field, step.value] = own // _pane(step)
                fits.append(isinstance(step, Sketch) or self._distinct(home, own, step) <= EXACT)
            elif isinstance(step, Count):
                fits.append(True)
            else:
                fits.append(self._fit(home, own, step))
        return fits

    def _admits(self, bill: Bill, fits: list[bool]) -> bool:
        steps = [step for entry in bill.entries for step in entry.steps]
        return all(ok or getattr(step, "shadow", True) for ok, step in zip(fits, steps, strict=True))

    def _fit(self, home: _Home, own: int, step: Gcra | Window | Budget | Lease | Share) -> bool:
        match step:
            case Gcra():
                return self._behind(home, own, step) + _span(step, step.cost) <= _span(step, step.burst - step.kept)
            case Window() | Budget():
                return self._total(home, own, step) + step.cost <= step.amount
            case Lease():
                return len(self._held(home, own, step)) < step.limit
            case Share():
                return self._reserved(home, own, step) + step.cost <= step.cap

    def _take(self, home: _Home, own: int, step: Step, holder: str) -> _Mark | int | None:
        match step:
            case Gcra():
                tat = max(home.tats.get(step.field, Fraction(0)), Fraction(own)) + _span(step, step.cost)
                home.tats[step.field] = tat
                return _Mark(tat, home.refunded.get(step.field, Fraction(0)), _span(step, step.cost))
            case Window() | Budget():
                pane = self._running(own, step)
                home.counts[step.field, pane] = home.counts.get((step.field, pane), 0) + step.cost
                return pane
            case Lease():
                home.leases[step.field, holder] = own + LEASE
            case Share():
                home.shares[step.field, holder] = step.cost
            case Distinct() | Sketch() | Count():
                pass
        return None

    # What is

    def _behind(self, home: _Home, own: int, step: Gcra) -> Fraction:
        return max(Fraction(0), home.tats.get(step.field, Fraction(0)) - own)

    def _running(self, own: int, step: Window | Budget) -> int:
        return own // -(-step.window // 20) if isinstance(step, Window) else calendar(own, step.calendar)[0]

    def _counting(self, home: _Home, own: int, step: Window | Budget) -> dict[int, int]:
        """Panes that still count, oldest first, with what came in them."""
        running = self._running(own, step)
        oldest = running - 20 if isinstance(step, Window) else running
        return {
            pane: units
            for (name, pane), units in sorted(home.counts.items())
            if name == step.field and pane >= oldest and units
        }

    def _total(self, home: _Home, own: int, step: Window | Budget) -> int:
        return sum(self._counting(home, own, step).values())

    def _held(self, home: _Home, own: int, step: Lease) -> list[int]:
        return sorted(until for (name, _), until in home.leases.items() if name == step.field and until > own)

    def _reserved(self, home: _Home, own: int, step: Share) -> int:
        return sum(
            units for (name, holder), units in home.shares.items() if name == step.field and home.open.get(holder, 0) > own
        )

    def _distinct(self, home: _Home, own: int, step: Distinct) -> int:
        oldest = own // _pane(step) - 60
        seen = {value for (name, value), last in home.seen.items() if name == step.field and last >= oldest}
        return len(seen | {step.value})

    def _sketched(self, home: _Home, own: int, step: Sketch) -> int:
        oldest = own // _pane(step) - 1
        return sum(name == step.field and last >= oldest for (name, _), last in home.seen.items())

    def _counts(self, home: _Home, own: int, step: Count) -> int:
        oldest = own // -(-step.window // 20) - 20
        return sum(units for (name, pane), units in home.counted.items() if name == step.field and pane >= oldest)

    # Readings

    def _readings(self, bill: Bill, fits: list[bool], *, charged: bool = True) -> tuple[Reading, ...]:
        return tuple(self._reading(home, own, step, fits[index]) for index, home, own, step in self._places(bill))

    def _reading(self, home: _Home, own: int, step: Step, ok: bool) -> Reading:  # noqa: FBT001, PLR0911 - a kind, a line
        match step:
            case Gcra():
                depth, behind = _span(step, step.burst - step.kept), self._behind(home, own, step)
                left = max(0, floor((depth - behind) / _span(step, 1)))
                return Reading(ok, left, ceil(behind), 0 if ok else ceil(behind + _span(step, step.cost) - depth))
            case Window():
                return self._window_reading(home, own, step, ok=ok)
            case Budget():
                left = max(0, step.amount - self._total(home, own, step))
                until = calendar(own, step.calendar)[1] - own
                return Reading(ok, left, until, 0 if ok else until)
            case Lease():
                held = self._held(home, own, step)
                return Reading(ok, max(0, step.limit - len(held)), 0, 0 if ok else held[0] - own)
            case Share():
                return Reading(ok, max(0, step.cap - self._reserved(home, own, step)), 0, 0 if ok else SHARE_WAIT)
            case Distinct():
                return Reading(ok, min(EXACT, self._distinct(home, own, step)), 0, 0)
            case Sketch():
                return Reading(ok, self._sketched(home, own, step), 0, 0)
            case Count():
                return Reading(ok, self._counts(home, own, step), 0, 0)

    def _window_reading(self, home: _Home, own: int, step: Window, *, ok: bool) -> Reading:
        counting = self._counting(home, own, step)
        total = sum(counting.values())
        length = -(-step.window // 20)
        leaves = {pane: (pane + 21) * length - own for pane in counting}
        wait, short = 0, total + step.cost - step.amount
        if not ok:
            for pane, units in counting.items():
                wait, short = leaves[pane], short - units
                if short <= 0:
                    break
            else:
                wait = (own // length + 21) * length - own
        return Reading(ok, max(0, step.amount - total), max(leaves.values(), default=0), wait)

    # Settling

    def settle(self, settlement: Settlement) -> None:
        """See `Store.settle`. One that is not open may be cancelled, once."""
        receipt = settlement.receipt
        bill = receipt.bill
        charged = self._charged[bill.id]
        if receipt.open:
            payer = self._homes.setdefault(bill.payer, _Home())
            if payer.open.pop(bill.id, 0) <= payer.time(self._clock.now()):
                return
        elif charged.settled:
            return
        charged.settled = True
        for index, home, own, step in self._places(bill):
            if index in charged.marks:
                used = 0 if settlement.outcome == "cancelled" else settlement.used[index] if settlement.used else None
                self._correct(home, own, step, charged.marks[index], used)
                home.leases.pop((step.field, bill.id), None)
        if settlement.changes and bill.candidate:
            self.remember(bill.candidate, settlement.changes)

    def _correct(self, home: _Home, own: int, step: Step, mark: Any, used: int | None) -> None:
        if used is None or not isinstance(step, (Gcra, Window, Budget)):
            return
        more = used - step.cost
        if isinstance(step, Gcra):
            if more > 0:
                home.tats[step.field] = max(home.tats.get(step.field, Fraction(0)), Fraction(own)) + _span(step, more)
            else:
                back = min(_span(step, -more), mark.unused, self._bound(home, own, step, mark))
                home.tats[step.field] = home.tats.get(step.field, Fraction(0)) - back
                home.refunded[step.field] = home.refunded.get(step.field, Fraction(0)) + back
            return
        running = self._running(own, step)
        pane = running if more > 0 else mark
        if more > 0 or pane in self._counting(home, own, step):
            home.counts[step.field, pane] = max(0, home.counts.get((step.field, pane), 0) + more)

    def _bound(self, home: _Home, own: int, step: Gcra, mark: _Mark) -> Fraction:
        refunded = home.refunded.get(step.field, Fraction(0))
        left = mark.tat - (refunded - mark.refunded)
        if refunded < mark.refunded or home.tats.get(step.field, Fraction(0)) < left:
            return Fraction(0)  # it was made new in between
        bound = left - own
        if mark.ceiling is not None:
            bound = min(bound, mark.ceiling - refunded)
        return max(Fraction(0), bound)

    def renew(self, receipt: Receipt) -> None:
        """See `Store.renew`; of an open receipt that was not settled."""
        bill = receipt.bill
        payer = self._homes.setdefault(bill.payer, _Home())
        payer.open[bill.id] = payer.time(self._clock.now()) + LEASE
        marks = self._charged[bill.id].marks
        for index, home, own, step in self._places(bill):
            mark = marks.get(index)
            if isinstance(step, Gcra) and isinstance(mark, _Mark):
                bound = self._bound(home, own, step, mark)
                refunded = home.refunded.get(step.field, Fraction(0))
                tat = home.tats.get(step.field, Fraction(0))
                marks[index] = _Mark(tat, refunded, min(mark.unused, bound), refunded + bound)
            elif isinstance(step, Lease) and index in marks:
                home.leases[step.field, bill.id] = own + LEASE

    # The rest

    def standing(self, account: str) -> Standing:
        """What is remembered of an account."""
        known, until = self._standings.get(account, (Standing(), 0))
        return known if until > self._clock.now() else Standing()

    def remember(self, account: str, changes: Sequence[Change]) -> int:
        """See `Store.remember`."""
        version, known, seen = self.standing(account)
        fields = dict(known)
        for change in changes:
            _merge(fields, change)
        if any(known.get(name) != fields.get(name) for name in PLAN_FIELDS):
            version = max(version + 1, self._clock.now())
        if known != fields:
            seen = max(seen + 1, self._clock.now())
        self._standings[account] = (Standing(version, fields, seen), self._clock.now() + STANDING)
        return version

    def reset(self, home: str, fields: Sequence[str]) -> None:
        """See `Desk.reset`; not of shares, of which nobody can tell whose is given back afterwards."""
        kept = self._homes.setdefault(home, _Home())
        for field_ in fields:
            kept.tats.pop(field_, None)
            kept.refunded.pop(field_, None)
        kept.counts = _without(kept.counts, fields)
        kept.leases = _without(kept.leases, fields)
        kept.seen = _without(kept.seen, fields)
        kept.counted = _without(kept.counted, fields)

    def erase(self, account: str) -> None:
        """See `Desk.erase`. A renewal puts back what an open request holds."""
        self._homes[account] = _Home(shares=self._homes.get(account, _Home()).shares)
        self._standings.pop(account, None)

    def take(self, budget: str, member: str, most: int, until: int) -> bool:
        """See `Tally.take`."""
        now = self._clock.now()
        self._budgets = {key: last for key, last in self._budgets.items() if key[0] != budget or last > now}
        members = {who for name, who in self._budgets if name == budget}
        if member not in members:
            if len(members) >= most or until <= now:
                return False
            self._budgets[budget, member] = until
        return True

    def epoch(self, token: str) -> str:
        """See `Store.epoch`: a model never forgets, so there is one."""
        return "the-one"

    def spend(self, token: str, ttl: int, epoch: str) -> bool:
        """See `Store.spend`."""
        if epoch != self.epoch(token):
            return False
        if self._spent.get(token, 0) > self._clock.now():
            return False
        self._spent[token] = self._clock.now() + ttl
        return True


def _without(kept: dict[tuple[str, _K], int], fields: Sequence[str]) -> dict[tuple[str, _K], int]:
    return {key: value for key, value in kept.items() if key[0] not in fields}


def _span(step: Gcra, units: int) -> Fraction:
    return Fraction(units * step.period, step.amount)


def _pane(step: Distinct | Sketch) -> int:
    return step.window if isinstance(step, Sketch) else -(-step.window // 60)


def _leaves(bill: Bill) -> bool:
    steps = [step for entry in bill.entries for step in entry.steps]
    return any(isinstance(step, (Lease, Share)) or getattr(step, "reserved", False) for step in steps)


def _merge(fields: dict[str, str], change: Change) -> None:
    name, value, before = change.field, change.value, fields.get(change.field)
    if name == "since" and before is not None:
        return
    match change.op:
        case "set":
            fields[name] = value
        case "unset":
            fields.pop(name, None)
        case "first":
            fields.setdefault(name, value)
        case "add":
            fields[name] = str(int(before or 0) + int(value))
        case "max":
            fields[name] = value if before is None else str(max(int(before), int(value)))
