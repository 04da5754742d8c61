"""Sumsub, against a stand-in that speaks what it documents."""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import pytest
from pydantic import ValidationError

from guardrail_mw.friction.verification.providers import Report
from guardrail_mw.friction.verification.providers.sumsub import SumsubProvider, SumsubSettings

from .kit import BEGIN, CASE, NOW, SECOND, WORTH, YEAR, is_provider, means, only, refused, trouble
from .standin import Sumsub, serving

pytestmark = pytest.mark.anyio

SECRET = "sumsub-secret-1"  # noqa: S105 - of the stand-in
APPLICANT = "5b594ade0a975a36c9340000"


@pytest.fixture
async def service() -> AsyncIterator[Sumsub]:
    found = Sumsub()
    async with serving(found):
        yield found


def settings(**changed: Any) -> SumsubSettings:
    levels = {"kyc": {"name": "Basic kyc+1", **WORTH}}
    said = {"token": "prd:1", "key": "sumsub-secret-key", "secrets": [SECRET], "levels": levels, **changed}
    return SumsubSettings.model_validate(said)


def provider(service: Sumsub | None = None, **changed: Any) -> SumsubProvider:
    return SumsubProvider(settings(**({"url": service.url} if service else {}), **changed), means())


def event(kind: str = "applicantReviewed", answer: str = "GREEN", **changed: Any) -> bytes:
    said = {
        "applicantId": APPLICANT,
        "correlationId": "req-1",
        "externalUserId": CASE,
        "levelName": "Basic kyc+1",
        "sandboxMode": False,
        "type": kind,
        "reviewStatus": "completed",
        "reviewResult": {"reviewAnswer": answer},
        "createdAtMs": "2025-12-31 23:59:00.000",
        **changed,
    }
    return json.dumps(said).encode()


def signed(raw: bytes, algorithm: str = "SHA256") -> dict[str, str]:
    made = hmac.new(SECRET.encode(), raw, algorithm.lower()).hexdigest()
    return {"x-payload-digest": made, "x-payload-digest-alg": f"HMAC_{algorithm}_HEX"}


def read(raw: bytes, **changed: Any) -> Report:
    return only(provider(**changed).parse_webhook(raw, signed(raw)))


def test_signatures_by_openssl() -> None:
    """Printf '{"type":"applicantReviewed"}' | openssl dgst -sha256 (-sha512) -hmac sumsub-secret-1 -hex.

    What is signed, and no event, is unreadable.
    """
    raw = b'{"type":"applicantReviewed"}'
    short = "f535de9beac4c26b063c50e5e74b6ea513d7f52bdadb992395212033d13ce64a"
    long = (
        "638b0d57d7abdf97c36e66ce4a864e1112aa77655b67aadb20c65f91284b4a5f"
        "b6f70f6a9b894539950df2c3ff4aec3ccd36b989e5207c68189a5f8f7a426f3d"
    )
    for made, algorithm, code in (
        (short, "HMAC_SHA256_HEX", "unreadable"),
        (long, "HMAC_SHA512_HEX", "unreadable"),
        (short, "HMAC_SHA512_HEX", "signature"),
        (short, "HMAC_SHA1_HEX", "unsigned"),
        (short, "", "unsigned"),
        ("", "HMAC_SHA256_HEX", "unsigned"),
        ("é", "HMAC_SHA256_HEX", "unsigned"),
        (short[:-1] + "b", "HMAC_SHA256_HEX", "signature"),
    ):
        assert refused(provider(), raw, {"x-payload-digest": made, "x-payload-digest-alg": algorithm}) == code


async def test_a_call_signed_by_openssl(service: Sumsub) -> None:
    """Printf '1767225600GET/resources/applicants/5b594ade0a975a36c9349e66/one' | openssl dgst -sha256 -hmac sumsub-secret-key."""
    assert await trouble(provider(service).fetch("5b594ade0a975a36c9349e66")) == "unknown"
    headers = service.calls[0].headers
    assert headers["x-app-access-ts"] == "1767225600"
    assert headers["x-app-access-sig"] == "53e544d8d50a53b10fd32af46d3312a5c0ec24c9cee84e069c7f15d4678e2698"


def test_green() -> None:
    at, raw = NOW - 60 * SECOND, event()
    event_id = sha256(raw).hexdigest()
    assert read(raw) == Report(CASE, APPLICANT, event_id, "approved", at, at + YEAR, "ial2", "urn:example:kyc", level="kyc")
    assert provider().parse_webhook(raw, signed(raw, "SHA512")) == (read(raw),)


@pytest.mark.parametrize(
    ("raw", "state"),
    [
        (event(reviewResult={"reviewAnswer": "RED", "reviewRejectType": "FINAL"}), "declined"),
        (event(reviewResult={"reviewAnswer": "RED", "reviewRejectType": "RETRY"}), "pending"),
        (event(answer="RED"), "declined"),
        (event(answer="YELLOW"), "pending"),
        (event(reviewStatus="onHold"), "pending"),
        (event(levelName="Weaker"), "pending"),
        (event(sandboxMode=True), "pending"),
        (event("applicantCreated"), "pending"),
        (event("applicantPending"), "pending"),
        (event("applicantOnHold"), "pending"),
        (event("applicantReset"), "withdrawn"),
        (event("applicantDeactivated"), "withdrawn"),
    ],
)
def test_states(raw: bytes, state: str) -> None:
    found = read(raw)
    assert (found.state, found.until, found.acr) == (state, None, "")


def test_older_dates_and_a_sandbox_that_is_meant() -> None:
    assert read(event(createdAtMs=None, createdAt="2025-12-31 23:59:00+0000")).at == NOW - 60 * SECOND
    assert read(event(sandboxMode=True), test=True).state == "approved"


def test_what_decides_nothing() -> None:
    for kind in (
        "applicantActionReviewed",
        "applicantTagsChanged",
        "applicantDeleted",
        "applicantActivated",
        "something new",
    ):
        raw = event(kind)
        assert provider().parse_webhook(raw, signed(raw)) == ()


def test_what_is_not_believed() -> None:
    raw = event()
    assert refused(provider(), raw + b" ", signed(raw)) == "signature"
    assert refused(provider(secrets=["sumsub-secret-2"]), raw, signed(raw)) == "signature"
    assert provider(secrets=["sumsub-secret-2", SECRET]).parse_webhook(raw, signed(raw))
    assert refused(provider(), b" " * 262_145, {}) == "unreadable"
    for bad in (event(applicantId="../x"), event(createdAtMs="now"), b"[]"):
        assert refused(provider(), bad, signed(bad)) == "unreadable"


async def test_from_beginning_to_end(service: Sumsub) -> None:
    one = provider(service)
    assert is_provider(one)
    begun = await one.start(BEGIN)
    assert begun == (APPLICANT, "https://in.sumsub.com/websdk/p/2")
    assert service.calls[0].target == "/resources/applicants?levelName=Basic%20kyc%2B1"
    assert (await one.start(BEGIN)).id == APPLICANT  # made twice, it is the first
    assert len(service.things) == 1
    assert (await one.resume(APPLICANT, BEGIN)).id == APPLICANT
    waiting = await one.fetch(APPLICANT)
    assert waiting is not None
    assert waiting.state == "pending"
    done = {"reviewStatus": "completed", "reviewResult": {"reviewAnswer": "GREEN"}, "reviewDate": "2025-12-31 00:00:00+0000"}
    service.things[APPLICANT]["review"] |= done
    assert await one.fetch(APPLICANT) == Report(
        CASE, APPLICANT, f"{APPLICANT}:approved:{NOW}", "approved", NOW, NOW - 86_400 * SECOND + YEAR, "ial2",
        "urn:example:kyc", "document=DEC01X00", level="kyc",
    )  # fmt: skip
    await one.cancel(APPLICANT)
    gone = await one.fetch(APPLICANT)
    assert gone is not None
    assert gone.state == "withdrawn"
    assert await trouble(one.redact(APPLICANT)) == "unsupported"


async def test_what_comes_to_nothing(service: Sumsub) -> None:
    one = provider(service)
    assert await trouble(one.start(BEGIN._replace(level="other"))) == "refused"
    assert await trouble(provider(service, key="another-key").start(BEGIN)) == "refused"
    service.way = "https://sumsub.com@evil.test/"
    assert await trouble(one.start(BEGIN)) == "unreadable"
    service.things[APPLICANT]["id"] = "another"
    assert await trouble(one.fetch(APPLICANT)) == "unreadable"
    assert await trouble(one.fetch("../one")) == "unknown"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"token": "sbx:1"}, "is of the sandbox, where nobody is verified."),
        ({"token": "a b"}, "match pattern"),
        ({"levels": {"a": {"name": "x"}, "b": {"name": "x"}}}, "has a level of Sumsub twice."),
    ],
)
def test_what_settings_cannot_say(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(**changed)
