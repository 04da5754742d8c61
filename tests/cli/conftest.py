"""What the command line's tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from guardrail_mw.cli import main

Run = Callable[..., Result]

VARIABLES = ("GUARDRAIL_POLICY", "GUARDRAIL_STORE", "GUARDRAIL_MODE", "GUARDRAIL_KEYS", "GUARDRAIL_ID_KEY")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `guardrail-mw` in a folder of its own, in a clean environment. Anything but an exit is raised."""
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def runs(*arguments: str, text: str | None = None) -> Result:
        result = CliRunner().invoke(main, arguments, input=text, prog_name="guardrail-mw")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return runs


@pytest.fixture
def policy(tmp_path: Path) -> Callable[[str], str]:
    """Writes a policy and gives its name."""

    def written(text: str) -> str:
        (tmp_path / "policy.yaml").write_text(text)
        return "policy.yaml"

    return written
