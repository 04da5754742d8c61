"""Veriff, against a stand-in that speaks what it documents."""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import pytest
from pydantic import ValidationError

from guardrail_mw.friction.verification.providers import Report
from guardrail_mw.friction.verification.providers.veriff import VeriffProvider, VeriffSettings

from .kit import BEGIN, CASE, NOW, SECOND, WORTH, YEAR, is_provider, means, only, refused, trouble
from .standin import Veriff, serving

pytestmark = pytest.mark.anyio

SECRET = "veriff-secret-1"  # noqa: S105 - of the stand-in
SESSION = "12df6045-3846-3e45-946a-14fa61360000"


@pytest.fixture
async def service() -> AsyncIterator[Veriff]:
    found = Veriff()
    async with serving(found):
        yield found


def settings(**changed: Any) -> VeriffSettings:
    return VeriffSettings.model_validate({"key": "key-1", "secrets": [SECRET], "worth": WORTH, **changed})


def provider(service: Veriff | None = None, **changed: Any) -> VeriffProvider:
    return VeriffProvider(settings(**({"url": service.url} if service else {}), **changed), means())


def decision(code: object = 9001, status: str = "approved", **changed: Any) -> dict[str, Any]:
    return {
        "id": SESSION,
        "attemptId": "00bca969-b53a-4fad-b065-874d41a7b2b8",
        "vendorData": CASE,
        "code": code,
        "status": status,
        "decisionTime": "2025-12-31T23:59:00.000Z",
        "acceptanceTime": "2025-12-31T23:00:00.000Z",
        "document": {"number": "C01X00", "type": "PASSPORT", "country": "DE"},
        "person": {"idNumber": "1234-5"},
        **changed,
    }


def event(code: object = 9001, status: str = "approved", **changed: Any) -> bytes:
    return json.dumps({"status": "success", "verification": decision(code, status, **changed)}).encode()


def signed(raw: bytes, client: str = "key-1") -> dict[str, str]:
    return {"x-hmac-signature": hmac.new(SECRET.encode(), raw, "sha256").hexdigest(), "x-auth-client": client}


def read(raw: bytes) -> Report:
    return only(provider().parse_webhook(raw, signed(raw)))


async def test_signatures_by_openssl(service: Veriff) -> None:
    """Printf TEXT | openssl dgst -sha256 -hmac abcdef12-abcd-abcd-abcd-abcdef012345 -hex."""
    one = provider(service, secrets=["abcdef12-abcd-abcd-abcd-abcdef012345"])
    made = "2c0347f1324d63af9c368384ca6231b25aab089aac7b3fdec8aff7d75f535dd9"
    headers = {"x-hmac-signature": made, "x-auth-client": "key-1"}
    assert one.parse_webhook(b'{"status":"success"}', headers) == ()
    assert one.parse_webhook(b'{"status":"success"}', {**headers, "x-hmac-signature": made.upper()}) == ()
    assert refused(one, b'{"status":"success" }', headers) == "signature"
    assert await trouble(one.fetch("12df6045-3846-3e45-946a-14fa6136d78b")) == "refused"  # the stand-in has another secret
    sent = service.calls[0].headers["x-hmac-signature"]
    assert sent == "72425a5b0d91e04c84c7f7fa50a62fb16a3d03a4b78149832737492a5171ab12"


def test_approved() -> None:
    at, raw = NOW - 60 * SECOND, event()
    assert read(raw) == Report(
        CASE, SESSION, sha256(raw).hexdigest(), "approved", at, at + YEAR, "ial2", "urn:example:kyc", "document=DEC01X00",
        "person=DE12345",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("code", "status", "state"),
    [
        (9102, "declined", "declined"),
        (9103, "resubmission_requested", "pending"),
        (9104, "expired", "expired"),
        (9104, "abandoned", "expired"),
        (9121, "review", "pending"),
        (9121, "abandoned", "expired"),
        (9999, "something new", "pending"),
        (9999, "approved", "pending"),
        (9001, "declined", "pending"),
    ],
)
def test_states(code: int, status: str, state: str) -> None:
    found = read(event(code, status))
    assert (found.state, found.until, found.ial) == (state, None, "")


def test_a_session_without_decision_is_dated_by_its_beginning() -> None:
    assert read(event(9104, "abandoned", decisionTime=None)).at == NOW - 3_600 * SECOND


def test_what_decides_nothing() -> None:
    started = {"id": SESSION, "attemptId": "a", "feature": "selfid", "code": 7001, "action": "started", "vendorData": CASE}
    for said in (started, {"status": "fail", "verification": decision()}, {"status": "success", "verification": None}):
        raw = json.dumps(said).encode()
        assert provider().parse_webhook(raw, signed(raw)) == ()


def test_what_is_not_believed() -> None:
    raw = event()
    assert refused(provider(), raw, {}) == "unsigned"
    assert refused(provider(), raw, {**signed(raw), "x-hmac-signature": "é"}) == "unsigned"
    assert refused(provider(), raw + b" ", signed(raw)) == "signature"
    assert refused(provider(), raw, signed(raw, "key-2")) == "signature"
    assert refused(provider(), raw, {"x-hmac-signature": signed(raw)["x-hmac-signature"]}) == "signature"
    assert refused(provider(secrets=["veriff-secret-2"]), raw, signed(raw)) == "signature"
    assert provider(secrets=["veriff-secret-2", SECRET]).parse_webhook(raw, signed(raw))
    assert refused(provider(), b" " * 262_145, {}) == "unreadable"
    for bad in (event(id="../x"), event(decisionTime="x"), b"[]"):
        assert refused(provider(), bad, signed(bad)) == "unreadable"


async def test_from_beginning_to_end(service: Veriff) -> None:
    one = provider(service)
    assert is_provider(one)
    begun = await one.start(BEGIN)
    assert begun == (SESSION, f"https://alchemy.veriff.com/v/{SESSION}")
    wanted = {"callback": "https://app.example/.guardrail/back", "vendorData": CASE}
    assert service.calls[0].json == {"verification": wanted}
    assert await one.fetch(SESSION) == Report("", SESSION, f"{SESSION}:pending:{NOW}", "pending", NOW)
    service.things[SESSION]["decided"] = decision()
    found = await one.fetch(SESSION)
    assert found is not None
    assert found[:2] == (CASE, SESSION)
    assert (found.state, found.at, found.until) == ("approved", NOW - 60 * SECOND, NOW - 60 * SECOND + YEAR)
    assert await trouble(one.resume(SESSION, BEGIN)) == "unsupported"
    assert await trouble(one.cancel(SESSION)) == "unsupported"
    await one.redact(SESSION)
    await one.redact(SESSION)  # unknown: forgotten
    assert await trouble(one.fetch(SESSION)) == "unknown"


async def test_a_start_whose_answer_was_lost_is_not_repeated(service: Veriff) -> None:
    """Veriff would make two sessions of it."""
    service.broken = [None]
    assert await trouble(provider(service).start(BEGIN)) == "unavailable"
    assert len(service.things) == 1


async def test_what_comes_to_nothing(service: Veriff) -> None:
    one = provider(service)
    service.way = "https://veriff.com.evil.test/"
    assert await trouble(one.start(BEGIN)) == "unreadable"
    service.things[SESSION]["decided"] = decision(id="12df6045-3846-3e45-946a-14fa61360001")
    assert await trouble(one.fetch(SESSION)) == "unreadable"
    service.broken = [(200, b'{"status": "fail"}')]
    assert await trouble(one.fetch(SESSION)) == "unreadable"
    assert await trouble(one.fetch("../x")) == "unknown"
    service.broken = [(500, b"")] * 2
    assert await trouble(one.redact(SESSION)) == "unavailable"


def test_what_settings_cannot_say() -> None:
    with pytest.raises(ValidationError, match="match pattern"):
        settings(key="a b")
