"""Keys: what each may verify, and which are not taken."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import RSAAlgorithm

from guardrail_mw.identity.jwk import KeySet, read_jwk, read_jwks, read_pem, read_secret
from guardrail_mw.identity.jws import BadToken, read_header, verify

from .kit import private_key, public_jwk, public_pem

SECRET = {"kty": "oct", "alg": "HS256", "k": base64.urlsafe_b64encode(b"s" * 32).decode().rstrip("=")}


def test_a_key_verifies_what_its_type_allows_or_its_alg_says() -> None:
    rsa_algorithms = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
    assert read_jwk(public_jwk("RS256"), symmetric=False).algorithms == rsa_algorithms
    assert read_jwk(public_jwk("RS256", alg="PS384"), symmetric=False).algorithms == {"PS384"}
    assert read_jwk(public_jwk("ES256"), symmetric=False).algorithms == {"ES256"}
    assert read_jwk(public_jwk("EdDSA"), symmetric=False).algorithms == {"EdDSA"}
    assert read_pem(public_pem("RS256")).algorithms == rsa_algorithms
    assert read_jwk(SECRET, symmetric=True).algorithms == {"HS256"}


def test_pem_and_jwk_of_one_key_are_one() -> None:
    assert read_pem(public_pem("ES256")).print == read_jwk(public_jwk("ES256"), symmetric=False).print


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (public_jwk("ES256", use="enc"), "use"),
        (public_jwk("ES256", use=None), "use"),
        (public_jwk("ES256", key_ops=["encrypt"]), "key_ops"),
        (public_jwk("ES256", key_ops="verify"), "key_ops"),
        (public_jwk("ES256", kid=5), "kid"),
        (public_jwk("ES256", alg="RS256"), "alg"),
        (public_jwk("ES256", alg="HS256"), "alg"),
        (public_jwk("ES256", alg=5), "alg"),
        (public_jwk("ES256", d="AAAA"), "private"),
        (public_jwk("ES256", crv="P-999"), "crv"),
        (public_jwk("ES256", crv=["P-256"]), "crv"),
        (public_jwk("EdDSA", crv=["Ed25519"]), "crv"),
        (public_jwk("ES256", x="!!!"), "numbers"),
        (public_jwk("ES256", x=5), "numbers"),
        (public_jwk("RS256", e="AQ"), "numbers"),
        (public_jwk("RS256", n=None), "numbers"),
        ({"kty": "PQ"}, "kty"),
        ({}, "kty"),
        (SECRET, "shared secret"),
    ],
)
def test_keys_for_something_else_are_refused(document: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_jwk(document, symmetric=False)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"alg": "A256GCM"}, "alg"),
        ({"alg": ["HS256"]}, "alg"),
        ({"k": ""}, "k is not|0 bytes"),
        ({"k": "c2hvcnQ"}, "5 bytes"),
        ({"k": 5}, "k is"),
    ],
)
def test_secrets_that_are_none_are_refused(more: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_jwk(SECRET | more, symmetric=True)


def test_weak_keys_are_refused() -> None:
    weak = json.loads(RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key()))  # noqa: S505 - on purpose
    weak.pop("key_ops")
    with pytest.raises(ValueError, match="1024 bits; RSA keys need 2048 to 8192"):
        read_jwk(weak, symmetric=False)
    with pytest.raises(ValueError, match=r"has 47 bytes; HS256, HS384 needs at least 48"):
        read_secret(b"x" * 47, ["HS256", "HS384"])
    with pytest.raises(ValueError, match="a public key is no secret"):
        read_secret(public_pem("RS256").encode(), ["HS256"])


def test_pem_that_is_no_public_key() -> None:
    private = private_key("ES256", 0).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(ValueError, match="pkey -pubout"):
        read_pem(private)
    with pytest.raises(ValueError, match="-----BEGIN PUBLIC KEY-----"):
        read_pem("hello")
    curve = ec.generate_private_key(ec.BrainpoolP256R1()).public_key()
    with pytest.raises(ValueError, match="curve brainpoolP256r1 is not one that JWTs use"):
        read_pem(curve.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())
    other = dsa.generate_parameters(2048).generate_private_key().public_key()
    with pytest.raises(ValueError, match="not a public key of RSA"):
        read_pem(other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def test_a_set_leaves_out_what_it_cannot_use_and_says_why() -> None:
    documents = [public_jwk("ES256", 0, kid="a"), public_jwk("ES256", 1, kid="b", use="enc"), "x", SECRET]
    keys, left_out = read_jwks({"keys": documents})
    assert [key.kid for key in keys.keys] == ["a"]
    assert [text.split(":")[0] for text in left_out] == ["keys[1]", "keys[2]", "keys[3]"]


def test_two_keys_of_one_kid_name_neither() -> None:
    good, other = public_jwk("ES256", 0, kid="a"), public_jwk("ES256", 1, kid="a")
    keys, left_out = read_jwks({"keys": [good, other, public_jwk("ES256", 2, kid="b")]})
    assert [key.kid for key in keys.keys] == ["b"]
    assert "names two different keys" in left_out[0]
    assert keys.candidates("a", "ES256") == ()
    same, nothing = read_jwks({"keys": [good, good]})
    assert (len(same.keys), nothing) == (1, [])


@pytest.mark.parametrize("document", [None, [], {}, {"keys": {}}, {"keys": []}, {"keys": [SECRET]}, {"keys": [{}] * 65}])
def test_what_is_no_set_of_keys_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match=r"not a JSON Web Key Set|no key that verifies|at most 64"):
        read_jwks(document)


def test_when_newer_keys_could_help() -> None:
    named = read_jwks({"keys": [public_jwk("ES256", kid="a"), public_jwk("ES256", 1)]})[0]
    assert named.knows("a")
    assert named.knows(None)
    assert not named.knows("b")
    assert KeySet([read_pem(public_pem("ES256"))]).knows("b")


def test_a_token_without_kid_is_tried_with_four_keys() -> None:
    keys = read_jwks({"keys": [public_jwk("ES256", number, kid=str(number)) for number in range(10)]})[0]
    assert len(keys.candidates(None, "ES256")) == 4


DECLARED = {1, 7}
"""1 mixes a shared secret with a public key, which no policy can ask for; 7 is a ROCA modulus, not looked for."""


def test_wycheproof(guardrail_shared: Path) -> None:
    document = json.loads((guardrail_shared / "data/wycheproof/json_web_key_test.json").read_text())
    wrong = set()
    for group in document["testGroups"]:
        for case in group["tests"]:
            raw = case["jws"].encode()
            try:
                keys = read_jwks(group.get("public") or group["private"], symmetric=True)[0]
                verify(raw, read_header(raw, {"HS256", "HS384", "HS512", "RS256", "ES256"}), keys)
                result = "valid"
            except (BadToken, ValueError):
                result = "invalid"
            if result != case["result"]:
                wrong.add(case["tcId"])
    assert wrong == DECLARED
