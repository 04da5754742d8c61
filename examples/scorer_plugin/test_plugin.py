"""The scorer is held to the contract, found by hand, and used by a policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from night_owl import NightOwl, NightOwlSettings
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from guardrail_mw import Guardrail, GuardrailMiddleware
from guardrail_mw.risk.base import Finding, RiskContext, Scorer
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.contract_scorer import ScorerContract
from guardrail_mw.testing.requests import context, scope, velocity

ATTEMPTS = velocity("attempts", hours=1)
MIDNIGHT = FakeClock().now()  # 2026-01-01T00:00:00Z
HOUR = 3_600_000_000


def owl(**settings: Any) -> NightOwl:
    return NightOwl(NightOwlSettings(rule="attempts", **settings), scope("night-owl", [ATTEMPTS]))


class TestNightOwl(ScorerContract):
    """What every scorer must keep to."""

    rules = ("attempts",)
    ordinary = 2

    @pytest.fixture
    def scorer(self) -> Scorer:
        """A fresh one."""
        return owl()


def busy(hour: int, count: int = 21, *, labels: dict[str, str] | None = None) -> RiskContext:
    standing = {f"label.{name}": value for name, value in (labels or {}).items()}
    return context(counts={"attempts": count}, now=MIDNIGHT + hour * HOUR, standing=standing)


@pytest.mark.parametrize(("hour", "finds"), [(21, False), (22, True), (0, True), (5, True), (6, False), (12, False)])
def test_the_night_is_from_22_to_6(hour: int, finds: bool) -> None:  # noqa: FBT001 - a parameter
    found = [Finding("timing", 40, "busy-at-night", {"count": 21, "more_than": 20, "hour": hour})]
    assert list(owl().score(busy(hour))) == (found if finds else [])


def test_the_night_is_elsewhere_at_other_hours() -> None:
    assert owl(utc_offset=9).score(busy(13))
    assert not owl(utc_offset=9).score(busy(22))
    assert owl(**{"from": 1, "until": 4}).score(busy(3))
    assert not owl(**{"from": 1, "until": 4}).score(busy(23))


def test_not_much_is_nothing_to_wonder_at() -> None:
    assert not owl().score(busy(0, count=20))
    assert not owl().score(context(now=MIDNIGHT))


@pytest.mark.parametrize(
    ("label", "finds"),
    [("0 a hospital", False), (f"{MIDNIGHT + 1} a week", False), (f"{MIDNIGHT} over", True), ("² x", True)],
)
def test_who_works_at_night_is_excused(label: str, finds: bool) -> None:  # noqa: FBT001 - a parameter
    assert bool(owl().score(busy(0, labels={"night-shift": label}))) is finds


def test_a_rule_must_be_there() -> None:
    with pytest.raises(ValueError, match="no velocity rule; there are: attempts"):
        NightOwl(NightOwlSettings(rule="attempt"), scope("night-owl", [ATTEMPTS]))


def test_the_policy_uses_it() -> None:
    clock = FakeClock()
    clock.advance(22 * 3600)  # 23:00 at UTC+1
    guardrail = Guardrail(Path(__file__).parent / "policy.yaml", clock=clock)
    http = TestClient(GuardrailMiddleware(PlainTextResponse("Hello."), guardrail))
    for _ in range(31):
        assert http.get("/", headers={"authorization": "Bearer sk-mine"}).text == "Hello."
    (last, before) = guardrail.recorder.latest(2)
    assert (before["risk"], before["findings"]) == (0, [])
    assert (last["risk"], last["findings"][0]["reason"]) == (40, "busy-at-night")
