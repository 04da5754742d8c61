"""The built-in sources, found by name as an installed plugin is."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from guardrail_mw import plugins

SOURCES = {
    "jwt": "guardrail_mw.identity.jwt:JwtSource",
    "api_key": "guardrail_mw.identity.api_key:ApiKeySource",
    "header": "guardrail_mw.identity.header:HeaderSource",
}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, EntryPoint]:
    """What is installed; a test may add to it."""
    points = {name: EntryPoint(name, value, "guardrail_mw.identities") for name, value in SOURCES.items()}
    monkeypatch.setattr(plugins, "installed", lambda kind: points if kind == "identities" else {})
    return points
