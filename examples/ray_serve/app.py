"""A Ray Serve application, guarded. Run it from this folder: serve run app:model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from ray import serve  # type: ignore[import-not-found,unused-ignore]  # the example's own requirement, not the project's

from guardrail_mw import GuardrailMiddleware

POLICY = Path(__file__).with_name("policy.yaml")
PACE = 0.01
"""Seconds that a word takes, as a model takes its time."""


class Message(BaseModel):
    """One turn of a conversation."""

    role: str
    content: str


class Call(BaseModel):
    """What both vendors' APIs have in common, and what OpenAI's asks of a stream."""

    model: str
    messages: list[Message]
    max_tokens: int | None = None
    stream: bool = False
    stream_options: dict[str, bool] | None = None

    @property
    def prompt(self) -> str:
        """The last turn."""
        return self.messages[-1].content

    @property
    def tokens(self) -> int:
        """Of the prompt. A word is a token."""
        return len(self.prompt.split())


async def generate(prompt: str, most: int | None) -> AsyncIterator[str]:
    """Stands in for your model: shouts the prompt, or as much of it as may be said."""
    for word in prompt.upper().split()[:most]:
        await asyncio.sleep(PACE)
        yield word


async def chat(call: Call) -> Any:
    """POST /v1/chat/completions, as OpenAI's SDK calls it, whole or streamed."""
    head = {"id": "chatcmpl-1", "created": 1_767_225_600, "model": call.model}
    if call.stream:
        return StreamingResponse(chunks({**head, "object": "chat.completion.chunk"}, call), media_type="text/event-stream")
    words = [word async for word in generate(call.prompt, call.max_tokens)]
    choice = {"index": 0, "message": {"role": "assistant", "content": " ".join(words)}, "finish_reason": "stop"}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": usage(call, len(words))}


async def chunks(head: dict[str, Any], call: Call) -> AsyncIterator[str]:
    """A streamed answer. It says its usage where it is asked for: `stream_options: {"include_usage": true}`."""
    count = 0
    async for word in generate(call.prompt, call.max_tokens):
        delta = {"role": "assistant", "content": f" {word}" if count else word}
        yield event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        count += 1
    yield event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if (call.stream_options or {}).get("include_usage"):
        yield event({**head, "choices": [], "usage": usage(call, count)})
    yield "data: [DONE]\n\n"


def usage(call: Call, count: int) -> dict[str, int]:
    """What an answer of so many words used, in OpenAI's words."""
    return {"prompt_tokens": call.tokens, "completion_tokens": count, "total_tokens": call.tokens + count}


async def messages(call: Call) -> Any:
    """POST /v1/messages, as Anthropic's SDK calls it, whole or streamed."""
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": call.model, "stop_sequence": None}
    if call.stream:
        return StreamingResponse(events(head, call), media_type="text/event-stream")
    words = [word async for word in generate(call.prompt, call.max_tokens)]
    content = [{"type": "text", "text": " ".join(words)}]
    used = {"input_tokens": call.tokens, "output_tokens": len(words)}
    return {**head, "content": content, "stop_reason": "end_turn", "usage": used}


async def events(head: dict[str, Any], call: Call) -> AsyncIterator[str]:
    """A streamed message: its usage stands in the first event and in the last but one."""
    begun = {**head, "content": [], "stop_reason": None, "usage": {"input_tokens": call.tokens, "output_tokens": 0}}
    yield event({"type": "message_start", "message": begun})
    yield event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    count = 0
    async for word in generate(call.prompt, call.max_tokens):
        delta = {"type": "text_delta", "text": f" {word}" if count else word}
        yield event({"type": "content_block_delta", "index": 0, "delta": delta})
        count += 1
    yield event({"type": "content_block_stop", "index": 0})
    yield event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": count}})
    yield event({"type": "message_stop"})


def event(data: dict[str, Any]) -> str:
    """One event of a stream; Anthropic's have their type as a name."""
    name = f"event: {data['type']}\n" if "type" in data else ""
    return f"{name}data: {json.dumps(data)}\n\n"


async def health() -> dict[str, str]:
    """GET /health: exempt."""
    return {"status": "ok"}


def build() -> FastAPI:
    """The app. Ray calls this in each replica, so each has a guard of its own."""
    app = FastAPI()
    app.add_api_route("/health", health)
    app.add_api_route("/v1/chat/completions", chat, methods=["POST"], response_model=None)
    app.add_api_route("/v1/messages", messages, methods=["POST"], response_model=None)
    app.add_middleware(GuardrailMiddleware, policy=POLICY)
    return app


model = serve.deployment(serve.ingress(build)()).bind()
