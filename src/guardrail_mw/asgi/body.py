"""Reads a request's body for inspection, within bounds, and gives it back untouched."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from enum import Enum
from threading import Lock
from typing import Any

from guardrail_mw.errors import TokenError

__all__ = ["OVERHEAD", "BodyBudget", "BodyReader", "Counted", "OverBudgetError", "Unread"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

OVERHEAD = 400
"""Bytes that a message costs besides its body: a dict, its keys' slots and a bytes object. Without it a client who sends a
byte at a time would hold three hundred times what is counted."""

SHARE = 4
"""An account, or a network of strangers, may hold one in so many bytes of the budget (or one body): nine slow clients of one
owner must not shut everybody out."""

_SLACK = 1_048_576
_DIGITS = 18


class Unread(Enum):
    """Why there is no body to inspect."""

    OVER_BUDGET = "over_budget"
    """The process, or whose request it is, holds as many bytes of bodies as it may: answer `overloaded`."""
    DISCONNECTED = "disconnected"
    """The client went away before its body was whole: nothing need be answered."""


class BodyBudget:
    """How many bytes of request bodies this process may hold at once, over all its threads and loops.

    What is counted is what has arrived, not what was announced: else eight idle connections that announce 32 MiB each would
    keep everybody out of 256 MiB.
    """

    __slots__ = ("_held", "_lock", "limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._held: dict[str, int] = {}
        self._lock = Lock()

    def take(self, size: int, holder: str = "", least: int = 0) -> bool:
        """Take `size` bytes if they fit, for `holder` (empty for nobody), who may hold its share, or `least` bytes."""
        with self._lock:
            held = self._held.get(holder, 0) + size
            if self.used + size > self.limit or (holder and held > max(self.limit // SHARE, least)):
                return False
            self.used += size
            if holder:
                self._held[holder] = held
            return True

    def give(self, size: int, holder: str = "") -> None:
        """Give `size` bytes back."""
        with self._lock:
            self.used -= size
            if holder:
                left = self._held[holder] - size
                if left:
                    self._held[holder] = left
                else:
                    del self._held[holder]


class BodyReader:
    """One request's body: `read` it, then hand `receive` to the app, and `close` whatever happens.

    Args:
        receive: the server's.
        max_body: bytes beyond which a body is not inspected.
        budget: shared by the process.
        headers: the request's, for `content-length`, which is believed only where it says too much.
        holder: whose the request is, for its share of the budget.
    """

    __slots__ = ("_budget", "_headers", "_held", "_holder", "_max_body", "_messages", "_most", "_receive", "size")

    def __init__(
        self,
        receive: Receive,
        max_body: int,
        budget: BodyBudget,
        headers: Iterable[tuple[bytes, bytes]] = (),
        holder: str = "",
    ) -> None:
        self._receive = receive
        self._max_body = max_body
        self._most = 2 * max_body + _SLACK
        self._holder = holder
        self._budget = budget
        self._headers = headers
        self._messages: deque[tuple[Message, int]] = deque()
        self._held = 0
        self.size = 0
        """Bytes of the body that the app is given instead, where it was trimmed."""

    async def read(self) -> bytes | Unread:
        """The whole body.

        Whatever comes of it, `receive` afterwards gives the app every message that was read, then what the server still
        has: so a body that is too long can also be forwarded uninspected.

        Raises:
            TokenError: 413, longer than `max_body`, by announcement or by count; a body in so many pieces that they weigh
                more than twice that counts as longer.
        """
        self._announced()
        pieces: list[bytes] = []
        size = weight = 0
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                self._messages.append((message, 0))
                return Unread.DISCONNECTED
            piece = message.get("body") or b""
            size += len(piece)
            cost = len(piece) + OVERHEAD
            weight += cost
            if size > self._max_body or weight > self._most:
                self._messages.append((message, 0))
                raise _too_long(f"over {self._max_body} bytes after {len(pieces) + 1} pieces")
            if not self._budget.take(cost, self._holder, self._most):
                self._messages.append((message, 0))
                return Unread.OVER_BUDGET
            self._held += cost
            self._messages.append((message, cost))
            pieces.append(piece)
            if not message.get("more_body", False):
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def whole(self) -> bytes | Unread:
        """The whole body, read now unless that was done before. To be asked before the app is given any of it.

        Raises:
            TokenError: as `read` does.
        """
        if not self._messages:
            return await self.read()
        messages = [message for message, _ in self._messages]
        if messages[-1]["type"] != "http.request":
            return Unread.DISCONNECTED
        if messages[-1].get("more_body", False):  # it was too long to be read, or there was no room
            return Unread.OVER_BUDGET
        return b"".join([message.get("body") or b"" for message in messages])

    def replace(self, body: bytes) -> None:
        """Give the app another body in place of the whole one that was read, whose bytes are given back now, not when it ends."""
        self.close()
        cost = len(body) + OVERHEAD
        if not self._budget.take(cost, self._holder, self._most):  # it is hardly longer, so it had room: others were quicker
            cost = 0
        self._held, self.size = cost, len(body)
        self._messages.append(({"type": "http.request", "body": body, "more_body": False}, cost))

    def _announced(self) -> None:
        for name, value in self._headers:
            if name == b"content-length" and value.isdigit() and (len(value) > _DIGITS or int(value) > self._max_body):
                raise _too_long(f"content-length {value[:20]!r}, at most {self._max_body}")

    async def receive(self) -> Message:
        """For the app: the messages as they came, then the server's own. Their bytes are given back as they leave."""
        if self._messages:
            message, cost = self._messages.popleft()
            self._give(cost)
            return message
        return await self._receive()

    def close(self) -> None:
        """Give back what is still held. May be called again; belongs in a `finally`."""
        self._messages.clear()
        self._give(self._held)

    def _give(self, cost: int) -> None:
        if cost:
            self._held -= cost
            self._budget.give(cost, self._holder)


class OverBudgetError(Exception):
    """The process, or the network that sends it, holds as many bytes of bodies as it may."""


class Counted:
    """A server's `receive` for an answer of our own: what has come counts on the process's budget until `close`.

    Args:
        receive: the server's.
        budget: shared by the process.
        holder: the network that sends it, for its share.
        least: bytes that one network may hold, however small its share.
    """

    __slots__ = ("_budget", "_held", "_holder", "_least", "_receive")

    def __init__(self, receive: Receive, budget: BodyBudget, holder: str, least: int) -> None:
        self._receive = receive
        self._budget = budget
        self._holder = holder
        self._least = least
        self._held = 0

    async def receive(self) -> Message:
        """The server's next message.

        Raises:
            OverBudgetError: there is no room for it.
        """
        message = await self._receive()
        cost = len(message.get("body") or b"") + OVERHEAD
        if not self._budget.take(cost, self._holder, self._least):
            raise OverBudgetError(f"{self._budget.used} of {self._budget.limit} bytes of bodies are held in this process")
        self._held += cost
        return message

    def close(self) -> None:
        """Give back what is held. May be called again; belongs in a `finally`."""
        if self._held:
            self._budget.give(self._held, self._holder)
            self._held = 0


def _too_long(detail: str) -> TokenError:
    return TokenError("The request body is too large.", detail, status=413, code="body_too_large")
