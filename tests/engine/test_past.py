"""What is read out of one recorded event."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.engine.past import Past, past

from ..telemetry.kit import ACCOUNT, AT, denied, event  # noqa: TID252 - the kit of events

NETWORK = "n:Zl2hO0eYqf3rG4mSPc9xUw"
CALM: dict[str, Any] = {"risk": 0.0, "effective": 0.0, "findings": []}


def read(**more: Any) -> Past:
    return past(event(**CALM | more))


def test_a_request_that_was_answered() -> None:
    found = read(delay_ms=7)
    assert found[:4] == (AT, "5f2d0c9b7a61e48f3d20b7c4", "91c1f3b2a0e45d67", "0f3c9a71")
    assert found[4:7] == ("/v1/**", "POST", "large")
    assert (found.estimate, found.used) == ((36, 1024, 1), (30, 6, 0, 412, True))
    assert (found.outcome, found.status, found.took, found.waited) == ("answered", 200, 812_400, 7_000)
    assert found.decided == ("allow", "", "")
    assert (found.wrong, found.undecided, found.effective) == ("", "", 0.0)
    assert found.shadowed == (("limit", "spend"),)


@pytest.mark.parametrize(
    ("more", "decided"),
    [
        ({"rung": "slow", "rung_at": 40.0, "decision": "delay"}, ("delay", "rung", "slow")),
        ({"decision": "allow", "rung": "slow", "rung_at": 40.0}, ("allow", "", "")),
        ({"mode": "shadow", "would": {"decision": "deny", "code": "rate_limited", "limit": "spend", "rung": ""}},
         ("deny", "limit", "spend")),
        ({"mode": "enforce", "would": {"decision": "deny", "code": "rate_limited", "limit": "spend", "rung": ""}},
         ("allow", "", "")),
        ({"decision": "deny", "code": "exceeds_limit", "status": 400, "outcome": "denied"}, ("deny", "other", "exceeds_limit")),
    ],
)  # fmt: skip
def test_what_was_decided(more: dict[str, Any], decided: tuple[str, str, str]) -> None:
    assert read(**more).decided == decided


@pytest.mark.parametrize(
    ("more", "undecided"),
    [
        (
            {"account": "", "code": "invalid_api_key", "decision": "deny", "status": 401, "outcome": "denied"},
            "invalid_api_key",
        ),
        ({"account": ""}, "credential"),
        ({"code": "unavailable", "decision": "deny", "status": 503, "outcome": "denied"}, "unavailable"),
        ({"code": "overloaded", "decision": "deny", "status": 503, "outcome": "denied"}, "overloaded"),
        ({"code": "bad_body", "decision": "deny", "status": 400, "outcome": "denied"}, ""),
    ],
)
def test_what_nothing_was_decided_about(more: dict[str, Any], undecided: str) -> None:
    assert read(**more).undecided == undecided


def test_a_limit_of_everyones_that_sheds_is_a_decision() -> None:
    refusal = {"limit": "requests", "kind": "token_bucket", "unit": "requests", "wait_ms": 480}
    found = past(denied(**CALM, code="overloaded", status=503, refusal=refusal))
    assert (found.decided, found.undecided) == (("deny", "limit", "requests"), "")


def test_who_was_refused_from_memory_came_when_it_was_refused() -> None:
    """Without readings the store was not asked: what is written down is the end."""
    found = past(denied(**CALM, limits=[], duration_ms=600.0))
    assert found.at == AT - 600_000
    assert past(denied(**CALM, limits=[], duration_ms=600.0, at=5)).at == 0
    assert past(denied(**CALM, duration_ms=600.0)).at == AT


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ({"duration_ms": -1.0}, "duration_ms is not a number of its size"),
        ({"duration_ms": float("nan")}, "duration_ms is not a number of its size"),
        ({"effective": "high"}, "effective is not a number of its size"),
        ({"effective": True}, "effective is not a number of its size"),
        ({"model": 7}, "model is not text"),
        ({"at": 7.0}, "v, at, status or delay_ms is not a whole number of its size"),
        ({"at": -1}, "v, at, status or delay_ms is not a whole number of its size"),
        ({"delay_ms": -1}, "v, at, status or delay_ms is not a whole number of its size"),
        ({"v": 2}, "v is 2, and 1 is known"),
        ({"verified": 1}, "authenticated or verified is not a boolean"),
        ({"authenticated": None}, "authenticated or verified is not a boolean"),
        ({"decision": "maybe"}, "decision or outcome is not one that is known"),
        ({"outcome": "maybe"}, "decision or outcome is not one that is known"),
        ({"estimate": {"input": -1, "output": 0, "items": 1}}, "estimate or used holds what is no count"),
        ({"used": {"input": 1.5, "cached": 0, "cache_write": 0, "output": 0, "complete": True}},
         "estimate or used holds what is no count"),
        ({"findings": [{}]}, "scorer is missing"),
        ({"findings": 7}, "its fields are not of the kinds that an event has"),
        ({"model": "\ud800"}, "it holds half a character"),
        ({"code": 7}, "code is not text"),
    ],
)  # fmt: skip
def test_what_is_no_event(more: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - what it says is compared whole
        read(**more)
    assert str(caught.value) == wrong


def test_what_is_missing_is_named() -> None:
    found = event()
    del found["estimate"]
    with pytest.raises(ValueError, match=r"^estimate is missing$"):
        past(found)
    with pytest.raises(ValueError, match=r"^a list is not an event$"):
        past([])


def test_a_rung_in_shadow_is_noted_unless_the_mode_is() -> None:
    would = {"decision": "delay", "code": "", "limit": "", "rung": "slow"}
    assert read(limits=[], would=would).shadowed == (("rung", "slow"),)
    assert read(limits=[], would=would, rung="slow", rung_at=40.0).shadowed == ()


def test_who_it_was() -> None:
    mine = read()
    other = read(account=NETWORK, authenticated=False)
    assert mine.who != other.who
    assert read(id="0" * 24).who == mine.who
    assert ACCOUNT in str(mine.who)


@pytest.mark.parametrize(
    ("more", "turn"),
    [
        ({"status": 0}, True),
        ({"status": 200}, False),
        ({"status": 0, "outcome": "abandoned"}, False),
        ({"status": 0, "outcome": "failed"}, False),
    ],
)
def test_what_has_no_status_and_an_end_was_a_turn(more: dict[str, Any], turn: bool) -> None:
    assert read(**more).turn is turn


def test_what_was_remembered_of_whom() -> None:
    """Verdict, its findings' families, cluster, override, established, whether its proof alone made it pay, passed."""
    assert read().seed is None
    assert read(established=True).seed == ("none", "", "", "", True, False, False)
    assert read(cluster="abc").seed == ("none", "", "abc", "", False, False, False)
    assert read(account=NETWORK).seed == ("none", "", "", "", False, True, False)
    assert read(account=NETWORK, authenticated=False).seed is None
    assert read(why=["override"]).seed == ("none", "", "", "allow", False, False, False)
    assert read(why=["override"], rung="slow", rung_at=4.0).seed == ("none", "", "", "slow", False, False, False)
    found = {**event()["findings"][0], "reason": "cluster-suspect", "family": "release"}
    assert read(verdict="suspect", findings=[found, event()["findings"][0]]).seed == (
        "suspect", "release", "", "", False, False, False,
    )  # fmt: skip
    unjudged = past(denied(**CALM, established=True)).seed
    assert unjudged == ("none", "", "", None, True, False, False), "what a limit refused says nothing of an override"


def test_the_budget_of_a_cluster_is_left_out() -> None:
    """No policy has it, and no event says how large it was: a replay cannot tell either way."""
    limit = {"unit": "tokens", "cost": 5, "remaining": 0, "reset_ms": 9, "ok": False, "shadow": True}
    limits = [{**limit, "name": "spend"}, {**limit, "name": "cluster-budget"}]
    assert read(limits=limits).shadowed == (("limit", "spend"),)
