"""An app to stand behind a policy in tests: answers as a model server does, and remembers what reached it."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

__all__ = ["Reached", "Upstream"]


class Reached(NamedTuple):
    """What came through to the app."""

    method: str
    path: str
    headers: dict[str, str]
    """By lower-case name; of one that stands there twice, the last."""
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


class Upstream:
    """Answers chat completions, messages, embeddings and, with an empty object, everything else.

    All of these may be changed between calls:

    Args:
        status: of its answers; one from 400 on is an error's.
        used: the tokens that it says it used, of input and of output.
        fails: what it raises in place of an answer.
    """

    def __init__(self, *, status: int = 200, used: tuple[int, int] = (10, 20), fails: Exception | None = None) -> None:
        self.status = status
        self.used = used
        self.fails = fails
        self.reached: list[Reached] = []
        """The oldest first."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request; anything else that a server says passes by."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.reached.append(Reached(scope["method"], scope["path"], headers, await _whole(receive)))
        await asyncio.sleep(0)  # so that calls made together meet
        if self.fails is not None:
            raise self.fails
        kind, *pieces = self._answer(self.reached[-1])
        start = {"type": "http.response.start", "status": self.status, "headers": [(b"content-type", kind)]}
        await send(start)
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _answer(self, reached: Reached) -> list[bytes]:
        """The content type, then the pieces of the body."""
        asked = _read(reached.body)
        last = reached.path.rstrip("/").rpartition("/")[2]
        shape = {"completions": self._completion, "messages": self._message, "embeddings": self._embeddings}.get(last)
        if self.status >= 400:  # noqa: PLR2004 - where errors begin
            return [b"application/json", b'{"error":{"message":"as the test wants it","type":"error"}}']
        if shape is None:
            return [b"application/json", b"{}"]
        if asked.get("stream") is True and last != "embeddings":
            events = self._chunks(asked) if last == "completions" else self._events(asked)
            return [b"text/event-stream", *events]
        return [b"application/json", json.dumps(shape(asked)).encode()]

    def _completion(self, asked: dict[str, Any]) -> Any:
        choice = {"index": 0, "message": {"role": "assistant", "content": "A heron."}, "finish_reason": "stop"}
        choices = [{**choice, "index": number} for number in range(asked.get("n") or 1)]
        known = {"id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": asked.get("model")}
        return {**known, "choices": choices, "usage": self._usage()}

    def _message(self, asked: dict[str, Any]) -> Any:
        content = [{"type": "text", "text": "A heron."}]
        known = {"id": "msg_1", "type": "message", "role": "assistant", "model": asked.get("model")}
        used = {"input_tokens": self.used[0], "output_tokens": self.used[1]}
        return {**known, "content": content, "stop_reason": "end_turn", "stop_sequence": None, "usage": used}

    def _embeddings(self, asked: dict[str, Any]) -> Any:
        texts = asked.get("input")
        count = len(texts) if isinstance(texts, list) else 1
        data = [{"object": "embedding", "index": number, "embedding": [0.5, -0.5]} for number in range(count)]
        used = {"prompt_tokens": self.used[0], "total_tokens": self.used[0]}
        return {"object": "list", "data": data, "model": asked.get("model"), "usage": used}

    def _chunks(self, asked: dict[str, Any]) -> list[bytes]:
        known = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": asked.get("model")}
        deltas: list[Any] = [{"role": "assistant", "content": "A"}, {"content": " heron."}]
        chunks = [{**known, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        chunks.append({**known, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if (asked.get("stream_options") or {}).get("include_usage"):
            chunks.append({**known, "choices": [], "usage": self._usage()})
        return [*(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks), b"data: [DONE]\n\n"]

    def _events(self, asked: dict[str, Any]) -> list[bytes]:
        begun = {**self._message(asked), "content": [], "stop_reason": None}
        begun["usage"] = {"input_tokens": self.used[0], "output_tokens": 1}
        text = {"type": "text_delta", "text": "A heron."}
        stopped = {"stop_reason": "end_turn", "stop_sequence": None}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": begun},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": text},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": stopped, "usage": {"output_tokens": self.used[1]}},
            {"type": "message_stop"},
        ]
        return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]

    def _usage(self) -> Any:
        given, made = self.used
        return {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}


async def _whole(receive: Any) -> bytes:
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


def _read(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
