"""The least that a decision in Redis can cost from Python: a raw pipelined connection and a bare GCRA script.

No deadline, no batches, no settlement, no standing, no identity beyond the header: an upper reference, not a candidate.
"""

from __future__ import annotations

import asyncio
from collections import deque
from hashlib import sha1
from typing import TYPE_CHECKING, Any

import hiredis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from benchmarks.rates import Rate

__all__ = ["GCRA", "GCRA_MANY", "Pipeline", "RawLimiter", "command"]

GCRA = b"""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, depth = tonumber(ARGV[1]), tonumber(ARGV[2])
local tat = tonumber(redis.call('GET', KEYS[1])) or now
if tat < now then tat = now end
tat = tat + interval
local wait = tat - depth - now
if wait > 0 then return {0, 0, math.ceil(wait)} end
redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 1000))
return {1, math.floor(-wait / interval), 0}
"""
"""An ordinary GCRA script: one key, the server's time, interval and depth in whole microseconds."""

GCRA_MANY = b"""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local stored = redis.call('MGET', unpack(KEYS))
local left = 1e15
for i = 1, #KEYS do
  local interval, depth = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local tat = tonumber(stored[i]) or now
  if tat < now then tat = now end
  tat = tat + interval
  local wait = tat - depth - now
  if wait > 0 then return {0, 0, math.ceil(wait)} end
  stored[i] = tat
  left = math.min(left, math.floor(-wait / interval))
end
for i = 1, #KEYS do
  redis.call('SET', KEYS[i], string.format('%.0f', stored[i]), 'PX', math.ceil((stored[i] - now) / 1000))
end
return {1, left, 0}
"""
"""The same over several keys, all or nothing."""


def command(*words: bytes) -> bytes:
    """One RESP command, ready for the socket."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


class Pipeline(asyncio.Protocol):
    """One connection; what is called in one tick of the loop is written together, and replies come in order."""

    def __init__(self) -> None:
        self.reader = hiredis.Reader()
        self.waiting: deque[asyncio.Future[Any]] = deque()
        self.outgoing: list[bytes] = []
        self.loop = asyncio.get_running_loop()
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand each reply to who waits for it."""
        self.reader.feed(data)
        while (reply := self.reader.gets()) is not False:
            self.waiting.popleft().set_result(reply)

    def call(self, words: bytes) -> asyncio.Future[Any]:
        """Send a whole command; the future holds its reply, an error as a value."""
        future = self.loop.create_future()
        self.waiting.append(future)
        if not self.outgoing:
            self.loop.call_soon(self._flush)
        self.outgoing.append(words)
        return future

    def _flush(self) -> None:
        self.transport.write(b"".join(self.outgoing))
        self.outgoing.clear()


class RawLimiter:
    """ASGI middleware: one EVALSHA a request over a `Pipeline`, `x-ratelimit-*` headers, 429."""

    def __init__(self, app: ASGIApp, *, pipeline: Pipeline, rates: Sequence[Rate]) -> None:
        self.app = app
        self.pipeline = pipeline
        script = GCRA if len(rates) == 1 else GCRA_MANY
        self.head = (
            b"*%d\r\n" % (3 + 3 * len(rates))
            + command(
                b"EVALSHA",
                sha1(script).hexdigest().encode(),  # noqa: S324 - Redis's own name for a script
                b"%d" % len(rates),
            ).partition(b"\r\n")[2]
        )
        self.prefixes = [b"raw:%d:" % rate.seconds for rate in rates]
        spans = [(rate.seconds * 1_000_000 // rate.amount, rate.seconds * 1_000_000) for rate in rates]
        words = [b"%d" % number for pair in spans for number in pair]
        self.tail = command(*words).partition(b"\r\n")[2]
        self.limit = str(min(rate.amount for rate in rates)).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Decide, then pass on or refuse."""
        key = next(value for name, value in scope["headers"] if name == b"authorization")
        keys = b"".join(b"$%d\r\n%s%s\r\n" % (len(prefix) + len(key), prefix, key) for prefix in self.prefixes)
        admitted, left, wait = await self.pipeline.call(self.head + keys + self.tail)
        fields = [(b"x-ratelimit-limit", self.limit), (b"x-ratelimit-remaining", b"%d" % left)]
        if not admitted:
            fields.append((b"retry-after", b"%d" % -(-wait // 1_000_000)))
            await send({"type": "http.response.start", "status": 429, "headers": fields})
            await send({"type": "http.response.body", "body": b""})
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *fields]
            await send(message)

        await self.app(scope, receive, answer)
