# ruff: noqa: T201 - it reports
"""Runs Starlette's own tests, of the version that is installed, with every app behind the middleware.

    python tests/starlette/run.py [VERSION] [--with REQUIREMENT] [--keep FOLDER]

Its sources come from the package index by name, and so does what its tests need; both go into a temporary folder. It runs them
as they are, then guarded, outside and inside each app, in enforce and in shadow. A test that passes bare and fails guarded is a
new failure: they are listed, and the exit code is 1. Only asyncio: the middleware does not run on trio.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[2]
NEEDS = ["blockbuster", "httpx2[zstd]", "importlib-metadata", "opentelemetry-sdk", "pytest", "trio"]
"""Of the tests' dependencies those that they import."""
WAYS = ["", "outside-enforce", "outside-shadow", "inside-enforce", "inside-shadow"]


class Result(NamedTuple):
    """How one run went."""

    passed: frozenset[str]
    failed: frozenset[str]
    skipped: int
    seconds: float


def prepare(wanted: str, more: list[str], folder: Path) -> tuple[Path, Path]:
    """The sources, and an interpreter with Starlette, its tests' needs and this project."""
    venv.create(folder / "venv", with_pip=True, clear=True)
    python = folder / "venv" / "bin" / "python"
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "download", "--no-binary", "starlette", "--no-deps", "--dest", str(folder), f"starlette=={wanted}"],
        check=True,
    )
    with tarfile.open(folder / f"starlette-{wanted}.tar.gz") as opened:
        opened.extractall(folder, filter="data")
    subprocess.run([*pip, "install", f"starlette[full]=={wanted}", *NEEDS, *more, "-e", str(ROOT)], check=True)
    return folder / f"starlette-{wanted}", python


def run(way: str, sources: Path, python: Path, folder: Path) -> Result:
    """One run of all tests."""
    report = folder / f"report-{way or 'bare'}.xml"
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:guardrail_mw", "-p", "guarded_plugin",
               "-k", "not trio", "-r", "", "--tb=short", f"--junitxml={report}", "tests"]  # fmt: skip
    environ = {**os.environ, "GUARDED": way, "PYTHONPATH": str(Path(__file__).parent)}
    started = time.monotonic()
    done = subprocess.run(command, cwd=sources, env=environ, capture_output=True, text=True, check=False)
    (folder / f"output-{way or 'bare'}.txt").write_text(done.stdout + done.stderr)
    if not report.exists():
        sys.exit(f"pytest did not run:\n{done.stdout}{done.stderr}")
    return read(report, time.monotonic() - started)


def read(report: Path, seconds: float) -> Result:
    """What a junit report says."""
    passed, failed, skipped = set(), set(), 0
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it
        name = f"{case.get('classname')}::{case.get('name')}"
        outcomes = {child.tag for child in case}
        if outcomes & {"failure", "error"}:
            failed.add(name)
        elif "skipped" in outcomes:
            skipped += 1
        else:
            passed.add(name)
    return Result(frozenset(passed), frozenset(failed), skipped, seconds)


def compare(sources: Path, python: Path, folder: Path) -> int:
    """Run every way; how many new failures there are."""
    bare = None
    new = 0
    for way in WAYS:
        found = run(way, sources, python, folder)
        bare = bare or found
        broken = sorted(found.failed & bare.passed)
        missing = len(bare.passed | bare.failed) - len(found.passed | found.failed)
        new += len(broken) + max(0, missing)
        print(
            f"{way or 'bare':16} {len(found.passed):5} passed {len(found.failed):4} failed {found.skipped:4} skipped"
            f"  {len(broken):3} new failures  {found.seconds:5.1f} s"
        )
        for name in broken:
            print(f"    {name}")
    return new


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "version", nargs="?", default=version("starlette"), help="of Starlette; the installed one unless given"
    )
    parser.add_argument(
        "--with", dest="more", action="append", default=[], help="a requirement besides: old versions need 'anyio<4.9'"
    )
    parser.add_argument("--keep", type=Path, help="a folder for sources, reports and outputs; a temporary one unless given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print(f"Starlette {options.version}, Python {sys.version.split()[0]}, asyncio")
        sys.exit(1 if compare(*prepare(options.version, options.more, folder), folder) else 0)


if __name__ == "__main__":
    main()
