"""The policy's `telemetry:` section: where events go, and whether there are metrics and spans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    Field,
    PrivateAttr,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core.core_schema import ValidationInfo

from guardrail_mw import plugins
from guardrail_mw.clock import Clock
from guardrail_mw.errors import PluginError
from guardrail_mw.settings import Settings
from guardrail_mw.telemetry.base import Scope, Sink
from guardrail_mw.telemetry.extras import needs
from guardrail_mw.values import Observer

__all__ = ["SinkSettings", "TelemetrySettings"]


class SinkSettings(Settings):
    """One sink: the name of a plugin and its own settings."""

    use: str = Field(min_length=1, max_length=64, json_schema_extra={"examples": ["log", "jsonl", "parquet"]})
    """An entry point of `guardrail_mw.sinks`."""
    with_: Annotated[Any, WithJsonSchema({"type": "object"})] = Field(default=None, alias="with")
    """The plugin's own model, made from what stands here."""
    _built: Sink | None = PrivateAttr(default=None)

    @classmethod
    def holding(cls, sink: Sink) -> Self:
        """The item that stands for a sink which Python made itself."""
        item = cls.model_construct(use=type(sink).__name__)
        item._built = sink  # noqa: SLF001 - its own
        return item

    @model_validator(mode="before")
    @classmethod
    def _always_settings(cls, value: object) -> object:
        """Without `with` a plugin still says which settings it misses."""
        if isinstance(value, Mapping) and "with" not in value:
            return {**value, "with": {}}
        return value

    @field_validator("use")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            kind = plugins.load("sinks", value)
        except PluginError as error:
            raise ValueError(f"{error.public} {error.detail}".rstrip()) from error
        if not hasattr(kind, "Settings"):
            raise ValueError(f"the plugin {value!r} is not a sink of events: it has no Settings")
        return value

    @field_validator("with_", mode="plain")
    @classmethod
    def _its_own(cls, value: object, info: ValidationInfo) -> object:
        """Its errors keep their places, below `with`."""
        if "use" not in info.data:
            return value
        return plugins.load("sinks", info.data["use"]).Settings.model_validate(value)

    def build(self, clock: Clock, observer: Observer) -> Sink:
        """The sink, ready to take events.

        Raises:
            ValueError: what it needs is not there.
        """
        if self._built is not None:
            return self._built
        sink: Sink = plugins.load("sinks", self.use)(self.with_, Scope(self.use, clock, observer))
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
