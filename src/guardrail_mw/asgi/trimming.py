"""Trimming at the edge: the only change ever made to a body. Answers are never touched."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from guardrail_mw.asgi.body import Unread
from guardrail_mw.asgi.inspect import NOT_TEXT, parse, refuse_encoded, should_offload
from guardrail_mw.errors import TokenError
from guardrail_mw.friction.trim import Trimmed

if TYPE_CHECKING:
    from guardrail_mw.asgi.body import BodyReader
    from guardrail_mw.asgi.types import Scope
    from guardrail_mw.friction.trim import Trimmer
    from guardrail_mw.values import Headers

__all__ = ["rewritten", "trim"]

_NOTHING = Trimmed(None)
_OF_THE_BODY = frozenset(
    {b"content-length", b"transfer-encoding", b"content-digest", b"repr-digest", b"digest", b"content-md5"}
)
"""RFC 9110 8.6, RFC 9112 6.1, and the digests of RFC 9530 with their elders."""


async def trim(reader: BodyReader, trimmer: Trimmer, headers: Headers, path: str) -> tuple[Trimmed, bytes]:
    """What becomes of a request, and the body that goes to the app instead, where it goes on changed.

    What does not begin as a JSON object does goes on as it came. What does, and could be read in two ways, must not: an app may
    find in it what we did not.

    Raises:
        TokenError: it cannot be read: 413, 415 or 400 as where bodies are read for tokens; 503 where there is no room for it.
    """
    refuse_encoded(headers)
    body = await reader.whole()
    if body is Unread.OVER_BUDGET:
        raise TokenError("The server is at capacity.", "no room for the body", status=503, code="overloaded")
    if isinstance(body, Unread) or body.lstrip(NOT_TEXT)[:1] != b"{":
        return _NOTHING, b""
    if should_offload(len(body)):
        return await asyncio.to_thread(_trim, body, trimmer, path)
    return _trim(body, trimmer, path)


def _trim(body: bytes, trimmer: Trimmer, path: str) -> tuple[Trimmed, bytes]:
    found = trimmer.trim(parse(body), path)
    if found.body is None:
        return found, b""
    try:
        text = json.dumps(found.body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError as error:  # 1e999, which is infinite once it is read, and which no JSON could say again
        detail = "a number beyond what can be written again"
        raise TokenError("The request body is not JSON.", detail, status=400, code="invalid_json") from error
    return found, text.encode()


def rewritten(scope: Scope, size: int) -> Scope:
    """The request with a body of another `size`: its length is told anew, and whatever vouched for the old one is gone."""
    headers = [(name, value) for name, value in scope["headers"] if name not in _OF_THE_BODY]
    return {**scope, "headers": [*headers, (b"content-length", b"%d" % size)]}
