"""Small texts that leave the process and come back: nobody else can read or make one.

AES-256-GCM (NIST SP 800-38D) under a key that each text has of its own, made by keyed BLAKE2b from 16 random bytes that stand
before it: so no two texts share a nonce, however many there are. What is sealed for one purpose opens for no other.
"""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["LONGEST", "Sealer"]

LONGEST: Final = 8_192
"""Characters of a sealed text; what is longer is not opened."""

_SALT: Final = 16
_TAG: Final = 16
_NONCE: Final = bytes(12)


class Sealer:
    """Seals and opens texts for one purpose.

    Args:
        keys: 32 bytes each, of `Keyring.derive(purpose)`: the first seals, any opens.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    def seal(self, plain: bytes) -> str:
        """An opaque text, of letters that a URL, a cookie or a form takes as they are."""
        salt = secrets.token_bytes(_SALT)
        sealed = _box(self._keys[0], salt).encrypt(_NONCE, plain, None)
        return urlsafe_b64encode(salt + sealed).rstrip(b"=").decode()

    def seal_values(self, version: int, values: Iterable[object]) -> str:
        """Seal what JSON can hold, and of which version it is."""
        return self.seal(json.dumps([version, *values], separators=(",", ":")).encode())

    def open_values(self, version: int, text: str) -> list[Any] | None:
        """The values that were sealed; None for whatever we did not seal, or in another version."""
        plain = self.open(text)
        if plain is None:
            return None
        said, *values = json.loads(plain)
        return values if said == version else None

    def open(self, text: str) -> bytes | None:
        """What was sealed; None for whatever we did not seal, or not for this."""
        if len(text) > LONGEST or not text.isascii():
            return None
        try:
            raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError:
            return None
        if len(raw) < _SALT + _TAG:
            return None
        for key in self._keys:
            try:
                return _box(key, raw[:_SALT]).decrypt(_NONCE, raw[_SALT:], None)
            except InvalidTag:
                continue
        return None


def _box(key: bytes, salt: bytes) -> AESGCM:
    return AESGCM(blake2b(salt, key=key, digest_size=32, person=b"sealed").digest())
