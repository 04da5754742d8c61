"""`guardrail-mw simulate` among made-up people."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from guardrail_mw.cli.output import Cannot, quiet
from guardrail_mw.cli.simulate import refusing, writing

if TYPE_CHECKING:
    from guardrail_mw.simulate.experiment import Experiment, Plan
    from guardrail_mw.simulate.world.scenario import Scenario

__all__ = ["worlds"]


def worlds(options: dict[str, Any]) -> None:
    """Run a scenario, once a seed, and say what came of it.

    Raises:
        Cannot: there is no evidence of a family that is to be left out, the scenario cannot be read, a checkpoint is another
            run's, a twin failed, or a file cannot be written.
    """
    from guardrail_mw.simulate.ablation import FAMILIES
    from guardrail_mw.simulate.checkpoints import CheckpointError
    from guardrail_mw.simulate.experiment import TwinError
    from guardrail_mw.simulate.page import page
    from guardrail_mw.simulate.report import tell, written

    refusing.families(options["without"], FAMILIES, "a simulation")
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
                with writing.bar(experiment.length, f"seed {seed}") as tick:
                    runs.append(experiment.go(tick))
            except (CheckpointError, TwinError) as error:
                raise Cannot(str(error)) from error
            _verdicts(options, experiment, seed if len(seeds) > 1 else None)
    text = "\n".join(tell(runs))
    click.echo(text)
    writing.reports(options, {"report.txt": text + "\n", "report.json": written(runs), "report.html": page(runs)})


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

    paces = {"usual": Pace(), "3h": Pace(usual=3 * HOUR, windows=()), "10m": Pace(usual=10 * MINUTE)}
    pace = paces["3h" if options["quick"] and options["every"] == "usual" else options["every"]]
    return Plan(_scenario(options), seed, options["policy"], options["feed"], pace, frozenset(options["without"]))


def _scenario(options: dict[str, Any]) -> Scenario:
    from guardrail_mw.simulate import scenarios
    from guardrail_mw.simulate.world.scenario import ScenarioError, load_scenario

    given = {name: options[name] for name in ("ratio", "scale") if options[name] is not None}
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
    path = writing.place(options)
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
    writing.rows(path, asyncio.run(collect()))
