"""The request that `guardrail-mw try` is given: JSON with method, path, headers, body, client."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Any, Final, NamedTuple

from guardrail_mw.cli.output import Cannot
from guardrail_mw.errors import Problem

__all__ = ["Request", "parse"]

_KEYS: Final = ("method", "path", "headers", "body", "client")
_EXAMPLE: Final = '{"method": "POST", "path": "/v1/chat/completions", "headers": {"authorization": "Bearer …"}, "body": {…}}'


class Request(NamedTuple):
    """One http request."""

    method: str
    path: str
    """Decoded, without the query."""
    query: str
    headers: list[tuple[bytes, bytes]]
    """Names in lower case."""
    body: bytes
    client: str
    """The address that it comes from."""


def parse(text: str, source: str) -> Request:
    """Read a request; `source` is what problems call it.

    Raises:
        Cannot: it is not one; every problem at once.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise Cannot(f"{source}:{error.lineno}: is not JSON: {error.msg}. Write {_EXAMPLE}") from error
    if not isinstance(document, dict):
        raise Cannot(f"{source}: is not an object. Write {_EXAMPLE}")
    problems = list(_problems(document))
    if problems:
        raise Cannot("\n".join(str(Problem(path, message, hint, source)) for path, message, hint in problems))
    body = _body(document.get("body"))
    path, _, query = document["path"].partition("?")
    headers = list(_headers(document.get("headers", {})))
    names = {name for name, _ in headers}
    if body and b"content-type" not in names and not isinstance(document["body"], str):
        headers.append((b"content-type", b"application/json"))
    if body and b"content-length" not in names:
        headers.append((b"content-length", b"%d" % len(body)))
    method = document.get("method", "POST" if body else "GET")
    return Request(method, path, query, headers, body, document.get("client", "203.0.113.1"))


def _problems(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for key in document:
        if key not in _KEYS:
            near = get_close_matches(key, _KEYS, n=1)
            yield key, "is not a known key.", f"Did you mean `{near[0]}`?" if near else f"Known here: {', '.join(_KEYS)}."
    path = document.get("path")
    if not isinstance(path, str) or not path.startswith("/"):
        what = "is missing." if path is None else "does not begin with `/`."
        yield "path", what, "Write the path alone, such as /v1/chat/completions."
    method = document.get("method", "GET")
    if not (isinstance(method, str) and method.isascii() and method.isalpha() and method.isupper()):
        yield "method", "is not an HTTP method in capitals.", "Write GET, POST and so on."
    yield from _header_problems(document.get("headers", {}))
    client = document.get("client", "203.0.113.1")
    try:
        ip_address(client if isinstance(client, str) else "")
    except ValueError:
        yield "client", "is not an address.", "Write one, such as 203.0.113.1."


def _header_problems(headers: Any) -> Iterator[tuple[str, str, str]]:
    pairs = list(headers.items()) if isinstance(headers, dict) else headers
    pairs_wanted = "Write {name: value}, or [[name, value], …] where one stands twice."
    if not isinstance(pairs, list) or not all(isinstance(each, (list, tuple)) and len(each) == 2 for each in pairs):  # noqa: PLR2004
        yield "headers", "is neither a map nor a list of pairs.", pairs_wanted
        return
    for name, value in pairs:
        if not (isinstance(name, str) and isinstance(value, str)):
            yield f"headers.{name}", "is not a text.", "Put it in quotes."
        elif not name.isascii() or not value.isprintable():
            yield f"headers.{name}", "holds a character that no header may.", ""


def _headers(headers: Any) -> Iterator[tuple[bytes, bytes]]:
    for name, value in headers.items() if isinstance(headers, dict) else headers:
        yield name.lower().encode(), value.encode("latin-1", "replace")


def _body(body: Any) -> bytes:
    if body is None:
        return b""
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()
