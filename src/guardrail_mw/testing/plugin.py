"""Fixtures for whoever tests a policy, a store or an app against real servers; pytest finds them once this is installed.

A server is started when a test first asks for it and lives to the end of the session. Tests share it, each under a prefix of
its own (`guardrail_prefix`); one that harms its server starts its own (`guardrail_start`). What the machine lacks skips a
test and says what to install; where `CI=true` is set it is an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from guardrail_mw.testing.clock import FakeClock
    from guardrail_mw.testing.guarded import Guarded
    from guardrail_mw.testing.servers import Server

__all__ = [
    "guarded",
    "guardrail_clock",
    "guardrail_cluster",
    "guardrail_fakeredis",
    "guardrail_prefix",
    "guardrail_redis",
    "guardrail_sentinel",
    "guardrail_server",
    "guardrail_shared",
    "guardrail_start",
    "guardrail_valkey",
]


@pytest.fixture
def guarded() -> Iterator[Callable[..., Guarded]]:
    """Put policies under test: `guarded("policy.yaml")` is a `Guarded`, by itself in memory. Closed when the test ends."""
    from guardrail_mw.testing.guarded import Guarded

    mine: list[Guarded] = []

    def make(*given: Any, **more: Any) -> Guarded:
        mine.append(Guarded(*given, **more))
        return mine[-1]

    yield make
    for each in mine:
        each.close()


@pytest.fixture
def guardrail_clock() -> FakeClock:
    """A clock of this test's, at 2026-01-01T00:00:00Z until it is moved."""
    from guardrail_mw.testing.clock import FakeClock

    return FakeClock()


def _missing(reason: str) -> None:
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _started(kind: str, *options: str) -> Server:
    from guardrail_mw.testing.servers import ServerMissing, start

    try:
        return start(kind, *options)
    except ServerMissing as error:
        _missing(str(error))
        raise


def _session(kind: str) -> Iterator[Server]:
    server = _started(kind)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def guardrail_redis() -> Iterator[Server]:
    """A standalone Redis: `GUARDRAIL_TEST_REDIS` (a path or a URL), `redis-server` on the PATH, or a Valkey."""
    yield from _session("redis")


@pytest.fixture(scope="session")
def guardrail_valkey() -> Iterator[Server]:
    """A standalone Valkey."""
    yield from _session("valkey")


@pytest.fixture(scope="session")
def guardrail_fakeredis() -> Iterator[Server]:
    """A fakeredis, over TCP."""
    yield from _session("fakeredis")


@pytest.fixture(scope="session")
def guardrail_cluster() -> Iterator[Server]:
    """A cluster of three masters."""
    yield from _session("cluster")


@pytest.fixture(scope="session")
def guardrail_sentinel() -> Iterator[Server]:
    """A master, its replica and three Sentinels."""
    yield from _session("sentinel")


@pytest.fixture(params=["redis", "valkey", "fakeredis", "cluster"])
def guardrail_server(request: pytest.FixtureRequest) -> Server:
    """Each kind of server in turn."""
    server: Server = request.getfixturevalue(f"guardrail_{request.param}")
    return server


@pytest.fixture
def guardrail_prefix() -> str:
    """What this test's keys begin with, and no other's."""
    return f"t{uuid4().hex[:12]}:"


@pytest.fixture
def guardrail_start() -> Iterator[Callable[..., Server]]:
    """Start servers for this test alone: `guardrail_start("redis", "--maxmemory", "1mb")`. Stopped when it ends."""
    mine: list[Server] = []

    def start(kind: str, *options: str) -> Server:
        mine.append(_started(kind, *options))
        return mine[-1]

    yield start
    for server in mine:
        server.stop()


@pytest.fixture(scope="session")
def guardrail_shared(pytestconfig: pytest.Config) -> Path:
    """The folder of test vectors that others made: `GUARDRAIL_SHARED`, or `../shared` beside the repository."""
    folder = Path(os.environ.get("GUARDRAIL_SHARED") or pytestconfig.rootpath.parent / "shared")
    if not (folder / "data").is_dir():
        _missing(f"No test vectors in {folder}. Set GUARDRAIL_SHARED to the folder that has data/ in it.")
    return folder
