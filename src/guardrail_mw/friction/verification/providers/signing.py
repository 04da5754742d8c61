"""Signatures of webhooks: HMACs under any of several live secrets, compared in constant time, some of them dated."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

from guardrail_mw.friction.verification.providers.base import WebhookError

__all__ = ["LONGEST_HEADER", "MOST", "TOLERANCE", "check_date", "mac", "matches", "pairs", "seconds"]

TOLERANCE: Final = 300_000_000
"""µs, either way, that a dated signature may be off; services date each delivery anew."""
MOST: Final = 16
"""Signatures of one webhook that are looked at."""
LONGEST_HEADER: Final = 4_096
_DIGITS: Final = 12


def mac(secret: bytes, *parts: bytes, algorithm: str = "sha256") -> bytes:
    """The HMAC of all parts, one after the other."""
    made = hmac.new(secret, digestmod=algorithm)
    for part in parts:
        made.update(part)
    return made.digest()


def matches(expected: Iterable[bytes], given: Sequence[bytes]) -> bool:
    """Whether any that was given is any that is expected. Compares all of them: time tells neither which nor how much of it."""
    found = False
    for one in expected:
        for other in given[:MOST]:
            found |= hmac.compare_digest(one, other)
    return found


def pairs(secrets: Sequence[bytes], header: str, raw: bytes, now: int) -> None:
    """Check `t=…,v1=…`, as Stripe and Persona sign: the hexadecimal HMAC of the date, a dot and the body.

    Several `v1` may follow a date, and several such groups one another, with a blank between them.

    Raises:
        WebhookError: no live secret signed it, or not lately.
    """
    if not header or len(header) > LONGEST_HEADER:
        raise WebhookError("unsigned")
    dates: list[int] = []
    tried = 0
    for group in header.split():
        items = [item.partition("=")[::2] for item in group.split(",")]
        stamps = [value for name, value in items if name == "t"]
        given = [made for name, value in items if name == "v1" and (made := _hex(value))]
        tried += len(given)
        if len(stamps) != 1 or not given or tried > MOST:
            continue
        date = seconds(stamps[0])
        if date is not None and matches((mac(secret, stamps[0].encode(), b".", raw) for secret in secrets), given):
            dates.append(date)
    if not tried:
        raise WebhookError("unsigned")
    if not dates:
        raise WebhookError("signature")
    check_date(max(dates), now)


def check_date(date: int, now: int) -> None:
    """Whether a delivery is of now.

    Raises:
        WebhookError: it is not, whoever signed it.
    """
    if abs(date - now) > TOLERANCE:
        raise WebhookError("stale")


def seconds(text: str) -> int | None:
    """Whole seconds since the epoch, in µs; None for what is none."""
    return int(text) * 1_000_000 if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def _hex(text: str) -> bytes:
    """32 bytes of hexadecimal digits; nothing for anything else."""
    if len(text) != 2 * sha256().digest_size or not text.isascii():
        return b""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
