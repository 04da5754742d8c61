"""Listens on the operator's port, in the loop of the guarded server, for as long as that runs."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from guardrail_mw.console.app import app

if TYPE_CHECKING:
    from guardrail_mw.engine import Guardrail
    from guardrail_mw.policy.console import Address

__all__ = ["AGAIN", "AT_ONCE", "Console"]

logger = logging.getLogger("guardrail_mw.operators")

AGAIN: Final = 2.0
"""Seconds until a worker that found the port taken looks again: when the one that serves ends, another takes over."""
_GRACE: Final = 1
"""Seconds that answers under way may take once it ends; the middleware's own shutdown takes 5 at most."""
AT_ONCE: Final = 64
"""Connections."""


class _Connection(H11Protocol):
    """A connection to the port, of which there are `AT_ONCE`: one more ends the oldest, if need be of those that are answered.

    uvicorn's own bound refuses the newest instead: whoever opens 64 and says nothing would lock the operator out.
    """

    made = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """It is there."""
        super().connection_made(transport)
        self.made = self.loop.time()
        held = [each for each in self.connections if isinstance(each, _Connection) and not each.transport.is_closing()]
        if len(held) > AT_ONCE:
            others = [each for each in held if each is not self]
            min([each for each in others if each.idle] or others, key=lambda each: each.made).transport.close()

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        cycle: Any = self.cycle
        return cycle is None or bool(cycle.response_complete)


class Console:
    """The operator's port of a guardrail: the entry point `console` of `guardrail_mw.services`.

    Of several workers one listens. What it shows of accounts, limits and switches is everybody's, for it comes from the store;
    the latest decisions are those of that worker.

    Args:
        guardrail: its policy has a `console` section.
        pause: waits so many seconds before it looks again.
    """

    def __init__(self, guardrail: Guardrail, *, pause: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        settings = guardrail.policy.console
        if settings is None:
            raise ValueError("the policy has no `console` section")
        self.address: Address = settings.address
        self.serving = asyncio.Event()
        """Set while this process listens."""
        self._app = app(guardrail, settings.token)
        self._pause = pause
        self._said = ""

    async def run(self) -> None:
        """Serve until cancelled. Where the port cannot be had that is said once, and it is tried again."""
        while True:
            listener = self._listen()
            if listener is not None:
                await self._serve(listener)
            await self._pause(AGAIN)

    def _listen(self) -> socket.socket | None:
        host, port = self.address
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        if os.name == "posix":  # elsewhere it would let another program take the port over
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(AT_ONCE)
        except OSError as error:
            listener.close()
            self._unheard(error)
            return None
        return listener

    def _unheard(self, error: OSError) -> None:
        reason = errno.errorcode.get(error.errno or 0, "unknown")
        if reason == self._said:
            return
        self._said = reason
        if error.errno == errno.EADDRINUSE:
            logger.info("The operator's port %s is taken, by another worker it seems: this one waits.", self.address.url)
        else:
            logger.error("The operator's port %s cannot be had (%s); it is tried again.", self.address.url, reason)

    async def _serve(self, listener: socket.socket) -> None:
        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,
            server_header=False,
            http=_Connection,
            timeout_graceful_shutdown=_GRACE,
        )
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        # The steps of `serve()`, but for its hold on the signals, which are the guarded server's.
        try:
            await server.startup(sockets=[listener])
            self._opened()
            try:
                await server.main_loop()
            finally:
                self.serving.clear()
                await server.shutdown(sockets=[listener])
        finally:
            listener.close()

    def _opened(self) -> None:
        self._said = ""
        self.serving.set()
        logger.info("The operator's port listens on %s.", self.address.url)
        if self.address.beyond:
            logger.warning(
                "The operator's port %s is open to other machines, in plain HTTP. Put TLS in front.", self.address.url
            )
