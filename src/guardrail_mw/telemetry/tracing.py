"""Spans for OpenTelemetry, through its API alone: without a provider they cost little and go nowhere. Needs the extra `tracing`.

The `gen_ai.*` attributes are those of OpenTelemetry's semantic conventions for generative AI as of November 2026 (in
development: repository semantic-conventions-genai, `client-inference.md`). The kind is INTERNAL, as for a model in the same
process: whoever calls a server behind makes the CLIENT span.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextvars import Token
from types import TracebackType
from typing import Final, Self, TypeAlias

from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider

from guardrail_mw.telemetry.event import Event

__all__ = ["ATTRIBUTES", "Around", "Tracing", "operation_of"]

Attributes: TypeAlias = dict[str, str | int | float | bool]

ATTRIBUTES: Final[Mapping[str, str]] = {
    "guardrail.decision": "What was done: `allow`, `delay`, `trim`, `challenge`, `verify`, `deny`.",
    "guardrail.decision.id": "The decision's id, as in `x-guardrail-decision`.",
    "guardrail.code": "Why, where it was not an `allow`.",
    "guardrail.limit": "The limit that refused.",
    "guardrail.rung": "The rung that held.",
    "guardrail.risk": "The risk that rungs are compared with, 0 to 100.",
    "guardrail.would": "What shadow kept from being done.",
    "guardrail.would.code": "Why it would have been done.",
    "guardrail.mode": "`shadow` or `enforce`.",
    "guardrail.policy": "The hash of the policy.",
    "guardrail.account": "The digest of who paid.",
    "guardrail.outcome": "How it ended: `answered`, `refused` (by the app), `failed`, `abandoned`, `denied`.",
    "http.route": "The route, as the policy calls it.",
    "http.request.method": "The HTTP method.",
    "http.response.status_code": "The status of the answer, where one began.",
    "error.type": "Of what failed: the exception's class, or the status.",
    "gen_ai.operation.name": "`chat`, `text_completion` or `embeddings`, by the end of the path.",
    "gen_ai.provider.name": "The dialect: whose API it is, whoever serves it.",
    "gen_ai.request.model": "The model, cut at 128 characters.",
    "gen_ai.request.stream": "Whether the answer streams; left out where it does not.",
    "gen_ai.usage.input_tokens": "Input, cached or not.",
    "gen_ai.usage.output_tokens": "Output.",
    "gen_ai.usage.cache_read.input_tokens": "Input read from a cache, where there was any.",
    "gen_ai.usage.cache_write.input_tokens": "Input written to a cache, where there was any.",
}
"""Every attribute that is ever set. No prompt, no answer, no text of an exception."""

_OPERATIONS: Final = (
    ("/chat/completions", "chat"),
    ("/messages", "chat"),
    ("/responses", "chat"),
    ("/completions", "text_completion"),
    ("/embeddings", "embeddings"),
)
_LONGEST: Final = 128
_NS_OF_MS: Final = 1_000_000


def operation_of(path: str, dialect: str, method: str) -> str:
    """What a request asks of a model, by the conventions' name; empty where it asks nothing, or something without a name."""
    if dialect == "problem" or method != "POST":
        return ""
    path = path.rstrip("/")
    return next((operation for end, operation in _OPERATIONS if path.endswith(end)), "")


class Tracing:
    """Makes one span a decision.

    Args:
        provider: of tracers; the process's own unless given.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("guardrail_mw", tracer_provider=provider)

    def around(self, path: str, *, route: str, method: str, dialect: str, model: str, stream: bool = False) -> Around:
        """A context manager for the app's part of a request; what the app traces lies within.

        Args:
            path: of the request; it tells the operation, and is not kept.
            route: the route's label.
            method: the HTTP method.
            dialect: the route's.
            model: as the client named it, or the policy's name for it.
            stream: whether it asked for a stream.
        """
        attributes: Attributes = {"http.route": route, "http.request.method": method}
        operation = operation_of(path, dialect, method)
        name = f"guardrail {route}".rstrip()
        if operation:
            model = model[:_LONGEST].encode("utf-8", "replace").decode()
            attributes["gen_ai.operation.name"] = operation
            attributes["gen_ai.provider.name"] = dialect
            if model:
                attributes["gen_ai.request.model"] = model
            if stream:
                attributes["gen_ai.request.stream"] = True
            name = f"{operation} {model}".rstrip()
        return Around(
            self._tracer.start_span(name, kind=SpanKind.INTERNAL, attributes=attributes), generative=bool(operation)
        )

    def refused(self, event: Event) -> None:
        """A span for a request that never reached the app. Its start is the request's arrival."""
        start = time.time_ns() - int(event["duration_ms"] * _NS_OF_MS)
        attributes: Attributes = {"http.route": event["route"], "http.request.method": event["method"]}
        span = self._tracer.start_span(f"guardrail {event['decision']}", attributes=attributes, start_time=start)
        if span.is_recording():
            span.set_attributes(_said(event))
        span.end()


class Around:
    """The span around the app: current while the app runs, ended with the context."""

    __slots__ = ("_generative", "_token", "span")

    def __init__(self, span: Span, *, generative: bool) -> None:
        self.span = span
        self._generative = generative
        self._token: Token[context.Context] | None = None

    def __enter__(self) -> Self:
        self._token = context.attach(trace.set_span_in_context(self.span))
        return self

    def settled(self, event: Event) -> None:
        """Say how it ended; before the context is left."""
        span = self.span
        if not span.is_recording():
            return
        span.set_attributes(_said(event))
        if event["outcome"] == "failed":
            self._failed(str(event["status"] or "_OTHER"))
        used = event["used"]
        if used is not None and self._generative:
            span.set_attributes(_used(used))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._token is not None:
            context.detach(self._token)
        if isinstance(error, Exception) and self.span.is_recording():
            self._failed(f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins."))
        self.span.end()

    def _failed(self, what: str) -> None:
        self.span.set_attribute("error.type", what)
        self.span.set_status(StatusCode.ERROR)


def _said(event: Event) -> Attributes:
    said: Attributes = {
        "guardrail.decision": event["decision"],
        "guardrail.decision.id": event["id"],
        "guardrail.mode": event["mode"],
        "guardrail.policy": event["policy"],
        "guardrail.account": event["account"],
        "guardrail.outcome": event["outcome"],
        "guardrail.risk": event["effective"],
    }
    if event["code"]:
        said["guardrail.code"] = event["code"]
    if event["status"]:
        said["http.response.status_code"] = event["status"]
    if event["refusal"] is not None:
        said["guardrail.limit"] = event["refusal"]["limit"]
    if event["rung"] is not None:
        said["guardrail.rung"] = event["rung"]
    if event["would"] is not None:
        said["guardrail.would"] = event["would"]["decision"]
        said["guardrail.would.code"] = event["would"]["code"]
    return said


def _used(used: dict[str, int]) -> Attributes:
    """The conventions' input includes what was cached, ours tells them apart."""
    said: Attributes = {
        "gen_ai.usage.input_tokens": used["input"] + used["cached"] + used["cache_write"],
        "gen_ai.usage.output_tokens": used["output"],
    }
    if used["cached"]:
        said["gen_ai.usage.cache_read.input_tokens"] = used["cached"]
    if used["cache_write"]:
        said["gen_ai.usage.cache_write.input_tokens"] = used["cache_write"]
    return said
