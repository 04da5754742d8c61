"""Whole events as a replay reads them: every field of what was, and every way in which one is none."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.engine.past import PLAIN, Decided, Past, Seed, past

from ..telemetry.kit import ACCOUNT, AT, denied, event  # noqa: TID252 - the kit of events

NETWORK = "n:Zl2hO0eYqf3rG4mSPc9xUw"
BIG = 2**53
FINDING: dict[str, Any] = event()["findings"][0]
SUSPECT = {**FINDING, "reason": "cluster-suspect"}
WHOLE = Past(
    at=AT,
    id="5f2d0c9b7a61e48f3d20b7c4",
    policy="91c1f3b2a0e45d67",
    identity="0f3c9a71",
    route="/v1/**",
    method="POST",
    model="large",
    who=(ACCOUNT, ACCOUNT, NETWORK, "", "d:XyO4vS0kC2u1mE7bJ5aTqg", "seen", "pro", "", "", True, False, "api_key"),
    estimate=(36, 1024, 1),
    used=(30, 6, 0, 412, True),
    outcome="answered",
    status=200,
    took=812_400,
    waited=0,
    decided=("allow", "", ""),
    turn=False,
    wrong="",
    undecided="",
    effective=20.25,
    findings=(("velocity", "device", 13, "devices-per-account", False),),
    shadowed=(("limit", "spend"),),
    seed=None,
)


def read(**more: Any) -> dict[str, Any]:
    """What is another than usual."""
    found = past(event(**more))._asdict()
    usual = WHOLE._asdict()
    return {name: value for name, value in found.items() if value != usual[name] or type(value) is not type(usual[name])}


def test_all_of_a_request() -> None:
    assert past(event()) == WHOLE
    assert WHOLE.payer == ACCOUNT
    assert past(event(account=NETWORK)).payer == ACCOUNT
    assert past(event(account=NETWORK, authenticated=False)).payer == NETWORK


LIMITED = {"limit": "requests", "kind": "token_bucket", "unit": "requests", "wait_ms": 480}
GONE = {"outcome": "denied", "status": 403}
DENIED: dict[str, Any] = {"decision": "deny", **GONE}


def shadow(decision: str, code: str, limit: str, rung: str) -> dict[str, Any]:
    """In mode shadow, what would have been done."""
    return {"mode": "shadow", "would": {"decision": decision, "code": code, "limit": limit, "rung": rung}}


@pytest.mark.parametrize(
    ("more", "read_"),
    [
        ({"policy": "p", "identity": "i", "route": "", "method": "", "model": ""},
         {"policy": "p", "identity": "i", "route": "", "method": "", "model": ""}),
        ({"effective": 7, "findings": []}, {"effective": 7.0, "findings": ()}),
        ({"limits": []}, {"shadowed": ()}),
        ({"limits": [{"name": "a", "shadow": True, "ok": True}, {"name": "b", "shadow": False, "ok": False},
                     {"name": "c", "shadow": True, "ok": False}]}, {"shadowed": (("limit", "c"),)}),
        ({"duration_ms": 3, "delay_ms": 2}, {"took": 3_000, "waited": 2_000}),
        ({"duration_ms": 0.0004}, {"took": 0}),
        ({"used": None}, {"used": None}),
        ({"used": {"input": 1, "cached": 2, "cache_write": 3, "output": 4, "complete": False}}, {"used": (1, 2, 3, 4, False)}),
        ({"estimate": {"input": 1, "output": 2, "items": 3}}, {"estimate": (1, 2, 3)}),
        ({"status": 0}, {"status": 0, "turn": True}),
        ({"status": 0, "outcome": "failed"}, {"status": 0, "outcome": "failed"}),
        ({"findings": [{**FINDING, "shadow": True, "score": 1.5}]},
         {"findings": (("velocity", "device", 1.5, "devices-per-account", True),)}),
        ({"rung": "slow", "decision": "delay"}, {"decided": ("delay", "rung", "slow")}),
        ({"rung": "slow", "decision": "allow"}, {}),
        ({"rung": None, "decision": "delay"}, {}),
        ({**DENIED, "code": "denied", "rung": "stop"}, {"decided": ("deny", "rung", "stop"), **GONE}),
        ({**DENIED, "code": "denied", "rung": None}, {"decided": ("deny", "other", "denied"), **GONE}),
        ({**DENIED, "code": "challenge_required", "rung": "x"},
         {"decided": ("challenge", "rung", "x"), **GONE}),
        ({**DENIED, "code": "verification_required", "rung": "x"},
         {"decided": ("verify", "rung", "x"), **GONE}),
        ({**DENIED, "code": "parameters_refused", "rung": "x"},
         {"decided": ("trim", "rung", "x"), **GONE}),
        ({**DENIED, "code": "rate_limited", "refusal": LIMITED},
         {"decided": ("deny", "limit", "requests"), **GONE}),
        ({**DENIED, "code": "overloaded", "refusal": LIMITED},
         {"decided": ("deny", "limit", "requests"), **GONE}),
        ({**DENIED, "code": "overloaded"},
         {"decided": ("deny", "other", "overloaded"), **GONE, "undecided": "overloaded"}),
        ({**DENIED, "code": "unavailable"},
         {"decided": ("deny", "other", "unavailable"), **GONE, "undecided": "unavailable"}),
        ({**DENIED, "code": "exceeds_limit"}, {"decided": ("deny", "other", "exceeds_limit"), **GONE}),
        ({**DENIED, "code": "bad_body"},
         {"decided": ("deny", "other", "bad_body"), **GONE, "wrong": "bad_body"}),
        ({**DENIED, "code": "exceeds_limit", "refusal": LIMITED},
         {"decided": ("deny", "other", "exceeds_limit"), **GONE}),
        (shadow("deny", "rate_limited", "few", ""), {"decided": ("deny", "limit", "few")}),
        ({**shadow("deny", "rate_limited", "few", ""), "limits": []},
         {"decided": ("deny", "limit", "few"), "at": AT - 812_400, "shadowed": ()}),
        ({**shadow("deny", "rate_limited", "few", ""), "limits": [], "at": 5},
         {"decided": ("deny", "limit", "few"), "at": 0, "shadowed": ()}),
        ({**shadow("delay", "", "", "slow"), "rung": "slow"}, {"decided": ("delay", "rung", "slow")}),
        (shadow("delay", "", "", "slow"), {"shadowed": (("limit", "spend"), ("rung", "slow"))}),
        (shadow("deny", "bad_body", "", ""), {"decided": ("deny", "other", "bad_body"), "wrong": "bad_body"}),
        ({**shadow("deny", "rate_limited", "few", ""), "mode": "enforce"}, {}),
        ({"mode": "off"}, {}),
        ({"why": ["override"]}, {"seed": ("none", "", "", "allow", False, False, False)}),
        ({"why": ["cleared"]}, {"seed": ("none", "", "", "", False, False, True)}),
        ({"why": ["override"], "rung": "slow"}, {"seed": ("none", "", "", "slow", False, False, False)}),
        ({"why": ["override", "shadow"], **shadow("delay", "", "", "slow"), "mode": "enforce"},
         {"seed": ("none", "", "", "slow", False, False, False), "shadowed": (("limit", "spend"), ("rung", "slow"))}),
        ({**DENIED, "code": "bad_body", "why": ["override"]},
         {"decided": ("deny", "other", "bad_body"), **GONE, "wrong": "bad_body"}),
        ({**shadow("deny", "bad_body", "", ""), "why": ["override"]},
         {"decided": ("deny", "other", "bad_body"), "wrong": "bad_body", "seed": ("none", "", "", "allow", False, False, False)}),
        ({**DENIED, "code": "unavailable", "established": True},
         {"decided": ("deny", "other", "unavailable"), **GONE, "undecided": "unavailable",
          "seed": ("none", "", "", None, True, False, False)}),
        ({"verdict": "suspect"}, {"seed": ("suspect", "", "", "", False, False, False)}),
        ({"verdict": "suspect", "findings": [{**SUSPECT, "family": family} for family in ("a", "b")]},
         {"seed": ("suspect", "a,b", "", "", False, False, False),
          "findings": tuple(("velocity", family, 13, "cluster-suspect", False) for family in ("a", "b"))}),
        ({"findings": [{**FINDING, "reason": "cluster-none"}]},
         {"findings": (("velocity", "device", 13, "cluster-none", False),)}),
        ({"established": 1}, {}),
        ({"established": True, "cluster": "abc"}, {"seed": ("none", "", "abc", "", True, False, False)}),
    ],
)  # fmt: skip
def test_what_is_read(more: dict[str, Any], read_: dict[str, Any]) -> None:
    assert read(**more) == read_


def test_a_credential_that_was_bad() -> None:
    bad = event(**DENIED, account="", candidate="", code="invalid_api_key", why=["override"])
    found = past(bad)
    assert (found.undecided, found.wrong, found.seed) == ("invalid_api_key", "", None)
    assert past(event(account="", candidate="", authenticated=False)).undecided == "credential"


def test_what_a_limit_refused_says_nothing_of_overrides() -> None:
    found = past(denied(why=["override"], verdict="suspect", findings=[], limits=denied()["limits"]))
    assert found.seed == ("suspect", "", "", None, False, False, False)
    assert past(denied(findings=[])).seed is None


def test_events_of_before_there_was_more_to_say() -> None:
    old = event()
    for name in ("established", "cluster"):
        old.pop(name, None)
    assert past(old) == WHOLE


def test_what_stands_for_nothing() -> None:
    assert Decided() == ("allow", "", "")
    assert Seed() == PLAIN == ("none", "", "", None, False, False, False)


TEXTS = (
    "id", "policy", "identity", "mode", "route", "method", "model", "account", "candidate", "network", "organisation", "device",
    "device_kind", "tier", "acr", "ial", "source", "decision", "code", "outcome", "verdict",
)  # fmt: skip
SIZES = "v, at, status or delay_ms is not a whole number of its size"
KINDS = "its fields are not of the kinds that an event has"
WRONG: list[tuple[dict[str, Any], str]] = [
    *[({name: 7}, f"{name} is not text") for name in TEXTS],
    *[({name: value}, SIZES) for name in ("v", "at", "status", "delay_ms") for value in (1.0, "1", None, True)],
    *[({name: value}, SIZES) for name in ("at", "delay_ms") for value in (-1, BIG)],
    ({"v": 0}, "v is 0, and 1 is known"),
    *[({name: 1}, "authenticated or verified is not a boolean") for name in ("authenticated", "verified")],
    *[({name: "maybe"}, "decision or outcome is not one that is known") for name in ("decision", "outcome")],
    *[
        ({name: value}, f"{name} is not a number of its size")
        for name in ("duration_ms", "effective")
        for value in (-1, -0.5, float(BIG), BIG, float("inf"), float("nan"), "1", None, True)
    ],
    *[
        ({"estimate": {"input": 0, "output": 0, "items": 0, name: value}}, "estimate or used holds what is no count")
        for name in ("input", "output", "items")
        for value in (-1, BIG, 1.0, True, None)
    ],
    *[
        ({"used": {"input": 0, "cached": 0, "cache_write": 0, "output": 0, "complete": True, name: -1}},
         "estimate or used holds what is no count")
        for name in ("input", "cached", "cache_write", "output")
    ],
    ({"source": "\ud800"}, "it holds half a character"),
    *[({"findings": [{**FINDING, name: None}]}, KINDS) for name in ("scorer", "family", "score", "reason")],
    ({"findings": [{**FINDING, "score": True}]}, KINDS),
    ({"findings": 7}, KINDS),
    ({"limits": 7}, KINDS),
    ({"refusal": 7}, KINDS),
    ({"refusal": {"limit": None}}, KINDS),
    ({"rung": 7}, KINDS),
    *[({"mode": "shadow", "would": {"decision": "deny", "code": "", "limit": "", "rung": "", name: 7}}, KINDS)
      for name in ("decision", "code", "limit")],
    ({"estimate": {"input": 1, "output": 2}}, "items is missing"),
    ({"used": {}}, "input is missing"),
    ({"findings": [{}]}, "scorer is missing"),
    ({"would": {"decision": "deny", "code": ""}, "mode": "shadow"}, "limit is missing"),
]  # fmt: skip


def test_what_is_no_event() -> None:
    """And what is at the ends of what is one."""
    said = []
    for more, _ in WRONG:
        try:
            past(event(**more))
        except ValueError as error:
            said.append(f"{error}")
        else:
            said.append("")
    assert said == [wrong for _, wrong in WRONG]
    for largest in (
        {"at": BIG - 1},
        {"delay_ms": BIG - 1},
        {"at": 0},
        {"effective": 0, "duration_ms": 0},
        {"duration_ms": float(BIG - 1)},
        {"estimate": {"input": BIG - 1, "output": 0, "items": 0}},
    ):
        assert past(event(**largest)).id == WHOLE.id


@pytest.mark.parametrize("name", sorted(event().keys() - {"established", "cluster", "dialect", "velocity", "risk", "trimmed",
                                                          "rung_at", "changes"}))  # fmt: skip
def test_what_is_missing(name: str) -> None:
    found = event()
    del found[name]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - what it says is compared whole
        past(found)
    assert str(caught.value) == f"{name} is missing"


@pytest.mark.parametrize(("given", "kind"), [([], "list"), ("{}", "str"), (None, "NoneType"), (7, "int")])
def test_what_is_no_object(given: Any, kind: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - what it says is compared whole
        past(given)
    assert str(caught.value) == f"a {kind} is not an event"
