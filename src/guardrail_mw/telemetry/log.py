"""The sink `log`: events as log records, one line of JSON each."""

from __future__ import annotations

import logging
from typing import ClassVar, Literal

from pydantic import BaseModel

from guardrail_mw.settings import Settings
from guardrail_mw.telemetry.base import Scope
from guardrail_mw.telemetry.event import Event
from guardrail_mw.telemetry.lines import line

__all__ = ["LogSettings", "LogSink"]

LEVELS = {"allow": logging.INFO}
"""By decision; whatever is not here is a warning."""


class LogSettings(Settings):
    """`with` of `use: log`."""

    logger: str = "guardrail_mw.events"
    """The name of the logger."""
    only: Literal["all", "touched"] = "all"
    """`touched` leaves out what went through as it came, and would have outside shadow."""


class LogSink:
    """Logs every event: an `allow` as INFO, anything else as WARNING.

    The message is the event as one line of JSON, made only where a handler asks for it. The record carries the event itself as
    `event`, which structlog's `ProcessorFormatter` and JSON formatters take as it is.

    Args:
        settings: which logger, which events.
        scope: not needed.
    """

    Settings: ClassVar[type[BaseModel]] = LogSettings

    def __init__(self, settings: LogSettings, scope: Scope) -> None:
        self._logger = logging.getLogger(settings.logger)
        self._all = settings.only == "all"

    def emit(self, event: Event) -> None:
        """Log one event."""
        decision = event["decision"]
        level = LEVELS.get(decision, logging.WARNING)
        if self._logger.isEnabledFor(level) and (self._all or decision != "allow" or event["would"] is not None):
            self._logger.log(level, "%s", _Line(event), extra={"event": event})

    async def start(self) -> None:
        """Nothing to get ready."""

    async def aclose(self) -> None:
        """Handlers belong to whoever set logging up."""


class _Line:
    """The line, once somebody reads it."""

    __slots__ = ("_event",)

    def __init__(self, event: Event) -> None:
        self._event = event

    def __str__(self) -> str:
        return line(self._event)
