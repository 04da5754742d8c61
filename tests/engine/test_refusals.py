"""What a refused client is told, word for word, and whether it may come again."""

from __future__ import annotations

import pytest

from guardrail_mw.engine import refusals
from guardrail_mw.limits.limit import Limit
from guardrail_mw.limits.settings import LimitSettings
from guardrail_mw.values import Challenge, Deny, Refusal, Verify


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("token_bucket", "Rate limit reached"),
        ("sliding_window", "Rate limit reached"),
        ("budget", "Budget used up"),
        ("concurrency", "Too many requests at once"),
        ("share", "Too much of the server's capacity is reserved by your unfinished requests"),
    ],
)
def test_a_limit_of_the_callers_own(kind: str, words: str) -> None:
    refusal = Refusal("a", kind, "tokens", "9/minute", 5, shared=False)  # type: ignore[arg-type]
    assert refusals.by_limit("id", refusal) == Deny(
        "id", "rate_limited", 429, f"{words}: tokens 9/minute.", (kind,), refusal, retry=True, wait=5
    )


def test_a_limit_of_everyones() -> None:
    refusal = Refusal("a", "token_bucket", "tokens", "9/minute", 5, shared=True)
    found = refusals.by_limit("id", refusal)
    assert found == Deny("id", "overloaded", 503, "The server is at capacity.", ("shed",), refusal, retry=True, wait=5)


def test_what_is_no_limits_doing() -> None:
    assert refusals.overloaded("id") == Deny(
        "id", "overloaded", 503, "The server is at capacity.", ("inspect_budget",), retry=True, wait=1_000_000
    )
    message = "The service cannot decide about requests at the moment."
    assert refusals.unavailable("id") == Deny("id", "unavailable", 503, message, ("store",), retry=True, wait=1_000_000)


@pytest.mark.parametrize(
    ("unit", "rate", "asked", "message"),
    [
        ("requests", "9/minute", 12, "it may need 12 requests. Send fewer inputs in one request."),
        (
            "tokens",
            "9/minute",
            12,
            "it may need 12 tokens. Shorten the prompt, or ask for fewer output tokens (max_tokens, n).",
        ),
        ("input_tokens", "9/minute", 12, "it may need 12 input_tokens. Shorten the prompt."),
        ("output_tokens", "9/minute", 12, "it may need 12 output_tokens. Ask for fewer output tokens (max_tokens, n)."),
        (
            "usd",
            "9/minute",
            12_500_000,
            "it may need $12.5. Shorten the prompt, or ask for fewer output tokens (max_tokens, n).",
        ),
    ],
)
def test_what_no_waiting_helps(unit: str, rate: str, asked: int, message: str) -> None:
    settings = LimitSettings.model_validate({"name": "a", "per": ["account"], "unit": unit, "rate": rate})
    limit = Limit(settings, None, shadow=False, strict=False)
    begins = f"The request needs more than the limit a (9/minute {unit}) ever holds: "
    assert refusals.too_large("id", limit, asked) == Deny("id", "exceeds_limit", 400, begins + message, ("exceeds_limit",))


def test_what_a_rung_asks_for() -> None:
    assert refusals.by_rung(Challenge("id", {}, ("risk",))) == Deny(
        "id",
        "challenge_required",
        403,
        "A challenge must be solved first. It takes a moment, and is for this account alone.",
        ("risk",),
    )
    first = "The account must be verified first."
    url = {"verification_url": "https://account.example"}
    assert refusals.by_rung(Verify("id", "", reasons=("risk",))) == Deny(
        "id", "verification_required", 403, first, ("risk",)
    )
    assert refusals.by_rung(Verify("id", url["verification_url"], reasons=("risk",))) == Deny(
        "id", "verification_required", 403, first, ("risk",), more=url
    )


def test_a_better_token_is_asked_for_as_rfc_9470_has_it() -> None:
    text = "Sign in again, as strongly and as lately as is asked for"
    begins = f'Bearer error="insufficient_user_authentication", error_description="{text}", acr_values="gold"'
    found = refusals.by_rung(Verify("id", "", ("gold",), None, ("risk",)))
    assert (found.status, found.code, found.message, found.more) == (
        401,
        "verification_required",
        text + ".",
        {"acr_values": "gold"},
    )
    assert found.headers == ((b"www-authenticate", begins.encode()),)
    found = refusals.by_rung(Verify("id", "https://account.example", ("gold",), 300))
    assert found.headers == ((b"www-authenticate", f'{begins}, max_age="300"'.encode()),)
    assert found.more == {"acr_values": "gold", "max_age": 300, "verification_url": "https://account.example"}


def test_what_a_trim_refuses() -> None:
    message = "These parameters are not available to this account at present: logprobs, n."
    assert refusals.untrimmed("id", ("logprobs", "n"), ("risk",)) == Deny(
        "id", "parameters_refused", 403, message, ("risk",)
    )
