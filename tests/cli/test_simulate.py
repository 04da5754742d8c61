"""`guardrail-mw simulate`: which options go together, and what is not passed over in silence."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from guardrail_mw.cli.output import Cannot
from guardrail_mw.cli.simulate import tracing, worlds, writing
from guardrail_mw.simulate.run import Pace
from guardrail_mw.simulate.world.arrays import HOUR, MINUTE

Run = Callable[..., Result]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A trace and a scenario, each as small as can be."""
    rows = [{"time": at, "account": f"a{at}"} for at in range(3)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "s.yaml").write_text("days: 3\n")
    (tmp_path / "off.yaml").write_text('version: 1\nmode: "off"\n')
    return tmp_path


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--trace", "t.jsonl", "--quick"], "--trace stands in place of --quick: leave out one of them."),
        (["--trace", "t.jsonl", "--scenario", "s.yaml"], "--trace stands in place of --scenario: leave out one of them."),
        (["--trace", "t.jsonl", "--seeds", "1,2"], "A trace is one run, and --seeds are several: leave out --trace, or"),
        (["--trace", "t.jsonl", "--ratio", "5"], "--ratio is of made-up people"),
        (["--trace", "t.jsonl", "--scale", "1"], "leave out --trace or --scale."),
        (["--trace", "t.jsonl", "--checkpoint", "kept"], "A trace has no checkpoints"),
        (["--quick", "--scenario", "s.yaml"], "--quick has a scenario of its own: leave out one of --quick and --scenario."),
        (["--quick", "--ratio", "10"], "whose sizes are fixed: leave out one of --quick and --ratio."),
        (["--quick", "--scale", "2"], "whose sizes are fixed: leave out one of --quick and --scale."),
        (["--quick", "--seed", "1", "--seeds", "2"], "--seed and --seeds both say what is drawn: leave out one of them."),
        (["--quick", "--without", "volume"], "--without volume: no evidence in a simulation is of that family. There are "),
        (["--trace", "t.jsonl", "--without", "volume"], "no evidence in guardrail:campaign is of that family. There are "),
        (["--quick", "--policy", "off.yaml"], "The mode of off.yaml is off: it would decide nothing."),
        (["--quick", "--policy", "guardrail:watch", "--without", "payment"], "no evidence that --without could leave out."),
        (["--quick", "--policy", "guardrail:watch", "--feed", "none"], "so --feed says nothing: leave it out."),
        (["--trace", "t.jsonl", "--policy", "guardrail:watch", "--every", "3h"], "so --every says nothing: leave it out."),
        (
            ["--trace", "t.jsonl", "--policy", "guardrail:watch", "--without", "payment"],
            "guardrail:watch has no section `clusters:`, so there is no evidence that --without could leave out.",
        ),
    ],
)
def test_what_says_nothing_is_refused(run: Run, arguments: list[str], said: str) -> None:
    result = run("simulate", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.usefixtures("files")
def test_what_is_written_anyway_is_no_conflict(run: Run) -> None:
    """The defaults of options that are refused are not."""
    result = run("simulate", "--trace", "t.jsonl", "--seed", "3", "--every", "10m", "--feed", "links")
    assert result.exit_code == 0, result.output
    assert "3 requests of 3 accounts: 3 served; 0 rows left out" in result.stdout


@pytest.mark.parametrize(
    ("every", "pace"),
    [
        ("usual", Pace(usual=3 * HOUR, windows=())),
        ("3h", Pace(usual=3 * HOUR, windows=())),
        ("10m", Pace(usual=10 * MINUTE)),
    ],
)
def test_quick_has_the_pace_that_is_wanted(run: Run, monkeypatch: pytest.MonkeyPatch, every: str, pace: Pace) -> None:
    plans: list[Any] = []

    def begun(plan: Any, _folder: Any) -> Any:
        plans.append(plan)
        raise Cannot("enough")

    monkeypatch.setattr(worlds, "_experiment", begun)
    assert run("simulate", "--quick", "--every", every, "--feed", "none", "--without", "release").stderr == "enough\n"
    [plan] = plans
    assert (plan.pace, plan.feed, plan.without) == (pace, "none", frozenset({"release"}))


@pytest.mark.usefixtures("files")
def test_a_policy_without_clusters_is_told(run: Run) -> None:
    result = run("simulate", "--trace", "t.jsonl", "--policy", "guardrail:watch", "--out", "out")
    assert result.exit_code == 0, result.output
    assert "guardrail:watch has no section `clusters:`, so only its limits were tried" in result.stdout
    assert "0 clusters" not in result.stdout
    assert "so only its limits were tried" in Path("out/report.html").read_text()
    assert json.loads(Path("out/report.json").read_text())["linked"] is False


@pytest.mark.usefixtures("files")
def test_a_policy_that_is_off_decides_nothing(run: Run, policy: Callable[[str], str]) -> None:
    name = policy("version: 1\nextends: guardrail:campaign\nmode: off\n")
    result = run("simulate", "--trace", "t.jsonl", "--policy", name)
    assert result.exit_code == 2
    assert result.stderr == "The mode of policy.yaml is off: it would decide nothing. Set it to shadow or enforce.\n"


@pytest.mark.usefixtures("files")
def test_the_policys_store_and_events_are_left_alone(run: Run, policy: Callable[[str], str]) -> None:
    """Nobody answers at that URL; and no file of events comes to be."""
    name = policy(
        "version: 1\nextends: guardrail:campaign\nstore: {url: 'redis://127.0.0.1:1/0'}\n"
        "telemetry: {events: [{use: jsonl, with: {path: events.jsonl}}]}\n"
    )
    result = run("simulate", "--trace", "t.jsonl", "--policy", name)
    assert result.exit_code == 0, result.output
    assert not Path("events.jsonl").exists()


def test_parquet_without_pyarrow(run: Run, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (files / "t.parquet").write_bytes(b"")
    monkeypatch.setattr(writing, "find_spec", lambda name: None if name == "pyarrow" else find_spec(name))
    monkeypatch.setattr(tracing, "_read", None)  # it is said before anything is read
    for arguments in (["--trace", "t.parquet"], ["--trace", "t.jsonl", "--accounts", "a.parquet"]):
        result = run("simulate", *arguments)
        assert result.exit_code == 2
        assert result.stderr == (
            "Parquet needs pyarrow, not installed here. Install it with: pip install 'guardrail-mw[parquet]'\n"
        )
