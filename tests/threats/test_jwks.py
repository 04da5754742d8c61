"""Bad tokens cannot choose their key, bring a key of their own, or have us ask and compute without end."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest

from guardrail_mw.identity import jws
from guardrail_mw.identity import jwt as source
from guardrail_mw.identity.jwks import BUDGET

from ..identity.kit import Issuer, claims, jwt_source, private_key, public_jwk, public_pem, token  # noqa: TID252
from .kit import CHAT, JSON, Guarded, Upstream, policy

pytestmark = pytest.mark.anyio

REQUESTS = {"name": "requests", "rate": "1000/minute"}


def guard(**more: Any) -> Guarded:
    return Guarded(Upstream(), {**policy(REQUESTS), "identity": {"sources": [jwt_source(**more)]}})


async def status(guarded: Guarded, credential: bytes, peer: str = "198.51.100.7") -> int:
    return (await guarded.post(CHAT, {}, (b"authorization", b"Bearer " + credential), JSON, client=(peer, 1))).status


async def test_a_token_does_not_bring_its_key() -> None:
    """Signed by a stranger, who says where his key is, and adds it."""
    guarded = guard()
    mine = public_jwk("ES256", 7)
    for header in ({"jku": "http://127.0.0.1:9/"}, {"x5u": "http://127.0.0.1:9/"}, {"jwk": mine}, {"x5c": ["AAAA"]}):
        assert await status(guarded, token("ES256", 7, header=header)) == 401
        assert (
            await status(guarded, token("ES256", 0, header=header, sub=str(header))) == 200
        )  # and ours is not harmed by it


async def test_a_token_does_not_choose_its_algorithm() -> None:
    """A secret signature made with the public key as its secret, the oldest trick; and an algorithm the policy leaves out."""
    import hashlib
    import hmac
    from base64 import urlsafe_b64encode

    guarded = guard(algorithms=["RS256", "ES256"], keys=[public_pem("RS256")])
    pem = public_pem("RS256").encode()
    for secret in (pem, pem.strip(), json.dumps(public_jwk("RS256")).encode()):
        parts = [urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "HS256"}, claims())]
        signed = b".".join(parts)
        mac = urlsafe_b64encode(hmac.digest(secret, signed, hashlib.sha256)).rstrip(b"=")
        assert await status(guarded, signed + b"." + mac) == 401
    assert await status(guarded, token("EdDSA")) == 401
    other = jwt.api_jws.encode(json.dumps(claims()).encode(), private_key("RS256", 0), "PS256").encode()
    assert await status(guarded, other) == 401  # a good signature, by the right key
    assert await status(guarded, token("RS256")) == 200


async def test_a_flood_of_bad_signatures_is_not_verified_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten a minute are checked; then the network's new tokens are refused unread, and what was verified before goes on."""
    guarded = guard(bad_signatures=10)
    verified: list[bytes] = []

    def verify(credential: bytes, *rest: Any) -> bytes:
        verified.append(credential)
        return jws.verify(credential, *rest)

    monkeypatch.setattr(source, "verify", verify)
    known = token(sub="known")
    assert await status(guarded, known) == 200
    for number in range(300):
        assert await status(guarded, token("ES256", 7, sub=str(number))) == 401
    assert len(verified) == 1 + 10
    assert await status(guarded, known) == 200
    assert await status(guarded, token(sub="neighbour")) == 401
    assert await status(guarded, token(sub="elsewhere"), peer="203.0.113.5") == 200
    guarded.clock.advance(60)
    assert await status(guarded, token(sub="neighbour")) == 200


async def test_a_flood_of_unknown_kids_does_not_become_a_flood_of_fetches() -> None:
    with Issuer(public_jwk("ES256", kid="one")) as issuer:
        guarded = guard(keys=None, jwks=issuer.url)
        assert await status(guarded, token(kid="one")) == 200
        for number in range(200):
            assert await status(guarded, token(kid=f"k{number}", sub="x"), peer=f"203.0.113.{number}") == 401
        assert len(issuer.asked) == 1 + BUDGET
        assert await status(guarded, token(kid="one", sub="other")) == 200
        await guarded.guardrail.close()


async def test_a_bad_set_does_not_take_the_good_ones_place() -> None:
    """An issuer that is broken into by halves: an error, a redirect, a bomb, no keys. Old tokens and new ones go on."""
    with Issuer(public_jwk("ES256", kid="one")) as issuer, Issuer(public_jwk("ES256", 7, kid="evil")) as stranger:
        guarded = guard(keys=None, jwks=issuer.url)
        assert await status(guarded, token(kid="one")) == 200
        answers = [
            (500, {}, b""),
            (302, {"location": stranger.url}, b""),
            (200, {}, b'{"keys":' + b"[" * 100_000),
            (200, {}, b"x" * 300_000),
            (200, {}, b"[]"),
            (200, {"content-encoding": "gzip"}, b"\x1f\x8b"),
        ]
        for number, answer in enumerate(answers):
            issuer.answer = answer
            guarded.clock.advance(301)
            assert await status(guarded, token(kid="one", sub=f"s{number}", exp=2_000_000_000)) == 200
            await guarded.guardrail._resolver.aclose()  # waits for the fetch
            assert await status(guarded, token(kid="one", sub=f"t{number}", exp=2_000_000_000)) == 200
        assert len(issuer.asked) == 1 + len(answers)
        assert stranger.asked == []
        await guarded.guardrail.close()
