"""A shared store that may fail: a decision comes all the same, in the mode that the policy names.

`charge` asks the store unless the breaker is open. What fails is decided at once: under `local` by this process alone (see
`stores.local`), under `allow` and `deny` by whoever called, who gets the StoreError. What exchanges teach meanwhile is carried to
the store once it answers again (see `stores.tending`).

Observed: `on_error.allow`, `on_error.deny`, `on_error.local` (one a bill), and what `stores.tending` observes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from guardrail_mw.errors import StoreError, StoreTimeout
from guardrail_mw.stores.abilities import desk_of, files_of, graph_of, switches_of, tally_of
from guardrail_mw.stores.base import Activity, Bill, Change, Held, Receipt, Settlement, Switches
from guardrail_mw.stores.local import Alone
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.stores.tending import Tending

if TYPE_CHECKING:
    from guardrail_mw.clock import Clock
    from guardrail_mw.stores.base import Store
    from guardrail_mw.values import Observer

__all__ = ["Resilient", "behind"]

_T = TypeVar("_T")


def behind(store: Store) -> Store:
    """The store that does the work: what another passes on to, or itself."""
    return store.store if isinstance(store, Resilient) else store


class Resilient:
    """A `Store` around a shared one.

    Args:
        store: the shared store.
        on_error: what becomes of a bill that it does not answer.
        processes: how many share each limit when every one decides alone; `local` only.
        clock: for the breaker, and for the store of `local`.
        observer: is told what happened.
        local: the store that `local` charges, used by nobody else; a `MemoryStore` unless given.
        pause: waits so many seconds between probes.
    """

    def __init__(
        self,
        store: Store,
        *,
        on_error: Literal["allow", "deny", "local"],
        processes: int,
        clock: Clock,
        observer: Observer | None = None,
        local: Store | None = None,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.store = store
        self.on_error = on_error
        self._clock = clock
        self._observer = observer
        self._alone: Alone | None = None
        meanwhile = {
            "allow": "every request is let through, uncharged",
            "deny": "every request is refused with 503",
            "local": f"this process decides alone, with {f'1/{processes}' if processes > 1 else 'the whole'} of each limit",
        }[on_error]
        self._tending = Tending(store, f"{meanwhile} (on_error: {on_error})", clock=clock, observer=observer, pause=pause)
        self._breaker = self._tending.breaker
        self._learned = self._tending.learned
        if on_error == "local":
            own = MemoryStore(clock=clock, observer=observer) if local is None else local
            self._alone = Alone(own, processes)

    @property
    def available(self) -> bool:
        """Whether the store is being asked: False while the breaker is open."""
        return not self._breaker.open

    # Charging

    async def charge(self, bill: Bill) -> Receipt:
        """See `Store.charge`.

        Raises:
            StoreError: the store did not answer and the mode is `allow` or `deny`: apply it.
        """
        if self._breaker.open:
            return await self.alone(bill, self._tending.closed_off())
        try:
            receipt = await self.store.charge(bill)
        except StoreError as error:
            self._tending.failed()
            return await self.alone(bill, error)
        if receipt.code == "late":
            self._tending.failed()
            return await self.alone(bill, StoreTimeout("The store answered too late.", f"At {receipt.now} µs of its time."))
        self._breaker.succeeded()
        if receipt.standing is not None:
            self._learned.note(bill.candidate, receipt.standing)
        if receipt.open and self._alone is not None:
            self._alone.hold(receipt)
        return receipt

    async def alone(self, bill: Bill, error: StoreError) -> Receipt:
        """Decide a bill without the store, because of `error`; also where the store's answers were of no use.

        Raises:
            StoreError: `error`, unless the mode is `local`.
        """
        self._tending.tend()
        standing = self._learned.newer(bill) if self._alone is not None else None
        if standing is not None:
            return Receipt(bill, "stale", self._clock.now(), standing, (), local=True)
        if self._observer is not None:
            self._observer.count(f"on_error.{self.on_error}")
        if self._alone is None:
            raise error
        receipt = await self._alone.charge(bill)
        beside = self._learned.beside(bill)
        return receipt if beside is None else receipt._replace(standing=beside)

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """See `Store.settle`. Each settles where it was charged; the shared store queues while it is away."""
        if self._alone is None:
            self.store.settle(settlements)
            return
        shared = []
        for settlement in settlements:
            receipt = settlement.receipt
            if receipt.local:
                self._alone.settle(settlement)
                if settlement.changes and receipt.bill.candidate:
                    self.learn(receipt.bill.candidate, settlement.changes)
                continue
            if receipt.open:
                self._alone.release(receipt)
            shared.append(settlement)
        if shared:
            self.store.settle(shared)

    async def renew(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        """See `Store.renew`. Each is renewed where it was charged."""
        shared = [receipt for receipt in receipts if not receipt.local]
        local = [receipt for receipt in receipts if receipt.local]
        if self._alone is not None:
            await self._alone.keep(shared)
            local = await self._alone.renew(local) if local else []
        if shared and not self._breaker.open:
            shared = await self.store.renew(shared)
        here, there = iter(local), iter(shared)
        return [next(here) if receipt.local else next(there) for receipt in receipts]

    # What is known of accounts

    def learn(self, account: str, changes: Sequence[Change]) -> None:
        """Carry `changes` to the store as soon as it answers: for what an exchange taught that the store did not charge.

        Kept for 10,000 accounts at most; what is lost is counted.
        """
        self._tending.learn(account, changes)

    async def remember(self, account: str, changes: Sequence[Change]) -> int:
        """See `Store.remember`. Somebody's command, who must know that it was carried out: it fails where the store does."""
        return await self._tending.ask(lambda: self.store.remember(account, changes))

    async def epoch(self, token: str) -> str:
        """See `Store.epoch`. Fails where the store does: what no store can spend need not be asked for."""
        return await self._tending.ask(lambda: self.store.epoch(token), reads=True)

    async def spend(self, token: str, ttl: int, epoch: str) -> bool:
        """See `Store.spend`. Fails closed in every mode: no process alone knows what another let pass."""
        return await self._tending.ask(lambda: self.store.spend(token, ttl, epoch))

    async def peek(self, bill: Bill) -> Receipt:
        """See `Store.peek`; fails where the store does."""
        return await self._tending.ask(lambda: self.store.peek(bill), reads=True)

    async def read_switches(self) -> dict[str, str]:
        """See `Switches.read_switches`; none where the store has none."""
        store = self.store
        return await self._tending.ask(store.read_switches, reads=True) if isinstance(store, Switches) else {}

    async def write_switch(self, rule: str, mode: str | None) -> None:
        """See `Switches.write_switch`."""
        switches = switches_of(self.store)
        await self._tending.ask(lambda: switches.write_switch(rule, mode))

    async def reset(self, home: str, fields: Sequence[str] | None = None) -> int:
        """See `Desk.reset`. Somebody's command: it fails where the store does."""
        desk = desk_of(self.store)
        return await self._tending.ask(lambda: desk.reset(home, fields))

    async def export(self, account: str) -> dict[str, Any]:
        """See `Desk.export`; fails where the store does."""
        desk = desk_of(self.store)
        return await self._tending.ask(lambda: desk.export(account), reads=True)

    async def erase(self, account: str) -> bool:
        """See `Desk.erase`; fails where the store does. What this process learned of the account while it was away goes too."""
        desk = desk_of(self.store)
        erased = await self._tending.ask(lambda: desk.erase(account))
        return self._learned.forget(account) or erased

    async def take(self, budget: str, member: str, most: int, until: int) -> bool:
        """See `Tally.take`. Fails where the store does: no process alone knows what another let pass."""
        tally = tally_of(self.store)
        return await self._tending.ask(lambda: tally.take(budget, member, most, until))

    async def file(self, drawer: str, name: str, changes: Sequence[Change], until: int) -> dict[str, str]:
        """See `Files.file`. Fails where the store does: a record is one, or it is none."""
        files = files_of(self.store)
        return await self._tending.ask(lambda: files.file(drawer, name, changes, until))

    async def pull(self, drawer: str, name: str) -> dict[str, str] | None:
        """See `Files.pull`; fails where the store does."""
        files = files_of(self.store)
        return await self._tending.ask(lambda: files.pull(drawer, name), reads=True)

    async def listed(self, drawer: str, most: int, after: str = "") -> list[str]:
        """See `Files.listed`; fails where the store does."""
        files = files_of(self.store)
        return await self._tending.ask(lambda: files.listed(drawer, most, after), reads=True)

    async def shred(self, drawer: str, name: str) -> bool:
        """See `Files.shred`; fails where the store does."""
        files = files_of(self.store)
        return await self._tending.ask(lambda: files.shred(drawer, name))

    # Evidence: background work and an operator's commands, which fail where the store does. None is noted while it is away.

    async def note(self, activities: Sequence[Activity]) -> None:
        """See `Graph.note`."""
        graph = graph_of(self.store)
        await self._tending.work(lambda: graph.note(activities))

    async def read(self, since_day: int) -> AsyncIterator[Sequence[Held]]:
        """See `Graph.read`."""
        batches = graph_of(self.store).read(since_day)
        try:
            while (batch := await self._tending.work(lambda: _next(batches))) is not None:
                yield batch
        finally:
            if isinstance(batches, AsyncGenerator):
                await batches.aclose()

    async def assign(self, changes: Sequence[tuple[str, Sequence[Change]]]) -> None:
        """See `Graph.assign`."""
        graph = graph_of(self.store)
        await self._tending.work(lambda: graph.assign(changes))

    async def mark(self, records: Mapping[int, tuple[tuple[str, int], ...]], established: Mapping[int, int]) -> None:
        """See `Graph.mark`."""
        graph = graph_of(self.store)
        await self._tending.work(lambda: graph.mark(records, established))

    async def link(self, account: str, keys: Sequence[int], created: int | None = None, *, at: int | None = None) -> None:
        """See `Graph.link`."""
        graph = graph_of(self.store)
        await self._tending.work(lambda: graph.link(account, keys, created, at=at))

    async def unlink(self, account: str, keys: Sequence[int]) -> None:
        """See `Graph.unlink`."""
        graph = graph_of(self.store)
        await self._tending.work(lambda: graph.unlink(account, keys))

    async def elect(self, name: str, who: str, ttl: int) -> bool:
        """See `Graph.elect`."""
        graph = graph_of(self.store)
        return await self._tending.work(lambda: graph.elect(name, who, ttl))

    async def keep(self, name: str, blob: bytes) -> None:
        """See `Graph.keep`."""
        graph = graph_of(self.store)
        await self._tending.work(lambda: graph.keep(name, blob))

    async def recall(self, name: str) -> bytes | None:
        """See `Graph.recall`."""
        graph = graph_of(self.store)
        return await self._tending.work(lambda: graph.recall(name))

    async def sweep(self, before_day: int) -> int:
        """See `Graph.sweep`."""
        graph = graph_of(self.store)
        return await self._tending.work(lambda: graph.sweep(before_day))

    # Its life

    async def drain(self) -> None:
        """See `Store.drain`. What was learned is carried over if the store answers."""
        if not self._breaker.open:
            await self._tending.carry()
        await self.store.drain()
        if self._alone is not None:
            await self._alone.store.drain()

    async def close(self) -> None:
        """See `Store.close`."""
        await self.drain()
        await self._tending.stop()
        await self.store.close()
        if self._alone is not None:
            await self._alone.store.close()


async def _next(batches: AsyncIterator[_T]) -> _T | None:
    return await anext(batches, None)
