"""What a verified token says, and the checks that time and audience put on it (RFC 7519 4.1).

PyJWT would read the wall clock itself; here time is an argument.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from guardrail_mw.identity.jws import BadToken

__all__ = ["Claims", "check_claims", "flag_claim", "past_claim", "peek_claims", "read_claims", "text_claim", "time_claim"]

Claims = dict[str, Any]

LATEST = 10**12
"""Seconds since the epoch beyond which nothing is a time; NaN and infinities are not below it."""
EARLIEST = 631_152_000
"""Seconds since the epoch: 1990. What lies before it is a number that means something else, or a field that nobody filled."""
MILLISECONDS = 10**11
"""A larger number is a time in milliseconds: in seconds it would lie in the year 5138."""
LONGEST_TIME = 40
"""Characters of a time as text."""
LONGEST_TEXT = 255
"""Bytes of a claim that names somebody; OpenID Connect Core 2 allows `sub` 255."""


def peek_claims(token: bytes) -> Claims | None:
    """The claims as the token has them, nothing verified; None where there are none.

    Read as leniently as any app behind might (padding, the other base64 alphabet, stray characters), so that a token cannot
    be dressed up as something else for us alone; what is verified afterwards is read strictly.
    """
    segments = token.split(b".", 2)
    if len(segments) != 3:  # noqa: PLR2004 - header, payload, signature
        return None
    payload = segments[1].translate(_STANDARD)
    try:
        return _object(b64decode(payload + b"=="))
    except ValueError:
        return None


def read_claims(payload: bytes) -> Claims:
    """The claims of a verified payload.

    Raises:
        BadToken: it is not an object.
    """
    claims = _object(payload)
    if claims is None:
        raise BadToken("its payload is not an object")
    return claims


def check_claims(claims: Claims, *, audience: Collection[str] | None, now: int, leeway: int) -> int:
    """Whether a token is for us and for now.

    Args:
        claims: of the token.
        audience: names that we go by, one of which `aud` must hold; None does not look.
        now: µs since the epoch.
        leeway: µs by which clocks may differ.

    Returns:
        `exp` in µs since the epoch.

    Raises:
        BadToken: it is not, or lacks `exp`.
    """
    expires = _time(claims, "exp")
    if expires is None:
        raise BadToken("it has no exp: a token that never ends is not accepted")
    if now >= expires + leeway:
        raise BadToken("it has expired")
    for name in ("nbf", "iat"):
        begins = _time(claims, name)
        if begins is not None and now < begins - leeway:
            raise BadToken(f"its {name} lies ahead")
    if audience is not None:
        given = claims.get("aud")
        named = [given] if isinstance(given, str) else given
        if not isinstance(named, list) or not any(isinstance(item, str) and item in audience for item in named):
            raise BadToken("its aud does not name us")
    return expires


def text_claim(claims: Claims, name: str) -> str:
    """A claim as text; whole numbers are written out, whatever else is not a text, or too long, counts as absent."""
    value = claims.get(name) if name else None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**18 else None
    if not isinstance(value, str) or len(value.encode("utf-8", "surrogatepass")) > LONGEST_TEXT:
        return ""
    return value


def flag_claim(claims: Claims, name: str) -> bool:
    """Whether a claim says yes: true, or `"true"` as some issuers write it; nothing else does."""
    value = claims.get(name) if name else None
    return value is True or value == "true"


def time_claim(claims: Claims, name: str) -> int | None:
    """A NumericDate (RFC 7519 2) in µs since the epoch; None for whatever else it may be.

    Args:
        claims: of the token.
        name: of the claim; empty for none.
    """
    value = claims.get(name) if name else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < LATEST:
        return None
    return int(value * 1_000_000)


def past_claim(claims: Claims, name: str, now: int) -> int | None:
    """A time that has been, in µs since the epoch: seconds, milliseconds, or ISO 8601; None for whatever else it may be.

    Args:
        claims: of the token.
        name: of the claim; empty for none.
        now: µs since the epoch.
    """
    value = claims.get(name) if name else None
    if isinstance(value, str):
        seconds = _iso(value)
    elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1000 * LATEST:
        return None
    else:
        seconds = value / 1000 if value >= MILLISECONDS else value
    if seconds is None or seconds < EARLIEST:
        return None
    found = round(seconds * 1_000_000)
    return found if found <= now else None


def _iso(text: str) -> float | None:
    """Seconds since the epoch; a time without an offset is UTC's."""
    try:
        found = datetime.fromisoformat(text[:LONGEST_TIME])
    except ValueError:
        return None
    return found.replace(tzinfo=found.tzinfo or UTC).timestamp()


_STANDARD = bytes.maketrans(b"-_", b"+/")


def _object(payload: bytes) -> Claims | None:
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _time(claims: Claims, name: str) -> int | None:
    """A NumericDate in µs."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < LATEST:
        raise BadToken(f"its {name} is not a time")
    return int(value * 1_000_000)
