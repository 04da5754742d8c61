"""A model server without a model: it speaks OpenAI's and Anthropic's APIs as their SDKs expect, and counts what it uses.

It knows nothing of limits: those are the middleware's.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from json import JSONDecodeError
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from guardrail_mw.cli.demo import anthropic, openai
from guardrail_mw.cli.demo.model import MODELS, Reply, answer, texts
from guardrail_mw.cli.demo.openai import Call, Event, Steps

__all__ = ["PACE", "model_server"]

PACE = 0.01
"""Seconds for a token."""

Whole = Callable[[Call], Event]
Streamed = Callable[[Call, Steps], AsyncIterator[Event]]


def model_server(pace: float = PACE, welcome: str = "") -> Starlette:
    """The server's app.

    Args:
        pace: seconds for each token of an answer.
        welcome: what `GET /` says.
    """
    server = _Server(pace)

    async def root(_: Request) -> Response:
        return PlainTextResponse(welcome)

    return Starlette(
        routes=[
            Route("/", root),
            Route("/health", _health),
            Route("/v1/models", _models),
            Route("/v1/chat/completions", server.chat, methods=["POST"]),
            Route("/v1/responses", server.responses, methods=["POST"]),
            Route("/v1/embeddings", server.embeddings, methods=["POST"]),
            Route("/v1/messages", server.messages, methods=["POST"]),
        ],
        exception_handlers={HTTPException: _failed},
    )


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _models(_: Request) -> Response:
    return JSONResponse(openai.models())


class _Server:
    """The endpoints."""

    def __init__(self, pace: float) -> None:
        self._pace = pace
        self._served: Iterator[int] = count(1)

    async def chat(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        body = await _body(request)
        options = body.get("stream_options")
        wanted = isinstance(options, dict) and options.get("include_usage") is True
        caps = (body.get("max_completion_tokens"), body.get("max_tokens"))
        call = self._call(body, _prompt(body, "messages"), _cap(*caps), usage_wanted=wanted)
        return await self._answer(body, call, openai.chat, openai.chat_events, end=b"data: [DONE]\n\n")

    async def responses(self, request: Request) -> Response:
        """POST /v1/responses."""
        body = await _body(request)
        call = self._call(body, _prompt(body, "instructions", "input"), _cap(body.get("max_output_tokens")))
        return await self._answer(body, call, openai.response, openai.response_events, named=True)

    async def messages(self, request: Request) -> Response:
        """POST /v1/messages."""
        body = await _body(request)
        call = self._call(body, _prompt(body, "system", "messages"), _cap(body.get("max_tokens")))
        return await self._answer(body, call, anthropic.message, anthropic.message_events, named=True)

    async def embeddings(self, request: Request) -> Response:
        """POST /v1/embeddings."""
        body = await _body(request)
        return JSONResponse(openai.embeddings(_model(body), body.get("input", "")))

    def _call(self, body: Event, prompt: str, cap: int | None, *, usage_wanted: bool = False) -> Call:
        model = _model(body)
        number = hashlib.sha256(f"{next(self._served)} {prompt}".encode("utf-8", "replace")).hexdigest()[:24]
        return Call(number, model, answer(model, prompt, cap), usage_wanted)

    async def _answer(
        self, body: Event, call: Call, whole: Whole, streamed: Streamed, *, named: bool = False, end: bytes = b""
    ) -> Response:
        if body.get("stream") is True:
            return StreamingResponse(_lines(streamed(call, self._steps), end, named=named), media_type="text/event-stream")
        async for _ in self._steps(call.reply):
            pass
        return JSONResponse(whole(call))

    async def _steps(self, reply: Reply) -> AsyncIterator[str]:
        for piece in reply.pieces:
            await asyncio.sleep(self._pace)
            yield piece


async def _lines(events: AsyncIterator[Event], end: bytes, *, named: bool) -> AsyncIterator[bytes]:
    """Server-sent events; `named` ones say their type in an `event` line too."""
    async for event in events:
        name = f"event: {event['type']}\n" if named else ""
        yield f"{name}data: {json.dumps(event, separators=(',', ':'))}\n\n".encode()
    if end:
        yield end


async def _body(request: Request) -> Event:
    try:
        body = await request.json()
    except (JSONDecodeError, UnicodeDecodeError):
        body = None
    if not isinstance(body, dict):
        raise HTTPException(400, "The request body is not a JSON object.")
    return body


def _model(body: Event) -> str:
    model = body.get("model")
    if not isinstance(model, str) or model not in MODELS:
        raise HTTPException(404, f"There is no such model. There are {' and '.join(MODELS)}.")
    return model


def _prompt(body: Event, *keys: str) -> str:
    return "\n".join(text for key in keys for text in texts(body.get(key)))


def _cap(*given: Any) -> int | None:
    """The cap that counts: the first that is one."""
    return next((cap for cap in given if type(cap) is int and cap > 0), None)


def _failed(request: Request, error: Exception) -> Response:
    """An error as the path's clients expect it."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for these
    kinds = {400: "invalid_request_error", 404: "not_found_error"}
    kind = kinds.get(error.status_code, "invalid_request_error")
    if request.url.path.startswith("/v1/messages"):
        return JSONResponse(anthropic.error(kind, error.detail), error.status_code)
    body = {"error": {"message": error.detail, "type": kind, "param": None, "code": None}}
    return JSONResponse(body, error.status_code)
