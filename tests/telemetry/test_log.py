"""The sink `log`."""

from __future__ import annotations

import json
import logging

import pytest

from guardrail_mw.telemetry.log import LogSettings, LogSink

from .kit import denied, event, scope

LOGGER = "guardrail_mw.events"


def sink(**settings: str) -> LogSink:
    return LogSink(LogSettings.model_validate(settings), scope())


def test_a_record_has_the_line_and_the_event(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    sent = event()
    sink().emit(sent)
    (record,) = caplog.records
    assert (record.name, record.levelno) == (LOGGER, logging.INFO)
    assert json.loads(record.getMessage()) == sent
    assert record.__dict__["event"] is sent


@pytest.mark.parametrize("decision", ["delay", "trim", "challenge", "verify", "deny"])
def test_what_was_not_allowed_is_a_warning(caplog: pytest.LogCaptureFixture, decision: str) -> None:
    sink().emit(event(decision=decision))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_nothing_is_made_for_nobody(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> str:
        raise AssertionError("nobody asked for a line")

    monkeypatch.setattr("guardrail_mw.telemetry.log.line", fail)
    caplog.set_level(logging.ERROR, LOGGER)
    sink().emit(denied())
    assert caplog.records == []


def test_only_what_was_touched(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    would = {"decision": "deny", "code": "rate_limited", "limit": "requests", "rung": ""}
    for each in (event(id="1"), event(id="2", would=would), denied(id="3"), event(id="4", decision="delay")):
        sink(only="touched").emit(each)
    assert [json.loads(record.getMessage())["id"] for record in caplog.records] == ["2", "3", "4"]


def test_no_text_begins_a_line(caplog: pytest.LogCaptureFixture) -> None:
    sink(logger="elsewhere").emit(denied(tier="pro\r\n\x1b[31mWARNING all is well\u2028\x85"))
    (record,) = caplog.records
    assert record.name == "elsewhere"
    assert record.getMessage().isascii()
    assert record.getMessage().isprintable()


@pytest.mark.anyio
async def test_it_has_nothing_to_begin_or_end() -> None:
    log = sink()
    await log.start()
    await log.aclose()
