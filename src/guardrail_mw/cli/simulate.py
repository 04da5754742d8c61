"""`guardrail-mw simulate`: made-up traffic, or a trace of real traffic, through the middleware; and what came of it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import click

from guardrail_mw.cli.output import PROBLEM, Cannot, quiet, write, writing
from guardrail_mw.values import Family

if TYPE_CHECKING:
    from guardrail_mw.simulate.experiment import Experiment, Plan
    from guardrail_mw.simulate.traces import Trace
    from guardrail_mw.simulate.tracing import Traced
    from guardrail_mw.simulate.world.scenario import Scenario

__all__ = ["simulate"]

_SHOWN: Final = 20
"""Bad rows of a trace that are told one by one."""
_File = click.Path(exists=True, dir_okay=False, path_type=Path)
_New = click.Path(dir_okay=False, writable=True, allow_dash=False, path_type=Path)
_Folder = click.Path(file_okay=False, path_type=Path)


def _seeds(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[int, ...]:
    """`1,2,5-8`."""
    found: list[int] = []
    for part in (value or "").split(","):
        first, dash, last = part.strip().partition("-")
        try:
            found += range(int(first), int(last if dash else first) + 1) if first else []
        except ValueError as error:
            raise click.BadParameter(f"{part!r} is no seed; write 1,2,5-8") from error
    return tuple(found)


@click.command(short_help="Say how a policy fares among made-up people, or in a trace.")
@click.option("--quick", is_flag=True, help="A small scenario, of two minutes at most.")
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
    help="links: the guard is told what the service's own systems know of accounts; none: it sees API keys and traffic only.",
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
    help="How often clusters are worked out anew once campaigns may begin; usual: every 3h, and 10m in three windows of a day.",
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
    much of their plan operators were served, how much of what they did is held in clusters, and whom else that touched.

    Exit codes: 0 it ran, whatever came out; 1 a policy is bad, or rows of a trace; 2 the scenario or the trace cannot be read.
    """
    for module in ("numpy", "scipy"):
        if find_spec(module) is None:
            raise Cannot(
                f"simulate needs {module}, not installed here. Install it with: pip install 'guardrail-mw[clusters]'"
            )
    if options["trace"] is not None:
        if options["quick"] or options["file"] is not None or options["checkpoint"] is not None:
            raise Cannot("--trace stands in place of --quick and --scenario, and has no checkpoints.")
        _trace(options)
        return
    _worlds(options)


# Worlds


def _worlds(options: dict[str, Any]) -> None:
    from guardrail_mw.simulate.checkpoints import CheckpointError
    from guardrail_mw.simulate.experiment import TwinError
    from guardrail_mw.simulate.page import page
    from guardrail_mw.simulate.report import tell, written

    seeds = options["seeds"] or (options["seed"],)
    runs: list[dict[str, Any]] = []
    with quiet():
        for seed in seeds:
            plan = _plan(options, seed)
            folder = options["checkpoint"]
            if folder is not None and len(seeds) > 1:
                folder /= f"seed-{seed}"
            try:
                experiment = _experiment(plan, folder)
                with _bar(experiment.length, f"seed {seed}") as tick:
                    runs.append(experiment.go(tick))
            except (CheckpointError, TwinError) as error:
                raise Cannot(str(error)) from error
            _verdicts(options, experiment, seed if len(seeds) > 1 else None)
    text = "\n".join(tell(runs))
    click.echo(text)
    _reports(options, {"report.txt": text + "\n", "report.json": written(runs), "report.html": page(runs)})


def _experiment(plan: Plan, folder: Path | None) -> Experiment:
    from guardrail_mw.simulate.experiment import Experiment

    experiment = Experiment(plan, folder, apart=(os.cpu_count() or 1) > 1)
    if experiment.resumed:
        click.echo(f"Going on from {folder}.", err=True)
    return experiment


def _plan(options: dict[str, Any], seed: int) -> Plan:
    from guardrail_mw.simulate.experiment import Plan
    from guardrail_mw.simulate.run import Pace
    from guardrail_mw.simulate.world.arrays import HOUR, MINUTE

    pace = {"usual": Pace(), "3h": Pace(usual=3 * HOUR, windows=()), "10m": Pace(usual=10 * MINUTE)}[options["every"]]
    scenario = _scenario(options)
    if options["quick"]:
        pace = Pace(windows=())
    return Plan(scenario, seed, options["policy"], options["feed"], pace, frozenset(options["without"]))


def _scenario(options: dict[str, Any]) -> Scenario:
    from guardrail_mw.simulate import scenarios
    from guardrail_mw.simulate.world.scenario import ScenarioError, load_scenario

    given = {name: options[name] for name in ("ratio", "scale") if options[name] is not None}
    if options["quick"] and options["file"] is not None:
        raise Cannot("--quick has a scenario of its own: leave out one of --quick and --scenario.")
    if options["quick"]:
        return scenarios.quick()
    if options["file"] is None:
        return scenarios.february(**given)
    try:
        found = load_scenario(options["file"])
        return type(found).model_validate({**found.model_dump(exclude_unset=True), **given})
    except ScenarioError as error:
        raise Cannot(str(error)) from error
    except ValueError as error:
        raise Cannot(f"{options['file']}: {error}") from error


def _verdicts(options: dict[str, Any], experiment: Experiment, seed: int | None) -> None:
    path = _place(options, "accounts.parquet" if find_spec("pyarrow") else "accounts.jsonl")
    if path is None:
        return
    from guardrail_mw.simulate.accounts import thoughts

    run = experiment.run
    names = {home: run.world.accounts.name(row) for home, row in run.callers.rows.items()}

    async def collect() -> list[dict[str, Any]]:
        return [
            {**each._asdict(), "reasons": list(each.reasons)} async for each in thoughts(run.guardrail, run.state, names)
        ]

    if seed is not None:
        path = path.with_stem(f"{path.stem}-{seed}")
    _rows(path, asyncio.run(collect()))


# Traces


def _trace(options: dict[str, Any]) -> None:
    from guardrail_mw.policy import load
    from guardrail_mw.simulate.traces import Trace, TraceError
    from guardrail_mw.simulate.tracing import Traced, policy_for, trace_kinds
    from guardrail_mw.simulate.world.arrays import HOUR, MINUTE

    try:
        trace = Trace(options["trace"], trace_kinds(load(options["policy"])))
    except TraceError as error:
        raise Cannot(str(error)) from error
    _complain(trace)
    if not len(trace):
        raise Cannot(f"{options['trace']} has no row that can be used.")
    with quiet():
        traced = Traced(
            trace,
            policy_for(options["policy"], trace),
            every=10 * MINUTE if options["every"] == "10m" else 3 * HOUR,
            seed=options["seed"],
        )
        with _bar(len(trace), "requests") as tick:
            traced.go(tick)
    path = _place(options, "accounts.parquet" if find_spec("pyarrow") else "accounts.jsonl")
    if path is not None:
        _rows(path, traced.thoughts())
    figures = traced.figures()
    click.echo("\n".join(_traced(traced, figures)))
    _reports(options, {"report.json": json.dumps(figures, indent=1) + "\n"})
    if trace.bad:
        click.get_current_context().exit(PROBLEM)


def _complain(trace: Trace) -> None:
    for bad in trace.bad[:_SHOWN]:
        click.echo(f"{trace.path}:{bad.line}: {bad.why}", err=True)
    if len(trace.bad) > _SHOWN:
        click.echo(f"… and {len(trace.bad) - _SHOWN:,} more rows that cannot be used", err=True)


def _traced(traced: Traced, figures: dict[str, Any]) -> Iterator[str]:
    codes = ", ".join(f"{count:,} {name}" for name, count in figures["codes"].items() if count)
    yield f"{figures['requests']:,} requests of {figures['accounts']:,} accounts: {codes}; {figures['bad']:,} rows left out"
    yield f"{len(figures['clusters']):,} clusters"
    for each in figures["clusters"][:_SHOWN]:
        families = ", ".join(each["families"]) or "-"
        yield f"  {each['cluster']}  {each['verdict']:<9}  {each['accounts']:>7,} accounts, by {families}"
    for label, each in figures.get("labels", {}).items():
        said = ", ".join(
            f"{name} {value if not isinstance(value, float) else round(value, 4)}" for name, value in each.items()
        )
        yield f"  {label}: {said}"
    settings = traced.guardrail.policy.clusters
    if settings is not None and traced.trace.end - traced.trace.start < settings.established.us:
        yield "The trace is shorter than it takes until accounts are established: no verdict passes `watched`."


# What they write


def _place(options: dict[str, Any], name: str) -> Path | None:
    """Where accounts go."""
    given: Path | None = options["accounts"]
    if given is not None:
        return given
    return options["out"] / name if options["out"] is not None else None


def _rows(path: Path, rows: list[dict[str, Any]]) -> None:
    from guardrail_mw.simulate.accounts import write as write_rows

    if path.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise Cannot("Parquet needs pyarrow, not installed here. Install it with: pip install 'guardrail-mw[parquet]'")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_rows(path, rows)
    click.echo(f"Written: {path}")


def _reports(options: dict[str, Any], texts: dict[str, str]) -> None:
    places = [(options["out"] / name, text) for name, text in texts.items() if options["out"] is not None]
    places += [
        (options[key], texts[name])
        for key, name in (("html", "report.html"), ("written", "report.json"))
        if options[key] and name in texts
    ]
    for path, text in places:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write(path, text)


@contextmanager
def _bar(length: int, label: str) -> Iterator[Callable[[int], None] | None]:
    """Progress, where somebody watches and rich is there."""
    if not sys.stderr.isatty() or find_spec("rich") is None:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(label, total=length)
        yield lambda passed: progress.update(task, completed=passed)
