"""Our sinks are held to the contract, and the contract finds what breaks it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from guardrail_mw.telemetry.base import Sink
from guardrail_mw.telemetry.event import Event
from guardrail_mw.telemetry.jsonl import JsonlSettings, JsonlSink
from guardrail_mw.telemetry.log import LogSettings, LogSink
from guardrail_mw.telemetry.parquet import ParquetSettings, ParquetSink
from guardrail_mw.testing.contract_sink import SinkContract, events, scope


class TestJsonl(SinkContract):
    @pytest.fixture
    def sink(self, tmp_path: Path) -> Sink:
        self.path = tmp_path / "events.jsonl"
        return JsonlSink(JsonlSettings(path=str(self.path)), scope())

    def heard(self, sink: Sink) -> list[str]:
        return [json.loads(line)["id"] for line in self.path.read_text().splitlines()] if self.path.exists() else []


class TestParquet(SinkContract):
    @pytest.fixture
    def sink(self, tmp_path: Path) -> Sink:
        self.folder = tmp_path / "events"
        return ParquetSink(ParquetSettings(folder=str(self.folder)), scope())

    def heard(self, sink: Sink) -> list[str]:
        files = sorted(self.folder.glob("*.parquet"))
        return [identity for file in files for identity in pq.read_table(file)["id"].to_pylist()]


class TestLog(SinkContract):
    @pytest.fixture
    def sink(self, caplog: pytest.LogCaptureFixture) -> Sink:
        caplog.set_level(logging.INFO, "guardrail_mw.events")
        self.caplog = caplog
        return LogSink(LogSettings(), scope())

    def heard(self, sink: Sink) -> list[str]:
        records = [record for record in self.caplog.records if record.name == "guardrail_mw.events"]
        return [json.loads(record.getMessage())["id"] for record in records]


class Listing:
    """Keeps ids; a subclass does something wrong."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def emit(self, event: Event, /) -> None:
        self.ids.append(event["id"])

    async def start(self) -> None: ...

    async def aclose(self) -> None: ...


class TestListing(SinkContract):
    """In how few lines a sink is held to it."""

    @pytest.fixture
    def sink(self) -> Sink:
        return Listing()

    def heard(self, sink: Any) -> list[str]:
        return list(sink.ids)


class Starting(Listing):
    """Takes nothing before its start."""

    ready = False

    async def start(self) -> None:
        self.ready = True

    def emit(self, event: Event, /) -> None:
        if self.ready:
            super().emit(event)


class Stamping(Listing):
    def emit(self, event: Event, /) -> None:
        super().emit(event)
        event["limits"].clear()


class Sorting(Listing):
    async def aclose(self) -> None:
        self.ids.sort(reverse=True)


class Once(Listing):
    """Is not there any more after its end."""

    closed = False

    def emit(self, event: Event, /) -> None:
        if not self.closed:
            super().emit(event)

    async def aclose(self) -> None:
        self.closed = True


class Losing(Listing):
    """Keeps one of a batch of allowed ones."""

    def emit(self, event: Event, /) -> None:
        if event["decision"] != "allow":
            super().emit(event)


BROKEN = [
    (Starting, SinkContract.test_it_does_without_a_start),
    (Stamping, SinkContract.test_it_changes_no_event),
    (Sorting, SinkContract.test_every_event_arrives_in_order),
    (Once, SinkContract.test_it_may_be_used_again),
    (Losing, SinkContract.test_every_event_arrives_in_order),
    (Losing, SinkContract.test_several_threads_tell_it),
]


@pytest.mark.parametrize(("broken", "test"), BROKEN, ids=lambda each: each.__name__)
@pytest.mark.anyio
async def test_what_breaks_it_is_found(broken: type[Listing], test: Any) -> None:
    with pytest.raises(AssertionError):
        await test(TestListing(), broken())


def test_events_are_of_every_kind() -> None:
    said = {(event["decision"], event["status"]) for event in events()}
    assert {("allow", 200), ("delay", 200), ("deny", 429), ("deny", 400)} <= said
    assert len({event["id"] for event in events()}) == len(events())
    assert {event["dialect"] for event in events()} == {"anthropic", "openai", "problem"}
