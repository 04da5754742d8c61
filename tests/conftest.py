"""Fixtures for every test, and the option `--servers`."""

from __future__ import annotations

from typing import Final

import pytest

# The package's own plugin is loaded here, not by its entry point (`-p no:guardrail_mw`): coverage runs by now.
pytest_plugins = ["guardrail_mw.testing.plugin", "pytester"]

_SERVERS: Final = {f"guardrail_{kind}" for kind in ("cluster", "redis", "sentinel", "server", "start")}
_CHOSEN: Final = {"cluster", "redis", "sentinel"}
_OTHERS: Final = {"fakeredis", "memory", "valkey"}
"""Where a test is run once for each store, those that `GUARDRAIL_TEST_REDIS` does not choose."""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, which redis-py and the servers need."""
    return "asyncio"


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--servers`."""
    parser.addoption("--servers", action="store_true", help="Only tests that run on the server of GUARDRAIL_TEST_REDIS.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what another server would not make different."""
    if not config.getoption("--servers"):
        return
    kept = [each for each in items if _on_server(each)]
    config.hook.pytest_deselected(items=[each for each in items if each not in set(kept)])
    items[:] = kept


def _on_server(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    named = {each for each in callspec.params.values() if isinstance(each, str)} if callspec is not None else set()
    if named & _OTHERS:
        return False
    return bool(named & _CHOSEN or _SERVERS.intersection(getattr(item, "fixturenames", ())))
