"""One request through the real pipeline, watched."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from guardrail_mw import plugins
from guardrail_mw.asgi.body import BodyBudget
from guardrail_mw.asgi.http import Http
from guardrail_mw.cli.asking import scope_of
from guardrail_mw.clock import SystemClock
from guardrail_mw.values import Deny

if TYPE_CHECKING:
    from guardrail_mw.asgi.types import Message, Receive, Scope, Send
    from guardrail_mw.cli.request import Request
    from guardrail_mw.engine import Exchange, Guardrail
    from guardrail_mw.errors import TokenError

__all__ = ["Seen", "Still", "watch"]

_DIALECTS = ("openai", "anthropic", "problem")


class Still:
    """A clock that begins now and stands still until it is told to move."""

    def __init__(self) -> None:
        self._now = SystemClock().now()
        self._monotonic = 0

    def now(self) -> int:
        """Wall-clock µs since the epoch."""
        return self._now

    def monotonic(self) -> int:
        """µs since it was made."""
        return self._monotonic

    def advance(self, us: int) -> None:
        """Let time pass."""
        self._now += us
        self._monotonic += us


class Seen:
    """What became of one request."""

    def __init__(self) -> None:
        self.exchange: Exchange | None = None
        """None where it never came to one: an exempt route, mode off."""
        self.passed = False
        """Whether the app got it."""
        self.detail = ""
        """What the log would say of bad input."""
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""

    @property
    def refusal(self) -> Deny | None:
        """What refused it, or in shadow would have."""
        if self.exchange is None:
            return None
        decided = self.exchange.would if self.passed else self.exchange.decision
        return decided if isinstance(decided, Deny) else None

    @property
    def outcome(self) -> str:
        """In a few words; two requests that came out alike have the same."""
        deny = self.refusal
        if deny is None:
            return "passed on"
        limit = f", beyond {deny.refusal.limit}" if deny.refusal is not None else f", {deny.code}"
        return f"passed on; in enforce refused: {deny.status}{limit}" if self.passed else f"refused: {self.status}{limit}"


class _Watched(Http):
    """Keeps what it decided."""

    def __init__(self, guardrail: Guardrail, seen: Seen) -> None:
        dialects = {name: plugins.load("dialects", name) for name in _DIALECTS}
        super().__init__(self._answer, guardrail, dialects, BodyBudget(guardrail.policy.inspect.budget.bytes))
        self._seen = seen

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The app behind: uses what was reserved."""
        self._seen.passed = True
        exchange = self._seen.exchange = scope["state"].get("guardrail")
        estimate = exchange.estimate if exchange is not None else None
        used = {"prompt_tokens": estimate.input, "completion_tokens": estimate.output} if estimate is not None else {}
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": json.dumps({"usage": used}).encode(), "more_body": False})

    def bad(self, exchange: Exchange, error: TokenError) -> Deny | None:
        """Bad input."""
        self._seen.detail = error.detail[:200]
        return super().bad(exchange, error)

    async def refuse(self, exchange: Exchange, deny: Deny, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse."""
        self._seen.exchange = exchange
        await super().refuse(exchange, deny, scope, receive, send)


async def watch(guardrail: Guardrail, request: Request) -> Seen:
    """Send the request, to an app that uses what was reserved."""
    seen = Seen()
    if guardrail.engine.mode == "off":
        seen.passed = True
        return seen
    messages = iter([{"type": "http.request", "body": request.body, "more_body": False}])

    async def receive() -> Message:
        return next(messages, {"type": "http.disconnect"})

    async def send(message: Message) -> None:
        seen.status = message.get("status", seen.status)
        seen.headers += message.get("headers", ())
        seen.body += message.get("body", b"")

    scope: dict[str, Any] = scope_of(
        request.method, request.path, list(request.headers), query=request.query, client=request.client
    )
    await _Watched(guardrail, seen)(guardrail.engine, scope, receive, send)
    await guardrail.drain()
    return seen
