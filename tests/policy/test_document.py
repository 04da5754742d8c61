"""Sections of the document: the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from guardrail_mw.errors import Problem
from guardrail_mw.policy import load

Problems = Callable[..., list[Problem]]


@pytest.mark.parametrize(
    "url",
    [
        "memory://",
        "redis://host",
        "redis://user:pass@host:6379/0?x=1",
        "rediss://host:1",
        "unix:///run/redis.sock",
        "redis+sentinel://a:26379,b:26379/mymaster",
        "redis+cluster://a:1,b:2",
        "redis://[::1]:6379",
    ],
)
def test_stores(url: str) -> None:
    assert load({"version": 1, "store": {"url": url}}).store.url == url


@pytest.mark.parametrize(
    "url",
    [
        "memory",
        "memory://x",
        "http://host",
        "redis://",
        "redis://host:port",
        "redis://host:99999",
        "unix://",
        "redis+sentinel://a",
        "redis ://h",
    ],
)
def test_places_that_are_no_store(problems: Problems, url: str) -> None:
    (problem,) = problems(f"version: 1\nstore:\n  url: '{url}'\n")
    assert (problem.path, problem.line) == ("store.url", 3)
    assert problem.hint


def test_unwatched_it_has_no_sink_no_metrics_and_no_port(tmp_path: Path) -> None:
    telemetry = {"metrics": True, "tracing": True, "events": [{"use": "jsonl", "with": {"path": str(tmp_path / "e")}}]}
    policy = load({"version": 1, "telemetry": telemetry, "console": {"token": "Xb2-operators-token-for-this-test-0q9"}})
    alone = policy.unwatched()
    assert (alone.console, alone.telemetry.events, alone.telemetry.metrics, alone.telemetry.tracing) == (
        None,
        [],
        False,
        False,
    )
    assert alone.limits == policy.limits
