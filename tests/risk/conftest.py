"""The door that scorers come through, with some of our own behind it."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from guardrail_mw import plugins

BEHIND = {
    "velocity": "guardrail_mw.risk.velocity:VelocityScorer",
    "cluster": "guardrail_mw.risk.cluster:ClusterScorer",
    "not_one": "guardrail_mw.clock:SystemClock",
    "broken": "guardrail_mw.no_such_module:Scorer",
    "unbuildable": f"{__package__}.kit:Unbuildable",
}


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> None:
    """These scorers are installed, whatever else is."""
    points = {name: EntryPoint(name, value, "guardrail_mw.scorers") for name, value in BEHIND.items()}
    monkeypatch.setattr(plugins, "installed", lambda kind: points if kind == "scorers" else {})
