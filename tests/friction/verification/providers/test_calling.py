"""Calls: what is repeated, what is believed, what is told."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest

from guardrail_mw.friction.verification.providers import ProviderError
from guardrail_mw.friction.verification.providers.stripe_identity import StripeIdentityProvider, StripeIdentitySettings

from .kit import BEGIN, NOW, means, trouble
from .standin import Stripe, serving

pytestmark = pytest.mark.anyio


@pytest.fixture
async def service() -> AsyncIterator[Stripe]:
    found = Stripe()
    async with serving(found):
        yield found


def provider(service: Stripe, **settings: object) -> StripeIdentityProvider:
    said = {"key": "rk_live_1", "secrets": ["whsec_first_secret"], "levels": {"kyc": {}}, "url": service.url, **settings}
    return StripeIdentityProvider(StripeIdentitySettings.model_validate(said), means())


async def test_a_call_without_answer_is_repeated_and_is_still_one(service: Stripe) -> None:
    for nothing in (None, (503, b""), (429, b"{}"), (500, b"oops")):
        service.broken = [nothing]
        assert (await provider(service).start(BEGIN)).id == "vs_1"
    assert len(service.things) == 1
    assert len(service.calls) == 8


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ([None, None], "unavailable"),
        ([(500, b""), (502, b"")], "unavailable"),
        ([(302, b"")], "unreadable"),
        ([(400, b"{}")], "rejected"),
        ([(401, b"{}")], "refused"),
        ([(404, b"{}")], "unknown"),
        ([(418, b"{}")], "unreadable"),
        ([(200, b"no json")], "unreadable"),
        ([(200, b"[]")], "unreadable"),
        ([(200, b"")], "unreadable"),
        ([(200, b'"' + b"x" * 300_000 + b'"')], "unreadable"),
        ([(200, b"[" * 100_000)], "unreadable"),
        ([(200, b'{"id": "vs_1", "url": "javascript:alert(1)"}')], "unreadable"),
        ([(200, b'{"id": "vs_1", "url": "https://verify.stripe.com.evil.test/"}')], "unreadable"),
        ([(200, b'{"id": "../vs_1", "url": "https://verify.stripe.com/x"}')], "unreadable"),
        ([(200, b'{"id": 1, "url": ["https://verify.stripe.com/x"]}')], "unreadable"),
    ],
)
async def test_what_comes_to_nothing(service: Stripe, said: list[tuple[int, bytes] | None], code: str) -> None:
    service.broken = said
    assert await trouble(provider(service).start(BEGIN)) == code
    assert not service.broken


async def test_the_operator_is_told_of_keys_and_nobody_sees_them(service: Stripe, caplog: pytest.LogCaptureFixture) -> None:
    one = provider(service, key="rk_live_wrong")
    with caplog.at_level(logging.WARNING), pytest.raises(ProviderError) as caught:
        await one.start(BEGIN)
    assert "Stripe Identity refuses our keys (401). Nobody can be verified there." in caplog.text
    assert caught.value.code == "refused"
    for told in (caplog.text, repr(caught.value), repr(one.settings)):
        assert "rk_live_wrong" not in told
        assert "whsec" not in told
        assert "of the keys" not in told


async def test_where_nobody_listens() -> None:
    one = provider(Stripe(), url="http://127.0.0.1:9", deadline="200ms")
    assert await trouble(one.fetch("vs_1")) == "unavailable"


@pytest.mark.parametrize(
    ("date", "at"),
    [
        ("Wed, 31 Dec 2025 23:00:00 GMT", NOW - 3_600_000_000),
        ("Fri, 01 Jan 2027 00:00:00 GMT", NOW + 300_000_000),
        ("soon", NOW),
        ("Thu, 99 Jan 2026 00:00:00 GMT", NOW),
    ],
)
async def test_what_is_asked_for_is_dated_by_the_service(service: Stripe, date: str, at: int) -> None:
    one = provider(service)
    begun = await one.start(BEGIN)
    service.date = date
    found = await one.fetch(begun.id)
    assert found is not None
    assert found.at == at


@pytest.mark.parametrize("which", ["", "vs_1/../../charges", "vs_1?x", "ch_1", "vs_" + "1" * 200, "vs_é"])
async def test_no_id_leads_elsewhere(service: Stripe, which: str) -> None:
    one = provider(service)
    for call in (one.fetch(which), one.cancel(which), one.resume(which, BEGIN)):
        assert await trouble(call) == "unknown"
    await one.redact(which)  # what nobody knows is forgotten
    assert not service.calls
