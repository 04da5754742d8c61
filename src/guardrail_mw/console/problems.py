"""What goes wrong, as RFC 9457 has it: constant text, a code to branch on, and nothing of the inside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

__all__ = ["ProblemError", "answer", "problem"]


class ProblemError(Exception):
    """Ends a request with a problem.

    Args:
        status: of the answer.
        code: for programs.
        detail: for people.
        more: further members.
    """

    def __init__(self, status: int, code: str, detail: str, **more: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.more = more

    def response(self) -> Response:
        """The answer."""
        return problem(self.status, self.code, self.detail, None, **self.more)


def problem(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None, **more: str) -> Response:
    """An answer with `type`, `title`, `status`, `detail`, `code` and what more there is to say."""
    title = HTTPStatus(status).phrase
    members = {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code, **more}
    return Response(_encoded(members), status, headers, "application/problem+json")


def answer(content: Any) -> Response:
    """An answer in JSON. Escaped beyond ASCII: an event may hold what UTF-8 cannot, half a surrogate pair for instance."""
    return Response(_encoded(content), media_type="application/json")


def _encoded(content: Any) -> bytes:
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")
