"""What a sink of events is: the door that built-ins and plugins come through.

An entry point of the group `guardrail_mw.sinks` is a `SinkType`: a class that owns its settings. A policy's `{use: NAME, with:
{…}}` becomes `cls(cls.Settings.model_validate(with), scope)`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel

from guardrail_mw.clock import Clock
from guardrail_mw.telemetry.event import Event
from guardrail_mw.values import Observer

__all__ = ["Scope", "Sink", "SinkType"]

S_contra = TypeVar("S_contra", bound=BaseModel, contravariant=True)


class Scope(NamedTuple):
    """What a sink is given besides its settings."""

    name: str
    """As the policy names it in `use`."""
    clock: Clock
    observer: Observer


@runtime_checkable
class Sink(Protocol):
    """Takes events somewhere. One for a policy; `emit` may be called from several threads."""

    def emit(self, event: Event, /) -> None:
        """Take one event. It runs on the event loop in the course of a request: it must not wait, nor change the event.

        What it raises is counted (`events.failed`) and logged, and fails no request. Where a sink has a method
        `emit_packed`, that is called instead, with the event as bytes, which `recorder.unpack` makes an event again: for what
        is written later, elsewhere.
        """
        ...

    async def start(self) -> None:
        """Get ready ahead of the first event. Not called where the server sends no lifespan."""
        ...

    async def aclose(self) -> None:
        """Write what is still held, and let go. It may be used again afterwards."""
        ...


class SinkType(Protocol[S_contra]):
    """What an entry point of `guardrail_mw.sinks` is."""

    @property
    def Settings(self) -> type[BaseModel]:  # noqa: N802 - a class within a class
        """The model of `with`; strict, refusing what it does not know."""
        ...

    def __call__(self, settings: S_contra, scope: Scope, /) -> Sink:
        """Build the sink.

        Raises:
            ValueError: what it needs is not there; says what to do.
        """
        ...
