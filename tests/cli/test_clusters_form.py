"""`guardrail-mw clusters form`: the same clusters by every engine, and what it needs."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import Result

from guardrail_mw.cli.clusters import forming
from guardrail_mw.clusters.sql import engine as engines
from guardrail_mw.clusters.sql.terms import NAME, Terms

from .clustering import POLICY, Played, account, key, play, played, show

__all__ = ["played"]

Run = Callable[..., Result]
ENGINES = ("numpy", "duckdb")
BADGE = 40
OWN = POLICY.replace("{badge: {family: reputation, bound: true}}", "{badge: {family: reputation, bound: true, code: 40}}")


@pytest.fixture
def exported(run: Run, played: Played, policy: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `guardrail-mw clusters` on the world's store, of which `all` is an export."""
    del played  # it has seen to what the commands find
    monkeypatch.setenv("GUARDRAIL_POLICY", policy(POLICY))

    def runs(*arguments: str) -> Result:
        return run("clusters", *arguments)

    assert runs("export", "--edges", "all").exit_code == 0
    monkeypatch.delenv("GUARDRAIL_POLICY")  # the export says all that is needed
    return runs


def rows(path: Path) -> list[dict[str, Any]]:
    """What was written, in its order."""
    if path.suffix == ".parquet":
        from pyarrow import parquet

        found: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
        return found
    return [json.loads(line) for line in path.read_text().splitlines()]


def formed(runs: Run, engine: str, out: str, *more: str) -> tuple[str, list[dict[str, Any]]]:
    """What is said, and what is written."""
    result = runs("form", "all", "--engine", engine, "--out", out, *more)
    assert result.exit_code == 0, result.output
    said, *written = result.stdout.splitlines()
    assert written == [f"Written: {out}"]
    return said, rows(Path(out))


CAMPAIGNS = [{"account": account("c", number), "cluster": 0} for number in range(40)]
CAMPAIGNS += [{"account": account("d", number), "cluster": 1} for number in range(20)]


@pytest.mark.parametrize("name", ["out.jsonl", "new/out.parquet"])
def test_every_engine_writes_the_same(exported: Run, name: str, tmp_path: Path) -> None:
    for engine in ENGINES:
        said, found = formed(exported, engine, name)
        assert said == "60 accounts of 460 in 2 clusters of 5 or more"
        assert found == CAMPAIGNS
        (tmp_path / name).unlink()


def test_without_a_file_it_only_says_how_many(exported: Run, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    for engine in ENGINES:
        result = exported("form", "all", "--engine", engine)
        assert (result.exit_code, result.stdout) == (0, "60 accounts of 460 in 2 clusters of 5 or more\n")
    assert sorted(tmp_path.rglob("*")) == before


def test_columns_of_parquet_are_of_the_same_types(exported: Run) -> None:
    from pyarrow import parquet

    tables = []
    for engine in ENGINES:
        formed(exported, engine, f"{engine}.parquet")
        tables.append([(each.name, str(each.type)) for each in parquet.read_schema(f"{engine}.parquet")])
    assert tables == [[("account", "string"), ("cluster", "int64")]] * 2


def test_splits_and_kinds_of_the_policys_own_hold(
    run: Run, policy: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve of the forty are split off; nine others share a badge, which only this policy knows, and a prompt; four a card."""
    world = play(monkeypatch)
    badge = {account("b", n): [key(BADGE, 7), key(11, 77)] for n in range(9)}
    few = {account("f", n): [key(1, 99), key(11, 99)] for n in range(4)}
    world.run(lambda each: show(each.store, badge | few, world.clock))
    monkeypatch.setenv("GUARDRAIL_POLICY", policy(OWN))
    listed = json.loads(run("clusters", "list", "--json").stdout)["clusters"]
    [large] = [each["cluster"] for each in listed if len(each["members"]) == 40]
    off = [account("c", n) for n in range(12)]
    assert run("clusters", "split", large, *off, "--reason", "a class").exit_code == 0
    assert run("clusters", "export", "--edges", "all").exit_code == 0
    found = [formed(lambda *rest: run("clusters", *rest), engine, f"{engine}.jsonl") for engine in ENGINES]
    assert found[0] == found[1]
    clusters: dict[int, list[str]] = {}
    for row in found[0][1]:
        clusters.setdefault(row["cluster"], []).append(row["account"])
    assert sorted(map(len, clusters.values())) == [9, 12, 20, 28]
    assert off in clusters.values()
    assert sorted(badge) in clusters.values()


def test_an_export_says_when_and_by_which_rules(
    run: Run, played: Played, policy: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from guardrail_mw.algorithms.edges import hour_of

    monkeypatch.setenv("GUARDRAIL_POLICY", policy(OWN.replace("clusters: {", "clusters: {established: 20d, ")))
    assert run("clusters", "export", "--edges", "all").exit_code == 0
    terms = Terms.read(Path("all/accounts.parquet"))
    assert (terms.now, terms.age) == (hour_of(played.clock.now()), 20 * 24)
    assert [(kind.code, kind.name, kind.family, kind.bound) for kind in terms.own] == [(BADGE, "badge", "reputation", True)]
    assert terms.kinds.by_name["badge"] in terms.own
    assert "payment" in terms.kinds.by_name


# What it needs


def test_a_folder_that_is_no_export(exported: Run, tmp_path: Path) -> None:
    (tmp_path / "all" / "splits.parquet").unlink()
    result = exported("form", "all")
    assert result.exit_code == 2
    assert result.stderr == "all has no splits.parquet. Export it: guardrail-mw clusters export --edges all\n"
    assert exported("form", "nowhere").exit_code == 2


def test_an_export_of_before(exported: Run, tmp_path: Path) -> None:
    """Without what it goes by; or no Parquet at all."""
    from pyarrow import parquet

    path = tmp_path / "all" / "accounts.parquet"
    parquet.write_table(parquet.read_table(path).replace_schema_metadata(None), path)
    result = exported("form", "all")
    assert result.exit_code == 2
    assert "does not say when and by which rules it was written. Export it anew: " in result.stderr
    path.write_text("no Parquet")
    result = exported("form", "all", "--engine", "duckdb")
    assert result.exit_code == 2
    assert "Export it anew: guardrail-mw clusters export --edges all" in result.stderr


@pytest.mark.parametrize("engine", ENGINES)
def test_evidence_that_cannot_be_read(exported: Run, tmp_path: Path, engine: str) -> None:
    (tmp_path / "all" / "edges.parquet").write_text("no Parquet")
    result = exported("form", "all", "--engine", engine)
    assert result.exit_code == 2
    assert result.stderr.startswith(
        "The export in all cannot be read: " if engine == "numpy" else "DuckDB could not do it: "
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_a_place_that_cannot_be_written(exported: Run, tmp_path: Path, engine: str) -> None:
    (tmp_path / "file").write_text("")
    for name in ("file/out.jsonl", "file/out.parquet"):
        result = exported("form", "all", "--engine", engine, "--out", name)
        assert result.exit_code == 2
        assert f"{name} cannot be written: " in result.stderr


def test_a_folder_to_work_in(exported: Run, tmp_path: Path) -> None:
    assert formed(exported, "duckdb", "out.jsonl", "--work", "work/here")[1] == CAMPAIGNS
    assert (tmp_path / "work" / "here").is_dir()
    result = exported("form", "all", "--work", "work")
    assert result.exit_code == 2
    assert result.stderr.startswith("--work is of duckdb and spark: numpy has everything in memory.")


@pytest.mark.parametrize(
    ("engine", "module", "cure"),
    [
        ("numpy", "pyarrow", "pip install 'guardrail-mw[parquet]'"),
        ("duckdb", "duckdb", "pip install 'guardrail-mw[sql]'"),
        ("duckdb", "splink", "pip install 'guardrail-mw[sql]'"),
        ("spark", "pyspark", "pip install 'pyspark>=4,<5'"),
    ],
)
def test_what_is_not_installed_is_named(
    exported: Run, monkeypatch: pytest.MonkeyPatch, engine: str, module: str, cure: str
) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None if name == module else find_spec(name))
    result = exported("form", "all", "--engine", engine)
    assert result.exit_code == 2
    assert result.stderr == f"{engine} cannot run here. {module} is not installed. Install it with: {cure}\n"


def test_spark_without_java(exported: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda _: True)
    monkeypatch.setattr(forming, "shutil", SimpleNamespace(which=lambda _: None))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    result = exported("form", "all", "--engine", "spark")
    assert result.exit_code == 2
    assert result.stderr == (
        "Spark needs a Java runtime, and there is no java here. Install one, 17 or later, or set JAVA_HOME.\n"
    )


@pytest.mark.parametrize("terms", [b"[1]", b'{"format": 1}', b'{"format": 1, "now": 1, "age": 1, "kinds": [{"code": 40}]}'])
def test_rules_that_cannot_be_read(exported: Run, tmp_path: Path, terms: bytes) -> None:
    path = tmp_path / "all" / "accounts.parquet"
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({NAME: terms}), path)
    result = exported("form", "all")
    assert result.exit_code == 2
    assert "Export it anew: guardrail-mw clusters export --edges all" in result.stderr
    assert result.stderr.count("\n") == 1


def test_rows_of_accounts_that_are_missing(exported: Run, tmp_path: Path) -> None:
    path = tmp_path / "all" / "accounts.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    result = exported("form", "all")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "The export in all cannot be read: edges.parquet names accounts that accounts.parquet has not\n"


@pytest.mark.parametrize("name", ["edges.parquet", "accounts.parquet", "splits.parquet"])
def test_an_export_is_not_written_over(exported: Run, tmp_path: Path, name: str) -> None:
    before = (tmp_path / "all" / name).read_bytes()
    result = exported("form", "all", "--out", f"all/{name}")
    assert (result.exit_code, result.stderr) == (
        2,
        f"--out would write over {name} of the export. Name another file.\n",
    )
    assert (tmp_path / "all" / name).read_bytes() == before
