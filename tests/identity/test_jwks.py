"""Fetched keys, over HTTP: rotation, floods, poisoning, failing issuers."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from guardrail_mw.errors import TokenError
from guardrail_mw.identity import Resolver, jwks
from guardrail_mw.identity.jwt import JwtSource
from guardrail_mw.testing.clock import FakeClock

from .kit import Counts, Issuer, at_once, bearer, finally_, jwt_source, public_jwk, resolver, token

pytestmark = pytest.mark.anyio

A, B = public_jwk("ES256", 0, kid="a"), public_jwk("ES256", 1, kid="b")
TOKEN_A, TOKEN_B = token(number=0, kid="a"), token(number=1, kid="b")


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Issuer(A) as running:
        yield running


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def guarded(issuer: Issuer, clock: FakeClock, counts: Counts) -> Resolver:
    return resolver(jwt_source(keys=None, jwks=issuer.url), clock=clock, observer=counts)


async def account(guarded: Resolver, raw: bytes, peer: str = "203.0.113.9") -> str:
    return (await finally_(guarded.identify(bearer(raw, peer)))).account


async def refused(guarded: Resolver, raw: bytes, peer: str = "203.0.113.9") -> bool:
    """Whether it is refused as a bad token; any other refusal is raised."""
    try:
        await finally_(guarded.identify(bearer(raw, peer)))
    except TokenError as error:
        if (error.status, error.code, error.public) != (401, "invalid_token", "The access token is not valid."):
            raise
        return True
    return False


def fresh(number: int) -> str:
    """A network that has spent nothing."""
    return f"203.{number // 65536}.{number // 256 % 256}.{number % 256}"


async def test_the_first_request_waits_for_the_keys_and_the_next_does_not(guarded: Resolver, issuer: Issuer) -> None:
    first = await account(guarded, TOKEN_A)
    assert at_once(guarded.identify(bearer(TOKEN_A, "198.51.100.1"))).account == first
    assert issuer.asked == ["/jwks.json"]


async def test_start_fetches_ahead(guarded: Resolver, issuer: Issuer) -> None:
    await guarded.start()
    assert at_once(guarded.identify(bearer(TOKEN_A))).authenticated
    await guarded.aclose()
    assert len(issuer.asked) == 1


async def test_rotation_fails_no_request_and_costs_one_fetch(guarded: Resolver, issuer: Issuer) -> None:
    await account(guarded, TOKEN_A)
    issuer.publish(A, B)
    issuer.hold.clear()
    issuer.arrived.clear()
    tokens = [token(number=1, kid="b", sub=f"user{number}") for number in range(50)]
    waiting = [asyncio.ensure_future(account(guarded, raw, fresh(number))) for number, raw in enumerate(tokens)]
    old = await account(guarded, token(kid="a", sub="bob"))  # whoever has an old token does not wait
    await asyncio.to_thread(issuer.arrived.wait, 10)
    issuer.hold.set()
    accounts = await asyncio.gather(*waiting)
    assert len({old, *accounts}) == 51
    assert len(issuer.asked) == 2


async def test_a_fetch_that_began_before_the_key_was_there_is_not_the_last_word(guarded: Resolver, issuer: Issuer) -> None:
    await guarded.start()
    issuer.hold.clear()
    issuer.arrived.clear()
    stranger = asyncio.ensure_future(refused(guarded, token(number=2, kid="c")))
    await asyncio.to_thread(issuer.arrived.wait, 10)  # the answer without b is under way
    issuer.publish(A, B)
    waiting = asyncio.ensure_future(account(guarded, TOKEN_B))
    await asyncio.to_thread(lambda: None)
    issuer.hold.set()
    assert (await waiting).startswith("a:")
    assert await stranger
    assert len(issuer.asked) == 3


async def test_a_waiter_that_leaves_takes_nobody_along(guarded: Resolver, issuer: Issuer) -> None:
    issuer.hold.clear()
    first = asyncio.ensure_future(account(guarded, TOKEN_A))
    second = asyncio.ensure_future(account(guarded, TOKEN_A))
    await asyncio.to_thread(issuer.arrived.wait, 10)
    first.cancel()
    issuer.hold.set()
    assert (await second).startswith("a:")
    assert first.cancelled()


async def test_a_flood_of_kids_causes_few_fetches(
    guarded: Resolver, issuer: Issuer, clock: FakeClock, counts: Counts
) -> None:
    await guarded.start()
    answers = [await refused(guarded, token(number=9, kid=f"k{number}"), fresh(number)) for number in range(100)]
    answers += await asyncio.gather(
        *(refused(guarded, token(number=9, kid=f"m{number}"), fresh(1000 + number)) for number in range(200))
    )
    assert all(answers)
    assert len(issuer.asked) == 1 + jwks.BUDGET
    assert counts["identity.jwks_budget_spent"] > 0
    assert at_once(guarded.identify(bearer(TOKEN_A))).authenticated
    issuer.publish(A, B)
    assert await refused(guarded, TOKEN_B)
    clock.advance(12)
    assert await account(guarded, TOKEN_B)
    assert len(issuer.asked) == 2 + jwks.BUDGET


async def test_one_network_can_spend_only_its_own_budget(guarded: Resolver, issuer: Issuer, clock: FakeClock) -> None:
    """Thirty unknown kids count as thirty bad signatures: beyond that none of its tokens is looked at."""
    await guarded.start()
    for number in range(30):
        clock.advance(0.001)
        assert await refused(guarded, token(number=9, kid=f"k{number}"))
    clock.advance(1)
    before = len(issuer.asked)
    assert await refused(guarded, token(number=9, kid="again"))
    assert await refused(guarded, token(kid="a", sub="colleague"))
    assert len(issuer.asked) == before


async def test_a_kid_cools_down(guarded: Resolver, issuer: Issuer, clock: FakeClock) -> None:
    await guarded.start()
    for number in range(5):
        assert await refused(guarded, TOKEN_B, fresh(number))
    assert len(issuer.asked) == 2
    issuer.publish(A, B)
    clock.advance(29.999999)
    assert await refused(guarded, TOKEN_B)
    clock.advance(0.000001)
    assert await account(guarded, TOKEN_B)
    assert len(issuer.asked) == 3


async def test_every_five_minutes_in_the_background(guarded: Resolver, issuer: Issuer, clock: FakeClock) -> None:
    await guarded.start()
    clock.advance(299)
    assert at_once(guarded.identify(bearer(token(kid="a", sub="one")))).authenticated
    await guarded.aclose()
    assert len(issuer.asked) == 1
    clock.advance(1)
    issuer.hold.clear()
    assert at_once(guarded.identify(bearer(token(kid="a", sub="two")))).authenticated
    assert at_once(guarded.identify(bearer(token(kid="a", sub="three")))).authenticated
    issuer.hold.set()
    await guarded.aclose()
    assert len(issuer.asked) == 2


async def test_a_withdrawn_key_ends_what_was_accepted_with_it(guarded: Resolver, issuer: Issuer, clock: FakeClock) -> None:
    await account(guarded, TOKEN_A)
    issuer.publish(B)
    clock.advance(300)
    assert at_once(guarded.identify(bearer(TOKEN_A))).authenticated  # stale keys serve while the new ones come
    await guarded.aclose()
    assert await refused(guarded, TOKEN_A)
    assert await account(guarded, TOKEN_B)


async def test_when_the_issuer_is_down_old_keys_serve(
    guarded: Resolver, issuer: Issuer, clock: FakeClock, counts: Counts
) -> None:
    await guarded.start()
    issuer.stop()
    for minutes in range(10):
        clock.advance(300)
        assert at_once(guarded.identify(bearer(token(kid="a", sub=f"user{minutes}", exp=1_800_000_000)))).authenticated
        await guarded.aclose()
    assert counts["identity.jwks_failed"] == 10
    assert await refused(guarded, TOKEN_B)
    issuer.publish(A, B)
    issuer.start()
    clock.advance(30)
    assert await account(guarded, token(number=1, kid="b", exp=1_800_000_000))


async def test_an_issuer_that_is_down_at_start_is_asked_every_two_seconds(
    guarded: Resolver, issuer: Issuer, clock: FakeClock, counts: Counts
) -> None:
    issuer.stop()
    for _ in range(20):
        assert await refused(guarded, TOKEN_A)
    assert counts["identity.jwks_failed"] == 1
    issuer.start()
    clock.advance(2)
    assert await account(guarded, TOKEN_A)


async def test_a_kid_does_not_cool_down_while_the_issuer_fails(guarded: Resolver, issuer: Issuer) -> None:
    await guarded.start()
    issuer.answer = (503, {}, b"")
    assert await refused(guarded, TOKEN_B)
    issuer.publish(A, B)
    assert await account(guarded, TOKEN_B)


POISON: dict[str, tuple[int, dict[str, str], bytes]] = {
    "huge": (200, {}, json.dumps({"keys": [B]}).encode() + b" " * 300_000),
    "redirect": (302, {"location": "/elsewhere"}, b""),
    "error": (500, {}, json.dumps({"keys": [B]}).encode()),
    "gzip": (200, {"content-encoding": "gzip"}, gzip.compress(json.dumps({"keys": [B]}).encode())),
    "html": (200, {"content-type": "text/html"}, b"<html>"),
    "utf-8": (200, {}, b'{"keys": "\xff"}'),
    "deep": (200, {}, b"[" * 200_000),
    "digits": (200, {}, b'{"keys": [' + b"9" * 10_000 + b"]}"),
    "empty": (200, {}, b'{"keys": []}'),
    "secret": (200, {}, json.dumps({"keys": [{"kty": "oct", "kid": "b", "alg": "HS256", "k": "c2VjcmV0" * 8}]}).encode()),
    "encryption": (200, {}, json.dumps({"keys": [B | {"use": "enc"}]}).encode()),
    "many": (200, {}, json.dumps({"keys": [B] * 65}).encode()),
    "doubled": (200, {}, json.dumps({"keys": [B, public_jwk("ES256", 2, kid="b")]}).encode()),
}


@pytest.mark.parametrize("kind", POISON)
async def test_poison_is_spat_out(guarded: Resolver, issuer: Issuer, counts: Counts, kind: str) -> None:
    await guarded.start()
    issuer.answer = POISON[kind]
    assert await refused(guarded, TOKEN_B)
    assert counts["identity.jwks_failed"] == 1
    assert at_once(guarded.identify(bearer(token(kid="a", sub="still")))).authenticated
    assert set(issuer.asked) == {"/jwks.json"}
    source = guarded.sources[0]
    assert isinstance(source, JwtSource)
    assert source.remote is not None
    assert source.remote.last_error


async def test_a_doubled_kid_spoils_only_itself(guarded: Resolver, issuer: Issuer, counts: Counts) -> None:
    issuer.publish(A, B, public_jwk("ES256", 2, kid="b"))
    assert await account(guarded, TOKEN_A)
    assert await refused(guarded, TOKEN_B)
    assert await refused(guarded, token(number=2, kid="b"))
    assert counts["identity.jwks_key_left_out"] >= 1


async def test_an_issuer_that_never_answers_is_given_up(
    guarded: Resolver, issuer: Issuer, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "DEADLINE", 0.05)
    issuer.hold.clear()
    assert await refused(guarded, TOKEN_A)
    assert counts["identity.jwks_failed"] == 1


def test_event_loops_share_a_fetch(guarded: Resolver, issuer: Issuer) -> None:
    issuer.hold.clear()
    results: list[str] = []
    loops = [threading.Thread(target=lambda: results.append(asyncio.run(account(guarded, TOKEN_A)))) for _ in range(4)]
    for loop in loops:
        loop.start()
    assert issuer.arrived.wait(10)
    issuer.hold.set()
    for loop in loops:
        loop.join(10)
    assert len(results) == 4
    assert len(set(results)) == 1
    assert len(issuer.asked) == 1
    assert asyncio.run(account(guarded, TOKEN_A, "198.51.100.1")) == results[0]


async def test_several_issuers(issuer: Issuer) -> None:
    with Issuer(public_jwk("ES256", 5, kid="a")) as other:
        sources: list[Any] = [
            jwt_source(keys=None, jwks=issuer.url),
            jwt_source(keys=None, jwks=other.url, issuer="https://other.example/"),
        ]
        guarded = resolver(*sources)
        one = await account(guarded, TOKEN_A)
        two = await account(guarded, token(number=5, kid="a", iss="https://other.example/"))
        assert one != two
        assert await refused(guarded, token(number=5, kid="a"))
        assert await refused(guarded, token(number=0, kid="a", iss="https://other.example/"))
        assert (len(issuer.asked), len(other.asked)) == (1, 1)
