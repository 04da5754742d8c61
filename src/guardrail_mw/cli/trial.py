"""`guardrail-mw try`: what a policy would do to one request, and why."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import click

from guardrail_mw.cli.output import Cannot, quiet
from guardrail_mw.cli.request import Request, parse
from guardrail_mw.cli.telling import tell
from guardrail_mw.cli.watching import Seen, Still, watch
from guardrail_mw.engine import Guardrail
from guardrail_mw.policy import load
from guardrail_mw.quantities import Duration
from guardrail_mw.stores.memory import MemoryStore

__all__ = ["attempt"]


class _Every(click.ParamType[Duration]):
    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Duration:
        """`250ms`, `1s`."""
        try:
            return value if isinstance(value, Duration) else Duration.parse(str(value))
        except ValueError as error:
            self.fail(f"{error}", param, ctx)


@click.command("try", short_help="Say what a policy would do to one request.")
@click.argument("policy")
@click.argument("request_file", metavar="REQUEST.json", type=click.Path(allow_dash=True))
@click.option("--repeat", default=1, type=click.IntRange(1, 100_000), help="Send it so many times, one after another.")
@click.option("--every", type=_Every(), help="Let so much time pass between two, such as 250ms; none unless given.")
def attempt(policy: str, request_file: str, repeat: int, every: Duration | None) -> None:
    """Say what POLICY would do to one request: its route, who pays, each limit and its cost, and the answer.

    REQUEST.json (- for standard input) holds {"path": …} and, where it has them, "method", "headers", "body" and "client"
    (an address). Counters begin empty, in memory, and nothing goes to the policy's sinks; the app is taken to accept it and to
    use what was reserved. Keys are not shown.

    Exit codes: 0 it was tried, whatever came out; 1 the policy is bad; 2 the request is.
    """
    found = load(policy)
    request = parse(_read(request_file), "<stdin>" if request_file == "-" else request_file)
    clock = Still()
    with quiet():
        guardrail = Guardrail(found.unwatched(), store=MemoryStore(clock=clock), clock=clock)
        seen = asyncio.run(_attempts(guardrail, request, clock, repeat, every.us if every is not None else 0))
    passing = "GUARDRAIL_ID_KEY" in guardrail.secrets.made_up

    def told(number: int) -> None:
        for line in tell(seen[number], request, guardrail.engine.mode, passing=passing):
            click.echo(line)

    told(0)
    if repeat > 1:
        pace = f"one every {every}" if every is not None else "one after another, in no time"
        click.echo(f"\nSent {repeat} times, {pace}")
        for line in _runs(seen):
            click.echo(line)
        other = next((number for number, each in enumerate(seen) if each.outcome != seen[0].outcome), None)
        if other is not None:
            click.echo(f"\nNumber {other + 1}")
            told(other)


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise Cannot(f"{name} cannot be read: {reason.lower()}.") from error


async def _attempts(guardrail: Guardrail, request: Request, clock: Still, repeat: int, every: int) -> list[Seen]:
    seen = []
    try:
        for number in range(repeat):
            if number:
                clock.advance(every)
            seen.append(await watch(guardrail, request))
    finally:
        await guardrail.close()
    return seen


def _runs(seen: Sequence[Seen]) -> list[str]:
    """Neighbours that came out alike, together."""
    lines, first = [], 1
    for outcome, group in groupby(seen, key=lambda each: each.outcome):
        last = first + len(list(group)) - 1
        place = f"{first}" if first == last else f"{first} to {last}"
        lines.append(f"  {place:<12} {outcome}")
        first = last + 1
    return lines
