"""The built-in sinks, found by name as an installed plugin is."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from guardrail_mw import plugins

SINKS = {
    "log": "guardrail_mw.telemetry.log:LogSink",
    "jsonl": "guardrail_mw.telemetry.jsonl:JsonlSink",
    "parquet": "guardrail_mw.telemetry.parquet:ParquetSink",
    "strange": "guardrail_mw.telemetry.lines:line",
}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, EntryPoint]:
    """Stand in for the entry points of the distribution, and add what a plugin would."""
    points = {name: EntryPoint(name, value, "guardrail_mw.sinks") for name, value in SINKS.items()}
    real = plugins.installed
    monkeypatch.setattr(plugins, "installed", lambda kind: points if kind == "sinks" else real(kind))
    return points
