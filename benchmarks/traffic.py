"""The exchange that is measured, and how it is driven: ASGI calls in this process, on one event loop.

The request is a chat completion of 123 bytes with eight headers, an API key among them; the answer is 322 bytes of JSON with
a usage object. Every call makes its own scope, as a server would; that is in the bare app's figure too and cancels out.
"""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message

__all__ = ["ANSWER", "BODY", "PATH", "Sample", "bare_asgi", "bare_fastapi", "bare_starlette", "drive", "names", "sample"]

PATH = "/v1/chat/completions"
BODY = json.dumps(
    {
        "model": "large-1",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "Name three rivers that cross a border."}],
    }
).encode()
ANSWER = json.dumps(
    {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "large-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "The Danube, the Mekong and the Congo."},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 14, "completion_tokens": 12, "total_tokens": 26},
    }
).encode()
_HEADERS = [
    (b"host", b"model.example"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"connection", b"keep-alive"),
    (b"user-agent", b"OpenAI/Python 3.0.0"),
    (b"content-type", b"application/json"),
    (b"content-length", str(len(BODY)).encode()),
]


async def _answer(_: Request) -> Response:
    return Response(ANSWER, media_type="application/json")


def bare_starlette() -> Starlette:
    """A Starlette with the one route."""
    return Starlette(routes=[Route(PATH, _answer, methods=["POST"])])


def bare_fastapi(dependencies: Sequence[Any] = ()) -> FastAPI:
    """A FastAPI with the one route; fastapi-limiter is a dependency of it."""
    app = FastAPI(openapi_url=None)

    @app.post(PATH, dependencies=list(dependencies))
    async def answer() -> Response:
        return Response(ANSWER, media_type="application/json")

    return app


async def bare_asgi(scope: Any, receive: Any, send: Any) -> None:
    """The same answer from an app without a framework."""
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    head = [(b"content-length", str(len(ANSWER)).encode()), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": ANSWER})


def names(count: int, kind: str = "sk-bench") -> list[bytes]:
    """`count` API keys."""
    return [b"Bearer %s-%012d" % (kind.encode(), number) for number in range(count)]


def _scope(key: bytes) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [*_HEADERS, (b"authorization", key)],
        "client": ("198.51.100.7", 40_000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }


async def _worker(app: ASGIApp, keys: Iterator[bytes], statuses: Counter[int]) -> None:
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses[message["status"]] += 1

    for key in keys:
        sent = False
        await app(_scope(key), receive, send)


async def drive(app: ASGIApp, keys: Sequence[bytes], concurrent: int = 1) -> Counter[int]:
    """One request a key: by one caller, or by `concurrent` tasks that take the next key when their last answer ended."""
    statuses: Counter[int] = Counter()
    waiting = iter(keys)
    if concurrent == 1:
        await _worker(app, waiting, statuses)
    else:
        await asyncio.gather(*(_worker(app, waiting, statuses) for _ in range(concurrent)))
    return statuses


class Sample(NamedTuple):
    """µs a request: CPU of this process (all its threads; the Redis server is another process) and wall time."""

    cpu: float
    wall: float
    statuses: Counter[int]


async def sample(
    app: ASGIApp,
    drain: Callable[[], Awaitable[None]],
    keys: Sequence[bytes],
    concurrent: int,
    *,
    collect: bool = True,
) -> Sample:
    """Drive and time, with whatever is settled afterwards inside. `collect`: nobody pays for another's garbage."""
    if collect:
        gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    statuses = await drive(app, keys, concurrent)
    await drain()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Sample(cpu * 1e6 / len(keys), wall * 1e6 / len(keys), statuses)
