"""What runs came to, in words, figures and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from guardrail_mw.simulate import pooling

__all__ = [
    "COHORTS", "NONE", "OPERATORS", "VERIFIED", "WAITS", "cohort_row", "operator_row", "percent", "tell", "title",
    "verified_row", "waits_row", "written",
]  # fmt: skip

NONE: Final = "-"
"""In place of a figure that there is not."""
OPERATORS: Final = (
    "goal", "accounts", "leak", "leak in tokens", "held", "clusters", "precision", "recall",
    "50% contained", "95% contained", "joins, median", "joins, p95",
)  # fmt: skip
"""Heads of the table of operators."""
COHORTS: Final = ("accounts", "touched", "share", "at most", "groups", "touched", "at most", "worse in a million", "denied")
"""Heads of the table of cohorts."""

VERIFIED: Final = (
    "accounts", "asked", "verified", "documents", "companies", "solves", "dollars", "leak", "served after it was asked",
)  # fmt: skip
"""Heads of the table of what verification cost operators."""
WAITS: Final = ("visits", "accounts", "never", "median", "p95", "ours, median", "ours, p95")
"""Heads of the table of waits, in minutes."""


def percent(share: float | None, digits: int = 3) -> str:
    """A share; a dash where there is none."""
    if share is None:
        return NONE
    text = f"{100 * share:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}%"


def title(runs: Sequence[dict[str, Any]]) -> str:
    """What was run."""
    first = runs[0]
    seeds = ", ".join(str(run["seed"]) for run in runs)
    many = "seed" if len(runs) == 1 else "seeds"
    return f"{first['scenario']}: {first['policy']} ({first['policy_hash']}), feed {first['feed']}, {many} {seeds}"


def operator_row(each: dict[str, Any]) -> list[str]:
    """One operator, as `OPERATORS` has it."""
    joins = each["joins"]
    return [
        f"{each['goal']:,}",
        f"{each['accounts']:,}",
        percent(each["leak"]),
        percent(each["leak_tokens"]),
        percent(each["held"]),
        str(each["clusters"]),
        _ratio(each["precision"]),
        _ratio(each["recall"]),
        *[_contained(each["contained"][share]) for share in ("50%", "95%")],
        *[NONE if joins[name] is None else f"{joins[name]:g}" for name in ("median", "p95")],
    ]


def _contained(found: dict[str, Any] | None) -> str:
    return "never" if found is None else f"{found['hours']:g} h, {found['exchanges']:,}"


def _ratio(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"


def cohort_row(found: dict[str, Any]) -> list[str]:
    """One cohort, as `COHORTS` has it."""
    groups = found["groups"]
    return [
        f"{found['accounts']:,}",
        f"{found['touched']:,}",
        percent(found["share"]),
        percent(found["bound"]),
        f"{groups:,}" if groups else NONE,
        f"{found['groups_touched']:,}" if groups else NONE,
        percent(found["groups_bound"]) if groups else NONE,
        f"{found['per_million']:.1f}",
        str(found["denied"]),
    ]


def verified_row(each: dict[str, Any], operator: dict[str, Any]) -> list[str]:
    """One operator, as `VERIFIED` has it.

    Args:
        each: what verification came to.
        operator: the rest of its figures.
    """
    used = each["used"]
    return [
        f"{operator['accounts']:,}",
        f"{each['asked']:,}",
        f"{each['verified']:,}",
        *[f"{used[name]:,}" for name in ("document", "company", "solve")],
        f"{each['dollars']:,.2f}",
        percent(operator["leak"]),
        f"{each['served_after_asked']:,}",
    ]


def waits_row(found: dict[str, Any]) -> list[str]:
    """How long people waited, as `WAITS` has it."""
    minutes = [found[name] for name in ("median", "p95", "ours_median", "ours_p95")]
    return [
        f"{found['visits']:,}",
        f"{found['accounts']:,}",
        f"{found['never']:,}",
        *[NONE if each is None else f"{each:.2f}" for each in minutes],
    ]


def tell(runs: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The report, a line each."""
    yield title(runs)
    yield from (f"  {line}" for line in _what(runs[0]))
    for run in runs:
        if run["operators"]:
            yield ""
            yield f"Operators, seed {run['seed']}"
            rows = [[each["operator"], each["attacker"], *operator_row(each)] for each in run["operators"]]
            yield from _table(["", "attacker", *OPERATORS], rows)
            yield from _together(run)
        yield from _verification(run)
        yield from _clusters(run)
        yield from _ablation(run)
        yield from _judges(run)
    yield ""
    twin = "with everything in shadow" if "verification" in runs[0] else "without clusters"
    yield f"Friction: ordinary people, beyond a twin run {twin}, in the worst 30 days"
    found = pooling.cohorts(runs)
    yield from _table(["", *COHORTS], [[name, *cohort_row(each)] for name, each in found.items()])
    few = [name for name, each in found.items() if name != "all" and each["groups"] and not each["claim"]]
    if few:
        yield f"  Fewer than 600 groups, so that only the bound is said of them: {', '.join(few)}"
    yield from _rungs(found)
    for run in runs:
        yield from _touched(run)
        yield from _speed(run)


def _what(run: dict[str, Any]) -> Iterator[str]:
    accounts, exchanges = run["accounts"], run["exchanges"]
    yield f"{run['days']} days, {accounts['ordinary']:,} ordinary accounts, {accounts['campaign']:,} of campaigns"
    yield f"{exchanges['ordinary']:,} ordinary requests, {exchanges['campaign']:,} of campaigns; scale {run['scale']:g}"
    if run["without"]:
        yield f"without evidence of {', '.join(run['without'])}"
    yield f"ranges {run['ranges']}"


def _together(run: dict[str, Any]) -> Iterator[str]:
    all_ = run["together"]
    if all_:
        yield f"  together: leak {percent(all_['leak'])}, in tokens {percent(all_['leak_tokens'])}, held {percent(all_['held'])}"
    for each in run["operators"]:
        calls = ", ".join(f"{count:,} {name}" for name, count in each["calls"].items() if count)
        bought = ", ".join(f"{count:,} {name}" for name, count in each["bought"].items())
        yield f"  {each['operator']}: bought {bought}; calls {calls}"
        budget = each["budget"]
        yield (
            f"    answered: {budget['before']:,} before a verdict bound or outside clusters, {budget['under']:,} under one in "
            f"{budget['cluster_days']:,} days of clusters, at most {budget['most_in_a_day']:,} on one"
        )


def _verification(run: dict[str, Any]) -> Iterator[str]:
    """What it costs to be asked for something: operators in documents and dollars, people in minutes."""
    if "verification" not in run:
        return
    found = run["verification"]
    yield ""
    yield f"Verified: {found['whose']}; what is assumed of prices and times has the hash {found['papers']}"
    for name, price in found["assumed"]["prices"].items():
        yield f"  a {name}: {price['dollars']:g} dollars ({price['source']})"
    both = zip(found["operators"], run["operators"], strict=True)
    yield from _table(["", *VERIFIED], [[each["operator"], *verified_row(each, other)] for each, other in both])
    for each in found["operators"]:
        said = ", ".join(f"{count:,} {name}" for name, count in each["outcomes"].items())
        yield f"  {each['operator']}: {each['begun']:,} verifications begun; {said or 'none decided'}"
    people = found["people"]
    yield "  people, from a challenge or a verification to the next answer, in minutes; the provider's time is left out,"
    yield "  and of `ours` their own as well:"
    rows = [["all", *waits_row(people["all"])]]
    rows += [[name, *waits_row(each)] for part in ("by_rung", "by_cohort") for name, each in people[part].items()]
    yield from _table(["", *WAITS], rows)
    outcomes = ", ".join(f"{count:,} {name}" for name, count in people["outcomes"].items()) or "none decided"
    yield f"  people: {people['solved']:,} challenges solved, {people['begun']:,} verifications begun; {outcomes}"
    yield f"  {people['without_a_link']:,} refusals that ask for verification had no link: their keys were never proved"


def _clusters(run: dict[str, Any]) -> Iterator[str]:
    clusters = run["clusters"]
    yield ""
    verdicts = ", ".join(f"{count} {name}" for name, count in clusters["by_verdict"].items() if count) or "none"
    yield f"Clusters at the end: {verdicts}"
    precision, recall = _ratio(clusters["precision_by_operator"]), _ratio(clusters["recall_by_operator"])
    over = _ratio(clusters["precision_by_account"])
    yield f"  B-cubed over operators: precision {precision}, recall {recall}; precision over accounts {over}"
    pairs = ", ".join(f"{count:,} {name}" for name, count in clusters["pairs"].items())
    yield f"  pairs: {pairs}"
    worst = clusters["ordinary_in_a_suspect_cluster"]
    yield f"  ordinary members of a suspect cluster, at any look: at most {worst['most']} of {worst['of']}"
    for each in clusters["suspect"]:
        whose = each["operator"] or "nobody's"
        people = f", {each['ordinary']} ordinary ({', '.join(each['cohorts'])})" if each["ordinary"] else ""
        yield f"  {each['cluster']} {each['verdict']}: {each['accounts']:,} accounts, {whose}{people}"
        if people:
            yield f"    freed by: clusters release {each['cluster']}, or clusters split; what is written with --accounts has each"
    budgets = run["budgets"]
    yield (
        f"  served to members of suspect clusters: {budgets['served']:,} in {budgets['cluster_days']:,} days of clusters, "
        f"at most {budgets['most_in_a_day']:,} on one; {budgets['trimmed']:,} trimmed while approval was waited for"
    )


def _ablation(run: dict[str, Any]) -> Iterator[str]:
    """Which evidence carries the clusters."""
    if not run["ablation"] or not run["operators"]:
        return
    yield "  held at the end, without the evidence of a family (by clusters as they would be found then):"
    names = [each["operator"] for each in run["operators"]]
    rows = [
        [
            family or "all there is",
            *[percent(found["held"][name]) for name in names],
            _ratio(found["precision_by_account"]),
            str(found["suspect"]),
            str(found["ordinary_in_suspect_clusters"]),
        ]
        for family, found in run["ablation"].items()
    ]
    yield from _table(["", *names, "precision", "suspect clusters", "ordinary in them"], rows)


def _judges(run: dict[str, Any]) -> Iterator[str]:
    """What judges with other weights would have made of the same clusters; those that say the same share a line."""
    if not run["judges"] or not run["operators"]:
        return
    said: dict[tuple[str, ...], list[str]] = {}
    for each in run["judges"]:
        hours = [NONE if last is None else f"{last:g} h" for _, last in each["contained"].values()]
        rest = (str(each["ordinary_in_a_suspect_cluster"]), str(each["suspect_clusters_of_no_operator"]))
        said.setdefault((*hours, *rest), []).append(each["judge"])
    yield "  95% contained, had another judged the same clusters (what operators would have done then is not known):"
    names = [each["operator"] for each in run["operators"]]
    rows = [[_few(judges), *row] for row, judges in said.items()]
    yield from _table(["", *names, "ordinary in one", "nobody's"], rows)


def _few(names: Sequence[str], most: int = 4) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _rungs(found: dict[str, Any]) -> Iterator[str]:
    rungs = found["all"]["rungs"] if "all" in found else {}
    said = [
        f"{each['requests']:,} {name} ({each['accounts']:,} accounts)" for name, each in rungs.items() if each["requests"]
    ]
    yield f"  by rung: {', '.join(said) or 'nothing was done to anybody'}"


def _touched(run: dict[str, Any]) -> Iterator[str]:
    friction = run["friction"]
    outside = friction["denied_outside_suspect_clusters"]
    yield f"  seed {run['seed']}: {outside} denied outside suspect clusters"
    for each in run["framing"]:
        yield (
            f"  framed by {each['operator']}: {each['touched']} of {each['accounts']} touched, "
            f"{each['denied_or_limited']} refused, "
            f"{each['ever_in_a_suspect_cluster']} ever in a suspect cluster"
        )


def _speed(run: dict[str, Any]) -> Iterator[str]:
    speed, twin = run["speed"]["run"], run["speed"]["twin"]
    parts = [
        f"{kind.removeprefix('us_a_call_')} {speed[kind]:.0f} µs a call ({twin.get(kind, float('nan')):.0f} in the twin)"
        for kind in speed
        if kind.startswith("us_a_call")
    ]
    yield f"  CPU: {', '.join(parts)}; {speed['rebuilds']} rebuilds in {speed['seconds_rebuilding']:.0f} s"
    size = run["bytes_an_account"]
    kept = "" if size is None else f"; {size:.0f} B of evidence and activity an account"
    yield f"  memory: {speed['peak_mib']:,} MiB at most, max_subjects {speed['max_subjects']:,}{kept}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(head), *[len(row[place]) for row in rows], 0) for place, head in enumerate(heads)]
    for row in (heads, *rows):
        cells = [
            text.ljust(width) if not place else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield f"  {'  '.join(cells)}".rstrip()


def written(runs: Sequence[dict[str, Any]]) -> str:
    """As JSON: each run's figures, and friction over all of them."""
    return json.dumps({"runs": list(runs), "friction": pooling.cohorts(runs)}, indent=1) + "\n"
