"""What a rung does, with which reasons, and what scorers in shadow would have led to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from guardrail_mw.engine.judgement import QUIET, Judge, Judgement, _reasons
from guardrail_mw.risk.base import Finding
from guardrail_mw.risk.combination import NO_RISK, Risk, Weighed
from guardrail_mw.risk.runner import Scored
from guardrail_mw.values import Allow, Challenge, Delay, Deny, Trim, Verify


def step(**more: Any) -> Any:
    """Where nothing stands on the ladder."""
    return QUIET.step._replace(**more)


def judged(*findings: tuple[str, int, float, bool]) -> Judgement:
    """What scorers found: reason, score, weight and whether in shadow."""
    weighed = [Weighed("s", Finding("volume", score, reason), weight, shadow) for reason, score, weight, shadow in findings]
    return Judgement(Scored(NO_RISK, tuple(weighed), NO_RISK), step())


def test_what_a_rung_does_to_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardrail_mw.engine.judgement.random", lambda: 0.5)
    judge = Judge.__new__(Judge)
    judge._verifiers = {}
    exchange: Any = SimpleNamespace(id="id", judgement=judged(("why", 5, 1.0, False)))
    given: Any = [
        SimpleNamespace(do=do, code=do, seconds=lambda draw: 4 * draw)
        for do in ("delay", "trim", "deny", "challenge", "verify", "allow")
    ]
    message = "The request was refused: it looks like part of an automated campaign."
    assert [judge.decision(exchange, rung) for rung in given] == [
        Delay("id", 2.0, ("why",)),
        Trim("id", (), ("why",)),
        Deny("id", "denied", 403, message, ("why",)),
        Challenge("id", {}, ("why",)),
        Verify("id", "", reasons=("why",)),
        Allow("id", ("why",)),
    ]


@pytest.mark.parametrize(
    ("found", "reasons"),
    [
        ([("a", 10, 1.0, False), ("b", 30, 1.0, False)], ("b", "a")),
        ([("a", 10, 1.0, False), ("b", 30, 0.25, False)], ("a", "b")),
        ([("a", 10, 0.5, False), ("b", 6, 1.0, False), ("a", 40, 0.5, False)], ("a", "b")),
        ([("a", 10, 1.0, True), ("b", 0, 1.0, False), ("c", 1, 1.0, False)], ("c",)),
        ([("a", 10, 1.0, False), ("b", 10, 1.0, False)], ("a", "b")),
        ([("a", 10, 1.0, False), ("b", 20, 0.0, False)], ("a", "b")),
        ([], ()),
    ],
)
def test_reasons_are_told_by_what_they_weigh(found: Any, reasons: tuple[str, ...]) -> None:
    assert _reasons(judged(*found)) == reasons


def test_of_what_was_not_judged_there_are_no_reasons() -> None:
    assert _reasons(None) == ()


LOW, HIGH = (SimpleNamespace(name=name, index=index) for index, name in enumerate(("low", "high")))


@pytest.mark.parametrize(
    ("found", "other", "expected"),
    [
        (step(rung=LOW, at=1.0), step(rung=LOW, at=1.0), step(rung=LOW, at=1.0)),
        (step(rung=LOW, at=1.0), step(rung=HIGH, at=2.0), step(rung=LOW, would=HIGH, at=1.0, why=("shadow",))),
        (step(), step(rung=LOW, at=1.0), step(would=LOW, at=1.0, why=("shadow",))),
        (step(), step(), step()),
        (step(rung=HIGH, at=2.0), step(rung=LOW, at=1.0), step(rung=HIGH, at=2.0)),
        (step(would=HIGH, at=2.0, why=("capped",)), step(rung=HIGH, at=2.0), step(would=HIGH, at=2.0, why=("capped",))),
        (step(would=LOW, at=1.0, why=("shadow",)), step(rung=HIGH, at=2.0), step(would=HIGH, at=2.0, why=("shadow",))),
        (step(rung=LOW, at=1.0, why=("up",)), step(rung=LOW, would=HIGH, at=1.0),
         step(rung=LOW, would=HIGH, at=1.0, why=("up", "shadow"))),
    ],
)  # fmt: skip
def test_what_scorers_in_shadow_would_have_led_to(found: Any, other: Any, expected: Any) -> None:
    """Told where it is more than what is done, or would be without them."""
    judge = Judge.__new__(Judge)
    asked: list[Any] = []

    def walk(person: Any, score: float, families: int) -> Any:
        asked.append((person, score, families))
        return found if score == 5.0 else other

    judge.ladder = SimpleNamespace(step=walk)  # type: ignore[assignment]
    judge.person = lambda _exchange: "ada"  # type: ignore[method-assign, assignment, return-value]
    risk, more = Risk(5.0, (("volume", 10.0), ("timing", 9.99))), Risk(9.0, (("volume", 10.0), ("timing", 11.0)))
    exchange: Any = None
    assert judge._step(exchange, Scored(risk, (), more)) == expected
    assert asked == [("ada", 5.0, 1), ("ada", 9.0, 2)]
    assert judge._step(exchange, Scored(risk, (), risk)) == found
    assert len(asked) == 3
