"""`extends`: what is merged, and how."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardrail_mw.errors import PolicyError
from guardrail_mw.policy import load
from guardrail_mw.policy.loader import examine

BASE = """\
version: 1
mode: enforce
store: {deadline: 50ms, processes: 2}
headers: [ietf]
routes: [{path: /a}, {path: /b}]
models: {large: {names: [large-*], usd_per_million: {input: 3, output: 15}}}
limits:
  - {name: requests, per: [account], rate: 60/minute, burst: 10, when: {tier: free}}
  - {name: slots, per: [account], concurrency: 4}
  - {name: tokens, per: [account], unit: tokens, rate: 100000/minute}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(BASE)
    return tmp_path


def extended(folder: Path, text: str) -> Path:
    path = folder / "p.yaml"
    path.write_text("version: 1\nextends: base.yaml\n" + text)
    return path


def test_maps_merge_and_lists_are_replaced(folder: Path) -> None:
    policy = load(
        extended(
            folder,
            "store: {processes: 8}\nheaders: []\nroutes: [{path: /c}]\nmodels: {large: {usd_per_million: {cached: 1}}}\n",
        )
    )
    assert (policy.mode, policy.store.deadline.text, policy.store.processes, policy.headers) == ("enforce", "50ms", 8, [])
    assert [route.path for route in policy.routes] == [["/c"]]
    price = policy.models["large"].usd_per_million
    assert price is not None
    assert price.picodollars() == (3_000_000, 1_000_000, 3_000_000, 15_000_000)


def test_limits_merge_by_name_in_place(folder: Path) -> None:
    policy = load(
        extended(folder, "limits:\n  - {name: new, per: [], rate: 5/second}\n  - {name: requests, shadow: true}\n")
    )
    assert [limit.name for limit in policy.limits] == ["requests", "slots", "tokens", "new"]
    requests = policy.limits[0]
    assert (requests.figure, requests.burst_units(), requests.shadow) == ("60/minute", 10, True)
    assert requests.when is not None
    assert requests.when.tier == ["free"]


def test_a_new_figure_takes_the_old_ones_place(folder: Path) -> None:
    policy = load(
        extended(
            folder,
            "limits: [{name: requests, window: 9/hour}, {name: slots, rate: 9/hour}, {name: tokens, concurrency: 3}]\n",
        )
    )
    assert [(limit.kind, limit.unit, limit.figure) for limit in policy.limits] == [
        ("sliding_window", "requests", "9/hour"),
        ("token_bucket", "requests", "9/hour"),
        ("concurrency", "requests", "3"),
    ]
    assert policy.limits[0].burst is None


def test_a_limit_given_twice_is_refused_also_here(folder: Path) -> None:
    with pytest.raises(PolicyError) as caught:
        load(
            extended(folder, "limits:\n  - {name: slots, shadow: true}\n  - {name: slots, concurrency: 3, per: [network]}\n")
        )
    assert [(problem.line, problem.path) for problem in caught.value.problems] == [(5, "limits[3].name")]


def test_problems_stand_where_they_were_written(folder: Path) -> None:
    (folder / "base.yaml").write_text(BASE.replace("rate: 60/minute", "rate: 60/week").replace("50ms", "50"))
    with pytest.raises(PolicyError) as caught:
        load(extended(folder, "mode: on\nlimits: [{name: requests, shadow: yes}]\n"))
    assert [(Path(problem.source).name, problem.line, problem.path) for problem in caught.value.problems] == [
        ("p.yaml", 3, "mode"),
        ("p.yaml", 4, "limits[0].shadow"),
        ("base.yaml", 3, "store.deadline"),
        ("base.yaml", 8, "limits[0].rate"),
    ]


def test_each_file_is_a_policy_of_its_own(folder: Path) -> None:
    path = folder / "p.yaml"
    path.write_text("extends: base.yaml\n")
    with pytest.raises(PolicyError, match="version: is missing"):
        load(path)


def test_files_lie_beside_the_one_that_names_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "p.yaml").write_text("version: 1\nextends: ../middle.yaml\n")
    (folder / "middle.yaml").write_text("version: 1\nextends: base.yaml\nmode: off\n")
    monkeypatch.chdir(folder)
    assert load("sub/p.yaml").mode == "off"
    assert load({"version": 1, "extends": "base.yaml"}).mode == "enforce"


def test_circles_are_refused(folder: Path) -> None:
    (folder / "base.yaml").write_text("version: 1\nextends: p.yaml\n")
    with pytest.raises(PolicyError) as caught:
        load(extended(folder, ""))
    (problem,) = caught.value.problems
    assert (Path(problem.source).name, problem.line, problem.path) == ("base.yaml", 2, "extends")
    assert problem.message.startswith("goes in a circle: ")


def test_chains_end(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}.yaml").write_text(f"version: 1\nextends: {number + 1}.yaml\n")
    with pytest.raises(PolicyError, match="makes a chain of more than 8"):
        load(tmp_path / "0.yaml")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.yaml", "names a policy that cannot be read: no such file or directory."),
        ("guardrail:watsh", "names a policy that does not ship with guardrail-mw."),
    ],
)
def test_what_cannot_be_extended(folder: Path, name: str, message: str) -> None:
    (folder / "p.yaml").write_text(f"version: 1\nmode: off\nmode: off\nextends: {name}\n")
    with pytest.raises(PolicyError) as caught:
        load(folder / "p.yaml")
    assert [(problem.line, problem.path) for problem in caught.value.problems] == [(3, "mode"), (4, "extends")]
    assert caught.value.problems[1].message == message


def test_a_broken_base_is_said(folder: Path) -> None:
    (folder / "base.yaml").write_text("version: 1\nmode: [\n")
    with pytest.raises(PolicyError) as caught:
        load(extended(folder, ""))
    (problem,) = caught.value.problems
    assert (Path(problem.source).name, problem.line) == ("base.yaml", 3)


def test_extends_is_a_text(folder: Path) -> None:
    (folder / "p.yaml").write_text("version: 1\nextends: [base.yaml]\n")
    with pytest.raises(PolicyError, match=r"p\.yaml:2: extends: is a list; expected a text"):
        load(folder / "p.yaml")


def test_examine_names_the_files(folder: Path) -> None:
    found = examine(extended(folder, ""))
    assert [Path(name).name for name in found.files] == ["p.yaml", "base.yaml"]
    assert all(len(digest) == 64 for digest in found.files.values())
    (folder / "base.yaml").unlink()
    found = examine(folder / "p.yaml")
    assert found.error is not None
    assert list(found.files.values())[1] == ""
    assert examine("guardrail:watch", environ={}).files == {}


@pytest.mark.parametrize(("text", "message"), [("mode: off\n", "is missing."), ("version: 2\n", "is not 1.")])
def test_so_is_the_base(folder: Path, text: str, message: str) -> None:
    (folder / "base.yaml").write_text(text)
    with pytest.raises(PolicyError) as caught:
        load(extended(folder, ""))
    (problem,) = caught.value.problems
    assert (Path(problem.source).name, problem.path, problem.message) == ("base.yaml", "version", message)


def test_what_a_mapping_says_stands_on_no_line_of_what_it_extends(folder: Path) -> None:
    with pytest.raises(PolicyError) as caught:
        load({"version": 1, "extends": str(folder / "base.yaml"), "routes": {}, "store": {"deadline": 5}}, environ={})
    assert [(problem.path, problem.source, problem.line) for problem in caught.value.problems] == [
        ("routes", "<mapping>", None),
        ("store.deadline", "<mapping>", None),
    ]
