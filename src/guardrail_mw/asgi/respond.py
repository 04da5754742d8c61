"""Refusals, as ASGI messages: one shape for http, two for websockets.

Retry rules: a limit that will admit the request within a minute says when, jittered upwards; later than that, and for
budgets, no time is given in the fields (it stands in the body) and `x-should-retry` is `false`, which both official SDKs
obey. They read `retry-after-ms` before `retry-after`; OpenAI's older versions ignore a wait of more than 60 s and
come back at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any, NamedTuple

from guardrail_mw.asgi.dialects.base import Dialect
from guardrail_mw.values import Deny

__all__ = [
    "LONGEST_WAIT",
    "POLICY_VIOLATION",
    "TRY_AGAIN_LATER",
    "Answer",
    "close_turn",
    "refusal",
    "send_answer",
    "send_refusal",
]

LONGEST_WAIT = 60_000_000
"""µs: what is further away is not worth a client's sleeping for."""
TRY_AGAIN_LATER = 1013
"""WebSocket close code for limits (IANA registry)."""
POLICY_VIOLATION = 1008
"""WebSocket close code for risk (RFC 6455, section 7.4.1)."""

Field = tuple[bytes, bytes]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_LEAST_SPREAD = 100_000
_LATER = frozenset({429, 503, 529})
_NO_STORE = (b"cache-control", b"no-store")
_RETRY = (b"x-should-retry", b"true")
_NO_RETRY = (b"x-should-retry", b"false")


class Answer(NamedTuple):
    """A whole http response."""

    status: int
    headers: list[Field]
    body: bytes


def refusal(
    deny: Deny,
    dialect: Dialect,
    extra_headers: Iterable[Field] = (),
    *,
    random: float = 0.0,
    now: int | None = None,
) -> Answer:
    """The response that refuses a request.

    Args:
        deny: the decision.
        dialect: whose shapes the route speaks.
        extra_headers: the rate fields, where the policy asks for them.
        random: in [0, 1): how much of the spread is added to the wait, so that whoever was refused together does not come
            back together. 0 gives the true wait.
        now: µs since the epoch by the store's clock, for the time in the body.
    """
    status = dialect.status(deny)
    content_type, body = dialect.error(deny, now)
    headers: list[Field] = [
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        (b"x-guardrail-decision", deny.id.encode("latin-1", "replace")),
        _NO_STORE,
    ]
    headers += _retry(deny, status, random)
    headers += deny.headers
    if status == HTTPStatus.UNAUTHORIZED and not any(name.lower() == b"www-authenticate" for name, _ in deny.headers):
        headers.append((b"www-authenticate", b'Bearer error="invalid_token"' if deny.code == "invalid_token" else b"Bearer"))
    headers += extra_headers
    return Answer(status, headers, body)


def _retry(deny: Deny, status: int, random: float) -> list[Field]:
    refused = deny.refusal
    wait = deny.wait if deny.wait is not None or refused is None else refused.wait
    budget = refused is not None and refused.kind == "budget"
    if not deny.retry or status not in _LATER or budget or (wait is not None and wait > LONGEST_WAIT):
        return [_NO_RETRY]
    if wait is None:
        return [_RETRY]
    jittered = min(LONGEST_WAIT, wait + int(max(wait // 4, _LEAST_SPREAD) * random))
    milliseconds = max(1, -(-jittered // 1000))
    return [
        (b"retry-after", b"%d" % -(-milliseconds // 1000)),
        (b"retry-after-ms", b"%d" % milliseconds),
        _RETRY,
    ]


async def send_refusal(  # noqa: PLR0913 - ASGI's three, and what a refusal is made of
    scope: MutableMapping[str, Any],
    receive: Receive,
    send: Send,
    deny: Deny,
    dialect: Dialect,
    extra_headers: Iterable[Field] = (),
    *,
    random: float = 0.0,
    now: int | None = None,
) -> None:
    """Refuse a request, or a socket before it is accepted. Nothing may have been sent yet.

    A socket gets the whole http response where the server offers `websocket.http.response`; else it is closed before it is
    accepted, which servers turn into a bare 403. `receive` is asked only for the socket's `websocket.connect`.
    """
    if scope["type"] == "websocket":
        if (await receive())["type"] != "websocket.connect":
            return
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await close_turn(send, deny)
            return
        prefix, bodiless = "websocket.http.response", False
    else:
        prefix, bodiless = "http.response", scope.get("method") == "HEAD"
    found = refusal(deny, dialect, extra_headers, random=random, now=now)
    await send_answer(send, found, head=bodiless, prefix=prefix)


async def send_answer(send: Send, answer: Answer, *, head: bool, prefix: str = "http.response") -> None:
    """Send a whole response; what a `head` request asks for has no body."""
    await send({"type": f"{prefix}.start", "status": answer.status, "headers": answer.headers})
    await send({"type": f"{prefix}.body", "body": b"" if head else answer.body, "more_body": False})


async def close_turn(send: Send, deny: Deny) -> int:
    """Close a socket over a refused turn: 1013 where coming back later helps (limits, load), 1008 otherwise (risk).

    Returns the code.
    """
    later = deny.refusal is not None or deny.status in _LATER
    code = TRY_AGAIN_LATER if later else POLICY_VIOLATION
    await send({"type": "websocket.close", "code": code, "reason": deny.id})
    return code
