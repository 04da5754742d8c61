"""Spans, as an exporter in memory gets them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from guardrail_mw.telemetry.tracing import ATTRIBUTES, Around, Tracing, operation_of

from .kit import ACCOUNT, denied, event

CHAT = "/v1/chat/completions"


class Spans:
    """A tracer, and the spans that were made with it."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracing = Tracing(self.provider)

    def around(self, path: str = CHAT, **more: Any) -> Around:
        said = {"route": "/v1/**", "method": "POST", "dialect": "openai", "model": "large-2", **more}
        return self.tracing.around(path, **said)

    @property
    def made(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()


@pytest.fixture
def spans() -> Iterator[Spans]:
    made = Spans()
    yield made
    for span in made.made:
        assert set(span.attributes or ()) <= set(ATTRIBUTES)
    made.provider.shutdown()


def test_a_span_around_the_app(spans: Spans) -> None:
    with spans.around(stream=True) as around:
        with spans.provider.get_tracer("app").start_as_current_span("the app's"):
            pass
        around.settled(event())
    inner, span = spans.made
    assert (span.name, span.kind, span.status.status_code) == ("chat large-2", SpanKind.INTERNAL, StatusCode.UNSET)
    assert inner.parent is not None
    assert span.context is not None
    assert inner.parent.span_id == span.context.span_id
    assert dict(span.attributes or {}) == {
        "http.route": "/v1/**",
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "large-2",
        "gen_ai.request.stream": True,
        "gen_ai.usage.input_tokens": 36,
        "gen_ai.usage.cache_read.input_tokens": 6,
        "gen_ai.usage.output_tokens": 412,
        "guardrail.decision": "allow",
        "guardrail.decision.id": "5f2d0c9b7a61e48f3d20b7c4",
        "guardrail.mode": "enforce",
        "guardrail.policy": "91c1f3b2a0e45d67",
        "guardrail.account": ACCOUNT,
        "guardrail.outcome": "answered",
        "guardrail.risk": 20.25,
    }
    assert not trace.get_current_span().is_recording(), "what was current before is current again"


def test_what_was_not_plain(spans: Spans) -> None:
    would = {"decision": "deny", "code": "denied", "limit": "", "rung": "no"}
    used = {"input": 1, "cached": 0, "cache_write": 4, "output": 2, "complete": True}
    with spans.around() as around:
        around.settled(event(decision="delay", rung="slow", rung_at=31, would=would, used=used))
    (span,) = spans.made
    found = span.attributes or {}
    assert (found["guardrail.decision"], found["guardrail.rung"]) == ("delay", "slow")
    assert (found["guardrail.would"], found["guardrail.would.code"]) == ("deny", "denied")
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.cache_write.input_tokens"]) == (5, 4)
    assert "gen_ai.request.stream" not in found


def test_a_request_that_never_reached_the_app(spans: Spans) -> None:
    spans.tracing.refused(denied(duration_ms=250.0))
    (span,) = spans.made
    found = span.attributes or {}
    assert span.name == "guardrail deny"
    assert (found["guardrail.code"], found["guardrail.limit"]) == ("rate_limited", "requests")
    assert found["http.response.status_code"] == 429
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time - span.start_time >= 250_000_000
    assert not any(name.startswith("gen_ai") for name in found)


@pytest.mark.parametrize(("status", "said"), [(502, "502"), (0, "_OTHER")])
def test_an_app_that_failed(spans: Spans, status: int, said: str) -> None:
    with spans.around() as around:
        around.settled(event(status=status, outcome="failed", used=None))
    (span,) = spans.made
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == said


def test_an_app_that_raised_shows_no_text(spans: Spans) -> None:
    def app() -> None:
        with spans.around() as around:
            try:
                raise ValueError("my prompt")
            finally:
                around.settled(event(status=0, outcome="failed", used=None))

    with pytest.raises(ValueError, match="my prompt"):
        app()
    (span,) = spans.made
    assert (span.attributes or {})["error.type"] == "ValueError"
    assert "my prompt" not in span.to_json()


def test_a_client_that_went_away_is_no_error(spans: Spans) -> None:
    with pytest.raises(asyncio.CancelledError), spans.around():
        raise asyncio.CancelledError
    (span,) = spans.made
    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(
    ("path", "dialect", "method", "operation"),
    [
        (CHAT, "openai", "POST", "chat"),
        (f"{CHAT}/", "openai", "POST", "chat"),
        ("/v1/responses", "openai", "POST", "chat"),
        ("/v1/completions", "openai", "POST", "text_completion"),
        ("/v1/embeddings", "openai", "POST", "embeddings"),
        ("/v1/messages", "anthropic", "POST", "chat"),
        ("/v1/messages/count_tokens", "anthropic", "POST", ""),
        ("/v1/models", "openai", "GET", ""),
        (CHAT, "openai", "GET", ""),
        (CHAT, "problem", "POST", ""),
    ],
)
def test_operations(path: str, dialect: str, method: str, operation: str) -> None:
    assert operation_of(path, dialect, method) == operation


def test_what_asks_nothing_of_a_model_has_no_attributes_of_one(spans: Spans) -> None:
    with spans.around("/v1/models", method="GET") as around:
        around.settled(event())
    (span,) = spans.made
    assert span.name == "guardrail /v1/**"
    assert not any(name.startswith("gen_ai") for name in span.attributes or ())


def test_a_models_name_is_cut_and_made_readable(spans: Spans) -> None:
    with spans.around(model="m\ud800" + "x" * 200):
        pass
    (span,) = spans.made
    assert (span.attributes or {})["gen_ai.request.model"] == "m?" + "x" * 126


def test_without_a_provider_nothing_happens() -> None:
    tracing = Tracing()
    with tracing.around(CHAT, route="/v1/**", method="POST", dialect="openai", model="large") as around:
        around.settled(event())
        assert not around.span.is_recording()
    tracing.refused(denied())
