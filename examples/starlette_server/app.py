"""A model server on Starlette, guarded. Run it from this folder: uvicorn app:app --port 8000."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from guardrail_mw import GuardrailMiddleware

POLICY = Path(__file__).with_name("policy.yaml")


def generate(messages: list[dict[str, Any]], cap: int) -> tuple[list[str], int]:
    """Stands in for your model: says the last message backwards. Returns words, and the tokens of the prompt."""
    words = str(messages[-1]["content"]).split()[::-1]
    return words[:cap], sum(len(str(each["content"]).split()) for each in messages)


async def chat(request: Request) -> Response:
    """POST /v1/chat/completions, whole or streamed."""
    body = await request.json()
    words, prompt = generate(body["messages"], body.get("max_tokens", 256))
    usage = {"prompt_tokens": prompt, "completion_tokens": len(words), "total_tokens": prompt + len(words)}
    head = {"id": "chatcmpl-1", "created": 1_767_225_600, "model": body["model"]}
    if body.get("stream"):
        return StreamingResponse(events(head, words, usage), media_type="text/event-stream")
    message = {"role": "assistant", "content": " ".join(words)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return JSONResponse({**head, "object": "chat.completion", "choices": [choice], "usage": usage})


async def events(head: dict[str, Any], words: list[str], usage: dict[str, int]) -> AsyncIterator[str]:
    """The chunks of a streamed answer. The guard reads the usage in the last one as it passes."""
    head = {**head, "object": "chat.completion.chunk"}
    for number, word in enumerate(words):
        delta = {"role": "assistant", "content": word if number == 0 else f" {word}"}
        yield f"data: {json.dumps({**head, 'choices': [{'index': 0, 'delta': delta, 'finish_reason': None}]})}\n\n"
        await asyncio.sleep(0)
    yield f"data: {json.dumps({**head, 'choices': [{'index': 0, 'delta': {}, 'finish_reason': 'stop'}]})}\n\n"
    yield f"data: {json.dumps({**head, 'choices': [], 'usage': usage})}\n\n"
    yield "data: [DONE]\n\n"


async def search(request: Request) -> Response:
    """POST /v1/search: a tool that costs more than a request. What only the app knows, the app charges."""
    exchange = request.state.guardrail
    await exchange.add("requests", 4)
    left = {each.name: each.remaining for each in exchange.readings}
    return JSONResponse({"results": [], "decision": exchange.id, "left_before": left})


async def health(_: Request) -> Response:
    """GET /health: exempt."""
    return JSONResponse({"status": "ok"})


def make_app(**options: Any) -> Starlette:
    """The app. `options` are GuardrailMiddleware's, for tests: `clock`, `store`."""
    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/search", search, methods=["POST"]),
        ],
        middleware=[Middleware(GuardrailMiddleware, policy=POLICY, **options)],
    )


app = make_app()
