"""The keys of evidence: what a value that accounts may share is called, everywhere.

A key is a whole number of 63 bits: six for the code of its kind, 57 of a keyed digest of its value. So a key tells what kind it
is of, and nothing of the value. (`COACTIVE` alone is plain: it is made from what a store has anyhow, and kept nowhere.) The codes
are listed here because identity gives evidence too; what each kind is worth stands in `clusters.kinds`.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "AGENT",
    "BITS",
    "COACTIVE",
    "DEVICE",
    "DEVICE_SEEN",
    "DOMAIN",
    "EMAIL_DOMAIN",
    "ISSUER",
    "MOST",
    "NETWORK",
    "NETWORK_WIDE",
    "ORGANISATION",
    "OWN",
    "PAYMENT",
    "RELEASE",
    "SHINGLE",
    "SYSTEM",
    "TLS",
    "code_of",
    "join",
    "read",
    "recode",
    "text_of",
]

BITS: Final = 57
"""Of the digest."""
MOST: Final = 63
"""The largest code."""
OWN: Final = 32
"""The smallest code of a policy's own kinds."""

PAYMENT: Final = 1
DOMAIN: Final = 2
ORGANISATION: Final = 3
EMAIL_DOMAIN: Final = 4
ISSUER: Final = 5
DEVICE: Final = 6
DEVICE_SEEN: Final = 7
NETWORK: Final = 8
NETWORK_WIDE: Final = 9
TLS: Final = 10
SYSTEM: Final = 11
AGENT: Final = 12
SHINGLE: Final = 13
RELEASE: Final = 14
COACTIVE: Final = 15

_MASK: Final = (1 << BITS) - 1
_TEXT: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)


def join(code: int, digest: int) -> int:
    """The key of a kind's digest; of the digest its lowest 57 bits count."""
    return code << BITS | digest & _MASK


def code_of(key: int) -> int:
    """The code of its kind."""
    return key >> BITS


def recode(key: int, code: int) -> int:
    """The same digest under another kind's code."""
    return code << BITS | key & _MASK


def text_of(key: int) -> str:
    """Sixteen hex digits."""
    return f"{key:016x}"


def read(text: str) -> int:
    """The key that `text_of` wrote.

    Raises:
        ValueError: it is none.
    """
    if _TEXT.fullmatch(text) is None or text[0] > "7":
        raise ValueError(f"{text[:32]!r} is no key of evidence: expected 16 hex digits, the first below 8")
    return int(text, 16)
