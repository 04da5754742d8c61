"""The recorder: what it keeps, and that nothing it meets reaches a request."""

from __future__ import annotations

import gc
import logging
from typing import Any

import pytest

from guardrail_mw.telemetry.recorder import Recorder, pack, unpack
from guardrail_mw.testing.clock import FakeClock

from .kit import ACCOUNT, Counts, event


class Kept:
    """A sink that remembers; fails where it is told to."""

    def __init__(self, *, fails: bool = False) -> None:
        self.events: list[dict[str, Any]] = []
        self.life: list[str] = []
        self.fails = fails

    def emit(self, event: dict[str, Any]) -> None:
        self._fail()
        self.events.append(event)

    async def start(self) -> None:
        self._fail()
        self.life.append("start")

    async def aclose(self) -> None:
        self._fail()
        self.life.append("aclose")

    def _fail(self) -> None:
        if self.fails:
            raise OSError("no room")


def recorder(*sinks: Any, observer: Counts | None = None, clock: FakeClock | None = None, **more: int) -> Recorder:
    return Recorder(sinks, clock=clock or FakeClock(), observer=observer if observer is not None else Counts(), **more)


def test_it_hands_events_to_every_sink_and_finds_them_again() -> None:
    one, two = Kept(), Kept()
    record = recorder(one, two)
    sent = [event(id=f"{number:024x}") for number in range(3)]
    for each in sent:
        record.emit(each)
    assert one.events == two.events == sent
    assert record.find(f"{1:024x}") == sent[1]
    assert record.find("0" * 23 + "9") is None
    assert record.find("0" * 23) is None, "part of an id is none"
    assert record.latest(2) == [sent[2], sent[1]]


def test_it_finds_an_account_under_both_its_names() -> None:
    record = recorder()
    mine, network = ACCOUNT, "n:Zl2hO0eYqf3rG4mSPc9xUw"
    record.emit(event(id="1" * 24))
    record.emit(event(id="2" * 24, account=network))
    record.emit(event(id="3" * 24, account="a:other-account-0000000", candidate=""))
    record.emit(event(id="4" * 24, account=network, candidate="", network=network))
    assert [each["id"][0] for each in record.of(mine)] == ["2", "1"]
    assert [each["id"][0] for each in record.of(network)] == ["4", "2"]
    assert [each["id"][0] for each in record.of(mine, 1)] == ["2"]
    assert record.of("a:nobody") == []


def test_the_ring_holds_so_many_events_and_so_many_bytes() -> None:
    few = recorder(ring=3)
    for number in range(5):
        few.emit(event(id=f"{number:024x}"))
    assert [int(each["id"], 16) for each in few.latest()] == [4, 3, 2]
    size = len(pack(event()))
    small = recorder(most=3 * size + size // 2)
    for number in range(5):
        small.emit(event(id=f"{number:024x}"))
    assert (len(small), small.held) == (3, 3 * size)
    small.emit(event(route="x" * 10 * size))
    assert (len(small), small.held) == (0, 0), "what is larger than all of it is not kept"


def test_what_is_kept_costs_the_collector_nothing() -> None:
    record = recorder()
    before = len(gc.get_objects())
    for _ in range(1000):
        record.emit(event())
    gc.collect()
    assert len(gc.get_objects()) - before < 100


def test_what_is_kept_cannot_be_changed_from_outside() -> None:
    record = recorder()
    sent = event(id="1" * 24)
    record.emit(sent)
    sent["limits"].clear()
    assert len(record.latest()[0]["limits"]) == 3


def test_a_sink_that_fails_keeps_no_other_from_anything(caplog: pytest.LogCaptureFixture) -> None:
    counts, clock, good = Counts(), FakeClock(), Kept()
    record = recorder(Kept(fails=True), good, observer=counts, clock=clock)
    for _ in range(3):
        record.emit(event())
    assert (len(good.events), len(record)) == (3, 3)
    assert counts == {"events.failed": 3}
    assert [each.levelno for each in caplog.records] == [logging.WARNING], "once a second"
    clock.advance(0.999999)
    record.emit(event())
    assert len(caplog.records) == 1
    clock.advance(0.000001)
    record.emit(event())
    assert len(caplog.records) == 2


def test_what_is_no_event_is_counted_and_reaches_the_sinks() -> None:
    counts, sink = Counts(), Kept()
    record = recorder(sink, observer=counts)
    record.emit(event(tier=object()))
    assert (counts, len(record), len(sink.events)) == ({"events.failed": 1}, 0, 1)


def test_a_sink_that_writes_elsewhere_gets_bytes_and_is_spared_what_cannot_be_packed() -> None:
    class Later(Kept):
        def emit_packed(self, packed: bytes) -> None:
            self.events.append(unpack(packed))

    counts, sink = Counts(), Later(fails=True)
    record = recorder(sink, observer=counts)
    record.emit(event(id="1" * 24))
    record.emit(event(tier=object()))
    assert sink.events == [event(id="1" * 24)]
    assert counts == {"events.failed": 1}


@pytest.mark.anyio
async def test_its_life_is_its_sinks() -> None:
    counts, good = Counts(), Kept()
    record = recorder(Kept(fails=True), good, observer=counts)
    await record.start()
    await record.aclose()
    assert good.life == ["start", "aclose"]
    assert counts == {"events.failed": 2}
