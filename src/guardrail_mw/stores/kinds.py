"""How each kind of step reads and writes what the memory store keeps of a subject.

A step is taken without writing (`take`), written when the whole bill is admitted (`write`), read back for the receipt (`read`),
and corrected when the exchange has ended (`settle`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from guardrail_mw.algorithms import count, distinct, gcra, lease, window
from guardrail_mw.algorithms.sketch import Sketch as Panes
from guardrail_mw.stores.base import Budget, Count, Distinct, Gcra, Lease, Reading, Share, Sketch, Window

if TYPE_CHECKING:
    from guardrail_mw.stores.homes import Home

__all__ = ["KINDS", "SHARE_WAIT", "Kind", "bucket_of"]

SHARE_WAIT = 1_000_000
"""µs to wait when an account's open reservations are too many: nobody can know when one ends."""


class Kind(Protocol):
    """How one kind of step behaves. `own` is the home's time; `state` is whatever `take` would write, None for nothing."""

    def take(self, step: Any, home: Home, own: int, holder: str) -> tuple[Any, bool]:
        """The state after the step, and whether it admits; writes nothing (but what `Distinct` and `Sketch` see)."""
        ...

    def write(self, step: Any, home: Home, own: int, state: Any, holder: str) -> None:
        """Write what `take` gave; a `Count` where it counts."""
        ...

    def read(self, step: Any, home: Home, own: int, *, ok: bool, charged: bool) -> Reading:
        """How it stands."""
        ...

    def settle(self, step: Any, home: Home, own: int, mark: tuple[int, ...], used: int | None, holder: str) -> bool:
        """Correct what was charged to what was used; None leaves it. Tells whether it wrote."""
        ...


def bucket_of(home: Home, field: str) -> gcra.Bucket:
    """A bucket is kept as a plain tuple: the garbage collector soon passes over those, and there may be millions."""
    found = home.counters.get(field)
    return gcra.NEW if found is None else gcra.Bucket._make(found)


class _Gcra:
    def take(self, step: Gcra, home: Home, own: int, holder: str) -> tuple[gcra.Bucket | None, bool]:
        _, cost, amount, period, burst, kept, _, _ = step
        bucket, ok = gcra.take(bucket_of(home, step.field), own, cost, amount, period, burst - kept)
        return (bucket if ok else None), ok

    def write(self, step: Gcra, home: Home, own: int, state: gcra.Bucket, holder: str) -> None:
        home.counters[step.field] = tuple(state)
        home.keep(state.tat + 1)

    def read(self, step: Gcra, home: Home, own: int, *, ok: bool, charged: bool) -> Reading:
        field, cost, amount, period, burst, kept, _, _ = step
        bucket = bucket_of(home, field)
        wait = 0 if ok else gcra.wait(bucket, own, cost, amount, period, burst - kept)
        left = gcra.remaining(bucket, own, amount, period, burst - kept)
        return Reading(ok, left, gcra.reset(bucket, own), wait, bucket if charged else None)

    def settle(self, step: Gcra, home: Home, own: int, mark: tuple[int, ...], used: int | None, holder: str) -> bool:
        if used is None or used == step.cost:
            return False
        bucket = bucket_of(home, step.field)
        if used < step.cost:
            noted = gcra.mark(mark, step.cost, step.amount, step.period)
            bucket = gcra.refund(bucket, own, noted, step.cost - used, step.amount, step.period)
        else:
            bucket = gcra.owe(bucket, own, used - step.cost, step.amount, step.period)
        self.write(step, home, own, bucket, holder)
        return True


class _Window:
    def take(self, step: Window, home: Home, own: int, holder: str) -> tuple[window.Panes | None, bool]:
        pane = own // window.pane_length(step.window)
        panes, ok = window.take(home.counters.get(step.field, window.NEW), pane, step.cost, step.amount)
        return (panes if ok else None), ok

    def write(self, step: Window, home: Home, own: int, state: window.Panes, holder: str) -> None:
        home.counters[step.field] = state
        home.keep((state.head + window.RING) * window.pane_length(step.window))

    def read(self, step: Window, home: Home, own: int, *, ok: bool, charged: bool) -> Reading:
        length = window.pane_length(step.window)
        panes = window.advance(home.counters.get(step.field, window.NEW), own // length)
        wait = 0 if ok else window.until_free(panes, own, step.cost, step.amount, length)
        reset = window.until_free(panes, own, step.amount, step.amount, length)
        return Reading(ok, max(0, step.amount - panes.total), reset, wait, (panes.head,) if charged else None)

    def settle(self, step: Window, home: Home, own: int, mark: tuple[int, ...], used: int | None, holder: str) -> bool:
        if used is None or used == step.cost:
            return False
        panes, pane = home.counters.get(step.field, window.NEW), own // window.pane_length(step.window)
        if used < step.cost:
            panes = window.refund(panes, pane, mark[0], step.cost - used)
        else:
            panes = window.add(panes, pane, min(used - step.cost, gcra.LARGEST - panes.total))
        self.write(step, home, own, panes, holder)
        return True


class _Budget:
    def _spent(self, step: Budget, home: Home, start: int) -> int:
        begun, total = home.counters.get(step.field, (start, 0))
        return total if begun == start else 0

    def take(self, step: Budget, home: Home, own: int, holder: str) -> tuple[tuple[int, int] | None, bool]:
        start, _ = window.calendar(own, step.calendar)
        total = self._spent(step, home, start) + step.cost
        return ((start, total), True) if total <= step.amount else (None, False)

    def write(self, step: Budget, home: Home, own: int, state: tuple[int, int], holder: str) -> None:
        home.counters[step.field] = state
        home.keep(window.calendar(state[0], step.calendar)[1])

    def read(self, step: Budget, home: Home, own: int, *, ok: bool, charged: bool) -> Reading:
        start, end = window.calendar(own, step.calendar)
        left = max(0, step.amount - self._spent(step, home, start))
        return Reading(ok, left, end - own, 0 if ok else end - own, (start,) if charged else None)

    def settle(self, step: Budget, home: Home, own: int, mark: tuple[int, ...], used: int | None, holder: str) -> bool:
        if used is None or used == step.cost:
            return False
        start, _ = window.calendar(own, step.calendar)
        total = self._spent(step, home, start)
        if used > step.cost:
            total = min(gcra.LARGEST, total + used - step.cost)
        elif mark[0] == start:
            total = max(0, total - (step.cost - used))
        else:
            return False
        self.write(step, home, own, (start, total), holder)
        return True


class _Lease:
    def take(self, step: Lease, home: Home, own: int, holder: str) -> tuple[int | None, bool]:
        held = home.counters.get(step.field, {})
        ok = lease.count(held, own) < step.limit or held.get(holder, 0) > own
        return (own + lease.TTL if ok else None), ok

    def write(self, step: Lease, home: Home, own: int, state: int, holder: str) -> None:
        held = home.counters.setdefault(step.field, {})
        lease.sweep(held, own)
        held[holder] = state
        home.keep(state)

    def read(self, step: Lease, home: Home, own: int, *, ok: bool, charged: bool) -> Reading:
        held = home.counters.get(step.field, {})
        left = max(0, step.limit - lease.count(held, own))
        return Reading(ok, left, 0, 0 if ok else lease.next_expiry(held, own), () if charged else None)

    def settle(self, step: Lease, home: Home, own: int, mark: tuple[int, ...], used: int | None, holder: str) -> bool:
        held = home.counters.get(step.field, {})
        held.pop(holder, None)
        if not held:
            home.counters.pop(step.field, None)
        return False


class _Share:
    def take(self, step: Share, home: Home, own: int, holder: str) -> tuple[int | None, bool]:
        total = home.share(step.field, own) + step.cost
        return (total, True) if total <= step.cap else (None, False)

    def write(self, step: Share, home: Home, own: int, state: int, holder: str) -> None:
        """The receipt holds it: see `Home.leave`."""

    def read(self, step: Share, home: Home, own: int, *, ok: bool, charged: bool) -> Reading:
        left = max(0, step.cap - home.share(step.field, own))
        return Reading(ok, left, 0, 0 if ok else SHARE_WAIT, () if charged else None)

    def settle(self, step: Share, home: Home, own: int, mark: tuple[int, ...], used: int | None, holder: str) -> bool:
        """The receipt gave it back: see `Home.forget`."""
        return False


class _Distinct:
    def take(self, step: Distinct, home: Home, own: int, holder: str) -> tuple[None, bool]:
        seen, overflow, _ = home.counters.get(step.field, ({}, -1, 0))
        length = distinct.pane_length(step.window)
        pane = own // length
        overflow, _, floor = distinct.add(seen, overflow, pane, step.value)
        home.counters[step.field] = (seen, overflow, pane)
        home.keep((pane + distinct.PANES + 1) * length)
        return None, not floor

    def write(self, step: Distinct, home: Home, own: int, state: None, holder: str) -> None:
        """`take` has seen it: distinct values count whatever becomes of the bill."""

    def read(self, step: Distinct, home: Home, own: int, *, ok: bool, charged: bool) -> Reading:
        return Reading(ok, len(home.counters[step.field][0]), 0, 0)

    def settle(self, step: Distinct, home: Home, own: int, mark: tuple[int, ...], used: int | None, holder: str) -> bool:
        """What was seen was seen."""
        return False


class _Sketch:
    def take(self, step: Sketch, home: Home, own: int, holder: str) -> tuple[None, bool]:
        panes: Panes = home.counters.setdefault(step.field, Panes())
        pane = own // step.window
        panes.see(pane, step.value)
        home.keep((pane + 2) * step.window)
        return None, True

    def write(self, step: Sketch, home: Home, own: int, state: None, holder: str) -> None:
        """`take` has seen it."""

    def read(self, step: Sketch, home: Home, own: int, *, ok: bool, charged: bool) -> Reading:
        panes: Panes = home.counters[step.field]
        return Reading(ok, panes.count(), 0, 0)

    def settle(self, step: Sketch, home: Home, own: int, mark: tuple[int, ...], used: int | None, holder: str) -> bool:
        """What was seen was seen."""
        return False


class _Count:
    def take(self, step: Count, home: Home, own: int, holder: str) -> tuple[count.State, bool]:
        pane = own // window.pane_length(step.window)
        return count.add(home.counters.get(step.field, count.NEW), pane, step.cost), True

    def write(self, step: Count, home: Home, own: int, state: count.State, holder: str) -> None:
        home.counters[step.field] = state
        home.keep((state[0] + window.RING) * window.pane_length(step.window))

    def read(self, step: Count, home: Home, own: int, *, ok: bool, charged: bool) -> Reading:
        state = count.advance(home.counters.get(step.field, count.NEW), own // window.pane_length(step.window))
        return Reading(ok, state[1], 0, 0)

    def settle(self, step: Count, home: Home, own: int, mark: tuple[int, ...], used: int | None, holder: str) -> bool:
        """What was counted was counted."""
        return False


KINDS: dict[type, Kind] = {
    Gcra: _Gcra(),
    Window: _Window(),
    Budget: _Budget(),
    Lease: _Lease(),
    Share: _Share(),
    Distinct: _Distinct(),
    Sketch: _Sketch(),
    Count: _Count(),
}
