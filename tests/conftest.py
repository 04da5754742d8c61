"""Fixtures for every test."""

from __future__ import annotations

import pytest

# The package's own plugin is loaded here, not by its entry point (`-p no:guardrail_mw`): coverage runs by now.
pytest_plugins = ["guardrail_mw.testing.plugin", "pytester"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, which redis-py and the servers need."""
    return "asyncio"
