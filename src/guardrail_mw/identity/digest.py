"""Names for accounts, networks and evidence: keyed digests that say nothing without the key and cannot be made to collide.

What is digested is framed (each part behind its length), so `("a", "bc")` and `("ab", "c")` differ, and each kind has a
personalisation of BLAKE2b (RFC 7693) of its own, so an account's digest is never a network's. 128 bits, 22 characters of
base64url; of evidence 57, with the kind before them (`algorithms.keys`).
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Iterable
from hashlib import blake2b

from guardrail_mw.algorithms.keys import BITS

__all__ = ["LENGTH", "Digester"]

LENGTH = 22
"""Characters of a digest."""
MOST_BEGUN = 256
"""Pairs of source and issuer whose first half is kept ready."""

_SPARE = 64 - BITS
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class Digester:
    """Digests keyed with `GUARDRAIL_ID_KEY`.

    Args:
        key: 16 to 64 bytes.
    """

    __slots__ = ("_bases", "_begun", "_kinds")

    def __init__(self, key: bytes) -> None:
        if not 16 <= len(key) <= 64:  # noqa: PLR2004 - BLAKE2b takes 64, fewer than 16 can be guessed
            raise ValueError(f"the key of digests has {len(key)} bytes; it needs 16 to 64")
        kinds = ("account", "network", "organisation", "evidence")
        self._bases = {kind: blake2b(digest_size=16, key=key, person=kind.encode()) for kind in kinds}
        self._begun: dict[tuple[str, str, str], blake2b] = {}
        key_of = blake2b(digest_size=8, key=key, person=b"key")
        self._kinds: tuple[blake2b, ...] = tuple(_after(key_of, bytes([code])) for code in range(64))

    def account(self, source: str, issuer: str, value: str | bytes) -> str:
        """The home `a:…` of an account: byte for byte what names it within its issuer within its source."""
        return "a:" + self._finish(self._begin("account", source, issuer), _bytes(value))

    def network(self, value: bytes) -> str:
        """The home `n:…` of a network."""
        return "n:" + self._finish(self._bases["network"], value)

    def organisation(self, source: str, issuer: str, value: str | bytes) -> str:
        """The home `o:…` of an organisation: a name means something only within its issuer."""
        return "o:" + self._finish(self._begin("organisation", source, issuer), _bytes(value))

    def evidence(self, kind: str, value: str | bytes) -> str:
        """A value that accounts of several issuers may share, such as a payment fingerprint; without a prefix."""
        return self._finish(self._begin("evidence", kind, ""), _bytes(value))

    def key(self, code: int, value: str | bytes) -> int:
        """The key of evidence: 63 bits, the kind's code and the digest of what accounts may share."""
        state = self._kinds[code].copy()
        state.update(_frame(_bytes(value)))
        return code << BITS | int.from_bytes(state.digest(), "big") >> _SPARE

    def keys(self, code: int, values: Iterable[bytes]) -> list[int]:
        """`key` of each, a third quicker: half a µs for what is short."""
        copy, number = self._kinds[code].copy, int.from_bytes
        high = code << BITS
        found = []
        for value in values:
            state = copy()
            state.update(len(value).to_bytes(4, "big") + value)
            found.append(high | number(state.digest(), "big") >> _SPARE)
        return found

    def _begin(self, kind: str, source: str, issuer: str) -> blake2b:
        """The state behind two parts, which are the same for all of a source's accounts."""
        found = self._begun.get((kind, source, issuer))
        if found is None:
            if len(self._begun) >= MOST_BEGUN:
                self._begun.clear()
            found = self._bases[kind].copy()
            found.update(_frame(_bytes(source)) + _frame(_bytes(issuer)))
            self._begun[kind, source, issuer] = found
        return found

    @staticmethod
    def _finish(begun: blake2b, value: bytes) -> str:
        state = begun.copy()
        state.update(_frame(value))
        return b2a_base64(state.digest(), newline=False)[:LENGTH].translate(_URL_SAFE).decode("ascii")


def _after(state: blake2b, part: bytes) -> blake2b:
    state = state.copy()
    state.update(part)
    return state


def _frame(part: bytes) -> bytes:
    return len(part).to_bytes(4, "big") + part


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
