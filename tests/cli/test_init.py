"""`guardrail-mw init`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import yaml
from click.testing import Result

from guardrail_mw.policy import load
from guardrail_mw.policy.schema import json_schema

Run = Callable[..., Result]


def test_the_first_policy_loads_refuses_nothing_and_fits_the_schema(run: Run, tmp_path: Path) -> None:
    result = run("init")
    assert result.exit_code == 0
    assert "guardrail-mw check policy.yaml" in result.stdout
    policy = load(tmp_path / "policy.yaml", environ={})
    assert policy.mode == "shadow"
    assert policy.store.url == "memory://"
    jsonschema.validate(yaml.safe_load((tmp_path / "policy.yaml").read_text()), json_schema())


def test_what_is_commented_out_loads_too(run: Run, tmp_path: Path) -> None:
    """Each `# - ` and its lines are an item of the list above: the jwt source, the limit of the tier pro."""
    run("init")
    file = tmp_path / "policy.yaml"
    lines = file.read_text().splitlines()
    file.write_text("\n".join(line.replace("# ", "", 1) if line.startswith(("    # ", "  # -")) else line for line in lines))
    policy = load(file, environ={})
    assert [source.use for source in policy.identity.sources] == ["api_key", "jwt"]
    assert [limit.name for limit in policy.limits][-1] == "pro"


def test_it_speaks_of_the_file_by_its_name(run: Run, tmp_path: Path) -> None:
    run("init", "mine.yaml")
    text = (tmp_path / "mine.yaml").read_text()
    assert "guardrail-mw check mine.yaml" in text
    assert "policy.yaml" not in text


def test_it_never_overwrites_unless_told_to(run: Run, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("mine")
    result = run("init")
    assert result.exit_code == 2
    assert result.stderr == "policy.yaml is there already. Choose another name, or replace it with --force.\n"
    assert (tmp_path / "policy.yaml").read_text() == "mine"
    assert run("init", "--force").exit_code == 0
    assert (tmp_path / "policy.yaml").read_text().startswith("# A policy of guardrail_mw")


def test_a_folder_gets_one_and_a_missing_one_is_said(run: Run, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    assert run("init", "etc").exit_code == 0
    assert (tmp_path / "etc" / "policy.yaml").is_file()
    result = run("init", "nowhere/policy.yaml")
    assert result.exit_code == 2
    assert result.stderr == "nowhere/policy.yaml cannot be written: no such file or directory.\n"


def test_schema_is_the_one_that_ships(run: Run) -> None:
    assert json.loads(run("schema").stdout) == json_schema()
