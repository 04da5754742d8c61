"""`GuardrailMiddleware`: pure ASGI, and the only reader of scope.

Starlette's, FastAPI's and any other server's way of adding a middleware works; so does a server that calls it with the app
alone (`vllm serve MODEL --middleware guardrail_mw.GuardrailMiddleware`), for then the environment says the rest.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guardrail_mw import plugins
from guardrail_mw.asgi.body import BodyBudget
from guardrail_mw.asgi.endpoints import Endpoints
from guardrail_mw.asgi.http import Http
from guardrail_mw.asgi.pages import Words
from guardrail_mw.asgi.websocket import WebSocket
from guardrail_mw.engine import Guardrail
from guardrail_mw.errors import GuardrailError, PluginError, PolicyError

if TYPE_CHECKING:
    from guardrail_mw.asgi.types import App, Message, Receive, Scope, Send
    from guardrail_mw.clock import Clock
    from guardrail_mw.engine.guardrail import PolicySource
    from guardrail_mw.stores.base import Store

__all__ = ["GuardrailMiddleware"]

logger = logging.getLogger("guardrail_mw")

SHUTDOWN = 5.0
"""Seconds that a shutdown waits for what was settled to reach the store."""
_DIALECTS = ("openai", "anthropic", "problem")


class GuardrailMiddleware:
    """Guards an ASGI app.

    Args:
        app: the app behind.
        policy: a path, the name of a policy that ships, a mapping, a `Policy`, or a `Guardrail` that is shared with others.
            None reads the environment (`GUARDRAIL_POLICY`, `GUARDRAIL_STORE`, `GUARDRAIL_MODE`); with none named it runs
            `guardrail:watch`, which refuses nothing.
        store: in place of the store that the policy names.
        clock: in place of the machine's; for tests.

    Raises:
        PolicyError: a named policy is bad; every problem at once. The app does not start.
        PluginError: a plugin that the policy names is missing.

    Where it is made while an event loop runs, both are kept and said at the first call: Starlette makes its middleware when the
    lifespan begins, and uvicorn takes what is raised there for an app that knows no lifespan, and serves. So the lifespan is
    told that the startup failed, in the error's words.
    """

    def __init__(
        self,
        app: App,
        policy: PolicySource | Guardrail | None = None,
        *,
        store: Store | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.app = app
        self._unfit: GuardrailError | None = None
        if isinstance(policy, Guardrail):
            if store is not None or clock is not None:
                raise TypeError("a Guardrail has its own store and clock; give them to it, not to the middleware")
            self.guardrail = policy
        else:
            try:
                self.guardrail = Guardrail(policy, store=store, clock=clock)
            except (PolicyError, PluginError) as error:
                if not _serving():
                    raise
                self._unfit = error
                return
        words = self.guardrail.policy.endpoints.words
        if words is not None:
            Words(Path(words))  # a folder that is bad stops the start
        dialects = {name: plugins.load("dialects", name) for name in _DIALECTS}
        self._budget = BodyBudget(self.guardrail.policy.inspect.budget.bytes)
        self._http = Http(app, self.guardrail, dialects, self._budget)
        self._websocket = WebSocket(app, self.guardrail, dialects)
        self._endpoints = Endpoints(self.guardrail, self.guardrail.clock, self._budget)

    async def __call__(
        self, scope: Any, receive: Any, send: Any
    ) -> None:  # as `App`, so that it fits every framework's types
        """One connection of the server's."""
        kind = scope["type"]
        if self._unfit is not None:
            await _refuse_to_start(self._unfit, kind, receive, send)
            return
        prefix = self.guardrail.engine.prefix
        if kind == "http" and prefix in scope["path"] and await self._endpoints.answer(scope, receive, send):
            return
        guard = self._http if kind == "http" else self._websocket if kind == "websocket" else None
        if guard is not None:
            self.guardrail.keeper()
            engine = self.guardrail.engine
            if engine.mode != "off":
                await guard(engine, scope, receive, send)
                return
        elif kind == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the lifespan on, and live as long."""

        async def starting() -> Message:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.guardrail.start()
            return message

        async def ending(message: Message) -> None:
            if message["type"] in {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}:
                await self._close()
            await send(message)

        await self.app(scope, starting, ending)

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(SHUTDOWN):
                await self.guardrail.close()
        except TimeoutError:
            logger.warning("What was settled did not reach the store within %g s of the shutdown.", SHUTDOWN)


def _serving() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _refuse_to_start(error: GuardrailError, kind: str, receive: Receive, send: Send) -> None:
    """Fail the startup; a server that says nothing of one gets the error with each request."""
    if kind != "lifespan":
        raise error
    await receive()
    await send({"type": "lifespan.startup.failed", "message": str(error)})
