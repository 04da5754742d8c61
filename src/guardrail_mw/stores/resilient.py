"""A shared store that may fail: a decision comes all the same, in the mode that the policy names.

`charge` asks the store unless the breaker is open. What fails is decided at once: under `local` by this process alone (see
`stores.local`), under `allow` and `deny` by whoever called, who gets the StoreError. While the breaker is open one task a
running loop probes the store, so that service returns within a second of the store's, and afterwards carries to it what
exchanges have taught meanwhile.

Observed: `store.opened`, `store.closed`, `on_error.allow`, `on_error.deny`, `on_error.local` (one a bill),
`on_error.changes_lost`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import Context
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from guardrail_mw.errors import StoreError, StoreTimeout
from guardrail_mw.stores.base import (
    Activity,
    Bill,
    Change,
    Desk,
    Entry,
    Files,
    Gcra,
    Graph,
    Held,
    Receipt,
    Settlement,
    Switches,
    Tally,
)
from guardrail_mw.stores.breaker import PROBE_EVERY, SECOND, Breaker
from guardrail_mw.stores.learned import Learned
from guardrail_mw.stores.local import Alone
from guardrail_mw.stores.memory import MemoryStore

if TYPE_CHECKING:
    from guardrail_mw.clock import Clock
    from guardrail_mw.stores.base import Store
    from guardrail_mw.values import Observer

__all__ = ["Resilient", "behind"]

logger = logging.getLogger("guardrail_mw")

_T = TypeVar("_T")
_PROBE = (Gcra("probe", 1, 1, 1, 1),)


class _Care:
    """What one event loop does for a store that is away."""

    __slots__ = ("carrying", "task")

    def __init__(self) -> None:
        self.carrying = asyncio.Lock()
        self.task: asyncio.Task[None] | None = None


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
        self._pause = pause
        self._breaker = Breaker()
        self._learned = Learned()
        self._loops: dict[asyncio.AbstractEventLoop, _Care] = {}
        self._alone: Alone | None = None
        self._meanwhile = {
            "allow": "every request is let through, uncharged",
            "deny": "every request is refused with 503",
            "local": f"this process decides alone, with {f'1/{processes}' if processes > 1 else 'the whole'} of each limit",
        }[on_error]
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
            return await self.alone(bill, self._closed_off())
        try:
            receipt = await self.store.charge(bill)
        except StoreError as error:
            self._failed()
            return await self.alone(bill, error)
        if receipt.code == "late":
            self._failed()
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
        self._tend()
        standing = self._learned.newer(bill) if self._alone is not None else None
        if standing is not None:
            return Receipt(bill, "stale", self._clock.now(), standing, (), local=True)
        self._count(f"on_error.{self.on_error}")
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
        self._count("on_error.changes_lost", self._learned.add(account, changes))
        self._tend()

    async def remember(self, account: str, changes: Sequence[Change]) -> int:
        """See `Store.remember`. Somebody's command, who must know that it was carried out: it fails where the store does."""
        return await self._ask(lambda: self.store.remember(account, changes))

    async def epoch(self, token: str) -> str:
        """See `Store.epoch`. Fails where the store does: what no store can spend need not be asked for."""
        return await self._ask(lambda: self.store.epoch(token), reads=True)

    async def spend(self, token: str, ttl: int, epoch: str) -> bool:
        """See `Store.spend`. Fails closed in every mode: no process alone knows what another let pass."""
        return await self._ask(lambda: self.store.spend(token, ttl, epoch))

    async def peek(self, bill: Bill) -> Receipt:
        """See `Store.peek`; fails where the store does."""
        return await self._ask(lambda: self.store.peek(bill), reads=True)

    async def read_switches(self) -> dict[str, str]:
        """See `Switches.read_switches`; none where the store has none."""
        store = self.store
        return await self._ask(store.read_switches, reads=True) if isinstance(store, Switches) else {}

    async def write_switch(self, rule: str, mode: str | None) -> None:
        """See `Switches.write_switch`."""
        store = self.store
        if not isinstance(store, Switches):
            raise StoreError("This store keeps no switches.", f"{type(store).__name__} has no write_switch().")
        await self._ask(lambda: store.write_switch(rule, mode))

    async def reset(self, home: str, fields: Sequence[str] | None = None) -> int:
        """See `Desk.reset`. Somebody's command: it fails where the store does."""
        desk = self._desk()
        return await self._ask(lambda: desk.reset(home, fields))

    async def export(self, account: str) -> dict[str, Any]:
        """See `Desk.export`; fails where the store does."""
        desk = self._desk()
        return await self._ask(lambda: desk.export(account), reads=True)

    async def erase(self, account: str) -> bool:
        """See `Desk.erase`; fails where the store does. What this process learned of the account while it was away goes too."""
        desk = self._desk()
        erased = await self._ask(lambda: desk.erase(account))
        return self._learned.forget(account) or erased

    def _desk(self) -> Desk:
        if not isinstance(self.store, Desk):
            raise StoreError("This store has no desk.", f"{type(self.store).__name__} has no reset(), export() and erase().")
        return self.store

    async def take(self, budget: str, member: str, most: int, until: int) -> bool:
        """See `Tally.take`. Fails where the store does: no process alone knows what another let pass."""
        store = self.store
        if not isinstance(store, Tally):
            raise StoreError("This store keeps no budgets of members.", f"{type(store).__name__} has no take().")
        return await self._ask(lambda: store.take(budget, member, most, until))

    async def file(self, drawer: str, name: str, changes: Sequence[Change], until: int) -> dict[str, str]:
        """See `Files.file`. Fails where the store does: a record is one, or it is none."""
        files = self._files()
        return await self._ask(lambda: files.file(drawer, name, changes, until))

    async def pull(self, drawer: str, name: str) -> dict[str, str] | None:
        """See `Files.pull`; fails where the store does."""
        files = self._files()
        return await self._ask(lambda: files.pull(drawer, name), reads=True)

    async def listed(self, drawer: str, most: int, after: str = "") -> list[str]:
        """See `Files.listed`; fails where the store does."""
        files = self._files()
        return await self._ask(lambda: files.listed(drawer, most, after), reads=True)

    async def shred(self, drawer: str, name: str) -> bool:
        """See `Files.shred`; fails where the store does."""
        files = self._files()
        return await self._ask(lambda: files.shred(drawer, name))

    def _files(self) -> Files:
        if not isinstance(self.store, Files):
            raise StoreError(
                "This store keeps no records.", f"{type(self.store).__name__} has no file(), pull(), listed() and shred()."
            )
        return self.store

    # Evidence: background work and an operator's commands, which fail where the store does. None is noted while it is away.

    async def note(self, activities: Sequence[Activity]) -> None:
        """See `Graph.note`."""
        graph = self._graph()
        await self._work(lambda: graph.note(activities))

    async def read(self, since_day: int) -> AsyncIterator[Sequence[Held]]:
        """See `Graph.read`."""
        batches = self._graph().read(since_day)
        try:
            while (batch := await self._work(lambda: _next(batches))) is not None:
                yield batch
        finally:
            if isinstance(batches, AsyncGenerator):
                await batches.aclose()

    async def assign(self, changes: Sequence[tuple[str, Sequence[Change]]]) -> None:
        """See `Graph.assign`."""
        graph = self._graph()
        await self._work(lambda: graph.assign(changes))

    async def mark(self, records: Mapping[int, tuple[tuple[str, int], ...]], established: Mapping[int, int]) -> None:
        """See `Graph.mark`."""
        graph = self._graph()
        await self._work(lambda: graph.mark(records, established))

    async def link(self, account: str, keys: Sequence[int], created: int | None = None, *, at: int | None = None) -> None:
        """See `Graph.link`."""
        graph = self._graph()
        await self._work(lambda: graph.link(account, keys, created, at=at))

    async def unlink(self, account: str, keys: Sequence[int]) -> None:
        """See `Graph.unlink`."""
        graph = self._graph()
        await self._work(lambda: graph.unlink(account, keys))

    async def elect(self, name: str, who: str, ttl: int) -> bool:
        """See `Graph.elect`."""
        graph = self._graph()
        return await self._work(lambda: graph.elect(name, who, ttl))

    async def keep(self, name: str, blob: bytes) -> None:
        """See `Graph.keep`."""
        graph = self._graph()
        await self._work(lambda: graph.keep(name, blob))

    async def recall(self, name: str) -> bytes | None:
        """See `Graph.recall`."""
        graph = self._graph()
        return await self._work(lambda: graph.recall(name))

    async def sweep(self, before_day: int) -> int:
        """See `Graph.sweep`."""
        graph = self._graph()
        return await self._work(lambda: graph.sweep(before_day))

    def _graph(self) -> Graph:
        if not isinstance(self.store, Graph):
            raise StoreError(
                "This store keeps no evidence.", f"{type(self.store).__name__} has no read(), assign() and mark()."
            )
        return self.store

    # Its life

    async def drain(self) -> None:
        """See `Store.drain`. What was learned is carried over if the store answers."""
        if not self._breaker.open:
            await self._carry()
        await self.store.drain()
        if self._alone is not None:
            await self._alone.store.drain()

    async def close(self) -> None:
        """See `Store.close`."""
        await self.drain()
        await self._stop_tending()
        await self.store.close()
        if self._alone is not None:
            await self._alone.store.close()

    # The store's state

    async def _ask(self, call: Callable[[], Coroutine[Any, Any, _T]], *, reads: bool = False) -> _T:
        """Ask if the breaker lets; that a store can be read says nothing of whether it can be charged."""
        if self._breaker.open:
            self._tend()
            raise self._closed_off()
        try:
            answer = await call()
        except StoreError:
            self._failed()
            raise
        if not reads:
            self._breaker.succeeded()
        return answer

    async def _work(self, call: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Ask if the breaker lets; how bulk work fares says nothing of whether the store answers requests in time."""
        if self._breaker.open:
            self._tend()
            raise self._closed_off()
        return await call()

    def _closed_off(self) -> StoreError:
        passed = (self._clock.monotonic() - self._breaker.since) // 1000
        return StoreError("The store is unavailable.", f"It failed repeatedly and has not been asked for {passed} ms.")

    def _failed(self) -> None:
        if self._breaker.failed(self._clock.monotonic()):
            self._count("store.opened")
            logger.warning("The store does not answer. Until it does, %s (on_error: %s).", self._meanwhile, self.on_error)
            self._tend()

    def _tend(self) -> None:
        """See that a task on this loop looks after the store while it is away, or anything waits for it."""
        if not (self._breaker.open or self._learned):
            return
        try:
            care = self._care()
        except RuntimeError:  # settled from outside any loop: the next charge sees to it
            return
        if care.task is None or care.task.done():
            loop = asyncio.get_running_loop()
            care.task = loop.create_task(self._look_after(), name="guardrail store probe", context=Context())

    def _care(self) -> _Care:
        """What the running loop does for the store; what loops that are closed did is forgotten."""
        loop = asyncio.get_running_loop()
        care = self._loops.get(loop)
        if care is None:
            for other in [other for other in self._loops if other.is_closed()]:
                self._loops.pop(other, None)
            care = self._loops[loop] = _Care()
        return care

    async def _look_after(self) -> None:
        while True:
            if self._breaker.open:
                if self._breaker.due(self._clock.monotonic()):
                    await self._probe()
            else:
                await self._carry()
            if not (self._breaker.open or self._learned):
                return
            await self._pause(PROBE_EVERY / SECOND)

    async def _probe(self) -> None:
        """Charge a subject of its own, which is gone at once: what is full, read-only or late does not pass for well."""
        home = f"p:{token_hex(8)}"
        try:
            receipt = await self.store.charge(Bill(token_hex(12), (Entry(home, _PROBE),), home))
            ok = receipt.code != "late"
        except Exception:  # noqa: BLE001 - a plugin's store may fail in its own way; the probe must go on
            ok = False
        if self._breaker.probed(self._clock.monotonic(), ok=ok):
            self._count("store.closed")
            logger.warning("The store answers again, and decides.")

    async def _carry(self) -> None:
        """Tell the store what was learned, an account at a time, until it fails. One carries at a time."""
        async with self._care().carrying:
            while self._learned and not self._breaker.open:
                if not await self._carry_one(*self._learned.take()):
                    return

    async def _carry_one(self, account: str, changes: Sequence[Change]) -> bool:
        carried = False
        try:
            await self.store.remember(account, changes)
            carried = True
        except StoreError:
            self._failed()
        else:
            self._breaker.succeeded()
        finally:  # also when this loop ends meanwhile
            if not carried:
                self._count("on_error.changes_lost", self._learned.put_back(account, changes))
        return carried

    async def _stop_tending(self) -> None:
        here = asyncio.get_running_loop()
        for loop, care in list(self._loops.items()):
            if care.task is None:
                continue
            if loop is here:
                care.task.cancel()
                await asyncio.gather(care.task, return_exceptions=True)
            elif not loop.is_closed():
                loop.call_soon_threadsafe(care.task.cancel)
        self._loops.clear()

    def _count(self, event: str, by: int = 1) -> None:
        if self._observer is not None and by:
            self._observer.count(event, by)


async def _next(batches: AsyncIterator[_T]) -> _T | None:
    return await anext(batches, None)
