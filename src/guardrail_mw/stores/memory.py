"""The embedded store: one process, no server, the same contract.

Bounded: it evicts only what equals a new subject; when nothing does, newcomers share their parent's home, at last everyone's.
Records (`Files`) end with their time alone: 64 million characters of them are kept, and what has no room is refused.
Not for several workers: each would have a store of its own.

Here is the lock, and the time; what is done under it is in `charges` and `homes`, `remembering`, `linking`, `filing` and
`spending`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from secrets import token_urlsafe
from threading import Lock
from typing import TYPE_CHECKING, Any

from guardrail_mw.clock import SystemClock
from guardrail_mw.stores.base import Activity, Bill, Change, Held, Receipt, Settlement
from guardrail_mw.stores.charges import Charges
from guardrail_mw.stores.clearing import clear, raw
from guardrail_mw.stores.filing import Drawers
from guardrail_mw.stores.homes import Home, Homes
from guardrail_mw.stores.linking import Linked, parted
from guardrail_mw.stores.remembering import Known, begin, change, due, present
from guardrail_mw.stores.spending import Members, Tokens

if TYPE_CHECKING:
    from guardrail_mw.clock import Clock
    from guardrail_mw.values import Observer

__all__ = ["MemoryStore"]


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
        self._homes = Homes(max_subjects, observer)
        self._charges = Charges(self._homes)
        self._standings: dict[str, Known] = {}
        self._tokens = Tokens(max_subjects)
        self._made = token_urlsafe(16)
        self._switches: dict[str, str] = {}
        self._members = Members()
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
        receipt = self._charges.charge(bill, now)
        if candidate and bill.proved and receipt.code == "admitted" and (known is None or due(known, now)):
            begin(self._standings, candidate, now, self._max)
        if bill.edges and bill.proved:
            receipt = receipt._replace(records=self._linked.show(candidate, bill.edges, now))
        return receipt._replace(standing=present(self._standings, candidate, now)) if carried else receipt

    async def peek(self, bill: Bill) -> Receipt:
        """See `Store.peek`."""
        with self._lock:
            now = self._clock.now()
            standing = present(self._standings, bill.candidate, now) if bill.candidate else None
            return self._charges.peek(bill, now)._replace(standing=standing)

    def subjects(self) -> int:
        """How many homes are kept; those that have equalled a new subject's for a second are not."""
        with self._lock:
            self._charges.evict(self._clock.now())
            return len(self._homes.known)

    # Settling

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """See `Store.settle`."""
        with self._lock:
            now = self._clock.now()
            for settlement in settlements:
                candidate = settlement.receipt.bill.candidate
                if self._charges.settle(settlement, now) and settlement.changes and candidate:
                    change(self._standings, candidate, settlement.changes, now, self._max)

    async def renew(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        """See `Store.renew`."""
        with self._lock:
            now = self._clock.now()
            self._charges.evict(now)
            return [self._charges.renew(receipt, now) if receipt.open else receipt for receipt in receipts]

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
            return self._tokens.spend(token, ttl, self._clock.now())

    async def take(self, budget: str, member: str, most: int, until: int) -> bool:
        """See `Tally.take`."""
        with self._lock:
            return self._members.take(budget, member, most, until, self._clock.now())

    async def reset(self, home: str, fields: Sequence[str] | None = None) -> int:
        """See `Desk.reset`."""
        with self._lock:
            found = self._homes.known.get(home)
            return clear(found, fields) if found is not None else 0

    async def export(self, account: str) -> dict[str, Any]:
        """See `Desk.export`."""
        with self._lock:
            standing = present(self._standings, account, self._clock.now())
            kept = {"account": account, "standing": standing._asdict(), **raw(self._homes.known.get(account) or Home())}
            return kept | self._linked.export(account)

    async def erase(self, account: str) -> bool:
        """See `Desk.erase`."""
        with self._lock:
            known = self._standings.pop(account, None)
            linked = self._linked.forget(account, self._clock.now())
            return self._charges.forget(account) or linked or known is not None

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
