"""OpenAI's shapes: chat completions, responses and embeddings, whole and streamed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from guardrail_mw.cli.demo.model import MODELS, Reply, texts, tokens_of, vector

__all__ = ["Call", "chat", "chat_events", "embeddings", "models", "response", "response_events"]

Event = dict[str, Any]
Steps = Callable[[Reply], AsyncIterator[str]]
"""Gives a reply's pieces at the model's pace."""


class Call(NamedTuple):
    """One request, and what the model says to it."""

    id: str
    """Hexadecimal digits."""
    model: str
    reply: Reply
    usage_wanted: bool = False
    """Whether a chat stream is to end with its usage (`stream_options: {include_usage: true}`)."""


def chat(call: Call) -> Event:
    """A chat completion."""
    reply = call.reply
    message = {"role": "assistant", "content": reply.text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(reply)}
    return {**_head(call, "chat.completion"), "choices": [choice], "usage": _chat_usage(reply)}


async def chat_events(call: Call, steps: Steps) -> AsyncIterator[Event]:
    """A chat completion, in chunks."""
    head = _head(call, "chat.completion.chunk")

    def chunk(delta: Event, finish: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**head, "choices": [choice], **({"usage": None} if call.usage_wanted else {})}

    yield chunk({"role": "assistant", "content": ""})
    async for piece in steps(call.reply):
        yield chunk({"content": piece})
    yield chunk({}, _finish(call.reply))
    if call.usage_wanted:
        yield {**head, "choices": [], "usage": _chat_usage(call.reply)}


def response(call: Call, status: str = "") -> Event:
    """A response; `in_progress` has no output and no usage yet."""
    reply = call.reply
    done = status != "in_progress"
    content = {"type": "output_text", "text": reply.text, "annotations": []}
    item = {"type": "message", "id": f"msg_{call.id}", "status": "completed", "role": "assistant", "content": [content]}
    return {
        "id": f"resp_{call.id}",
        "object": "response",
        "created_at": int(time.time()),
        "status": status or ("incomplete" if reply.cut else "completed"),
        "incomplete_details": {"reason": "max_output_tokens"} if done and reply.cut else None,
        "error": None,
        "instructions": None,
        "metadata": {},
        "model": call.model,
        "output": [item] if done else [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": _response_usage(reply) if done else None,
    }


async def response_events(call: Call, steps: Steps) -> AsyncIterator[Event]:
    """A response, in events."""
    item = f"msg_{call.id}"
    place = {"item_id": item, "output_index": 0, "content_index": 0}
    empty = {"type": "message", "id": item, "status": "in_progress", "role": "assistant", "content": []}
    part = {"type": "output_text", "text": "", "annotations": []}
    final = response(call)
    number = iter(range(1 << 30))

    def event(kind: str, **rest: Any) -> Event:
        return {"type": kind, "sequence_number": next(number), **rest}

    yield event("response.created", response=response(call, "in_progress"))
    yield event("response.output_item.added", output_index=0, item=empty)
    yield event("response.content_part.added", **place, part=part)
    async for piece in steps(call.reply):
        yield event("response.output_text.delta", **place, delta=piece, logprobs=[])
    yield event("response.output_text.done", **place, text=call.reply.text, logprobs=[])
    yield event("response.content_part.done", **place, part={**part, "text": call.reply.text})
    yield event("response.output_item.done", output_index=0, item=final["output"][0])
    yield event(f"response.{final['status']}", response=final)


def embeddings(model: str, given: Any) -> Event:
    """Embeddings of one text or several."""
    inputs = [given] if isinstance(given, str) else list(texts(given))
    data = [{"object": "embedding", "index": index, "embedding": vector(text)} for index, text in enumerate(inputs)]
    used = sum(map(tokens_of, inputs))
    return {"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": used, "total_tokens": used}}


def models() -> Event:
    """The list of models."""
    data = [{"id": name, "object": "model", "created": 1_767_225_600, "owned_by": "guardrail-mw"} for name in MODELS]
    return {"object": "list", "data": data}


def _head(call: Call, kind: str) -> Event:
    return {"id": f"chatcmpl-{call.id}", "object": kind, "created": int(time.time()), "model": call.model}


def _finish(reply: Reply) -> str:
    return "length" if reply.cut else "stop"


def _chat_usage(reply: Reply) -> Event:
    total = reply.input + reply.output
    return {"prompt_tokens": reply.input, "completion_tokens": reply.output, "total_tokens": total}


def _response_usage(reply: Reply) -> Event:
    return {
        "input_tokens": reply.input,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": reply.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": reply.input + reply.output,
    }
