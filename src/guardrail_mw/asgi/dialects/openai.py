"""OpenAI's errors: `{"error": {"message", "type", "param", "code", …}}`.

Its SDK shows `error.message` as the exception's text, takes `code`, `param` and `type` from `error`, and chooses the class
by status; 413 and 415 come out as `APIStatusError`.
"""

from __future__ import annotations

from http import HTTPStatus

from guardrail_mw.asgi.dialects.base import extra, members, quote, sentence
from guardrail_mw.values import Deny

__all__ = ["OPENAI", "OpenAI"]

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error", 503: "service_unavailable_error"}
_JSON = b"application/json"


class OpenAI:
    """The dialect `openai`."""

    __slots__ = ("name",)

    def __init__(self) -> None:
        self.name = "openai"

    def status(self, deny: Deny) -> int:
        """As decided."""
        return deny.status

    def error(self, deny: Deny, now: int | None = None) -> tuple[bytes, bytes]:
        """See `Dialect.error`.

        A refusal by a limit has OpenAI's own codes, which its clients look for: `rate_limit_exceeded`, and
        `insufficient_quota` where a budget is spent; everything else has ours.
        """
        told = extra(deny, now)
        client = deny.status < HTTPStatus.INTERNAL_SERVER_ERROR
        kind = _TYPES.get(deny.status) or ("invalid_request_error" if client else "server_error")
        code = deny.code
        if code == "rate_limited":
            spent = deny.refusal is not None and deny.refusal.kind == "budget"
            code = "insufficient_quota" if spent else "rate_limit_exceeded"
            kind = code if spent else kind
        return _JSON, (
            f'{{"error":{{"message":{quote(sentence(deny, told))},"type":"{kind}","param":null,"code":{quote(code)}'
            f"{members(deny, told)}}}}}"
        ).encode()


OPENAI = OpenAI()
"""The entry point."""
