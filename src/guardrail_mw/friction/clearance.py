"""What an account has passed, and until when.

An account's clearances are fields of its standing, `cleared.<code>`: the µs until which it holds, merged by the later one. The
code is the rung's (`Rung.code`), so a clearance ends with the settings that it was passed under. Who has no account has them in a
signed cookie, which holds for the device and the network that it was given to and for no other: one solver must not clear a
carrier's address, nor a copied cookie a botnet.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

from guardrail_mw.friction.memory import whole
from guardrail_mw.values import CLEARED

__all__ = ["COOKIE", "LONGEST", "Cookies", "field", "holds"]

COOKIE: Final = b"__Host-guardrail-cleared"
MOST: Final = 4
"""Clearances in one cookie: rungs of a ladder that ask for something."""
LONGEST: Final = 256
"""Bytes of its value; whatever is longer is not ours."""

_SECOND: Final = 1_000_000
_CODE: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)
_ONE: Final = re.compile(r"([0-9a-f]{16})-(\d{1,12})", re.ASCII)
_FLAGS: Final = "; Path=/; Secure; HttpOnly; SameSite=Lax"


def field(code: str) -> str:
    """The field of a standing that says until when a rung's settings are passed."""
    return CLEARED + code


def holds(fields: Mapping[str, str], code: str, now: int) -> bool:
    """Whether what the rung of this code asks for is passed `now`, in µs."""
    return CLEARED + code in fields and now < whole(fields[CLEARED + code])


class Cookies:
    """The clearances of who has no account: `v1.<code>-<until>[.<code>-<until>…].<signature>`, seconds since the epoch.

    The signature, HMAC-SHA256 cut to 16 bytes, covers the device and the network besides, which the cookie does not name.

    Args:
        keys: 32 bytes each, of `Keyring.derive`: the first signs, any verifies.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    def read(self, value: bytes, device: bytes, network: str, now: int) -> dict[str, str]:
        """The clearances, as fields of a standing; empty for whatever was not given to this device on this network.

        Args:
            value: of the cookie, as it came.
            device: the id in the device's own signed cookie; nothing holds without one.
            network: home of the client's network.
            now: µs since the epoch.
        """
        if not value or not device or len(value) > LONGEST or not value.isascii():
            return {}
        said, _, signature = value.decode().rpartition(".")
        if not any([hmac.compare_digest(_sign(key, said, device, network), signature) for key in self._keys]):
            return {}
        found = [_ONE.fullmatch(each) for each in said.split(".")[1:]]
        return {
            CLEARED + each[1]: str(int(each[2]) * _SECOND)
            for each in found
            if each is not None and now < int(each[2]) * _SECOND
        }

    def issue(self, fields: Mapping[str, str], device: bytes, network: str, now: int) -> bytes:
        """The value of a `set-cookie` header for clearances, those that hold longest where there are many."""
        good = [
            (whole(until), name.removeprefix(CLEARED))
            for name, until in fields.items()
            if name.startswith(CLEARED) and whole(until) > now and _CODE.fullmatch(name.removeprefix(CLEARED))
        ]
        kept = sorted(good, reverse=True)[:MOST]
        said = ".".join(["v1", *[f"{code}-{until // _SECOND}" for until, code in kept]])
        age = max([until for until, _ in kept], default=now) - now
        value = f"{COOKIE.decode()}={said}.{_sign(self._keys[0], said, device, network)}"
        return f"{value}; Max-Age={age // _SECOND}{_FLAGS}".encode()


def _sign(key: bytes, said: str, device: bytes, network: str) -> str:
    framed = b"%d:%b%d:%b%b" % (len(device), device, len(network), network.encode(), said.encode())
    return urlsafe_b64encode(hmac.digest(key, framed, sha256)[:16]).rstrip(b"=").decode()
