"""Markdown tables of what simulations came to, as docs/reference/simulation.md has them.

guardrail-mw simulate --scenario benchmarks/scenarios/means.yaml --seed 101 --every 3h --out means
python -m benchmarks.published means/report.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from guardrail_mw.simulate.report import (
    COHORTS,
    NONE,
    OPERATORS,
    VERIFIED,
    WAITS,
    cohort_row,
    operator_row,
    percent,
    title,
    verified_row,
    waits_row,
)

MEANS = ("means", "accounts", "cards", "devices", "addresses", "leak", "held", "95% contained")
JUDGES = ("judge", "95% contained, the last operator", "ordinary in a suspect cluster", "suspect clusters of nobody")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a Markdown table."""
    yield f"| {' | '.join(heads)} |"
    yield "|".join(["", *["---"] * len(heads), ""])
    yield from (f"| {' | '.join(row)} |" for row in rows)


def operators(run: dict[str, Any]) -> Iterator[str]:
    """Operators of a run, a row each."""
    yield from table(("operator", *OPERATORS), [[each["operator"], *operator_row(each)] for each in run["operators"]])


def frontier(run: dict[str, Any]) -> Iterator[str]:
    """What each operator had to buy, and what it was served."""
    rows = []
    for each in sorted(run["operators"], key=lambda each: each["leak"]):
        bought, last = each["bought"], each["contained"]["95%"]
        attacker = each["attacker"].removeprefix("naive+").replace("+", ", ")
        rows.append(
            [
                attacker,
                *[f"{bought[name]:,}" if name in bought else NONE for name in MEANS[1:5]],
                percent(each["leak"], 1),
                percent(each["held"], 1),
                "never" if last is None else f"{last['hours']:g} h",
            ]
        )
    yield from table(MEANS, rows)


def judges(run: dict[str, Any]) -> Iterator[str]:
    """What other judges would have made of the clusters."""
    rows = []
    for each in run["judges"]:
        hours = [last for _, last in each["contained"].values()]
        worst = "never" if None in hours else f"{max(hours, default=0):g} h"
        said = (str(each["ordinary_in_a_suspect_cluster"]), str(each["suspect_clusters_of_no_operator"]))
        rows.append([each["judge"], worst, *said])
    yield from table(JUDGES, rows)


def verification(run: dict[str, Any]) -> Iterator[str]:
    """What being asked cost operators, and then people."""
    found = run["verification"]
    both = zip(found["operators"], run["operators"], strict=True)
    yield from table(("operator", *VERIFIED), [[each["operator"], *verified_row(each, other)] for each, other in both])
    yield ""
    people = found["people"]
    rows = [["all", *waits_row(people["all"])]]
    rows += [[name, *waits_row(each)] for part in ("by_rung", "by_cohort") for name, each in people[part].items()]
    yield from table(("people, minutes", *WAITS), rows)


def friction(report: dict[str, Any]) -> Iterator[str]:
    """Ordinary people, by cohort."""
    yield from table(("cohort", *COHORTS), [[name, *cohort_row(each)] for name, each in report["friction"].items()])


def main() -> None:
    """Print the tables of each report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="+", type=Path)
    for path in parser.parse_args().reports:
        report = json.loads(path.read_text())
        print(f"### {title(report['runs'])}\n")
        for run in report["runs"]:
            for part in (operators(run), frontier(run), judges(run)) if run["operators"] else ():
                print("\n".join(part), end="\n\n")
            if "verification" in run:
                print("\n".join(verification(run)), end="\n\n")
        print("\n".join(friction(report)), end="\n\n")


if __name__ == "__main__":
    main()
