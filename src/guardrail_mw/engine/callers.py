"""What a caller shows beside its credential: what it can solve, its device, and what it has passed without an account."""

from __future__ import annotations

import re
from secrets import token_bytes
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrail_mw.friction.clearance import COOKIE, LONGEST, Cookies
from guardrail_mw.identity.device_cookie import Signer, cookie_of, find

if TYPE_CHECKING:
    from guardrail_mw.identity.keys import Keyring
    from guardrail_mw.values import Facts, Headers

__all__ = ["SOLVES", "Callers", "Visitor", "browses"]

SOLVES: Final = b"guardrail-solve"
"""The field in which a client says which challenges it can solve: `Guardrail-Solve: altcha`."""
_MOST: Final = 8
"""Challenges that a client may name."""
_LONGEST: Final = 256
_ACCEPTED: Final = 4_096
"""Bytes of `Accept` that are looked at."""
_HTML: Final = re.compile(rb"(?:^|,)\s*text/html\s*(?:;(?!\s*q\s*=\s*0(?:\.0*)?\s*(?:,|;|$))[^,;]*)*(?:,|$)", re.IGNORECASE)
_SECOND: Final = 1_000_000
_NAMED: Final = COOKIE + b"="
_NOTHING: Final[frozenset[str]] = frozenset()


class Visitor(NamedTuple):
    """Who has no account."""

    device: bytes
    """The id in its signed cookie; a new one where it has none."""
    known: bool
    """Whether it has shown that cookie: then it keeps cookies."""
    cookie: bytes
    """The `set-cookie` value that gives it the id; empty where it has it."""


class Callers:
    """Reads what callers show.

    Args:
        keys: what their cookies are signed with.
    """

    __slots__ = ("_cookies", "_signer")

    def __init__(self, keys: Keyring) -> None:
        self._signer = Signer(keys)
        self._cookies = Cookies(keys.derive("clearance"))

    def solves(self, facts: Facts, *, account: bool) -> frozenset[str] | None:
        """The challenges that it could solve; None is any.

        A browser can; another client says what it can. What a client without an account has passed is in a cookie, so it must
        have shown that it keeps one.
        """
        if facts.kind == "http" and browses(facts.headers):
            return None
        said = [value for name, value in facts.headers if name == SOLVES]
        if len(said) != 1 or len(said[0]) > _LONGEST or not (account or find(facts.headers)):
            return _NOTHING
        return frozenset([each.strip().decode("latin-1").lower() for each in said[0].split(b",")[:_MOST]])

    def introduced(self, facts: Facts, now: int) -> bytes:
        """The `set-cookie` value for a client without account that says what it can solve and has no cookie yet; else empty.

        Once it shows that it keeps it, it is given something to solve.
        """
        says = facts.kind == "http" and any([name == SOLVES for name, _ in facts.headers])
        return self.visitor(facts, now).cookie if says else b""

    def visitor(self, facts: Facts, now: int) -> Visitor:
        """Who asks without an account.

        Args:
            facts: of its request.
            now: µs since the epoch.
        """
        known = self._signer.read(find(facts.headers), now // _SECOND)
        if known is not None:
            return Visitor(known.id, known=True, cookie=b"")
        made = token_bytes(16)
        return Visitor(made, known=False, cookie=self._signer.issue(now // _SECOND, made))

    def cleared(self, facts: Facts, network: str, now: int) -> dict[str, str]:
        """What a caller without an account has passed, as fields of a standing.

        Args:
            facts: of its request.
            network: its home.
            now: µs since the epoch.
        """
        value = cookie_of(facts.headers, _NAMED, LONGEST)
        if not value:
            return {}
        device = self._signer.read(find(facts.headers), now // _SECOND)
        return self._cookies.read(value, device.id, network, now) if device is not None else {}

    def clear(self, fields: dict[str, str], device: bytes, network: str, now: int) -> bytes:
        """The `set-cookie` value that says what has been passed; see `Cookies.issue`."""
        return self._cookies.issue(fields, device, network, now)


def browses(headers: Headers) -> bool:
    """Whether somebody looks at the answer: it may be HTML, and is not refused (`q=0`, RFC 9110 12.4.2)."""
    return any([name == b"accept" and _HTML.search(value[:_ACCEPTED]) is not None for name, value in headers])
