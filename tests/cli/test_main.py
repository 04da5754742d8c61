"""The commands' common manners: exit codes, and errors without tracebacks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import Result

from guardrail_mw.cli import output

Run = Callable[..., Result]

COMMANDS = [
    "demo", "init", "check", "try", "explain", "accounts", "cases", "appeals", "clusters", "link", "worker", "mode", "replay",
    "simulate", "schema",
    "plugins",
]  # fmt: skip


def test_help_lists_the_commands_in_the_order_of_a_newcomers_need(run: Run) -> None:
    text = run("--help").stdout
    listed = [line.split()[0] for line in text.partition("Commands:")[2].splitlines() if line.strip()]
    assert listed == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: guardrail-mw {command}")


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"guardrail-mw {version('guardrail-mw')}\n"


def test_wrong_use_is_2(run: Run) -> None:
    assert run("chekc").exit_code == 2
    assert run("check").exit_code == 2
    assert run("try", "policy.yaml").exit_code == 2


def test_a_bad_policy_is_1_and_tells_every_problem_on_a_line_of_its_own(run: Run, policy: Callable[[str], str]) -> None:
    name = policy("version: 1\nlimitz: []\nlimits:\n  - {name: a, per: [account], rate: 0/minute}\n")
    why = "which is not above 0; expected an amount and a period, such as 60/minute or 5 per 2 hours"
    for arguments in (("check", name), ("try", name, "-")):
        result = run(*arguments, text="{}")
        assert result.exit_code == 1
        assert result.stdout == ""
        assert result.stderr.splitlines() == [
            "2 problems in the policy:",
            "  policy.yaml:2: limitz: is not a known key. Did you mean `limits`?",
            f"  policy.yaml:4: limits[0].rate: is '0/minute', {why}.",
        ]


def test_a_missing_extra_names_its_cure(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "find_spec", lambda name: None if name in {"rich", "starlette", "uvicorn"} else object())
    result = run("demo")
    assert result.exit_code == 2
    assert result.stderr == (
        "The demo needs rich, starlette and uvicorn, not installed here. Install it with: pip install 'guardrail-mw[demo]'\n"
    )


def test_the_command_line_imports_nothing_of_the_demos_extra() -> None:
    code = "import sys, guardrail_mw.cli; print({'rich', 'starlette', 'uvicorn', 'httpx2'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_it_is_installed_as_a_command(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("guardrail-mw")), "check", "nowhere.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"1 problem in the policy:\n  nowhere.yaml: cannot be read: no such file or directory; looked for {tmp_path}/nowhere"
    )
