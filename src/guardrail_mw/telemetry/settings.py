"""The policy's `telemetry:` section: where events go, and whether there are metrics and spans."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import (
    Field,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    field_validator,
)

from guardrail_mw.clock import Clock
from guardrail_mw.settings import PluginItem, Settings
from guardrail_mw.telemetry.base import Scope, Sink
from guardrail_mw.telemetry.extras import needs
from guardrail_mw.values import Observer

__all__ = ["SinkSettings", "TelemetrySettings"]


class SinkSettings(PluginItem, Settings):
    """One sink: the name of a plugin and its own settings."""

    kind = "sinks"
    noun = "a sink of events"

    use: str = Field(min_length=1, max_length=64, json_schema_extra={"examples": ["log", "jsonl", "parquet"]})
    """An entry point of `guardrail_mw.sinks`."""
    with_: Annotated[Any, WithJsonSchema({"type": "object"})] = Field(default=None, alias="with")
    """The plugin's own model, made from what stands here."""

    @classmethod
    def holding(cls, sink: Sink) -> Self:
        """The item that stands for a sink which Python made itself."""
        item = cls.model_construct(use=type(sink).__name__)
        item._built = sink  # noqa: SLF001 - its own
        return item

    def build(self, clock: Clock, observer: Observer) -> Sink:
        """The sink, ready to take events.

        Raises:
            ValueError: what it needs is not there.
        """
        sink: Sink = self._make(self.use, self.with_, Scope(self.use, clock, observer))
        return sink


def _sink(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    if isinstance(value, Sink) and not isinstance(value, SinkSettings):
        return SinkSettings.holding(value)
    return handler(value)


class TelemetrySettings(Settings):
    """All of `telemetry:`."""

    events: list[Annotated[SinkSettings, WrapValidator(_sink)]] = Field(default=[], max_length=16)
    """Where events go. Without any, each process still keeps its last 10,000 for `explain`."""
    metrics: bool = False
    """Whether metrics for Prometheus are kept (extra `metrics`)."""
    tracing: bool = False
    """Whether spans are made for OpenTelemetry (extra `tracing`)."""

    @field_validator("metrics")
    @classmethod
    def _metrics(cls, value: bool) -> bool:  # noqa: FBT001 - a value of the policy
        return value and needs("prometheus_client", "metrics")

    @field_validator("tracing")
    @classmethod
    def _tracing(cls, value: bool) -> bool:  # noqa: FBT001 - likewise
        return value and needs("opentelemetry", "tracing")

    def sinks(self, clock: Clock, observer: Observer) -> list[Sink]:
        """The sinks, in the policy's order.

        Raises:
            ValueError: what one needs is not there.
        """
        return [item.build(clock, observer) for item in self.events]
