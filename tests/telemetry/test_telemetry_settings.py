"""The policy's `telemetry:` section."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
from pydantic import ValidationError

from guardrail_mw.telemetry.jsonl import JsonlSink
from guardrail_mw.telemetry.log import LogSink
from guardrail_mw.telemetry.parquet import ParquetSink
from guardrail_mw.telemetry.settings import TelemetrySettings
from guardrail_mw.testing.clock import FakeClock

from .kit import Counts


def read(**said: Any) -> TelemetrySettings:
    return TelemetrySettings.model_validate(said)


def test_nothing_is_said_nothing_is_done() -> None:
    settings = read()
    assert (settings.events, settings.metrics, settings.tracing) == ([], False, False)
    assert settings.sinks(FakeClock(), Counts()) == []


def test_sinks_are_built_in_order() -> None:
    said: list[dict[str, Any]] = [
        {"use": "log"},
        {"use": "jsonl", "with": {"path": "events.jsonl", "keep": 9}},
        {"use": "parquet", "with": {"folder": "events"}},
    ]
    settings = read(events=said)
    assert [type(sink) for sink in settings.sinks(FakeClock(), Counts())] == [LogSink, JsonlSink, ParquetSink]
    dumped = settings.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert dumped["events"][1] == said[1]
    assert read(**dumped) == settings


def test_python_may_pass_a_sink() -> None:
    class Mine:
        def emit(self, event: object) -> None: ...

        async def start(self) -> None: ...

        async def aclose(self) -> None: ...

    mine = Mine()
    settings = read(events=[mine, {"use": "log"}])
    assert settings.events[0].use == "Mine"
    assert settings.sinks(FakeClock(), Counts())[0] is mine


@pytest.mark.parametrize(
    ("said", "place", "why"),
    [
        ({"events": [{"use": "jsonl"}]}, ("events", 0, "with", "path"), "Field required"),
        ({"events": [{"use": "log", "with": {"colour": 1}}]}, ("events", 0, "with", "colour"), "Extra inputs"),
        ({"events": [{"use": "jsonk"}]}, ("events", 0, "use"), "Did you mean 'jsonl'"),
        ({"events": [{"use": "strange"}]}, ("events", 0, "use"), "is not a sink of events"),
        ({"events": [{"use": "log", "path": "x"}]}, ("events", 0, "path"), "Extra inputs"),
        ({"metrics": "yes"}, ("metrics",), "valid boolean"),
        ({"traces": True}, ("traces",), "Extra inputs"),
    ],
)
def test_what_is_wrong_keeps_its_place(said: dict[str, Any], place: tuple[str | int, ...], why: str) -> None:
    with pytest.raises(ValidationError, match=why) as caught:
        read(**said)
    found = {tuple(part for part in error["loc"] if not str(part).startswith("function")) for error in caught.value.errors()}
    assert found == {place}


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("pyarrow", {"events": [{"use": "parquet", "with": {"folder": "events"}}]}),
        ("prometheus_client", {"metrics": True}),
        ("opentelemetry", {"tracing": True}),
    ],
)
def test_a_library_that_is_missing_is_said_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, module: str, said: dict[str, Any]
) -> None:
    read(**said)
    real = importlib.util.find_spec
    monkeypatch.setattr("guardrail_mw.telemetry.extras.find_spec", lambda name: None if name == module else real(name))
    extra = {"pyarrow": "parquet", "prometheus_client": "metrics", "opentelemetry": "tracing"}[module]
    with pytest.raises(ValidationError) as caught:
        read(**said)
    assert f"Install it with: pip install 'guardrail-mw[{extra}]'" in str(caught.value)
