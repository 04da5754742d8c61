"""Requests' bodies: what is read of them is what `json.loads` reads, and what a second parser, written in Rust, reads too.

Input: the path and the content type on the first line, then the body.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from pydantic_core import from_json

from guardrail_mw.asgi.body import OVERHEAD, BodyBudget, BodyReader
from guardrail_mw.asgi.inspect import Reserve, inspect
from guardrail_mw.errors import TokenError
from guardrail_mw.values import Estimate

from .base import Target, cut, driven, head, said, within

RESERVE: Final = Reserve(output=1024, media=1500)
MOST: Final = 2**40
CAPS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")
ONCE: Final = frozenset(
    {*CAPS, "model", "n", "best_of", "stream", "messages", "prompt", "input", "requests", "params", "role"}
)
"""Keys that decide what is charged: whatever else may stand twice, these may not."""
SILENT: Final = (
    "/embeddings", "/moderations", "/rerank", "/score", "/classify", "/pooling", "/tokenize", "/detokenize", "/count_tokens",
)  # fmt: skip


class TwiceError(ValueError):
    """A key that decides something stands twice."""


def check(data: bytes) -> None:
    """One body, and the same in pieces."""
    line, body = head(data)
    path, _, kind = line.partition(" ")
    headers = [(b"content-type", kind.encode("latin-1"))] if kind else []
    with within(2):
        try:
            found: Estimate | str = inspect(headers, body, RESERVE, path=path)
        except TokenError as error:
            found = said(error)
        expected = meant(body, path)
        if isinstance(found, Estimate):
            accepted(found, expected, body, path, kind)
        elif found == "duplicate_key":
            assert doubled(body), "no key stands twice"
        else:
            assert isinstance(expected, str), f"refused ({found}) what is plain: {expected}"
        if body:
            pieces(body, zlib.crc32(body))


def accepted(found: Estimate, expected: Estimate | str, body: bytes, path: str, kind: str) -> None:
    """What was read is what there is to read."""
    bounded(found)
    if isinstance(expected, Estimate):
        assert found == expected or (kind and not body), f"read {found}, there is {expected}"
        other = from_json(body, allow_inf_nan=False) if body else {}
        assert isinstance(other, dict)
        assert (other.get("model") or "") == found.model or "requests" in other, "another parser reads another model"
        for name in (*CAPS, "n", "stream"):
            assert other.get(name) == json.loads(body or b"{}").get(name), f"another parser reads another {name}"
    else:
        assert kind, "read what could be read in two ways"
        assert not guessed(body), "passed an object over"
        assert found == _flat(body, path)


def guessed(body: bytes) -> bool:
    """Whether Starlette's `Request.json()` finds an object, whatever it was told: it guesses the encoding, too."""
    with suppress(ValueError, RecursionError):
        return isinstance(json.loads(body), dict)
    return False


def _flat(body: bytes, path: str) -> Estimate:
    """What something that is no JSON is taken for."""
    output = 0 if path.rstrip("/").endswith(SILENT) else RESERVE.output
    return Estimate(input=RESERVE.media if body else 0, output=output, most=output)


def bounded(found: Estimate) -> None:
    """Figures below 2^53, a name that can be kept."""
    assert len(found.model) <= 1024
    assert all(0 <= each <= MOST for each in (found.input, found.output, found.most))
    assert found.output <= found.most or found.output == 0 or found.most == MOST
    assert 1 <= found.items <= 4_000_000


def meant(body: bytes, path: str) -> Estimate | str:
    """What a body says, or why it cannot be said."""
    if not body:
        return Estimate()
    document = plain(body)
    if isinstance(document, str):
        return document
    requests = document.get("requests")
    if path.rstrip("/").endswith("/batches") and isinstance(requests, list):
        batch = [each["params"] for each in requests if isinstance(each, dict) and isinstance(each.get("params"), dict)]
        if batch:
            return _sum([one(each, path) for each in batch])
    return one(document, path)


def plain(body: bytes) -> dict[str, Any] | str:
    """A body's object, or why there is none that everybody reads alike."""
    try:
        document = json.loads(body.decode(), object_pairs_hook=_pairs, parse_constant=_constant)
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        return type(error).__name__
    if type(document) is not dict:
        return "no object"
    return document if depth(document) <= 64 else "too deep"


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if any(names.count(name) > 1 for name in {"type", "content", "text", "tools", "system", "source", "data"} | ONCE):
        raise TwiceError
    return dict(pairs)


def doubled(body: bytes) -> bool:
    """Whether some key stands twice in some object."""
    found: list[bool] = []

    def pairs(pairs: list[tuple[str, Any]]) -> None:
        found.append(len({name for name, _ in pairs}) != len(pairs))

    with suppress(ValueError, RecursionError):
        json.loads(body, object_pairs_hook=pairs)
    return any(found)


def _constant(name: str) -> None:
    raise ValueError(name)


def depth(value: Any) -> int:
    """Levels of objects and lists."""
    level, count = [value], 0
    while level:
        level = [each for each in level if isinstance(each, dict | list)]
        count += bool(level)
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return count


def one(document: dict[str, Any], path: str) -> Estimate | str:
    """What one request says."""
    model = document.get("model")
    if model is not None and (not isinstance(model, str) or len(model) > 1024):
        return "its model"
    figures: dict[str, int] = {}
    for name in (*CAPS, "n", "best_of"):
        value = document.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            return f"its {name}"
        figures[name] = min(value, MOST)
    caps = [figures[name] for name in CAPS if name in figures]
    silent = path.rstrip("/").endswith(SILENT)
    most = 0 if silent else max(caps) if caps else RESERVE.output
    items = next((len(document[name]) for name in ("prompt", "input") if _several(document.get(name))), 1)
    times = max(1, figures.get("n", 1), figures.get("best_of", 1)) * items
    output = min(most, RESERVE.output)
    tokens = min(MOST, spoken(document))
    return Estimate(
        model or "", tokens, min(MOST, output * times), bool(document.get("stream")), items, min(MOST, most * times)
    )


def _several(value: object) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(isinstance(each, str | list) for each in value)


_PROMPTS: Final = (
    "messages", "system", "prompt", "input", "instructions", "suffix", "prediction", "documents", "query", "texts",
    "text_1", "text_2",
)  # fmt: skip
_SCHEMAS: Final = ("tools", "functions", "response_format", "text")
_MEDIA: Final = frozenset({
    "image", "image_url", "input_image", "image_embeds", "computer_screenshot", "audio", "audio_url", "input_audio", "video",
    "video_url", "input_video", "file", "input_file", "document", "container_upload",
})  # fmt: skip
_LABELS: Final = frozenset({
    "role", "type", "id", "tool_call_id", "tool_use_id", "call_id", "cache_control", "status", "detail", "media_type",
    "format", "signature", "encrypted_content",
})  # fmt: skip


def spoken(document: dict[str, Any]) -> int:
    """Tokens of a prompt: its characters / 4, its numbers, its media; said once more, by recursion."""
    totals = [prompt(document[name]) for name in _PROMPTS if name in document]
    characters = sum(each[0] for each in totals) + sum(schema(document[name]) for name in _SCHEMAS if name in document)
    return -(-characters // 4) + sum(each[1] for each in totals) + RESERVE.media * sum(each[2] for each in totals)


def prompt(value: Any) -> tuple[int, int, int]:
    """Characters, numbers and media of what people and models say."""
    if isinstance(value, str):
        return len(value), 0, 0
    if isinstance(value, int) and not isinstance(value, bool):
        return 0, 1, 0
    parts: list[Any] = list(value) if isinstance(value, list) else []
    characters = media = 0
    if isinstance(value, dict):
        kind, source = value.get("type"), value.get("source")
        if isinstance(kind, str) and kind in _MEDIA:
            if not isinstance(source, dict) or source.get("type") not in ["text", "content"]:
                return 0, 0, 1
            parts = [source.get("data"), source.get("content"), value.get("title"), value.get("context")]
        else:
            attached = value.keys() & {"image_url", "input_audio", "audio_url", "video_url"}
            media = bool(attached)
            parts = [item for key, item in value.items() if key not in _LABELS | attached and type(item) is not int]
            long = [item for key, item in value.items() if key in _LABELS - {"signature", "encrypted_content"} - attached]
            characters = sum(len(item) for item in long if isinstance(item, str) and len(item) > 64)
    found = [prompt(part) for part in parts]
    sums = [sum(each[place] for each in found) for place in range(3)]
    return sums[0] + characters, sums[1], sums[2] + media


def schema(value: Any) -> int:
    """Characters of what is written out whole, names included."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(schema, value))
    return sum(len(key) + schema(item) for key, item in value.items()) if isinstance(value, dict) else 0


def _sum(each: list[Estimate | str]) -> Estimate | str:
    bad = next((one for one in each if isinstance(one, str)), None)
    if bad is not None:
        return bad
    good = [one for one in each if isinstance(one, Estimate)]
    models = {one.model for one in good}
    model = models.pop() if len(models) == 1 else ""
    tokens, output, most = (min(MOST, sum(getattr(one, name) for one in good)) for name in ("input", "output", "most"))
    return Estimate(model, tokens, output, stream=False, items=sum(one.items for one in good), most=most)


def pieces(body: bytes, seed: int) -> None:
    """A body in pieces is the same body, the app gets every piece, and the budget is whole again."""
    sent = cut(body, [1 + (seed >> shift) % 97 for shift in (0, 7, 14)])[:64]
    messages: list[Any] = [
        {"type": "http.request", "body": each, "more_body": index + 1 < len(sent)} for index, each in enumerate(sent)
    ]
    whole, waiting = b"".join(sent), list(messages)
    budget = BodyBudget(len(whole) + OVERHEAD * len(sent))

    async def receive() -> Any:
        return waiting.pop(0)

    reader = BodyReader(receive, max(1, len(whole) - (seed & 1)), budget)
    passed: list[Any] = []
    fits = True
    try:
        assert driven(reader.read()) == whole
        assert budget.used == budget.limit
    except TokenError as error:
        said(error, "body_too_large")
        fits = bool(seed & 1) or not whole
    assert fits, "too large, and is not"
    while len(passed) < len(messages):
        passed.append(driven(reader.receive()))
    assert passed == messages
    reader.close()
    assert budget.used == 0


def documents() -> Iterator[tuple[str, Any]]:
    """Paths and documents of every shape that servers take; for trimming too."""
    talk = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello there"}]
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    cited = {"type": "document", "source": {"type": "text", "data": "a page"}, "title": "t", "context": "c"}
    tool = {
        "type": "function",
        "function": {"name": "look", "parameters": {"type": "object", "properties": {"usage": {"type": "string"}}}},
    }
    chat = "/v1/chat/completions"
    yield chat, {"model": "large-1", "messages": talk}
    yield (
        chat,
        {
            "model": "large-1",
            "messages": talk,
            "max_tokens": 500,
            "n": 3,
            "stream": True,
            "logprobs": True,
            "top_logprobs": 5,
        },
    )
    yield (
        chat,
        {"model": "m", "messages": [{"role": "user", "content": ["x", {"type": "text", "text": "hi"}, image, cited]}]},
    )
    yield (
        chat,
        {
            "messages": talk,
            "tools": [tool],
            "max_completion_tokens": 9999,
            "extra_body": {"n": 4, "include_reasoning": True},
        },
    )
    yield (
        chat,
        {"model": "m", "messages": [], "stream_options": {"include_usage": True}, "reasoning_effort": {"summary": "auto"}},
    )
    yield "/v1/completions", {"model": "m", "prompt": ["a", "b"], "best_of": 2, "logprobs": 0, "echo": True}
    yield "/v1/completions", {"model": "m", "prompt": [1, 2, 3], "max_tokens": 16}
    yield "/v1/responses", {"model": "m", "input": "hi", "reasoning": {"effort": "low", "summary": "auto"},
                            "max_output_tokens": 10,
                            "include": ["message.output_text.logprobs", "reasoning.encrypted_content"]}  # fmt: skip
    yield "/v1/messages", {"model": "m", "system": "s", "messages": talk, "max_tokens": 4096,
                           "thinking": {"type": "enabled", "budget_tokens": 2048},
                           "context_management": {"edits": [{"type": "clear_thinking_20251015"}, {"type": "x"}]}}  # fmt: skip
    yield "/v1/messages/batches", {"requests": [{"custom_id": "1", "params": {"model": "m", "messages": talk, "max_tokens": 9}},
                                                {"params": {"model": "n", "n": 2, "max_tokens": 7}}, {}, 5]}  # fmt: skip
    yield "/v1/embeddings", {"model": "e", "input": [[1, 2], [3]]}
    yield "/generate", {"text": "hi", "sampling_params": {"n": 2, "max_new_tokens": 99}, "return_logprob": True}
    yield "/generate", {"inputs": "hi", "parameters": {"best_of": 3, "max_new_tokens": 20}, "n_predict": -1}


BROKEN: Final = (
    b'{"model":"a","model":"b"}', b'{"max_tokens":1e3}', b'{"max_tokens":-1}', b'{"n":true}', b'{"model":5}',
    b'{"max_tokens":NaN}', b'{"x":1e999,"n":' + b"9" * 30 + b"}", b'{"model":"\\ud83d\\ude00","messages":"\\ud83d"}',
    b"\xef\xbb\xbf{}", b'{"a":"\xff"}', b"[1]", b"5", b"{", b'{"messages":' + b"[" * 70 + b"]" * 70 + b"}",
    b'{"a":' * 64 + b"{}" + b"}" * 64, b"{}x", b' {"model":"m"}\n', '{"model":"m"}'.encode("utf-16"),
    b'{"mod\\u0065l":"m","model":"x"}', b'{"\x00":1}', b'{"z":{"model":1,"model":2}}', b"-",
)  # fmt: skip
KINDS: Final = (
    "",
    " application/json",
    " application/x+json; charset=utf-16",
    " text/plain",
    " multipart/form-data; boundary=x",
)


def seeds() -> Iterator[bytes]:
    """Requests of every shape, and what could be read in two ways."""
    for path, document in documents():
        yield f"{path}\n{json.dumps(document)}".encode()
    for broken in BROKEN:
        for kind in KINDS[:2] if len(broken) > 60 else KINDS:
            yield f"/v1/chat/completions{kind}\n".encode() + broken
    yield b"/v1/files multipart/form-data\n--x\r\n\r\n{"
    yield b"/v1/chat/completions\n"


WORDS: Final = (
    b'"model":', b'"messages":[', b'"max_tokens":', b'"max_completion_tokens":', b'"max_output_tokens":', b'"n":',
    b'"best_of":', b'"stream":true', b'"prompt":[', b'"input":', b'"requests":[{"params":{', b'"type":"image_url"',
    b'"image_url":', b'"tools":[', b'"source":{"type":"text"', b'"content":', b'"role":"user"', b"null", b"true", b"NaN",
    b"1e3", b"-0", b"9007199254740993", b"\\ud83d", b"\\u0000", b"[[[[[[[[", b"]]]]]]]]", b'{"a":',
    b"/v1/messages/batches", b"/v1/embeddings", b"/v1/completions", b" application/json", b" text/plain", b"\xef\xbb\xbf",
)  # fmt: skip

TARGET: Final = Target("body", check, seeds, WORDS, 4096)
