"""Velocity: the ramp from `from` to `full`, whose family it is, and names that are not there."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from guardrail_mw.risk.base import Count, Finding
from guardrail_mw.risk.velocity import VelocityScorer, VelocitySettings
from guardrail_mw.testing.requests import context, scope, velocity

DEVICES = velocity("devices-per-account", "device", hours=24)
ATTEMPTS = velocity("attempts", "volume", hours=1 / 6)


def scorer(**ramps: dict[str, int]) -> VelocityScorer:
    settings = VelocitySettings.model_validate({name.replace("_", "-"): ramp for name, ramp in ramps.items()})
    return VelocityScorer(settings, scope("velocity", [DEVICES, ATTEMPTS]))


@pytest.mark.parametrize(
    ("count", "score"),
    # 15 from 5 to 20: a third of 20 is 6.67 and rounds down.
    [(0, None), (5, None), (6, 6), (8, 20), (11, 40), (19, 93), (20, 100), (21, 100), (10**9, 100)],
)
def test_linear_from_0_to_100(count: int, score: int | None) -> None:
    found = scorer(devices_per_account={"from": 5, "full": 20}).score(context(counts={"devices-per-account": count}))
    figures = {"count": count, "floor": 0, "from": 5, "full": 20, "window_s": 86400}
    assert found == ([] if score is None else [Finding("device", score, "devices-per-account", figures)])


def test_each_rule_speaks_for_itself_and_one_that_does_not_hold_is_silent() -> None:
    both = scorer(devices_per_account={"from": 0, "full": 64}, attempts={"from": 100, "full": 200})
    found = both.score(context(counts={"devices-per-account": Count(64, floor=True), "attempts": 150}))
    assert [(each.family, each.score, each.reason) for each in found] == [
        ("device", 100, "devices-per-account"),
        ("volume", 50, "attempts"),
    ]
    assert (found[0].figures["floor"], found[1].figures["window_s"]) == (1, 600)
    assert [each.reason for each in both.score(context(counts={"attempts": 150}))] == ["attempts"]
    assert both.score(context()) == []


def test_a_window_of_part_of_a_second() -> None:
    settings = VelocitySettings.model_validate({"quick": {"from": 1, "full": 2}})
    quick = VelocityScorer(settings, scope("velocity", [velocity("quick")._replace(window=250_000)]))
    assert quick.score(context(counts={"quick": 2}))[0].figures["window_s"] == 0.25


@pytest.mark.parametrize(
    ("value", "place", "why"),
    [
        ({}, (), "at least 1 item"),
        ([], (), "valid dictionary"),
        ({"attempts": {}}, ("attempts", "from"), "Field required"),
        ({"attempts": {"from": 5, "full": 5}}, ("attempts",), "is not above `from`"),
        ({"attempts": {"from": -1, "full": 5}}, ("attempts", "from"), "greater than or equal to 0"),
        ({"attempts": {"from": 1, "full": 5.5}}, ("attempts", "full"), "valid integer"),
        ({"attempts": {"from": 1, "full": 5, "to": 6}}, ("attempts", "to"), "not permitted"),
        ({"At tempts": {"from": 1, "full": 5}}, ("At tempts", "[key]"), "match pattern"),
    ],
)
def test_settings_that_are_none(value: Any, place: tuple[str, ...], why: str) -> None:
    with pytest.raises(ValidationError) as caught:
        VelocitySettings.model_validate(value)
    first = caught.value.errors()[0]
    assert first["loc"] == place
    assert why in first["msg"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("devices-per-acount", "`devices-per-acount` is no velocity rule. Did you mean `devices-per-account`?"),
        ("x", "`x` is no velocity rule. Velocity rules: `attempts`, `devices-per-account`."),
    ],
)
def test_names_that_are_not_there(name: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
        scorer(**{name: {"from": 5, "full": 20}})


def test_no_rules_at_all() -> None:
    settings = VelocitySettings.model_validate({"x": {"from": 5, "full": 20}})
    with pytest.raises(ValueError, match="There is none: add it to `velocity`"):
        VelocityScorer(settings, scope())
