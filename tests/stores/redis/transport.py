"""What the tests of the transport share: lanes over real servers, and a server that says what it is told to."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import Bill, Entry, Gcra, Step
from guardrail_mw.stores.redis import RedisStore, codec, nodes
from guardrail_mw.stores.redis.batches import Lane
from guardrail_mw.stores.redis.pipes import Call, Pipe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from guardrail_mw.testing.servers import Server

Start: TypeAlias = "Callable[..., Server]"
LONG = 10.0
"""Seconds: a deadline that no test reaches, however busy the machine."""


class Counts:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.of: Counter[str] = Counter()

    def count(self, event: str, by: int = 1) -> None:
        self.of[event] += by


class Plain(Call):
    """A call that remembers what became of it."""

    __slots__ = ("ends",)

    charges = True

    def __init__(self, payload: bytes, deadline: float) -> None:
        super().__init__(payload, deadline, asyncio.get_running_loop().create_future())
        self.ends: list[Any] = []

    def receive(self, reply: Any) -> int:
        self.ends.append(reply)
        return super().receive(reply)

    def lost(self, error: StoreError) -> None:
        self.ends.append("lost")
        super().lost(error)

    def dropped(self) -> None:
        self.ends.append("dropped")


def call(*arguments: str | bytes, deadline: float = LONG) -> Plain:
    return Plain(codec.command(*arguments), monotonic() + deadline)


@asynccontextmanager
async def lane(
    url: str, counts: Counts | None = None, *, deadline: float = LONG, scripts: Sequence[bytes] = ()
) -> AsyncIterator[Lane]:
    target = nodes.parse(url)
    made = Lane(
        lambda: nodes.dial(target, scripts),
        deadline=deadline,
        observer=counts or Counts(),
        loads=[codec.command("SCRIPT", "LOAD", source) for source in scripts],
    )
    try:
        yield made
    finally:
        await made.close()


@contextmanager
def batches() -> Iterator[list[list[Call]]]:
    """Every batch that is sent meanwhile."""
    seen: list[list[Call]] = []
    send = Pipe.send

    def spy(self: Pipe, calls: list[Call]) -> None:
        seen.append(list(calls))
        send(self, calls)

    Pipe.send = spy  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        Pipe.send = send  # type: ignore[method-assign]


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Let the loop run until something outside has happened; a bound, not a pause, ends it."""
    end = monotonic() + seconds
    while not condition():
        assert monotonic() < end, "it did not happen"
        await asyncio.sleep(0.001)


class Told:
    """A server that answers set-up truthfully and every other command with the next of `replies`."""

    def __init__(self, *replies: bytes) -> None:
        self.replies = list(replies)
        self.heard: list[list[bytes]] = []
        self.connections = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                words = []
                for _ in range(int((await reader.readuntil(b"\r\n"))[1:])):
                    length = int((await reader.readuntil(b"\r\n"))[1:])
                    words.append((await reader.readexactly(length + 2))[:-2])
                if words[0] == b"TIME":
                    writer.write(b"*2\r\n$1\r\n7\r\n$1\r\n0\r\n")
                elif words[0] in {b"SCRIPT", b"ASKING"}:
                    self.heard.append(words)
                    writer.write(b"+OK\r\n")
                else:
                    self.heard.append(words)
                    writer.write(self.replies.pop(0))
        except (asyncio.IncompleteReadError, ConnectionError, IndexError):
            pass
        finally:
            writer.close()


def ours(server: Server) -> list[int]:
    """Ids of the server's other clients, as it lists them."""
    client = server.client()
    mine = client.client_id()
    return [int(each["id"]) for each in client.client_list() if int(each["id"]) != mine]


_ids = count()


def bill(home: str, *others: str, steps: tuple[Step, ...] = (Gcra("k", 1, 1, 3_600_000_000, 1000),)) -> Bill:
    """Charges `steps` (one unit of 1000, of which one comes back in an hour) to each home; the first pays."""
    return Bill(f"{next(_ids):024x}", tuple(Entry(each, steps) for each in (home, *others)), home)


async def left(store: RedisStore, home: str, step: Gcra = Gcra("k", 1, 1, 3_600_000_000, 1000)) -> int:  # noqa: B008
    """Units left of a home's limit."""
    return (await store.peek(bill(home, steps=(step,)))).readings[0].remaining
