"""A gate at which a model waits before each word: then it is no question of time what was sent before what was made.

The model's side is `words`, which stands in for the `generate` of an example. The other side is `Gate`, in the process that
calls the server: it hears of each answer that waits, lets it go on word by word, and hears when it ends.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Self

__all__ = ["ADDRESS", "HELD", "PATIENCE", "Gate", "Held", "words"]

ADDRESS = "MODEL_GATE"
"""The server's environment variable with the gate's address: `127.0.0.1:21000`."""
HELD = "held"
"""How a prompt begins whose answer is to wait."""
PATIENCE = 30.0
"""Seconds; what has not come by then does not come."""
HOST = "127.0.0.1"


async def words(prompt: str, most: int | None) -> AsyncIterator[str]:
    """Shouts the prompt, a word a token, as the examples do. Where it begins with `held`, the gate lets each word through."""
    said = prompt.upper().split()[:most]
    if not prompt.startswith(HELD):
        for word in said:
            await asyncio.sleep(0)
            yield word
        return
    reader, writer = await asyncio.open_connection(HOST, int(os.environ[ADDRESS].rpartition(":")[2]))
    try:
        writer.write(f"{os.getpid()} {prompt}\n".encode())
        for word in said:
            await reader.readline()
            yield word
    finally:
        writer.close()


class Held:
    """One answer that waits."""

    def __init__(self, pid: int, prompt: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        """Of the process that answers."""
        self.prompt = prompt
        self._reader = reader
        self._writer = writer

    def release(self, count: int = 1) -> None:
        """Let so many words through."""
        self._writer.write(b"\n" * count)

    async def ended(self) -> None:
        """Until the model is done with it, or was stopped.

        Raises:
            TimeoutError: it still waits.
        """
        await asyncio.wait_for(self._reader.read(), PATIENCE)
        self._writer.close()


class Gate:
    """Where answers wait, while it is entered."""

    def __init__(self, port: int) -> None:
        self.address = f"{HOST}:{port}"
        self._port = port
        self._arrived: asyncio.Queue[Held] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._arrive, HOST, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _arrive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pid, _, prompt = (await reader.readline()).decode().strip().partition(" ")
        self._arrived.put_nowait(Held(int(pid), prompt, reader, writer))

    async def arrival(self) -> Held:
        """The next answer that waits.

        Raises:
            TimeoutError: none does.
        """
        return await asyncio.wait_for(self._arrived.get(), PATIENCE)
