"""Answers of model servers: what they say they used, whatever way they are cut, packed and padded.

Input: content type, path and borders on the first line, `text/event-stream /v1/x 3,70`, then the answer's body.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest.mock import patch

from guardrail_mw.asgi import sse, usage
from guardrail_mw.asgi.sse import HELD, Events, payload
from guardrail_mw.asgi.usage import Meter
from guardrail_mw.values import Estimate, Usage

from .base import Target, cut, head, within

ESTIMATE: Final = Estimate("m", 77, 555, True, 1, 555)
GREATEST: Final = 1_000_000_000
STREAM: Final = "text/event-stream"
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")


def check(data: bytes) -> None:
    """One answer, whole, in pieces, compressed, and hung up on."""
    line, body = head(data)
    kind, _, words = line.partition(" ")
    path, _, sizes = words.partition(" ")
    borders = [int(each[:5]) for each in sizes.split(",") if each.isascii() and each.isdecimal()]
    with within(3):
        whole = metered(kind, path, [body])
        bounded(whole, body)
        for pieces in (cut(body, borders), cut(body, [1]) if len(body) < 2000 else [body]):
            assert metered(kind, path, pieces) == whole, "cut another way it used another amount"
        assert metered(kind, path, cut(zlib.compress(body), borders), b"deflate") == whole or not body
        bounded(metered(kind, path, cut(body, borders)[:-1], ended=False), body)
        assert metered(kind, path, [body], status=500).output <= whole.output or not whole.complete
        with looking(block=0):
            assert metered(kind, path, cut(body, borders)) == whole, "looked at sooner it used another amount"
        if kind == STREAM:
            events(body, borders)
            streamed(whole, body)
        elif kind == "application/json":
            document(whole, body, path)
        with looking(block=32, held=256):
            passing(metered(kind, path, cut(body, borders)), body, kind, path)


@contextmanager
def looking(block: int, held: int = HELD) -> Iterator[None]:
    """As if so little were looked at together, and kept: what is long here is short there."""
    with patch.object(usage, "BLOCK", block), patch.object(usage, "HELD", held), patch.object(sse, "HELD", held):
        yield


def passing(found: Usage, body: bytes, kind: str, path: str) -> None:
    """What is too long to be kept is counted as it passes."""
    bounded(found, body)
    if kind == STREAM:
        streamed(found, body)
    elif kind == "application/json" and b"\\" not in body:
        answer = loads(body)
        told = plain((answer or {}).get("usage"))
        nested = any(
            isinstance((answer or {}).get(name), dict) and "usage" in (answer or {})[name]
            for name in ("response", "message")
        )
        if told is not None and not nested and "/audio/" not in path:
            assert (found.input, found.output) == told


def metered(
    kind: str, path: str, pieces: list[bytes], encoding: bytes = b"", *, status: int = 200, ended: bool = True
) -> Usage:
    """What a meter makes of it; asking twice changes nothing."""
    meter = Meter(ESTIMATE, path)
    headers = [(b"content-type", kind.encode("latin-1"))] if kind else []
    headers += [(b"content-encoding", encoding)] if encoding else []
    meter.start(status, headers)
    for piece in pieces:
        meter.body(piece, more=True)
    if ended:
        meter.body(b"", more=False)
    found = meter.usage()
    assert meter.usage() == found, "another amount when asked again"
    return found


def bounded(found: Usage, body: bytes) -> None:
    """No figure is negative, none is above what a server is believed, or what it can have written."""
    most = GREATEST + len(body) + ESTIMATE.output
    assert all(type(each) is int and 0 <= each <= most for each in found[:4]), found
    assert 0 <= found.images <= len(body)
    assert 0 <= found.seconds <= GREATEST


def split(body: bytes) -> list[list[bytes]]:
    """The events of a stream as HTML 9.2.6 has them: lists of lines; the last one, unfinished, included."""
    found: list[list[bytes]] = [[]]
    for line in _LINE_END.split(body.removeprefix(b"\xef\xbb\xbf")):
        if line:
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return [each for each in found if each]


def data(lines: list[bytes]) -> bytes:
    """The data of an event."""
    found = []
    for line in lines:
        name, _, value = line.partition(b":")
        if name == b"data":
            found.append(value.removeprefix(b" "))
    return b"\n".join(found)


def events(body: bytes, borders: list[int]) -> None:
    """However a stream is cut, its events are the standard's."""
    if len(body) > HELD:
        return
    expected = [text for each in split(body) if (text := data(each))]
    for pieces in ([body], cut(body, borders), cut(body, [1])):
        reader = Events()
        found = [event for piece in pieces for event in reader.feed(piece)] + reader.feed(b"", last=True)
        assert [text for text in map(payload, found) if text] == expected, "other events than the standard's"


def plain(reported: Any) -> tuple[int, int] | None:
    """Input and output where a usage object can be read in one way only."""
    if not isinstance(reported, dict) or set(reported) - {"prompt_tokens", "completion_tokens", "total_tokens"}:
        return None
    given, made = reported.get("prompt_tokens"), reported.get("completion_tokens")
    if type(given) is not int or type(made) is not int or not (0 <= given <= GREATEST and 0 <= made <= GREATEST):
        return None
    return given, made


def streamed(found: Usage, body: bytes) -> None:
    """A stream whose one usage stands in a chunk without choices costs what that says."""
    documents = []
    for each in split(body):
        text = data(each)
        if text == b"[DONE]":
            continue
        document = loads(text)
        if document is None:
            return
        documents.append(document)
    told = [each for each in documents if b"usage" in json.dumps(each).encode()]
    if len(told) != 1 or told[0].get("choices") != [] or {"response", "message", "type", "delta"} & told[0].keys():
        return
    reported = plain(told[0].get("usage"))
    if reported is not None:
        assert found[:4] == (reported[0], 0, 0, reported[1]), reported
        assert found.complete


def document(found: Usage, body: bytes, path: str) -> None:
    """A whole answer costs what its usage says, be it short or too long to be held."""
    answer = loads(body)
    if answer is None:
        return
    reported = plain(answer.get("usage"))
    if reported is None or "/audio/" in path:
        return
    assert (found.input, found.output, found.complete) == (*reported, True), reported
    inner = any(isinstance(answer.get(name), dict) and "usage" in answer[name] for name in ("response", "message"))
    if not inner and b"\\" not in body and zlib.crc32(body) % 8 == 0:  # one in eight: it takes a hundred times as long
        padded = json.dumps({**answer, "padding": "x" * HELD}).encode()
        for pieces in ([padded], cut(padded, [9999])):
            long = metered("application/json", path, pieces)
            assert (long.input, long.output) == reported, "longer it used another amount"


def loads(text: bytes) -> dict[str, Any] | None:
    """A JSON object whose names all differ, or None."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("doubled")
        return dict(pairs)

    try:
        value = json.loads(text.decode(), object_pairs_hook=once)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def streams() -> Iterator[tuple[str, list[dict[str, Any] | str]]]:
    """Streams as servers send them."""
    used = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
    deltas: list[dict[str, Any] | str] = [
        {"id": "c", "choices": [{"index": 0, "delta": {"content": each}, "finish_reason": None}]}
        for each in ("Hel", "lo ", "you", "é")
    ]
    stop: dict[str, Any] = {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    chat = "/v1/chat/completions"
    yield chat, [*deltas, stop, {"choices": [], "usage": used}, "[DONE]"]
    yield chat, [*deltas, {**stop, "usage": used}, "[DONE]"]
    yield chat, [*({**each, "usage": None} for each in deltas if isinstance(each, dict)), {**stop, "usage": used}]
    yield chat, [*deltas, stop]
    begun = {"input_tokens": 9, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2, "output_tokens": 1}
    yield (
        "/v1/messages",
        [
            {"type": "message_start", "message": {"usage": begun}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"a"'}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 6}},
            {"type": "message_stop"},
        ],
    )
    details = {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 3}, "output_tokens": 4}
    yield (
        "/v1/responses",
        [
            {"type": "response.created", "response": {"usage": None}},
            {"type": "response.output_text.delta", "delta": "Hel"},
            {
                "type": "response.completed",
                "response": {"tools": [{"parameters": {"usage": {"prompt_tokens": 5}}}], "usage": details},
            },
        ],
    )
    yield (
        "/v1/images/generations",
        [{"type": "image_generation.completed", "usage": {"input_tokens": 5, "output_tokens": 90}}],
    )


def seeds() -> Iterator[bytes]:
    """Streams with every line end, documents, and what is neither."""
    for path, each in streams():
        texts = [one if isinstance(one, str) else json.dumps(one) for one in each]
        for end in ("\n", "\r\n", "\r"):
            whole = "".join(f"data: {text}{end}{end}" for text in texts)
            yield f"{STREAM} {path} 3,70\n{whole}".encode()
        named = "".join(f"event: x\ndata:{text}\n: ping\n\n" for text in texts)
        yield f"{STREAM} {path} 1\n\ufeff{named[:-2]}".encode()
        yield f" {path} 40\ndata: {texts[0]}\n\ndata: {texts[-1]}".encode()
    choice = {"index": 0, "message": {"role": "assistant", "content": "A heron."}, "finish_reason": "stop"}
    used = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
    for path, answer in (
        ("/v1/chat/completions", {"id": "x", "choices": [choice], "usage": used}),
        ("/v1/chat/completions", {"choices": [choice, choice]}),
        ("/v1/messages", {"content": [{"type": "text", "text": "A"}, {"type": "tool_use", "input": {"a": 1}}],
                          "usage": {"input_tokens": 5, "output_tokens": 3}}),
        ("/v1/embeddings", {"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 8, "total_tokens": 8}}),
        ("/v1/images/generations", {"data": [{"b64_json": "AA"}, {"url": "x"}]}),
        ("/v1/audio/transcriptions", {"text": "hi", "usage": {"type": "duration", "seconds": 12}}),
        ("/v1/audio/transcriptions", {"task": "transcribe", "language": "en", "duration": "8.47", "text": "hi"}),
        ("/v1/responses", {"output": [{"content": [{"text": "a", "logprobs": []}]}],
                           "usage": {"input_tokens": 1, "output_tokens": 2}}),
        ("/x", {"usage": {"prompt_tokens": -1, "completion_tokens": 1e9, "total_tokens": None, "input_tokens": 10**10}}),
    ):  # fmt: skip
        yield f"application/json {path} 5\n{json.dumps(answer)}".encode()
        yield f"application/json; charset=utf-8 {path} 1,2,3\n{json.dumps(answer, indent=1)}".encode()
    for body in (
        b"",
        b"[1]",
        b"\x00",
        b'{"usage":{"prompt_tokens":1,"completion_tokens":2}',
        b'{"a":"\\',
        b"[" * 500,
        b'{"usage":' * 99,
    ):
        for kind in (b"application/json", STREAM.encode(), b"text/plain", b""):
            yield kind + b" /v1/chat/completions 2\n" + body


WORDS: Final = (
    b"data: ", b"data:", b"event: ", b"\r\n\r\n", b"\n\n", b"\r\r", b": ping", b"[DONE]", b'"usage":{',
    b'"prompt_tokens":', b'"choices":[]', b'"completion_tokens":', b'"input_tokens":', b'"output_tokens":',
    b'"cached_tokens":', b'"prompt_tokens_details":{', b'"delta":{', b'"content":"', b'"finish_reason":"stop"',
    b'"type":"message_delta"', b'"message":{"usage":{', b'"response":{"usage":{', b"null", b'"type":"response.completed"',
    b'"text":"', b"\xef\xbb\xbf", b"1000000000", b"1e3", b"\\u0022", b'\\"', b'"data":[{', b'"duration":', b'"seconds":',
    b"/images/", b"/audio/", b"text/event-stream ", b"application/json ",
)  # fmt: skip

TARGET: Final = Target("answer", check, seeds, WORDS, 6144)
