"""`guardrail-mw appeals`: who objects to a refusal, what they wrote, and what is decided."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from guardrail_mw.cli.output import Group, paragraph
from guardrail_mw.cli.reach import Where, json_option, reachable, run
from guardrail_mw.engine.figures import clean, plural, utc
from guardrail_mw.engine.table import table

__all__ = ["appeals"]

_MANY: Final = click.IntRange(1, 200)
_SHOWN: Final = 20


@click.group(cls=Group, short_help="See who objects to a refusal, and decide about it.")
def appeals() -> None:
    """See who objects to a refusal and what they wrote, and decide about it.

    ID is an appeal's, or as much of it as no other begins with. All accounts of a suspect cluster share one. What changes
    something needs a reason, which whoever appealed reads. By the operator's port (--url) or the shared store of the policy.

    Exit codes: 0 it is done; 1 the policy is bad; 2 it cannot be done.
    """


@appeals.command("list")
@click.option(
    "--state", type=click.Choice(["open", "granted", "refused"]), default=None, help="Only these; all unless given."
)
@click.option("-n", "most", type=_MANY, default=100, show_default=True, help="How many at most.")
@json_option
@reachable
def _list(state: str | None, most: int, url: str | None, policy: str | None, *, as_json: bool) -> None:
    """List appeals: open ones first, of those the oldest first; then the latest decided."""
    found = run(Where(url, policy), lambda operator: operator.casework.appeals(most, state or ""))
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _print(_listed(found))


@appeals.command("show")
@click.argument("appeal", metavar="ID")
@json_option
@reachable
def _show(appeal: str, url: str | None, policy: str | None, *, as_json: bool) -> None:
    """Say who appealed, what they wrote, and what was decided before."""
    found = run(Where(url, policy), lambda operator: operator.casework.appeal(appeal))
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        _print(_told(found))


@appeals.command("decide", short_help="Grant an appeal, or refuse it.")
@click.argument("appeal", metavar="ID")
@click.argument("decision", type=click.Choice(["granted", "refused"]))
@click.option("--reason", required=True, help="Why, in a line; whoever appealed reads it.")
@click.option("--until", "--for", "until", metavar="DURATION", default="30d", show_default=True, help="For how long.")
@json_option
@reachable
def _decide(
    appeal: str, decision: str, reason: str, until: str, url: str | None, policy: str | None, *, as_json: bool
) -> None:
    """Grant an appeal, or refuse it, with effect from the account's next request on.

    Granted, what is remembered of the account's risk is forgotten, and it is let through for that long, whatever its risk; its
    limits hold. A cluster is released, as `clusters release` does. Refused, what holds goes on holding. Either way each account
    that appealed is labelled appeal-granted or appeal-refused for that long.
    """
    granted = decision == "granted"
    found = run(
        Where(url, policy),
        lambda operator: operator.casework.decide_appeal(appeal, granted=granted, reason=reason, until=until),
    )
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(f"Appeal {found['id']} of {_whose(found)} is {found['state']}{_holds(found)}.")
    click.echo(f"{plural(len(found['touched']), 'account')} touched:")
    for account in found["touched"][:_SHOWN]:
        click.echo(f"  {account}")
    if len(found["touched"]) > _SHOWN:
        click.echo(f"  and {len(found['touched']) - _SHOWN:,} more; --json has all of them")


def _holds(found: Mapping[str, Any]) -> str:
    end = f"until {utc(found['until'])}" if found["until"] else "for good"
    if found["state"] != "granted":
        return f": what held holds, and it is labelled {end}"
    return f": it is {'released' if found['cluster'] else 'let through, whatever its risk,'} {end}"


def _whose(item: Mapping[str, Any]) -> str:
    return f"cluster {item['cluster']}" if item["cluster"] else str(item["subject"])


def _listed(found: Mapping[str, Any]) -> Iterator[str]:
    if not found["appeals"]:
        yield "There are no such appeals. Refusals for risk carry `appeal_url` where the policy has `verification:`."
        return
    rows = [
        (each["id"], _whose(each), each["state"], f"{each['times']:,}", utc(each["opened"])[:16], each["reason"])
        for each in found["appeals"]
    ]
    yield from table(("appeal", "of", "state", "times", "opened", "reason"), rows)
    if found["more"]:
        yield "There are more: -n and --state say which are listed."


def _told(item: Mapping[str, Any]) -> Iterator[str]:
    yield f"Appeal   {item['id']} of {_whose(item)}, {item['state']}"
    yield f"Opened   {utc(item['opened'])}; {plural(item['times'], 'time')} in all, by {plural(len(item['accounts']), 'account')}"
    for each in item["texts"]:
        yield f"  {utc(each['at'])}  {each['account']}, of decision {each['decision']}"
        yield paragraph(clean(each["text"]), "    ")
    if item["times"] > len(item["texts"]):
        yield "  Of some it is not kept what they wrote: they were many, or were erased."
    for each in item["decisions"]:
        yield f"Decided  {utc(each['at'])}: {each['what']}: {each['reason']}"
    if item["cluster"]:
        yield f"See      guardrail-mw clusters show {item['cluster']}"
    if item["state"] == "open":
        yield f"Decides  guardrail-mw appeals decide {item['id'][:6]} granted|refused --reason …"


def _print(lines: Iterator[str]) -> None:
    for line in lines:
        for each in line.split("\n"):
            click.echo(clean(each))
