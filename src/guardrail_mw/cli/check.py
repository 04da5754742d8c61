"""`guardrail-mw check`: what a policy does, in words, or what is wrong with it; and what it means for an app."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator, Sequence

import click

from guardrail_mw.cli import probe
from guardrail_mw.cli.finding import AppRoute, find, routes_of
from guardrail_mw.cli.output import PROBLEM, paragraph
from guardrail_mw.cli.probe import Answer
from guardrail_mw.engine import Guardrail
from guardrail_mw.errors import PolicyError
from guardrail_mw.identity.keys import Secrets
from guardrail_mw.policy import Policy, RouteSettings, load
from guardrail_mw.policy.describe import describe
from guardrail_mw.stores.memory import MemoryStore

__all__ = ["check"]

_NAMED = 6
"""Places that are listed by name."""


@click.command(short_help="Say what a policy does, or what is wrong with it.")
@click.argument("policy", envvar="GUARDRAIL_POLICY")
@click.option("--app", "spec", metavar="MODULE:APP", help="Hold the policy against this ASGI app's routes, and ask them.")
@click.pass_context
def check(ctx: click.Context, policy: str, spec: str | None) -> None:
    """Say in words what POLICY does on each route, or everything that is wrong with it.

    POLICY is a file or a policy that ships (guardrail:balanced); without it GUARDRAIL_POLICY names one.

    With --app the app is started here and asked for real, by GET and POST with small bodies and an invented key: name one
    that does no harm. A route that accepts such a key must not be one that proves keys.

    Exit codes: 0 sound, 1 something is wrong, 2 the app cannot be had.
    """
    found = load(policy)
    Guardrail(found, store=MemoryStore())  # what only building it tells
    click.echo(f"{policy} is sound.\n")
    click.echo(describe(found), nl=False)
    _environment(found)
    if spec is not None:
        ctx.exit(PROBLEM if _app(found, spec) else 0)


def _environment(policy: Policy) -> None:
    """What the environment must say, or says otherwise."""
    lines = [
        f"{name} is set and stands above the file: {what}."
        for name, what in (("GUARDRAIL_STORE", "the store is another"), ("GUARDRAIL_MODE", os.environ.get("GUARDRAIL_MODE", "")))
        if os.environ.get(name)
    ]
    url = os.environ.get("GUARDRAIL_STORE") or policy.store.url
    if not url.startswith("memory:"):
        try:
            Secrets.read(os.environ, shared=True)
        except PolicyError as error:
            lines += [f"{problem.path} {problem.message} {problem.hint}" for problem in error.problems]
    if lines:
        click.echo("\nEnvironment")
        for line in lines:
            click.echo(paragraph(line, "  "))


def _app(policy: Policy, spec: str) -> bool:
    """Whether something is wrong."""
    logging.getLogger("guardrail_mw").setLevel(logging.ERROR)  # the app's own guard is off for the while
    with probe.Unguarded():
        app = find(spec)
        routes = routes_of(app)
        if routes is None:
            routes = [AppRoute(path, ("GET", "POST")) for each in policy.routes for path in each.path if "*" not in path]
            click.echo(f"\n{spec} does not tell its routes; asked are the policy's own paths without `*`.")
        click.echo(f"\nRoutes of {spec}")
        for route in routes:
            click.echo(_line(policy, route))
        for line in _idle(policy, routes):
            click.echo(line)
        answers = asyncio.run(probe.probe(app, routes, policy))
    click.echo("\nAn invented key")
    return _verdict(policy, answers)


def _route(policy: Policy, path: str, method: str) -> RouteSettings | None:
    return next((each for each in policy.routes if each.matches(path.rstrip("/") or "/", method)), None)


def _line(policy: Policy, route: AppRoute) -> str:
    method = route.methods[0] if route.methods else "GET"
    settings = _route(policy, route.example, method)
    name = "WebSocket" if route.kind == "websocket" else "/".join(route.methods) or "mounted"
    if settings is None:
        means = "matches no route: guarded, errors as problem details"
    elif settings.exempt:
        means = f"{settings.label}: exempt for GET and HEAD"
    else:
        proof = ", a 2xx proves a key" if any(settings.is_proof(each) for each in route.methods) else ""
        means = f"{settings.label}: {settings.dialect}{proof}"
    return f"  {name:<9} {route.path:<32} {means}"


def _idle(policy: Policy, routes: Sequence[AppRoute]) -> Iterator[str]:
    """Routes of the policy that are nobody's here: perhaps a slip of the pen."""
    for each in policy.routes:
        if not any(each.matches(route.example.rstrip("/") or "/", method) for route in routes for method in route.methods or ("GET",)):
            yield f"  The policy's route {', '.join(each.path)} is none of the app's."


def _verdict(policy: Policy, answers: Sequence[Answer]) -> bool:
    """Say what the answers mean; whether something is wrong."""
    matters = "app" in probe.trusts(policy)
    proving = [each for each in answers if matters and _proves(policy, each)]
    bad = [each for each in proving if each.accepted]
    harmless = [each for each in answers if each.accepted and each not in bad]
    unclear = [each for each in proving if not each.accepted and not each.refused]
    refused, accepted = sum(each.refused for each in answers), len(bad) + len(harmless)
    rest = len(answers) - refused - accepted
    click.echo(f"  {len(answers)} requests with one: {refused} refused (401 or 403), {accepted} accepted, {rest} neither.")
    for what in _places(bad):
        click.echo(f"  WRONG: {what} accepts it.")
    if bad:
        cure = "Let the app check keys there, or give the policy a route for it with `proves: false`."
        click.echo(paragraph(f"The policy takes a 2xx there for proof of a key, so anybody could invent accounts. {cure}", "    "))
    for what in _places(unclear):
        click.echo(f"  Unclear: {what}, so whether it would accept one is not known.")
    if harmless:
        why = "nothing is proved there" if matters else "in this policy it is not the app that proves keys"
        click.echo(paragraph(f"Accepted, but {why}: {_some(harmless)}.", "  "))
    return bool(bad)


def _proves(policy: Policy, answer: Answer) -> bool:
    settings = _route(policy, answer.route.example, answer.method)
    return settings is not None and not settings.exempt and settings.is_proof(answer.method)


def _places(answers: Sequence[Answer]) -> list[str]:
    """What was asked and answered, one line for all headers that came out alike."""
    headers: dict[str, list[str]] = {}
    for each in answers:
        said = "" if each.accepted else f" answers {each.status}" if isinstance(each.status, int) else f" {each.status}"
        headers.setdefault(f"{each.method} {each.route.path}{{}}{said}", []).append(each.header)
    return [place.replace("{}", f" (key in {' or '.join(names)})") for place, names in headers.items()]


def _some(answers: Sequence[Answer]) -> str:
    places = list(dict.fromkeys(f"{each.method} {each.route.path}" for each in answers))
    more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
    return ", ".join(places[:_NAMED]) + more
