"""A service of one's own, and the Standard Webhooks specification."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import ValidationError

from guardrail_mw.friction.verification.providers import Report
from guardrail_mw.friction.verification.providers.standard_webhooks import StandardWebhooksProvider, StandardWebhooksSettings

from .kit import BEGIN, CASE, NOW, SECOND, WORTH, YEAR, is_provider, means, only, refused, trouble
from .standin import Own, serving

pytestmark = pytest.mark.anyio

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of the vector
OTHER = "whsec_" + base64.b64encode(b"o" * 24).decode()
DATA = {"id": "v1", "case": CASE, "state": "approved", "level": "kyc", "document": "p-1", "person": "x 1"}
EVENT = {"type": "verification.updated", "timestamp": "2025-12-31T12:00:00Z", "data": DATA}
DECIDED = NOW - 43_200 * SECOND


@pytest.fixture
async def service() -> AsyncIterator[Own]:
    found = Own()
    async with serving(found):
        yield found


def settings(**changed: Any) -> StandardWebhooksSettings:
    said = {
        "url": "https://id.example/verifications",
        "token": "own-token-1",
        "secrets": [SECRET],
        "levels": {"kyc": WORTH},
        **changed,
    }
    return StandardWebhooksSettings.model_validate(said)


def provider(service: Own | None = None, **changed: Any) -> StandardWebhooksProvider:
    at = {"url": f"{service.url}/verifications", "hosts": ["id.example"]} if service else {}
    return StandardWebhooksProvider(settings(**at, **changed), means())


def signed(raw: bytes, secret: str = SECRET, event: str = "msg_1", stamp: str = "1767225600") -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    made = base64.b64encode(hmac.new(key, f"{event}.{stamp}.".encode() + raw, "sha256").digest()).decode()
    return {"webhook-id": event, "webhook-timestamp": stamp, "webhook-signature": f"v1,{made}"}


def test_the_specifications_vector() -> None:
    """Of its libraries; openssl says the same. The body is nothing that we know: it is believed, and of no concern."""
    one = provider()
    one._means.clock.jump(1_614_265_330 - NOW // SECOND)  # type: ignore[attr-defined]  # a FakeClock
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert one.parse_webhook(b'{"test": 2432232314}', headers) == ()
    assert refused(one, b'{"test": 2432232315}', headers) == "signature"


def test_an_event() -> None:
    raw = json.dumps(EVENT).encode()
    assert only(provider().parse_webhook(raw, signed(raw))) == Report(
        CASE,
        "v1",
        "msg_1",
        "approved",
        DECIDED,
        DECIDED + YEAR,
        "ial2",
        "urn:example:kyc",
        "document=P1",
        "person=X1",
        "kyc",
    )


@pytest.mark.parametrize(
    ("state", "read"),
    [*((each, each) for each in ("pending", "declined", "expired", "withdrawn")), ("APPROVED", "pending"), (1, "pending")],
)
def test_states(state: object, read: str) -> None:
    raw = json.dumps({**EVENT, "data": {**DATA, "state": state}}).encode()
    found = only(provider().parse_webhook(raw, signed(raw)))
    assert (found.state, found.until, found.ial, found.acr) == (read, None, "", "")


def test_an_approval_of_what_was_not_listed_is_none() -> None:
    raw = json.dumps({**EVENT, "data": {**DATA, "level": "selfie", "ial": "ial3"}}).encode()
    assert only(provider().parse_webhook(raw, signed(raw))).state == "pending"


def test_any_live_secret_and_any_signature_will_do() -> None:
    raw = json.dumps(EVENT).encode()
    both = signed(raw, OTHER)["webhook-signature"] + " v1a,AAAA " + signed(raw)["webhook-signature"]
    headers = {**signed(raw), "webhook-signature": both}
    for secrets in ([SECRET], [OTHER], [OTHER, SECRET]):
        assert provider(secrets=secrets).parse_webhook(raw, headers)
    assert refused(provider(secrets=[OTHER]), raw, signed(raw)) == "signature"
    many = " ".join([*["v1,AAAA"] * 16, headers["webhook-signature"]])  # more than anybody looks at
    assert refused(provider(), raw, {**headers, "webhook-signature": many}) == "signature"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"webhook-id": ""}, "unsigned"),
        ({"webhook-id": "msg_2"}, "signature"),
        ({"webhook-id": "msg_1.1767225600"}, "unsigned"),
        ({"webhook-id": "x" * 256}, "unsigned"),
        ({"webhook-id": "é"}, "unsigned"),
        ({"webhook-timestamp": ""}, "unsigned"),
        ({"webhook-timestamp": "1767225601"}, "signature"),
        ({"webhook-timestamp": "+1767225600"}, "unsigned"),
        ({"webhook-signature": ""}, "unsigned"),
        ({"webhook-signature": "v1," + "A" * 5_000}, "unsigned"),
        ({"webhook-signature": "v1,é"}, "signature"),
        ({"webhook-signature": "v1,"}, "signature"),
        ({"webhook-signature": "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}, "signature"),
    ],
)
def test_what_is_not_believed(changed: dict[str, str], code: str) -> None:
    raw = json.dumps(EVENT).encode()
    assert refused(provider(), raw, {**signed(raw), **changed}) == code


def test_what_is_signed_at_another_time_or_is_no_event() -> None:
    raw = json.dumps(EVENT).encode()
    assert refused(provider(), raw, signed(raw, stamp="1767225299")) == "stale"
    assert refused(provider(), raw, signed(raw, stamp="1767225901")) == "stale"
    for bad in ({**EVENT, "timestamp": "now"}, {**EVENT, "data": {**DATA, "id": "../x"}}, {**EVENT, "data": []}):
        raw = json.dumps(bad).encode()
        assert refused(provider(), raw, signed(raw)) == "unreadable"
    assert refused(provider(), b"[]", signed(b"[]")) == "unreadable"
    assert refused(provider(), b" " * 262_145, {}) == "unreadable"


async def test_from_beginning_to_end(service: Own) -> None:
    one = provider(service)
    assert is_provider(one)
    begun = await one.start(BEGIN)
    assert begun == ("v1", "https://id.example/v1")
    assert await one.start(BEGIN) == begun  # the same wish
    assert await trouble(one.start(BEGIN._replace(level="other"))) == "rejected"  # another under the same key
    assert (await one.resume("v1", BEGIN)).url == "https://id.example/v1/again"
    found = await one.fetch("v1")
    assert found is not None
    assert found[:2] == (CASE, "v1")
    assert (found.state, found.at) == ("pending", DECIDED)
    await one.cancel("v1")
    cancelled = await one.fetch("v1")
    assert cancelled is not None
    assert cancelled.state == "withdrawn"
    assert cancelled.event != found.event
    await one.redact("v1")
    await one.redact("v1")
    assert await trouble(one.fetch("v1")) == "unknown"


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://evil.test/v1", "http://id.example/v1"])
async def test_nobody_is_sent_elsewhere(service: Own, url: str) -> None:
    service.way = url
    assert await trouble(provider(service).start(BEGIN)) == "unreadable"


async def test_another_verification_is_no_answer(service: Own) -> None:
    one = provider(service)
    await one.start(BEGIN)
    service.things["v1"]["id"] = "v2"
    assert await trouble(one.fetch("v1")) == "unreadable"
    service.broken = [(200, b"{}")]
    assert await trouble(one.fetch("v1")) == "unreadable"
    service.broken = [(500, b"")] * 2
    assert await trouble(one.redact("v1")) == "unavailable"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"secrets": ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]}, "is not whsec_ and 24 to 64 bytes in base64."),
        ({"secrets": ["whsec_AAAAAAAA"]}, "is not whsec_ and 24 to 64 bytes in base64."),
        ({"secrets": ["whsec_nobase64!"]}, "is not whsec_ and 24 to 64 bytes in base64."),
        ({"url": "http://id.example"}, "is not a plain https URL."),
        ({"url": ""}, "at least 1 character"),
        ({"hosts": ["https://id.example"]}, "is not a host."),
        ({"levels": {}}, "at least 1 item"),
        ({"token": "to ken to ken"}, "match pattern"),
    ],
)
def test_what_settings_cannot_say(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(**changed)
