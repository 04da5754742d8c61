"""`guardrail-mw cases`: who is to be verified, how far that is, and an operator's decision about it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from guardrail_mw.cli.output import Cannot, Group
from guardrail_mw.cli.reach import Where, json_option, reachable, run
from guardrail_mw.engine.casework import DECISIONS
from guardrail_mw.engine.figures import clean, span, utc
from guardrail_mw.engine.states import STATES
from guardrail_mw.engine.table import table

__all__ = ["cases"]

_MANY: Final = click.IntRange(1, 200)


@click.group(cls=Group, short_help="See who is to be verified, and decide about it.")
def cases() -> None:
    """See who is to be verified and how far that is, and decide about it.

    ID is a case's, or as much of it as no other begins with. What changes something needs a reason, which is kept. By the
    operator's port (--url) or the shared store of the policy.

    Exit codes: 0 it is done; 1 the policy is bad; 2 it cannot be done.
    """


@cases.command("list")
@click.option("--state", type=click.Choice(["open", *STATES]), default=None, help="Only these; all unless given.")
@click.option("-n", "most", type=_MANY, default=100, show_default=True, help="How many at most.")
@json_option
@reachable
def _list(state: str | None, most: int, url: str | None, policy: str | None, *, as_json: bool) -> None:
    """List cases: open ones first, of those the first due first; then the latest decided."""
    found = run(Where(url, policy), lambda operator: operator.casework.cases(most, state or ""))
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _print(_listed(found))


@cases.command("show")
@click.argument("case", metavar="ID")
@json_option
@reachable
def _show(case: str, url: str | None, policy: str | None, *, as_json: bool) -> None:
    """Say how far a case is, and all that happened in it."""
    found = run(Where(url, policy), lambda operator: operator.casework.case(case))
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _print(_told(found))


@cases.command("decide", short_help="Decide a case, whoever its provider is.")
@click.argument("case", metavar="ID")
@click.argument("state", type=click.Choice(DECISIONS))
@click.option("--reason", required=True, help="Why, in a line.")
@click.option(
    "--document", is_flag=True, help="Note the document that was seen: its country and number, a line of standard input."
)
@click.option(
    "--person", is_flag=True, help="Note the person's official number, a line of standard input after the document's."
)
@json_option
@reachable
def _decide(  # noqa: PLR0913 - the options of a command
    case: str,
    state: str,
    reason: str,
    url: str | None,
    policy: str | None,
    *,
    document: bool,
    person: bool,
    as_json: bool,
) -> None:
    """Decide a case, whoever its provider is, with effect from the account's next request on.

    approved is worth what the policy says of the case's level; withdrawn takes an approval back, or the whole verification.
    Numbers become tokens at once: a document that has verified too many accounts makes the case a duplicate, which is declined.
    """
    numbers = [_read(what) if wanted else None for what, wanted in (("Document", document), ("Person", person))]
    found = run(Where(url, policy), lambda operator: operator.casework.decide_case(case, state, reason, *numbers))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(f"Case {found['id']} of {found['account']} is {found['state']}{_ending(found)}.")
    if found["state"] == "duplicate":
        click.echo("This document, or this person, has verified too many accounts in 90 days (`verification.duplicates`).")


def _read(what: str) -> str:
    """A line that no other user of the machine sees, as arguments are seen.

    Raises:
        Cannot: nothing came.
    """
    text: str = click.prompt(what, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    if not text.strip():
        raise Cannot(f"No number came on standard input for --{what.lower()}.")
    return text.strip()


def _listed(found: Mapping[str, Any]) -> Iterator[str]:
    if not found["cases"]:
        yield "There are no such cases. The policy's `verification:` and its rungs `do: verify` make them."
        return
    rows = [
        (
            each["id"],
            each["subject"],
            f"{each['provider']} {each['level']}",
            each["state"],
            utc(each["asked"])[:16],
            _due(each, found["now"]),
        )
        for each in found["cases"]
    ]
    yield from table(("case", "of", "provider, level", "state", "asked", ""), rows)
    if found["more"]:
        yield "There are more: -n and --state say which are listed."


def _due(case: Mapping[str, Any], now: int) -> str:
    if not case["open"]:
        return _ending(case).removeprefix(" ")
    if case["overdue"]:
        return f"overdue since {utc(case['deadline'])[:16]}"
    return f"due in {span(case['deadline'] - now)}"


def _ending(case: Mapping[str, Any]) -> str:
    return f" until {utc(case['until'])}" if case["state"] == "approved" and case["until"] else ""


def _told(case: Mapping[str, Any]) -> Iterator[str]:
    yield f"Case     {case['id']}, {case['state']}{_ending(case)}"
    if case["subject"] != case["account"]:
        yield f"Of       the organisation behind cluster {case['subject'].removeprefix('c:')}"
    yield f"Account  {case['account']}, stopped by the rung {case['rung']} (decision {case['decision']})"
    begun = f", which calls it {case['verification']}" if case["verification"] else ""
    yield f"Asked    for {case['level']} by {case['provider']}{begun}, {utc(case['asked'])}"
    if case["open"]:
        yield f"Deadline {utc(case['deadline'])}{', which has passed' if case['overdue'] else ''}"
    worth = [f"{name} {case[name]}" for name in ("ial", "acr") if case[name]]
    if worth:
        yield f"Worth    {', '.join(worth)}"
    for each in case["history"]:
        yield f"  {utc(each['at'])}  {each['said']}"
    if case["open"]:
        yield f"Decides  guardrail-mw cases decide {case['id'][:8]} approved|declined|withdrawn --reason …"


def _print(lines: Iterator[str]) -> None:
    for line in lines:
        click.echo(clean(line))
