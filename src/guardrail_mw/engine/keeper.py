"""What goes on beside the requests of one event loop: receipts are renewed, switches read, the policy watched."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any

from guardrail_mw.errors import StoreError

if TYPE_CHECKING:
    from guardrail_mw.engine.exchange import Exchange
    from guardrail_mw.stores.base import Store

__all__ = ["CASES_EVERY", "LEARN_EVERY", "RENEW_EVERY", "SWITCHES_EVERY", "Keeper"]

logger = logging.getLogger("guardrail_mw")

RENEW_EVERY = 10.0
"""Seconds between two renewals of what is open: a lease lives 30."""
SWITCHES_EVERY = 0.5
"""Seconds between two looks at the switches: a second after it was thrown, a switch holds in every process."""

CASES_EVERY = 60.0
"""Seconds between two looks at the deadlines of cases."""
LEARN_EVERY = 10.0
"""Seconds between two reports of what accounts did."""


class Keeper:
    """The background work of one loop. Tasks start when there is something to do, and end with the loop or by `stop`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: dict[str, Exchange] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    # Open receipts

    def hold(self, exchange: Exchange) -> None:
        """Renew the exchange's receipt until `release`."""
        self._open[exchange.id] = exchange
        if "renew" not in self._tasks:
            self.start("renew", self._renew_often())

    def release(self, exchange: Exchange) -> None:
        """The exchange is over."""
        self._open.pop(exchange.id, None)

    async def renew(self) -> None:
        """Renew every open receipt now."""
        exchanges = [exchange for exchange in self._open.values() if exchange.receipt is not None]
        receipts = [exchange.receipt for exchange in exchanges if exchange.receipt is not None]
        if not receipts:
            return
        renewed = await self._store.renew(receipts)
        for exchange, receipt in zip(exchanges, renewed, strict=True):
            if not exchange.settled:
                exchange.receipt = receipt

    async def _renew_often(self) -> None:
        while self._open:
            await asyncio.sleep(RENEW_EVERY)
            try:
                await self.renew()
            except StoreError as error:
                logger.warning("Open receipts could not be renewed: %s", error)

    # Tasks

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run a task of the loop's; its end lets it be started again."""
        task = asyncio.get_running_loop().create_task(work, name=f"guardrail {name}", context=Context())
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._ended(name, done))

    def runs(self, name: str) -> bool:
        """Whether a task of that name is under way."""
        return name in self._tasks

    def often(self, name: str, seconds: float, look: Callable[[], Awaitable[object]]) -> None:
        """Look every so many seconds, whatever goes wrong with a look."""

        async def looking() -> None:
            while True:
                try:
                    await look()
                except StoreError as error:
                    logger.debug("%s: %s", name, error)
                except Exception:
                    logger.exception("%s failed; it is tried again.", name)
                await asyncio.sleep(seconds)

        self.start(name, looking())

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(name) is task:
            del self._tasks[name]
        if not task.cancelled() and task.exception() is not None:
            logger.error("The task %s ended: it will be started again when there is need.", name, exc_info=task.exception())
        if name == "renew" and self._open:
            self.start("renew", self._renew_often())

    async def stop(self) -> None:
        """End all tasks."""
        self._open.clear()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
