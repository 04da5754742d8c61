"""A thread that writes what request paths hand over: bounded, in batches, and never waited for by a request."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable
from typing import Protocol
from weakref import WeakSet

from guardrail_mw.clock import Clock
from guardrail_mw.telemetry.recorder import seldom
from guardrail_mw.values import Observer

__all__ = ["LINGER", "MOST", "Output", "Unwritten", "Writer"]

logger = logging.getLogger("guardrail_mw")

LINGER = 0.05
"""Seconds that a first event waits for others to be written with."""
MOST = 32 * 1024 * 1024
"""Bytes that may wait to be written."""
FINISH = 5.0
"""Seconds that the end of a process waits for the last events."""


class Unwritten(Exception):  # noqa: N818 - what it says of events
    """An output lost events, and not those alone that it was just given.

    Args:
        events: how many.
    """

    def __init__(self, events: int) -> None:
        super().__init__(f"{events} events were lost")
        self.events = events


class Output(Protocol):
    """What a writer writes to. Called from one thread at a time."""

    batch: int
    """Events to write at once. Between two batches the event loop may go on, and should wait 0.2 ms for this thread at most; a
    busy loop gives it a turn every 5 ms only (`sys.getswitchinterval`), so whoever writes few at once falls behind."""

    def write(self, batch: list[bytes]) -> None:
        """Write `batch` packed events at most. All of them or, where it raises, none.

        Raises:
            Unwritten: how many were lost, where it is not just these.
        """
        ...

    def idle(self) -> None:
        """Nothing came for a while."""
        ...

    def close(self) -> None:
        """Finish what was begun; writing goes on with something new."""
        ...

    def forked(self) -> None:
        """This is a new process: leave alone what was begun, it is the parent's to finish."""
        ...


class Writer:
    """Hands events to an output, in a thread that starts with the first and ends at `stop` or with the process.

    Args:
        name: of the thread.
        output: what to write to.
        clock: for what is logged once a second.
        observer: hears `events.dropped`: there was no room, or the output failed.
        most: bytes that may wait, those included that are being written.
        patience: seconds after which an output hears that nothing came.
    """

    def __init__(
        self, name: str, output: Output, *, clock: Clock, observer: Observer, most: int = MOST, patience: float | None = None
    ) -> None:
        self._name = name
        self._output = output
        self._observer = observer
        self._most = most
        self._patience = patience
        self._speaks = seldom(clock)
        self._begin()
        _WRITERS.add(self)

    def _begin(self) -> None:
        """As new. In a forked process too: it has no thread, and what waits is the parent's to write."""
        self._waiting: list[bytes] = []
        self._held = 0
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        """Held while the output is at work."""
        self._worker: _Worker | None = None

    def forked(self) -> None:
        """This is a new process. Called by itself."""
        self._begin()
        self._output.forked()

    def put(self, packed: bytes) -> None:
        """Hand an event over, packed. Where there is no room it is dropped and counted."""
        size = len(packed)
        with self._lock:
            worker = self._worker or self._start()
            room = self._held + size <= self._most
            if room:
                self._waiting.append(packed)
                self._held += size
        if not room:
            self._dropped(1, "there was no room")
        elif not worker.wake.is_set():
            worker.wake.set()

    def start(self) -> None:
        """Start the thread, unless it runs."""
        with self._lock:
            if self._worker is None:
                self._start()

    def flush(self) -> None:
        """Write what waits, now and in this thread."""
        with self._turn:
            self._write()

    def stop(self, timeout: float | None = None) -> None:
        """Write what waits, close the output and end the thread. It may be used again afterwards.

        Args:
            timeout: seconds to wait for a thread that is writing; None waits for it.
        """
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.ending.set()
            worker.wake.set()
            worker.thread.join(timeout)
            if worker.thread.is_alive():
                return
        with self._turn:
            self._write()
            self._attempt(self._output.close)

    def _start(self) -> _Worker:
        worker = self._worker = _Worker(self._name, self._run)
        worker.thread.start()
        return worker

    # In the thread

    def _run(self, worker: _Worker) -> None:
        while not worker.ending.is_set():
            if worker.wake.wait(self._patience):
                worker.ending.wait(LINGER)
                worker.wake.clear()
                self.flush()
            else:
                with self._turn:
                    self._attempt(self._output.idle)

    def _write(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        most = self._output.batch
        for at in range(0, len(waiting), most):
            batch = waiting[at : at + most]
            self._write_batch(batch)
            with self._lock:
                self._held -= sum(map(len, batch))

    def _write_batch(self, batch: list[bytes]) -> None:
        try:
            self._output.write(batch)
        except Exception as error:  # noqa: BLE001 - logged; the thread goes on
            if len(batch) > 1 and not isinstance(error, OSError | Unwritten):  # an event is at fault, not the output
                for each in batch:
                    self._write_batch([each])
            else:
                self._dropped(len(batch), "writing failed", error)

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - logged; the thread goes on
            self._dropped(0, "writing failed", error)

    def _dropped(self, count: int, why: str, error: Exception | None = None) -> None:
        if isinstance(error, Unwritten):
            count = error.events
        if count:
            self._observer.count("events.dropped", count)
        if self._speaks(why):
            cause = error.__cause__ if isinstance(error, Unwritten) else error
            known = isinstance(cause, OSError)  # the disk's or the operator's: where in our code it came out tells nothing
            said = f"{why}: {cause}" if known else why
            logger.warning("Events were dropped by %s: %s.", self._name, said, exc_info=None if known else error)


class _Worker:
    """A thread, and what it is told by. Each has its own: nothing said to one is heard by the next."""

    __slots__ = ("ending", "thread", "wake")

    def __init__(self, name: str, run: Callable[[_Worker], None]) -> None:
        self.wake = threading.Event()
        self.ending = threading.Event()
        self.thread = threading.Thread(target=run, args=(self,), name=name, daemon=True)


_WRITERS: WeakSet[Writer] = WeakSet()


def _finish() -> None:
    for writer in list(_WRITERS):
        writer.stop(FINISH)


def _forked() -> None:
    for writer in list(_WRITERS):
        writer.forked()


atexit.register(_finish)
os.register_at_fork(after_in_child=_forked)
