"""The dashboard for Grafana asks only for what there is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guardrail_mw.telemetry.metrics import METRICS

DASHBOARD = Path(__file__).parent.parent.parent / "docs" / "grafana" / "dashboard.json"
BOARD: dict[str, Any] = json.loads(DASHBOARD.read_text())
SERIES = {
    series: name
    for name, metric in METRICS.items()
    for series in ([name] if metric.kind == "counter" else [f"{name}_{part}" for part in ("bucket", "sum", "count")])
}
"""What a scrape has, and the metric that it is of."""
SELECTOR = re.compile(r"\b(guardrail_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(?:=~|!~|!=|=)"((?:[^"\\]|\\.)*)"(?:,|$)')
GROUPED = re.compile(r"\bby \(([^)]*)\)")


def queries() -> Iterator[tuple[str, str, str]]:
    """Title, expression and legend of each."""
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"], target["legendFormat"]


def wrong(expression: str, legend: str) -> list[str]:
    """What a query asks for that there is not."""
    found = []
    labels: set[str] = set()
    for series, matchers in SELECTOR.findall(expression):
        if series not in SERIES:
            found.append(f"no series {series}")
            continue
        has = {*METRICS[SERIES[series]].labels, *(("le",) if series.endswith("_bucket") else ())}
        labels |= has
        found += [f"{series} has no label {label}" for label, _ in MATCHER.findall(matchers) if label not in has]
        if "".join(f"{match[0]}" for match in MATCHER.finditer(matchers)) != matchers:
            found.append(f"{series} is matched by something odd: {matchers}")
    grouped = {label.strip() for group in GROUPED.findall(expression) for label in group.split(",")}
    found += [f"no label {label} to group by" for label in sorted(grouped - labels)]
    shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
    found += [f"the legend shows {label}, which is not grouped by" for label in sorted(shown - grouped)]
    return found


@pytest.mark.parametrize(("title", "expression", "legend"), list(queries()))
def test_every_query_asks_for_what_there_is(title: str, expression: str, legend: str) -> None:
    assert wrong(expression, legend) == [], title
    assert SELECTOR.search(expression), "and for something"
    assert expression.count("(") == expression.count(")")


def test_every_metric_is_shown() -> None:
    shown = {SERIES[series] for _, expression, _ in queries() for series, _ in SELECTOR.findall(expression)}
    assert shown == set(METRICS)


@pytest.mark.parametrize(
    ("expression", "legend", "said"),
    [
        ("rate(guardrail_decisions[5m])", "", "no series guardrail_decisions"),
        ("guardrail_risk", "", "no series guardrail_risk"),
        ('guardrail_rungs_total{rungs="a"}', "", "guardrail_rungs_total has no label rungs"),
        ('guardrail_rungs_total{rung="a",le="1"}', "", "guardrail_rungs_total has no label le"),
        ("sum by (le, model) (guardrail_risk_bucket)", "", "no label model to group by"),
        ("sum by (rung) (guardrail_rungs_total)", "{{limit}}", "the legend shows limit, which is not grouped by"),
        ("guardrail_rungs_total{rung=a}", "", "guardrail_rungs_total is matched by something odd: rung=a"),
    ],
)
def test_a_query_that_does_not_is_found(expression: str, legend: str, said: str) -> None:
    assert wrong(expression, legend) == [said]


def test_its_variables_and_panels_are_sound() -> None:
    variables = {variable["name"]: variable for variable in BOARD["templating"]["list"]}
    text = DASHBOARD.read_text()
    used = {name for found in re.findall(r"\$\{(\w+)\}|\$(\w+)", text) for name in found if name}
    assert used == {*variables, "__rate_interval", "__all"}
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variables["route"]["query"]["query"]).groups()  # type: ignore[union-attr]
    assert label in METRICS[metric].labels
    places = {
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in BOARD["panels"]
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    }
    assert len(places) == sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in BOARD["panels"]), "none overlap"
    assert max(x for x, _ in places) == 23
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
