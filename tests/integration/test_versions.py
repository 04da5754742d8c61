"""The oldest Starlette that is supported, in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

OLDEST = ["starlette==0.46.*", "anyio<4.9"]
"""With an anyio of its time: it uses names that later ones warn of."""


def test_the_oldest_starlette(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    root = pytestconfig.rootpath
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, *OLDEST, "httpx", "pytest", "-e", f"{root}[demo]"], check=True, timeout=600)
    shown = subprocess.run(
        [str(python), "-c", "import starlette; print(starlette.__version__)"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.startswith("0.46.")
    outcome = subprocess.run(
        [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(Path(__file__).with_name("test_starlette.py"))],
        cwd=root, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert " passed" in outcome.stdout
