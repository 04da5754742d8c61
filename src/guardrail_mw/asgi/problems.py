"""Answers of the middleware's own endpoints: JSON, and RFC 9457 problem details, whatever the route: nobody's SDK calls here."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from guardrail_mw.asgi.respond import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["onward", "plain", "problem"]

Header = tuple[bytes, bytes]
_TITLES: Final = {413: "Content Too Large"}
"""As RFC 9110 calls what Python calls otherwise before 3.13."""


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
    title = _TITLES.get(status) or HTTPStatus(status).phrase
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}
    return _answer(status, b"application/problem+json", {**document, **(more or {})}, headers)


def onward(url: str, headers: Sequence[Header] = ()) -> Answer:
    """A redirect after a form. `url` must be safe to lead somebody to."""
    fields = [(b"location", url.encode()), (b"content-length", b"0"), (b"cache-control", b"no-store")]
    return Answer(303, [*fields, *headers], b"")


def _answer(status: int, kind: bytes, document: Mapping[str, Any], headers: Sequence[Header]) -> Answer:
    body = json.dumps(document, separators=(",", ":")).encode()
    fields = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    return Answer(status, [*fields, *headers], body)
