"""RFC 9457 problem details, with the problem types of draft-ietf-httpapi-ratelimit-headers where a limit refused."""

from __future__ import annotations

from http import HTTPStatus

from guardrail_mw.asgi.dialects.base import extra, members, quote, sentence
from guardrail_mw.values import Deny

__all__ = ["PROBLEM", "Problem"]

_IANA = "https://iana.org/assignments/http-problem-types#"
_TYPES = {"rate_limited": _IANA + "quota-exceeded", "overloaded": _IANA + "temporary-reduced-capacity"}
_TITLES = {"rate_limited": "Quota exceeded", "overloaded": "Temporarily reduced capacity"}
_JSON = b"application/problem+json"


class Problem:
    """The dialect `problem`."""

    __slots__ = ("name",)

    def __init__(self) -> None:
        self.name = "problem"

    def status(self, deny: Deny) -> int:
        """As decided."""
        return deny.status

    def error(self, deny: Deny, now: int | None = None) -> tuple[bytes, bytes]:
        """See `Dialect.error`. Without a type of its own a problem is `about:blank`, titled as its status."""
        told = extra(deny, now)
        title = _TITLES.get(deny.code) or _phrase(deny.status)
        violated = f',"violated-policies":[{quote(told.limit)}]' if told.limit else ""
        return _JSON, (
            f'{{"type":"{_TYPES.get(deny.code, "about:blank")}","title":"{title}","status":{deny.status},'
            f'"detail":{quote(sentence(deny, told))},"code":{quote(deny.code)}{violated}{members(deny, told)}}}'
        ).encode()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


PROBLEM = Problem()
"""The entry point."""
