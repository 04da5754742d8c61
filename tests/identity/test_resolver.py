"""Whose a request is, all put together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import cache
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail_mw.errors import TokenError
from guardrail_mw.identity import Presented, Resolver
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.values import Credential, Subject

from .kit import Counts, at_once, bearer, facts, finally_, jwt_source, key_source, resolver, token


def test_the_anonymous_are_their_network() -> None:
    guarded = resolver(key_source("app"))
    peers = ("203.0.113.9", "203.0.113.9", "203.0.113.8")
    one, same, other = (at_once(guarded.identify(facts(peer=peer))) for peer in peers)
    assert one is same
    assert one.account == one.network != other.account
    assert one.network_parent == other.network_parent
    assert (one.candidate, one.source, one.authenticated) == ("", "anonymous", False)


SPLIT: dict[str, list[tuple[str, str | bytes]]] = {
    "two keys": [("authorization", "Bearer sk-1"), ("x-api-key", "sk-2")],
    "a key and a password": [("authorization", "Basic c2st"), ("x-api-key", "sk-2")],
    "a key and its scheme": [("authorization", "sk-1"), ("x-api-key", "sk-1")],
    "a token and a key": [("authorization", b"Bearer " + token()), ("x-api-key", "sk-2")],
    "one header twice": [("authorization", "Bearer sk-1"), ("authorization", "Bearer sk-1")],
    "twice, once empty": [("x-api-key", ""), ("x-api-key", "sk-1")],
    "joined by a proxy": [("authorization", "Bearer sk-1, Bearer sk-2")],
    "joined without a blank": [("x-api-key", "sk-1,sk-2")],
    "a blank within": [("x-api-key", "sk-1 sk-2")],
    "a tab within": [("authorization", "Bearer sk-1\tsk-2")],
    "a control character": [("x-api-key", "sk-1\x7f")],
}


@pytest.mark.parametrize("kind", SPLIT)
def test_several_credentials_are_nobodys(kind: str) -> None:
    counts = Counts()
    guarded = resolver(jwt_source(), key_source("gateway"), observer=counts)
    for headers in (SPLIT[kind], SPLIT[kind][::-1]):
        with pytest.raises(TokenError) as caught:
            guarded.identify(facts(*headers))
        assert (caught.value.status, caught.value.code) == (400, "ambiguous_credential")
        assert "sk-" not in str(caught.value)
    assert counts["identity.ambiguous_credential"] + counts["identity.malformed_credential"] == 2


def test_one_credential_in_both_headers_is_one() -> None:
    guarded = resolver(key_source("gateway"))
    both = at_once(guarded.identify(facts(("authorization", "Bearer sk-1"), ("x-api-key", "sk-1"))))
    assert both.account == at_once(guarded.identify(bearer("sk-1"))).account
    empty = at_once(guarded.identify(facts(("authorization", "Bearer "), ("x-api-key", "sk-1"))))
    assert empty.account == both.account


def test_headers_that_no_source_lists_are_not_looked_at() -> None:
    guarded = resolver(key_source("gateway", headers=["x-api-key"]))
    headers = [("authorization", "Bearer a, b"), ("authorization", "c"), ("x-api-key", "sk-1")]
    subject = at_once(guarded.identify(facts(*headers)))
    assert subject.authenticated


def test_the_first_that_recognises_it_owns_it() -> None:
    guarded = resolver(jwt_source(), key_source("gateway"))
    assert at_once(guarded.identify(bearer(token()))).source == "jwt"
    assert at_once(guarded.identify(bearer(token(iss="https://elsewhere.example/")))).source == "api_key"
    assert at_once(guarded.identify(bearer("sk-1"))).source == "api_key"


def test_nobodys_credential_is_anonymous() -> None:
    assert at_once(resolver(jwt_source()).identify(bearer("sk-1"))).source == "anonymous"


def test_size_is_looked_at_before_anything_else() -> None:
    guarded = resolver(jwt_source(), key_source("gateway", max_size="8KiB"))
    assert at_once(guarded.identify(bearer(b"x" * 8192))).authenticated
    for long in (b"x" * 8193, token(filler="x" * 8000), b"," * 100_000):
        with pytest.raises(TokenError) as caught:
            guarded.identify(bearer(long))
        assert (caught.value.status, caught.value.code) == (431, "credential_too_large")


def test_invented_keys_create_nothing() -> None:
    guarded = resolver(key_source("app"))
    network = at_once(guarded.identify(facts())).network
    subjects = [at_once(guarded.identify(bearer(f"sk-{number}"))) for number in range(5000)]
    assert {subject.account for subject in subjects} == {network}
    assert len({subject.candidate for subject in subjects}) == 5000
    assert not any(subject.authenticated for subject in subjects)


def test_a_flood_leaves_little_behind() -> None:
    guarded = resolver(key_source("app"))
    for number in range(9000):
        guarded.identify(bearer(b"%08d" % number * 500))
    generations = (guarded._known._new, guarded._known._old)
    held = sum(len(value) for generation in generations for _, read in generation for _, value in read)
    assert 16_777_216 < held <= 2 * 16_777_216


def test_a_cached_subject_is_for_that_network_and_those_headers_only() -> None:
    guarded = resolver(key_source("gateway"), trusted_proxies=["10.0.0.0/8"])
    first = at_once(guarded.identify(bearer("sk-1")))
    assert guarded.identify(bearer("sk-1")) is first
    for other in (
        bearer("sk-1", peer="203.0.113.8"),
        bearer("sk-2"),
        facts(("x-api-key", "sk-1")),
        facts(("authorization", "Bearer sk-1"), ("x-forwarded-for", "203.0.113.9"), peer="10.0.0.1"),
    ):
        assert guarded.identify(other) is not first
    chains = [("x-forwarded-for", f"203.0.113.{last}") for last in (8, 9)]
    by_proxy = [facts(("authorization", "Bearer sk-1"), chain, peer="10.0.0.1") for chain in chains]
    assert at_once(guarded.identify(by_proxy[0])).network != at_once(guarded.identify(by_proxy[1])).network == first.network


def test_lists_are_as_good_as_tuples() -> None:
    request = bearer("sk-1")
    request.headers = cast("Any", [list(pair) for pair in request.headers])  # as some servers pass them
    assert at_once(resolver(key_source("gateway")).identify(request)).authenticated


def test_forgetting_works_everybody_out_anew() -> None:
    guarded = resolver(key_source("gateway"))
    first = at_once(guarded.identify(bearer("sk-1")))
    guarded.forget()
    again = at_once(guarded.identify(bearer("sk-1")))
    assert again is not first
    assert again.account == first.account


def test_fallback_is_the_network_whatever_was_sent() -> None:
    guarded = resolver(jwt_source(), key_source("app"), trusted_proxies=["10.0.0.0/8"])
    bad = facts(("authorization", "Bearer a b"), ("x-api-key", "c"), ("x-forwarded-for", "203.0.113.9"), peer="10.0.0.1")
    subject = guarded.fallback(bad)
    assert subject.account == at_once(guarded.identify(facts())).account
    assert (subject.candidate, subject.authenticated, subject.source) == ("", False, "anonymous")


def far(number: int, *headers: tuple[str, str | bytes]) -> Any:
    return facts(*headers, peer=f"2001:db8:1:{number:x}::1")


def test_sixty_four_strange_networks_of_a_48_are_told_apart() -> None:
    clock = FakeClock()
    guarded = resolver(key_source("app"), clock=clock)
    subjects = [at_once(guarded.identify(far(number, ("x-api-key", f"sk-{number}")))) for number in range(200)]
    assert len({subject.network for subject in subjects}) == 65
    shared = subjects[100]
    assert shared.account == shared.network == shared.network_parent
    guarded.vouch(far(100))
    clock.advance(60)
    apart = at_once(guarded.identify(far(100, ("x-api-key", "sk-100"))))
    assert apart.network != apart.network_parent
    guarded.vouch(facts())  # IPv4 is told apart anyway


def test_the_proved_keep_their_network_and_take_no_place() -> None:
    guarded = resolver(key_source("gateway"))
    proved = [at_once(guarded.identify(far(number, ("x-api-key", f"sk-{number}")))) for number in range(200)]
    assert len({subject.network for subject in proved}) == 200
    strangers = [at_once(guarded.identify(far(1000 + number))) for number in range(100)]
    assert len({subject.network for subject in strangers}) == 65
    assert at_once(guarded.identify(far(150))).network == proved[150].network


def test_payment_is_a_digest_shared_across_issuers() -> None:
    names = {"payment": "fp"}
    guarded = resolver(jwt_source(claims=names), jwt_source(claims=names, issuer="https://other.example/"))
    one = at_once(guarded.identify(bearer(token(fp="card"))))
    two = at_once(guarded.identify(bearer(token(fp="card", iss="https://other.example/"))))
    assert one.payment == two.payment
    assert len(one.payment) == 22
    assert one.account != two.account


class Slow:
    """A plugin that a program made itself."""

    def __init__(self, name: str, value: bytes | None) -> None:
        self.name = name
        self.credentials = (b"authorization",)
        self.attributes: tuple[bytes, ...] = ()
        self.value = value
        self.started = 0

    def identify(self, presented: Presented) -> Awaitable[Credential | None] | None:
        """Think about it."""
        return self._later(presented) if presented.credential else None

    async def _later(self, presented: Presented) -> Credential | None:
        if presented.credential == b"bad":
            raise TokenError("No.", status=401)
        return None if self.value is None else Credential(self.name, "", self.value, True)

    async def start(self) -> None:
        """Count."""
        self.started += 1

    async def aclose(self) -> None:
        """Count."""
        self.started -= 1


@pytest.mark.anyio
async def test_sources_that_take_time_are_asked_in_order() -> None:
    slow = [Slow("one", None), Slow("two", None), Slow("three", b"x"), Slow("four", b"y")]
    guarded = resolver(*slow)
    subject = await finally_(guarded.identify(bearer("sk-1")))
    assert subject.source == "three"
    assert guarded.identify(bearer("sk-1")) is subject
    with pytest.raises(TokenError):
        await finally_(guarded.identify(bearer("bad")))
    assert (await finally_(resolver(Slow("one", None), key_source("gateway")).identify(bearer("sk-1")))).source == "api_key"
    assert at_once(guarded.identify(facts())).source == "anonymous"
    await guarded.start()
    assert [source.started for source in slow] == [1] * 4
    await guarded.aclose()
    assert [source.started for source in slow] == [0] * 4


def test_a_subject_that_was_worked_out_while_all_were_forgotten_is_not_remembered() -> None:
    guarded: list[Resolver] = []

    class Withdrawing(Slow):
        def identify(self, presented: Presented) -> Awaitable[Credential | None] | None:
            guarded[0].forget()
            return super().identify(presented)

    guarded.append(resolver(Withdrawing("one", b"x")))
    first, second = (asyncio.run(finally_(guarded[0].identify(bearer("sk-1")))) for _ in range(2))
    assert first.account == second.account
    assert len(guarded[0]._known) == 0


names = st.sampled_from(["authorization", "x-api-key", "x-forwarded-for", "forwarded", "x-user", "cookie"])
SHAPED = [b"Bearer " + token(), b"Bearer " + token(number=1), b"Bearer a.b.c", b"Bearer", b""]
values = st.binary(max_size=80) | st.sampled_from(SHAPED)
peers = st.sampled_from(["10.0.0.1", "203.0.113.9", "unix", "?"])


@cache
def everything() -> Resolver:
    """One resolver with every source."""
    header = {"use": "header", "with": {"account": "x-user"}}
    return resolver(header, jwt_source(), key_source("app"), trusted_proxies=["10.0.0.0/8", "unix"])


@given(headers=st.lists(st.tuples(names, values), max_size=6), peer=peers)
def test_whatever_arrives_is_a_subject_or_a_bad_request(headers: list[tuple[str, bytes]], peer: str) -> None:
    try:
        subject = everything().identify(facts(*headers, peer=peer))
    except TokenError as error:
        status = error.status
    else:
        status = 0
        assert isinstance(subject, Subject)
        assert subject.account[:2] in {"a:", "n:"}
        assert len(subject.account) == 24
    assert status in {0, 400, 401, 431}
    assert everything().fallback(facts(*headers, peer=peer)).account.startswith("n:")
