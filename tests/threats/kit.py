"""What the tests of threats share: the pipeline's kit, and clients that mean harm."""

from __future__ import annotations

import asyncio
from typing import Any

from ..asgi.kit import (  # noqa: TID252 - the kit of the pipeline's tests
    JSON,
    KEY,
    OTHER_KEY,
    Answer,
    CountingStore,
    Guarded,
    Upstream,
    chat,
    events,
    policy,
    scope_of,
)

__all__ = [
    "CHAT",
    "JSON",
    "KEY",
    "OTHER_KEY",
    "SECRETS",
    "Answer",
    "CountingStore",
    "Guarded",
    "Keyring",
    "Upstream",
    "chat",
    "events",
    "key",
    "never",
    "policy",
    "scope_of",
]

CHAT = "/v1/chat/completions"
SECRETS = {"GUARDRAIL_ID_KEY": "i" * 32, "GUARDRAIL_KEYS": "k" * 32}


def key(number: object) -> tuple[bytes, bytes]:
    """A key that nobody gave out."""
    return (b"authorization", b"Bearer sk-invented-%s" % str(number).encode())


class Keyring(Upstream):
    """An app that checks keys itself: 401 for all but the first two."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        good = not {KEY[1], OTHER_KEY[1]}.isdisjoint(value for name, value in scope["headers"] if name == b"authorization")
        self.status = 200 if good else 401
        await super().__call__(scope, receive, send)


async def never() -> Any:
    """A client that sends nothing more."""
    await asyncio.Event().wait()
