"""A plugin package as somebody else would write it: built, installed apart from us, and tested by its own tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "scorer_plugin"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package; beside it, in `site`, what its wheel holds."""
    folder = tmp_path_factory.mktemp("plugin")
    copy = folder / "package"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    run("-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), inside=copy)
    [wheel] = folder.glob("*.whl")
    shutil.rmtree(copy / "src")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return copy


def run(*command: str, inside: Path, path: Path | None = None, ends: int = 0) -> str:
    more = {"PYTHONPATH": str(path)} if path is not None else {}
    done = subprocess.run(
        [sys.executable, *command], cwd=inside, env={**os.environ, **more}, capture_output=True, text=True, check=False
    )
    assert done.returncode == ends, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_its_own_tests_pass(package: Path) -> None:
    told = run(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_plugin.py", inside=package, path=package.parent / "site"
    )
    assert " passed" in told
    assert "skipped" not in told


def test_it_is_listed_among_the_scorers(package: Path) -> None:
    listed = run("-c", "from guardrail_mw.cli import main; main(['plugins'])", inside=package, path=package.parent / "site")
    [line] = [line for line in listed.splitlines() if "night_owl" in line]
    assert line.split() == ["night_owl", "guardrail-night-owl", "1.0.0", "loads"]


def test_a_policy_that_names_it_is_checked_with_the_rest(package: Path) -> None:
    check = "from guardrail_mw.cli import main; main(['check', 'policy.yaml'])"
    run("-c", check, inside=package, path=package.parent / "site")
    policy = package / "policy.yaml"
    sound = policy.read_text()
    policy.write_text(sound.replace("rule: attempts", "rule: attempt").replace("more_than: 30", "more_than: many"))
    told = run("-c", check, inside=package, path=package.parent / "site", ends=1)
    assert "policy.yaml:8: risk.scorers[0].with.more_than:" in told
    policy.write_text(sound.replace("rule: attempts", "rule: attempt"))
    told = run("-c", check, inside=package, path=package.parent / "site", ends=1)
    assert (
        "policy.yaml:8: risk.scorers[0].with: `rule` names `attempt`, which is no velocity rule; there are: attempts."
        in told
    )
    policy.write_text(sound)
