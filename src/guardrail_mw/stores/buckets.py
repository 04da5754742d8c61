"""The short way through the memory store: bills that only take from token buckets, lend slots and count, as most do.

It does what `kinds` does for `Gcra`, `Lease`, `Count`, `Distinct` and `Sketch`, with everything that a step fixes computed once
and no call between buckets: half of the time that a request costs was spent in calling. Where one refuses, all is put back, and
the bill is left to the long way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from guardrail_mw.algorithms import count, distinct, lease, window
from guardrail_mw.algorithms.sketch import Sketch as Panes
from guardrail_mw.stores.base import Count, Distinct, Gcra, Kept, Lease, Reading, Sketch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail_mw.stores.base import Bill, Entry, Step
    from guardrail_mw.stores.homes import Home

__all__ = ["Plain", "plains", "take_all"]

_tuple = tuple.__new__


class _Bucket(NamedTuple):
    """A bucket's step as this module reads it."""

    field: str
    cost: int
    cost_rem: int
    amount: int
    period: int
    depth: int
    depth_rem: int
    room: int
    """depth × amount + its remainder: the depth in 1/amount µs."""


class _Lending:
    """A `Lease`."""

    __slots__ = ("field", "limit")

    def __init__(self, step: Lease) -> None:
        self.field = step.field
        self.limit = step.limit

    def full(self, home: Home, own: int) -> bool:
        """Whether as many slots are out as there are, perhaps one to this holder."""
        held = home.counters.get(self.field)
        return (lease.count(held, own) if held else 0) >= self.limit

    def see(self, home: Home, own: int, holder: str) -> Reading:
        """Lend a slot, and how many are left."""
        held = home.counters.get(self.field)
        if held is None:
            held = home.counters[self.field] = {}
        elif held:
            lease.sweep(held, own)
        until = held[holder] = own + lease.TTL
        home.keep(until)
        return _tuple(Reading, (True, self.limit - len(held), 0, 0, ()))


class _Counting:
    """A `Count` in a bill that is admitted."""

    __slots__ = ("cost", "counts", "field", "length")

    def __init__(self, step: Count) -> None:
        self.field = step.field
        self.cost = step.cost
        self.counts = step.what != "denied"
        self.length = window.pane_length(step.window)

    def see(self, home: Home, own: int, holder: str) -> Reading:
        """Count, and how many there are."""
        counters, field = home.counters, self.field
        pane = own // self.length
        state = counters.get(field, count.NEW)
        if self.counts:
            if pane > state[0]:
                home.keep((pane + window.RING) * self.length)
            state = counters[field] = count.add(state, pane, self.cost)
        else:
            state = count.advance(state, pane)
        return _tuple(Reading, (True, state[1], 0, 0, None))


class _Seeing:
    """A `Distinct`."""

    __slots__ = ("field", "length", "value")

    def __init__(self, step: Distinct) -> None:
        self.field = step.field
        self.value = step.value
        self.length = distinct.pane_length(step.window)

    def see(self, home: Home, own: int, holder: str) -> Reading:
        """See the value, and how many there are. Within a pane nothing leaves: what was seen in it need not be looked for."""
        pane = own // self.length
        state = home.counters.get(self.field)
        if state is not None and state[0].get(self.value) == pane == state[2]:
            number, floor = len(state[0]), state[1] >= max(0, pane - distinct.PANES)
        else:
            seen, overflow, _ = state or ({}, -1, pane)
            overflow, number, floor = distinct.add(seen, overflow, pane, self.value)
            home.counters[self.field] = (seen, overflow, pane)
            home.keep((pane + distinct.PANES + 1) * self.length)
        return _tuple(Reading, (not floor, number, 0, 0, None))


class _Sketching:
    """A `Sketch`."""

    __slots__ = ("field", "value", "window")

    def __init__(self, step: Sketch) -> None:
        self.field, self.value, self.window = step

    def see(self, home: Home, own: int, holder: str) -> Reading:
        """See the value, and about how many there are."""
        panes: Panes | None = home.counters.get(self.field)
        if panes is None:
            panes = home.counters[self.field] = Panes()
        pane = own // self.window
        home.keep((pane + 2) * self.window)
        return _tuple(Reading, (True, panes.see(pane, self.value), 0, 0, None))


_Besides: TypeAlias = _Lending | _Counting | _Seeing | _Sketching


class Plain(NamedTuple):
    """An entry's steps, of which buckets come first."""

    buckets: tuple[_Bucket, ...]
    lent: tuple[_Lending, ...]
    besides: tuple[_Besides, ...]
    """Slots, and what is counted."""


class _Plains(tuple[Plain, ...]):
    """The steps of all entries of a bill, as they are kept with its notes."""

    __slots__ = ()


def plains(bill: Bill) -> Sequence[Plain] | None:
    """The steps of all entries, where the short way can take them; kept with the bill's notes for the next like it."""
    notes = bill.notes
    if notes is not None and type(notes.kept) is _Plains:
        return notes.kept
    found = []
    for entry in bill.entries:
        steps = _of_entry(entry, bill)
        if steps is None:
            return None
        found.append(steps)
    if notes is None:
        return found
    notes.kept = kept = _Plains(found)
    return kept


def _of_entry(entry: Entry, bill: Bill) -> Plain | None:
    """The entry's steps where they are buckets, then slots, then counts; kept with them if others follow."""
    notes = entry.notes
    if notes is None:
        if bill.notes is None:
            return _plain(entry.steps)
        notes = entry.notes = Kept()
    kept = notes.kept
    if type(kept) is not Plain and kept is not False:
        kept = notes.kept = _plain(entry.steps) or False
    return kept if type(kept) is Plain else None


def _plain(steps: tuple[Step, ...]) -> Plain | None:
    buckets: list[_Bucket] = []
    lent: list[_Lending] = []
    counted: list[_Besides] = []
    for step in steps:
        if type(step) is Gcra:
            if lent or counted:
                return None
            field, cost, amount, period, burst, kept, _, _ = step
            room = (burst - kept) * period
            buckets.append(
                _tuple(_Bucket, (field, *divmod(cost * period, amount), amount, period, *divmod(room, amount), room))
            )
        elif type(step) is Lease:
            if counted:
                return None
            lent.append(_Lending(step))
        elif type(step) is Count:
            counted.append(_Counting(step))
        elif type(step) is Distinct:
            counted.append(_Seeing(step))
        elif type(step) is Sketch:
            counted.append(_Sketching(step))
        else:
            return None
    return _tuple(Plain, (tuple(buckets), tuple(lent), (*lent, *counted)))


def take_all(  # noqa: C901 - one loop, no calls: that is its point
    homes: Sequence[Home], entries: Sequence[Plain], raw: int, holder: str
) -> tuple[Reading, ...] | None:
    """Take all or nothing; None where a bucket or a slot refuses (one in shadow, too)."""
    readings: list[Any] = []
    before: list[tuple[int, int, int, int] | None] = []
    touched: list[tuple[Home, int, int, int, tuple[_Besides, ...]]] = []
    for home, (steps, lent, besides) in zip(homes, entries, strict=True):
        own = until = raw + home.offset
        if own < home.last:
            _put_back(homes, entries, before)
            return None
        buckets = home.counters
        for field, cost, cost_rem, amount, period, depth, depth_rem, room in steps:
            bucket = buckets.get(field)
            if bucket is None:
                tat, rem, refunded, refunded_rem = own, 0, 0, 0
            else:
                tat, rem, refunded, refunded_rem = bucket
                if tat < own:
                    tat, rem = own, 0
            tat += cost
            rem += cost_rem
            if rem >= amount:
                tat += 1
                rem -= amount
            ahead = tat - own
            if ahead >= depth and (ahead > depth or rem > depth_rem):
                _put_back(homes, entries, before)
                return None
            if tat >= until:
                until = tat + 1
            before.append(bucket)
            buckets[field] = taken = (tat, rem, refunded, refunded_rem)
            left = (room - ahead * amount - rem) // period
            readings.append(_tuple(Reading, (True, left, ahead + 1 if rem else ahead, 0, taken)))
        if lent and any([slots.full(home, own) for slots in lent]):
            _put_back(homes, entries, before)
            return None
        touched.append((home, own, until, len(readings), besides))
        readings += besides
    for home, own, until, at, besides in touched:
        home.last = own
        home.keep(until)
        for place, step in enumerate(besides, at):
            readings[place] = step.see(home, own, holder)
    return tuple(readings)


def _put_back(homes: Sequence[Home], entries: Sequence[Plain], before: list[tuple[int, int, int, int] | None]) -> None:
    """Undo what was taken before the bucket that refused: those fill the list's places in their order."""
    places = [(home.counters, step.field) for home, (steps, *_) in zip(homes, entries, strict=True) for step in steps]
    for (counters, field), bucket in reversed(list(zip(places, before, strict=False))):
        if bucket is None:
            del counters[field]
        else:
            counters[field] = bucket
