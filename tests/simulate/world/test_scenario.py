"""Scenarios as they are written, and what is said of bad ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardrail_mw.simulate.world import Scenario, ScenarioError, load_scenario, reported
from guardrail_mw.simulate.world.campaigns.recruiting import begins_with
from guardrail_mw.simulate.world.cohorts.settling import shares
from guardrail_mw.simulate.world.scenario import CampaignSettings


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "scenario.yaml"
    path.write_text(text)
    return path


def test_a_file_is_read(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
name: two
days: 40
ordinary_days: 10
ratio: 20
mix: {homes: 0.5, offices: 0.5}
models: [{name: a}, {name: b, released: 12.5}]
campaigns:
  - {operator: x, goal: 5000, accounts: 30, days: 20, means: [slow, residential]}
  - {operator: y, like: june, days: 30, traits: {card: {per: 7}}}
""",
    )
    scenario = load_scenario(path)
    first, second = scenario.campaigns
    assert (first.goal, first.accounts, first.conducts.per_day, first.all_traits.address.taken) == (5000, 30, 5, True)
    assert first.all_traits.card.per == (20, 20)  # what no layer names stays the naive attacker's
    assert (second.goal, second.accounts, second.all_traits.card.per) == (29_250_000, 25_000, (7, 7))
    assert list(shares(scenario)) == ["homes", "offices"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("days: none", "days: Input should be a valid integer"),
        ("weeks: 3", "weeks: Extra inputs"),
        ("step: 700", "step: 700 s does not divide an hour"),
        ("mix: {office: 1}", "no cohort 'office': there are homes, households"),
        ("models: [{name: a, released: 1}]", "at least one must have been there before"),
        ("campaigns: [{operator: x, attacker: nobody}]", "campaigns.0: Value error, attacker: no 'nobody'"),
        ("campaigns: [{operator: x, means: [magic]}]", "means: no 'magic': there are slow, cells"),
        ("campaigns: [{operator: x, like: march}]", "no campaign 'march' was reported"),
        ("campaigns: [{operator: x, traits: {card: {per: [9, 2]}}}]", "not from 9 to 2"),
        ("campaigns: [{operator: x, conduct: {drawn: cows}}]", "conduct: no cohort 'cows'"),
        ("campaigns: [{operator: x}, {operator: x}]", "two operators are called 'x'"),
        ("campaigns: [{operator: x, days: 60}]", "'x' ends on day 90, after the world, which has 75"),
        ("[1]", "a scenario is a mapping"),
        ("a: [", "expected"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(written(tmp_path, text))
    assert told in str(caught.value)
    assert "scenario.yaml" in str(caught.value)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(written(tmp_path, "days: none\nscale: 11\nsheep: 1"))
    assert "3 problems" in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"nowhere\.yaml"):
        load_scenario(tmp_path / "nowhere.yaml")


def test_the_reported_campaigns() -> None:
    february = reported("february").campaigns
    assert [(each.goal, each.accounts) for each in february] == [(150_000, 218), (3_400_000, 4_930), (13_000_000, 18_852)]
    assert sum(each.goal for each in february) == 16_550_000
    assert sum(each.accounts for each in february) == 24_000
    (june,) = reported("june", means=["jitter"]).campaigns
    assert june.goal == june.accounts * 26 * 45
    with pytest.raises(ScenarioError, match="no campaign 'may'"):
        reported("may")


def test_the_smallest_operator_never_scales() -> None:
    small, middle, large = reported("february").campaigns
    assert begins_with(small, 10) == (150_000, 218)
    assert begins_with(middle, 10) == (340_000, 493)
    assert begins_with(large, 1) == (13_000_000, 18_852)


@pytest.mark.parametrize(("means", "accounts"), [(["slow"], 667), (["slow", "cover-80"], 3334)])
def test_a_limit_a_day_adds_accounts_until_the_goal_can_be_met(means: list[str], accounts: int) -> None:
    # 150,000 over 45 days at five a day, of which one is useful under four fifths of cover.
    campaign = CampaignSettings.model_validate({"operator": "x", "like": "february-small", "means": means})
    assert begins_with(campaign, 10)[1] == accounts


def test_all_of_february_at_five_a_day_takes_as_many_accounts_as_reckoned() -> None:
    all_three = [begins_with(each, 1)[1] for each in reported("february", means=["slow"]).campaigns]
    assert 73_556 <= sum(all_three) <= 73_556 + 2  # 16,550,000 / 225, rounded up thrice


def test_what_is_held_out_takes_no_part_unless_asked() -> None:
    assert "resellers" not in shares(Scenario())
    assert "resellers" in shares(Scenario(held_out=True))
    only = shares(Scenario(only_held_out=True))
    assert {"resellers", "startups", "homes"} <= set(only)
    assert "offices" not in only
    assert sum(each.share for each in only.values()) == pytest.approx(1)
