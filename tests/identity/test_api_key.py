"""API keys and the four answers to who proves them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from guardrail_mw.errors import TokenError
from guardrail_mw.identity.api_key import ApiKeySettings, ApiKeySource
from guardrail_mw.identity.digest import Digester
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.values import Credential

from .kit import ID_KEY, Counts, at_once, bearer, context, facts, finally_, key_source, presented, resolver

ALICE, BOB = b"sk-alice-0123456789", b"sk-bob-0123456789"


def hexadecimal(key: bytes) -> str:
    return sha256(key).hexdigest()


def source(trust: str, clock: FakeClock | None = None, counts: Counts | None = None, **more: Any) -> ApiKeySource:
    return ApiKeySource(ApiKeySettings.model_validate({"trust": trust, **more}), context("api_key", clock, counts))


def found(it: ApiKeySource, key: bytes, **more: Any) -> Credential:
    answer = it.identify(presented(key, **more))
    assert isinstance(answer, Credential)
    return answer


def test_gateway_believes_every_key() -> None:
    subject = at_once(resolver(key_source("gateway")).identify(bearer(ALICE)))
    assert subject.account == subject.candidate == Digester(ID_KEY).account("api_key", "", ALICE)
    assert subject.authenticated


def test_app_lets_the_network_pay_until_the_key_is_proved() -> None:
    subject = at_once(resolver(key_source("app")).identify(bearer(ALICE)))
    assert subject.candidate == Digester(ID_KEY).account("api_key", "", ALICE)
    assert subject.account == subject.network == at_once(resolver().identify(facts())).account
    assert not subject.authenticated
    assert subject.source == "api_key"


def test_a_listed_key_is_proved_and_any_other_refused() -> None:
    counts = Counts()
    bob = {"sha256": hexadecimal(BOB), "account": "bob", "organisation": "acme", "tier": "pro"}
    listed = [hexadecimal(ALICE).upper(), bob]
    it = source("keys", counts=counts, keys=listed)
    assert found(it, ALICE) == Credential("api_key", "", ALICE, True)
    assert found(it, BOB) == Credential("api_key", "", "bob", True, organisation="acme", tier="pro")
    for other in (b"sk-nobody", hexadecimal(ALICE).encode(), ALICE + b"x", ALICE.upper()):
        with pytest.raises(TokenError) as caught:
            it.identify(presented(other))
        assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
        assert caught.value.public == "The API key is not valid."
        assert other.decode() not in str(caught.value)
    assert counts["identity.unknown_key"] == 4


def test_two_keys_of_one_account_are_one_account() -> None:
    listed = [{"sha256": hexadecimal(key), "account": "team"} for key in (ALICE, BOB)]
    guarded = resolver(key_source("keys", keys=listed))
    assert at_once(guarded.identify(bearer(ALICE))).account == at_once(guarded.identify(bearer(BOB))).account


@pytest.mark.parametrize("header", ["x-api-key", "authorization"])
def test_both_headers_name_one_account(header: str) -> None:
    guarded = resolver(key_source("gateway"))
    value = b"bEaReR  " + ALICE + b" " if header == "authorization" else b" " + ALICE
    assert at_once(guarded.identify(facts((header, value)))).account == at_once(guarded.identify(bearer(ALICE))).account


@pytest.mark.parametrize("value", ["Basic QWxhZGRpbjpvcGVu", "sk-alice-0123456789", "Bearer", "Bearer ", "", "Token x"])
def test_authorization_without_bearer_is_no_key(value: str) -> None:
    subject = at_once(resolver(key_source("app")).identify(facts(("authorization", value))))
    assert subject.candidate == ""
    assert subject.source == "anonymous"


def test_a_prefix_tells_keys_from_other_things() -> None:
    it = source("gateway", prefix="sk-")
    assert it.identify(presented(b"pk-1")) is None
    assert it.identify(presented(b"sk-1")) is not None


def test_long_keys_are_refused() -> None:
    it = source("app", max_size="20B")
    assert it.identify(presented(b"x" * 20)) is not None
    with pytest.raises(TokenError) as caught:
        it.identify(presented(b"x" * 21))
    assert (caught.value.status, caught.value.code) == (431, "credential_too_large")


def test_keys_are_bytes() -> None:
    guarded = resolver(key_source("gateway"))
    keys = ["sk-é".encode(), "sk-é".encode("latin-1"), "sk-e\u0301".encode(), b"sk-e"]
    assert len({at_once(guarded.identify(bearer(key))).account for key in keys}) == 4


class Directory:
    """A lookup that counts, waits for a go, and can fail."""

    def __init__(self, known: dict[bytes, Mapping[str, str]] | None = None) -> None:
        self.known = known or {ALICE: {"account": "alice", "tier": "pro"}}
        self.asked: list[bytes] = []
        self.fails: Exception | None = None
        self.go: asyncio.Event | None = None

    async def __call__(self, key: bytes) -> Mapping[str, str] | None:
        """Answer when told to."""
        self.asked.append(key)
        if self.go is not None:
            await self.go.wait()
        return self.answer(key)

    def answer(self, key: bytes) -> Mapping[str, str] | None:
        """Answer."""
        if self.fails is not None:
            raise self.fails
        return self.known.get(key)


async def ask(it: ApiKeySource, key: bytes, **more: Any) -> Credential:
    answer = it.identify(presented(key, **more))
    assert answer is not None
    credential = answer if isinstance(answer, Credential) else await answer
    assert credential is not None
    return credential


@pytest.mark.anyio
async def test_a_lookup_is_asked_once_for_all_who_wait() -> None:
    clock, directory = FakeClock(), Directory()
    directory.go = asyncio.Event()
    it = source("lookup", clock, lookup=directory)
    waiting = [asyncio.ensure_future(ask(it, ALICE)) for _ in range(20)]
    await asyncio.to_thread(lambda: None)
    waiting[0].cancel()
    directory.go.set()
    answers = await asyncio.gather(*waiting[1:])
    assert {(answer.value, answer.tier, answer.proved) for answer in answers} == {("alice", "pro", True)}
    assert waiting[0].cancelled()
    assert directory.asked == [ALICE]
    clock.advance(59.999999)
    assert found(it, ALICE).value == "alice"  # at once
    clock.advance(0.000001)
    await ask(it, ALICE)
    assert len(directory.asked) == 2


@pytest.mark.anyio
async def test_an_unknown_key_is_refused_and_asked_for_again_after_ten_seconds() -> None:
    clock, directory = FakeClock(), Directory()
    it = source("lookup", clock, lookup=directory)
    for _ in range(3):
        with pytest.raises(TokenError) as caught:
            await ask(it, BOB)
        assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
    assert len(directory.asked) == 1
    directory.known[BOB] = {}
    clock.advance(10)
    assert (await ask(it, BOB)).value == BOB


@pytest.mark.anyio
async def test_invented_keys_do_not_reach_the_directory_for_ever() -> None:
    directory = Directory()
    it = source("lookup", lookup=directory, unknown_keys=5)
    for number in range(50):
        with pytest.raises(TokenError):
            await ask(it, b"invented%d" % number)
    assert len(directory.asked) == 5
    assert (await ask(it, ALICE, network="n:other", parent="n:elsewhere")).value == "alice"


@pytest.mark.anyio
async def test_while_a_lookup_fails_its_last_answers_hold_for_an_hour() -> None:
    clock, counts, directory = FakeClock(), Counts(), Directory()
    it = source("lookup", clock, counts, lookup=directory)
    await ask(it, ALICE)
    directory.fails = RuntimeError("database is down")
    clock.advance(3599)
    assert (await ask(it, ALICE)).tier == "pro"
    with pytest.raises(TokenError) as caught:
        await ask(it, BOB)
    assert (caught.value.code, caught.value.public) == ("credential_unavailable", "The API key could not be checked.")
    assert "database is down" in caught.value.detail
    clock.advance(1)
    with pytest.raises(TokenError):
        await ask(it, ALICE)
    assert counts["identity.lookup_failed"] == 3


@pytest.mark.anyio
async def test_a_revoked_key_is_not_kept() -> None:
    clock, directory = FakeClock(), Directory()
    it = source("lookup", clock, lookup=directory)
    await ask(it, ALICE)
    directory.known = {b"other": {}}
    clock.advance(60)
    with pytest.raises(TokenError):
        await ask(it, ALICE)
    directory.fails = RuntimeError()
    clock.advance(60)
    with pytest.raises(TokenError):
        await ask(it, ALICE)


@pytest.mark.anyio
async def test_a_late_lookup_is_given_up() -> None:
    counts, directory = Counts(), Directory()
    directory.go = asyncio.Event()
    it = source("lookup", counts=counts, lookup=directory, deadline="10ms")
    with pytest.raises(TokenError):
        await ask(it, ALICE)
    assert counts["identity.lookup_failed"] == 1


@pytest.mark.anyio
async def test_odd_answers_are_failures() -> None:
    for odd in ({"account": 5}, {"owner": "alice"}, "alice", 5):
        counts = Counts()
        it = source("lookup", counts=counts, lookup=lambda _, odd=odd: odd)
        with pytest.raises(TokenError):
            await ask(it, ALICE)
        assert counts["identity.lookup_failed"] == 1


def test_a_synchronous_lookup_answers_at_once() -> None:
    directory = Directory()
    it = source("lookup", lookup=directory.answer)
    assert found(it, ALICE).value == "alice"
    directory.fails = KeyError("boom")
    with pytest.raises(TokenError):
        it.identify(presented(BOB))


@pytest.mark.anyio
async def test_a_function_that_gives_an_awaitable_is_awaited() -> None:
    directory = Directory()
    it = source("lookup", lookup=lambda key: directory(key))  # noqa: PLW0108 - hides that it is a coroutine function
    assert (await ask(it, ALICE)).value == "alice"


LOOKED_UP = Directory()


def test_a_lookup_by_name(installed: dict[str, EntryPoint]) -> None:
    installed["people"] = EntryPoint("people", f"{__name__}:LOOKED_UP", "guardrail_mw.identities")
    guarded = resolver(key_source("lookup", lookup="people"))
    subject = asyncio.run(finally_(guarded.identify(bearer(ALICE))))
    assert subject.account == Digester(ID_KEY).account("api_key", "", "alice")
    assert subject.tier == "pro"
