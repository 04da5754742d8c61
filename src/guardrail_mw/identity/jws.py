"""The signature check, below claims: RFC 7515 compact serialisation, verified by PyJWT against a key that we chose.

The algorithm comes from the policy and the key, never from the token; `jku`, `x5u`, `jwk` and `x5c` are not looked at; any
`crit` is refused, because nothing critical is implemented here.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, NamedTuple, cast

import jwt
from jwt.api_jws import PyJWS

from guardrail_mw.identity.jwk import KeySet

__all__ = ["BadToken", "Header", "UnknownKey", "read_header", "verify"]

LONGEST_KID = 256
"""Characters of a `kid`; whatever is longer is nobody's."""

_JWS = PyJWS(options={"enforce_minimum_key_length": True})
_ALPHABET = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


class BadToken(Exception):  # noqa: N818 - a finding, turned into a TokenError by whoever asked
    """The token is not what it should be. Its text is for logs and holds nothing of the token."""


class UnknownKey(BadToken):
    """No key of the set may have signed it."""

    def __init__(self, kid: str | None) -> None:
        super().__init__("no key of the issuer may have signed it")
        self.kid = kid


class Header(NamedTuple):
    """What is needed of a token's header."""

    algorithm: str
    kid: str | None
    typ: str | None


def read_header(token: bytes, algorithms: Collection[str]) -> Header:
    """Read and check the header, unverified.

    Raises:
        BadToken: it is malformed, names an algorithm that the policy does not, or something critical.
    """
    if not token.isascii() or token.count(b".") != 2:  # noqa: PLR2004 - header, payload, signature
        raise BadToken("it is not three ASCII segments")
    segment = token.partition(b".")[0]
    if not segment or not _ALPHABET.issuperset(segment):
        raise BadToken("its header is not base64url")
    try:
        header = json.loads(jwt.utils.base64url_decode(segment), object_pairs_hook=_no_doubles)
    except (ValueError, RecursionError) as error:
        raise BadToken("its header is not JSON") from error
    if not isinstance(header, dict):
        raise BadToken("its header is not an object")
    return _check(header, algorithms)


def verify(token: bytes, header: Header, keys: KeySet) -> bytes:
    """Check the signature with the key that the header names, or with each that fits.

    Args:
        token: the whole token.
        header: what `read_header` made of the same token.
        keys: of its issuer.

    Returns:
        the payload.

    Raises:
        UnknownKey: no key fits.
        BadToken: the signature is bad, or the token malformed.
    """
    candidates = keys.candidates(header.kid, header.algorithm)
    if not candidates:
        raise UnknownKey(header.kid)
    for key in candidates:
        try:
            return cast("bytes", _JWS.decode(token, key.material, algorithms=[header.algorithm]))
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
    raise BadToken("its signature is bad")


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _check(header: dict[str, Any], algorithms: Collection[str]) -> Header:
    algorithm, kid, typ = header.get("alg"), header.get("kid"), header.get("typ")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise BadToken("its alg is not one that the policy allows")
    if "crit" in header or "b64" in header:
        raise BadToken("it names something critical, which is not understood here")
    if kid is not None and (not isinstance(kid, str) or len(kid) > LONGEST_KID):
        raise BadToken("its kid is not a text, or too long")
    if typ is not None and not isinstance(typ, str):
        raise BadToken("its typ is not a text")
    return Header(algorithm, kid, typ)
