"""The signature check, below claims."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any, get_args

import jwt
import pytest

from guardrail_mw.identity.jwk import Algorithm, KeySet, read_jwks, read_pem, read_secret
from guardrail_mw.identity.jws import BadToken, UnknownKey, read_header, verify

from .kit import assemble, claims, private_key, public_jwk, public_pem, token

ALL = frozenset(get_args(Algorithm))
EXCEPTIONS = {346, 347, 350, 351, 367, 370, 372, 373}
"""Declared in the vectors' README: byte for byte a valid case, beyond base64url, or of an algorithm that the key has not."""


SECRET = b"s" * 32
EC = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)


def signed(header: dict[str, Any]) -> bytes:
    """Good claims under any header, signed as ES256 has it."""
    signing = assemble(header, claims()).rpartition(b".")[0]
    return assemble(header, claims(), EC.sign(signing, private_key("ES256", 0)))


def accepts(raw: bytes, keys: KeySet, algorithms: frozenset[str] = ALL) -> bool:
    try:
        verify(raw, read_header(raw, algorithms), keys)
    except BadToken:
        return False
    return True


def _accepts_case(key: dict[str, Any], raw: str) -> bool:
    try:
        keys = read_jwks({"keys": [key]}, symmetric=True)[0]
    except ValueError:
        return False
    return accepts(raw.encode(), keys)


def test_wycheproof(guardrail_shared: Path) -> None:
    document = json.loads((guardrail_shared / "data/wycheproof/json_web_signature_test.json").read_text())
    wrong, seen = set(), 0
    for group in document["testGroups"]:
        key = group.get("public") or group["private"]
        for case in group["tests"]:
            seen += 1
            if _accepts_case(key, case["jws"]) != (case["result"] == "valid"):
                wrong.add(case["tcId"])
    assert seen == 401
    assert wrong == EXCEPTIONS


ES = KeySet([read_pem(public_pem("ES256"))])
RS = KeySet([read_pem(public_pem("RS256"))])


def test_a_good_token_yields_its_payload() -> None:
    raw = token()
    assert json.loads(verify(raw, read_header(raw, {"ES256"}), ES)) == claims()


def test_a_public_key_is_no_secret() -> None:
    """Algorithm confusion: HS256 with the RSA public key, which everybody knows, as the secret."""
    header = {"alg": "HS256", "typ": "JWT"}
    signing = assemble(header, claims()).rpartition(b".")[0]
    forged = assemble(header, claims(), hmac.digest(public_pem("RS256").encode(), signing, "sha256"))
    plain = assemble(header, claims(), hmac.digest(SECRET, signing, "sha256"))
    assert accepts(plain, KeySet([read_secret(SECRET, ["HS256"])]))  # so the forger's arithmetic is right
    assert not accepts(forged, RS)
    assert not accepts(forged, RS, frozenset({"RS256"}))
    assert not accepts(forged, RS, frozenset({"RS256", "HS256"}))


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", None, 5, ["ES256"]])
def test_none_is_no_algorithm(name: object) -> None:
    assert not accepts(assemble({"alg": name}, claims()), ES)
    assert not accepts(assemble({"alg": name}, claims(), b"x" * 64), ES)


@pytest.mark.parametrize(
    "more",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": True},
        {"crit": []},
        {"b64": True},
        {"kid": 5},
        {"kid": "k" * 257},
        {"typ": 5},
    ],
)
def test_what_is_odd_in_a_signed_header_is_refused(more: dict[str, Any]) -> None:
    assert accepts(signed({"alg": "ES256"}), ES)
    assert not accepts(signed({"alg": "ES256", **more}), ES)


def test_doubled_names_in_a_signed_header_are_refused() -> None:
    head = urlsafe_b64encode(b'{"alg":"none","alg":"ES256"}').rstrip(b"=")
    signing = head + b"." + assemble({}, claims()).split(b".")[1]
    raw = signing + b"." + urlsafe_b64encode(EC.sign(signing, private_key("ES256", 0))).rstrip(b"=")
    assert jwt.api_jws.decode(raw, public_pem("ES256"), ["ES256"])  # which takes the last
    assert not accepts(raw, ES)


def test_an_algorithm_that_the_policy_does_not_name_is_refused_although_the_key_could() -> None:
    assert accepts(token("RS256"), RS, frozenset({"RS256"}))
    assert not accepts(token("RS256"), RS, frozenset({"PS256", "RS512"}))


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c"])
def test_a_key_that_a_token_brings_is_not_looked_at(name: str) -> None:
    brought = {"jwk": public_jwk("ES256", 7), "x5c": ["MII"]}.get(name, "http://127.0.0.1:1/")
    assert accepts(token(header={name: brought}), ES)
    assert not accepts(token(number=7, header={name: brought}), ES)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"..",
        b"a.b",
        b"a.b.c.d",
        b"\xff.\xff.\xff",
        b"W10.e30.",  # a list
        b"e30=.e30.",
        b"bnVsbA.e30.",  # null
        b"e30.e30.",
        b"!!.e30.",
        b"A.e30.",
        b"W1tbW1tb" * 900 + b".e30.",  # deep
    ],
)
def test_garbage(raw: bytes) -> None:
    with pytest.raises(BadToken):
        verify(raw, read_header(raw, ALL), ES)


def test_dressing_up_a_good_token_spoils_it() -> None:
    head, payload, signature = token().split(b".")
    for other in (
        b".".join([head, payload + b"!", signature]),
        b".".join([head, payload, signature + b"\n"]),
        b".".join([head, payload, signature[:-2]]),
        b".".join([head + b"\xc3\xa9", payload, signature]),
        b".".join([head, payload, signature, b""]),
    ):
        assert not accepts(other, ES)


def test_a_kid_names_its_key_and_no_other() -> None:
    keys = read_jwks({"keys": [public_jwk("ES256", 0, kid="a"), public_jwk("ES256", 1, kid="b")]})[0]
    assert accepts(token(number=1, kid="b"), keys)
    assert not accepts(token(number=1, kid="a"), keys)
    assert accepts(token(number=1), keys)  # without one, each that fits is tried
    with pytest.raises(UnknownKey):
        verify(token(kid="c"), read_header(token(kid="c"), ALL), keys)


def test_a_key_without_a_name_serves_any_kid() -> None:
    assert accepts(token(kid="whatever"), ES)
