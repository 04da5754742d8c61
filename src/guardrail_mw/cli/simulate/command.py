"""The command, and what it takes."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import click
from click.core import ParameterSource

from guardrail_mw.cli.output import Cannot
from guardrail_mw.cli.simulate import refusing, writing
from guardrail_mw.cli.simulate.tracing import trace
from guardrail_mw.cli.simulate.worlds import worlds
from guardrail_mw.values import Family

__all__ = ["simulate"]

_File = click.Path(exists=True, dir_okay=False, path_type=Path)
_New = click.Path(dir_okay=False, writable=True, allow_dash=False, path_type=Path)
_Folder = click.Path(file_okay=False, path_type=Path)


def _seeds(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[int, ...]:
    """`1,2,5-8`."""
    found: list[int] = []
    for part in value.split(",") if value is not None else ():
        first, dash, last = part.strip().partition("-")
        try:
            some = range(int(first), int(last if dash else first) + 1)
        except ValueError as error:
            raise click.BadParameter(f"{part!r} is no seed; write 1,2,5-8") from error
        if not some:
            raise click.BadParameter(f"{part!r} has no seed in it; the smaller one comes first: 5-8")
        found += some
    return tuple(dict.fromkeys(found))


@click.command(short_help="Say how a policy fares among made-up people, or in a trace.")
@click.option("--quick", is_flag=True, help="A small scenario, of two minutes at most; its sizes are fixed.")
@click.option("--scenario", "file", type=_File, help="A scenario in YAML; February's three operators, naive, unless given.")
@click.option("--trace", type=_File, help="A trace of real traffic, JSON lines or Parquet, in place of a scenario.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of everything that is drawn.")
@click.option(
    "--seeds", callback=_seeds, metavar="LIST", help="Several, such as 1,2,5-8: a run each, and what they say together."
)
@click.option("--ratio", type=click.FloatRange(0, min_open=True), help="Ordinary accounts for each of a campaign.")
@click.option(
    "--scale", type=click.FloatRange(1, 10), help="Divides large groups and campaigns, never the smallest operator."
)
@click.option("--policy", default="guardrail:campaign", show_default=True, help="A file, or the name of one that ships.")
@click.option(
    "--feed",
    type=click.Choice(["links", "none"]),
    default="links",
    show_default=True,
    help="links: the guard is told what the service's own systems know of accounts; none: it sees API keys and traffic only, "
    "of a trace too.",
)
@click.option(
    "--without",
    multiple=True,
    type=click.Choice(get_args(Family)),
    help="Leave evidence of a family out; may be given several times.",
)
@click.option(
    "--every",
    type=click.Choice(["usual", "10m", "3h"]),
    default="usual",
    show_default=True,
    help="How often clusters are worked out anew once campaigns may begin; usual: every 3h, and 10m "
    "in three windows of a day; of --quick and of a trace every 3h.",
)
@click.option("--out", type=_Folder, help="A folder for everything: the report in all forms, and each account's verdict.")
@click.option("--html", type=_New, help="Write the report there, with plots, as one page that needs nothing else.")
@click.option("--json", "written", type=_New, help="Write the figures there.")
@click.option(
    "--accounts",
    type=_New,
    help="Write each account's cluster, verdict, rung and reasons there: .parquet, or lines of JSON.",
)
@click.option(
    "--checkpoint", type=_Folder, help="A folder to write the run down in as it goes on; it goes on from what lies there."
)
def simulate(**options: Any) -> None:
    """Say how a policy fares among made-up people and campaigns, or in a trace of real traffic.

    Each run has a twin: the same people, without clusters. What was answered worse than there is friction. The report says how
    much of their plan operators were served, how much of what they did is held in clusters, and whom else that touched. A trace
    has no twin: its report has what was answered, the clusters, and how they fit the labels.

    What is simulated goes to a store in memory, whatever the policy names. Options that say nothing beside one another, such as
    --trace and --seeds, are refused.

    Exit codes: 0 it ran, whatever came out; 1 a policy is bad, or rows of a trace; 2 the scenario or the trace cannot be read.
    """
    for module in ("numpy", "scipy"):
        if find_spec(module) is None:
            raise Cannot(
                f"simulate needs {module}, not installed here. Install it with: pip install 'guardrail-mw[clusters]'"
            )
    refusing.options(_named())
    policy = refusing.policy(options["policy"], options["without"], _named())
    for path in (options["trace"], options["accounts"]):
        writing.parquet(path)
    if options["trace"] is None:
        worlds(options)
    else:
        trace(options, policy)


def _named() -> frozenset[str]:
    """The options that somebody wrote."""
    context = click.get_current_context()
    given = {ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT}
    return frozenset(name for name in context.params if context.get_parameter_source(name) in given)
