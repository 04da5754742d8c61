"""A TCP proxy that makes a good server slow, silent or unreliable.

    async with Proxy(port) as proxy:
        store = RedisStore(f"redis://127.0.0.1:{proxy.port}")
        proxy.delay = 0.05      # every answer comes 50 ms late
        proxy.stall()           # nothing passes, nothing closes
        proxy.flow()
        proxy.cut()             # every connection breaks; new ones are accepted

It runs in the event loop that opens it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

from guardrail_mw.testing.processes import HOST

__all__ = ["Proxy"]

CHUNK = 65_536


class Proxy:
    """Between a client and the server that listens on `port` of this machine."""

    def __init__(self, port: int) -> None:
        self.delay = 0.0
        """Seconds that each piece of an answer is held back."""
        self.port = 0
        """Where it listens; known once it is open."""
        self._target = port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def stall(self) -> None:
        """Let nothing pass."""
        self._flowing.clear()

    def flow(self) -> None:
        """Let pass what was held up, and everything after."""
        self._flowing.set()

    def cut(self) -> None:
        """Break every connection at once, whatever is under way."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        for source, sink, delay in ((reader, far_writer, lambda: 0.0), (far_reader, writer, lambda: self.delay)):
            task = asyncio.create_task(self._pump(source, sink, delay))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, delay: Callable[[], float]) -> None:
        try:
            while piece := await source.read(CHUNK):
                if held := delay():
                    await asyncio.sleep(held)
                await self._flowing.wait()
                sink.write(piece)
        except OSError:
            pass
        finally:
            sink.close()
            self._writers.discard(sink)
