"""Decisions in words: the figures are worked out by hand."""

from __future__ import annotations

import ast
import inspect
import re
from typing import Any

import pytest

from guardrail_mw.engine.explaining import WHY, explain, explain_account, explain_limits, summarise
from guardrail_mw.engine.figures import amount, clean, plural, span, utc
from guardrail_mw.friction import ladder
from guardrail_mw.policy import Policy, load
from guardrail_mw.telemetry.event import validate

from ..telemetry.kit import ACCOUNT, AT, denied, event  # noqa: TID252 - the kit of events

DEVICE = "d:XyO4vS0kC2u1mE7bJ5aTqg"
NETWORK = "n:Zl2hO0eYqf3rG4mSPc9xUw"
SLOWED: dict[str, Any] = {
    "decision": "delay",
    "delay_ms": 500,
    "risk": 70.0,
    "effective": 80.0,
    "rung": "delay",
    "rung_at": 65.0,
    "why": ["one-family"],
    "findings": [
        {
            "scorer": "velocity",
            "family": "volume",
            "score": 40,
            "reason": "attempts",
            "figures": {"count": 4, "floor": 0, "from": 0, "full": 10, "window_s": 600},
            "shadow": False,
        },
        {
            "scorer": "agents",
            "family": "automation",
            "score": 50,
            "reason": "headless-browser",
            "figures": {"name": "HeadlessChrome"},
            "shadow": False,
        },
        {"scorer": "new", "family": "timing", "score": 90, "reason": "in-step", "figures": {}, "shadow": True},
    ],
}
"""40 and 50 of two families: 100 × (1 - .6 × .5) = 70."""


def policy(**risk: Any) -> Policy:
    return load(
        {
            "version": 1,
            "limits": [{"name": "requests", "per": ["account"], "rate": "120/minute"}],
            "velocity": [{"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}],
            "risk": {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 0, "full": 10}}, **risk}]},
            "friction": {"ladder": [{"at": 65, "do": "delay"}, {"at": 90, "do": "trim"}]},
        }
    )


def told(found: dict[str, Any], given: Policy | None = None, **rest: Any) -> list[str]:
    validate(found)
    if given is not None:
        found = {**found, "policy": given.hash}
    return [" ".join(line.split()) for line in explain(found, policy=given, **rest)]


def test_a_request_that_was_answered() -> None:
    found = told(event(risk=0.0, effective=0.0, findings=[]))
    assert found[:4] == [
        "Decision 5f2d0c9b7a61e48f3d20b7c4, 2026-01-01 00:00:00 UTC, mode enforce, policy 91c1f3b2a0e45d67",
        "Request POST on /v1/**, model large; likely 36 tokens in, 1024 out; used 36 in, 412 out; took 812 ms",
        f"Caller {ACCOUNT}, proved by api_key, tier pro, device {DEVICE} (seen), network {NETWORK}",
        "Answer passed on; answered 200",
    ]
    assert found[5:8] == [
        "requests cost 1 request; 117 requests left, as new in 1.5 s",
        "tokens cost 1060 tokens; 398940 tokens left, as new in 159 ms",
        "spend recorded only, it is in shadow: costs $0.015468, $0 left, $0.015468 short",
    ]
    assert found[9:11] == ["attempts 12", "devices-per-account 64 or more"]
    assert not [line for line in found if line.startswith(("Risk", "Rung", "What would"))]


def test_a_limit_that_refused() -> None:
    found = told(denied(risk=0.0, effective=0.0, findings=[]), policy())
    assert "requests REFUSED: costs 1 request of 120/minute, 0 requests left, 1 request short; room in 480 ms" in found
    assert found[-2:] == [
        "The limit requests: the same request is admitted in 480 ms, if nothing else comes.",
        f"Or: guardrail-mw accounts refill {ACCOUNT} --limit requests --reason …",
    ]


def test_what_shadow_kept_from_being_done() -> None:
    would = {"decision": "deny", "code": "rate_limited", "limit": "spend", "rung": ""}
    assert "Shadow outside shadow it would have been refused by limit spend (rate_limited)" in told(event(would=would))
    would = {"decision": "trim", "code": "", "limit": "", "rung": "trim"}
    assert "Shadow outside shadow it would have been trimmed by rung trim" in told(event(would=would))


def test_a_risk_and_what_each_family_adds() -> None:
    """Without volume 50 are left, without automation 40."""
    found = told(event(**SLOWED))
    at = found.index("Risk 70 of 100 by itself, 80 with what is remembered")
    assert found[at + 1 : at + 8] == [
        "automation 50 (headless-browser) adds 30: without it the risk would be 40, not 70",
        "volume 40 (attempts) adds 20: without it the risk would be 50, not 70",
        "attempts 40, volume, by velocity: 4 counted within 10 min; suspicion begins above 0 and is whole at 10",
        "headless-browser 50, automation, by agents: name HeadlessChrome",
        "in-step 90, timing, by new (in shadow: recorded only): no figures",
        "Rung delay, which begins at 65 for this account: 15 above it",
        f"one-family: {WHY['one-family']}",
    ]


def test_what_would_bring_it_down() -> None:
    """The rung is left below 65 - 5 = 60.

    With 50 of automation a volume of less than 20 does it, that is one attempt. From 80 to 60 it takes log2(80 / 60) = 0.415
    half-lives of 30 minutes, 12.45 minutes.
    """
    found = told(event(**SLOWED), policy())
    assert found[found.index("What would bring it down") + 1 :] == [
        "attempts: at most 1 within 10 min instead of 4, all else as it was.",
        "Calm: what is remembered halves every 30m; from 80 it is below 60 in 12.5 min.",
        f"Or: guardrail-mw accounts override {ACCOUNT} allow --until 7d --reason …",
    ]


def test_weights_of_the_policy() -> None:
    """Volume at half weight is 20: 100 × (1 - .8 × .5) = 60. An attempt less is 15, and 57.5."""
    found = told(event(**SLOWED | {"risk": 60.0}), policy(weight=0.5))
    assert "volume 20 (attempts) adds 10: without it the risk would be 50, not 60" in found
    assert "attempts: at most 3 within 10 min instead of 4, all else as it was." in found


def test_weights_that_nobody_knows_are_not_made_up() -> None:
    found = told(event(**SLOWED | {"risk": 60.0}))
    assert not [line for line in found if "without it" in line or "instead of" in line]
    assert found[-1] == "(The policy that decided is not at hand: weights, amounts and decay are left out.)"


def test_one_count_that_does_not_do_it() -> None:
    found = told(event(**SLOWED | {"rung_at": 45.0}), policy())
    assert "attempts alone does not do it: without it the risk would still be 50." in found


def test_two_counts_of_one_family_hide_each_other() -> None:
    """Either alone keeps the risk at 40: less of the one is no help."""
    twice = [SLOWED["findings"][0], {**SLOWED["findings"][0], "reason": "denials"}]
    found = told(event(**SLOWED | {"risk": 40.0, "effective": 40.0, "findings": twice, "rung_at": 40.0}), policy())
    assert "attempts alone does not do it: without it the risk would still be 40." in found


def test_a_memory_alone_keeps_it_there() -> None:
    found = told(event(**SLOWED | {"risk": 0.0, "findings": [], "effective": 64.0, "why": ["hysteresis"]}), policy())
    assert "Rung delay, which begins at 65 for this account: 1 below it" in found
    assert f"hysteresis: {WHY['hysteresis']}" in found
    assert not [line for line in found if "instead of" in line]
    assert "Calm: what is remembered halves every 30m; from 64 it is below 60 in 2.79 min." in found


def test_how_far_the_next_rung_is() -> None:
    """Known of this account, or else between 65 - 3.5 and 65 + 3.5."""
    calm = event(**SLOWED | {"rung": None, "rung_at": None, "effective": 70.0, "decision": "allow"})
    rungs = [{"name": "delay", "at": 63.2}, {"name": "trim", "at": 90.75}]
    assert "Rung none; 20.75 below trim, which begins at 90.75 for this account" in told(calm, rungs=rungs)
    assert "Rung none; delay begins between 61.5 and 68.5, which depends on the account" in told(calm, policy())


@pytest.mark.parametrize(
    ("more", "caller"),
    [
        ({"authenticated": False}, f"a key nobody has proved ({ACCOUNT}): its network {NETWORK} pays"),
        ({"authenticated": False, "candidate": ""}, f"no credential: its network {NETWORK} pays"),
        ({"account": "", "candidate": "", "authenticated": False}, "its credential was bad"),
    ],
)
def test_whose_it_was(more: dict[str, Any], caller: str) -> None:
    account = more.get("account", NETWORK)
    [line] = [
        line for line in told(event(**more | {"account": account, "tier": "", "device": ""})) if line.startswith("Caller")
    ]
    assert line == f"Caller {caller}"


def test_every_reason_of_the_ladder_has_words() -> None:
    """Whatever the ladder writes in one word, and with a hyphen: those can be nothing else."""
    said = {
        node.value
        for node in ast.walk(ast.parse(inspect.getsource(ladder)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert WHY.keys() - said == {"delays-full", "store"}, "which the places to wait, and a store that is down, say"
    assert {each for each in said if re.fullmatch(r"[a-z]+(-[a-z]+)+", each)} - WHY.keys() == set()


def test_an_account() -> None:
    shown = {
        "account": ACCOUNT, "now": AT, "known": True, "proved": True, "since": AT - 3 * 86_400_000_000, "verified": True,
        "verdict": "watched", "cluster": "abc", "tier": "pro", "tier_until": AT, "tier_why": "their launch", "acr": "",
        "ial": "", "risk": 53.2,
        "rung": {"name": "delay", "since": AT - 60_000_000, "met": 1}, "override": {"what": "deny", "until": AT, "why": "seen"},
        "rungs": [
            {"name": "delay", "do": "delay", "at": 24.0, "shadow": True},
            {"name": "deny", "do": "deny", "at": 91.0, "shadow": False},
        ],
        "cleared": [
            {"rung": "challenge", "code": "c" * 16, "until": AT + 60_000_000},
            {"rung": "", "code": "a" * 16, "until": AT + 1_000_000},
        ],
        "labels": [{"label": "vip", "until": None, "why": "by mail"}],
        "done": [{"at": AT, "verb": "refill", "what": "requests", "why": "our mistake"}], "decisions": [denied()],
    }  # fmt: skip
    assert [" ".join(line.split()) for line in explain_account(shown)] == [
        f"Account {ACCOUNT}, 2026-01-01 00:00:00 UTC",
        "Standing known since 2025-12-29 00:00:00 UTC (3 d), proved by the app, verified, cluster abc, verdict watched",
        "Risk 53.2 of 100 remembered",
        "Rung delay, since 2025-12-31 23:59:00 UTC (1 min), and has met 1 request",
        "delay begins at 24, 29.2 below what is remembered, in shadow",
        "deny begins at 91, 37.8 away",
        "Passed challenge, until 2026-01-01 00:01:00 UTC",
        "Passed what the policy does not ask for now (aaaaaaaaaaaaaaaa), until 2026-01-01 00:00:01 UTC",
        "Override deny until 2026-01-01 00:00:00 UTC: seen",
        "Tier pro until 2026-01-01 00:00:00 UTC: their launch",
        "Label vip for good: by mail",
        "Done 2026-01-01 00:00:00 UTC: refill requests: our mistake",
        "Latest decisions, of the last 1 that this process knows",
        "5f2d0c9b7a61e48f3d20b7c4 2026-01-01 00:00:00 UTC deny (requests), 429, risk 20.25",
    ]


def test_limits() -> None:
    tokens = {
        "name": "tokens", "unit": "tokens", "amount": "6000/minute", "per": ["account", "model"], "model": "large",
        "remaining": 0, "reset_ms": 60_000, "wait_ms": 10, "ok": False, "shadow": True,
    }  # fmt: skip
    network = {**tokens, "name": "net", "per": ["network", "model"], "remaining": None, "model": None, "shadow": False}
    assert [" ".join(line.split()) for line in explain_limits([tokens, network])] == [
        "tokens (large) 0 tokens left of 6000/minute; room in 10 ms; as new in 1 min, in shadow",
        "net 6000/minute per network and model: which that is, a request must tell",
    ]
    assert explain_limits([]) == ["none hold"]


def test_a_summary() -> None:
    found = summarise(ACCOUNT, [denied(at=AT + 60_000_000), event(), event()])
    assert found[:2] == [
        f"Account  {ACCOUNT}: 3 decisions, 2026-01-01 00:00:00 UTC to 2026-01-01 00:01:00 UTC",
        "         2 allow, 1 deny",
    ]
    assert len(found) == 5


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "0 s"),
        (999, "999 µs"),
        (1_500, "1.5 ms"),
        (999_000, "999 ms"),
        (61_000_000, "1.02 min"),
        (2_000 * 86_400_000_000, "2000 d"),
    ],
)
def test_spans(us: int, text: str) -> None:
    assert span(us) == text


def test_figures() -> None:
    assert [amount(1, "requests"), amount(2, "input_tokens"), amount(0, "usd")] == ["1 request", "2 input tokens", "$0"]
    assert amount(1_500_000, "usd") == "$1.500000"
    assert plural(0, "counter") == "0 counters"
    assert utc(10**30) == f"{10**30} µs"
    assert clean("a\x1b[1m\u202eb\n") == "a\\x1b[1m\\u202eb\\n"
