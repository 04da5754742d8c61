"""The writer's thread: batches, bounds, failures, forks."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from textwrap import dedent
from typing import Any

import pytest

from guardrail_mw.telemetry.recorder import pack, unpack
from guardrail_mw.telemetry.writer import Unwritten, Writer
from guardrail_mw.testing.clock import FakeClock

from .kit import Counts, event


class Memory:
    """An output that remembers, and can be told to fail, or to wait within a write."""

    batch = 16

    def __init__(self) -> None:
        self.batches: list[list[dict[str, Any]]] = []
        self.closed = 0
        self.idled = threading.Event()
        self.wrote = threading.Event()
        self.fails: BaseException | None = None
        self.bad = ""

    def write(self, batch: list[bytes]) -> None:
        events = [unpack(packed) for packed in batch]
        if self.fails is not None:
            raise self.fails
        if any(each["id"] == self.bad for each in events):
            raise ValueError("no event")
        self.batches.append(events)
        self.wrote.set()

    def idle(self) -> None:
        self.idled.set()

    def close(self) -> None:
        self.closed += 1
        if self.fails is not None:
            raise self.fails

    def forked(self) -> None:
        self.batches.clear()

    @property
    def ids(self) -> list[str]:
        return [each["id"] for batch in self.batches for each in batch]


class Kit:
    """A writer, and what it writes to."""

    def __init__(self, **more: Any) -> None:
        self.output, self.counts, self.clock = Memory(), Counts(), FakeClock()
        self.writer = Writer("test writer", self.output, clock=self.clock, observer=self.counts, **more)


@pytest.fixture
def kit() -> Iterator[Kit]:
    made = Kit()
    yield made
    made.output.fails = None
    made.writer.stop()


def test_the_thread_starts_with_the_first_event_and_writes(kit: Kit) -> None:
    assert kit.writer._worker is None
    kit.writer.put(pack(event(id="1")))
    assert kit.output.wrote.wait(10)
    kit.writer.stop()
    assert kit.output.ids == ["1"]
    assert kit.output.closed == 1
    assert kit.writer._worker is None


def test_events_are_written_in_order_a_batch_at_a_time(kit: Kit) -> None:
    ids = [str(number) for number in range(2 * Memory.batch + 3)]
    for identity in ids:
        kit.writer.put(pack(event(id=identity)))
    kit.writer.stop()
    assert kit.output.ids == ids
    assert all(len(batch) <= Memory.batch for batch in kit.output.batches)


def test_it_may_be_used_again(kit: Kit) -> None:
    for identity in ("1", "2"):
        kit.writer.put(pack(event(id=identity)))
        kit.writer.stop()
    kit.output.wrote.clear()
    kit.writer.put(pack(event(id="3")))
    assert kit.output.wrote.wait(10), "by the thread, without anybody's asking"
    kit.writer.stop()
    assert kit.output.ids == ["1", "2", "3"]
    assert kit.output.closed == 3


def test_what_there_is_no_room_for_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", lambda _: None)  # nobody writes
    kit = Kit(most=3 * len(pack(event())))
    for identity in ("1", "2", "3", "4", "5"):
        kit.writer.put(pack(event(id=identity.rjust(24, "0"))))
    assert kit.counts == {"events.dropped": 2}
    kit.writer.flush()
    assert [int(identity) for identity in kit.output.ids] == [1, 2, 3]
    for identity in ("6", "7", "8"):
        kit.writer.put(pack(event(id=identity.rjust(24, "0"))))
    kit.writer.flush()
    assert [int(identity) for identity in kit.output.ids] == [1, 2, 3, 6, 7, 8], "there is room for as many again"
    assert kit.writer._held == 0
    kit.writer._worker = None


def test_what_is_being_written_takes_its_room_until_it_is() -> None:
    kit = Kit(most=len(pack(event())))
    write = kit.output.write

    def written_meanwhile(batch: list[bytes]) -> None:
        kit.writer.put(pack(event()))
        write(batch)

    kit.output.write = written_meanwhile  # type: ignore[method-assign]
    with kit.writer._turn:
        kit.writer.put(pack(event()))
        kit.writer._write()
    kit.writer.stop()
    assert (len(kit.output.ids), kit.counts) == (1, {"events.dropped": 1})


def test_an_event_that_is_at_fault_costs_only_itself(kit: Kit) -> None:
    kit.output.bad = "7"
    for number in range(10):
        kit.writer.put(pack(event(id=str(number))))
    kit.writer.stop()
    assert sorted(kit.output.ids) == [str(number) for number in range(10) if number != 7]
    assert kit.counts == {"events.dropped": 1}


@pytest.mark.parametrize(("error", "lost"), [(OSError("the disk is full"), 10), (Unwritten(250), 250)])
def test_an_output_that_fails_costs_what_it_says(
    kit: Kit, caplog: pytest.LogCaptureFixture, error: Exception, lost: int
) -> None:
    kit.writer.start()
    with kit.writer._turn:  # so that all ten are one batch
        for number in range(10):
            kit.writer.put(pack(event(id=str(number))))
        kit.output.fails = error
    kit.writer.flush()
    kit.output.fails = None
    kit.writer.put(pack(event(id="after")))
    kit.writer.stop()
    assert kit.output.ids == ["after"]
    assert kit.counts == {"events.dropped": lost}
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def _full() -> OSError:
    return OSError(28, "No space left on device", "/x/events.jsonl")


def _given_up() -> Unwritten:
    error = Unwritten(2)
    error.__cause__ = _full()
    return error


@pytest.mark.parametrize("error", [_full(), _given_up()])
def test_what_the_system_says_is_one_line_in_the_log(kit: Kit, caplog: pytest.LogCaptureFixture, error: Exception) -> None:
    kit.output.fails = error
    kit.writer.put(pack(event(id="1")))
    kit.writer.flush()
    (record,) = caplog.records
    assert record.getMessage() == (
        "Events were dropped by test writer: writing failed: [Errno 28] No space left on device: '/x/events.jsonl'."
    )
    assert not record.exc_info


def test_what_nobody_foresaw_is_logged_with_its_place(kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
    kit.output.fails = RuntimeError("how?")
    kit.writer.put(pack(event(id="1")))
    kit.writer.flush()
    (record,) = caplog.records
    assert record.getMessage() == "Events were dropped by test writer: writing failed."
    assert record.exc_info


def test_closing_may_fail(kit: Kit) -> None:
    kit.writer.put(pack(event(id="1")))
    kit.writer.flush()
    kit.output.fails = Unwritten(3)
    kit.writer.stop()
    assert kit.counts == {"events.dropped": 3}


def test_an_output_hears_that_nothing_came() -> None:
    kit = Kit(patience=0.001)
    kit.writer.start()
    assert kit.output.idled.wait(10)
    kit.writer.stop()


def test_nothing_is_lost_between_threads(kit: Kit) -> None:
    def many(start: int) -> None:
        for number in range(start, start + 500):
            kit.writer.put(pack(event(id=str(number))))
            if number % 100 == 0:
                kit.writer.stop()

    threads = [threading.Thread(target=many, args=(start,)) for start in (0, 500, 1000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kit.writer.stop()
    assert sorted(map(int, kit.output.ids)) == list(range(1500))


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # which is what is tested
def test_a_forked_process_writes_its_own_and_nobody_elses(kit: Kit) -> None:
    kit.writer.put(pack(event(id="before")))
    kit.writer.flush()
    read, write = os.pipe()
    with kit.writer._turn:
        kit.writer.put(pack(event(id="parent")))
        child = os.fork()
        if child == 0:  # pragma: no cover - another process
            kit.writer.put(pack(event(id="child")))
            kit.writer.stop(10)
            os.write(write, ",".join(kit.output.ids).encode())
            os._exit(0)
    os.waitpid(child, 0)
    kit.writer.stop()
    assert os.read(read, 100) == b"child"
    assert kit.output.ids == ["before", "parent"]
    os.close(read)
    os.close(write)


def test_the_end_of_a_process_writes_what_waits() -> None:
    code = """
        from guardrail_mw.clock import SystemClock
        from guardrail_mw.telemetry.writer import Writer

        class Output:
            batch = 16
            def write(self, batch): print("wrote", len(batch))
            def idle(self): pass
            def close(self): print("closed")
            def forked(self): pass

        class Deaf:
            def count(self, event, by=1): print(event)

        writer = Writer("test", Output(), clock=SystemClock(), observer=Deaf())
        writer.put(b"1")
    """
    done = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=True)
    assert done.stdout == "wrote 1\nclosed\n"
    assert done.stderr == ""
