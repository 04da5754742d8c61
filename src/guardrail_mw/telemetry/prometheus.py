"""Metrics for Prometheus, of decisions and of what the parts count. Needs the extra `metrics`.

Labels have values of the policy's only, at most 256 of each: nobody outside can make a series. Under several workers the
client's own way works: `PROMETHEUS_MULTIPROC_DIR` names a folder, and any worker answers for all.
"""

from __future__ import annotations

import os
from threading import Lock
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

from guardrail_mw.telemetry.event import Event
from guardrail_mw.telemetry.metrics import METRICS

__all__ = ["MOST_VALUES", "OTHER", "Metrics"]

MOST_VALUES: Final = 256
"""Values of one label that are told apart."""
OTHER: Final = "other"
"""What stands for the rest."""
_MULTIPROCESS: Final = "PROMETHEUS_MULTIPROC_DIR"
_MS: Final = 0.001
_KINDS: Final = ("input", "cached", "cache_write", "output")


class Metrics:
    """Keeps metrics and writes them out. May be used from several threads.

    It is a sink, for a recorder to hand events to, and an `Observer`: what it hears counted is in `guardrail_counts_total`.

    Args:
        registry: where they are registered; one of its own unless given. `prometheus_client.REGISTRY` adds them to whatever the
            app exposes already.

    Raises:
        ValueError: the registry has them already.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        values = _Values()
        family = {name: _Family(name, self.registry, values) for name in METRICS}
        self._decisions = family["guardrail_decisions_total"]
        self._would = family["guardrail_would_total"]
        self._refusals = family["guardrail_limit_refusals_total"]
        self._rungs = family["guardrail_rungs_total"]
        self._findings = family["guardrail_findings_total"]
        self._risk = family["guardrail_risk"]
        self._delays = family["guardrail_delay_seconds_total"]
        self._trimmed = family["guardrail_trimmed_total"]
        self._durations = family["guardrail_duration_seconds"]
        self._tokens = family["guardrail_tokens"]
        self._counts = family["guardrail_counts_total"]

    def count(self, event: str, by: int = 1) -> None:
        """`event` happened `by` times. Never raises."""
        self._counts.of(event).inc(by)

    def decision(self, event: Event) -> None:
        """Add one event. Never raises for what is valid (`event.validate`)."""
        route = event["route"]
        self._decisions.of(route, event["decision"], event["code"], event["outcome"]).inc()
        self._durations.of(route).observe(event["duration_ms"] * _MS)
        self._risk.of().observe(event["effective"])
        for limit in event["limits"]:
            if not limit["ok"]:
                self._refusals.of(limit["name"], "true" if limit["shadow"] else "false").inc()
        for finding in event["findings"]:
            if finding["score"]:
                self._findings.of(finding["scorer"], finding["family"], "true" if finding["shadow"] else "false").inc()
        used = event["used"]
        if used is not None:
            for kind in _KINDS:
                if used[kind]:
                    self._tokens.of(event["model"], kind).observe(used[kind])
        if not event["limits"] and event["refusal"] is not None:  # refused from memory: no limit was asked
            self._refusals.of(event["refusal"]["limit"], "false").inc()
        if event["decision"] != "allow" or event["would"] is not None or event["rung"] is not None:
            self._touched(event)

    def _touched(self, event: Event) -> None:
        would = event["would"]
        if would is not None:
            self._would.of(event["route"], would["decision"], would["code"]).inc()
        if event["rung"] is not None and (event["would"] or {}).get("rung") != event["rung"]:
            self._rungs.of(event["rung"]).inc()
        if event["delay_ms"]:
            self._delays.of().inc(event["delay_ms"] * _MS)
        for parameter in event["trimmed"]:
            self._trimmed.of(parameter).inc()

    # A sink too: a recorder hands it every event

    def emit(self, event: Event) -> None:
        """As `decision`."""
        self.decision(event)

    async def start(self) -> None:
        """Nothing to get ready."""

    async def aclose(self) -> None:
        """Nothing to let go of: what was counted stays."""

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics, and their content type.

        Args:
            accept: the request's `Accept`; OpenMetrics where it asks for that.
        """
        registry = self.registry
        if os.environ.get(_MULTIPROCESS):
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        encode, kind = choose_encoder(accept)
        return encode(registry), kind


class _Values:
    """The values of labels that are told apart, by label."""

    __slots__ = ("_known", "_lock")

    def __init__(self) -> None:
        self._known: dict[str, set[str]] = {}
        self._lock = Lock()

    def of(self, label: str, value: str) -> str:
        known = self._known.setdefault(label, set())
        if value in known:
            return value
        with self._lock:
            if len(known) >= MOST_VALUES:
                return OTHER
            known.add(value)
        return value


class _Family:
    """A metric with its series, found by one look into a dict."""

    __slots__ = ("_children", "_labels", "_metric", "_values")

    def __init__(self, name: str, registry: CollectorRegistry, values: _Values) -> None:
        metric = METRICS[name]
        self._labels = metric.labels
        self._values = values
        self._children: dict[tuple[str, ...], Any] = {}
        self._metric: Any
        if metric.kind == "counter":
            self._metric = Counter(name, metric.meaning, metric.labels, registry=registry)
        else:
            self._metric = Histogram(name, metric.meaning, metric.labels, registry=registry, buckets=metric.buckets)

    def of(self, *values: str) -> Any:
        """The series of these values, in the order of the metric's labels."""
        found = self._children.get(values)
        return found if found is not None else self._new(values)

    def _new(self, values: tuple[str, ...]) -> Any:
        if not values:
            child = self._metric
            bounded = values
        else:
            bounded = tuple([self._values.of(*each) for each in zip(self._labels, values, strict=True)])
            child = self._metric.labels(*bounded)
        if bounded == values:  # or whoever finds new values would fill the dict
            self._children[values] = child
        return child
