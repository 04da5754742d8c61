"""What explanations say at the ends: of requests without an answer, of figures that just fit, of nothing."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.engine.explaining import explain, explain_account, explain_limits, summarise
from guardrail_mw.engine.figures import ago, amount, clean, number, span
from guardrail_mw.telemetry.event import validate

from ..telemetry.kit import ACCOUNT, AT, denied, event  # noqa: TID252 - the kit of events

CALM: dict[str, Any] = {"risk": 0.0, "effective": 0.0, "findings": []}


def told(found: dict[str, Any], **rest: Any) -> dict[str, str]:
    """The lines by what they begin with."""
    validate(found)
    lines = [line.split(maxsplit=1) for line in explain(found, **rest)]
    return {line[0]: " ".join(line[1].split()) for line in lines if len(line) > 1}


@pytest.mark.parametrize(
    ("more", "answer"),
    [
        ({"status": 0, "outcome": "abandoned"}, "passed on; the client went away, no answer began"),
        ({"trimmed": ["logprobs", "n"], "decision": "trim"}, "trimmed of logprobs, n; answered 200"),
        ({"decision": "delay", "delay_ms": 1500}, "delayed by 1.5 s; answered 200"),
    ],
)
def test_how_it_was_answered(more: dict[str, Any], answer: str) -> None:
    assert told(event(**CALM | more))["Answer"] == answer


def test_a_refusal_without_an_answer() -> None:
    with_status, without = told(denied(**CALM)), told(denied(**CALM | {"status": 0}))
    assert with_status["Answer"].startswith("refused with 429 (rate_limited); ")
    assert without["Answer"].startswith("refused (rate_limited); ")


@pytest.mark.parametrize(
    ("more", "request_"),
    [
        (
            {"route": "", "method": "", "estimate": {"input": 0, "output": 0, "items": 1}, "used": None, "duration_ms": 2.0},
            "an unusual method on what matches no route, model large; took 2 ms",
        ),
        (
            {
                "estimate": {"input": 1, "output": 0, "items": 3},
                "used": {"input": 100, "cached": 20, "cache_write": 3, "output": 7, "complete": False},
                "duration_ms": 61_000.0,
            },
            (
                "POST on /v1/**, model large; likely 1 token in, 0 out; counts as 3 requests; "
                "used 123 in, 7 out (deltas counted, no usage came); took 1.02 min"
            ),
        ),
    ],
)
def test_what_was_asked_and_used(more: dict[str, Any], request_: str) -> None:
    assert told(event(**CALM | more))["Request"] == request_


def test_traits_of_the_caller() -> None:
    found = told(event(**CALM | {"acr": "gold", "ial": "2", "verified": True, "verdict": "suspect", "device_kind": ""}))
    assert found["Caller"] == (
        f"{ACCOUNT}, proved by api_key, tier pro, acr gold, ial 2, verified, its cluster is suspect, "
        "device d:XyO4vS0kC2u1mE7bJ5aTqg (unknown), network n:Zl2hO0eYqf3rG4mSPc9xUw"
    )
    assert "network" not in told(event(**CALM | {"network": ACCOUNT}))["Caller"]


def test_a_limit_that_would_have_had_no_room_and_one_that_has_some() -> None:
    limit = {"name": "requests", "unit": "requests", "cost": 3, "remaining": 3, "reset_ms": 0, "ok": True, "shadow": False}
    assert told(event(**CALM | {"limits": [limit]}))["requests"] == "cost 3 requests; 3 requests left"
    limit = {**limit, "ok": False, "remaining": 1}
    found = told(denied(**CALM | {"limits": [limit], "refusal": {**denied()["refusal"], "wait_ms": 999}}))
    assert found["requests"] == "REFUSED: costs 3 requests, 1 request left, 2 requests short; room in 999 ms"
    found = told(denied(**CALM | {"limits": [{**limit, "name": "other", "cost": 1}]}))
    assert found["other"] == "no room: costs 1 request, 1 request left"


def test_a_risk_without_memory_and_a_count_that_is_a_floor() -> None:
    figures = {"count": 64, "floor": 1, "from": 5, "full": 20, "window_s": 86_400}
    finding = {**event()["findings"][0], "figures": figures, "score": 100}
    found = told(event(risk=70.0, effective=70.0, findings=[finding]))
    assert found["Risk"] == "70 of 100 by itself"
    assert found["devices-per-account"].endswith(
        ": 64 or more counted within 1 d; suspicion begins above 5 and is whole at 20"
    )
    exact = {**finding, "figures": {**figures, "count": 20, "floor": 0}}
    assert ": 20 counted within" in told(event(risk=70.0, effective=70.0, findings=[exact]))["devices-per-account"]


def test_the_next_rung_is_above_what_was_reached() -> None:
    rungs = [{"name": "delay", "at": 70.0}, {"name": "trim", "at": 90.5}]
    found = told(event(risk=70.0, effective=70.0), rungs=rungs)
    assert found["Rung"] == "none; 20.5 below trim, which begins at 90.5 for this account"


def test_a_rung_that_was_reached_to_the_point() -> None:
    found = told(event(risk=65.0, effective=65.0, rung="delay", rung_at=65.0))
    assert found["Rung"] == "delay, which begins at 65 for this account: 0 above it"
    assert told(event(risk=65.0, effective=65.0, rung="deny"))["Rung"] == "deny"


def shown(**more: Any) -> dict[str, Any]:
    """An account of which nothing is known."""
    return {
        "account": ACCOUNT, "now": AT, "known": False, "proved": False, "since": 0, "verified": False, "verdict": "none",
        "cluster": "", "tier": "", "tier_until": None, "tier_why": "", "acr": "", "ial": "", "risk": 0.0, "rung": None,
        "rungs": [], "cleared": [], "override": None, "labels": [], "done": [], "decisions": [],
    } | more  # fmt: skip


def test_an_account_of_which_nothing_is_known() -> None:
    assert explain_account(shown()) == [
        f"Account  {ACCOUNT}, 2026-01-01 00:00:00 UTC",
        "Standing nothing is remembered of it",
        "Risk     0 of 100 remembered",
    ]


def test_an_account_of_which_little_is_known() -> None:
    found = explain_account(
        shown(
            known=True,
            acr="gold",
            ial="2",
            risk=24.0,
            tier="pro",
            rung={"name": "delay", "since": AT, "met": 0},
            rungs=[{"name": "delay", "at": 24.0, "shadow": False}],
            override={"what": "allow", "until": None, "why": "ours"},
            decisions=[event(status=0, rung="trim", decision="trim"), event(code="bad_input")],
        ),
        [],
    )
    assert [" ".join(line.split()) for line in found[1:]] == [
        "Standing known, acr gold, ial 2, verdict none",
        "Risk 24 of 100 remembered",
        "Rung delay, since 2026-01-01 00:00:00 UTC (0 s)",
        "delay begins at 24, 0 below what is remembered",
        "Override allow for good: ours",
        "Tier pro for good",
        "Limits",
        "none hold",
        "Latest decisions, of the last 2 that this process knows",
        "5f2d0c9b7a61e48f3d20b7c4 2026-01-01 00:00:00 UTC trim (trim), no answer, risk 20.25",
        "5f2d0c9b7a61e48f3d20b7c4 2026-01-01 00:00:00 UTC allow (bad_input), 200, risk 20.25",
    ]


def test_a_limit_with_room() -> None:
    limit = {
        "name": "requests", "unit": "requests", "amount": "60/minute", "per": ["account"], "model": None, "remaining": 60,
        "reset_ms": 0, "wait_ms": 0, "ok": True, "shadow": False,
    }  # fmt: skip
    assert explain_limits([limit]) == [f"{'requests':<22} 60 requests left of 60/minute"]
    unknown = {**limit, "remaining": None, "shadow": True}
    assert explain_limits([unknown])[0].endswith(" per account: which that is, a request must tell, in shadow")


def test_a_summary_of_nothing() -> None:
    assert summarise(ACCOUNT, [event()])[0].startswith(f"Account  {ACCOUNT}: 1 decision, ")


def test_figures_at_their_ends() -> None:
    day = 86_400_000_000
    assert [span(1_000 * day), span(999 * day), span(day), span(day - 1)] == ["1000 d", "999 d", "1 d", "24 h"]
    assert [span(1_000), span(1)] == ["1 ms", "1 µs"]
    assert [span(999_499), span(999_500), span(1_000 * day - 1)] == ["999 ms", "999 ms", "999 d"]  # not 1e+03
    assert ago(AT, AT - 5) == "since 2026-01-01 00:00:00 UTC (0 s)"
    assert [number(0.0), number(100.0), number(12.345), number(0.5)] == ["0", "100", "12.35", "0.5"]
    assert [amount(1, "output_tokens"), amount(1, "usd")] == ["1 output token", "$0.000001"]
    assert clean("é\u2028ü") == "é\\u2028ü"
