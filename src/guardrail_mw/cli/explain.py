"""`guardrail-mw explain`: why a request was decided as it was, or how an account stands."""

from __future__ import annotations

import gzip
import json
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from guardrail_mw.cli.output import PROBLEM, Cannot
from guardrail_mw.cli.reach import Reach, Where, json_option, reachable, run
from guardrail_mw.engine.explaining import explain as explain_event
from guardrail_mw.engine.explaining import explain_account, summarise
from guardrail_mw.policy import Policy
from guardrail_mw.telemetry.event import troubles
from guardrail_mw.telemetry.jsonl import rotated

__all__ = ["explain"]

_DECISION: Final = re.compile(r"[0-9a-f]{24}")
_ACCOUNT: Final = re.compile(r"[an]:[A-Za-z0-9_-]{8,64}")
_KEPT: Final = 10_000
"""The latest events of an account that are looked at."""


@click.command(short_help="Say why a request was decided as it was, or how an account stands.")
@click.argument("what", metavar="DECISION|ACCOUNT")
@click.argument("more", metavar="[FILE]...", nargs=-1)
@click.option("--events", metavar="FILE", multiple=True, help="A log of events (JSON lines, also .gz); several may follow.")
@json_option
@reachable
@click.pass_context
def explain(
    ctx: click.Context,
    what: str,
    more: tuple[str, ...],
    events: tuple[str, ...],
    url: str | None,
    policy: str | None,
    *,
    as_json: bool,
) -> None:
    """Say what was seen, how far it was from the limit or the threshold, and what would bring it down.

    DECISION is what x-guardrail-decision said, ACCOUNT a digest, a:… or n:…. From the logs of events that are named, else from
    the operator's port (--url), else from the log that the policy's `jsonl` sink writes. With the policy that decided
    (--policy), weights, amounts and decay are known too.

    Exit codes: 0 it is explained; 1 nothing is known of it; 2 there is nothing to read.
    """
    decision = _DECISION.fullmatch(what) is not None
    if not decision and _ACCOUNT.fullmatch(what) is None:
        raise Cannot(f"{what[:80]!r} is neither a decision (24 hex digits) nor an account (a:… or n:…).")
    where = Where(url, policy)
    files = [Path(name) for name in (*events, *more)]
    if files or where.url is None:
        found = _from_files(what, files or _written(where.policy()))
    elif decision:
        event, said = run(where, lambda operator: _decided(operator, what, as_json=as_json))
        if event is None or as_json:
            _tell(ctx, what, [event] if event is not None else [], None, as_json=as_json)
        else:
            click.echo("\n".join(said))
        return
    else:
        _tell_account(where, what, as_json=as_json)
        return
    _tell(ctx, what, found, where.policy(), as_json=as_json, files=True)


async def _decided(operator: Reach, decision: str, *, as_json: bool) -> tuple[dict[str, Any] | None, Sequence[str]]:
    """The event, and the server's words for it: it has the policy that decided, and knows where the account's rungs begin."""
    event = await operator.find(decision)
    if event is None or as_json:
        return event, ()
    return event, await operator.why(decision) or explain_event(event)


def _tell_account(where: Where, account: str, *, as_json: bool) -> None:
    async def ask(operator: Reach) -> tuple[dict[str, Any], list[dict[str, Any]], Sequence[str]]:
        shown, limits = await operator.show(account), await operator.limits(account)
        touched = _worth(shown["decisions"])
        if touched is None or as_json:
            return shown, limits, ()
        return shown, limits, await operator.why(touched["id"]) or explain_event(touched, rungs=shown["rungs"])

    shown, limits, said = run(where, ask)
    if as_json:
        click.echo(json.dumps({**shown, "limits": limits}, indent=2))
        return
    click.echo("\n".join([*explain_account(shown, limits), *(["", *said] if said else [])]))


def _tell(
    ctx: click.Context,
    what: str,
    found: Sequence[Mapping[str, Any]],
    policy: Policy | None,
    *,
    as_json: bool,
    files: bool = False,
) -> None:
    """Print what there is of events, the newest first; `files` where they came from logs."""
    if not found:
        where = "It may be in an older log, or still with its server (--url)."
        kept = "Servers keep their last 10,000 decisions; older ones are in logs."
        click.echo(f"Nothing is known of {what} there. {where if files else kept}", err=True)
        ctx.exit(PROBLEM)
    if as_json:
        click.echo(json.dumps(found[0] if _DECISION.fullmatch(what) else list(found), indent=2))
        return
    lines: list[str] = []
    shown = found[0]
    if _DECISION.fullmatch(what) is None:
        lines = [*summarise(what, found), ""]
        shown = _worth(found) or shown
    click.echo("\n".join([*lines, *explain_event(shown, policy=policy)]))


def _worth(found: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The latest of an account's decisions that was more than an allow, else the latest."""
    touched = (event for event in found if event["decision"] != "allow" or event["would"] is not None)
    return next(touched, found[0] if found else None)


# Logs


def _written(policy: Policy | None) -> list[Path]:
    """What the policy's sinks have written, the oldest first."""
    paths = []
    for item in policy.telemetry.events if policy is not None else ():
        path = getattr(item.with_, "path", None) if item.use == "jsonl" else None
        if path is not None:
            named = Path(path)
            every = sorted(named.parent.glob(named.name.replace("{pid}", "*"))) if "{pid}" in path else [named]
            for live in every:
                paths += [*(rotated(live) if live.parent.is_dir() else ()), *([live] if live.exists() else ())]
    if not paths:
        cure = "Name a log (--events FILE), the operator's port (--url), or a policy whose `telemetry` has a `jsonl` sink."
        raise Cannot(f"There is nothing to read decisions from. {cure}")
    return paths


def _from_files(what: str, files: Sequence[Path]) -> list[dict[str, Any]]:
    """The events that are about it, the newest first; of many, those that stand last. What is no event is counted, and said."""
    lines: deque[bytes] = deque(maxlen=_KEPT)
    several = 0
    for path in files:
        for line in _lines(path, what.encode()):
            lines.append(line)
            several += 1
    events = [_event(line) for line in lines]
    found = [event for event in events if event is not None]
    if several > len(lines):
        click.echo(f"{several} lines name {what}; the last {len(lines)} are looked at.", err=True)
    if len(found) < len(events):
        bad = len(events) - len(found)
        click.echo(f"{bad} lines that name {what} are no events of this version, and are left out.", err=True)
    mine = [event for event in found if what in {event["id"], event["account"], event["candidate"]}]
    return sorted(mine, key=lambda event: -event["at"])


def _lines(path: Path, needle: bytes) -> Iterator[bytes]:
    """Lines that hold the needle."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
            yield from (line for line in lines if needle in line)
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or "it is not whole"
        raise Cannot(f"{path} cannot be read: {reason.lower()}.") from error


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and next(troubles(event), None) is None else None
