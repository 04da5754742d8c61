"""Answers of the middleware's own endpoints: JSON, and RFC 9457 problem details, whatever the route: nobody's SDK calls here."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from guardrail_mw.asgi.respond import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["onward", "plain", "problem"]

Header = tuple[bytes, bytes]


def plain(status: int, document: Mapping[str, Any], headers: Sequence[Header] = ()) -> Answer:
    """JSON."""
    return _answer(status, b"application/json", document, headers)


def problem(
    status: int, code: str, detail: str, *, more: Mapping[str, Any] | None = None, headers: Sequence[Header] = ()
) -> Answer:
    """Problem details.

    Args:
        status: of the answer.
        code: for programs.
        detail: for people, in constant words.
        more: members besides.
        headers: likewise.
    """
    document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, "code": code}
    return _answer(status, b"application/problem+json", {**document, **(more or {})}, headers)


def onward(url: str) -> Answer:
    """A redirect after a form. `url` must be safe to lead somebody to."""
    return Answer(303, [(b"location", url.encode()), (b"content-length", b"0"), (b"cache-control", b"no-store")], b"")


def _answer(status: int, kind: bytes, document: Mapping[str, Any], headers: Sequence[Header]) -> Answer:
    body = json.dumps(document, separators=(",", ":")).encode()
    fields = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    return Answer(status, [*fields, *headers], body)
