"""The policy's `risk:` section: what it takes, and where it says what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from guardrail_mw.quantities import Duration
from guardrail_mw.risk.base import ScorerType
from guardrail_mw.risk.cluster import ClusterScorer
from guardrail_mw.risk.runner import misfits
from guardrail_mw.risk.settings import PRESETS, Preset, RiskSettings, ScorerSettings
from guardrail_mw.risk.velocity import VelocityScorer
from guardrail_mw.testing.requests import context, scope, velocity

from .kit import Says

pytestmark = pytest.mark.usefixtures("door")

RULES = {"devices-per-account": velocity("devices-per-account", "device")}
DEVICES = {"use": "velocity", "with": {"devices-per-account": {"from": 5, "full": 20}}}


class NightOwl(Says):
    pass


def problems(**risk: Any) -> dict[str, str]:
    """Place to message."""
    with pytest.raises(ValidationError) as caught:
        RiskSettings.model_validate(risk)
    return {".".join(map(str, error["loc"])): error["msg"] for error in caught.value.errors()}


def test_the_section_as_the_design_writes_it() -> None:
    settings = RiskSettings.model_validate({"scorers": [DEVICES, {"use": "cluster"}]})
    assert [item.label for item in settings.scorers] == ["velocity", "cluster"]
    assert settings.deadline == Duration.parse("20ms")
    built = [item.build(scope(item.label, RULES.values())) for item in settings.scorers]
    assert [type(each) for each in built] == [VelocityScorer, ClusterScorer]
    assert [each.score for each in built[0].score(context(counts={"devices-per-account": 20}))] == [100]  # type: ignore[union-attr]


def test_it_is_printed_back_as_written() -> None:
    section = {
        "scorers": [
            {**DEVICES, "name": "few-devices", "weight": 0.5, "shadow": True},
            {"use": "cluster", "with": {"watched": 5}},
        ],
        "deadline": "5ms",
        "preset": "careful",
        "weights": {"client": 0.1},
    }
    settings = RiskSettings.model_validate(section)
    assert settings.model_dump(mode="json", by_alias=True, exclude_unset=True) == section


def test_every_problem_has_its_place() -> None:
    found = problems(
        scorers=[
            {"use": "velocity"},
            {"use": "velocity", "with": {"attempts": {"from": 1, "ful": 2}}, "name": "Two Words"},
            {"use": "cluster", "with": {"suspekt": 1}, "weight": 1.5, "shadow": "yes"},
            {"use": "clusters"},
            {"use": "not_one"},
            {"use": "broken"},
            {"with": {}},
            5,
        ],
        deadline="0ms",
        weights={"network": True, "karma": 1, "device": -0.5},
        preset="lax",
        threshold=5,
    )
    assert found.keys() == {
        "scorers.0.with",
        "scorers.1.with.attempts.full",
        "scorers.1.with.attempts.ful",
        "scorers.1.name",
        "scorers.2.with.suspekt",
        "scorers.2.weight",
        "scorers.2.shadow",
        "scorers.3.use",
        "scorers.4.use",
        "scorers.5.use",
        "scorers.6.use",
        "scorers.7",
        "deadline",
        "weights.network",
        "weights.karma.[key]",
        "weights.device",
        "preset",
        "threshold",
    }
    assert "Did you mean 'cluster'?" in found["scorers.3.use"]
    assert "is not a scorer: it has no Settings" in found["scorers.4.use"]
    assert "cannot be imported" in found["scorers.5.use"]


@pytest.mark.parametrize(("deadline", "good"), [("0.9ms", False), ("1ms", True), ("1s", True), ("1001ms", False)])
def test_a_deadline_within_reason(deadline: str, good: bool) -> None:
    if good:
        assert str(RiskSettings.model_validate({"deadline": deadline}).deadline) == deadline
    else:
        assert "is not between 1ms and 1s" in problems(deadline=deadline)["deadline"]


def test_a_name_names_one_scorer() -> None:
    found = problems(scorers=[{"use": "cluster"}, {"use": "cluster", "name": "other"}, {"use": "cluster"}])
    assert "is called `cluster`, as scorers[0] is" in found[""]
    RiskSettings.model_validate({"scorers": [{"use": "cluster"}, {"use": "cluster", "name": "other"}]})


def test_at_most_32() -> None:
    assert "at most 32" in problems(scorers=[{"use": "cluster", "name": f"c{index}"} for index in range(33)])["scorers"]


def test_python_may_pass_objects() -> None:
    owl = NightOwl(())
    held = ScorerSettings.holding(owl, name="owl", weight=0.5, shadow=True)
    settings = RiskSettings.model_validate({"scorers": [owl, held, {"use": "cluster"}]})
    assert [(item.label, item.weight, item.shadow) for item in settings.scorers] == [
        ("night-owl", 1, False),
        ("owl", 0.5, True),
        ("cluster", 1, False),
    ]
    assert settings.scorers[0].build(scope()) is owl
    assert settings.scorers[1].build(scope()) is owl
    assert settings.model_dump(mode="json", by_alias=True)["scorers"][0]["use"] == "NightOwl"


def test_a_class_is_no_scorer() -> None:
    assert "scorers.0" in problems(scorers=[NightOwl])


def test_weights_stand_above_the_preset() -> None:
    assert RiskSettings().weighing() == {}
    assert RiskSettings.model_validate({"preset": "strict"}).weighing() == {}
    careful = RiskSettings.model_validate({"preset": "careful", "weights": {"client": 0, "timing": 1, "network": 0.5}})
    assert careful.weighing() == {"automation": 0.4, "client": 0, "content": 0.4, "release": 0.4, "network": 0.5}


def test_presets_are_what_the_reference_says() -> None:
    said = str(RiskSettings.model_fields["preset"].description)
    names: list[Preset] = ["balanced", "careful"]
    for name in names:
        weights = PRESETS[name]
        told = said.partition(f"`{name}`: ")[2].partition("`careful`" if name == "balanced" else "`strict`")[0]
        assert f"{weights['automation']}" in told
        assert f"{weights['client']}" in told
        assert set(weights.values()) == {weights["automation"], weights["client"]}
    assert PRESETS["strict"] == {}


def test_presets_keep_the_promise_they_make() -> None:
    assertable = {"automation", "client", "content", "release", "timing"}
    assert set(PRESETS["balanced"]) == set(PRESETS["careful"]) == assertable
    # The lowest threshold of `verify` at 75 is 75 - 2.5; of `challenge` at 50, 50 - 5.
    assert max(PRESETS["balanced"].values()) * 100 < 72.5
    assert max(PRESETS["careful"].values()) * 100 < 45


def test_the_loader_hears_what_does_not_fit() -> None:
    bad = {"use": "velocity", "name": "bad", "with": {"devices": {"from": 5, "full": 20}}}
    settings = RiskSettings.model_validate({"scorers": [DEVICES, bad, {"use": "unbuildable"}]})
    (place, why), (other, whose) = misfits(settings, RULES)
    assert place == ("scorers", 1, "with")
    assert why.startswith("`devices` is no velocity rule.")
    assert other == ("scorers", 2)
    assert whose.startswith("cannot be built: RuntimeError at kit.py:")


def test_the_built_in_scorers_are_scorer_types() -> None:
    kinds: list[ScorerType[Any]] = [VelocityScorer, ClusterScorer]
    assert [kind.Settings.model_json_schema()["type"] for kind in kinds] == ["object", "object"]


def test_a_json_schema_can_be_made() -> None:
    schema = RiskSettings.model_json_schema()
    assert schema["properties"].keys() == {"scorers", "deadline", "preset", "weights"}
    item = schema["$defs"]["ScorerSettings"]
    assert item["properties"].keys() == {"use", "with", "name", "weight", "shadow"}
    assert item["required"] == ["use"]
