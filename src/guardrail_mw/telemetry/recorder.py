"""Where events go: to every sink, and into a ring of the latest, which `explain` reads."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Any

from guardrail_mw.clock import Clock
from guardrail_mw.telemetry.base import Sink
from guardrail_mw.telemetry.event import Event
from guardrail_mw.telemetry.lines import line
from guardrail_mw.values import Observer

__all__ = ["MOST", "RING", "Recorder", "pack", "seldom", "unpack"]

logger = logging.getLogger("guardrail_mw")

RING = 10_000
"""Events that are kept."""
MOST = 32 * 1024 * 1024
"""Bytes that they may hold together; an event has about 1 KB."""
_SECOND = 1_000_000


def pack(event: Event) -> bytes:
    """An event as a line of JSON without its end: what files hold, and nothing for the garbage collector to visit.

    Raises:
        TypeError, ValueError: it holds something that JSON cannot.
    """
    return line(event).encode("ascii")


def unpack(packed: bytes) -> Event:
    """What was packed."""
    event: Event = json.loads(packed)
    return event


def seldom(clock: Clock) -> Callable[[str], bool]:
    """Tells whether to speak of something now: of each name once a second at most."""
    spoken: dict[str, int] = {}

    def now(name: str) -> bool:
        at = clock.monotonic()
        last = spoken.get(name)
        if last is not None and at - last < _SECOND:
            return False
        spoken[name] = at
        return True

    return now


class Recorder:
    """Takes every event of a process; never raises, never waits.

    Args:
        sinks: where events go besides.
        clock: for what is logged once a second.
        observer: hears `events.failed`, for every event that a sink did not take.
        ring: how many of the latest are kept.
        most: bytes that those may hold together.
    """

    def __init__(
        self, sinks: Sequence[Sink] = (), *, clock: Clock, observer: Observer, ring: int = RING, most: int = MOST
    ) -> None:
        self.sinks = tuple(sinks)
        self._takes: list[tuple[Callable[[Any], None], bool]] = [
            (sink.emit, False) if (takes := getattr(sink, "emit_packed", None)) is None else (takes, True)
            for sink in self.sinks
        ]
        """What to call with an event, and whether it takes it packed: it is packed once for all."""
        self._observer = observer
        self._ring: deque[bytes] = deque()
        self._length = ring
        self._most = most
        self._held = 0
        self._lock = Lock()
        self._speaks = seldom(clock)

    def __len__(self) -> int:
        """Events that are kept."""
        return len(self._ring)

    @property
    def held(self) -> int:
        """Bytes that they hold."""
        return self._held

    def emit(self, event: Event) -> None:
        """Record an event. Nobody may change it any more."""
        packed = None
        try:
            packed = pack(event)
        except Exception as error:  # noqa: BLE001 - logged, and nothing that a request should hear of
            self._failed("the ring", error)
        else:
            with self._lock:
                self._keep(packed)
        for index, (take, wants_packed) in enumerate(self._takes):
            try:
                if not wants_packed:
                    take(event)
                elif packed is not None:
                    take(packed)
            except Exception as error:  # noqa: BLE001 - as above
                self._failed(f"the sink {type(self.sinks[index]).__name__}", error)

    def emit_packed(self, packed: bytes) -> None:
        """Record an event that is packed already. Only where `packable`."""
        with self._lock:
            self._keep(packed)
        for index, (take, _) in enumerate(self._takes):
            try:
                take(packed)
            except Exception as error:  # noqa: BLE001 - as above
                self._failed(f"the sink {type(self.sinks[index]).__name__}", error)

    @property
    def packable(self) -> bool:
        """Whether every sink takes packed events."""
        return all([wants_packed for _, wants_packed in self._takes])

    def _keep(self, packed: bytes) -> None:
        ring = self._ring
        ring.append(packed)
        self._held += len(packed)
        while self._held > self._most or len(ring) > self._length:
            self._held -= len(ring.popleft())

    def _failed(self, who: str, error: Exception) -> None:
        self._observer.count("events.failed")
        if self._speaks(who):
            logger.warning("An event was not taken by %s: %s", who, type(error).__name__, exc_info=error)

    # What explain reads

    def find(self, identity: str) -> Event | None:
        """The decision of that id, if it is among the latest; the last of several turns of one socket."""
        return next((event for event in self._latest(identity) if event.get("id") == identity), None)

    def of(self, account: str, n: int = 20) -> list[Event]:
        """The latest `n` decisions about an account, the newest first: as who paid, or as the one that a key names."""
        found: list[Event] = []
        for event in self._latest(account):
            if account in {event.get("account"), event.get("candidate")}:
                found.append(event)
                if len(found) == n:
                    break
        return found

    def latest(self, n: int = 20) -> list[Event]:
        """The latest `n` decisions, the newest first."""
        return [event for _, event in zip(range(n), self._latest(""), strict=False)]

    def _latest(self, text: str) -> Iterator[Event]:
        """Events that hold `text` somewhere, the newest first: a search of bytes, so that few are unpacked."""
        needle = text.encode("utf-8", "surrogatepass")
        with self._lock:
            kept = list(self._ring)
        return (unpack(packed) for packed in reversed(kept) if needle in packed)

    # Its life

    async def start(self) -> None:
        """Let the sinks get ready; one that fails is logged, and may take events nevertheless."""
        for sink in self.sinks:
            try:
                await sink.start()
            except Exception as error:  # noqa: BLE001 - logged, and nothing that a request should hear of
                self._failed(f"the sink {type(sink).__name__}", error)

    async def aclose(self) -> None:
        """Let the sinks write what they hold; one that fails keeps no other from it."""
        for sink in self.sinks:
            try:
                await sink.aclose()
            except Exception as error:  # noqa: BLE001 - logged, and nothing that a request should hear of
                self._failed(f"the sink {type(sink).__name__}", error)
