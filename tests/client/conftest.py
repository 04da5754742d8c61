"""One server for all tests of a module, as new for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .server import Guarded, guarded


@pytest.fixture(scope="module")
def _listening() -> Iterator[Guarded]:
    with guarded() as found:
        yield found


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers are on this machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server(_listening: Guarded) -> Iterator[Guarded]:
    """A model server that asks for proof of work."""
    _listening.reset()
    yield _listening
    _listening.go.set()
