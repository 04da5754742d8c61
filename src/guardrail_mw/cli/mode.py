"""`guardrail-mw mode`: everything, or one rule, to shadow in every process within a second."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from guardrail_mw.cli.output import Cannot
from guardrail_mw.cli.reach import Where, json_option, reachable, run

__all__ = ["mode"]


@click.command(short_help="Switch everything, or one rule, to shadow at once.")
@click.argument(
    "to", metavar="[shadow|enforce|off|clear]", required=False, type=click.Choice(["shadow", "enforce", "off", "clear"])
)
@click.option(
    "--rule",
    metavar="NAME",
    help="A limit, scorer or rung of the policy; everything unless given. It takes shadow and clear.",
)
@click.option("--reason", default="", help="Why, for the server's log; needed for off.")
@json_option
@reachable
def mode(to: str | None, rule: str | None, reason: str, url: str | None, policy: str | None, *, as_json: bool) -> None:
    """Say which mode runs and what is switched, or switch it, in every process within a second.

    shadow records and refuses nothing, enforce acts, off passes everything untouched; clear takes a switch back, so that the
    environment and the policy decide again. A switch outlives restarts.

    By the operator's port (--url) or the shared store of the policy. Exit codes: 0 it is done; 2 it cannot be.
    """
    where = Where(url, policy)
    if to is None:
        if rule is not None:
            raise Cannot("Say what to do with the rule: shadow or clear.")
        found = run(where, lambda operator: operator.modes(), keyless=True)
    else:
        wanted = None if to == "clear" else to
        found = run(where, lambda operator: operator.switch(rule or "", wanted, reason), keyless=True)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for line in _told(found):
        click.echo(line)


def _told(found: Mapping[str, Any]) -> Iterator[str]:
    switches = found["switches"]
    everything = switches.get("")
    if everything is not None:
        yield f"Everything is switched to {everything}, whatever servers' environment and policy say (it is {found['policy']})."
    else:
        yield f"Not switched: {found['policy']}, as the policy says, unless a server's GUARDRAIL_MODE says otherwise."
    for name, to in sorted(switches.items()):
        if name:
            gone = "" if name in found["rules"] else " (the policy has no such rule)"
            yield f"{name} is switched to {to}{gone}."
    yield from found.get("then", ())
