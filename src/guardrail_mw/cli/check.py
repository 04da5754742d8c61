"""`guardrail-mw check`: what a policy does, in words, or what is wrong with it; and what it means for an app."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from itertools import groupby

import click

from guardrail_mw.cli import probe
from guardrail_mw.cli.finding import AppRoute, find, routes_of
from guardrail_mw.cli.output import PROBLEM, paragraph, quiet
from guardrail_mw.cli.probe import Answer
from guardrail_mw.cli.starting import deaf, obstacles
from guardrail_mw.policy import Policy, RouteSettings, load
from guardrail_mw.policy.describe import describe
from guardrail_mw.policy.minding import mind

__all__ = ["check"]

_NAMED = 6
_SHOWN = 20
"""Places and routes that are listed by name."""


@click.command(short_help="Say what a policy does, or what is wrong with it.")
@click.argument("policy", envvar="GUARDRAIL_POLICY", required=False)
@click.option("--app", "spec", metavar="MODULE:APP", help="Hold the policy against this ASGI app's routes, and ask them.")
@click.option("--strict", is_flag=True, help="Exit with 1 where something is to be minded, too.")
@click.option("--elsewhere", is_flag=True, help="Servers run elsewhere: what they need and is missing here does not count.")
@click.pass_context
def check(
    ctx: click.Context,
    policy: str | None,
    spec: str | None,
    strict: bool,  # noqa: FBT001 - click's
    elsewhere: bool,  # noqa: FBT001 - click's
) -> None:
    """Say in words what POLICY does on each route, or everything that is wrong with it.

    POLICY is a file or a policy that ships (guardrail:balanced); without it GUARDRAIL_POLICY names one. What keeps a server
    from starting with it, in this environment, comes first (--elsewhere leaves it out, for a pipeline that has no secrets);
    then what is sound and perhaps not meant.

    With --app the app is started here and asked for real, by GET and POST with small bodies and an invented key: name one
    that does no harm. A route that accepts such a key must not be one that proves keys.

    Exit codes: 0 sound, 1 something is wrong, 2 the app cannot be had.
    """
    if not policy:
        raise click.UsageError("Name a policy: a file, or guardrail:balanced, which ships; or set GUARDRAIL_POLICY.", ctx)
    found = load(policy)
    with quiet():
        hindering = [] if elsewhere else obstacles(found, os.environ)
    if hindering:
        click.echo(f"{policy} can be read, and no server starts with it here:", err=True)
        for problem in hindering:
            click.echo(f"  {problem}", err=True)
    click.echo(f"{'The policy itself' if hindering else policy} is sound.\n")
    minded = [*mind(found), *deaf(found)]
    if minded:
        click.echo("To be minded")
        for each in minded:
            click.echo(paragraph(each, "  - ", "    "))
        click.echo()
    click.echo(describe(found, os.environ), nl=False)
    wrong = bool(hindering) or (strict and bool(minded))
    if spec is not None and not hindering:
        wrong = _app(found, spec) or wrong
    ctx.exit(PROBLEM if wrong else 0)


def _app(policy: Policy, spec: str) -> bool:
    """Whether something is wrong."""
    with quiet(), probe.Unguarded():
        app = find(spec)
        routes = routes_of(app) or []
        none = " cannot be listed; the policy's own paths are asked" if not routes else ""
        click.echo(f"\nRoutes of {spec}{none}")
        idle = _idle(policy, routes)
        for line in _listed(policy, routes):
            click.echo(line)
        for each in idle if routes else ():
            click.echo(f"  {', '.join(each.path)}: a route of the policy, and none that the app lists")
        answers = asyncio.run(probe.probe(app, [*routes, *_guesses(idle)], policy))
    click.echo("\nAn invented key")
    return _verdict(policy, answers)


def _route(policy: Policy, path: str, method: str) -> RouteSettings | None:
    return next((each for each in policy.routes if each.matches(path.rstrip("/") or "/", method)), None)


def _listed(policy: Policy, routes: Sequence[AppRoute]) -> Iterator[str]:
    """The app's routes, by what the policy means for them."""
    groups: dict[str, list[str]] = {}
    for route in routes:
        name = "WebSocket" if route.kind == "websocket" else "/".join(route.methods) or "mounted"
        groups.setdefault(_meaning(policy, route), []).append(f"    {name:<9} {route.path}")
    for meaning, lines in groups.items():
        yield f"  {meaning}"
        yield from lines[:_SHOWN]
        if len(lines) > _SHOWN:
            yield f"    and {len(lines) - _SHOWN} more"


def _meaning(policy: Policy, route: AppRoute) -> str:
    settings = _route(policy, route.example, route.methods[0] if route.methods else "GET")
    if settings is None:
        return "no route of the policy: guarded all the same, errors are problem details"
    paths = ", ".join(settings.path)
    if settings.exempt:
        return f"{paths}: exempt for GET and HEAD"
    proves = "app" in probe.trusts(policy) and any(settings.is_proof(each) for each in route.methods)
    proof = ", a 2xx proves a key" if proves else ""
    return f"{paths}: the {settings.dialect} dialect{proof}"


def _idle(policy: Policy, routes: Sequence[AppRoute]) -> list[RouteSettings]:
    """Routes of the policy that match none of the app's: a slip of the pen, or routes that come later."""
    asked = [(route.example.rstrip("/") or "/", method) for route in routes for method in route.methods or ("GET",)]
    return [each for each in policy.routes if not any(each.matches(path, method) for path, method in asked)]


def _guesses(idle: Sequence[RouteSettings]) -> list[AppRoute]:
    """What may be there although the app does not list it: some apps load routes when they are first asked for."""
    paths = [path.removesuffix("/**") for each in idle for path in each.path]
    return [AppRoute(path, ("GET", "POST"), "guess") for path in paths if path and "*" not in path]


def _verdict(policy: Policy, answers: Sequence[Answer]) -> bool:
    """Say what the answers mean; whether something is wrong."""
    matters = "app" in probe.trusts(policy)
    answers = [each for each in answers if not each.absent]
    proving = [each for each in answers if matters and _proves(policy, each)]
    bad = [each for each in proving if each.accepted]
    harmless = [each for each in answers if each.accepted and each not in bad]
    unclear = [each for each in proving if not each.accepted and not each.refused]
    refused, accepted = sum(each.refused for each in answers), len(bad) + len(harmless)
    rest = len(answers) - refused - accepted
    click.echo(f"  {len(answers)} requests with one: {refused} refused (401 or 403), {accepted} accepted, {rest} neither.")
    for what in _places(bad):
        click.echo(f"  WRONG: {what} accepts one.")
    if bad:
        why = "The policy takes a 2xx there for proof of a key, so anybody could invent accounts."
        cure = "Let the app check keys there, or give the policy a route for it with `proves: false`."
        click.echo(paragraph(f"{why} {cure}", "    "))
    for said, some in groupby(sorted(unclear, key=lambda each: str(each.status)), key=lambda each: str(each.status)):
        click.echo(paragraph(f"Unclear: {_some(list(some))} said neither yes nor no, but: {said}.", "  "))
    if harmless:
        why = "nothing is proved there" if matters else "in this policy it is not the app that proves keys"
        click.echo(paragraph(f"Accepted, but {why}: {_some(harmless)}.", "  "))
    return bool(bad)


def _proves(policy: Policy, answer: Answer) -> bool:
    settings = _route(policy, answer.route.example, answer.method)
    return settings is not None and not settings.exempt and settings.is_proof(answer.method)


def _places(answers: Sequence[Answer]) -> list[str]:
    """What was asked, one line for all headers that a key may stand in."""
    headers: dict[str, list[str]] = {}
    for each in answers:
        headers.setdefault(f"{each.method} {each.route.path}", []).append(each.header)
    return [f"{place} (key in {' or '.join(names)})" for place, names in headers.items()]


def _some(answers: Sequence[Answer]) -> str:
    places = list(dict.fromkeys(f"{each.method} {each.route.path}" for each in answers))
    more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
    return ", ".join(places[:_NAMED]) + more
