"""A pytest plugin that writes down which test reaches which line, and what each test takes: `-p tests.mutation.reach`.

It starts coverage before the package is imported, and tells it the test that runs: what is seen between tests is seen by import.
`MUTATION_REACH` names the file it writes: see `Reach`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest
from tests.mutation.config import PACKAGES

SOURCE = Path(os.environ["MUTATION_SOURCE"])
_measure = coverage.Coverage(
    data_file=None, config_file=False, include=[f"{SOURCE}/guardrail_mw/{package}/*" for package in PACKAGES]
)
_measure.start()
_took: dict[str, float] = {}
_bad: set[str] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    """One test, from its fixtures to their end."""
    _measure.switch_context(item.nodeid)
    started = time.perf_counter()
    try:
        return (yield)
    finally:
        _took[item.nodeid] = time.perf_counter() - started
        _measure.switch_context("")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A test that is skipped or fails unmutated can notice nothing."""
    if report.outcome != "passed":
        _bad.add(report.nodeid)


def pytest_sessionfinish() -> None:
    """Write it down."""
    _measure.stop()
    data = _measure.get_data()
    lines = {
        str(Path(file).relative_to(SOURCE)): {line: sorted(set(who)) for line, who in data.contexts_by_lineno(file).items()}
        for file in data.measured_files()
    }
    loaded = [name for name, module in sys.modules.items() if "site-packages" in (getattr(module, "__file__", None) or "")]
    Path(os.environ["MUTATION_REACH"]).write_text(
        json.dumps({"lines": lines, "took": _took, "bad": sorted(_bad), "loaded": loaded}), encoding="utf-8"
    )
