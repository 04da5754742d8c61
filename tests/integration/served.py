"""A plain ASGI app behind the middleware, as servers import it: the environment names the policy, as vLLM's users do."""

from __future__ import annotations

import asyncio
from typing import Any

from guardrail_mw import GuardrailMiddleware

released: dict[str, asyncio.Event] = {}


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """`/v1/stream/NAME` sends a piece, waits until somebody gets `/release/NAME`, and sends another; sockets echo."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
    elif scope["type"] == "websocket":
        await _talk(receive, send)
    else:
        await _answer(scope["path"], send)


async def _live(receive: Any, send: Any) -> None:
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})


async def _talk(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": (message.get("text") or "").upper()})


async def _answer(path: str, send: Any) -> None:
    event = released.setdefault(path.rpartition("/")[2], asyncio.Event())
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    if path.startswith("/v1/stream/"):
        await send({"type": "http.response.body", "body": b"data: first\n\n", "more_body": True})
        await event.wait()
    else:
        event.set()
    await send({"type": "http.response.body", "body": b"data: last\n\n", "more_body": False})


app = GuardrailMiddleware(plain)
