"""What a request to the operator's port says: its query and its body, read and checked."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final

from guardrail_mw.console.problems import ProblemError

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["LONG", "LONGEST", "body_of", "known", "misuse", "number"]

LONGEST: Final = 16_384
"""Bytes of a request's body."""
LONG: Final = 1_048_576
"""Bytes of one that lists accounts."""


def misuse(argument: str, text: str) -> ProblemError:
    """What to answer where an argument cannot be."""
    return ProblemError(422, "misuse", f"`{argument}` {text}", argument=argument)


def number(request: Request, name: str, usual: int, most: int, least: int = 1) -> int:
    """A whole number of the query."""
    text = request.query_params.get(name)
    if text is None:
        return usual
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most):
        raise misuse(name, f"is not a whole number from {least} to {most}.")
    return int(text)


def known(given: dict[str, Any], names: set[str], required: Collection[str] = ()) -> dict[str, Any]:
    """What was given, if all of it is known and what is required is there."""
    for name in given:
        if name not in names:
            *others, last = sorted(names)
            raise misuse(name, f"is not known here. There are {', '.join(others)} and {last}.")
    for name in sorted(required):
        if name not in given:
            raise misuse(name, "is missing.")
    return given


async def body_of(request: Request, most: int = LONGEST) -> dict[str, Any]:
    """The request's body: an object in JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ProblemError(415, "not_json", "Send the body as application/json.")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise ProblemError(413, "too_long", f"A body has {most} bytes at most.")
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProblemError(400, "invalid_json", "The body is no JSON.") from error
    if not isinstance(given, dict):
        raise ProblemError(422, "misuse", "The body is no JSON object.")
    return given
