"""The demo's server: a port, a uvicorn that leaves signals alone, and a line for each request."""

from __future__ import annotations

import asyncio
import errno
import json
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import uvicorn

from guardrail_mw.cli.demo.tally import dollars
from guardrail_mw.cli.output import Cannot

if TYPE_CHECKING:
    from guardrail_mw.asgi.types import App, Message, Receive, Scope, Send
    from guardrail_mw.engine import Exchange

__all__ = ["HOST", "Journal", "Stop", "listen", "serving"]

HOST = "127.0.0.1"
_GRACE = 2
"""Seconds that answers under way may take once the server is told to stop."""


def listen(port: int) -> socket.socket:
    """A listening socket on the loopback address; port 0 is any that is free.

    Raises:
        Cannot: the port is taken, or may not be used.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise Cannot(_why(port, error)) from error
    return listener


def _why(port: int, error: OSError) -> str:
    cure = f"Choose another: guardrail-mw demo --serve --port {port + 1 if 1024 <= port < 65535 else 8081}"  # noqa: PLR2004
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is taken: something else listens there. {cure} (or --port 0 for any that is free)"
    if error.errno == errno.EACCES:
        return f"Port {port} may not be used without privileges. {cure}"
    return f"Port {port} cannot be used: {(error.strerror or 'unknown error').lower()}. {cure}"


class _Server(uvicorn.Server):
    """Says when it is ready, and leaves signals to the command."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin."""
        await super().startup(sockets)
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do not."""
        yield


@asynccontextmanager
async def serving(app: Any, listener: socket.socket) -> AsyncIterator[None]:
    """Serve `app` on a listening socket for as long as the context lasts.

    Raises:
        Cannot: the app does not start.
    """
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="on", server_header=False, timeout_graceful_shutdown=_GRACE
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    ready = asyncio.create_task(server.ready.wait())
    await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if task.done():
        raise Cannot("The server did not start; what it logged says why.")
    try:
        yield
    finally:
        server.should_exit = True
        await task


class Stop:
    """Ctrl-C or SIGTERM, from the moment this is made in a running loop."""

    def __init__(self) -> None:
        self._told = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError, RuntimeError):  # Windows has none: there Ctrl-C is a KeyboardInterrupt
                loop.add_signal_handler(number, self._told.set)

    async def within(self, seconds: float | None) -> None:
        """Wait for it, or for so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._told.wait()


class Journal:
    """Writes a line for each guarded request: who, what, and what became of it.

    Args:
        app: the guarded app.
        names: keys that may be shown by a name; any other is not shown at all.
        write: takes the lines.
    """

    def __init__(self, app: App, names: Mapping[str, str], write: Callable[[str], None]) -> None:
        self._app = app
        self._names = {key.encode(): name for key, name in names.items()}
        self._write = write

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, body = 0, b""

        async def note(message: Message) -> None:
            nonlocal status, body
            status = message.get("status", status)
            if status >= 400 and len(body) < 4096:  # noqa: PLR2004 - an error's body is short
                body += message.get("body", b"")
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            exchange = scope.get("state", {}).get("guardrail")
            if exchange is not None or status >= 400:  # noqa: PLR2004
                what = _message(body) if body else f"admitted; left: {_left(exchange)}" if exchange is not None else ""
                line = f"{scope['method']} {scope['path'][:40]:<20} {status or 'gone'}  {what}"
                self._write(f"{time.strftime('%H:%M:%S')}  {self._who(scope):<9} {line}")

    def _who(self, scope: Scope) -> str:
        for name, value in scope["headers"]:
            if name in {b"authorization", b"x-api-key"}:
                return self._names.get(value.removeprefix(b"Bearer "), "invented")
        return "stranger"


def _left(exchange: Exchange) -> str:
    """How the limits stand after the request was charged, but for those that belong to everyone."""
    slots = exchange.tariff.slots if exchange.tariff is not None else ()
    shared = {slot.limit.name for slot in slots if slot.limit.shared}
    return ", ".join(
        f"{each.name} {dollars(each.remaining) if each.unit == 'usd' else each.remaining}"
        for each in exchange.readings
        if each.name not in shared
    )


def _message(body: bytes) -> str:
    """What an error's body says, in either dialect."""
    try:
        document = json.loads(body)
        error = document.get("error") or document
        return str(error.get("message") or error.get("detail") or "")
    except (ValueError, AttributeError):
        return ""
