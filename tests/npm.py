"""Packages of npm's, installed for a test in a folder outside the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["install"]


def install(folder: Path, *packages: str) -> None:
    """Install packages into a folder, whose scripts are modules. Without node and npm the test is skipped; in CI it fails."""
    npm = shutil.which("npm")
    if shutil.which("node") is None or npm is None:
        reason = "No node and npm. Install them with: apt-get install nodejs npm"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    command = [npm, "install", "--no-audit", "--no-fund", *packages]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)
