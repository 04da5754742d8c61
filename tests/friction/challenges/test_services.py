"""The three services, against a stand-in that speaks what they document."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import ValidationError

from guardrail_mw.friction.challenges import Asked, Challenger, Means
from guardrail_mw.friction.challenges.services import (
    HCaptchaChallenger,
    RecaptchaChallenger,
    ServiceSettings,
    TurnstileChallenger,
    _binding,
)
from guardrail_mw.plugins import load

from .standin import Service, serving

pytestmark = pytest.mark.anyio

SECRET = "0x4AAA-secret"  # noqa: S105 - of the stand-in
ASKED = Asked("the case", 0.0, 1_767_225_600_000_000, "puzzle")
KINDS = [TurnstileChallenger, HCaptchaChallenger, RecaptchaChallenger]
BOUND = {"hostname": "app.example", "action": "puzzle", "cdata": _binding("the case")}


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving(Service(SECRET)) as found:
        found.tokens["good"] = BOUND
        yield found


def challenger(kind: type[Any], service: Service, **settings: Any) -> Any:
    said = {"sitekey": "site-1", "secret": SECRET, "hostnames": ["app.example"], "url": service.url, **settings}
    return kind(kind.Settings.model_validate(said), Means([b"k" * 32]))


def is_challenger(one: object) -> bool:
    return isinstance(one, Challenger)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_token_solves_once(kind: type[Any], service: Service) -> None:
    one = challenger(kind, service)
    assert is_challenger(one)
    assert await one.verify(ASKED, "good") == "solved"
    assert await one.verify(ASKED._replace(case="other"), "good") == "failed"  # by another case's key it is a second time
    assert await one.verify(ASKED, "unknown") == "failed"
    assert await one.verify(ASKED, "") == "failed"
    assert [call["response"] for call in service.calls] == ["good", "good", "unknown"]
    assert {call["secret"] for call in service.calls} == {SECRET}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_token_of_another_host_solves_nothing(kind: type[Any], service: Service) -> None:
    service.tokens["theirs"] = {**BOUND, "hostname": "evil.example"}
    service.tokens["nowhere"] = {"action": "puzzle"}
    one = challenger(kind, service)
    assert [await one.verify(ASKED, token) for token in ("theirs", "nowhere")] == ["failed", "failed"]


async def test_turnstile_binds_a_token_to_the_case_and_the_action(service: Service) -> None:
    service.tokens |= {
        "other-case": {**BOUND, "cdata": _binding("another")},
        "other-action": {**BOUND, "action": "login"},
        "bare": {"hostname": "app.example"},
    }
    one = challenger(TurnstileChallenger, service)
    assert one.issue(ASKED) == {"sitekey": "site-1", "action": "puzzle", "cdata": _binding("the case")}
    assert {await one.verify(ASKED, token) for token in ("other-case", "other-action", "bare")} == {"failed"}


async def test_what_each_documents_is_sent(service: Service) -> None:
    for kind in KINDS:
        await challenger(kind, service).verify(ASKED, "x")
    sent = [set(call) - {"secret", "response"} for call in service.calls]
    assert sent == [{"idempotency_key"}, {"sitekey"}, set()]


async def test_a_call_without_answer_is_repeated_where_the_service_knows_that_it_is_one(service: Service) -> None:
    """The first call is judged and its answer lost: only under an idempotency key is the second call the first."""
    for kind, expected in (
        (TurnstileChallenger, "solved"),
        (HCaptchaChallenger, "unavailable"),
        (RecaptchaChallenger, "unavailable"),
    ):
        service.used.clear()
        service.broken = [None]
        assert await challenger(kind, service).verify(ASKED, "good") == expected


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"[]", b"{" * 9_000, b'{"success": "true"}', b'{"error-codes": ["internal-error"]}']
)
async def test_what_is_no_verdict_solves_nothing(service: Service, body: bytes) -> None:
    service.broken = [body] * 2
    assert await challenger(TurnstileChallenger, service).verify(ASKED, "good") in {"unavailable", "failed"}


async def test_a_wrong_secret_is_told_the_operator(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    one = challenger(HCaptchaChallenger, service, secret="wrong")  # noqa: S106 - of nobody
    with caplog.at_level(logging.ERROR):
        assert await one.verify(ASKED, "good") == "unavailable"
    assert "hCaptcha refuses our keys: invalid-input-secret. Nobody can pass this rung." in caplog.text
    assert "wrong" not in caplog.text.replace("refuses", "")


async def test_where_nobody_listens_nothing_is_solved(service: Service) -> None:
    one = challenger(RecaptchaChallenger, service, url="http://127.0.0.1:9/none", deadline="200ms")
    assert await one.verify(ASKED, "good") == "unavailable"


def test_they_are_entry_points() -> None:
    assert [load("challenges", name) for name in ("turnstile", "hcaptcha", "recaptcha")] == KINDS


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hostnames": []}, "at least 1 item"),
        ({"hostnames": ["https://app.example"]}, "is not a host."),
        ({"hostnames": ["App.example"]}, "is not a host."),
        ({"url": "http://siteverify.example"}, "is not a plain https URL."),
        ({"url": "https://user@siteverify.example"}, "is not a plain https URL."),
        ({"url": "javascript:alert(1)"}, "is not a plain https URL."),
        ({"sitekey": 'x" onload="y'}, "match pattern"),
        ({"deadline": "1m"}, "is not between 100ms and 30s."),
    ],
)
def test_what_a_policy_cannot_say(changed: dict[str, Any], message: str) -> None:
    said = {"sitekey": "a", "secret": "b", "hostnames": ["app.example"], **changed}
    with pytest.raises(ValidationError, match=message):
        ServiceSettings.model_validate(said)
