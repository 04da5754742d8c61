"""Reports: what several seeds say together, in words, in JSON, and on a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from guardrail_mw.cli import main
from guardrail_mw.simulate import pooling
from guardrail_mw.simulate.report import percent

from .checked import Checked

TOWN = {
    "name": "a <small> town",
    "days": 3,
    "ordinary_days": 1,
    "accounts": 60,
    "campaigns": [
        {"operator": "one", "goal": 300, "accounts": 30, "scales": False, "days": 2},
        {"operator": "two", "goal": 60, "accounts": 20, "scales": False, "days": 2, "means": ["slow"]},
    ],
}


def cohort(**more: int) -> dict[str, Any]:
    figures = {"accounts": 0, "touched": 0, "groups": 0, "groups_touched": 0, "requests": 0, "worse": 0, "denied": 0}
    return {**figures, "rungs": {"limited": {"requests": more.get("worse", 0), "accounts": 0}}, **more}


def test_seeds_are_pooled() -> None:
    runs = [
        {"friction": {"all": cohort(accounts=300), "cohorts": {"offices": cohort(accounts=100, touched=1, groups=400)}}},
        {
            "friction": {
                "all": cohort(accounts=700),
                "cohorts": {"offices": cohort(accounts=100, groups=200, requests=500, worse=2)},
            }
        },
        {"friction": {"all": cohort(accounts=500), "cohorts": {}}},
    ]
    found = pooling.cohorts(runs)
    assert list(found) == ["all", "offices"]
    assert found["all"]["accounts"] == 1500
    assert found["all"]["bound"] == pytest.approx(3 / 1500)
    offices = found["offices"]
    assert offices["share"] == 0.005
    assert offices["claim"]  # 600 groups
    assert offices["groups_bound"] == pytest.approx(3 / 600)
    assert offices["per_million"] == 4000
    assert offices["rungs"]["limited"]["requests"] == 2


def test_the_upper_end_of_a_share() -> None:
    # Wilson's interval for 10 of 100 ends at .1744 (any table of it); for 1 of 1 at 1.
    assert pooling.wilson(10, 100) == pytest.approx(0.1744, abs=5e-5)
    assert pooling.wilson(0, 1000) == pytest.approx(0.003)
    assert pooling.wilson(1, 1) == pytest.approx(1.0)


def test_percent() -> None:
    assert [percent(share) for share in (0.0, 1.0, 0.00123, 0.5, None)] == ["0%", "100%", "0.123%", "50%", "-"]


def test_the_command_writes_everything(tmp_path: Path) -> None:
    file, out = tmp_path / "town.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(TOWN))
    arguments = ["simulate", "--scenario", str(file), "--seeds", "1,2", "--every", "3h", "--out", str(out)]
    ran = CliRunner().invoke(main, [*arguments, "--checkpoint", str(tmp_path / "kept")])
    assert ran.exit_code == 0, ran.output
    assert (out / "report.txt").read_text() in ran.output
    assert "Operators, seed 2" in ran.output
    figures = json.loads((out / "report.json").read_text())
    assert [run["seed"] for run in figures["runs"]] == [1, 2]
    for run in figures["runs"]:
        one, two = run["operators"]
        assert (one["goal"], one["attempts"], one["leak"]) == (300, 300, 1.0)  # nothing is judged before 30 days have passed
        assert (two["goal"], two["attacker"]) == (60, "naive+slow")
        assert run["friction"]["all"]["touched"] == 0
    assert figures["friction"]["all"]["accounts"] == sum(run["friction"]["all"]["accounts"] for run in figures["runs"])
    page = Checked()
    page.feed((out / "report.html").read_text())
    assert page.open == []
    assert page.plots == 2  # none of friction, for there was none
    assert "a <small> town" in page.text
    accounts = list(out.glob("accounts-*"))
    assert sorted(path.stem for path in accounts) == ["accounts-1", "accounts-2"]
    again = CliRunner().invoke(main, [*arguments, "--checkpoint", str(tmp_path / "kept")])
    assert again.exit_code == 0, again.output
    assert "Going on from" in again.output
    before, after = figures["runs"], json.loads((out / "report.json").read_text())["runs"]
    assert [{**run, "speed": 0} for run in after] == [{**run, "speed": 0} for run in before]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("days: [", "town.yaml"),
        ("days: none", "days"),
        ("campaigns: [{operator: x, attacker: nobody}]", "no 'nobody'"),
    ],
)
def test_a_scenario_that_cannot_be(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "town.yaml"
    file.write_text(text)
    ran = CliRunner().invoke(main, ["simulate", "--scenario", str(file)])
    assert ran.exit_code == 2
    assert said in ran.output


@pytest.mark.parametrize(
    ("seeds", "said"),
    [("1,x", "'x' is no seed"), ("", "'' is no seed"), (",", "'' is no seed"), ("5-2", "'5-2' has no seed in it")],
)
def test_what_is_no_seed(seeds: str, said: str) -> None:
    bad = CliRunner().invoke(main, ["simulate", "--seeds", seeds])
    assert bad.exit_code == 2
    assert said in bad.output


@pytest.mark.slow
def test_quick_finds_the_smallest_operator_and_touches_nobody(tmp_path: Path) -> None:
    """Two minutes at most on two cores."""
    ran = CliRunner().invoke(main, ["simulate", "--quick", "--json", str(tmp_path / "q.json")])
    assert ran.exit_code == 0, ran.output
    [run] = json.loads((tmp_path / "q.json").read_text())["runs"]
    [small] = run["operators"]
    assert small["accounts"] == 218
    assert small["held"] > 0.995
    assert small["leak"] < 0.35  # of a week's plan; judged after a day or two
    assert small["precision"] > 0.998
    assert small["contained"]["95%"] is not None
    # Its clusters' budgets, a hundred a day each, and what was before; nothing more.
    budget = small["budget"]
    assert budget["before"] + budget["under"] == sum(small["calls"][name] for name in ("served", "delayed", "trimmed"))
    assert 0 < budget["under"] <= 100 * budget["cluster_days"]
    assert budget["most_in_a_day"] <= 100
    assert run["friction"]["all"]["touched"] == 0
    assert run["clusters"]["pairs"]["mixed"] == 0
