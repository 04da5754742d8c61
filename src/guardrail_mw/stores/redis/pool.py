"""The connections of one lane: made when they are needed, given up when they are overdue, left when another is master."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING

from guardrail_mw.errors import StoreError, StoreTimeout
from guardrail_mw.stores.redis.pipes import Link, Pipe
from guardrail_mw.values import Observer

if TYPE_CHECKING:
    from guardrail_mw.stores.redis.batches import Lane

__all__ = ["PIPES", "READ_ON", "RETRY", "Pool"]

PIPES = 4
"""Connections of one event loop to one node."""
READ_ON = 1.0
"""Seconds, at least, that a batch, or a connection that is being made, may take before it is given up: or the deadline."""
RETRY = 0.1
"""Seconds between attempts to connect while the node cannot be reached."""

_log = logging.getLogger(__name__)


class Pool:
    """Connections to one node, at most `PIPES`.

    Args:
        lane: told when one is ready (`schedule`) and when none can be made (`unreachable`).
        dial: makes a connection that is ready for commands.
        deadline: seconds after which one that has not answered is overdue.
    """

    def __init__(self, lane: Lane, dial: Callable[[], Awaitable[Link]], deadline: float, observer: Observer) -> None:
        self._lane = lane
        self._dial = dial
        self._deadline = deadline
        self._read_on = max(READ_ON, deadline)
        self._observer = observer
        self.all: list[Pipe] = []
        self.idle: list[Pipe] = []
        self.down: BaseException | None = None
        """Why the last attempt to connect failed."""
        self._dialling: asyncio.Task[None] | None = None
        self._dial_due = 0.0
        self._retry_at = 0.0
        self._closed = False

    def unreachable(self) -> StoreError:
        """What to tell whoever needed a connection."""
        error = StoreError("The store cannot be reached.", str(self.down or "closed"))
        error.__cause__ = self.down
        return error

    def refuse_if_hopeless(self) -> None:
        """To be asked where none is idle.

        Raises:
            StoreTimeout: every connection there may be is overdue.
            StoreError: there is none, and it is too early to try again.
        """
        now = monotonic()
        may_dial = self._dialling is None and now >= self._retry_at and not self._closed
        if not self.all and self._dialling is None:
            if may_dial:
                return
            raise self.unreachable()
        overdue = self._dialling is None or self._dial_due < now
        room = may_dial and len(self.all) < PIPES
        if overdue and not room and all(pipe.sent + self._deadline < now for pipe in self.all):
            self._observer.count("store.overdue")
            raise StoreTimeout("The store is overdue on every connection.")

    def grow(self) -> bool:
        """Begin to make one more, if there may be; False where none is there, being made, or may be tried."""
        now = monotonic()
        if self._dialling is None and len(self.all) < PIPES and now >= self._retry_at and not self._closed:
            self._dial_due = now + self._deadline
            self._dialling = asyncio.create_task(self._connect(), name="guardrail_mw: connect to the store")
        return bool(self.all) or self._dialling is not None

    async def opened(self, patience: float) -> None:
        """Wait for at most `patience` seconds for a first connection.

        Raises:
            StoreTimeout: there was none by then; the attempt goes on.
            StoreError: the node cannot be reached.
        """
        if self.all:
            return
        self.refuse_if_hopeless()
        self.grow()
        if self._dialling is not None:
            done, _ = await asyncio.wait([self._dialling], timeout=max(0.0, patience))
            if not done:
                raise StoreTimeout("There was no connection to the store by the deadline.")
        if not self.all:
            raise self.unreachable()

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(self._read_on):
                link = await self._dial()
        except Exception as error:  # noqa: BLE001 - whatever a connection can fail with
            if self.down is None:
                _log.warning("Cannot connect to the store: %s It is tried again, every second at most.", _said(error))
            self.down = error
            self._retry_at = monotonic() + RETRY
            self._observer.count("store.unreachable")
            self._dialling = None
            self._lane.unreachable()
        else:
            self._lane.time.learn(link.now, link.sent, link.received)
            self.down = None
            pipe = Pipe(self._lane, link)
            self.all.append(pipe)
            self.idle.append(pipe)
            self._lane.schedule()
        finally:
            self._dialling = None

    def freed(self, pipe: Pipe) -> None:
        """A batch has been answered whole."""
        if pipe.renounced:
            pipe.abort()
        else:
            self.idle.append(pipe)

    def lost(self, pipe: Pipe) -> None:
        """A connection is gone."""
        self.all.remove(pipe)
        if pipe in self.idle:
            self.idle.remove(pipe)

    def renounce(self) -> None:
        """Leave the present connections, each as it becomes idle: another node may be master now."""
        for pipe in self.all:
            pipe.renounced = True
        for pipe in self.idle:
            pipe.abort()
        self.idle.clear()

    def give_up(self, now: float) -> float | None:
        """Close what was read on for too long. Returns when to look at the next, None if nothing is under way."""
        due = None
        for pipe in self.all:
            if not pipe.busy:
                continue
            if pipe.sent + self._read_on <= now:
                self.renounce()
                pipe.abort()
            else:
                due = min(due or now + self._read_on, pipe.sent + self._read_on)
        return due

    async def close(self) -> None:
        """Let go of every connection at once."""
        self._closed = True
        if self._dialling is not None:
            self._dialling.cancel()
            await asyncio.wait([self._dialling])
        for pipe in self.all:
            pipe.abort()
        if self.all:
            await asyncio.wait([pipe.gone for pipe in self.all])


def _said(error: Exception) -> str:
    """Never nothing: what fails without words (a TLS handshake with a server that has none, a time-out) has a name at least."""
    text = str(error).strip()
    kind = type(error.__cause__ or error).__name__
    return (
        f"{text.rstrip('.')} ({kind})."
        if text
        else f"{kind}, and no more was said: is it the right port, with TLS or without?"
    )
