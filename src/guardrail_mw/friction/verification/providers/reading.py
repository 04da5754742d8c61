"""What comes from a provider, signed or not: read within bounds, checked, or none of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final
from unicodedata import normalize

from guardrail_mw.friction.verification.countries import alpha_2
from guardrail_mw.friction.verification.providers.base import Means, Report, State, WebhookError, Worth
from guardrail_mw.friction.verification.providers.signing import TOLERANCE

__all__ = ["LONGEST", "below", "case", "digest", "is_id", "moment", "number", "payload", "report", "tested", "text"]

LONGEST: Final = 262_144
"""Bytes of a webhook, or of an answer."""
_CASE: Final = re.compile(r"[A-Za-z0-9._~-]{1,400}")
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)


def payload(raw: bytes) -> Mapping[str, Any]:
    """The JSON object of a webhook whose signature was checked.

    Raises:
        WebhookError: it is none.
    """
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        raise WebhookError("unreadable") from None
    if not isinstance(found, dict):
        raise WebhookError("unreadable")
    return found


def below(value: object, *names: str) -> Any:
    """What stands below `names`; None where nothing does."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def text(value: object, *names: str) -> str:
    """Likewise, if it is a text; else nothing."""
    found = below(value, *names)
    return found if isinstance(found, str) else ""


def case(value: str) -> str:
    """Our reference, if it can be one; else nothing."""
    return value if _CASE.fullmatch(value) else ""


def is_id(value: str, prefix: str = "") -> bool:
    """Whether it may stand in a path."""
    return _ID.fullmatch(value) is not None and value.startswith(prefix)


def moment(value: object, now: int) -> int | None:
    """A time in µs: seconds since the epoch, or ISO 8601, UTC without a zone. What is ahead of us is cut to the tolerance."""
    try:
        if isinstance(value, bool) or not isinstance(value, int | str):
            return None
        found = datetime.fromtimestamp(value, UTC) if isinstance(value, int) else datetime.fromisoformat(value)
        found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        since = found - _EARLIEST
    except (ValueError, OverflowError, OSError):
        return None
    us = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds + int(_EARLIEST.timestamp()) * 1_000_000
    return min(us, now + TOLERANCE) if since.days >= 0 else None


def digest(raw: bytes) -> str:
    """What stands for an event that has no id: its body's SHA-256."""
    return sha256(raw).hexdigest()


def number(means: Means, kind: str, country: str, value: str) -> str:
    """The token of an official number: the country, in two letters, and the number; letters and digits only.

    Where the country is not told apart it stands before the number and a blank, as operators note it: that is the same.
    """
    if len(value) > 255:  # noqa: PLR2004
        return ""
    if not country:
        first, blank, rest = value.strip().partition(" ")
        country, value = (first, rest) if blank else ("", value)
    bare = _bare(value)
    return means.digest(kind, alpha_2(_bare(country)) + bare) if bare else ""


def _bare(text: str) -> str:
    return "".join([each for each in normalize("NFKC", text).upper() if each.isalnum()])


def report(found: Report, worth: Worth | None, since: int | None = None, *, level: str = "") -> Report:
    """With what it is worth: for approvals only. An approval of a check that the settings do not know is none.

    Args:
        found: what is reported.
        worth: what the check is worth, if it is known.
        since: when it was approved, if not just now.
        level: the policy's name of the check.
    """
    if found.state != "approved":
        return found
    if worth is None:
        return found._replace(state="pending")
    return found._replace(until=min(found.at, since or found.at) + worth.lasts.us, ial=worth.ial, acr=worth.acr, level=level)


def tested(state: State, test: bool, allowed: bool) -> State:  # noqa: FBT001 - two of a kind
    """What a service's test mode says is worth nothing, unless the settings want it."""
    return "pending" if state == "approved" and test and not allowed else state
