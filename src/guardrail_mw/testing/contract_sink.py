# ruff: noqa: D102, S101 - tests: a name says what it shows, assert is how they speak
"""The contract of `guardrail_mw.telemetry.base.Sink`, as a suite that any sink can be held to. Needs pytest and anyio.

A sink's whole test:

    from guardrail_mw.testing.contract_sink import SinkContract

    class TestMySink(SinkContract):
        @pytest.fixture
        def sink(self, tmp_path):
            return MySink(MySink.Settings(path=tmp_path / "events"), scope())

        def heard(self, sink):
            return [json.loads(line)["id"] for line in open(sink.path)]

Events are real ones: what decisions of every kind made of ordinary and of odd requests.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import pytest

from guardrail_mw.clock import Clock, SystemClock
from guardrail_mw.telemetry.base import Scope, Sink
from guardrail_mw.telemetry.event import validate
from guardrail_mw.testing.calls import call, chat, embeddings, messages
from guardrail_mw.testing.requests import Recorder
from guardrail_mw.values import Observer

if TYPE_CHECKING:
    from guardrail_mw.telemetry.event import Event

__all__ = ["SinkContract", "events", "scope"]

_TOKENS: Final = {"name": "tokens", "unit": "tokens", "per": ["account"], "window": "1000000/hour"}
"""Bodies are read for it."""
_POLICY: Final[dict[str, Any]] = {
    "version": 1,
    "mode": "enforce",
    "identity": {"sources": [{"use": "api_key", "with": {"headers": ["authorization", "x-api-key"], "trust": "gateway"}}]},
    "routes": [{"path": "/v1/messages", "dialect": "anthropic"}, {"path": "/v1/**", "dialect": "openai"}],
    "limits": [{"name": "requests", "per": ["account"], "rate": "60/minute", "burst": 9}, _TOKENS],
    "velocity": [{"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}],
    "risk": {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 0, "full": 10}}}]},
    "friction": {"ladder": [{"at": 50, "do": "delay", "with": {"seconds": 0.001}}]},
}


@cache
def _made() -> tuple[Event, ...]:
    from guardrail_mw.testing.guarded import Guarded

    api = Guarded(_POLICY)
    try:
        for each in (*[chat()] * 11, messages(key="sk-two"), embeddings(key=None), call("GET", "/odd/\x1b[2K\r\n")):
            api.ask(each)
        api.ask(call("POST", "/v1/chat/completions", b'{"model": "\xff', key="sk-three"))
        return tuple(api.events)
    finally:
        api.close()


def events() -> list[Event]:
    """Events of decisions to allow, to delay and to refuse, of bad input too: anew at every call, and valid."""
    made = copy.deepcopy(list(_made()))
    for event in made:
        validate(event)
    return made


def scope(name: str = "sink", *, clock: Clock | None = None, observer: Observer | None = None) -> Scope:
    """What a sink is built with besides its settings."""
    return Scope(name, clock if clock is not None else SystemClock(), observer if observer is not None else Recorder())


async def _tell(sink: Sink, several: Sequence[Event]) -> None:
    """As a recorder does: packed, where the sink has it so."""
    from guardrail_mw.telemetry.recorder import pack

    packed: Any = getattr(sink, "emit_packed", None)
    for event in several:
        if packed is not None:
            packed(pack(event))
        else:
            sink.emit(event)


class SinkContract:
    """Subclass it; give it a fixture `sink`, fresh, and a method `heard`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str:
        """The tests run on asyncio."""
        return "asyncio"

    @pytest.fixture
    def sink(self) -> Sink:
        """The sink to be held to the contract."""
        raise NotImplementedError("give the subclass a fixture `sink` that returns one fresh sink")

    def heard(self, sink: Sink) -> list[str]:
        """The ids of the events that have arrived where the sink takes them, in order. Asked after `aclose`."""
        raise NotImplementedError("give the subclass a method `heard` that reads the ids of events back")

    async def test_it_is_a_sink(self, sink: Sink) -> None:
        assert isinstance(sink, Sink)
        await sink.aclose()

    async def test_every_event_arrives_in_order(self, sink: Sink) -> None:
        await sink.start()
        await _tell(sink, events())
        await sink.aclose()
        assert self.heard(sink) == [event["id"] for event in events()]

    async def test_it_does_without_a_start(self, sink: Sink) -> None:
        """As where a server sends no lifespan."""
        await _tell(sink, events()[:3])
        await sink.aclose()
        assert self.heard(sink) == [event["id"] for event in events()[:3]]

    async def test_it_may_be_used_again(self, sink: Sink) -> None:
        for first in (0, 3):
            await sink.start()
            await _tell(sink, events()[first : first + 3])
            await sink.aclose()
        assert self.heard(sink) == [event["id"] for event in events()[:6]]

    async def test_it_changes_no_event(self, sink: Sink) -> None:
        """Others are told the same one."""
        told = events()
        await sink.start()
        await _tell(sink, told)
        for event in told:
            sink.emit(event)
        await sink.aclose()
        assert told == events()

    async def test_it_may_be_closed_twice_and_unheard(self, sink: Sink) -> None:
        await sink.aclose()
        await sink.aclose()
        assert self.heard(sink) == []

    async def test_several_threads_tell_it(self, sink: Sink) -> None:
        await sink.start()
        told = events()

        def tell() -> None:
            for event in told:
                sink.emit(event)

        threads = [threading.Thread(target=tell) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        await sink.aclose()
        assert sorted(self.heard(sink)) == sorted([event["id"] for event in told] * 2)
