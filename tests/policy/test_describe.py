"""A policy in words."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.limits.settings import LimitSettings
from guardrail_mw.policy import load, loads
from guardrail_mw.policy.describe import describe, sentence


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"per": ["account"], "rate": "120/minute"}, "each account may use 120 requests per minute, up to 120 at once."),
        (
            {"per": ["account", "model"], "unit": "tokens", "rate": "5 per 2 hours", "burst": 9},
            "each account, counted apart for each model, may use 5 tokens per 2 hours, up to 9 at once.",
        ),
        ({"per": ["account"], "concurrency": 1}, "each account may have 1 request in flight at once."),
        (
            {"per": ["network"], "when": {"authenticated": False, "method": ["POST", "PUT"]}, "window": "20/minute"},
            "each network may use 20 requests in any minute, if not authenticated and the method is POST or PUT.",
        ),
        (
            {"per": ["account"], "unit": "usd", "budget": "12.5/month", "shadow": True},
            "each account may use $12.50 in a calendar month (UTC). Recorded only.",
        ),
        (
            {"per": ["cluster"], "when": {"verdict": "suspect", "verified": True}, "rate": "1/day"},
            (
                "each cluster of accounts may use 1 request per day, up to 1 at once, "
                "if verified and its verdict is suspect or above."
            ),
        ),
        (
            {"per": [], "rate": "10/second", "keep": "30%"},
            (
                "everyone together may use 10 requests per second, up to 10 at once. "
                "Once only 30% is left, that is kept for the authenticated."
            ),
        ),
        (
            {"per": ["organisation"], "unit": "output_tokens", "rate": "10/second", "replaces": "y", "strict": True},
            (
                "each organisation may use 10 output tokens per second, up to 10 at once. It stands in for `y`. "
                "All that a request allows is reserved."
            ),
        ),
    ],
)
def test_limits_in_words(settings: dict[str, Any], words: str) -> None:
    assert sentence(LimitSettings.model_validate({"name": "x", **settings})) == words


def test_the_example_in_words(example: bytes) -> None:
    text = describe(
        loads(example.replace(b"mode: shadow", b"mode: enforce"), environ={"GUARDRAIL_STORE": "redis://:pa55word@h"})
    )
    assert "pa55word" not in text
    assert text.startswith("Mode enforce: what the limits refuse is refused.\n")
    assert (
        "Counters are in Redis; when it does not answer within 25ms, each process decides alone, with 1/4 of every limit.\n"
        in text
    )
    routes = text.partition("Routes, the first that matches wins\n")[2]
    assert routes.count("\n  /") + routes.startswith("  /") == 4
    models = routes.partition("  /v1/models\n")[2].partition("\n  /")[0]
    assert models == (
        "    Errors are written the way openai's clients expect; answers to POST are read for tokens.\n"
        "    Limits: requests, enterprise.\n"
        "    Beyond requests or enterprise: 429, with the time to wait."
    )
    messages = routes.partition("  /v1/messages/**\n")[2].partition("\n  /")[0]
    assert "    Beyond capacity: 529, the server sheds load." in messages
    assert "spend" in messages
    assert "429, not to be retried" not in messages, "spend is a shadow limit"
    assert "  everything else\n" in routes


def test_other_policies_in_words() -> None:
    text = describe(load({"version": 1, "mode": "shadow", "routes": [{"path": "/h", "exempt": True, "methods": ["GET"]}]}))
    assert "Mode shadow: what would be refused is recorded, and every request passes." in text
    assert "No source of identity is configured: every caller counts as its network." in text
    assert "  none: nothing is refused." in text
    assert "  /h (GET)\n    GET and HEAD pass unguarded; other methods:" in text
    spend = {"name": "s", "per": ["account"], "budget": "5/day"}
    store = {"url": "redis+cluster://h", "on_error": "deny"}
    text = describe(load({"version": 1, "mode": "enforce", "store": store, "limits": [spend]}))
    assert "in a Redis Cluster; when it does not answer within 25ms, requests are answered 503." in text
    assert "    Beyond s: 429, not to be retried." in text
    assert "Processes do not share it" in describe(load({"version": 1, "store": {"processes": 2}}))


def test_limits_that_hold_on_a_route() -> None:
    """Named limits, what replaces them, and what `when` keeps away."""
    limit = {"per": ["account"], "rate": "9/minute"}
    policy = load(
        {
            "version": 1,
            "routes": [{"path": "/a", "name": "first", "limits": ["x"]}, {"path": "/b"}],
            "limits": [
                {"name": "x", **limit},
                {"name": "y", **limit, "replaces": "z"},
                {"name": "z", **limit, "replaces": "x"},
                {"name": "w", **limit},
                {"name": "v", **limit, "when": {"route": ["/b"]}},
            ],
        }
    )
    first, second = policy.routes
    assert [each.name for each in policy.limits_of(first)] == ["x", "y", "z"]
    assert [each.name for each in policy.limits_of(second)] == ["x", "y", "z", "w", "v"]
    assert [each.name for each in policy.limits_of(None)] == ["x", "y", "z", "w"]
