"""What a trace came to, as one page: HTML that needs nothing else, in the style of the report about worlds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, Final

from guardrail_mw.pages import document
from guardrail_mw.simulate.page import STYLE, STYLES, table
from guardrail_mw.simulate.plots import Line, lines
from guardrail_mw.simulate.report import NONE, percent
from guardrail_mw.simulate.trace_report import SHOWN, known_by, notes, tell_trace, told
from guardrail_mw.simulate.world.arrays import SECOND

__all__ = ["trace_page"]

_LABELS: Final = ("accounts", "requests held", "precision", "recall")
_MEANINGS: Final = {
    "held": "Requests of the label's accounts that are in one of its clusters at the end, of all its requests. A cluster is that "
    "label's of which more than half of the members are.",
    "precision": "B-cubed: of the members of an account's cluster, the share that has its label; averaged over its accounts that "
    "are in one.",
    "recall": "B-cubed: of the accounts of a label, the share that is in an account's cluster; averaged over its accounts.",
}


def trace_page(figures: dict[str, Any]) -> str:
    """The whole page.

    Args:
        figures: of `Traced.figures`, the policy's name and the trace's.
    """
    name = f"{figures['trace']}: {told(figures)}"
    return document(
        name,
        STYLE,
        [
            f"<h1>{escape(name)}</h1>",
            *_head(figures),
            *_over_time(figures),
            *_clusters(figures["clusters"]),
            *_labels(figures.get("labels", {}), figures.get("pairs", {})),
            "<h2>Everything</h2>",
            f"<details><summary>The report as text</summary><pre>{escape(chr(10).join(tell_trace(figures)))}</pre></details>",
        ],
    )


def _head(figures: dict[str, Any]) -> Iterator[str]:
    start, end = _ends(figures)
    requests, accounts = f"{figures['requests']:,} requests", f"{figures['accounts']:,} accounts"
    yield f'<p class="soft">{requests} of {accounts}, {start} to {end}; {figures["bad"]:,} rows left out</p>'
    yield from (f"<p>{escape(note)}</p>" for note in notes(figures))
    rows = [(escape(name), [f"{many:,}", _share(many, figures["requests"])]) for name, many in figures["codes"].items()]
    yield from table("requests", ("many", "share"), rows)


def _over_time(figures: dict[str, Any]) -> Iterator[str]:
    yield "<h2>Over time</h2>"
    timeline = figures["timeline"]
    codes, labels, part = timeline["codes"], timeline["labels"], _length(timeline["seconds"])
    every = [sum(each) for each in zip(*codes.values(), strict=True)]
    worse = [sum(each) for each in zip(*[many for name, many in codes.items() if name != "served"], strict=True)]
    drawn = [Line("all", "b", every)]
    if worse:
        drawn.append(Line("trimmed, delayed or refused", "a", worse))
    yield lines("Requests", f"A step is {part}.", drawn, _ends(figures))
    most = sorted(labels, key=lambda label: -sum(labels[label]))[: len(STYLES)]
    if most:
        drawn = [Line(label, STYLES[place], labels[label]) for place, label in enumerate(most)]
        yield lines("Requests by label", f"A step is {part}; the {len(STYLES)} largest.", drawn, _ends(figures))
    if figures["looks"]:
        suspect = _last_looks(figures["looks"], timeline["start"], timeline["seconds"], len(every))
        what = f"As the last rebuild in each step found it; a step is {part}."
        yield lines("Accounts in suspect clusters", what, [Line("accounts", "a", suspect)], _ends(figures))


def _last_looks(looks: Sequence[Sequence[int]], start: int, seconds: int, parts: int) -> list[int]:
    """Accounts in suspect clusters at the end of each part; where nothing was worked out anew, as before."""
    found, last, at = [], 0, 0
    for part in range(parts):
        until = start + (part + 1) * seconds * SECOND
        while at < len(looks) and looks[at][0] < until:
            last, at = looks[at][2], at + 1
        found.append(last)
    return found


def _clusters(clusters: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "<h2>Clusters</h2>"
    if not clusters:
        yield "<p>None.</p>"
        return
    rest = len(clusters) - SHOWN
    more = f", of which the {SHOWN} largest stand here" if rest > 0 else ""
    yield f"<p>{len(clusters):,} at the end{more}.</p>"
    rows = [
        (escape(each["cluster"]), [each["verdict"], f"{each['accounts']:,}", known_by(each)]) for each in clusters[:SHOWN]
    ]
    yield from table("cluster", ("verdict", "accounts", "families of evidence that half of them share"), rows)


def _labels(labels: dict[str, Any], found: dict[str, int]) -> Iterator[str]:
    if not labels:
        return
    yield "<h2>Labels</h2>"
    rows = [
        (escape(label), [f"{each['accounts']:,}", percent(each["held"]), _ratio(each["precision"]), _ratio(each["recall"])])
        for label, each in labels.items()
    ]
    yield from table("label", _LABELS, rows)
    pairs = ", ".join(f"{many:,} {name}" for name, many in found.items())
    yield f"<p>Pairs of accounts in a cluster: {escape(pairs)}.</p>"
    yield "<details><summary>What the words mean</summary><dl>"
    yield from (f"<dt>{escape(word)}</dt><dd>{escape(meaning)}</dd>" for word, meaning in _MEANINGS.items())
    yield "</dl></details>"


def _ratio(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"


def _share(many: int, of: int) -> str:
    return percent(many / of) if of else NONE


def _ends(figures: dict[str, Any]) -> tuple[str, str]:
    return _moment(figures["start"]), _moment(figures["end"])


def _moment(us: int) -> str:
    return dt.datetime.fromtimestamp(us // SECOND, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _length(seconds: int) -> str:
    """`1 day`, `10 minutes`."""
    units = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
    size, unit = next(each for each in units if seconds % each[0] == 0)
    return f"{seconds // size} {unit}{'s' if seconds > size else ''}"
