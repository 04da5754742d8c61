"""The cookie that makes a device known again: a random id and when it was given, signed.

`v1.<id>.<issued>.<signature>`: 16 random bytes, seconds since the epoch, and HMAC-SHA256 cut to 16 bytes over what stands
before it, under a key that `GUARDRAIL_KEYS` yields for this purpose alone. It names no account: that several share a device is
what it is to show. `__Host-` keeps subdomains and plain HTTP from setting it (RFC 6265bis 4.1.3.2).
"""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Final, NamedTuple

from guardrail_mw.identity.keys import Keyring
from guardrail_mw.values import Headers

__all__ = ["COOKIE", "LIFE", "RENEW", "Cookie", "Signer", "cookie_of", "find"]

COOKIE: Final = b"__Host-guardrail-device"
RENEW: Final = 30 * 86_400
"""Seconds after which the next answer gives it anew, under the same id and the newest key."""
LIFE: Final = 400 * 86_400
"""Seconds after which it is nobody's. Browsers keep none longer."""
LONGEST: Final = 80
"""Bytes of a value; whatever is longer is not ours."""
TRIES: Final = 4
"""Times that our name may stand within other cookies before ours is looked for no further."""

_PURPOSE: Final = "device-cookie"
_FLAGS: Final = f"; Max-Age={LIFE}; Path=/; Secure; HttpOnly; SameSite=Lax".encode()
_NAMED: Final = COOKIE + b"="
_BEFORE: Final = (b";", b" ")
_VALUE = re.compile(rb"(v1\.([\w-]{22})\.(\d{1,12}))\.([\w-]{22})", re.ASCII)


class Cookie(NamedTuple):
    """A cookie whose signature is ours."""

    id: bytes
    issued: int
    """Seconds since the epoch."""


def find(headers: Headers) -> bytes:
    """The value of our cookie, unread; empty where there is none. Of several the first counts."""
    return cookie_of(headers, _NAMED, LONGEST)


def cookie_of(headers: Headers, named: bytes, longest: int) -> bytes:
    """The value of a cookie, unread; empty where there is none, or a longer one. Of several the first counts.

    Args:
        headers: of a request.
        named: the cookie's name with the `=` behind it.
        longest: bytes of a value.
    """
    for name, value in headers:
        if name == b"cookie":
            start = value.find(named)
            for _ in range(TRIES):
                if start <= 0 or value[start - 1 : start] in _BEFORE:
                    break
                start = value.find(named, start + 1)
            else:
                continue
            if start >= 0:
                found = value[start + len(named) :].partition(b";")[0]
                return found if len(found) <= longest else b""
    return b""


class Signer:
    """Makes the cookie and knows it again.

    Args:
        keys: the first signs, any verifies: a key that is listed no longer makes its devices unknown, and is no error.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Keyring) -> None:
        self._keys = keys.derive(_PURPOSE)

    def read(self, value: bytes, now: int) -> Cookie | None:
        """The cookie, or None for whatever we did not sign, or too long ago.

        Args:
            value: as it came.
            now: seconds since the epoch.
        """
        found = _VALUE.fullmatch(value)
        if found is None:
            return None
        signed, device, issued, signature = found.groups()
        good = [key for key in self._keys if hmac.compare_digest(_sign(key, signed), signature)]
        if not good or int(issued) + LIFE <= now:
            return None
        return Cookie(urlsafe_b64decode(device + b"=="), int(issued))

    def issue(self, now: int, device: bytes | None = None) -> bytes:
        """The value of a `set-cookie` header.

        Args:
            now: seconds since the epoch.
            device: the id to give again; None makes a new one.
        """
        shown = urlsafe_b64encode(secrets.token_bytes(16) if device is None else device)[:22]
        signed = b"v1.%b.%d" % (shown, now)
        return b"%b=%b.%b%b" % (COOKIE, signed, _sign(self._keys[0], signed), _FLAGS)


def _sign(key: bytes, signed: bytes) -> bytes:
    return urlsafe_b64encode(hmac.digest(key, signed, sha256)[:16])[:22]
