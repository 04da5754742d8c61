"""Reads a request's body once: which model, how much it is likely to use, and whether it may be trusted to mean one thing.

Whatever two parsers could read differently is refused (`TokenError`), so that what is charged is what the app will run:
doubled keys, encodings, constants that JSON does not have, figures that are no whole numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn, Protocol, TypeAlias

from guardrail_mw.asgi.body import BodyBudget, BodyReader, Unread
from guardrail_mw.asgi.prompt import Prompt, items_of, said
from guardrail_mw.errors import TokenError
from guardrail_mw.friction.trim import KEYS
from guardrail_mw.values import Content, Estimate

__all__ = [
    "CONTAINERS",
    "DEPTH",
    "INSPECTED",
    "LONGEST_MODEL",
    "MEMBERS",
    "MOST",
    "NOT_TEXT",
    "OFFLOAD",
    "BodyBudget",
    "BodyReader",
    "ReadContent",
    "Reserve",
    "Reserving",
    "Unread",
    "estimate",
    "inspect",
    "parse",
    "refuse_encoded",
    "should_offload",
]

DEPTH = 64
"""Levels of nesting that are read; deeper is refused."""
MOST = 1 << 40
"""The largest estimate: far above any burst (an estimate above it reserves the burst), far below 2^53."""
CONTAINERS = 1_000_000
"""Braces and brackets in a body. A list of tiny objects takes thirty times its length in memory once it is parsed; what a
model can read has far fewer. Those inside strings count too: that is cheap, and errs only for prompts that no model could
read.
"""
MEMBERS = 4_000_000
"""Commas and colons in a body, in strings too: a list of numbers or an object of tiny members takes ten times its length in
memory, and half a second that nothing else in the process gets."""
LONGEST_MODEL = 1024
"""Characters of a model's name. It is matched against every pattern of `models`, and kept as long as the answer takes."""
OFFLOAD = 65_536
"""Bytes above which parsing is better done off the loop: 2 ns a byte for text, but up to 70 for tiny objects."""

INSPECTED = frozenset({
    "best_of", "content", "data", "input", "instructions", "max_completion_tokens", "max_output_tokens", "max_tokens",
    "messages", "model", "n", "params", "prompt", "requests", "role", "source", "stream", "system", "text", "tools", "type",
}) | KEYS  # fmt: skip
"""Keys that decide something, here or in a later stage; one that stands twice in an object is refused."""

_CAPS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_NO_OUTPUT = (
    "/embeddings",
    "/moderations",
    "/rerank",
    "/score",
    "/classify",
    "/pooling",
    "/tokenize",
    "/detokenize",
    "/count_tokens",
)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
NOT_TEXT = b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n"
"""What may stand before a JSON object in some encoding."""


class Reserving(Protocol):
    """What is assumed before the answer is known: the policy's `reserve`. Both are tokens."""

    @property
    def output(self) -> int:
        """For an answer."""
        ...

    @property
    def media(self) -> int:
        """For an image, a sound or a file of a prompt."""
        ...


class Reserve(NamedTuple):
    """`Reserving` by itself."""

    output: int = 1024
    media: int = 1500


_RESERVE = Reserve()

ReadContent: TypeAlias = Callable[[str, str], Content | None]
"""Makes evidence of a system prompt and a user's message: `clusters.collecting.Collector.read`."""


def should_offload(length: int) -> bool:
    """Whether a body of so many bytes is better inspected in a thread."""
    return length > OFFLOAD


def refuse_encoded(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse a compressed body, before it is read.

    Raises:
        TokenError: 415; servers and apps disagree about who decodes it.
    """
    for name, value in headers:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise TokenError(
                "The request body is encoded; send it as it is.", repr(value[:64]), status=415, code="encoded_body"
            )


def inspect(
    headers: Iterable[tuple[bytes, bytes]],
    body: bytes,
    reserve: Reserving = _RESERVE,
    *,
    path: str = "",
    strict: bool = False,
    content: ReadContent | None = None,
) -> Estimate:
    """What a request will likely use, whatever its content type says.

    Apps read JSON whatever they are told (`Request.json()` of Starlette does, and guesses UTF-16 and 32 too), so only what
    cannot be an object passes uninspected: a body that declares another type than JSON (multipart audio) and does not begin
    with a brace, in any encoding. It reserves one media part.

    Raises:
        TokenError: see `estimate`; also 415 for an encoded body, 400 for two content types.
    """
    headers = list(headers)
    refuse_encoded(headers)
    types = [value for name, value in headers if name == b"content-type"]
    if len(types) > 1:
        raise TokenError("The request has more than one content type.", status=400, code="content_type_twice")
    declared = types[0].split(b";", 1)[0].strip().lower() if types else b"application/json"
    if declared != b"application/json" and not declared.endswith(b"+json") and body.lstrip(NOT_TEXT)[:1] != b"{":
        output = _output(path, reserve.output)
        return Estimate(input=reserve.media if body else 0, output=output, most=output)
    return estimate(body, reserve, path=path, strict=strict, content=content)


def estimate(
    body: bytes,
    reserve: Reserving = _RESERVE,
    *,
    path: str = "",
    strict: bool = False,
    content: ReadContent | None = None,
) -> Estimate:
    """What a JSON body will likely use.

    Args:
        body: the whole body, as it came. An empty one uses nothing.
        reserve: tokens assumed for the output and for each media part.
        path: the route's path; its end tells batches of requests, and endpoints that generate nothing.
        strict: reserve the largest cap that the client gave, not what is likely; without a cap, `reserve.output`.
        content: where what was said is evidence, what reads it; of a batch it reads the first request. Not asked where nothing
            is generated.

    Raises:
        TokenError: 400, with what is wrong in its code: `not_utf8`, `byte_order_mark`, `invalid_json`, `not_an_object`,
            `duplicate_key`, `too_deep`, `too_complex`, `lone_surrogate`, `invalid_parameter`.
    """
    if not body:
        return Estimate()
    document = parse(body)
    requests = document.get("requests")
    if type(requests) is list and path.rstrip("/").endswith("/batches"):
        batch = [each["params"] for each in requests if type(each) is dict and type(each.get("params")) is dict]
        if batch:
            found = _batch(batch, reserve, path, strict=strict)
            return found if content is None else found._replace(content=content(*said(batch[0])))
    if content is None or path.rstrip("/").endswith(_NO_OUTPUT):
        return _one(document, reserve, path, strict=strict)
    return _one(document, reserve, path, strict=strict, content=content(*said(document)))


def parse(body: bytes) -> dict[str, Any]:
    """A body's JSON object; raises as `estimate` does."""
    nested = _count(body)
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise _bad("byte_order_mark", "The request body begins with a byte order mark.")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise _bad("not_utf8", "The request body is not UTF-8.", str(error)) from error
    try:
        document = _DECODER.decode(text)
    except RecursionError as error:
        raise _bad("too_deep", "The request body is nested too deeply.") from error
    except ValueError as error:
        raise _bad("invalid_json", "The request body is not JSON.", str(error)) from error
    if type(document) is not dict:
        raise _bad("not_an_object", "The request body must be a JSON object.")
    if nested > DEPTH:
        _measure(document)
    if _SURROGATE.search(body):
        try:
            json.dumps(document, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise _bad("lone_surrogate", "The request body holds half of a surrogate pair.", str(error)) from error
    return document


def _count(body: bytes) -> int:
    """The body's braces and brackets, where it does not hold too much to be parsed."""
    nested = body.count(b"{") + body.count(b"[")
    if nested > CONTAINERS:
        raise _bad("too_complex", "The request body has too many objects and lists.", f"{nested}, at most {CONTAINERS}")
    members = body.count(b",") + body.count(b":")
    if members > MEMBERS:
        raise _bad("too_complex", "The request body has too many members.", f"{members}, at most {MEMBERS}")
    return nested


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        seen = set()
        for key, _ in pairs:
            if key in seen and key in INSPECTED:
                raise _bad("duplicate_key", "The request body has a key twice.", key)
            seen.add(key)
    return document


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def _measure(document: dict[str, Any]) -> None:
    """Refuse what is nested more than `DEPTH` deep; level by level, so that it needs no stack itself."""
    level: list[Any] = [document]
    for _ in range(DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return
    raise _bad("too_deep", "The request body is nested too deeply.", f"over {DEPTH} levels")


def _one(
    document: dict[str, Any], reserve: Reserving, path: str, *, strict: bool, content: Content | None = None
) -> Estimate:
    model = document.get("model")
    if model is None:
        model = ""
    elif type(model) is not str:
        raise _bad("invalid_parameter", "The parameter 'model' must be a string.", type(model).__name__)
    elif len(model) > LONGEST_MODEL:
        raise _bad("invalid_parameter", "The parameter 'model' is too long.", f"{len(model)}, at most {LONGEST_MODEL}")
    given = [cap for name in _CAPS if (cap := _whole(document, name)) is not None]
    most = max(given, default=reserve.output)
    output = most if strict else min(most, reserve.output)
    items = items_of(document)
    samples = max(1, _whole(document, "n") or 1, _whole(document, "best_of") or 1)
    prompt = Prompt()
    prompt.document(document)
    tokens = -(-prompt.characters // 4) + prompt.tokens + prompt.media * reserve.media
    return Estimate(
        model,
        min(MOST, tokens),
        min(MOST, _output(path, output) * samples * items),
        bool(document.get("stream")),
        items,
        min(MOST, _output(path, most) * samples * items),
        content,
    )


def _batch(requests: list[dict[str, Any]], reserve: Reserving, path: str, *, strict: bool) -> Estimate:
    """A batch of whole requests (Anthropic's `requests[].params`): their sum, under the first one's model if all agree."""
    each = [_one(request, reserve, path, strict=strict) for request in requests]
    models = {one.model for one in each}
    return Estimate(
        models.pop() if len(models) == 1 else "",
        min(MOST, sum(one.input for one in each)),
        min(MOST, sum(one.output for one in each)),
        stream=False,
        items=sum(one.items for one in each),
        most=min(MOST, sum(one.most for one in each)),
    )


def _whole(document: dict[str, Any], name: str) -> int | None:
    """A parameter that must be a whole number of at least 0; `5.0`, `"5"` and `true` are none, though some apps take them.

    Larger than `MOST` counts as `MOST`.
    """
    value = document.get(name)
    if value is None:
        return None
    if type(value) is not int or value < 0:
        raise _bad(
            "invalid_parameter", f"The parameter '{name}' must be a whole number of at least 0.", type(value).__name__
        )
    return min(value, MOST)


def _output(path: str, tokens: int) -> int:
    return 0 if path.rstrip("/").endswith(_NO_OUTPUT) else tokens


def _bad(code: str, public: str, detail: str = "") -> TokenError:
    return TokenError(public, detail, status=400, code=code)
