"""The report as one page: HTML that needs nothing else, in light and dark, for screens, paper and screen readers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Final

from guardrail_mw.cli.replay.comparing import BINS
from guardrail_mw.cli.replay.plots import Bars, Series, columns, pairs
from guardrail_mw.cli.replay.telling import HEADS, by, cells, moment, sentences
from guardrail_mw.pages import document

if TYPE_CHECKING:
    from guardrail_mw.cli.replay.comparing import Comparison
    from guardrail_mw.cli.replay.telling import Told

__all__ = ["page"]

_MOST_BARS: Final = 16
_KINDS: Final = {"limit": "Limits", "rung": "Rungs", "scorer": "Scorers", "other": "Other"}
_MEANINGS: Final = {
    "then": "Requests that the rule touched as they were recorded",
    "now": "Requests that it would touch",
    "more": "Of those, requests with which less was done then",
    "fewer": "Requests that it touched then and with which less would be done",
    "per million": "“More”, in a million requests",
    "shadow": "Requests that it would have touched were it not in shadow or still rolling out",
    "accounts": "Accounts that it would touch",
    "new": "Of those, accounts to which nothing was done then",
    "established": "Of the new, accounts known for 30 days",
}
_STYLE: Final = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1c2330; --soft: #5a6475; --line: #d9dee7;
  --then: #7d8798; --now: #b4430f; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14181f; --ink: #e7eaf0; --soft: #a3adbd; --line: #323a48; --then: #8d97a8; --now: #ff9a62; }
}
body { margin: 0 auto; padding: 2rem 1rem 4rem; max-width: 62rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
p { max-width: 46rem; } .soft { color: var(--soft); }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 11rem; }
tbody th { font-weight: 500; } tbody th small { display: block; color: var(--soft); font-weight: 400; }
.kind th { padding-top: 1.1rem; color: var(--soft); font-weight: 600; text-align: left; }
figure { margin: 1.25rem 0 0; } figcaption { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; }
svg { width: 100%; height: auto; display: block; margin-top: .5rem; }
svg text { fill: var(--soft); font-size: 12px; font-family: system-ui, sans-serif; }
.grid { stroke: var(--line); } .line { fill: none; stroke-width: 2; }
.line.then { stroke: var(--then); stroke-dasharray: 5 3; } .line.now { stroke: var(--now); }
.bar.then, .key.then { fill: var(--then); background: var(--then); }
.bar.now, .key.now { fill: var(--now); background: var(--now); }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin: 0 .35rem 0 .75rem; }
.keys { color: var(--soft); } dt { font-weight: 500; } dd { margin: 0 0 .4rem; color: var(--soft); }
@media print { body { max-width: none; padding: 0; } figure, tr { break-inside: avoid; } }
"""


def page(told: Told) -> str:
    """The whole page."""
    title = f"Replay of {told.name}"
    return document(
        title,
        _STYLE,
        [*_head(told, title), *_table(told.comparison), *_most(told.comparison), *_plots(told.comparison), *_care(told)],
    )


def _head(told: Told, title: str) -> Iterator[str]:
    events = told.events
    yield f"<h1>{escape(title)}</h1>"
    count, when = events.count - events.repeated, f"{moment(events.first)} to {moment(events.last)} UTC"
    on = f"Policy {told.policy.hash} in {told.mode}, on {count:,} events of {when}, recorded by {by(events)}"
    yield f'<p class="soft">{escape(on)}</p>'
    yield from (f"<p>{escape(sentence)}</p>" for sentence in sentences(told.comparison))


def _table(comparison: Comparison) -> Iterator[str]:
    yield "<h2>By rule</h2>"
    yield '<div class="wide"><table>'
    heads = "".join(f'<th scope="col" title="{escape(_MEANINGS[head])}">{escape(head)}</th>' for head in HEADS)
    yield f'<thead><tr><th scope="col">rule</th>{heads}</tr></thead>'
    for kind, lines in groupby(comparison.lines(), key=lambda line: line.kind):
        yield f'<tbody><tr class="kind"><th scope="rowgroup" colspan="{len(HEADS) + 1}">{_KINDS[kind]}</th></tr>'
        for line in lines:
            figures = "".join(f"<td>{cell}</td>" for cell in cells(line))
            does = f"<small>{escape(line.does)}</small>" if line.does else ""
            yield f'<tr><th scope="row">{escape(line.name)}{does}</th>{figures}</tr>'
        yield "</tbody>"
    yield "</table></div>"
    yield "<details><summary>What the columns mean</summary><dl>"
    yield from (f"<dt>{escape(head)}</dt><dd>{escape(meaning)}.</dd>" for head, meaning in _MEANINGS.items())
    yield "</dl></details>"


def _most(comparison: Comparison) -> Iterator[str]:
    """The accounts to which most would be done."""
    found = comparison.most()
    if not found:
        return
    yield "<h2>Whom it would touch most</h2>"
    yield "<p>Digests, as events have them; those to which nothing was done then come first.</p>"
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("then", "now", "by"))
    yield f'<div class="wide"><table><thead><tr><th scope="col">account</th>{heads}</tr></thead><tbody>'
    for each in found:
        rules = escape(", ".join(f"{name} {times:,}" for name, times in each.rules))
        cells_of = f"<td>{each.before:,}</td><td>{each.requests:,}</td><td>{rules}</td>"
        yield f'<tr><th scope="row">{escape(each.account)}</th>{cells_of}</tr>'
    yield "</tbody></table></div>"


def _plots(comparison: Comparison) -> Iterator[str]:
    spans, ends = comparison.spans, (moment(comparison.start), moment(comparison.end))
    yield "<h2>Over time</h2>"
    for name, figures in (
        ("Refused requests", [span.refused for span in spans]),
        ("Requests slowed or trimmed", [span.slowed for span in spans]),
    ):
        series = _then_and_now([each[0] for each in figures], [each[1] for each in figures])
        yield columns(name, _totals(series), series, ends)
    yield from _spans(comparison)
    rows = [
        Bars(line.name, (line.before, line.after))
        for line in sorted(comparison.lines(), key=lambda line: -max(line.before, line.after))
        if line.before or line.after
    ][:_MOST_BARS]
    if rows:
        yield "<h2>Requests touched, by rule</h2>"
        yield pairs("Requests touched", "The figures stand in the table by rule.", _then_and_now((), ()), rows)
    if any(map(any, comparison.risks)):
        yield "<h2>Risk</h2>"
        series = _then_and_now(*comparison.risks)
        what = f"Those of 1 point or more, memory included, in {BINS} steps. {_totals(series)}"
        yield columns("Requests by risk, from 0 to 100", what, series, ("0", "100"))


def _then_and_now(then: Sequence[float], now: Sequence[float]) -> tuple[Series, Series]:
    return Series("then", "then", then), Series("now", "now", now)


def _totals(series: tuple[Series, Series]) -> str:
    return f"Then {sum(series[0].figures):,}, now {sum(series[1].figures):,} in all."


def _spans(comparison: Comparison) -> Iterator[str]:
    """What the plots over time are drawn from, for who cannot see them."""
    yield '<details><summary>The figures</summary><div class="wide"><table>'
    heads = ("from", "requests", "refused then", "refused now", "slowed then", "slowed now")
    columns_of = "".join(f'<th scope="col">{head}</th>' for head in heads)
    yield f"<thead><tr>{columns_of}</tr></thead><tbody>"
    length = (comparison.end - comparison.start + 1) / len(comparison.spans)
    for index, span in enumerate(comparison.spans):
        cells_of = "".join(f"<td>{figure:,}</td>" for figure in (span.requests, *span.refused, *span.slowed))
        yield f'<tr><th scope="row">{moment(round(comparison.start + index * length))}</th>{cells_of}</tr>'
    yield "</tbody></table></div></details>"


def _care(told: Told) -> Iterator[str]:
    if told.cautions:
        yield "<h2>To be minded</h2><ul>"
        yield from (f"<li>{escape(caution)}</li>" for caution in told.cautions)
        yield "</ul>"
