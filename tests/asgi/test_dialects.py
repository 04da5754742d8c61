"""Error bodies in each dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardrail_mw import plugins
from guardrail_mw.asgi.dialects.anthropic import ANTHROPIC
from guardrail_mw.asgi.dialects.base import Dialect
from guardrail_mw.asgi.dialects.openai import OPENAI
from guardrail_mw.asgi.dialects.problem import PROBLEM
from guardrail_mw.values import Deny, Refusal

NOW = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
SECOND = 1_000_000
ID = "0123456789abcdef01234567"
TEXT = "Too many requests."

BUCKET = Refusal("tokens", "token_bucket", "tokens", "9/minute", 1_500_000, shared=False)
MONTH = Refusal("spend", "budget", "usd", "500/month", 31 * 86_400 * SECOND, shared=False)
CAPACITY = Refusal("capacity", "token_bucket", "requests", "2000/second", 500, shared=True)
LIMITED = Deny(ID, "rate_limited", 429, TEXT, ("secret:87",), BUCKET, retry=True)
SPENT = Deny(ID, "rate_limited", 429, TEXT, refusal=MONTH)
SHED = Deny(ID, "overloaded", 503, "Overloaded.", refusal=CAPACITY, retry=True)
DOWN = Deny(ID, "unavailable", 503, "Unavailable.")
RISK = Deny(ID, "denied", 403, "Denied.", ("volume:93", "cluster:12"))
TOKEN = Deny(ID, "invalid_token", 401, "The token is invalid.")
BAD = Deny(ID, "duplicate_key", 400, "A key twice.")
LARGE = Deny(ID, "body_too_large", 413, "Too large.")
ALL = [LIMITED, SPENT, SHED, DOWN, RISK, TOKEN, BAD, LARGE]


def body(dialect: Dialect, deny: Deny, now: int | None = NOW) -> Any:
    """The body, parsed."""
    return json.loads(dialect.error(deny, now)[1])


def test_openai_by_hand() -> None:
    assert OPENAI.error(LIMITED, NOW)[0] == b"application/json"
    assert body(OPENAI, LIMITED) == {
        "error": {
            "message": "Too many requests. Limit: tokens. Try again in 2 s.",
            "type": "rate_limit_error",
            "param": None,
            "code": "rate_limit_exceeded",
            "decision": ID,
            "limit": "tokens",
            "retry_after": 2,
            "reset_at": "2026-01-01T00:00:02Z",
        }
    }
    assert body(OPENAI, SPENT) == {
        "error": {
            "message": "Too many requests. Limit: spend. Try again at 2026-02-01T00:00:00Z.",
            "type": "insufficient_quota",
            "param": None,
            "code": "insufficient_quota",
            "decision": ID,
            "limit": "spend",
            "retry_after": 2_678_400,
            "reset_at": "2026-02-01T00:00:00Z",
        }
    }


def test_anthropic_by_hand() -> None:
    assert ANTHROPIC.error(SHED, NOW)[0] == b"application/json"
    assert body(ANTHROPIC, SHED) == {
        "type": "error",
        "error": {
            "type": "overloaded_error",
            "message": "Overloaded. Limit: capacity. Try again in 1 s.",
            "details": {
                "error_code": "overloaded",
                "decision": ID,
                "limit": "capacity",
                "retry_after": 1,
                "reset_at": "2026-01-01T00:00:01Z",
            },
        },
    }
    assert body(ANTHROPIC, RISK) == {
        "type": "error",
        "error": {"type": "permission_error", "message": "Denied.", "details": {"error_code": "denied", "decision": ID}},
    }


def test_problem_by_hand() -> None:
    assert PROBLEM.error(LIMITED, NOW)[0] == b"application/problem+json"
    assert body(PROBLEM, LIMITED) == {
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "Quota exceeded",
        "status": 429,
        "detail": "Too many requests. Limit: tokens. Try again in 2 s.",
        "code": "rate_limited",
        "violated-policies": ["tokens"],
        "decision": ID,
        "limit": "tokens",
        "retry_after": 2,
        "reset_at": "2026-01-01T00:00:02Z",
    }
    assert body(PROBLEM, RISK) == {
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
        "detail": "Denied.",
        "code": "denied",
        "decision": ID,
    }
    assert body(PROBLEM, SHED)["type"].endswith("#temporary-reduced-capacity")


@pytest.mark.parametrize(
    ("deny", "kinds"),
    [
        (LIMITED, ("rate_limit_error", "rate_limit_error", 429)),
        (SPENT, ("insufficient_quota", "rate_limit_error", 429)),
        (SHED, ("service_unavailable_error", "overloaded_error", 529)),
        (DOWN, ("service_unavailable_error", "api_error", 503)),
        (RISK, ("permission_error", "permission_error", 403)),
        (TOKEN, ("authentication_error", "authentication_error", 401)),
        (BAD, ("invalid_request_error", "invalid_request_error", 400)),
        (LARGE, ("invalid_request_error", "request_too_large", 413)),
    ],
)
def test_types_and_statuses(deny: Deny, kinds: tuple[str, str, int]) -> None:
    assert (body(OPENAI, deny)["error"]["type"], body(ANTHROPIC, deny)["error"]["type"], ANTHROPIC.status(deny)) == kinds
    assert OPENAI.status(deny) == PROBLEM.status(deny) == body(PROBLEM, deny)["status"] == deny.status


@pytest.mark.parametrize("deny", ALL, ids=lambda deny: f"{deny.code}-{deny.status}")
@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC, PROBLEM], ids=lambda dialect: dialect.name)
class TestEvery:
    def test_body_names_the_decision_and_nothing_secret(self, dialect: Dialect, deny: Deny) -> None:
        text = dialect.error(deny, NOW)[1].decode()
        assert ID in text
        assert json.loads(text)
        assert deny.message in text
        for reason in deny.reasons:
            assert reason not in text
        if deny.refusal is not None:
            assert f'"limit":"{deny.refusal.limit}"' in text
            assert deny.refusal.amount not in text
            assert '"reset_at":"2026-' in text

    def test_without_the_time_of_day_there_is_only_the_wait(self, dialect: Dialect, deny: Deny) -> None:
        text = dialect.error(deny)[1].decode()
        assert "reset_at" not in text
        assert ('"retry_after":' in text) == (deny.refusal is not None)

    def test_any_text_is_json(self, dialect: Dialect, deny: Deny) -> None:
        odd = '"}\n\\\u2028\ud800'
        refused = Refusal(odd, "token_bucket", "requests", "1/day", 1, shared=False)
        content = dialect.error(Deny(odd, odd, deny.status, odd, refusal=refused), NOW)[1]
        content.decode("ascii")
        found = json.loads(content)
        while isinstance(found.get("error", found.get("details")), dict):
            found = found.get("error", found.get("details"))
        assert found["decision"] == found["limit"] == odd


def test_the_wait_of_the_decision_goes_before_that_of_the_limit() -> None:
    deny = Deny(ID, "rate_limited", 429, TEXT, refusal=LIMITED.refusal, wait=7 * SECOND)
    assert body(OPENAI, deny)["error"]["retry_after"] == 7


@pytest.mark.parametrize("name", ["anthropic", "openai", "problem"])
def test_built_ins_come_through_the_plugins_door(name: str) -> None:
    assert plugins.load("dialects", name).name == name
