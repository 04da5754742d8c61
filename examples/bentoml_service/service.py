"""A BentoML service, guarded. Run it from this folder: bentoml serve service:Shout --port 3000."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import bentoml  # type: ignore[import-not-found,unused-ignore]  # the example's own requirement, not the project's
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from guardrail_mw import GuardrailMiddleware

POLICY = Path(__file__).with_name("policy.yaml")
PACE = 0.01
"""Seconds that a word takes, as a model takes its time."""


async def generate(prompt: str, most: int | None) -> AsyncIterator[str]:
    """Stands in for your model: shouts the prompt, or as much of it as may be said. A word is a token."""
    for word in prompt.upper().split()[:most]:
        await asyncio.sleep(PACE)
        yield word


async def chat(request: Request) -> Response:
    """POST /v1/chat/completions, as OpenAI's SDK calls it, whole or streamed."""
    asked = await request.json()
    prompt = asked["messages"][-1]["content"]
    head = {"id": "chatcmpl-1", "created": 1_767_225_600, "model": asked["model"]}
    if asked.get("stream"):
        return StreamingResponse(chunks(head, prompt, asked), media_type="text/event-stream")
    words = [word async for word in generate(prompt, asked.get("max_tokens"))]
    message = {"role": "assistant", "content": " ".join(words)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return JSONResponse({**head, "object": "chat.completion", "choices": [choice], "usage": usage(prompt, len(words))})


async def chunks(head: dict[str, Any], prompt: str, asked: dict[str, Any]) -> AsyncIterator[str]:
    """A streamed answer. It says its usage where it is asked for: `stream_options: {"include_usage": true}`."""
    head = {**head, "object": "chat.completion.chunk"}
    count = 0
    async for word in generate(prompt, asked.get("max_tokens")):
        delta = {"role": "assistant", "content": f" {word}" if count else word}
        yield event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        count += 1
    yield event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield event({**head, "choices": [], "usage": usage(prompt, count)})
    yield "data: [DONE]\n\n"


def event(chunk: dict[str, Any]) -> str:
    """One event of a stream."""
    return f"data: {json.dumps(chunk)}\n\n"


def usage(prompt: str, count: int) -> dict[str, int]:
    """What an answer of so many words used."""
    asked = len(prompt.split())
    return {"prompt_tokens": asked, "completion_tokens": count, "total_tokens": asked + count}


openai_api = Starlette(routes=[Route("/chat/completions", chat, methods=["POST"])])


@bentoml.asgi_app(openai_api, path="/v1")
@bentoml.service
class Shout:
    """An API of OpenAI's shape, which is mounted, and one of BentoML's own."""

    @bentoml.api  # type: ignore[untyped-decorator,unused-ignore]  # where BentoML is not installed
    def shout(self, text: str) -> str:
        """POST /shout."""
        return text.upper()


Shout.add_asgi_middleware(GuardrailMiddleware, policy=POLICY)  # type: ignore[attr-defined]  # `service` makes a Service of a class
