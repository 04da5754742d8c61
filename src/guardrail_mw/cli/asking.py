"""Calling an ASGI app in this process: its lifespan, and single requests in bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

__all__ = ["alive", "scope_of", "status_of"]

_STARTUP = 30.0
_SHUTDOWN = 5.0

Headers = list[tuple[bytes, bytes]]


def scope_of(method: str, path: str, headers: Headers, *, query: str = "", client: str = "203.0.113.1") -> dict[str, Any]:
    """An http scope."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers,
        "client": (client, 40000),
        "server": ("localhost", 80),
        "state": {},
    }


@asynccontextmanager
async def alive(app: Any) -> AsyncIterator[dict[str, Any]]:
    """Start the app, and end it afterwards. Gives the state that its requests get.

    Raises:
        RuntimeError: it says that it could not start, or takes longer than 30 s. An app without a lifespan is no error.
    """
    state: dict[str, Any] = {}
    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
    task = asyncio.ensure_future(_call(app, scope, inbox.get, outbox.put))
    try:
        await inbox.put({"type": "lifespan.startup"})
        answer = await _next(outbox, task, _STARTUP)
        if answer is not None and answer["type"] == "lifespan.startup.failed":
            lines = str(answer.get("message", "")).strip().splitlines()  # Starlette says a whole traceback
            raise RuntimeError(lines[-1].strip() if lines else "its lifespan failed")
        yield state
        if not task.done():
            await inbox.put({"type": "lifespan.shutdown"})
            with suppress(RuntimeError):
                await _next(outbox, task, _SHUTDOWN)
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()


async def _call(app: Any, *arguments: Any) -> None:
    """What the app raises at once is raised here, by the task."""
    await app(*arguments)


async def _next(outbox: asyncio.Queue[dict[str, Any]], task: asyncio.Future[Any], seconds: float) -> dict[str, Any] | None:
    """What the app says next; None where it ended without a word."""
    said = asyncio.ensure_future(outbox.get())
    waited: set[asyncio.Future[Any]] = {said, task}
    await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    if said.done():
        return said.result()
    said.cancel()
    if task.done():
        return None
    raise RuntimeError(f"its lifespan did not answer within {seconds:g} s")


async def status_of(app: Any, scope: dict[str, Any], body: bytes, seconds: float) -> int | str:
    """The status that an app answers with; what went wrong, in words, where it does not. The rest is not waited for."""
    begun: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        message = next(messages, None)
        return message if message is not None else await asyncio.Event().wait()  # type: ignore[return-value]

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and not begun.done():
            begun.set_result(message["status"])

    task = asyncio.ensure_future(_call(app, scope, receive, send))
    waited: set[asyncio.Future[Any]] = {task, begun}
    done, _ = await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    error = task.exception() if task.done() and not task.cancelled() else None
    task.cancel()
    await asyncio.wait({task}, timeout=_SHUTDOWN)
    if begun in done:
        return begun.result()
    if not done:
        return f"no answer within {seconds:g} s"
    return f"raised {type(error).__name__}" if error is not None else "ended without an answer"
