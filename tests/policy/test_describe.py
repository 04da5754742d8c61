"""A policy in words."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.limits.settings import LimitSettings
from guardrail_mw.policy import load, loads
from guardrail_mw.policy.describe import describe, place, sentence


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
        "Counters are in Redis (redis://h); when it does not answer within 25ms, each process decides alone, with 1/4 of every "
        "limit.\n"
    ) in text, text
    assert "  api_key: a key in authorization or x-api-key: the app behind proves it by a 2xx" in text
    assert (
        "  jwt: tokens of https://id.example/ for model-api, proved by their signature (RS256, ES256 or EdDSA); the account is "
        "`sub`.\n" in text
    )
    routes = text.partition("Routes, the first that matches wins\n")[2]
    assert routes.count("\n  /") + routes.startswith("  /") == 4
    models = routes.partition("  /v1/models\n")[2].partition("\n  /")[0]
    assert models == (
        "    Errors are written the way openai's clients expect; answers to POST are read for tokens.\n"
        "    A 2xx to POST proves the key that came with it.\n"
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
    assert "in a Redis Cluster (redis+cluster://h); when it does not answer within 25ms, requests are answered 503." in text
    assert "    Beyond s: 429, not to be retried." in text
    assert "Processes do not share it" in describe(load({"version": 1, "store": {"processes": 2}}))


def test_the_environment_stands_above_the_policy_and_is_named() -> None:
    policy = load({"version": 1, "mode": "enforce"})
    said = describe(policy, {"GUARDRAIL_MODE": "shadow", "GUARDRAIL_STORE": "redis://u:pa55word@h:6379/2?password=pa55word"})
    assert said.startswith(
        "Mode shadow, from GUARDRAIL_MODE: what would be refused is recorded, and every request passes.\n"
    )
    assert "Counters are in Redis (redis://h:6379/2, from GUARDRAIL_STORE); when it" in said
    assert "pa55word" not in said
    assert describe(policy, {"GUARDRAIL_MODE": "enforce"}) == describe(policy)


@pytest.mark.parametrize("url", ["redis:/:pa55word@h", "redis://h:pa55word", "pa55word"])
def test_a_url_that_is_none_is_not_shown(url: str) -> None:
    said = describe(load({"version": 1}), {"GUARDRAIL_STORE": url})
    assert "Counters are nowhere: GUARDRAIL_STORE is no URL of a store.\n" in said
    assert "pa55word" not in said


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://u:pa55word@h/0", "redis://h/0"),
        ("unix:///run/redis.sock?db=0", "unix:///run/redis.sock"),
        ("redis://h?password=x@y", "redis://…"),
        ("redis+sentinel://u:p@a:1,b:2/mymaster/0", "redis+sentinel://a:1,b:2/mymaster/0"),
    ],
)
def test_where_a_store_is_without_who_logs_in(url: str, shown: str) -> None:
    assert place(url) == shown


def test_routes_that_prove_keys() -> None:
    """Metered POSTs unless `proves` says otherwise; none where something else proves keys."""
    source = {"use": "api_key", "with": {"trust": "app"}}
    routes = [
        {"path": "/a", "dialect": "openai"},
        {"path": "/b", "dialect": "openai", "proves": False},
        {"path": "/c", "proves": True},
        {"path": "/d", "methods": ["PUT", "PATCH"], "proves": True},
        {"path": "/e"},
    ]
    policy: dict[str, Any] = {"version": 1, "identity": {"sources": [source]}, "routes": routes}
    found = [line.strip() for line in describe(load(policy)).splitlines() if "proves the key" in line]
    assert found == [f"A 2xx to {what} proves the key that came with it." for what in ("POST", "any method", "PUT or PATCH")]
    source["with"] = {"trust": "gateway"}
    assert "proves the key" not in describe(load(policy))


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


def test_clusters_in_words() -> None:
    said = describe(load({"version": 1, "clusters": {}}, environ={}), {}).splitlines()
    assert said[said.index("Clusters") + 1 :][:7] == [
        "  Accounts that act as one operator are worked out every 10m, by one of the serving processes.",
        "  System prompts, and what an account writes again and again, are evidence, as keyed digests.",
        "  Working at the same hours of the day, at the same pace, is evidence that anybody can send.",
        "  Evidence counts for 90d after it was last seen; none draws in who is 30d old and had it before.",
        "  A verdict takes 20 accounts and 300 exchanges; one beyond watched, 30 days of evidence.",
        "  One that newly binds over 1000 accounts only trims for 30m, unless an operator has said by then.",
        "",
    ]
    kinds = {"phone": {"family": "payment", "bound": True}, "referrer": {"family": "timing"}}
    other = {"every": "1h", "rebuild": "apart", "content": False, "hours": False, "kinds": kinds}
    said = describe(load({"version": 1, "clusters": other}, environ={}), {}).splitlines()
    assert said[said.index("Clusters") + 1 :][:5] == [
        "  Accounts that act as one operator are worked out every 1h, by guardrail-mw worker alone.",
        "  System prompts, and what an account writes again and again, are not looked at.",
        "  Working at the same hours of the day, at the same pace, is not looked at.",
        "  phone: a kind of evidence of its own, which costs money or identity to share; it counts as payment.",
        "  referrer: a kind of evidence of its own, which anybody can send; it counts as timing.",
    ]
    assert "Clusters" not in describe(load({"version": 1}, environ={}), {})


def test_verification_in_words() -> None:
    """Every provider, with what its approvals are worth, and where it reports."""
    secrets = {"secrets": ["not-a-real-secret"]}
    own = {
        "stripe": {"use": "stripe_identity", "with": {"key": "rk_live_1", **secrets, "levels": {"id": {"ial": "2"}}}},
        "veriff": {"use": "veriff", "with": {"key": "key-1", **secrets, "worth": {"acr": "kyc", "lasts": "90d"}}},
        "staff": {"use": "manual", "name": "Our staff", "with": {"levels": {"call": {"ial": "1", "acr": "kyc"}}}},
        "clicks": {"use": "simulated", "with": {"i_know_it_proves_nothing": True, "levels": {"id": {}}}},
    }
    rungs = [
        {"at": 60, "do": "verify", "name": "call", "with": {"use": "identity", "provider": "staff", "level": "call"}},
        {
            "at": 80,
            "do": "verify",
            "with": {"use": "identity", "provider": "stripe", "level": "id", "whose": "organisation"},
        },
    ]
    document = {
        "version": 1,
        "endpoints": {"public_url": "https://api.example/llm"},
        "verification": {"name": "Example AI", "providers": own},
        "friction": {"ladder": rungs},
    }
    said = describe(load(document, environ={}), {})
    assert (
        "  call: from a risk of about 60, requests are refused (403) until an identity is verified: `call` of `staff`, each "
        "account alone, on evidence of two families.\n"
        "  verify: from a risk of about 80, requests are refused (403) until an identity is verified: `id` of `stripe`, once for "
        "all accounts of a suspect cluster, each other account alone, on evidence of two families.\n"
    ) in said
    assert said.partition("Verification, for Example AI\n")[2].partition("\n\n")[0].splitlines() == [
        "  stripe: stripe_identity.",
        "    id: an approval gives ial 2, for 365d.",
        "    Documents are not known again, so an approval counts one level less: `documents: true` asks for them.",
        "    It reports to https://api.example/llm/.guardrail/webhooks/stripe.",
        "  veriff: veriff.",
        "    any level: an approval gives acr kyc, for 90d.",
        "    It reports to https://api.example/llm/.guardrail/webhooks/veriff.",
        "  staff: manual, which people know as Our staff; an operator decides (guardrail-mw cases decide).",
        "    call: an approval gives ial 1 and acr kyc, for 365d.",
        "  clicks: simulated; nobody checks anything: whoever clicks passes.",
        "    id: an approval passes the rung and gives nothing else, for 365d.",
        (
            "  There are 14d from when somebody is first asked; its end is told, and 7d and 1d before it. "
            "Nothing else follows by itself."
        ),
        "  A link is good for 7d; 5 verifications may be begun in 30 days.",
        "  One document, or one person, verifies 3 accounts in 90 days, or one organisation, whoever checks.",
        "  Whoever is refused for risk may appeal for 30d, at https://api.example/llm/.guardrail/appeal/…",
    ]
    assert "not-a-real-secret" not in said
    document["verification"] = {"name": "Example AI", "remind": [], "duplicates": 1, "appeals": {"open": False}}
    document["friction"] = {}
    said = describe(load(document, environ={}), {})
    assert said.partition("Verification, for Example AI\n")[2].partition("\n\n")[0] == "  Nobody may appeal."
    document["verification"] = {**document["verification"], "providers": {"staff": own["staff"]}}  # type: ignore[dict-item]
    said = describe(load(document, environ={}), {})
    assert "  There are 14d from when somebody is first asked; its end is told. Nothing else follows by itself.\n" in said
    assert "  One document, or one person, verifies 1 account in 90 days, or one organisation, whoever checks.\n" in said
    assert "Verification" not in describe(load({"version": 1}, environ={}), {})
