"""Small ASGI middlewares around the libraries that bring none: what an engineer would write from their documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["LimitsByHand", "PyrateByHand", "ThrottledByHand"]

Fields = list[tuple[bytes, bytes]]


def _key(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"authorization":
            return str(value, "latin-1")
    return ""


def _adding(send: Send, fields: Fields) -> Send:
    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *fields]
        await send(message)

    return answer


async def _refuse(send: Send, fields: Fields) -> None:
    body = b'{"detail":"Rate limit exceeded"}'
    head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *fields]
    await send({"type": "http.response.start", "status": 429, "headers": head})
    await send({"type": "http.response.body", "body": body})


class LimitsByHand:
    """limits' asyncio strategies: one `hit` a limit; with `headers`, `get_window_stats` of the tightest, as slowapi does."""

    def __init__(
        self, app: ASGIApp, *, limiter: Any, items: Sequence[Any], headers: bool, clock: Callable[[], float]
    ) -> None:
        self.app = app
        self.limiter = limiter
        self.items = items
        self.headers = headers
        self.clock = clock
        self.space = "headers" if headers else "plain"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hit each limit until one refuses."""
        key = _key(scope)
        for item in self.items:
            if not await self.limiter.hit(item, self.space, key):
                await _refuse(send, await self._fields(item, key, wait=True))
                return
        await self.app(scope, receive, _adding(send, await self._fields(self.items[0], key)) if self.headers else send)

    async def _fields(self, item: Any, key: str, *, wait: bool = False) -> Fields:
        if not self.headers:
            return []
        reset, remaining = await self.limiter.get_window_stats(item, self.space, key)
        fields = [
            (b"x-ratelimit-limit", str(item.amount).encode()),
            (b"x-ratelimit-remaining", str(remaining).encode()),
            (b"x-ratelimit-reset", str(int(reset) + 1).encode()),
        ]
        if wait:
            fields.append((b"retry-after", str(max(1, int(reset + 1 - self.clock()))).encode()))
        return fields


class ThrottledByHand:
    """throttled-py: one `Throttled` a limit; its result brings what the headers say."""

    def __init__(self, app: ASGIApp, *, throttles: Sequence[Any]) -> None:
        self.app = app
        self.throttles = throttles

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask each limit until one refuses; the headers are the first one's, or the one's that refused."""
        key = _key(scope)
        first = None
        for throttle in self.throttles:
            result = await throttle.limit(key)
            if result.limited:
                fields = self._fields(result.state)
                fields.append((b"retry-after", str(int(result.state.retry_after) + 1).encode()))
                await _refuse(send, fields)
                return
            first = first or result
        await self.app(scope, receive, _adding(send, self._fields(first.state)) if first else send)

    @staticmethod
    def _fields(state: Any) -> Fields:
        return [
            (b"ratelimit-limit", str(state.limit).encode()),
            (b"ratelimit-remaining", str(state.remaining).encode()),
            (b"ratelimit-reset", str(int(state.reset_after) + 1).encode()),
        ]


class PyrateByHand:
    """pyrate-limiter: one `Limiter` whose factory keeps a bucket a key. It tells no remaining, so there are no headers."""

    def __init__(self, app: ASGIApp, *, limiter: Any) -> None:
        self.app = app
        self.limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Acquire without waiting."""
        if await self.limiter.try_acquire_async(_key(scope), blocking=False):
            await self.app(scope, receive, send)
        else:
            await _refuse(send, [])
