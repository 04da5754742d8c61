"""A uvicorn in a thread, whose app tests exchange."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import uvicorn

from guardrail_mw import Guardrail, GuardrailMiddleware
from guardrail_mw.cli.demo.app import model_server
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.processes import HOST, free_port

__all__ = ["Stage", "staged"]


class Stage:
    """What the server serves at present, and how often it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.hits = 0
        """Requests and sockets that reached the server, those that are refused included."""
        self.app: Any = None
        self._busy = 0
        self._served = threading.Condition()
        self.clock = FakeClock()
        self.arriving: Callable[[int], object] = int
        """Called with the number of each as it arrives."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.hits += 1
        self.arriving(self.hits)
        with self._served:
            self._busy += 1
        try:
            await self.app(scope, receive, send)
        finally:
            with self._served:
                self._busy -= 1
                self._served.notify_all()

    def _wait(self) -> None:
        with self._served:
            assert self._served.wait_for(lambda: not self._busy, 10)

    async def quiet(self) -> None:
        """Until nothing is under way: a client has its answer a moment before the exchange is settled."""
        await asyncio.to_thread(self._wait)

    def guard(self, document: Mapping[str, Any], app: Any = None) -> Guardrail:
        """From now on serve an app (the example model server, at no pace) behind a policy, on a clock that stands still."""
        self.clock = FakeClock()
        guardrail = Guardrail(document, clock=self.clock, environ={})
        self.app = GuardrailMiddleware(app or model_server(pace=0), guardrail)
        self.hits = 0
        self.arriving = int
        return guardrail


def listening() -> socket.socket:
    """A socket on the loopback address, on a port outside the range of outgoing connections."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((HOST, free_port()))
    listener.listen(128)
    return listener


@contextmanager
def staged() -> Iterator[Stage]:
    """A stage that listens until the end."""
    listener = listening()
    stage = Stage(f"http://{HOST}:{listener.getsockname()[1]}")
    server = uvicorn.Server(uvicorn.Config(stage, lifespan="off", log_config=None, timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="uvicorn", daemon=True)
    thread.start()
    try:
        yield stage
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
    assert not thread.is_alive(), "the server did not stop"
