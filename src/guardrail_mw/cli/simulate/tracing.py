"""`guardrail-mw simulate --trace`: a trace of real traffic."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from guardrail_mw.cli.output import PROBLEM, Cannot, quiet
from guardrail_mw.cli.simulate import refusing, writing

if TYPE_CHECKING:
    from guardrail_mw.policy import Policy
    from guardrail_mw.simulate.traces import Trace
    from guardrail_mw.simulate.tracing import Traced

__all__ = ["trace"]

_SHOWN: Final = 20
"""Bad rows that are told one by one."""


def trace(options: dict[str, Any], policy: Policy) -> None:
    """Run a trace, and say what came of it. Exits with 1 where rows of it are bad.

    Args:
        options: the command's.
        policy: that they name.

    Raises:
        Cannot: it cannot be read or has no row that can be used, the policy cannot be tried on it, or a file cannot be written.
        PolicyError: the policy is bad.
    """
    from guardrail_mw.simulate.told import families

    refusing.families(options["without"], families(policy), options["policy"])
    found = _read(options, policy)
    traced = _run(options, found)
    path = writing.place(options)
    if path is not None:
        writing.rows(path, traced.thoughts())
    _report(options, traced)
    if found.bad:
        click.get_current_context().exit(PROBLEM)


def _read(options: dict[str, Any], policy: Policy) -> Trace:
    from guardrail_mw.simulate.told import trace_kinds
    from guardrail_mw.simulate.traces import Trace, TraceError

    try:
        found = Trace(options["trace"], trace_kinds(policy))
    except TraceError as error:
        raise Cannot(str(error)) from error
    for bad in found.bad[:_SHOWN]:
        click.echo(f"{found.path}:{bad.line}: {bad.why}", err=True)
    if len(found.bad) > _SHOWN:
        click.echo(f"… and {len(found.bad) - _SHOWN:,} more rows that cannot be used", err=True)
    if not len(found):
        raise Cannot(f"{options['trace']} has no row that can be used.")
    return found


def _run(options: dict[str, Any], found: Trace) -> Traced:
    from guardrail_mw.simulate.told import policy_for
    from guardrail_mw.simulate.tracing import Traced
    from guardrail_mw.simulate.world.arrays import HOUR, MINUTE

    feed, without = options["feed"], frozenset(options["without"])
    with quiet():
        traced = Traced(
            found,
            policy_for(options["policy"], found, feed, without),
            every=10 * MINUTE if options["every"] == "10m" else 3 * HOUR,
            seed=options["seed"],
            feed=feed,
            without=without,
        )
        with writing.bar(len(found), "requests") as tick:
            traced.go(tick)
    return traced


def _report(options: dict[str, Any], traced: Traced) -> None:
    from guardrail_mw.simulate.trace_page import trace_page
    from guardrail_mw.simulate.trace_report import tell_trace

    figures = {"trace": traced.trace.path.name, "policy": options["policy"], **traced.figures()}
    text = "\n".join(tell_trace(figures))
    click.echo(text)
    as_json = json.dumps(figures, indent=1) + "\n"
    writing.reports(options, {"report.txt": text + "\n", "report.json": as_json, "report.html": trace_page(figures)})
