"""The embedded store: one process, no server, the same contract.

Bounded: it evicts only what equals a new subject; when nothing does, newcomers share their parent's home, at last everyone's.
Records (`Files`) end with their time alone: 64 million characters of them are kept, and what has no room is refused.
Not for several workers: each would have a store of its own.
"""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from heapq import heappop, heappush
from secrets import token_urlsafe
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

from guardrail_mw.algorithms import gcra, lease
from guardrail_mw.clock import SystemClock
from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import (
    Activity,
    Bill,
    Change,
    Count,
    Gcra,
    Held,
    Lease,
    Reading,
    Receipt,
    Settlement,
    Share,
    Step,
    opens,
)
from guardrail_mw.stores.buckets import plains, take_all
from guardrail_mw.stores.clearing import clear, raw
from guardrail_mw.stores.filing import Drawers
from guardrail_mw.stores.homes import Home
from guardrail_mw.stores.kinds import KINDS, Kind, bucket_of
from guardrail_mw.stores.linking import Linked, parted
from guardrail_mw.stores.remembering import Known, begin, change, due, present

if TYPE_CHECKING:
    from guardrail_mw.clock import Clock
    from guardrail_mw.values import Observer

__all__ = ["MemoryStore"]

_SECOND = 1_000_000
_BUDGETS = 1024
"""Budgets of members, from which on those that have ended are looked for; again whenever there are twice as many as were left."""
_tuple = tuple.__new__

_Taken = tuple[Kind, Step, Home, int, Any, bool]


class _Open:
    """An open receipt: where its charges really lie."""

    __slots__ = ("homes", "payer", "shares")

    def __init__(self, payer: Home, homes: list[Home], shares: tuple[tuple[str, int], ...]) -> None:
        self.payer = payer
        self.homes = homes
        self.shares = shares


class MemoryStore:
    """Counters, leases and standings in this process's memory.

    Args:
        clock: where `now` comes from.
        max_subjects: homes kept at most; beyond it newcomers share their parent's.
        observer: is told of `store.shared_home`.
    """

    def __init__(self, *, clock: Clock | None = None, max_subjects: int = 200_000, observer: Observer | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = Lock()
        self._max = max_subjects
        self._observer = observer
        self._homes: dict[str, Home] = {}
        self._due: dict[int, list[str]] = {}
        self._seconds: list[int] = []
        self._open: dict[str, _Open] = {}
        self._standings: dict[str, Known] = {}
        self._spent: dict[str, int] = {}
        self._forgotten = 0
        """µs when those whose time was over were last looked for."""
        self._made = token_urlsafe(16)
        self._switches: dict[str, str] = {}
        self._budgets: dict[str, dict[str, int]] = {}
        self._many = _BUDGETS
        """From how many budgets on those that have ended are looked for."""
        self._linked = Linked(max_subjects)
        self._drawers = Drawers()

    @classmethod
    def from_url(
        cls, url: str, *, deadline: int, max_subjects: int, clock: Clock | None, observer: Observer | None
    ) -> MemoryStore:
        """The store for `memory://`. It answers at once, so it needs no deadline.

        Raises:
            ValueError: something stands behind `memory://`.
        """
        if url != "memory://":
            raise ValueError(f"is {url!r}, and nothing may stand behind memory://.")
        del deadline
        return cls(clock=clock, max_subjects=max_subjects, observer=observer)

    # Charging

    async def charge(self, bill: Bill) -> Receipt:
        """See `Store.charge`."""
        with self._lock:
            return self._charge(bill, self._clock.now())

    def _charge(self, bill: Bill, now: int) -> Receipt:
        candidate = bill.candidate
        if bill.not_after is not None and now > bill.not_after:
            return Receipt(bill, "late", now, None, ())
        known = self._standings.get(candidate) if candidate else None
        carried = False
        if candidate and (known is not None or bill.version or bill.seen):
            version, seen = (known[0], known[2]) if known is not None and known[3] > now else (0, 0)
            if version != bill.version:
                return Receipt(bill, "stale", now, present(self._standings, candidate, now), ())
            carried = seen != bill.seen
        if self._seconds and self._seconds[0] * _SECOND <= now:
            self._evict(now)
        receipt = self._take_plain(bill, now) or self._take(bill, now)
        if candidate and bill.proved and receipt.code == "admitted" and (known is None or due(known, now)):
            begin(self._standings, candidate, now, self._max)
        if bill.edges and bill.proved:
            receipt = receipt._replace(records=self._linked.show(candidate, bill.edges, now))
        return receipt._replace(standing=present(self._standings, candidate, now)) if carried else receipt

    def _take_plain(self, bill: Bill, now: int) -> Receipt | None:
        """The short way, for bills of token buckets, slots and counts that nothing refuses."""
        steps = plains(bill)
        if steps is None:
            return None
        known = self._homes.get
        homes = [known(entry.home) or self._home(entry.home, entry.parent, now) for entry in bill.entries]
        readings = take_all(homes, steps, now, bill.id)
        if readings is None:
            return None
        is_open = opens(bill)
        if is_open:
            self._leave(bill, homes, (), now)
        return _tuple(Receipt, (bill, "admitted", now, None, readings, is_open, False, ()))

    def _take(self, bill: Bill, now: int) -> Receipt:
        homes = [self._home(entry.home, entry.parent, now) for entry in bill.entries]
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

    async def peek(self, bill: Bill) -> Receipt:
        """See `Store.peek`."""
        with self._lock:
            return self._peek(bill, self._clock.now())

    def _peek(self, bill: Bill, now: int) -> Receipt:
        standing = present(self._standings, bill.candidate, now) if bill.candidate else None
        homes = [copy.deepcopy(self._homes.get(entry.home)) or Home() for entry in bill.entries]
        taken, admitted = _take(bill, homes, now)
        code: Literal["admitted", "denied"] = "admitted" if admitted else "denied"
        return Receipt(bill, code, now, standing, _read(taken, charged=False))

    def _leave(self, bill: Bill, homes: list[Home], shares: tuple[tuple[str, int], ...], now: int) -> None:
        """Leave the receipt beside the payer's home."""
        payer = self._payer(bill, homes, now)
        self._lay(payer, bill.id, shares, now)
        self._open[bill.id] = _Open(payer, homes, shares)

    def _lay(self, payer: Home, receipt: str, shares: tuple[tuple[str, int], ...], now: int) -> None:
        for swept in payer.leave(receipt, payer.tick(now), shares):
            self._open.pop(swept, None)

    def _payer(self, bill: Bill, homes: list[Home], now: int) -> Home:
        for entry, home in zip(bill.entries, homes, strict=True):
            if entry.home == bill.payer:
                return home
        return self._home(bill.payer, "e", now)

    # Homes

    def _home(self, name: str, parent: str, now: int) -> Home:
        home = self._homes.get(name)
        if home is not None:
            return home
        if len(self._homes) >= self._max and name != "e":
            if self._observer is not None:
                self._observer.count("store.shared_home")
            return self._home(parent if parent in self._homes else "e", "e", now)
        home = self._homes[name] = Home()
        self._schedule(name, now)
        return home

    def _present(self, held: _Open, bill: Bill, now: int) -> list[Home]:
        """The homes of an open receipt; one that was evicted since, for it equalled a newcomer's, is a newcomer's."""
        for index, entry in enumerate(bill.entries):
            if held.homes[index].evicted:
                held.homes[index] = self._home(entry.home, entry.parent, now)
        return held.homes

    def _schedule(self, name: str, expiry: int) -> None:
        second = expiry // _SECOND + 1
        if second not in self._due:
            self._due[second] = []
            heappush(self._seconds, second)
        self._due[second].append(name)

    def _evict(self, now: int) -> None:
        """Look at the homes whose time has come; those that equal a new subject's go."""
        while self._seconds and self._seconds[0] * _SECOND <= now:
            for name in self._due.pop(heappop(self._seconds)):
                home = self._homes[name]
                if home.expiry > now:
                    self._schedule(name, home.expiry)
                else:
                    del self._homes[name]
                    home.evicted = True
                    for receipt in home.open:
                        self._open.pop(receipt, None)

    def subjects(self) -> int:
        """How many homes are kept; those that have equalled a new subject's for a second are not."""
        with self._lock:
            self._evict(self._clock.now())
            return len(self._homes)

    # Settling

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """See `Store.settle`."""
        with self._lock:
            now = self._clock.now()
            for settlement in settlements:
                self._settle(settlement, now)

    def _settle(self, settlement: Settlement, now: int) -> None:
        bill = settlement.receipt.bill
        homes: Sequence[Home | None]
        if settlement.receipt.open:
            held = self._open.pop(bill.id, None)
            if held is None or not held.payer.forget(bill.id, held.payer.time(now)):
                return
            homes = self._present(held, bill, now)
        else:
            homes = [self._homes.get(entry.home) or self._homes.get(entry.parent) for entry in bill.entries]
        _settle(settlement, homes, now)
        if settlement.changes and bill.candidate:
            change(self._standings, bill.candidate, settlement.changes, now, self._max)

    async def renew(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        """See `Store.renew`."""
        with self._lock:
            now = self._clock.now()
            self._evict(now)
            return [self._renew(receipt, now) if receipt.open else receipt for receipt in receipts]

    def _renew(self, receipt: Receipt, now: int) -> Receipt:
        bill = receipt.bill
        held = self._open.get(bill.id)
        if held is None:
            homes = [self._home(entry.home, entry.parent, now) for entry in bill.entries]
            shares = tuple((step.field, step.cost) for step, reading in _charged(receipt) if isinstance(step, Share))
            held = _Open(self._payer(bill, homes, now), homes, shares)
        self._lay(held.payer, bill.id, held.shares, now)
        self._open[bill.id] = held
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

    # Standings

    async def remember(self, account: str, changes: Sequence[Change]) -> int:
        """See `Store.remember`."""
        with self._lock:
            return change(self._standings, account, changes, self._clock.now(), self._max)

    # Evidence

    async def note(self, activities: Sequence[Activity]) -> None:
        """See `Graph.note`."""
        with self._lock:
            self._linked.note(activities)

    async def read(self, since_day: int) -> AsyncIterator[Sequence[Held]]:
        """See `Graph.read`."""
        for accounts in parted(self._linked.accounts()):
            with self._lock:
                batch = self._linked.held(self._standings, accounts, since_day, self._clock.now())
            if batch:
                yield batch

    async def assign(self, changes: Sequence[tuple[str, Sequence[Change]]]) -> None:
        """See `Graph.assign`."""
        for batch in parted(changes):
            with self._lock:
                now = self._clock.now()
                for account, its in batch:
                    change(self._standings, account, its, now, self._max)
            await asyncio.sleep(0)

    async def mark(self, records: Mapping[int, tuple[tuple[str, int], ...]], established: Mapping[int, int]) -> None:
        """See `Graph.mark`."""
        with self._lock:
            unnamed = self._linked.unnamed(records, established)
        for batch in parted([*unnamed, *{**records, **established}]):
            with self._lock:
                for key in batch:
                    self._linked.mark(key, records.get(key, ()), established.get(key, 0))
            await asyncio.sleep(0)

    async def link(self, account: str, keys: Sequence[int], created: int | None = None, *, at: int | None = None) -> None:
        """See `Graph.link`."""
        with self._lock:
            now = self._clock.now()
            if keys:
                self._linked.show(account, keys, now if at is None else at)
            if created is not None:
                change(self._standings, account, (Change("first", "created", str(created)),), now, self._max)

    async def unlink(self, account: str, keys: Sequence[int]) -> None:
        """See `Graph.unlink`."""
        with self._lock:
            self._linked.remove(account, keys, self._clock.now())

    async def elect(self, name: str, who: str, ttl: int) -> bool:
        """See `Graph.elect`."""
        with self._lock:
            now = self._clock.now()
            return self._linked.elect(name, who, now + ttl, now)

    async def keep(self, name: str, blob: bytes) -> None:
        """See `Graph.keep`."""
        self._linked.notes[name] = bytes(blob)

    async def recall(self, name: str) -> bytes | None:
        """See `Graph.recall`."""
        return self._linked.notes.get(name)

    async def sweep(self, before_day: int) -> int:
        """See `Graph.sweep`."""
        gone = 0
        for accounts in parted(self._linked.accounts()):
            with self._lock:
                now = self._clock.now()
                gone += sum([self._linked.remove(account, None, now, before_day) for account in accounts])
            await asyncio.sleep(0)
        return gone

    # Records

    async def file(self, drawer: str, name: str, changes: Sequence[Change], until: int) -> dict[str, str]:
        """See `Files.file`.

        Raises:
            StoreError: there is no room for it (see `stores.filing`), and nothing was done.
        """
        with self._lock:
            return self._drawers.file(drawer, name, changes, until, self._clock.now())

    async def pull(self, drawer: str, name: str) -> dict[str, str] | None:
        """See `Files.pull`."""
        with self._lock:
            return self._drawers.pull(drawer, name, self._clock.now())

    async def listed(self, drawer: str, most: int, after: str = "") -> list[str]:
        """See `Files.listed`."""
        with self._lock:
            return self._drawers.listed(drawer, most, after, self._clock.now())

    async def shred(self, drawer: str, name: str) -> bool:
        """See `Files.shred`."""
        with self._lock:
            return self._drawers.shred(drawer, name, self._clock.now())

    # The rest

    async def epoch(self, token: str) -> str:
        """See `Store.epoch`. A process that was forked from this one keeps what it spends to itself, so it has another."""
        return f"{os.getpid()}.{self._made}"

    async def spend(self, token: str, ttl: int, epoch: str) -> bool:
        """See `Store.spend`."""
        if epoch != await self.epoch(token):
            return False
        with self._lock:
            return self._spend(token, ttl, self._clock.now())

    def _spend(self, token: str, ttl: int, now: int) -> bool:
        if self._spent.get(token, 0) > now:
            return False
        if len(self._spent) >= self._max:
            if now >= self._forgotten + _SECOND:  # looking through all of them takes a while
                self._forgotten = now
                self._spent = {each: until for each, until in self._spent.items() if until > now}
            if len(self._spent) >= self._max:
                raise StoreError("The store holds as many spent tokens as it may.", f"{self._max} of them are still good.")
        self._spent[token] = now + ttl
        return True

    async def take(self, budget: str, member: str, most: int, until: int) -> bool:
        """See `Tally.take`."""
        with self._lock:
            return self._member(budget, member, most, until, self._clock.now())

    def _member(self, budget: str, member: str, most: int, until: int, now: int) -> bool:
        if len(self._budgets) >= self._many:
            self._budgets = {name: kept for name, kept in self._budgets.items() if max(kept.values(), default=0) > now}
            self._many = max(_BUDGETS, 2 * len(self._budgets))  # looking through all of them takes a while
        members = {who: last for who, last in self._budgets.get(budget, {}).items() if last > now}
        self._budgets[budget] = members
        if member not in members and (until <= now or len(members) >= most):
            return False
        members.setdefault(member, until)
        return True

    async def reset(self, home: str, fields: Sequence[str] | None = None) -> int:
        """See `Desk.reset`."""
        with self._lock:
            found = self._homes.get(home)
            return clear(found, fields) if found is not None else 0

    async def export(self, account: str) -> dict[str, Any]:
        """See `Desk.export`."""
        with self._lock:
            standing = present(self._standings, account, self._clock.now())
            kept = {"account": account, "standing": standing._asdict(), **raw(self._homes.get(account) or Home())}
            return kept | self._linked.export(account)

    async def erase(self, account: str) -> bool:
        """See `Desk.erase`."""
        with self._lock:
            known = self._standings.pop(account, None)
            linked = self._linked.forget(account, self._clock.now())
            home = self._homes.get(account) or Home()
            for receipt in home.open:
                self._open.pop(receipt, None)
            some = bool(home.open or home.counters or home.shares)
            clear(home, None)
            home.open.clear()
            home.last = home.offset = home.expiry = 0
            return some or linked or known is not None

    async def read_switches(self) -> dict[str, str]:
        """See `Switches.read_switches`."""
        return dict(self._switches)

    async def write_switch(self, rule: str, mode: str | None) -> None:
        """See `Switches.write_switch`."""
        if mode is None:
            self._switches.pop(rule, None)
        else:
            self._switches[rule] = mode

    async def ping(self) -> None:
        """Always there."""

    async def drain(self) -> None:
        """Nothing is ever queued."""

    async def close(self) -> None:
        """Nothing to let go of."""


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
