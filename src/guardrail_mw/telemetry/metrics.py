"""Which metrics there are. The reference and the test of the dashboard are made from this; `prometheus` keeps them."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

__all__ = ["METRICS", "Metric"]


class Metric(NamedTuple):
    """One metric."""

    name: str
    """As a query names it, but for a histogram's `_bucket`, `_sum` and `_count`."""
    kind: Literal["counter", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_TOKENS: Final = (64, 256, 1_024, 4_096, 16_384, 65_536, 262_144)
_POINTS: Final = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)

METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric(
            "guardrail_decisions_total",
            "counter",
            "Decisions, by what was done, why (empty for an allow) and how the request ended.",
            ("route", "decision", "code", "outcome"),
        ),
        Metric(
            "guardrail_would_total",
            "counter",
            "What shadow kept from being done.",
            ("route", "decision", "code"),
        ),
        Metric(
            "guardrail_limit_refusals_total",
            "counter",
            'Limits that did not admit a request; with `shadow="true"` those that only record. Several may for one request.',
            ("limit", "shadow"),
        ),
        Metric("guardrail_rungs_total", "counter", "Requests that a rung held for, by its name.", ("rung",)),
        Metric(
            "guardrail_findings_total",
            "counter",
            'Findings above 0; with `shadow="true"` those that only record.',
            ("scorer", "family", "shadow"),
        ),
        Metric("guardrail_risk", "histogram", "The risk that rungs are compared with, in points.", (), _POINTS),
        Metric("guardrail_delay_seconds_total", "counter", "How long requests were made to wait, together."),
        Metric("guardrail_trimmed_total", "counter", "Request parameters that were taken away.", ("parameter",)),
        Metric(
            "guardrail_duration_seconds",
            "histogram",
            "From a request's arrival to the end of its answer.",
            ("route",),
            _SECONDS,
        ),
        Metric(
            "guardrail_tokens",
            "histogram",
            "Tokens of one request, of a kind that it used: `input` that no cache spared, `cached`, `cache_write`, `output`.",
            ("model", "kind"),
            _TOKENS,
        ),
        Metric(
            "guardrail_counts_total",
            "counter",
            "What the parts count, by name: `store.timeout` for instance.",
            ("name",),
        ),
    )
}
"""Every metric, by name."""
