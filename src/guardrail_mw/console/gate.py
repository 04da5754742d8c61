"""Stands before the API: nobody comes in without the token, but to ask whether it lives."""

from __future__ import annotations

import hmac
import logging
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from guardrail_mw.console.problems import problem
from guardrail_mw.identity.failures import Failures

if TYPE_CHECKING:
    from guardrail_mw.asgi.types import App, Message, Receive, Scope, Send
    from guardrail_mw.clock import Clock
    from guardrail_mw.values import Observer

__all__ = ["OPEN", "PER_MINUTE", "Gate"]

logger = logging.getLogger("guardrail_mw.operators")

OPEN: Final = "/live"
"""The one path that needs no token."""
PER_MINUTE: Final = 10
"""Failures that an address may have at once, and regains in a minute."""

_REALM: Final = 'Bearer realm="guardrail operator"'
_ALWAYS: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


class Gate:
    """Lets those pass who show the token.

    It is compared in constant time, whatever its length. An address that failed too often is told 429 instead of 401 and is not
    logged any more, but the right token always passes: on a machine's own address all its users are one, and nobody among them
    may lock the operator out. A token of 32 characters is not found by trying.

    Args:
        app: the API.
        token: the policy's.
        clock: for the budget of failures.
        observer: hears `console.refused`.
    """

    def __init__(self, app: App, token: str, *, clock: Clock, observer: Observer) -> None:
        self._app = app
        self._digest = sha256(token.encode()).digest()
        self._failures = Failures(clock, PER_MINUTE)
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection."""
        if scope["type"] != "http":
            return
        shown = [value for name, value in scope["headers"] if name == b"authorization"]
        allowed = scope["path"] == OPEN or self._is_right(shown)
        app = self._app if allowed else self._refusal(scope, shown=bool(shown))

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_ALWAYS]}
            await send(message)

        await app(scope, receive, sending)

    def _is_right(self, shown: list[bytes]) -> bool:
        """Whether one token was shown, the right one."""
        scheme, _, token = shown[0].partition(b" ") if len(shown) == 1 else (b"", b"", b"")
        same = hmac.compare_digest(sha256(token.strip(b" ")).digest(), self._digest)
        return same and scheme.lower() == b"bearer"

    def _refusal(self, scope: Scope, *, shown: bool) -> App:
        """RFC 6750, section 3: who showed nothing is not told that it was wrong."""
        self._observer.count("console.refused")
        client = scope.get("client")
        peer = client[0] if client else "unix"
        if self._failures.spent(peer, peer):
            wait = {"retry-after": str(60 // PER_MINUTE), "connection": "close"}
            return problem(429, "too_many_failures", "Too many requests without the right token.", wait)
        self._failures.add(peer, peer)
        logger.warning("The operator's port refused a request from %s: %s.", peer, "bad token" if shown else "no token")
        told = f'{_REALM}, error="invalid_token"' if shown else _REALM
        code = "invalid_token" if shown else "no_token"
        cure = "Send `Authorization: Bearer` and the policy's `console.token`."
        return problem(401, code, cure, {"www-authenticate": told})
