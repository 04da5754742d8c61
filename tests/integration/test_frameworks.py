"""Under FastAPI and Litestar."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse
from litestar import Litestar, get, post, websocket
from litestar import Request as LitestarRequest
from litestar.connection import WebSocket as LitestarSocket
from litestar.middleware import DefineMiddleware
from litestar.response import Stream
from litestar.testing import TestClient as LitestarClient
from pydantic import BaseModel
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from guardrail_mw import Guardrail, GuardrailMiddleware
from guardrail_mw.testing.clock import FakeClock

from ..asgi.kit import policy  # noqa: TID252 - the kit of the pipeline's tests

KEY = {"authorization": "Bearer sk-one"}
LIMITS = [{"name": "requests", "rate": "3/minute"}, {"name": "tokens", "unit": "tokens", "rate": "90000/minute"}]
BODY = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


class Chat(BaseModel):
    model: str
    messages: list[dict[str, str]]


def fastapi() -> FastAPI:
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def chat(body: Chat, request: Request) -> dict[str, Any]:
        return {"model": body.model, "id": request.state.guardrail.id}

    @app.get("/v1/stream")
    def stream() -> StreamingResponse:
        return StreamingResponse((f"data: {number}\n\n" for number in range(3)), media_type="text/event-stream")

    @app.websocket("/v1/talk")
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(text.upper())

    app.add_middleware(GuardrailMiddleware, policy=policy(*LIMITS), clock=FakeClock())
    return app


def test_fastapi() -> None:
    with TestClient(fastapi()) as client:
        answer = client.post("/v1/chat/completions", json=BODY, headers=KEY)
        assert answer.json() == {"model": "m", "id": answer.headers["x-guardrail-decision"]}
        assert client.get("/v1/stream", headers=KEY).text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
        invalid = client.post("/v1/chat/completions", json={}, headers=KEY)
        assert invalid.status_code == 422
        assert invalid.headers["x-ratelimit-remaining-requests"] == "0"
        refused = client.get("/v1/stream", headers=KEY)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")


def test_fastapi_sockets() -> None:
    with TestClient(fastapi()) as client:
        with client.websocket_connect("/v1/talk", headers=KEY) as socket:
            socket.send_text("a")
            assert socket.receive_text() == "A"
            socket.send_text("b")
            assert socket.receive_text() == "B"
            socket.send_text("c")
            with pytest.raises(WebSocketDisconnect) as closed:
                socket.receive_text()
        assert closed.value.code == 1013


def test_fastapi_under_a_root_path_and_mounted() -> None:
    app = FastAPI()
    inner = fastapi()
    app.mount("/model", inner)
    app.add_middleware(GuardrailMiddleware, policy=policy(routes=[{"path": "/model/v1/stream", "exempt": True}]))
    with TestClient(app, root_path="/api") as client:
        answer = client.get("/api/model/v1/stream", headers=KEY)
        assert answer.status_code == 200
        assert answer.headers["x-ratelimit-limit-requests"] == "3", "the inner one guards, the outer lets it pass"


@post("/v1/chat/completions", status_code=200)
async def litestar_chat(request: LitestarRequest[Any, Any, Any]) -> dict[str, Any]:
    return {"model": (await request.json())["model"], "id": request.scope["state"]["guardrail"].id}


@get("/v1/stream")
async def litestar_stream() -> Stream:
    async def pieces() -> AsyncIterator[str]:
        for number in range(3):
            yield f"data: {number}\n\n"

    return Stream(pieces(), media_type="text/event-stream")


@websocket("/v1/talk")
async def litestar_talk(socket: LitestarSocket[Any, Any, Any]) -> None:
    await socket.accept()
    async for text in socket.iter_data("text"):
        await socket.send_text(text.upper())


HANDLERS = [litestar_chat, litestar_stream, litestar_talk]


@pytest.mark.parametrize("outside", [True, False])
def test_litestar(outside: bool) -> None:
    """Around it, or in its stack: which it builds anew for each route, so that they must be given one guardrail to share."""
    guardrail = Guardrail(policy(*LIMITS), clock=FakeClock(), environ={})
    client: Any
    if outside:
        client = TestClient(GuardrailMiddleware(Litestar(HANDLERS), guardrail))
    else:
        client = LitestarClient(Litestar(HANDLERS, middleware=[DefineMiddleware(GuardrailMiddleware, policy=guardrail)]))
    with client:
        answer = client.post("/v1/chat/completions", json=BODY, headers=KEY)
        assert answer.json() == {"model": "m", "id": answer.headers["x-guardrail-decision"]}
        assert client.get("/v1/stream", headers=KEY).text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
        with client.websocket_connect("/v1/talk", headers=KEY):
            pass
        refused = client.get("/v1/stream", headers=KEY)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
