"""The report as one page: HTML that needs nothing else, in light and dark, for screens, paper and screen readers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, Final

from guardrail_mw.pages import document
from guardrail_mw.simulate import pooling
from guardrail_mw.simulate.plots import Line, bars, lines
from guardrail_mw.simulate.report import (
    COHORTS,
    OPERATORS,
    VERIFIED,
    WAITS,
    cohort_row,
    operator_row,
    percent,
    tell,
    title,
    verified_row,
    waits_row,
)  # fmt: skip

__all__ = ["STYLE", "STYLES", "page", "table"]

STYLES: Final = "abcd"
"""Of lines, one after the other."""
_MEANINGS: Final = {
    "leak": "Useful exchanges served, trimmed ones too, divided by the plan that was fixed before the run.",
    "held": "Exchanges of accounts that are in one of their operator's clusters at the end, of all its exchanges.",
    "contained": "When so many of its accounts were in suspect clusters for good, in hours after it began; and the useful "
    "exchanges that it had been served by then.",
    "joins": "Accounts that first called when their operator's cluster was known: the first of their exchanges that was decided "
    "as that cluster's.",
    "touched": "An account, one of whose requests was answered worse than in a twin run without clusters; a group, of which more "
    "than max(1, 1%) of the accounts were.",
    "denied": "All of at least three requests in a row, over at least ten minutes, refused beyond the twin.",
    "at most": "The upper end of the 95% interval; where nothing was found, 3/n.",
}
STYLE: Final = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1c2330; --soft: #5a6475; --line: #d9dee7;
  --a: #b4430f; --b: #1f6fb2; --c: #2e7d4f; --d: #7a4fa3; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14181f; --ink: #e7eaf0; --soft: #a3adbd; --line: #323a48;
    --a: #ff9a62; --b: #6db5f2; --c: #6fcf97; --d: #c29af0; }
}
body { margin: 0 auto; padding: 2rem 1rem 4rem; max-width: 64rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
p { max-width: 46rem; } .soft { color: var(--soft); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .3rem .55rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } tbody th { font-weight: 500; }
tbody th small { display: block; color: var(--soft); font-weight: 400; }
figure { margin: 1.25rem 0 0; } figcaption { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; }
svg { width: 100%; height: auto; display: block; margin-top: .5rem; }
svg text { fill: var(--soft); font-size: 12px; font-family: system-ui, sans-serif; }
.grid { stroke: var(--line); } .line { fill: none; stroke-width: 2; } .plan { stroke-dasharray: 5 3; opacity: .75; }
.line.a { stroke: var(--a); } .line.b { stroke: var(--b); } .line.c { stroke: var(--c); } .line.d { stroke: var(--d); }
.key.a, .bar.a { background: var(--a); fill: var(--a); } .key.b { background: var(--b); } .key.c { background: var(--c); }
.key.d { background: var(--d); } .keys { color: var(--soft); }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin: 0 .35rem 0 .75rem; }
dt { font-weight: 500; } dd { margin: 0 0 .4rem; color: var(--soft); } pre { overflow-x: auto; font-size: .82rem; }
@media print { body { max-width: none; padding: 0; } figure, tr { break-inside: avoid; } }
"""


def page(runs: Sequence[dict[str, Any]]) -> str:
    """The whole page."""
    name = title(runs)
    return document(
        name,
        STYLE,
        [f"<h1>{escape(name)}</h1>", *_head(runs), *_operators(runs), *_verified(runs), *_friction(runs), *_all(runs)],
    )


def _head(runs: Sequence[dict[str, Any]]) -> Iterator[str]:
    first = runs[0]
    accounts = first["accounts"]
    on = f"{first['days']} days from {_day(first['start'])}, {accounts['ordinary']:,} ordinary accounts"
    yield f'<p class="soft">{on}, {accounts["campaign"]:,} of campaigns, scale {first["scale"]:g}, ranges {first["ranges"]}</p>'
    leak = pooling.spread([run["together"].get("leak") for run in runs])
    held = pooling.spread([run["together"].get("held") for run in runs])
    every = pooling.cohorts(runs).get("all")
    if leak is not None and held is not None:
        served = f"Operators were served {percent(leak[0])} of what they had planned"
        yield f"<p>{served}, and {percent(held[0])} of their exchanges are held.</p>"
    if every is not None:
        worse = f"{every['touched']:,} of {every['accounts']:,} ordinary accounts were answered worse because of clusters"
        bound = f"{percent(every['share'])}, at most {percent(every['bound'])}"
        yield f"<p>In the worst 30 days {worse}, once or more: {bound}.</p>"


def _operators(runs: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not any(run["operators"] for run in runs):
        return
    yield "<h2>Operators</h2>"
    rows = [
        (f"{escape(each['operator'])}<small>{escape(each['attacker'])}, seed {run['seed']}</small>", operator_row(each))
        for run in runs
        for each in run["operators"]
    ]
    yield from table("operator", OPERATORS, rows)
    run = runs[0]
    drawn = []
    for place, each in enumerate(run["operators"][: len(STYLES)]):
        drawn.append(Line(each["operator"], STYLES[place], each["by_day"]))
    ends = _day(run["start"]), _day(run["start"] + run["days"] * 86_400_000_000)
    yield lines("Useful exchanges served, by day", f"Seed {run['seed']}.", drawn, ends)
    yield from _looks(run, ends)


def _looks(run: dict[str, Any], ends: tuple[str, str]) -> Iterator[str]:
    """Accounts in suspect clusters, by day: the last look of each."""
    by_day = [0] * run["days"]
    for at, _, _, accounts in run["looks"]:
        by_day[min(run["days"] - 1, (at - run["start"]) // 86_400_000_000)] = accounts
    yield lines("Accounts in suspect clusters", "The last look of each day.", [Line("accounts", "b", by_day)], ends)


def _verified(runs: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What it costs to be asked for something."""
    asked = [run for run in runs if "verification" in run]
    if not asked:
        return
    yield "<h2>Verification</h2>"
    rows = [
        (f"{escape(each['operator'])}<small>seed {run['seed']}</small>", verified_row(each, other))
        for run in asked
        for each, other in zip(run["verification"]["operators"], run["operators"], strict=True)
    ]
    yield from table("operator", VERIFIED, rows)
    yield "<p>People: minutes from a challenge, or from being asked to verify, to the next answer. The provider's time is"
    yield "left out, and of ours their own as well.</p>"
    waits = [(run["seed"], run["verification"]["people"]) for run in asked]
    yield from table(
        "people",
        WAITS,
        [
            (f"{escape(name)}<small>seed {seed}</small>", waits_row(each))
            for seed, people in waits
            for name, each in {"all": people["all"], **people["by_rung"], **people["by_cohort"]}.items()
        ],
    )


def _friction(runs: Sequence[dict[str, Any]]) -> Iterator[str]:
    found = pooling.cohorts(runs)
    yield "<h2>Ordinary people</h2>"
    yield "<p>Requests that were answered worse than in a twin run without clusters, in the worst 30 days.</p>"
    rows = [(escape(name), cohort_row(each)) for name, each in found.items()]
    yield from table("cohort", COHORTS, rows)
    drawn = [
        (name, each["per_million"], f"{each['per_million']:.1f}")
        for name, each in found.items()
        if name != "all" and each["worse"]
    ]
    if drawn:
        yield bars("Worse in a million requests", "The figures stand in the table.", drawn)
    yield "<details><summary>What the words mean</summary><dl>"
    yield from (f"<dt>{escape(word)}</dt><dd>{escape(meaning)}</dd>" for word, meaning in _MEANINGS.items())
    yield "</dl></details>"


def _all(runs: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "<h2>Everything</h2>"
    yield f"<details><summary>The report as text</summary><pre>{escape(chr(10).join(tell(runs)))}</pre></details>"


def table(head: str, heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> Iterator[str]:
    """A table in HTML.

    Args:
        head: of the first column, as HTML.
        heads: of the others, as text.
        rows: what stands in the first column, as HTML, and in the others, as text.
    """
    columns = "".join(f'<th scope="col">{escape(each)}</th>' for each in heads)
    yield f'<div class="wide"><table><thead><tr><th scope="col">{head}</th>{columns}</tr></thead><tbody>'
    for name, cells in rows:
        figures = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        yield f'<tr><th scope="row">{name}</th>{figures}</tr>'
    yield "</tbody></table></div>"


def _day(us: int) -> str:
    return dt.datetime.fromtimestamp(us // 1_000_000, dt.UTC).date().isoformat()
