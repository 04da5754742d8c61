"""Persona, against a stand-in that speaks what it documents."""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import ValidationError

from guardrail_mw.friction.verification.providers import Report
from guardrail_mw.friction.verification.providers.persona import PersonaProvider, PersonaSettings

from .kit import BEGIN, CASE, NOW, SECOND, WORTH, YEAR, is_provider, means, only, refused, trouble
from .standin import Persona, serving

pytestmark = pytest.mark.anyio

SECRET = "wbhsec_first_secret"  # noqa: S105 - of the stand-in


@pytest.fixture
async def service() -> AsyncIterator[Persona]:
    found = Persona()
    async with serving(found):
        yield found


def settings(**changed: Any) -> PersonaSettings:
    levels = {"kyc": {"template": "itmpl_1", **WORTH}}
    return PersonaSettings.model_validate({"key": "persona_production_1", "secrets": [SECRET], "levels": levels, **changed})


def provider(service: Persona | None = None, **changed: Any) -> PersonaProvider:
    return PersonaProvider(settings(**({"url": service.url} if service else {}), **changed), means())


def event(status: str = "approved", name: str = "", template: str = "itmpl_1", **attributes: Any) -> bytes:
    inquiry = {
        "type": "inquiry",
        "id": "inq_1",
        "attributes": {"status": status, "reference-id": CASE, **attributes},
        "relationships": {"inquiry-template": {"data": {"type": "inquiry-template", "id": template}}},
    }
    said = {"name": name or f"inquiry.{status}", "created-at": "2025-12-31T23:59:00.000Z", "payload": {"data": inquiry}}
    return json.dumps({"data": {"type": "event", "id": "evt_1", "attributes": said}}).encode()


def signed(raw: bytes) -> dict[str, str]:
    """As while a secret is replaced: two groups, the first under the one that is not ours."""
    made = hmac.new(SECRET.encode(), b"1767225600." + raw, "sha256").hexdigest()
    return {"persona-signature": f"t=1767225600,v1={'0' * 64} t=1767225600,v1={made}"}


def read(raw: bytes, **changed: Any) -> Report:
    return only(provider(**changed).parse_webhook(raw, signed(raw)))


def test_approved() -> None:
    at = NOW - 60 * SECOND
    assert read(event()) == Report(CASE, "inq_1", "evt_1", "approved", at, at + YEAR, "ial2", "urn:example:kyc", level="kyc")


def test_a_later_event_does_not_make_an_approval_last_longer() -> None:
    raw = event(name="inquiry.tags-updated", **{"decisioned-at": "2025-12-01T00:00:00.000Z"})
    assert read(raw).until == NOW - 31 * 86_400 * SECOND + YEAR


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("created", "pending"),
        ("pending", "pending"),
        ("completed", "pending"),
        ("needs_review", "pending"),
        ("declined", "declined"),
        ("failed", "declined"),
        ("expired", "expired"),
        ("something new", "pending"),
    ],
)
def test_states(status: str, state: str) -> None:
    found = read(event(status))
    assert (found.state, found.until, found.ial) == (state, None, "")


def test_completed_is_the_end_where_nobody_decides_afterwards() -> None:
    assert read(event("completed"), completed="approved").state == "approved"
    assert read(event("failed"), completed="approved").state == "declined"


def test_an_approval_of_another_template_is_none() -> None:
    assert read(event(template="itmpl_2")).state == "pending"


def test_what_decides_nothing() -> None:
    for raw in (event(name="inquiry.redacted"), event(name="account.created"), b"{}"):
        assert provider().parse_webhook(raw, signed(raw)) == ()


def test_what_is_not_believed() -> None:
    raw = event()
    assert refused(provider(), raw, {}) == "unsigned"
    assert refused(provider(), raw + b" ", signed(raw)) == "signature"
    assert refused(provider(secrets=["wbhsec_another"]), raw, signed(raw)) == "signature"
    assert refused(provider(), b" " * 262_145, {}) == "unreadable"
    for bad in (event().replace(b"inq_1", b"inq/1"), event().replace(b"2025-12-31T", b"T"), event().replace(b"evt_1", b"")):
        assert refused(provider(), bad, signed(bad)) == "unreadable"
    assert provider(secrets=["wbhsec_another", SECRET]).parse_webhook(raw, signed(raw))


async def test_from_beginning_to_end(service: Persona) -> None:
    one = provider(service)
    assert is_provider(one)
    begun = await one.start(BEGIN)
    assert begun == ("inq_1", "https://withpersona.com/verify?code=us1-2")
    assert service.calls[0].json == {
        "data": {
            "attributes": {
                "inquiry-template-id": "itmpl_1",
                "reference-id": CASE,
                "redirect-uri": "https://app.example/.guardrail/back",
            }
        }
    }
    again = await one.start(BEGIN)  # the same wish: the same inquiry, and a link that was not used
    assert again.id == begun.id
    assert again.url != begun.url
    assert len({begun.url, again.url, (await one.resume("inq_1", BEGIN)).url}) == 3
    service.things["inq_1"]["attributes"] |= {"status": "approved", "completed-at": "2025-12-31T00:00:00.000Z"}
    assert await one.fetch("inq_1") == Report(
        CASE, "inq_1", f"inq_1:approved:{NOW}", "approved", NOW, NOW - 86_400 * SECOND + YEAR, "ial2", "urn:example:kyc",
        "document=DEC01X00", level="kyc",
    )  # fmt: skip
    await one.redact("inq_1")
    erased = await one.fetch("inq_1")
    assert erased is not None
    assert (erased.state, erased.document) == ("approved", "")
    await one.cancel("inq_1")
    assert await trouble(one.resume("inq_1", BEGIN)) == "rejected"
    await one.redact("inq_9")  # unknown: forgotten
    service.broken = [(500, b"")] * 2
    assert await trouble(one.redact("inq_1")) == "unavailable"


async def test_what_comes_to_nothing(service: Persona) -> None:
    one = provider(service)
    assert await trouble(one.start(BEGIN._replace(level="other"))) == "refused"
    service.way = "https://withpersona.com.evil.test/verify"
    assert await trouble(one.start(BEGIN)) == "unreadable"
    service.things["inq_1"]["id"] = "inq_2"
    assert await trouble(one.fetch("inq_1")) == "unreadable"
    assert await trouble(one.fetch("vs_1")) == "unknown"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"key": "persona_sandbox_1"}, "is of the sandbox, where nobody is verified."),
        ({"key": "sk_live_1"}, "match pattern"),
        ({"levels": {"a": {"template": "itmpl_1"}, "b": {"template": "itmpl_1"}}}, "has a template twice."),
        ({"levels": {"a": {"template": "x"}}}, "match pattern"),
        ({"completed": "declined"}, "'pending' or 'approved'"),
    ],
)
def test_what_settings_cannot_say(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(**changed)
