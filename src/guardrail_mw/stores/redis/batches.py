"""Commands on their way: pipelines that concurrent requests of one event loop share.

A `Lane` leads from one event loop to one node, over at most four connections (`pool.py`). What is submitted during a tick
of the loop is sent together, at most `BATCH` charges in a batch, one batch at a time on a connection. A batch belongs to
the store, not to whoever waits for its answers: who is late or cancelled leaves alone, and the batch is read to its end.

Payloads are opaque here: whole RESP commands, ready for the socket.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from time import monotonic

from hiredis import ReplyError

from guardrail_mw.errors import StoreError, StoreTimeout
from guardrail_mw.stores.redis.pipes import Aside, Call, Link, Pipe, StoreTime
from guardrail_mw.stores.redis.pool import RETRY, Pool
from guardrail_mw.values import Observer

__all__ = ["BATCH", "ERRANDS", "Lane", "Redirect"]

BATCH = 32
"""Charges in a batch; as many errands may ride along."""
ERRANDS = 10_000
"""Errands that may wait for a node that is away."""
PAUSE = 0.005
"""Seconds before a command is replayed that was told to try again."""
RIDE = 0.002
"""Seconds that errands wait for a charge to ride with."""
REPLAYS = {"NOSCRIPT": 2, "MOVED": 3, "ASK": 3, "TRYAGAIN": 1, "LOADING": 1, "LATE": 1}
"""What is known not to have run, and how often one command is replayed for it."""

Redirect = Callable[[Call, bool, int, str], None]
"""Takes a call elsewhere: the call, whether `ASKING` must precede it, the slot, and `host:port`."""


class Lane:
    """From one event loop to one node.

    Args:
        dial: makes a connection that is ready for commands; raises StoreError or OSError.
        deadline: seconds after which waiters are told StoreTimeout.
        loads: commands that make the node know the scripts, sent again when it has forgotten them.
        redirect: what to do about MOVED and ASK; None where the node is no cluster's.
        on_down: called when the node cannot be reached, at most every `RETRY` seconds.
    """

    def __init__(
        self,
        dial: Callable[[], Awaitable[Link]],
        *,
        deadline: float,
        observer: Observer,
        loads: Sequence[bytes] = (),
        redirect: Redirect | None = None,
        on_down: Callable[[], None] | None = None,
    ) -> None:
        self.time = StoreTime()
        self._loop = asyncio.get_running_loop()
        self._pool = Pool(self, dial, deadline, observer)
        self._idle = self._pool.idle
        self._observer = observer
        self._loads = loads
        self._redirect = redirect
        self._on_down = on_down
        self._queue: deque[Call] = deque()
        self._urgent: deque[tuple[str, Call]] = deque()
        self._errands: deque[Call] = deque()
        self._waiting: deque[Call] = deque()
        self._scheduled = False
        self._hurry = False
        self._timer: asyncio.TimerHandle | None = None
        self._due = inf
        self._ride: asyncio.TimerHandle | None = None
        self._closed = False

    # What callers ask for

    def submit(self, call: Call, *, patient: bool = False) -> None:
        """Send `call` with this tick's batch; its future is resolved, at the latest when its deadline passes.

        `patient`: whoever waits keeps a deadline of its own, later than the lane's.

        Raises:
            StoreTimeout: every connection is overdue already.
            StoreError: the node cannot be reached.
        """
        if not self._idle:
            self._pool.refuse_if_hopeless()
        call.lane = self
        self._queue.append(call)
        if not patient:
            self._waiting.append(call)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)
        if call.deadline < self._due:
            self._arm(call.deadline)

    def errand(self, call: Call) -> None:
        """Send `call` soon: with the next charges, or after `RIDE` seconds alone. `call.deadline` ends it."""
        call.lane = self
        if self._closed or len(self._errands) >= ERRANDS:
            call.fail(StoreError("The store was closed." if self._closed else "Too much waits for the store."))
            return
        self._errands.append(call)
        if len(self._errands) >= BATCH:
            self.hurry()
        elif self._ride is None:
            self._ride = self._loop.call_later(RIDE, self.hurry)
        if self._due > (soon := monotonic() + RETRY):
            self._arm(soon)

    def hurry(self) -> None:
        """Send the errands without waiting for charges."""
        if self._ride is not None:
            self._ride.cancel()
            self._ride = None
        self._hurry = bool(self._errands)
        self.schedule()

    def replay(self, call: Call, before: str = "") -> None:
        """Send once more a call that is known not to have run; `before`: `load` the scripts or say `asking` first."""
        if self._closed:
            call.fail(StoreError("The store was closed."))
            return
        call.lane = self
        self._urgent.append((before, call))
        self.schedule()

    def late(self, call: Call) -> bool:
        """Replay a call that came too late to run, once. False: it was replayed for that already."""
        if not call.may_replay("LATE", REPLAYS["LATE"]):
            return False
        self.replay(call)
        return True

    def take_errands(self) -> list[Call]:
        """Hand over what has not been sent, for another lane."""
        errands = list(self._errands)
        self._errands.clear()
        self._hurry = False
        return errands

    async def opened(self, patience: float) -> None:
        """Wait for at most `patience` seconds for a first connection, so that the store's time is known.

        Raises:
            StoreTimeout: there was none by then; the attempt goes on.
            StoreError: the node cannot be reached.
        """
        await self._pool.opened(patience)

    async def close(self) -> None:
        """Let go of every connection at once. What is under way is lost."""
        self._closed = True
        await self._pool.close()
        for handle in (self._timer, self._ride):
            if handle is not None:
                handle.cancel()
        self._timer = self._ride = None
        error = StoreError("The store was closed.")
        for call in [*self._queue, *(call for _, call in self._urgent), *self._errands]:
            call.fail(error)
        for unsent in (self._queue, self._urgent, self._errands, self._waiting):
            unsent.clear()

    # Sending

    def schedule(self) -> None:
        """Send what waits when this tick of the loop is over."""
        if not self._scheduled and not self._closed:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        while self._queue or self._urgent or self._hurry:
            if not self._idle:
                if not self._pool.grow():
                    self._fail_queue()
                return
            batch = self._next_batch()
            if batch:
                self._idle.pop().send(batch)

    def _next_batch(self) -> list[Call]:
        """Replays first, then errands (so that a slot given back is free for the next charge), then charges."""
        batch: list[Call] = []
        room = BATCH - (self._take_urgent(batch) if self._urgent else 0)
        errands = self._errands
        for _ in range(min(BATCH, len(errands))):
            call = errands.popleft()
            if call.wanted():
                batch.append(call)
            else:
                call.dropped()
        self._hurry = self._hurry and bool(errands)
        queue = self._queue
        while queue and room:
            call = queue.popleft()
            if call.future.done():
                call.dropped()
            else:
                batch.append(call)
                room -= 1
        return batch

    def _take_urgent(self, batch: list[Call]) -> int:
        loaded = False
        taken = 0
        for _ in range(min(BATCH, len(self._urgent))):
            before, call = self._urgent.popleft()
            if not call.wanted():
                call.dropped()
                continue
            if before == "load" and not loaded:
                loaded = True
                batch += [Aside(payload) for payload in self._loads]
            elif before == "asking":
                batch.append(Aside(b"*1\r\n$6\r\nASKING\r\n"))
            batch.append(call)
            taken += 1
        return taken

    def _fail_queue(self) -> None:
        """Nobody waits for a node that is away; only errands do."""
        calls = [*self._queue, *(call for _, call in self._urgent)]
        self._queue.clear()
        self._urgent.clear()
        for call in calls:
            call.fail(self._pool.unreachable())

    # What connections report

    def unreachable(self) -> None:
        """An attempt to connect failed."""
        if not self._pool.all:
            self._fail_queue()
        if self._on_down is not None:
            self._on_down()

    def freed(self, pipe: Pipe) -> None:
        """A batch has been answered whole."""
        waiting = self._waiting
        while waiting and waiting[0].future.done():  # kept until their deadline they would be thousands for the collector
            waiting.popleft()
        self._pool.freed(pipe)
        if self._queue or self._urgent or self._hurry:
            self.schedule()

    def refused(self, call: Call, error: ReplyError) -> None:
        """One command's error is that command's, unless it is known not to have run: then it is replayed."""
        text = str(error)
        word, _, rest = text.partition(" ")
        if word in REPLAYS and call.wanted() and call.may_replay(word, REPLAYS[word]) and self._again(call, word, rest):
            self._observer.count(f"store.{word.lower()}")
            return
        if word == "READONLY":
            self._pool.renounce()
        call.fail(StoreError("The store refused a command.", text))

    def _again(self, call: Call, word: str, rest: str) -> bool:
        if word == "NOSCRIPT":
            self.replay(call, "load")
        elif word in {"TRYAGAIN", "LOADING"}:
            self._loop.call_later(PAUSE, self.replay, call)
        elif self._redirect is not None:
            slot, _, address = rest.partition(" ")
            again = bool(call.replays and call.replays[word] > 1)  # nodes that do not agree yet
            self._loop.call_later(PAUSE * again, self._redirect, call, word == "ASK", int(slot), address)
        else:
            return False
        return True

    def lost(self, pipe: Pipe, unanswered: Sequence[Call], cause: BaseException | None) -> None:
        """A connection is gone; what was under way on it may have run."""
        self._pool.lost(pipe)
        charges = sum(call.charges for call in unanswered)
        if charges:
            self._observer.count("store.lost_charges", charges)
        if unanswered:
            self._observer.count("store.lost_connections")
        for call in unanswered:
            error = StoreError("The connection to the store was lost.", str(cause or "closed"))
            error.__cause__ = cause
            call.lost(error)
        if self._queue or self._urgent or self._hurry:
            self.schedule()

    # Time

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = when
        self._timer = self._loop.call_later(max(0.0, when - monotonic()), self._tick)

    def _tick(self) -> None:
        """Tell late waiters, give up batches that were read on for too long, end errands that are too old."""
        self._timer = None
        self._due = inf
        now = monotonic()
        waiting = self._waiting
        while waiting and (waiting[0].future.done() or waiting[0].deadline <= now):
            future = waiting.popleft().future
            if not future.done():
                self._observer.count("store.timeout")
                future.set_exception(StoreTimeout("The store did not answer by the deadline."))
        while self._errands and self._errands[0].deadline <= now:
            self._errands.popleft().fail(StoreError("The store could not be reached in time."))
        if self._errands and not self._pool.all:
            self._hurry = True
            self.schedule()
        due = [self._pool.give_up(now), waiting[0].deadline if waiting else None, now + RETRY if self._errands else None]
        soonest = min((each for each in due if each is not None), default=None)
        if soonest is not None:
            self._arm(soonest)
