"""Anthropic's shapes: messages, whole and streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from guardrail_mw.cli.demo.model import Reply
from guardrail_mw.cli.demo.openai import Call, Event, Steps

__all__ = ["error", "message", "message_events"]


def message(call: Call) -> Event:
    """A message."""
    content = [{"type": "text", "text": call.reply.text}]
    return {**_head(call), "content": content, "stop_reason": _stop(call.reply), "usage": _usage(call.reply)}


async def message_events(call: Call, steps: Steps) -> AsyncIterator[Event]:
    """A message, in events."""
    reply = call.reply
    begun = {**_head(call), "content": [], "stop_reason": None, "usage": {**_usage(reply), "output_tokens": 1}}
    yield {"type": "message_start", "message": begun}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    async for piece in steps(reply):
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
    yield {"type": "content_block_stop", "index": 0}
    delta = {"stop_reason": _stop(reply), "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": reply.output}}
    yield {"type": "message_stop"}


def error(kind: str, text: str) -> Event:
    """An error's body."""
    return {"type": "error", "error": {"type": kind, "message": text}}


def _head(call: Call) -> dict[str, Any]:
    return {"id": f"msg_{call.id}", "type": "message", "role": "assistant", "model": call.model, "stop_sequence": None}


def _stop(reply: Reply) -> str:
    return "max_tokens" if reply.cut else "end_turn"


def _usage(reply: Reply) -> Event:
    return {
        "input_tokens": reply.input,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": reply.output,
    }
