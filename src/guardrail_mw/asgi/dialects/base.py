"""What every dialect says, whatever its shape."""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii as quote
from typing import NamedTuple, Protocol

from guardrail_mw.asgi.fields import rfc3339, whole_seconds
from guardrail_mw.values import Deny

__all__ = ["Dialect", "Extra", "extra", "members", "quote", "sentence"]

_SOON = 60
"""Seconds up to which people would rather read a wait than a time."""


class Dialect(Protocol):
    """One vendor's errors."""

    name: str
    """As policies write it."""

    def status(self, deny: Deny) -> int:
        """The HTTP status: `deny.status`, but where the dialect has one of its own (529)."""
        ...

    def error(self, deny: Deny, now: int | None = None) -> tuple[bytes, bytes]:
        """The content type and the body.

        Args:
            deny: the refusal. Only its constant text, its code, the limit's name and the wait go into the body; reasons and
                figures stay inside.
            now: µs since the epoch, by the store's clock; with it the moment at which the wait ends is told too.
        """
        ...


class Extra(NamedTuple):
    """What a body carries besides the message."""

    limit: str
    """The limit's name, or empty."""
    wait: int | None
    """Whole seconds, rounded up, or None where nobody knows."""
    reset_at: str
    """RFC 3339, or empty."""


def extra(deny: Deny, now: int | None) -> Extra:
    """The limit, the wait and the moment it ends, where they are known."""
    refusal = deny.refusal
    wait = deny.wait if deny.wait is not None or refusal is None else refusal.wait
    return Extra(
        refusal.limit if refusal is not None else "",
        None if wait is None else whole_seconds(wait),
        "" if wait is None or now is None else rfc3339(now + wait),
    )


def sentence(deny: Deny, told: Extra) -> str:
    """The message for people: our constant text, which limit, when to come back. SDKs show nothing else of a body."""
    text = deny.message
    if told.limit:
        text += f" Limit: {told.limit}."
    if told.wait is None:
        return text
    if told.reset_at and told.wait > _SOON:
        return f"{text} Try again at {told.reset_at}."
    return f"{text} Try again in {told.wait} s."


def members(deny: Deny, told: Extra) -> str:
    """JSON members, each with a comma before it: `,"decision":"…"` and whatever else is known."""
    text = f',"decision":{quote(deny.id)}'
    if told.limit:
        text += f',"limit":{quote(told.limit)}'
    if told.wait is not None:
        text += f',"retry_after":{told.wait}'
    if told.reset_at:
        text += f',"reset_at":"{told.reset_at}"'
    for name, value in deny.more.items():
        text += f",{quote(name)}:{json.dumps(value, separators=(',', ':'))}"
    return text
