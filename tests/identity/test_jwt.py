"""Tokens: who owns them, what they say, how long they are remembered. Fetched keys are in test_jwks."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from guardrail_mw.errors import TokenError
from guardrail_mw.identity import jwt as module
from guardrail_mw.identity.digest import Digester
from guardrail_mw.identity.jwk import KeySet, read_jwks
from guardrail_mw.identity.jws import Header, verify
from guardrail_mw.identity.jwt import JwtSettings, JwtSource
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.values import Credential

from .kit import (
    ID_KEY,
    ISSUER,
    NOW,
    Counts,
    assemble,
    at_once,
    bearer,
    claims,
    context,
    jwt_source,
    key_source,
    presented,
    public_jwk,
    public_pem,
    resolver,
    token,
)


def source(clock: FakeClock | None = None, counts: Counts | None = None, **more: Any) -> JwtSource:
    return JwtSource(JwtSettings.model_validate(jwt_source(**more)["with"]), context("jwt", clock, counts))


def test_what_a_token_says() -> None:
    names = {"organisation": "org_id", "tier": "plan", "payment": "pay_fp"}
    raw = token(org_id="acme", plan="pro", pay_fp="fp1", acr="urn:kyc", ial=2)
    assert source(claims=names).identify(presented(raw)) == Credential(
        source="jwt",
        issuer=ISSUER,
        value="alice",
        proved=True,
        organisation="acme",
        tier="pro",
        payment="fp1",
        acr="urn:kyc",
        ial="2",
        expires=(NOW + 3600) * 1_000_000,
    )


@pytest.mark.parametrize(
    ("more", "domain", "verified", "created"),
    [
        ({"mail": "Ann@Lab.Example.COM", "email_verified": True, "made": 1_700_000_000}, "example.com", True, 1_700_000_000),
        ({"mail": "ann@example.com", "made": "2023-11-14T22:13:20Z"}, "example.com", False, 1_700_000_000),
        ({"mail": "ann@gmail.com", "email_verified": True}, "", True, None),
        ({"mail": ["ann@example.com"], "email_verified": "no", "made": [1]}, "", False, None),
        ({"mail": 5, "made": NOW + 3600}, "", False, None),
        ({"mail": "", "made": ""}, "", False, None),
        ({"mail": "a" * 250 + "@example.com"}, "", False, None),
        ({"email": "ann@example.com", "created": 5}, "", False, None),
    ],
)
def test_evidence_of_a_token(more: dict[str, Any], domain: str, verified: bool, created: int | None) -> None:
    found = source(claims={"email": "mail", "created": "made"}).identify(presented(token(**more)))
    assert isinstance(found, Credential)
    assert (found.domain, found.domain_verified) == (domain, verified)
    assert found.created == (created * 1_000_000 if created is not None else None)


def test_claims_that_are_not_named_are_not_read() -> None:
    found = source(claims={"acr": None}).identify(presented(token(organisation="acme", tier="pro", acr="urn:kyc")))
    assert isinstance(found, Credential)
    assert (found.organisation, found.tier, found.acr) == ("", "", "")


def test_another_claim_can_name_the_account() -> None:
    by_client = source(claims={"account": "client_id"})
    found = by_client.identify(presented(token(client_id="robot", sub="alice")))
    assert isinstance(found, Credential)
    assert found.value == "robot"
    with pytest.raises(TokenError):
        by_client.identify(presented(token(sub="alice")))


@pytest.mark.parametrize(
    "raw",
    [
        b"sk-abc",
        b"a.b.c",
        token(iss="https://other.example/"),
        token(iss=ISSUER.rstrip("/")),
        token(iss=None),
        token(iss=[ISSUER]),
    ],
)
def test_what_is_not_its_own_is_left_to_others(raw: bytes) -> None:
    assert source().identify(presented(raw)) is None


def test_only_its_headers_are_read() -> None:
    assert source().identify(presented(token(), b"x-api-key")) is None
    assert source(headers=["x-token"]).identify(presented(token(), b"x-token")) is not None


BAD = {
    "expired": token(exp=NOW - 31),
    "early": token(nbf=NOW + 31),
    "audience": token(aud="somebody"),
    "no account": token(sub=None),
    "empty account": token(sub=""),
    "long account": token(sub="x" * 256),
    "key": token(number=1),
    "none": assemble({"alg": "none"}, claims()),
    "unsigned": assemble({"alg": "ES256"}, claims()),
    "algorithm": token("EdDSA"),
    "kind": token(header={"typ": "dpop+jwt"}),
    "padding": token().replace(b".", b"=.", 1),
    "payload": b"=.".join([b".".join(token().split(b".")[:2]), token().split(b".")[2]]),
    "stray": token() + b"\xc3\xa9",
    "segments": token() + b".more",
}


@pytest.mark.parametrize("kind", BAD)
def test_its_own_but_bad_is_refused_and_no_other_source_is_asked(kind: str) -> None:
    """`gateway` believes whatever it is asked about: that it is not asked is the point."""
    counts = Counts()
    both = resolver(jwt_source(), key_source("gateway"), observer=counts)
    with pytest.raises(TokenError) as caught:
        both.identify(bearer(BAD[kind]))
    assert (caught.value.status, caught.value.code) == (401, "invalid_token")
    assert caught.value.public == "The access token is not valid."
    assert counts["identity.bad_token"] + counts["identity.bad_signature"] == 1
    assert "alice" not in caught.value.detail


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"])
def test_usual_types(typ: str) -> None:
    assert source().identify(presented(token(header={"typ": typ}))) is not None


def test_a_secret() -> None:
    shared = source(algorithms=["HS256"], keys=None, secret="s" * 32)
    good = jwt.encode(claims(), "s" * 32, "HS256").encode()
    assert shared.identify(presented(good)) is not None
    with pytest.raises(TokenError):
        shared.identify(presented(jwt.encode(claims(), "t" * 32, "HS256").encode()))


def test_an_account_is_source_issuer_and_sub() -> None:
    subject = at_once(resolver(jwt_source(claims={"organisation": "org"})).identify(bearer(token(org="acme"))))
    digester = Digester(ID_KEY)
    assert subject.account == subject.candidate == digester.account("jwt", ISSUER, "alice")
    assert subject.organisation == digester.organisation("jwt", ISSUER, "acme")
    assert subject.authenticated
    assert not subject.verified


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\u00e9", "e\u0301"),
        ("alice", "\u0430lice"),
        ("alice", "Alice"),
        ("alice", "alice "),
        ("alice", "alice\u200b"),
        ("\ufb01", "fi"),
        ("\u00df", "ss"),
    ],
)
def test_unicode_twins_are_two_accounts(one: str, other: str) -> None:
    guarded = resolver(jwt_source())
    assert len({at_once(guarded.identify(bearer(token(sub=name)))).account for name in (one, other)}) == 2


def test_a_verified_token_is_not_verified_again_until_exp(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    it = source(clock)
    raw = token(exp=NOW + 100)
    assert it.identify(presented(raw)) is not None
    calls: list[bytes] = []

    def recorded(one: bytes, header: Header, keys: KeySet) -> bytes:
        calls.append(one)
        return verify(one, header, keys)

    monkeypatch.setattr(module, "verify", recorded)
    clock.advance(99.999999)
    assert it.identify(presented(raw)) is not None
    assert calls == []
    clock.advance(0.000001)
    assert it.identify(presented(raw)) is not None  # within the leeway, and looked at anew
    assert calls == [raw]


def test_the_resolver_remembers_no_longer_than_exp_and_leeway() -> None:
    clock = FakeClock()
    guarded = resolver(jwt_source(), clock=clock)
    raw = bearer(token(exp=NOW + 100))
    first = at_once(guarded.identify(raw))
    clock.advance(59)
    assert guarded.identify(raw) is first
    clock.advance(70.999999)
    assert at_once(guarded.identify(raw)).account == first.account
    clock.advance(0.000001)
    with pytest.raises(TokenError):
        guarded.identify(raw)


def test_remembering_one_token_helps_no_other() -> None:
    it = source()
    good = token()
    assert it.identify(presented(good)) is not None
    head, payload, _ = good.split(b".")
    with pytest.raises(TokenError):
        it.identify(presented(b".".join([head, payload, token(number=1).split(b".")[2]])))


def test_bad_signatures_have_a_budget_by_network(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, counts = FakeClock(), Counts()
    it = source(clock, counts)
    asked: list[bytes] = []

    def recorded(one: bytes, header: Header, keys: KeySet) -> bytes:
        asked.append(one)
        return verify(one, header, keys)

    monkeypatch.setattr(module, "verify", recorded)
    known = token(sub="known")
    assert it.identify(presented(known)) is not None
    for number in range(100):
        with pytest.raises(TokenError):
            it.identify(presented(token(number=1, sub=f"u{number}")))
    assert len(asked) == 1 + 30
    assert counts["identity.bad_signature"] == 30
    assert counts["identity.failures_spent"] == 70
    assert it.identify(presented(known)) is not None  # what was verified before goes on
    with pytest.raises(TokenError):
        it.identify(presented(token(sub="new")))
    assert it.identify(presented(token(sub="new"), network="n:other", parent="n:elsewhere")) is not None
    clock.advance(2)
    assert it.identify(presented(token(sub="new"))) is not None


def test_expired_tokens_cost_no_budget() -> None:
    it = source()
    for _ in range(100):
        with pytest.raises(TokenError):
            it.identify(presented(token(exp=NOW - 100)))
    assert it.identify(presented(token())) is not None


def test_static_keys_may_be_several() -> None:
    it = source(algorithms=["ES256", "EdDSA"], keys=[public_pem("ES256"), public_pem("ES256", 1), public_pem("EdDSA")])
    for raw in (token(), token(number=1), token("EdDSA"), token(kid="whatever")):
        assert it.identify(presented(raw)) is not None


def test_an_inline_set() -> None:
    it = source(keys=None, jwks={"keys": [public_jwk("ES256", 0, kid="a"), public_jwk("ES256", 1, kid="b")]})
    assert it.remote is None
    assert it.identify(presented(token(kid="a"))) is not None
    for bad in (token(kid="b"), token(kid="c")):
        with pytest.raises(TokenError):
            it.identify(presented(bad))


def test_the_issuer_is_looked_at_again_once_it_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "peek_claims", lambda _: claims())
    with pytest.raises(TokenError) as caught:
        source().identify(presented(token(iss="https://other.example/")))
    assert "its iss is another" in caught.value.detail


def test_a_token_verified_with_keys_that_have_just_gone_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    it = source(keys=None, jwks="https://id.example/jwks")
    assert it.remote is not None
    monkeypatch.setattr(it.remote, "freshen", lambda: None)
    it.remote.current, _ = read_jwks({"keys": [public_jwk("ES256")]})
    other, _ = read_jwks({"keys": [public_jwk("ES256", 1)]})

    def withdrawn(one: bytes, header: Header, keys: KeySet) -> bytes:
        payload = verify(one, header, keys)
        assert it.remote is not None
        it.remote.current = other
        return payload

    monkeypatch.setattr(module, "verify", withdrawn)
    raw = token()
    assert it.identify(presented(raw)) is not None
    with pytest.raises(TokenError):
        it.identify(presented(raw))
