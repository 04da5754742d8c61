"""Clients that hang up, over real connections: they pay their prompt and what they were sent, and their slot comes back."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ..asgi.kit import left, policy  # noqa: TID252 - the kit of the pipeline's tests
from .serving import Stage

pytestmark = pytest.mark.anyio

PROMPT: Any = [{"role": "user", "content": "x" * 400}]
LIMITS = [
    {"name": "tokens", "unit": "tokens", "budget": "100000/day"},
    {"name": "requests", "budget": "10/day"},
    {"name": "slots", "concurrency": 1},
]


async def endless(_: Request) -> Response:
    """Three tokens, and then it thinks for ever."""

    async def pieces() -> AsyncIterator[str]:
        for word in ("one", "two", "three"):
            yield f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': word}}]})}\n\n"
        await asyncio.Event().wait()

    return StreamingResponse(pieces(), media_type="text/event-stream")


async def silent(request: Request) -> Response:
    """Thinks until the client has gone, and then fails, as many do."""
    await request.body()
    while (await request.receive())["type"] != "http.disconnect":
        pass
    raise ConnectionError("nobody is there")


async def slow(_: Request) -> Response:
    """Never asks whether anybody is there, and answers once it may."""
    await asyncio.to_thread(may_answer.wait, 10)
    return JSONResponse({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 50}})


may_answer = threading.Event()
reached = threading.Event()


def guarded(stage: Stage, endpoint: Any) -> tuple[Any, threading.Event]:
    """The endpoint behind the middleware; the event is set once an exchange is over."""
    over = threading.Event()
    guardrail = stage.guard(policy(*LIMITS), Starlette(routes=[Route("/v1/chat/completions", endpoint, methods=["POST"])]))
    middleware = stage.app
    reached.clear()
    may_answer.clear()

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        reached.set()
        try:
            await middleware(scope, receive, send)
        except ConnectionError:
            pass
        finally:
            over.set()

    stage.app = watched
    return guardrail, over


async def wait(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 10)


async def test_in_mid_stream(stage: Stage) -> None:
    guardrail, over = guarded(stage, endless)
    async with openai.AsyncOpenAI(base_url=f"{stage.url}/v1", api_key="sk-one", max_retries=0) as client:
        stream: Any = await client.chat.completions.create(model="m", messages=PROMPT, stream=True)
        for word in ("one", "two", "three"):
            assert (await anext(stream)).choices[0].delta.content == word
        assert (await left(guardrail))["slots"] == 0
        await stream.close()
    await wait(over)
    assert await left(guardrail) == {"tokens": 100_000 - 103, "requests": 9, "slots": 1}


@pytest.mark.parametrize(("endpoint", "used"), [(silent, 100), (slow, 150)])
async def test_before_the_first_byte(stage: Stage, endpoint: Any, used: int) -> None:
    """It pays its prompt where the app gives up, and all that was made for it where the app does not."""
    guardrail, over = guarded(stage, endpoint)
    async with openai.AsyncOpenAI(base_url=f"{stage.url}/v1", api_key="sk-one", max_retries=0) as client:
        call = asyncio.ensure_future(client.chat.completions.create(model="m", messages=PROMPT))
        await wait(reached)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    may_answer.set()
    await wait(over)
    assert await left(guardrail) == {"tokens": 100_000 - used, "requests": 9, "slots": 1}
