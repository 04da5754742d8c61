"""Under Starlette, whichever version is installed; `test_versions.py` runs this with an old one."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from guardrail_mw import Guardrail, GuardrailMiddleware
from guardrail_mw.testing.clock import FakeClock

from ..asgi.kit import policy  # noqa: TID252 - the kit of the pipeline's tests

KEY = {"authorization": "Bearer sk-one"}
REQUESTS = {"name": "requests", "rate": "3/minute"}
TOKENS = {"name": "tokens", "unit": "tokens", "rate": "90000/minute"}


async def echo(request: Request) -> Response:
    exchange = request.state.guardrail
    return JSONResponse({"body": await request.json(), "id": exchange.id, "account": exchange.subject.account})


async def stream(_: Request) -> Response:
    async def pieces() -> AsyncIterator[str]:
        for number in range(3):
            yield f"data: {number}\n\n"

    return StreamingResponse(pieces(), media_type="text/event-stream")


async def file(_: Request) -> Response:
    return FileResponse(Path(__file__))


async def broken(_: Request) -> Response:
    raise RuntimeError("broken")


async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text.upper())


async def below(request: Request) -> Response:
    return PlainTextResponse(f"{request.scope['root_path']} {request.url.path}")


def starlette(document: Any, **more: Any) -> Starlette:
    done: list[str] = []

    async def background(_: Request) -> Response:
        return PlainTextResponse("now", background=BackgroundTask(done.append, "later"))

    app = Starlette(
        routes=[
            Route("/v1/chat/completions", echo, methods=["POST"]),
            Route("/v1/stream", stream),
            Route("/v1/file", file),
            Route("/v1/broken", broken),
            Route("/v1/background", background),
            WebSocketRoute("/v1/talk", talk),
            Mount("/mounted", routes=[Route("/v1/below", below)]),
        ],
        middleware=[
            *more.pop("outside", ()),
            Middleware(GuardrailMiddleware, policy=document, clock=FakeClock()),
            *more.pop("inside", ()),
        ],
        **more,
    )
    app.state.done = done
    return app


def test_an_app_with_the_middleware_in_its_stack() -> None:
    with TestClient(starlette(policy(REQUESTS, TOKENS))) as client:
        answer = client.post("/v1/chat/completions", json={"model": "m", "messages": []}, headers=KEY)
        assert answer.json()["body"] == {"model": "m", "messages": []}
        assert answer.json()["id"] == answer.headers["x-guardrail-decision"]
        assert answer.json()["account"].startswith("a:")
        assert answer.headers["x-ratelimit-remaining-requests"] == "2"
        assert client.get("/v1/stream", headers=KEY).text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
        assert client.get("/v1/file", headers=KEY).content == Path(__file__).read_bytes()
        refused = client.get("/v1/stream", headers=KEY)
        assert refused.status_code == 429
        assert refused.json()["error"]["decision"] == refused.headers["x-guardrail-decision"]


def test_background_tasks_and_crashes() -> None:
    app = starlette(policy(REQUESTS, {"name": "slots", "concurrency": 1}))
    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/v1/background", headers=KEY).text == "now"
        assert app.state.done == ["later"]
        for _ in range(5):
            assert client.get("/v1/broken", headers=KEY).status_code == 500
        assert client.get("/v1/stream", headers=KEY).headers["x-ratelimit-remaining-requests"] == "1"


def test_sockets() -> None:
    with TestClient(starlette(policy(REQUESTS))) as client:
        with client.websocket_connect("/v1/talk", headers=KEY) as socket:
            for text in ("a", "b"):
                socket.send_text(text)
                assert socket.receive_text() == text.upper()
            socket.send_text("c")
            with pytest.raises(WebSocketDisconnect) as closed:
                socket.receive_text()
        assert closed.value.code == 1013
        assert len(closed.value.reason or "") == 24
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/v1/talk", headers=KEY):
            pass


def test_lifespan_is_passed_on_and_state_comes_through() -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, str]]:
        seen.append("up")
        yield {"made": "by the app"}
        seen.append("down")

    async def state(request: Request) -> Response:
        return PlainTextResponse(f"{request.state.made} {request.state.guardrail.id}")

    def app(*stack: Middleware) -> Starlette:
        return Starlette(routes=[Route("/state", state)], lifespan=lifespan, middleware=stack)

    for guarded in (
        GuardrailMiddleware(app(), policy(REQUESTS)),
        app(Middleware(GuardrailMiddleware, policy=policy(REQUESTS))),
    ):
        with TestClient(guarded) as client:
            answer = client.get("/state", headers=KEY)
            assert answer.text == f"by the app {answer.headers['x-guardrail-decision']}"
    assert seen == ["up", "down"] * 2


def test_without_lifespan_tasks_start_with_the_first_request() -> None:
    client = TestClient(starlette(policy(REQUESTS, {"name": "slots", "concurrency": 1})))
    assert [client.get("/v1/stream", headers=KEY).status_code for _ in range(4)] == [200, 200, 200, 429]


def test_a_mounted_app_is_guarded_below_its_root() -> None:
    inner = Starlette(
        routes=[Route("/v1/below", below)],
        middleware=[
            Middleware(GuardrailMiddleware, policy=policy(REQUESTS, routes=[{"path": "/v1/below", "exempt": True}]))
        ],
    )
    with TestClient(Starlette(routes=[Mount("/api", app=inner)])) as client:
        answer = client.get("/api/v1/below")
        assert answer.text == "/api /api/v1/below"
        assert "x-guardrail-decision" not in answer.headers
    with TestClient(starlette(policy(REQUESTS, routes=[{"path": "/mounted/v1/below", "exempt": True}]))) as client:
        assert client.get("/mounted/v1/below").text == "/mounted /mounted/v1/below"
        assert "x-guardrail-decision" not in client.get("/mounted/v1/below").headers


def test_behind_cors_a_refusal_can_be_read_and_a_preflight_is_free() -> None:
    cors = Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])
    with TestClient(starlette(policy({"name": "requests", "rate": "1/minute"}), outside=[cors])) as client:
        origin = {"origin": "https://x.example"}
        for _ in range(3):
            asked = client.options("/v1/stream", headers={**origin, "access-control-request-method": "GET"})
            assert asked.status_code == 200
        assert client.get("/v1/stream", headers=KEY | origin).status_code == 200
        refused = client.get("/v1/stream", headers=KEY | origin)
        assert refused.status_code == 429
        assert refused.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("outside", [True, False])
def test_a_script_of_an_allowed_origin_may_send_an_answer_wherever_cors_stands(*, outside: bool) -> None:
    """What it is told it can read where CORS stands outside; inside, ours never passes it."""
    cors = Middleware(CORSMiddleware, allow_origins=["https://x.example"], allow_methods=["*"], allow_headers=["*"])
    document = policy(REQUESTS, friction={"ladder": [{"at": 50, "do": "challenge", "with": {"use": "altcha"}}]})
    with TestClient(starlette(document, **{"outside" if outside else "inside": [cors]})) as client:
        wanted = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
        for origin, status in (("https://x.example", 200), ("https://evil.example", 400)):
            asked = client.options("/.guardrail/challenge", headers={"origin": origin, **wanted})
            allowed = asked.headers.get("access-control-allow-origin") == origin
            assert (asked.status_code, allowed) == (status, status == 200)
        sent = client.post(
            "/.guardrail/challenge", json={"case": "x", "answer": "y"}, headers={"origin": "https://x.example"}
        )
        assert (sent.status_code, "access-control-allow-origin" in sent.headers) == (400, outside)


def test_two_clients_and_two_threads_share_one_guardrail() -> None:
    """Each client runs a loop of its own; sixty requests of two threads on one bucket of fifty admit exactly fifty."""
    guardrail = Guardrail(
        policy({"name": "requests", "rate": "50/minute"}, {"name": "slots", "concurrency": 9}), clock=FakeClock(), environ={}
    )
    statuses: list[int] = []

    def ask() -> None:
        with TestClient(GuardrailMiddleware(Starlette(routes=[Route("/v1/stream", stream)]), guardrail)) as client:
            statuses.extend(client.get("/v1/stream", headers=KEY).status_code for _ in range(30))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 50 + [429] * 10
