"""Tokens, held against a verification that shares no code with ours: `cryptography` and the RFCs' words.

The first line of an input says what the rest is:

    raw SOURCE            a token as it came
    vector SOURCE NUMBER  likewise, against the key of a vector of Wycheproof's
    sign SOURCE KEY       two lines, header and payload, which are signed here by KEY: so mutations get past the signature
    keys                  a key set, as an issuer publishes it
"""

from __future__ import annotations

import hmac
import json
import os
import re
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256, sha384, sha512
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from guardrail_mw.errors import TokenError
from guardrail_mw.identity import Context, IdentitySettings, Presented, Resolver
from guardrail_mw.identity.base import NullObserver
from guardrail_mw.identity.jwk import read_jwks
from guardrail_mw.identity.jws import BadToken, read_header, verify
from guardrail_mw.identity.jwt import JwtSettings, JwtSource
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.values import Credential, Facts, Subject

from .base import Target, head, said, within
from .headers import ID_KEY, digests

ISSUER: Final = "https://id.example/"
AUDIENCE: Final = "model-api"
SECRET: Final = "a secret that the issuer shares with us"  # noqa: S105 - made up
CLOCK: Final = FakeClock()
NOW: Final = CLOCK.now() // 1_000_000
LEEWAY: Final = 30
SHARED: Final = Path(os.environ.get("GUARDRAIL_SHARED", Path(__file__).parents[3] / "shared"))
TYPES: Final = {"jwt", "at+jwt", "application/at+jwt"}
_HASHES: Final[dict[str, Any]] = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
_DIGESTS: Final = {"256": sha256, "384": sha384, "512": sha512}
_CURVES: Final = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1", "ES256K": "secp256k1"}


@cache
def private(name: str) -> Any:
    """A private key by name; the same in every run, but for RSA, whose inputs are signed anew."""
    if name.startswith("RS"):
        return rsa.generate_private_key(65537, 2048)
    if name.startswith("Ed"):
        return ed25519.Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b"."))
    return ec.derive_private_key(int.from_bytes(sha256(name.encode()).digest()[:31], "big"), ec.SECP256R1())


def pem(name: str) -> str:
    """The public half."""
    public = private(name).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return str(public, "ascii")


def _jwk(name: str) -> dict[str, Any]:
    public = private(name).public_key()
    if name.startswith("Ed"):
        raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return {"kty": "OKP", "crv": "Ed25519", "x": _text(raw), "kid": name}
    numbers: Any = public.public_numbers()
    sizes = {"x": numbers.x, "y": numbers.y}
    return {"kty": "EC", "crv": "P-256", "kid": name} | {
        key: _text(value.to_bytes(32, "big")) for key, value in sizes.items()
    }


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


class Issuer:
    """One source, and what an independent reader must know of it."""

    def __init__(self, algorithms: list[str], keys: dict[str, Any], *, kids: bool = False) -> None:
        self.algorithms = frozenset(algorithms)
        self.keys = keys
        """Public keys, or the secret, by name."""
        self.kids = kids
        origin: dict[str, Any] = {"keys": [pem(name) for name in keys]}
        if kids:
            origin = {"jwks": {"keys": [_jwk(name) for name in keys]}}
        elif "secret" in keys:
            origin = {"secret": SECRET}
        claims = {"organisation": "org", "tier": "plan", "payment": "pay"}
        self.document = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": algorithms, "claims": claims, **origin}
        self.settings = JwtSettings.model_validate(self.document)
        self.identity = IdentitySettings.model_validate(
            {"sources": [{"use": "jwt", "with": self.document}, {"use": "api_key", "with": {"trust": "gateway"}}]}
        )


@cache
def issuers() -> Mapping[str, Issuer]:
    """By the name that inputs give them."""
    es, ed, rs = ({name: private(name).public_key() for name in names} for names in (["EC0"], ["Ed0"], ["RS0"]))
    both = {name: private(name).public_key() for name in ("EC0", "EC1", "Ed0")}
    return {
        "es": Issuer(["ES256"], es),
        "any": Issuer(["RS256", "PS256", "ES256", "EdDSA"], {**es, **ed, **rs}),
        "kid": Issuer(["ES256", "EdDSA"], both, kids=True),
        "hs": Issuer(["HS256"], {"secret": SECRET.encode()}),
    }


def check(data: bytes) -> None:
    """One token, to one issuer."""
    line, rest = head(data)
    verb, _, words = line.partition(" ")
    name, _, more = words.partition(" ")
    if verb == "vector":
        if more.isascii() and more.isdecimal():
            vector(int(more[:4]), rest)
        return
    if verb == "keys":
        with within(2):
            published(rest)
        return
    issuer = issuers().get(name)
    if issuer is None:
        return
    token = rest if verb == "raw" else signed(more, rest)
    with within(1):
        token = token[:20_000]
        found = source(issuer, token)
        request(issuer, token, found)


def source(issuer: Issuer, token: bytes) -> Credential | str | None:
    """What our source says of a token, the first time and the next; nobody is let in whom another would not."""
    asked = JwtSource(issuer.settings, Context("jwt", CLOCK, NullObserver(), lambda: None))
    presented = Presented(token, (b"authorization",), {}, trusted=False, network="n:one", parent="n:parent")
    answers: list[Credential | str | None] = []
    for _ in range(2):
        try:
            answer = asked.identify(presented)
            assert answer is None or isinstance(answer, Credential)
            answers.append(answer)
        except TokenError as error:
            answers.append("refused" if said(error, "invalid_token") and len(error.detail) < 300 else error.detail)
    assert answers[0] == answers[1], "another answer the second time"
    found = answers[0]
    claims = admitted(issuer, token)
    if isinstance(found, Credential):
        assert claims is not None, "let in what another verification refuses"
        agree(found, claims)
    else:
        assert claims is None, "refused what is good"
        if token.count(b".") == 2 and _named(token):
            assert found == "refused", "a token of this issuer is no other source's"
    return found


def request(issuer: Issuer, token: bytes, found: Credential | str | None) -> None:
    """The same from the whole of a request: a token that is bad is no API key either."""
    if not token or re.search(rb"[\x00-\x20,\x7f]", token):
        return
    resolver = Resolver(issuer.identity, id_key=ID_KEY, clock=CLOCK)
    facts = Facts("POST", "/v1/x", [(b"authorization", b"Bearer " + token)], peer="192.0.2.1")
    try:
        subject = resolver.identify(facts)
    except TokenError as error:
        code = said(error, "invalid_token", "credential_too_large", "ambiguous_credential")
        assert (code == "credential_too_large") is (len(token) > 8192)
        if code == "invalid_token":
            assert found == "refused"
        return
    assert isinstance(subject, Subject)
    assert subject.authenticated
    assert subject.source == ("jwt" if isinstance(found, Credential) else "api_key")
    digests(subject)


def agree(found: Credential, claims: dict[str, Any]) -> None:
    """The credential says what the claims do, within bounds."""
    assert found.value == _written(claims["sub"])
    assert found.proved is True
    assert found.expires is not None
    assert found.expires <= claims["exp"] * 1_000_000
    told = {"organisation": "org", "tier": "plan", "payment": "pay", "acr": "acr", "ial": "ial"}
    for field, claim in told.items():
        assert getattr(found, field) == _written(claims.get(claim)), f"{field} is another"


def _written(value: object) -> str:
    if type(value) is int and abs(value) < 10**18:
        return str(value)
    return value if isinstance(value, str) and len(value.encode("utf-8", "surrogatepass")) <= 255 else ""


def admitted(issuer: Issuer, token: bytes) -> dict[str, Any] | None:
    """The claims of a token that is good by every rule, or None."""
    parts = token.split(b".")
    if len(parts) != 3 or not all(re.fullmatch(rb"[A-Za-z0-9_-]*", part) and len(part) % 4 != 1 for part in parts):
        return None
    try:
        header, claims = (json.loads(_decoded(part), object_pairs_hook=_once) for part in parts[:2])
    except (ValueError, RecursionError):
        return _doubled(issuer, token)
    if not _good_header(issuer, header) or not isinstance(claims, dict) or not _verified(issuer, header, token):
        return None
    return claims if _good_claims(claims) else None


def _doubled(issuer: Issuer, token: bytes) -> dict[str, Any] | None:
    """A payload whose names stand twice is read as JSON's readers do, the last one counting; a header's is refused."""
    first, second, _ = token.split(b".")
    try:
        header, claims = json.loads(_decoded(first), object_pairs_hook=_once), json.loads(_decoded(second))
    except (ValueError, RecursionError):
        return None
    good = _good_header(issuer, header) and isinstance(claims, dict) and _verified(issuer, header, token)
    return claims if good and _good_claims(claims) else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("doubled")
    return dict(pairs)


def _decoded(part: bytes) -> bytes:
    return urlsafe_b64decode(part + b"=" * (-len(part) % 4))


def _good_header(issuer: Issuer, header: Any) -> bool:
    if not isinstance(header, dict) or header.get("alg") not in list(issuer.algorithms) or {"crit", "b64"} & header.keys():
        return False
    kid, typ = header.get("kid"), header.get("typ")
    if typ is not None and (not isinstance(typ, str) or typ.lower() not in TYPES):
        return False
    return kid is None or (isinstance(kid, str) and len(kid) <= 256)


def _verified(issuer: Issuer, header: dict[str, Any], token: bytes) -> bool:
    """Whether some key that may have signed this did."""
    signing, _, last = token.rpartition(b".")
    signature, kid = _decoded(last), header.get("kid")
    named = kid is not None and issuer.kids  # a key without a name may have signed anything
    keys = {name: key for name, key in issuer.keys.items() if name == kid or not named}
    return any(_signs(key, header["alg"], signing, signature) for key in keys.values())


def _signs(key: Any, algorithm: str, signing: bytes, signature: bytes) -> bool:
    kind, bits = algorithm[:2], algorithm[2:5]
    try:
        if kind == "HS":
            return isinstance(key, bytes) and hmac.compare_digest(hmac.digest(key, signing, _DIGESTS[bits]), signature)
        if kind == "Ed":
            return isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) and not key.verify(signature, signing)
        if kind == "ES":
            return isinstance(key, ec.EllipticCurvePublicKey) and _ecdsa(key, algorithm, signing, signature)
        if not isinstance(key, rsa.RSAPublicKey):
            return False
        digest = _HASHES[bits]()
        pad: Any = padding.PKCS1v15() if kind == "RS" else padding.PSS(padding.MGF1(digest), digest.digest_size)
        key.verify(signature, signing, pad, digest)
    except InvalidSignature:
        return False
    return True


def _ecdsa(key: ec.EllipticCurvePublicKey, algorithm: str, signing: bytes, signature: bytes) -> bool:
    size = (key.curve.key_size + 7) // 8
    if key.curve.name != _CURVES[algorithm] or len(signature) != 2 * size:
        return False
    r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
    key.verify(encode_dss_signature(r, s), signing, ec.ECDSA(_HASHES[algorithm[2:5]]()))
    return True


def _good_claims(claims: dict[str, Any]) -> bool:
    """RFC 7519 4.1, with our leeway and our bounds."""
    times: dict[str, Any] = {name: claims.get(name) for name in ("exp", "nbf", "iat")}
    for name, value in times.items():
        if value is None and name != "exp":
            continue
        if type(value) not in (int, float) or not 0 <= value < 10**12:
            return False
        late = value + LEEWAY <= NOW if name == "exp" else value - LEEWAY > NOW
        if late:
            return False
    audience = claims.get("aud")
    named = audience == AUDIENCE if isinstance(audience, str) else isinstance(audience, list) and AUDIENCE in audience
    return named and claims.get("iss") == ISSUER and _written(claims.get("sub")) != ""


def _named(token: bytes) -> bool:
    """Whether a token says, in plain base64url and plain JSON, that it is this issuer's."""
    part = token.split(b".")[1]
    try:
        claims = json.loads(_decoded(part)) if re.fullmatch(rb"[A-Za-z0-9_-]+", part) else None
    except (ValueError, RecursionError):
        return False
    return isinstance(claims, dict) and claims.get("iss") == ISSUER


def signed(name: str, rest: bytes) -> bytes:
    """The two lines of an input as a token; with `pem:KEY` signed by HMAC under a public key, which everybody knows."""
    header, _, payload = rest.partition(b"\n")
    signing = b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in (header, payload))
    return signing + b"." + urlsafe_b64encode(_signature(name, signing)).rstrip(b"=")


def _signature(name: str, signing: bytes) -> bytes:
    if name.startswith("pem:"):
        return hmac.digest(pem(name[4:8]).encode(), signing, "sha256")
    if name == "HS":
        return hmac.digest(SECRET.encode(), signing, "sha256")
    if name not in {"EC0", "EC1", "EC9", "Ed0", "Ed9", "RS0", "PS0"}:
        return name.encode("latin-1")
    key = private("RS0" if name == "PS0" else name)
    if name.startswith("EC"):
        r, s = decode_dss_signature(key.sign(signing, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    pads: dict[str, Any] = {"RS": padding.PKCS1v15(), "PS": padding.PSS(padding.MGF1(hashes.SHA256()), 32)}
    more = (pads[name[:2]], hashes.SHA256()) if name[:2] in pads else ()
    signature: bytes = key.sign(signing, *more)
    return signature


@cache
def vectors() -> list[dict[str, Any]]:
    """Wycheproof's keys, and a token of each; none where they are not at hand."""
    try:
        document = json.loads((SHARED / "data/wycheproof/json_web_signature_test.json").read_bytes())
    except OSError:
        return []
    return [group for group in document["testGroups"] if (group.get("public") or group["private"]).get("kty") != "oct"]


def vector(number: int, token: bytes) -> None:
    """What our check of signatures lets pass under a vector's key, `cryptography` does too."""
    if number >= len(vectors()):
        return
    key = vectors()[number].get("public") or vectors()[number]["private"]
    try:
        keys, _ = read_jwks({"keys": [key]})
    except ValueError:
        return
    algorithms = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
    try:
        header = read_header(token, algorithms)
        payload = verify(token, header, keys)
    except BadToken:
        return
    signing, _, last = token.rpartition(b".")
    assert re.fullmatch(rb"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*", token), "not base64url"
    assert any(_signs(each.material, header.algorithm, signing, _decoded(last)) for each in keys.keys)
    assert payload == _decoded(token.split(b".")[1])


def published(text: bytes) -> None:
    """A set is read or refused with a reason; what is kept of it verifies nothing that its kind does not."""
    try:
        document = json.loads(text)
        keys, left_out = read_jwks(document)
    except (ValueError, RecursionError):
        return
    assert 1 <= len(keys.keys) <= 64
    assert len(keys.keys) + len(left_out) <= 2 * len(document["keys"])
    for key in keys.keys:
        assert key.algorithms
        assert not isinstance(key.material, bytes), "a secret in a public set"
        for algorithm in key.algorithms:
            kind: Any = {"RS": rsa.RSAPublicKey, "PS": rsa.RSAPublicKey, "ES": ec.EllipticCurvePublicKey}.get(algorithm[:2])
            assert isinstance(key.material, kind or ed25519.Ed25519PublicKey | ed448.Ed448PublicKey)
            if isinstance(key.material, ec.EllipticCurvePublicKey):
                assert key.material.curve.name == _CURVES[algorithm]
        if isinstance(key.material, rsa.RSAPublicKey):
            assert 2048 <= key.material.key_size <= 8192


def seeds() -> Iterator[bytes]:
    """Good tokens of every kind, bad ones, and the vectors."""
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": NOW + 3600}
    kinds = [("es", "EC0", "ES256"), ("any", "RS0", "RS256"), ("any", "PS0", "PS256"), ("any", "Ed0", "EdDSA"),
             ("kid", "EC1", "ES256"), ("hs", "HS", "HS256"), ("es", "EC9", "ES256"), ("any", "pem:RS0", "HS256"),
             ("kid", "Ed9", "EdDSA")]  # fmt: skip
    for name, key, algorithm in kinds:
        for header in ({"alg": algorithm}, {"alg": algorithm, "kid": key, "typ": "JWT"}):
            yield _signing(name, key, header, claims)
    header = {"alg": "ES256"}
    claimed: tuple[dict[str, Any], ...] = (
        {"exp": NOW + 0.5, "nbf": NOW - 5, "iat": NOW, "org": "office", "plan": "pro", "pay": "visa", "acr": "kyc", "ial": "2"},
        {"exp": NOW - 29, "nbf": NOW + 29}, {"exp": NOW - 30}, {"nbf": NOW + 31}, {"exp": True}, {"exp": 1e400}, {"exp": "1"},
        {"aud": ["x", AUDIENCE]}, {"aud": [1, None]}, {"aud": None}, {"sub": 7}, {"sub": ""}, {"sub": "\ud800"},
        {"sub": "x" * 256},
        {"plan": "\ud800", "org": "\udfff", "acr": "\ud800"}, {"iss": "https://other.example/"}, {"deep": [[[[[[[[{}]]]]]]]]},
    )  # fmt: skip
    for more in claimed:
        yield _signing("es", "EC0", header, claims | more)
    for more_header in (
        {"crit": ["exp"]},
        {"b64": False},
        {"typ": "id+jwt"},
        {"kid": "k" * 257},
        {"jku": "https://x/"},
        {"alg": "none"},
    ):
        yield _signing("es", "EC0", header | more_header, claims)
    yield b'sign es EC0\n{"alg":"none","alg":"ES256"}\n' + json.dumps(claims).encode()
    yield b'sign es EC0\n{"alg":"ES256"}\n{"iss":"a",' + json.dumps(claims).encode()[1:]
    good = signed("EC0", b'{"alg":"ES256"}\n' + json.dumps(claims).encode())
    yield b"raw es\n" + good
    yield b"raw es\n" + good + b"="
    yield b"raw es\n" + good[:-1]
    yield b"raw es\n" + good.rpartition(b".")[0] + b"."
    yield b"raw kid\n" + b64encode(json.dumps(header).encode()) + b"." + b64encode(json.dumps(claims).encode()) + b".AAAA"
    yield b"raw es\n" + b"." * 30
    yield from key_sets()
    for number, group in enumerate(vectors()):
        for case in group["tests"][:1]:
            yield f"vector es {number}\n{case['jws']}".encode()


def key_sets() -> Iterator[bytes]:
    """Sets of keys, and what may be in one."""
    own = [_jwk("EC0"), _jwk("Ed0")]
    sets: list[Any] = [{"keys": own}, {"keys": own * 40}, {"keys": []}, {"keys": [own[0], {**own[1], "kid": "EC0"}]}, [], {}]
    odd: tuple[dict[str, Any], ...] = (
        {"use": "enc"}, {"key_ops": ["sign"]}, {"key_ops": "verify"}, {"alg": "RS256"}, {"kid": 5}, {"d": "AA"}, {"x": "AA"},
        {"x": "!"}, {"crv": "P-521"}, {"crv": ["P-256"]}, {"kty": "oct", "k": "AAAA"}, {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": None}, {"x": own[0]["y"]}, {"kty": "RSA", "n": "_" * 350, "e": "AA"}, {"y": None},
        {"kty": "RSA", "n": "_" * 350, "e": "_" * 400}, {"use": 5}, {"alg": ["ES256"]},
    )  # fmt: skip
    for more in odd:
        sets.append({"keys": [{**own[0], **more}, own[1]]})
        sets.append({"keys": [{**own[1], **more}]})
    for each in sets:
        yield f"keys\n{json.dumps(each)}".encode()
    for group in vectors():
        yield f"keys\n{json.dumps({'keys': [group.get('public') or group['private']]})}".encode()


def _signing(name: str, key: str, header: dict[str, Any], claims: dict[str, Any]) -> bytes:
    return f"sign {name} {key}\n{json.dumps(header)}\n{json.dumps(claims)}".encode()


WORDS: Final = (
    b'"alg":"ES256"', b'"alg":"none"', b'"alg":"HS256"', b'"kid":"EC0"', b'"kid":null', b'"crit":[]', b'"typ":"at+jwt"',
    b'"exp":', b'"nbf":', b'"iat":', b'"aud":["model-api"]', b'"sub":', b'"iss":"https://id.example/"', b"null", b"true",
    b"1e400", b"NaN", b'keys\n{"keys":[', b'"kty":"EC"', b'"kty":"RSA"', b'"crv":"P-256"', b'"use":"sig"',
    b'"key_ops":["verify"]', b'"n":"', b'"e":"AQAB"', b"-0.0", b"\\ud800", b"\\u0000", b"sign es EC0\n",
    b"sign any RS0\n", b"sign kid EC1\n", b"sign hs HS\n", b"raw es\n", b"pem:RS0", b"=", b"ey", b".", b'"plan":',
    b'"org":', b'"acr":', b"1767225600",
)  # fmt: skip

TARGET: Final = Target("jwt", check, seeds, WORDS, 4096)
