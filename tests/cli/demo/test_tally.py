"""What the driven accounts count, from answers alone."""

from __future__ import annotations

import json

import pytest

from guardrail_mw.cli.demo.run import policy
from guardrail_mw.cli.demo.tally import Tally, dollars, refused_by, usage_of
from guardrail_mw.limits.models import Models
from guardrail_mw.values import Usage


@pytest.fixture
def tally() -> Tally:
    return Tally("ada", "a person", Models(policy().models))


def test_tokens_and_dollars_by_the_policys_prices(tally: Tally) -> None:
    tally.admit("demo-large", Usage(input=10, output=100))
    tally.admit("demo-small", Usage(input=10, output=100))
    assert (tally.admitted, tally.tokens) == (2, 220)
    assert tally.micro == (10 * 3 + 100 * 15) + 153  # 10 × 0.3 + 100 × 1.5


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"error": {"limit": "requests", "code": "rate_limit_exceeded"}}, "requests"),
        ({"type": "error", "error": {"type": "x", "details": {"limit": "spend", "error_code": "rate_limited"}}}, "spend"),
        ({"error": {"code": "invalid_api_key"}}, "unknown key"),
        ({"error": {"code": None}}, ""),
        ({}, ""),
        ([], ""),
    ],
)
def test_what_refused(body: object, why: str) -> None:
    assert refused_by(json.dumps(body).encode()) == why


def test_refusals_by_reason_and_what_nobody_should_get(tally: Tally) -> None:
    for _ in range(2):
        tally.refuse(429, b'{"error": {"limit": "requests"}}')
    tally.refuse(429, b'{"error": {"limit": "in-flight"}}')
    tally.refuse(500, b"Internal Server Error")
    assert (tally.refusals, tally.why()) == (3, "2 requests, 1 in-flight")
    assert tally.unexpected == {"status 500": 1}


def test_what_is_least_left(tally: Tally) -> None:
    policies = '"requests";q=6;w=60, "in-flight";q=4;qu="concurrent-requests", "spend";q=20000;qu="micro-usd"'
    tally.note({"ratelimit-policy": policies, "ratelimit": '"requests";r=3;t=2, "in-flight";r=1, "spend";r=12500;t=9'})
    assert tally.left == "3 of 6 (requests)"
    tally.note({"ratelimit-policy": policies, "ratelimit": '"requests";r=3;t=2, "in-flight";r=1, "spend";r=1250;t=9'})
    assert tally.left == "$0.0012 of $0.02 (spend)"
    tally.note({"ratelimit-policy": policies, "ratelimit": '"requests";r=3;t=2, "in-flight";r=0, "spend";r=1250;t=9'})
    assert tally.left == "0 of 4 (in-flight)"
    tally.note({})
    assert tally.left == "0 of 4 (in-flight)"


@pytest.mark.parametrize(
    ("micro", "text"), [(0, "$0"), (20_000, "$0.02"), (1_534_000, "$1.534"), (10_000_000, "$10"), (1250, "$0.0012")]
)
def test_dollars(micro: int, text: str) -> None:
    assert dollars(micro) == text


def test_usage_of_either_vendors_answers() -> None:
    assert usage_of({"usage": {"prompt_tokens": 2, "completion_tokens": 3}}) == Usage(input=2, output=3)
    assert usage_of({"usage": {"input_tokens": 2, "output_tokens": 3}}) == Usage(input=2, output=3)
    assert usage_of({"response": {"usage": {"input_tokens": 2, "output_tokens": 3}}}) == Usage(input=2, output=3)
    assert usage_of({"usage": None}) == Usage()
