"""Anthropic's errors: `{"type": "error", "error": {"type", "message", "details"}}`.

Its SDK chooses the class by status (503 and 529 have their own) and takes `error_code` from `error.details`, which is where
our code and figures are; the whole body is the exception's text.
"""

from __future__ import annotations

from http import HTTPStatus

from guardrail_mw.asgi.dialects.base import extra, members, quote, sentence
from guardrail_mw.values import Deny

__all__ = ["ANTHROPIC", "OVERLOADED", "Anthropic"]

OVERLOADED = 529
"""What Anthropic answers when it sheds load."""

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    OVERLOADED: "overloaded_error",
}
_JSON = b"application/json"


class Anthropic:
    """The dialect `anthropic`."""

    __slots__ = ("name",)

    def __init__(self) -> None:
        self.name = "anthropic"

    def status(self, deny: Deny) -> int:
        """As decided, but 529 for load that is shed."""
        return OVERLOADED if deny.code == "overloaded" else deny.status

    def error(self, deny: Deny, now: int | None = None) -> tuple[bytes, bytes]:
        """See `Dialect.error`."""
        told = extra(deny, now)
        status = self.status(deny)
        kind = _TYPES.get(status) or ("invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "api_error")
        return _JSON, (
            f'{{"type":"error","error":{{"type":"{kind}","message":{quote(sentence(deny, told))},'
            f'"details":{{"error_code":{quote(deny.code)}{members(deny, told)}}}}}}}'
        ).encode()


ANTHROPIC = Anthropic()
"""The entry point."""
