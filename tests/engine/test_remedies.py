"""What would bring it down, at its ends: figures worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.engine import remedies
from guardrail_mw.engine.remedies import Ramp
from guardrail_mw.policy import Policy, load

from ..telemetry.kit import ACCOUNT, denied, event  # noqa: TID252 - the kit of events

NETWORK = "n:Zl2hO0eYqf3rG4mSPc9xUw"


def policy(hysteresis: int = 5, **rest: Any) -> Policy:
    return load(
        {
            "version": 1,
            "velocity": [{"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}],
            "risk": {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 5, "full": 25}}}]},
            "friction": {"ladder": [{"at": 65, "do": "delay"}], "hysteresis": hysteresis, **rest},
        }
    )


def finding(count: int, **more: Any) -> dict[str, Any]:
    """Suspicion begins above 5 and is whole at 25: five points an attempt."""
    score = min(max(count - 5, 0) * 5, 100)
    figures = {"count": count, "floor": 0, "from": 5, "full": 25, "window_s": 600}
    return {
        "scorer": "velocity",
        "family": "volume",
        "score": score,
        "reason": "attempts",
        "figures": figures,
        "shadow": False,
        **more,
    }


def said(given: Policy | None, **more: Any) -> list[str]:
    return list(remedies.remedies(event(**{"rung": "delay", "rung_at": 65.0, **more}), given))


def test_a_smaller_count() -> None:
    """The rung is left below 60: 55 is eleven above five, sixteen; at seventeen it is 60."""
    [smaller, calm, override] = said(policy(), risk=100.0, effective=100.0, findings=[finding(25)])
    assert smaller == "attempts: at most 16 within 10 min instead of 25, all else as it was."
    assert calm == "Calm: what is remembered halves every 30m; from 100 it is below 60 in 22.1 min."  # 30 x log2(100 / 60)
    assert override == f"Or: guardrail-mw accounts override {ACCOUNT} allow --until 7d --reason …"


@pytest.mark.parametrize(
    ("count", "full", "at", "most"),
    [
        (7, 7, 19.2, 1),  # left below 14.2: one of seven is 14, for points are whole
        (7, 7, 19.0, 0),  # left below 14
        (8, 4, 80.0, 2),  # left below 75, which three are
        (8, 4, 80.5, 3),
    ],
)
def test_how_small_a_count(count: int, full: int, at: float, most: int) -> None:
    """From 0 to `full`; without the finding there is no risk."""
    figures = {"count": count, "floor": 0, "from": 0, "full": full, "window_s": 600}
    found = {**finding(count), "figures": figures, "score": 100}
    lines = said(policy(), risk=100.0, effective=100.0, findings=[found], rung_at=at)
    expected = f"attempts: at most {most} within 10 min instead of {count}, all else as it was."
    assert [line for line in lines if "instead of" in line] == [expected]


def test_without_the_policy_a_rung_is_left_where_it_begins() -> None:
    """Below 60.5, which 17 are, five points each above five; how fast a memory fades nobody knows."""
    found = said(None, risk=100.0, effective=100.0, findings=[finding(25)], rung_at=60.5)
    assert found == [
        "attempts: at most 17 within 10 min instead of 25, all else as it was.",
        f"Or: guardrail-mw accounts override {ACCOUNT} allow --until 7d --reason …",
    ]


def test_a_risk_that_is_too_small_already_needs_no_smaller_count() -> None:
    found = said(policy(), risk=59.0, effective=61.0, findings=[finding(25)])
    assert [line.partition(":")[0] for line in found] == ["Calm", "Or"]


def test_a_rung_that_is_left_at_half() -> None:
    """8 less 5 is 3, less than half of it: left below 4; from 8 that takes one half-life."""
    found = list(remedies.remedies(event(rung="delay", rung_at=8.0, risk=0.0, effective=8.0, findings=[]), policy()))
    assert found[0] == "Calm: what is remembered halves every 30m; from 8 it is below 4 in 30 min."


@pytest.mark.parametrize(
    ("more", "calm"),
    [
        ({"effective": 60.0}, True),
        ({"effective": 59.9}, False),
        ({"effective": 70.0, "authenticated": False}, False),
        ({"rung_at": 2.0, "effective": 3.0}, False),  # left below a point, which is forgotten
        ({"rung_at": 3.0, "effective": 3.0}, True),
    ],
)
def test_where_calm_helps(more: dict[str, Any], calm: bool) -> None:
    found = remedies.remedies(event(**{"rung": "delay", "rung_at": 65.0, "risk": 0.0, "findings": [], **more}), policy())
    assert any(line.startswith("Calm") for line in found) == calm


def test_whom_an_operator_would_name() -> None:
    unproved = denied(candidate="", account=NETWORK)
    assert list(remedies.remedies(unproved, None)) == [
        "The limit requests: the same request is admitted in 480 ms, if nothing else comes.",
    ], "a network's is nobody's to fill"
    candidate = denied(candidate=ACCOUNT, account=NETWORK)
    assert list(remedies.remedies(candidate, None))[1].split()[4] == ACCOUNT
    for per, own in ((["account"], True), (["account", "model"], True), (["network"], False), ([], False)):
        given = load({"version": 1, "limits": [{"name": "requests", "per": per, "rate": "1/minute"}]})
        assert len(list(remedies.remedies(candidate, given))) == 1 + own
    override = event(rung="delay", rung_at=65.0, candidate="", account=NETWORK)
    assert not any("override" in line for line in remedies.remedies(override, None))


def test_ramps() -> None:
    assert remedies.ramp(finding(7)) == Ramp(7, False, 5, 25, 600_000_000)
    floor = {"count": "64", "floor": 1, "from": 5, "full": 25, "window_s": "0.5"}
    assert remedies.ramp({"figures": floor}) == Ramp(64, True, 5, 25, 500_000)
    for spoiled in ({"count": "many"}, {"window_s": float("inf")}):
        assert remedies.ramp({"figures": floor | spoiled}) is None
    for missing in floor.keys() - {"floor"}:
        assert remedies.ramp({"figures": {name: value for name, value in floor.items() if name != missing}}) is None
    assert remedies.ramp({"figures": {name: value for name, value in floor.items() if name != "floor"}}) == Ramp(
        64, False, 5, 25, 500_000
    )


def test_what_is_in_shadow_adds_nothing() -> None:
    found = remedies.families(event(risk=100.0, findings=[finding(25), finding(25, shadow=True)]), policy())
    assert found == ["volume 100 (attempts) adds 100: without it the risk would be 0, not 100"]
    assert remedies.families(event(risk=99.98, findings=[finding(25)]), policy()) != []
    assert remedies.families(event(risk=99.97, findings=[finding(25)]), policy()) == []
    assert remedies.families(event(risk=0.0, findings=[finding(25, shadow=True)]), policy()) == []


@pytest.mark.parametrize(("verdict", "told"), [("none", False), ("watched", False), ("suspect", True), ("confirmed", True)])
def test_a_cluster_that_was_found_suspect_is_where_to_look(verdict: str, told: bool) -> None:
    """Whoever asks why somebody was refused finds the way to the cluster's verdict, and to what frees it."""
    line = f"Its cluster is {verdict}: guardrail-mw clusters show 0123456789ab says why, and what frees it."
    of = {"cluster": "0123456789ab", "verdict": verdict}
    assert (line in said(None, **of)) is told
    assert (line in remedies.remedies({**denied(), **of}, None)) is told
    assert line not in said(None, **of, rung=None, rung_at=None)
    assert line not in said(None, **{**of, "cluster": ""})


@pytest.mark.parametrize(
    ("decision", "first"),
    [("challenge", "To solve what it was asked"), ("verify", "To be verified, as it was told how"), ("trim", "attempts: ")],
)
def test_who_is_asked_for_something_can_do_that(decision: str, first: str) -> None:
    asked = event(decision=decision, rung="slow", rung_at=65.0, risk=75.0, effective=75.0, findings=[finding(20)])
    assert next(iter(remedies.remedies(asked, policy()))).startswith(first)
