"""Public keys, read from PEM, JWK (RFC 7517) or a plain secret, and what each may verify.

PyJWT reads the numbers; we decide what a key is for, because PyJWT 2.15.1 looks at neither `use` nor `key_ops`. A key
verifies the algorithm that its own `alg` names, or else all that its type and curve allow, so that no algorithm ever meets
a key of another kind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from jwt.api_jwk import PyJWK

__all__ = ["SYMMETRIC", "Algorithm", "Key", "KeySet", "Material", "read_jwk", "read_jwks", "read_pem", "read_secret"]

Algorithm: TypeAlias = Literal[
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "ES256K",
    "EdDSA",
    "HS256",
    "HS384",
    "HS512",
]
Material: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey | bytes

SYMMETRIC = frozenset({"HS256", "HS384", "HS512"})
MOST_KEYS = 64
"""Keys of one set; more is a mistake or an attack."""
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_RSA_BITS = (2048, 8192)
"""RFC 7518 3.3 demands 2048; verifying with more than 8192 takes over a millisecond."""
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512", "secp256k1": "ES256K"}
_TRIED = 4
"""Keys that a token without `kid` is tried with."""


class Key(NamedTuple):
    """One key and what it may verify."""

    kid: str | None
    algorithms: frozenset[str]
    material: Material
    print: bytes
    """SHA-256 of the public key: two keys are one when it is the same."""


class KeySet:
    """The keys of one issuer.

    Two different keys of one `kid` name neither: both are left out, so that nobody can slip a key in beside another.
    """

    __slots__ = ("_by_kid", "_nameless", "doubled", "keys", "prints")

    def __init__(self, keys: Sequence[Key]) -> None:
        by_kid: dict[str, Key] = {}
        doubled: set[str] = set()
        for key in keys:
            if key.kid is not None and by_kid.setdefault(key.kid, key).print != key.print:
                doubled.add(key.kid)
        self.doubled = frozenset(doubled)
        self._by_kid = {kid: key for kid, key in by_kid.items() if kid not in doubled}
        self._nameless = tuple(key for key in keys if key.kid is None)
        self.keys = (*self._by_kid.values(), *self._nameless)
        self.prints = frozenset((key.kid, key.print) for key in self.keys)

    def candidates(self, kid: str | None, algorithm: str) -> tuple[Key, ...]:
        """The keys that may have signed a token: the one it names, else the nameless; without `kid`, any that fits."""
        if kid is None:
            return tuple(key for key in self.keys if algorithm in key.algorithms)[:_TRIED]
        named = self._by_kid.get(kid)
        found = self._nameless if named is None else (named,)
        return tuple(key for key in found if algorithm in key.algorithms)[:_TRIED]

    def knows(self, kid: str | None) -> bool:
        """Whether newer keys could tell nothing new of `kid`: it is one of ours, or our issuer names none."""
        return kid is None or kid in self._by_kid or not self._by_kid


def read_secret(secret: bytes, algorithms: Collection[str]) -> Key:
    """A shared secret for HS256, HS384 or HS512.

    Raises:
        ValueError: it is shorter than the hash of an algorithm that it is to verify (RFC 7518 3.2), or known to everybody.
    """
    if b"-----BEGIN" in secret:
        raise ValueError("the secret is a key in PEM: a public key is no secret; give it under `keys`")
    needed = max((int(name[2:]) // 8 for name in algorithms if name in SYMMETRIC), default=32)
    if len(secret) < needed:
        raise ValueError(f"the secret has {len(secret)} bytes; {', '.join(sorted(algorithms))} needs at least {needed}")
    return Key(None, frozenset(algorithms) & SYMMETRIC, secret, hashlib.sha256(secret).digest())


def read_pem(text: str) -> Key:
    """A public key in PEM (`-----BEGIN PUBLIC KEY-----`).

    Raises:
        ValueError: it is something else, or a key that is too weak.
    """
    if "PRIVATE" in text:
        raise ValueError("this is a private key: leave it with the issuer and give the public one (openssl pkey -pubout)")
    try:
        material = load_pem_public_key(text.encode())
    except Exception as error:
        raise ValueError(f"not a public key in PEM, which begins with -----BEGIN PUBLIC KEY-----: {error}") from error
    return _key(None, material)


def read_jwk(document: Mapping[str, Any], *, symmetric: bool) -> Key:
    """One JSON Web Key.

    Args:
        document: the key; `x5u`, `x5c` and `jku` are ignored.
        symmetric: whether `oct` keys are taken; never where anybody can read the set.

    Raises:
        ValueError: it is not a key that verifies signatures, or one that is too weak; says why.
    """
    kid = document.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise ValueError("its kid is not a text")
    if document.get("use", "sig") != "sig":
        raise ValueError("its use is not sig")
    operations = document.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise ValueError("its key_ops do not include verify")
    if document.get("kty") == "oct":
        return _oct(kid, document, symmetric=symmetric)
    if "d" in document:
        raise ValueError("it is a private key")
    name = document.get("alg")
    reader = _reader(document)
    try:
        material = PyJWK(dict(document), reader).key
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
        raise ValueError("its numbers are not a public key") from error
    key = _key(kid, material)
    if name is None:
        return key
    if not isinstance(name, str) or name not in key.algorithms:
        raise ValueError("its alg is not one that this type of key can verify")
    return key._replace(algorithms=frozenset({name}))


def read_jwks(document: object, *, symmetric: bool = False) -> tuple[KeySet, list[str]]:
    """A JSON Web Key Set. Keys that are for something else are left out.

    Returns:
        the set, and why each key that was left out was.

    Raises:
        ValueError: it is not a set, is too large, or none of its keys can be used.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("keys"), list):
        raise ValueError("not a JSON Web Key Set: expected an object whose `keys` is a list")  # noqa: TRY004 - of one kind
    documents = document["keys"]
    if len(documents) > MOST_KEYS:
        raise ValueError(f"the set has {len(documents)} keys; at most {MOST_KEYS} are read")
    keys: list[Key] = []
    left_out: list[str] = []
    for index, item in enumerate(documents):
        try:
            if not isinstance(item, Mapping):
                raise ValueError("it is not an object")  # noqa: TRY004, TRY301 - one way out for all
            keys.append(read_jwk(item, symmetric=symmetric))
        except ValueError as error:
            left_out.append(f"keys[{index}]: {error}")
    found = KeySet(keys)
    left_out.extend(f"kid {kid[:64]!r}: names two different keys" for kid in sorted(found.doubled))
    if not found.keys:
        raise ValueError("the set has no key that verifies signatures" + "".join(f"; {why}" for why in left_out[:8]))
    return found, left_out


def _reader(document: Mapping[str, Any]) -> str:
    """The name under which PyJWT reads this key's numbers; what it may verify is decided afterwards."""
    kind, curve = document.get("kty"), document.get("crv")
    if kind == "RSA":
        return "RS256"
    if kind == "OKP" and isinstance(curve, str) and curve in {"Ed25519", "Ed448"}:
        return "EdDSA"
    by_curve = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "secp256k1": "ES256K"}
    if kind == "EC" and isinstance(curve, str) and curve in by_curve:
        return by_curve[curve]
    raise ValueError("its kty or crv is unknown")


def _oct(kid: str | None, document: Mapping[str, Any], *, symmetric: bool) -> Key:
    if not symmetric:
        raise ValueError("it is a shared secret, which no public set may hold")
    name = document.get("alg", "HS256")
    if not isinstance(name, str) or name not in SYMMETRIC:
        raise ValueError("its alg is not one that a shared secret can verify")
    try:
        secret = PyJWK(dict(document), name).key
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
        raise ValueError("its k is not a key") from error
    return read_secret(secret, [name])._replace(kid=kid)


def _key(kid: str | None, material: object) -> Key:
    if isinstance(material, RSAPublicKey):
        least, most = _RSA_BITS
        if not least <= material.key_size <= most:
            raise ValueError(f"it has {material.key_size} bits; RSA keys need {least} to {most}")
        algorithms = _RSA
    elif isinstance(material, EllipticCurvePublicKey):
        name = _CURVES.get(material.curve.name)
        if name is None:
            raise ValueError(f"its curve {material.curve.name} is not one that JWTs use")
        algorithms = frozenset({name})
    elif isinstance(material, Ed25519PublicKey | Ed448PublicKey):
        algorithms = frozenset({"EdDSA"})
    else:
        raise ValueError("it is not a public key of RSA, EC, Ed25519 or Ed448")  # noqa: TRY004 - one kind for all
    public = material.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Key(kid, algorithms, material, hashlib.sha256(public).digest())
