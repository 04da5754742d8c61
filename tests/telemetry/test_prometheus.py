"""Metrics: every one of them, by a scrape; bounded labels."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from guardrail_mw.telemetry.base import Sink
from guardrail_mw.telemetry.metrics import METRICS
from guardrail_mw.telemetry.prometheus import MOST_VALUES, Metrics
from guardrail_mw.telemetry.recorder import Recorder
from guardrail_mw.testing.clock import FakeClock

from .kit import denied, event


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """One metric's samples, by its labels' values in the order that `METRICS` has them in."""
    text = metrics.render()[0].decode()
    return {
        tuple(
            sample.labels[label] for label in METRICS[name.removesuffix("_sum").removesuffix("_count")].labels
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def test_an_answered_request() -> None:
    metrics = Metrics()
    metrics.decision(event())
    assert samples(metrics, "guardrail_decisions_total") == {("/v1/**", "allow", "", "answered"): 1}
    assert samples(metrics, "guardrail_duration_seconds_sum") == {("/v1/**",): pytest.approx(0.8124)}
    assert samples(metrics, "guardrail_risk_sum") == {(): 20.25}
    assert samples(metrics, "guardrail_limit_refusals_total") == {("spend", "true"): 1}
    assert samples(metrics, "guardrail_findings_total") == {("velocity", "device", "false"): 1}
    assert samples(metrics, "guardrail_tokens_sum") == {
        ("large", "input"): 30,
        ("large", "cached"): 6,
        ("large", "output"): 412,
    }
    assert samples(metrics, "guardrail_tokens_count")["large", "output"] == 1
    for untouched in ("guardrail_would_total", "guardrail_rungs_total", "guardrail_trimmed_total"):
        assert samples(metrics, untouched) == {}
    assert samples(metrics, "guardrail_delay_seconds_total") == {(): 0}


def test_a_refused_one() -> None:
    metrics = Metrics()
    for _ in range(3):
        metrics.decision(denied())
    assert samples(metrics, "guardrail_decisions_total") == {("/v1/**", "deny", "rate_limited", "denied"): 3}
    assert samples(metrics, "guardrail_limit_refusals_total") == {("requests", "false"): 3}
    assert samples(metrics, "guardrail_tokens_sum") == {}


def test_friction_and_shadow() -> None:
    metrics = Metrics()
    would = {"decision": "deny", "code": "denied", "limit": "", "rung": "no"}
    metrics.decision(event(decision="delay", rung="slow", rung_at=31, delay_ms=750))
    metrics.decision(event(decision="trim", rung="less", rung_at=50, trimmed=["logprobs", "n"]))
    metrics.decision(event(would=would, findings=[]))
    assert samples(metrics, "guardrail_rungs_total") == {("slow",): 1, ("less",): 1}
    assert samples(metrics, "guardrail_delay_seconds_total") == {(): 0.75}
    assert samples(metrics, "guardrail_trimmed_total") == {("logprobs",): 1, ("n",): 1}
    assert samples(metrics, "guardrail_would_total") == {("/v1/**", "deny", "denied"): 1}
    assert samples(metrics, "guardrail_findings_total") == {("velocity", "device", "false"): 2}


def test_findings_that_say_nothing_or_only_record() -> None:
    metrics = Metrics()
    finding = event()["findings"][0]
    metrics.decision(event(findings=[finding | {"score": 0}, finding | {"shadow": True}]))
    assert samples(metrics, "guardrail_findings_total") == {("velocity", "device", "true"): 1}


@pytest.mark.parametrize(("ms", "within"), [(10, 0.01), (10.1, 0.025), (300_000, 300), (300_001, float("inf"))])
def test_durations_fall_into_buckets(ms: float, within: float) -> None:
    metrics = Metrics()
    metrics.decision(event(duration_ms=ms))
    buckets = {
        float(sample.labels["le"]): sample.value
        for family in text_string_to_metric_families(metrics.render()[0].decode())
        for sample in family.samples
        if sample.name == "guardrail_duration_seconds_bucket"
    }
    assert min(bound for bound, count in buckets.items() if count) == within


def test_what_the_parts_count() -> None:
    metrics = Metrics()
    metrics.count("store.timeout")
    metrics.count("store.timeout", 2)
    assert samples(metrics, "guardrail_counts_total") == {("store.timeout",): 3}


@pytest.mark.anyio
async def test_a_recorder_takes_it_for_a_sink() -> None:
    metrics = Metrics()
    recorder = Recorder([metrics], clock=FakeClock(), observer=metrics)
    await recorder.start()
    recorder.emit(event())
    recorder.emit({})
    await recorder.aclose()
    assert isinstance(metrics, Sink)
    assert samples(metrics, "guardrail_decisions_total") == {("/v1/**", "allow", "", "answered"): 1}
    assert samples(metrics, "guardrail_counts_total") == {("events.failed",): 1}


def test_labels_have_so_many_values_and_no_more() -> None:
    metrics = Metrics()
    for number in range(MOST_VALUES + 50):
        metrics.decision(event(route=f"/{number}"))
        metrics.decision(denied(route=f"/{number}"))
    decided = samples(metrics, "guardrail_decisions_total")
    assert len(decided) == 2 * (MOST_VALUES + 1)
    assert decided["other", "allow", "", "answered"] == decided["other", "deny", "rate_limited", "denied"] == 50
    assert decided["/0", "allow", "", "answered"] == 1
    assert len(metrics._decisions._children) == 2 * MOST_VALUES, "what is not told apart is not remembered either"
    metrics.count("plugin.odd")
    assert samples(metrics, "guardrail_counts_total") == {("plugin.odd",): 1}, "each label has its own"


def test_all_metrics_and_no_others_are_exposed() -> None:
    metrics = Metrics()
    would = {"decision": "deny", "code": "denied", "limit": "", "rung": "no"}
    metrics.decision(event(would=would, decision="trim", rung="less", trimmed=["n"], delay_ms=1))
    metrics.count("store.timeout")
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.render()[0].decode()):
        name = family.name + ("_total" if family.type == "counter" else "")
        if not family.name.endswith("_created"):
            found[name] = {label for sample in family.samples for label in sample.labels} - {"le"}
    assert found == {name: set(metric.labels) for name, metric in METRICS.items()}


def test_two_forms() -> None:
    metrics = Metrics()
    text, kind = metrics.render()
    assert kind.startswith("text/plain")
    assert b"# EOF" not in text
    text, kind = metrics.render("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


def test_it_may_join_the_apps_own() -> None:
    registry = CollectorRegistry()
    Metrics(registry).count("store.timeout")
    assert registry.get_sample_value("guardrail_counts_total", {"name": "store.timeout"}) == 1
    with pytest.raises(ValueError, match="Duplicated"):
        Metrics(registry)


def test_threads_lose_nothing() -> None:
    metrics = Metrics()

    def many() -> None:
        for number in range(500):
            metrics.decision(event(route=f"/{number % 300}"))

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    decided = samples(metrics, "guardrail_decisions_total")
    assert sum(decided.values()) == 2000
    assert len(decided) == MOST_VALUES + 1


def test_several_processes_answer_as_one(tmp_path: Path) -> None:
    code = """
        import sys
        from guardrail_mw.telemetry.prometheus import Metrics

        metrics = Metrics()
        metrics.count("store.timeout", int(sys.argv[1]))
        print(metrics.render()[0].decode())
    """
    said: list[Any] = [
        subprocess.run(
            [sys.executable, "-c", dedent(code), by],
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}, capture_output=True, text=True, check=True,
        ).stdout
        for by in ("2", "3")
    ]  # fmt: skip
    assert 'guardrail_counts_total{name="store.timeout"} 2.0' in said[0]
    assert 'guardrail_counts_total{name="store.timeout"} 5.0' in said[1]


def test_a_refusal_from_memory_counts_as_its_limits() -> None:
    """No limit was asked, so none is in the event but in its refusal."""
    metrics = Metrics()
    refused = denied()
    limit = refused["refusal"]["limit"]
    metrics.decision({**refused, "limits": []})
    assert samples(metrics, "guardrail_limit_refusals_total") == {(limit, "false"): 1}


def test_a_rung_that_would_have_held_held_nothing() -> None:
    metrics = Metrics()
    would = {"decision": "delay", "code": "", "limit": "", "rung": "slow"}
    metrics.decision(event(rung="slow", would=would))
    assert samples(metrics, "guardrail_rungs_total") == {}
    metrics.decision(event(rung="slow", would={**would, "rung": "stop"}))
    assert samples(metrics, "guardrail_rungs_total") == {("slow",): 1}
