"""Whether a shared store is asked, and what is done for it while it is away.

While the breaker is open one task a running loop probes the store, so that service returns within a second of the store's, and
afterwards carries to it what exchanges have taught meanwhile.

Observed: `store.opened`, `store.closed`, `on_error.changes_lost`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import Context
from secrets import token_hex
from typing import TYPE_CHECKING, Any, TypeVar

from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import Bill, Change, Entry, Gcra
from guardrail_mw.stores.breaker import PROBE_EVERY, SECOND, Breaker
from guardrail_mw.stores.learned import Learned

if TYPE_CHECKING:
    from guardrail_mw.clock import Clock
    from guardrail_mw.stores.base import Store
    from guardrail_mw.values import Observer

__all__ = ["Tending"]

logger = logging.getLogger("guardrail_mw")

_T = TypeVar("_T")
_PROBE = (Gcra("probe", 1, 1, 1, 1),)


class _Care:
    """What one event loop does for a store that is away."""

    __slots__ = ("carrying", "task")

    def __init__(self) -> None:
        self.carrying = asyncio.Lock()
        self.task: asyncio.Task[None] | None = None


class Tending:
    """Asks a store unless it is away, notices that it is, and looks after it until it is back.

    Args:
        store: the shared one.
        meanwhile: what becomes of requests while it is away, for the log.
        clock: for the breaker.
        observer: is told what happened.
        pause: waits so many seconds between probes.
    """

    def __init__(
        self,
        store: Store,
        meanwhile: str,
        *,
        clock: Clock,
        observer: Observer | None,
        pause: Callable[[float], Awaitable[object]],
    ) -> None:
        self._store = store
        self._meanwhile = meanwhile
        self._clock = clock
        self._observer = observer
        self._pause = pause
        self.breaker = Breaker()
        """Whether the store is to be left alone."""
        self.learned = Learned()
        """What it is to be told, and what it told."""
        self._loops: dict[asyncio.AbstractEventLoop, _Care] = {}

    # Asking

    async def ask(self, call: Callable[[], Coroutine[Any, Any, _T]], *, reads: bool = False) -> _T:
        """Ask if the breaker lets; that a store can be read says nothing of whether it can be charged."""
        if self.breaker.open:
            self.tend()
            raise self.closed_off()
        try:
            answer = await call()
        except StoreError:
            self.failed()
            raise
        if not reads:
            self.breaker.succeeded()
        return answer

    async def work(self, call: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Ask if the breaker lets; how bulk work fares says nothing of whether the store answers requests in time."""
        if self.breaker.open:
            self.tend()
            raise self.closed_off()
        return await call()

    def closed_off(self) -> StoreError:
        """Why it is not asked."""
        passed = (self._clock.monotonic() - self.breaker.since) // 1000
        return StoreError("The store is unavailable.", f"It failed repeatedly and has not been asked for {passed} ms.")

    def failed(self) -> None:
        """A charge, or something like it, failed."""
        if self.breaker.failed(self._clock.monotonic()):
            self._count("store.opened")
            logger.warning("The store does not answer. Until it does, %s.", self._meanwhile)
            self.tend()

    # While it is away

    def tend(self) -> None:
        """See that a task on this loop looks after the store while it is away, or anything waits for it."""
        if not (self.breaker.open or self.learned):
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
            if self.breaker.open:
                if self.breaker.due(self._clock.monotonic()):
                    await self._probe()
            else:
                await self.carry()
            if not (self.breaker.open or self.learned):
                return
            await self._pause(PROBE_EVERY / SECOND)

    async def _probe(self) -> None:
        """Charge a subject of its own, which is gone at once: what is full, read-only or late does not pass for well."""
        home = f"p:{token_hex(8)}"
        try:
            receipt = await self._store.charge(Bill(token_hex(12), (Entry(home, _PROBE),), home))
            ok = receipt.code != "late"
        except Exception:  # noqa: BLE001 - a plugin's store may fail in its own way; the probe must go on
            ok = False
        if self.breaker.probed(self._clock.monotonic(), ok=ok):
            self._count("store.closed")
            logger.warning("The store answers again, and decides.")

    async def stop(self) -> None:
        """End the tasks of all loops."""
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

    # What it is to be told

    def learn(self, account: str, changes: Sequence[Change]) -> None:
        """Carry `changes` to the store as soon as it answers."""
        self._count("on_error.changes_lost", self.learned.add(account, changes))
        self.tend()

    async def carry(self) -> None:
        """Tell the store what was learned, an account at a time, until it fails. One carries at a time."""
        async with self._care().carrying:
            while self.learned and not self.breaker.open:
                if not await self._carry_one(*self.learned.take()):
                    return

    async def _carry_one(self, account: str, changes: Sequence[Change]) -> bool:
        carried = False
        try:
            await self._store.remember(account, changes)
            carried = True
        except StoreError:
            self.failed()
        else:
            self.breaker.succeeded()
        finally:  # also when this loop ends meanwhile
            if not carried:
                self._count("on_error.changes_lost", self.learned.put_back(account, changes))
        return carried

    def _count(self, event: str, by: int = 1) -> None:
        if self._observer is not None and by:
            self._observer.count(event, by)
