"""What has been begun for nobody who waits, and must end before a store is drained."""

from __future__ import annotations

import asyncio

__all__ = ["Debts"]


class Debts:
    """Counts what has been begun and must end; `drain` waits until there is nothing."""

    __slots__ = ("_count", "_waiters")

    def __init__(self) -> None:
        self._count = 0
        self._waiters: list[asyncio.Future[None]] = []

    def add(self) -> None:
        """One more."""
        self._count += 1

    def done(self) -> None:
        """One less."""
        self._count -= 1
        if not self._count and self._waiters:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiters.clear()

    async def none(self) -> None:
        """Return when there is none."""
        while self._count:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
