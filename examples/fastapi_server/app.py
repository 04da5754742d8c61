"""A model server on FastAPI for both vendors' clients, guarded. Run it from this folder: uvicorn app:app --port 8000."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from guardrail_mw import GuardrailMiddleware

POLICY = Path(__file__).with_name("policy.yaml")


class Message(BaseModel):
    """One turn of a conversation."""

    role: str
    content: str


class Call(BaseModel):
    """What both APIs have in common."""

    model: str
    messages: list[Message]
    max_tokens: int = 256
    stream: bool = False


def own_key(authorization: Annotated[str, Header()] = "", x_api_key: Annotated[str, Header()] = "") -> None:
    """The app checks keys itself (`trust: app`): what it answers 2xx proves a key, what it answers 401 does not."""
    key = x_api_key or authorization.removeprefix("Bearer ")
    if key not in os.environ.get("EXAMPLE_KEYS", "sk-example-alice,sk-example-bob").split(","):
        raise HTTPException(401, "unknown key")


def generate(call: Call) -> tuple[str, int, int]:
    """Stands in for your model: shouts the last message. Returns text, and tokens of prompt and answer."""
    words = call.messages[-1].content.upper().split()[: call.max_tokens]
    return " ".join(words), sum(len(each.content.split()) for each in call.messages), len(words)


async def chat(call: Call) -> Any:
    """POST /v1/chat/completions, as OpenAI's SDK calls it."""
    text, prompt, answer = generate(call)
    message = {"role": "assistant", "content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_767_225_600,
        "model": call.model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer},
    }


async def messages(call: Call) -> Any:
    """POST /v1/messages, as Anthropic's SDK calls it, whole or streamed."""
    text, prompt, answer = generate(call)
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": call.model, "stop_sequence": None}
    if call.stream:
        return StreamingResponse(events(head, text, prompt, answer), media_type="text/event-stream")
    usage = {"input_tokens": prompt, "output_tokens": answer}
    return {**head, "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "usage": usage}


async def events(head: dict[str, Any], text: str, prompt: int, answer: int) -> AsyncIterator[str]:
    """A streamed message. The guard reads the usage in its first and last events as they pass."""
    begun = {**head, "content": [], "stop_reason": None, "usage": {"input_tokens": prompt, "output_tokens": 1}}
    for event in (
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": answer}},
        {"type": "message_stop"},
    ):
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"


async def health() -> dict[str, str]:
    """GET /health: exempt."""
    return {"status": "ok"}


def make_app(**options: Any) -> FastAPI:
    """The app. `options` are GuardrailMiddleware's, for tests: `clock`, `store`."""
    made = FastAPI()
    made.add_middleware(GuardrailMiddleware, policy=POLICY, **options)
    made.add_api_route("/health", health, methods=["GET"])
    for path, endpoint in (("/v1/chat/completions", chat), ("/v1/messages", messages)):
        made.add_api_route(path, endpoint, methods=["POST"], dependencies=[Depends(own_key)], response_model=None)
    return made


app = make_app()
