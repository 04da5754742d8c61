"""The command: read, refuse what cannot be compared, replay, and tell."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from guardrail_mw.cli.output import Cannot, quiet, write
from guardrail_mw.cli.replay.cautions import cautions, different
from guardrail_mw.cli.replay.comparing import Comparison
from guardrail_mw.cli.replay.page import page
from guardrail_mw.cli.replay.reading import Events
from guardrail_mw.cli.replay.telling import Told, by, printable, tell
from guardrail_mw.engine.replaying import Replay
from guardrail_mw.identity.keys import Secrets, derive
from guardrail_mw.policy import Policy, load
from guardrail_mw.quantities import Duration

if TYPE_CHECKING:
    from guardrail_mw.values import Mode

__all__ = ["replay"]

_OFTEN: Final = 1_000
_File = click.Path(exists=True, dir_okay=False, path_type=Path)
_New = click.Path(dir_okay=False, writable=True, allow_dash=False, path_type=Path)


def _duration(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int:
    try:
        return Duration.parse(value).us if value is not None else 0
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command(short_help="Say what a policy would have done about recorded requests.")
@click.argument("events", nargs=-1, required=True, type=_File)
@click.option("--policy", "policy", required=True, help="The policy to try: a file, or the name of one that ships.")
@click.option(
    "--recorded",
    multiple=True,
    metavar="POLICY",
    help="A policy that the events were recorded by; may be given several times.",
)
@click.option(
    "--mode",
    type=click.Choice(["enforce", "shadow"]),
    help="enforce: what is refused uses nothing; shadow: requests go on as they did. The policy's own unless given.",
)
@click.option(
    "--warm",
    metavar="DURATION",
    callback=_duration,
    help="Count nothing of the first so much, such as 1h, while counters and memories fill.",
)
@click.option("--html", type=_New, help="Write the report there, with plots, as one page that needs nothing else.")
@click.option("--json", "written", type=_New, help="Write the figures there.")
def replay(
    events: tuple[Path, ...],
    policy: str,
    recorded: tuple[str, ...],
    mode: Mode | None,
    warm: int,
    html: Path | None,
    written: Path | None,
) -> None:
    """Say what a policy would have decided about the requests in EVENTS, and for whom that would be new.

    EVENTS are files of the sink `jsonl`, one event a line; what ends in .gz is unpacked, and the order does not matter. Limits,
    velocity and friction are worked out anew; what scorers other than velocity and cluster found is taken as recorded. A policy
    that attributes requests in another way than the one given as --recorded is refused: events cannot tell.

    Exit codes: 0 it was replayed, whatever came out; 1 a policy is bad; 2 the events cannot be read or compared.
    """
    new, old = load(policy), [(name, load(name)) for name in recorded]
    acting = mode or new.mode
    if acting == "off":
        raise Cannot(f"{policy} is switched off (`mode: off`): it would do nothing. Try it with --mode enforce.")
    for name, each in old:
        _same_identity(new, policy, each, name)
    with Events(events) as found, quiet():
        told = _replayed(found, new, policy, old, acting, warm)
    for line in tell(told):
        click.echo(printable(line))
    if html is not None:
        write(html, page(told))
    if written is not None:
        write(written, json.dumps(_figures(told), indent=1) + "\n")


def _replayed(events: Events, new: Policy, name: str, old: Sequence[tuple[str, Policy]], mode: Mode, warm: int) -> Told:
    secrets = Secrets.read(os.environ, shared=False)
    with _bar(events.size, "Reading  ") as bar:
        events.read(bar.update)
    _recorded_by(events, old)
    if events.identities != {new.identity_hash}:
        raise Cannot(
            f"{name} cannot be replayed: it attributes requests in another way than what recorded these events ({by(events)}). "
            f"{_WHY} --recorded OLD.yaml says in what the two differ."
        )
    policies = [each for _, each in old]
    paths = {route.label: route.path[0] for each in policies for route in each.routes}
    replaying = Replay(new, mode=mode, key=derive(secrets.id_key, "friction"), paths=paths)
    comparison = Comparison(new, first=events.first, last=events.last, warm=warm)
    with _bar(events.count, "Replaying") as bar:
        asyncio.run(_run(events, replaying, comparison, bar))
    keyless = "GUARDRAIL_ID_KEY" in secrets.made_up
    care = cautions(new, policies, events, replaying, comparison, keyless=keyless)
    return Told(new, name, mode, events, comparison, care)


async def _run(events: Events, replaying: Replay, comparison: Comparison, bar: Any) -> None:
    number = 0
    for number, past in enumerate(events, 1):
        comparison.add(past, await replaying.decide(past))
        if not number % _OFTEN:
            bar.update(_OFTEN)
    bar.update(events.count - number + number % _OFTEN)


def _bar(length: int, label: str) -> Any:
    """Progress, where somebody watches: on the terminal's error stream, or nowhere."""
    return click.progressbar(length=length, label=label, file=sys.stderr, hidden=not sys.stderr.isatty(), width=0)


_WHY = "Events hold digests of accounts and networks, not what those were made from. Give both the same `identity`."


def _same_identity(new: Policy, name: str, old: Policy, recorded: str) -> None:
    """Refuse to compare what cannot be compared.

    Raises:
        Cannot: the two attribute requests in different ways.
    """
    found = different(new.identity, old.identity)
    if found:
        raise Cannot(
            f"{name} cannot be replayed: it attributes requests in another way than {recorded}, by which they were recorded "
            f"({', '.join(found)}). {_WHY}"
        )


def _recorded_by(events: Events, old: Sequence[tuple[str, Policy]]) -> None:
    if not events.count:
        raise Cannot("\n".join(["There is no event in these files.", *events.complaints]))
    for name, each in old:
        if each.hash not in events.policies:
            raise Cannot(
                f"{name} is not what these events were recorded by: its hash is {each.hash}, and they name {by(events)}. "
                "`mode` and what stands for ${…} count, too."
            )


def _figures(told: Told) -> dict[str, Any]:
    return {
        "policy": told.policy.hash,
        "mode": told.mode,
        "recorded": told.events.policies,
        "events": told.events.count,
        "malformed": told.events.malformed,
        "repeated": told.events.repeated,
        "cautions": told.cautions,
        **told.comparison.written(),
    }
