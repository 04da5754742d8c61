"""Stripe Identity, against a stand-in that speaks what it documents."""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

import pytest
from pydantic import ValidationError

from guardrail_mw.friction.verification.providers import Report
from guardrail_mw.friction.verification.providers.stripe_identity import StripeIdentityProvider, StripeIdentitySettings

from .kit import BEGIN, CASE, NOW, SECOND, WORTH, YEAR, is_provider, means, only, refused, trouble
from .standin import Stripe, serving

pytestmark = pytest.mark.anyio

SECRET = "whsec_first_secret"  # noqa: S105 - of the stand-in
BEGUN = NOW - 86_400 * SECOND


@pytest.fixture
async def service() -> AsyncIterator[Stripe]:
    found = Stripe()
    async with serving(found):
        yield found


def settings(**changed: Any) -> StripeIdentitySettings:
    return StripeIdentitySettings.model_validate(
        {"key": "rk_live_1", "secrets": [SECRET], "levels": {"kyc": WORTH}, **changed}
    )


def provider(service: Stripe | None = None, **changed: Any) -> StripeIdentityProvider:
    return StripeIdentityProvider(settings(**({"url": service.url} if service else {}), **changed), means())


def event(kind: str = "verified", **session: Any) -> bytes:
    thing = {
        "id": "vs_1",
        "client_reference_id": CASE,
        "livemode": True,
        "metadata": {"level": "kyc"},
        "status": kind,
        "last_error": None,
        **session,
    }
    said = {
        "id": "evt_1",
        "created": 1_767_225_540,
        "type": f"identity.verification_session.{kind}",
        "data": {"object": thing},
    }
    return json.dumps(said).encode()


def signed(raw: bytes) -> dict[str, str]:
    made = hmac.new(SECRET.encode(), b"1767225600." + raw, "sha256").hexdigest()
    return {"stripe-signature": f"t=1767225600,v1={made},v0=00"}


def read(raw: bytes, **changed: Any) -> Report:
    return only(provider(**changed).parse_webhook(raw, signed(raw)))


def test_verified() -> None:
    at = NOW - 60 * SECOND
    assert read(event()) == Report(CASE, "vs_1", "evt_1", "approved", at, at + YEAR, "ial2", "urn:example:kyc", level="kyc")


@pytest.mark.parametrize(
    ("kind", "session", "state"),
    [
        ("processing", {}, "pending"),
        ("canceled", {}, "withdrawn"),
        ("requires_input", {}, "pending"),
        ("requires_input", {"last_error": {"code": "abandoned"}}, "pending"),
        ("requires_input", {"last_error": {"code": "document_expired"}}, "declined"),
        ("requires_input", {"last_error": {"code": "consent_declined"}}, "declined"),
        ("created", {"status": "requires_input"}, "pending"),
        ("verified", {"status": "something new"}, "pending"),
        ("verified", {"livemode": False}, "pending"),
        ("verified", {"metadata": {}}, "pending"),
        ("verified", {"metadata": {"level": "other"}}, "pending"),
    ],
)
def test_states(kind: str, session: dict[str, Any], state: str) -> None:
    found = read(event(kind, **session))
    assert (found.state, found.until, found.ial, found.acr) == (state, None, "", "")


def test_test_mode_counts_where_it_is_meant_to() -> None:
    assert read(event(livemode=False), test=True).state == "approved"


def test_what_decides_nothing() -> None:
    for raw in (event("redacted", status="verified"), json.dumps({"type": "charge.succeeded"}).encode()):
        assert provider().parse_webhook(raw, signed(raw)) == ()


def test_what_was_erased_is_known_by_its_id() -> None:
    found = read(event("canceled", client_reference_id="[redacted]"))
    assert (found.case, found.id) == ("", "vs_1")


def test_what_is_not_believed() -> None:
    raw = event()
    assert refused(provider(), raw, {}) == "unsigned"
    assert refused(provider(), raw + b" ", signed(raw)) == "signature"
    assert refused(provider(secrets=["whsec_another"]), raw, signed(raw)) == "signature"
    assert refused(provider(), b" " * 262_145, {}) == "unreadable"
    for bad in (event(id="../vs"), event().replace(b"1767225540", b'"x"'), event().replace(b"evt_1", b"evt 1")):
        assert refused(provider(), bad, signed(bad)) == "unreadable"
    assert provider(secrets=["whsec_another", SECRET]).parse_webhook(raw, signed(raw))


async def test_from_beginning_to_end(service: Stripe) -> None:
    one = provider(service, documents=True)
    assert is_provider(one)
    begun = await one.start(BEGIN)
    assert begun == ("vs_1", "https://verify.stripe.com/start/test_0")
    assert await one.start(BEGIN) == begun  # the same wish
    assert parse_qs(service.calls[0].body.decode()) == {
        "client_reference_id": [CASE],
        "return_url": ["https://app.example/.guardrail/back"],
        "metadata[level]": ["kyc"],
        "type": ["document"],
        "options[document][require_matching_selfie]": ["true"],
    }
    assert (await one.resume("vs_1", BEGIN)).url != begun.url
    service.things["vs_1"]["status"] = "verified"
    found = await one.fetch("vs_1")
    assert found == Report(
        CASE,
        "vs_1",
        f"vs_1:verified:{NOW}",
        "approved",
        NOW,
        BEGUN + YEAR,
        "ial2",
        "urn:example:kyc",
        "document=DEC01X00",
        level="kyc",
    )
    assert await trouble(one.resume("vs_1", BEGIN)) == "rejected"
    assert await trouble(one.cancel("vs_1")) == "rejected"
    await one.redact("vs_1")
    erased = await one.fetch("vs_1")
    assert erased is not None
    assert erased.case == ""


async def test_a_document_is_asked_for_only_where_it_may_be(service: Stripe) -> None:
    one = provider(service)
    await one.start(BEGIN)
    found = await one.fetch("vs_1")
    assert found is not None
    assert found.document == ""
    assert "expand" not in service.calls[-1].target


async def test_cancel_ends_it(service: Stripe) -> None:
    one = provider(service)
    await one.start(BEGIN)
    await one.cancel("vs_1")
    found = await one.fetch("vs_1")
    assert found is not None
    assert found.state == "withdrawn"
    await one.redact("vs_2")  # unknown: forgotten
    service.broken = [(500, b"")] * 2
    assert await trouble(one.redact("vs_1")) == "unavailable"


async def test_a_level_is_a_flow(service: Stripe) -> None:
    one = provider(service, levels={"kyc": {"flow": "vf_1", **WORTH}})
    await one.start(BEGIN)
    sent = parse_qs(service.calls[0].body.decode())
    assert sent["verification_flow"] == ["vf_1"]
    assert "type" not in sent
    assert await trouble(one.start(BEGIN._replace(level="other"))) == "refused"


async def test_another_session_is_no_answer(service: Stripe) -> None:
    one = provider(service)
    await one.start(BEGIN)
    service.things["vs_1"]["id"] = "vs_2"
    assert await trouble(one.fetch("vs_1")) == "unreadable"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"key": "pk_live_1"}, "match pattern"),
        ({"key": "sk_test_1"}, "is of test mode, where nobody is verified."),
        ({"levels": {"kyc": {"flow": "x"}}}, "match pattern"),
        ({"levels": {}}, "at least 1 item"),
    ],
)
def test_what_settings_cannot_say(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(**changed)
