"""What a trace came to, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from guardrail_mw.engine.figures import clean

__all__ = ["SHOWN", "known_by", "notes", "tell_trace", "told"]

SHOWN: Final = 20
"""Clusters that are told one by one, the largest ones."""


def told(figures: dict[str, Any]) -> str:
    """What was run, and how much the guard was told."""
    without = f", without evidence of {', '.join(figures['without'])}" if figures["without"] else ""
    return f"{figures['policy']} ({figures['policy_hash']}), feed {figures['feed']}{without}"


def known_by(cluster: dict[str, Any]) -> str:
    """The families of evidence that a cluster rests on."""
    return ", ".join(cluster["families"]) or "-"


def notes(figures: dict[str, Any]) -> Iterator[str]:
    """What should be known about the figures."""
    if not figures["linked"]:
        yield (
            f"{figures['policy']} has no section `clusters:`, so only its limits were tried and no account was linked to "
            "another: evidence was passed over. Write `clusters: {}` into it, or run guardrail:campaign."
        )
    if figures["short"]:
        yield "The trace is shorter than it takes until accounts are established: no verdict passes `watched`."


def tell_trace(figures: dict[str, Any]) -> Iterator[str]:
    """The report, a line each.

    Args:
        figures: of `Traced.figures`, and the policy's name.
    """
    yield told(figures)
    codes = ", ".join(f"{count:,} {name}" for name, count in figures["codes"].items() if count)
    yield f"{figures['requests']:,} requests of {figures['accounts']:,} accounts: {codes}; {figures['bad']:,} rows left out"
    if figures["linked"]:
        yield f"{len(figures['clusters']):,} clusters"
    for each in figures["clusters"][:SHOWN]:
        yield f"  {each['cluster']}  {each['verdict']:<9}  {each['accounts']:>7,} accounts, by {known_by(each)}"
    if len(figures["clusters"]) > SHOWN:
        yield f"  and {len(figures['clusters']) - SHOWN:,} smaller ones"
    for label, each in figures.get("labels", {}).items():
        said = ", ".join(
            f"{name} {value if not isinstance(value, float) else round(value, 4)}" for name, value in each.items()
        )
        yield f"  {clean(label)}: {said}"
    if "pairs" in figures:
        yield f"  pairs: {', '.join(f'{name} {many:,}' for name, many in figures['pairs'].items())}"
    yield from notes(figures)
