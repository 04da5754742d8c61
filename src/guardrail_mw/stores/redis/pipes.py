"""One connection, taken over from redis-py once it is set up, and what travels on it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from hiredis import ProtocolError, Reader, ReplyError

from guardrail_mw.errors import StoreError

if TYPE_CHECKING:
    from guardrail_mw.stores.redis.batches import Lane

__all__ = ["Aside", "Call", "Link", "Pipe", "StoreTime"]

_MORE = object()
_log = logging.getLogger(__name__)


class Link(NamedTuple):
    """A connection that is ready for commands, and what its clock said."""

    writer: asyncio.StreamWriter
    now: int
    """The store's µs (TIME), read between `sent` and `received`."""
    sent: float
    received: float
    """Monotonic seconds."""


class StoreTime:
    """What the store's clock says now, from a monotonic clock and the replies seen so far.

    Each reply bounds the offset from both sides, by when its command was sent and when it was read. Bounds are intersected;
    where they contradict one another (a clock jumped, or drifted) the newest holds alone.
    """

    __slots__ = ("_high", "_low", "known")

    def __init__(self) -> None:
        self._low = self._high = 0
        self.known = False

    def learn(self, now: int, sent: float, received: float) -> None:
        """A command sent and read at these monotonic seconds met the store's clock at `now` µs."""
        low, high = now - round(received * 1e6), now - round(sent * 1e6)
        if low > self._high or high < self._low or not self.known:
            self.known = True
            self._low, self._high = low, high
        else:
            self._low, self._high = max(low, self._low), min(high, self._high)

    def at(self, when: float) -> int:
        """The store's µs at `when` monotonic seconds, never too early by more than the clocks drift."""
        return round(when * 1e6) + self._high


class Call:
    """One command. Subclasses say what becomes of its answer; none of these methods may raise.

    Args:
        payload: the whole command as RESP.
        deadline: monotonic seconds, when whoever waits is told StoreTimeout and an errand is ended.
        future: what a waiter awaits; done means that nobody does any more.
    """

    __slots__ = ("deadline", "future", "lane", "payload", "replays", "slot")

    charges = False
    """Whether something stays charged if its outcome is never known."""
    slot: int
    """Of a cluster: where an errand leads."""
    lane: Lane

    def __init__(self, payload: bytes, deadline: float, future: asyncio.Future[Any]) -> None:
        self.payload = payload
        self.deadline = deadline
        self.future = future
        self.replays: dict[str, int] | None = None

    def wanted(self) -> bool:
        """Whether it is still worth sending."""
        return not self.future.done()

    def may_replay(self, word: str, most: int) -> bool:
        """Count a replay for the reason `word`; False when there were `most` already."""
        if self.replays is None:
            self.replays = {}
        times = self.replays[word] = self.replays.get(word, 0) + 1
        return times <= most

    def receive(self, reply: Any) -> int:
        """The answer is here. Returns the store's µs that it tells, 0 for none."""
        if not self.future.done():
            self.future.set_result(reply)
        return 0

    def fail(self, error: StoreError) -> None:
        """It did not run, or ran into an error: nothing was charged."""
        if not self.future.done():
            self.future.set_exception(error)

    def lost(self, error: StoreError) -> None:
        """Its connection went while it was under way: nobody knows whether it ran."""
        self.fail(error)

    def dropped(self) -> None:
        """It was never sent because nobody waits any more."""


class Aside(Call):
    """A command that others need before them, `SCRIPT LOAD` or `ASKING`: its own answer matters to nobody."""

    __slots__ = ()

    def __init__(self, payload: bytes) -> None:
        self.payload = payload
        self.replays = None

    def wanted(self) -> bool:
        """Always."""
        return True

    def may_replay(self, word: str, most: int) -> bool:
        """Never: it only makes sense where it was."""
        return False

    def receive(self, reply: Any) -> int:
        """Ignored."""
        return 0

    def fail(self, error: StoreError) -> None:
        """Logged: the command after it fails, and says so to whoever waits."""
        _log.debug("before a replay: %s", error)


class Pipe(asyncio.Protocol):
    """A connection with at most one batch under way."""

    def __init__(self, lane: Lane, link: Link) -> None:
        self.sent = link.sent
        """Monotonic seconds, when the last batch was sent."""
        self.renounced = False
        self._lane = lane
        self._writer = link.writer  # redis-py made it; its transport closes when it is collected
        self._transport = link.writer.transport
        self._reader = Reader(notEnoughData=_MORE)
        self._calls: Sequence[Call] = ()
        self._at = 0
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the connection is closed and everybody has been told."""
        self._transport.set_protocol(self)

    @property
    def busy(self) -> bool:
        """Whether answers are outstanding."""
        return self._at < len(self._calls)

    def send(self, calls: list[Call]) -> None:
        """Write a batch; its calls are answered in order."""
        self._calls = calls
        self._at = 0
        self.sent = monotonic()
        self._transport.write(b"".join([call.payload for call in calls]))

    def abort(self) -> None:
        """Close at once; what is under way is lost."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Hand each reply to its call."""
        received = monotonic()
        now = 0
        calls = self._calls
        more = self._reader.gets
        try:
            self._reader.feed(data)
            while (reply := more()) is not _MORE:
                call = calls[self._at]
                self._at += 1
                now = self._deliver(call, reply) or now
        except (ProtocolError, IndexError) as error:  # IndexError: a reply that nobody asked for
            _log.warning("the store broke the protocol: %r", error)
            self.abort()
            return
        if now:
            self._lane.time.learn(now, self.sent, received)
        if self._at == len(self._calls):
            self._calls = ()
            self._at = 0
            self._lane.freed(self)

    def _deliver(self, call: Call, reply: Any) -> int:
        try:
            if reply.__class__ is ReplyError:
                self._lane.refused(call, reply)
                return 0
            return call.receive(reply)
        except Exception as error:  # noqa: BLE001 - one command's bad answer is that command's
            _log.warning("the store's answer cannot be read: %r", error)
            failure = StoreError("The store's answer cannot be read.", repr(error))
            failure.__cause__ = error
            call.fail(failure)
            return 0

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the lane what is lost."""
        unanswered = list(self._calls[self._at :])
        self._calls = ()
        self._at = 0
        self._lane.lost(self, unanswered, exc)
        self.gone.set_result(None)
