"""`guardrail-mw accounts`: see how an account stands, and put it right."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import click

from guardrail_mw.cli.output import Cannot, Group
from guardrail_mw.cli.reach import Reach, Where, here, json_option, reachable, run
from guardrail_mw.engine import Guardrail
from guardrail_mw.engine.desk import Operator
from guardrail_mw.engine.explaining import explain_account, explain_limits
from guardrail_mw.engine.figures import plural, utc
from guardrail_mw.policy import Policy
from guardrail_mw.stores.memory import MemoryStore

__all__ = ["accounts"]

_reason = click.option("--reason", required=True, help="Why, in a line.")
_until = click.option(
    "--until", "--for", "until", metavar="DURATION", help="For how long, such as 7d; for good unless given."
)
_given_until = click.option(
    "--until", "--for", "until", metavar="DURATION", help="For how long, such as 7d; needed, but for none."
)


@click.group(cls=Group, short_help="See how an account stands, and put it right.")
def accounts() -> None:
    """See how an account stands, and put it right.

    ACCOUNT is its digest, a:…, as events and explain have it; `accounts id` makes it from a credential. What changes something
    needs a reason, which is kept. By the operator's port (--url) or the shared store of the policy.

    Exit codes: 0 it is done; 1 the policy is bad; 2 it cannot be done.
    """


@accounts.command("show")
@click.argument("account")
@json_option
@reachable
def _show(account: str, url: str | None, policy: str | None, *, as_json: bool) -> None:
    """Say what is remembered of ACCOUNT, and what its limits hold."""

    async def ask(operator: Reach) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        return await operator.show(account), await operator.limits(account)

    shown, limits = run(Where(url, policy), ask)
    _print({**shown, "limits": limits} if as_json else explain_account(shown, limits))


@accounts.command("limits", short_help="Say how each of ACCOUNT's limits stands.")
@click.argument("account")
@click.option("--route", default="", help="A path or a route's name; the first metered route unless given.")
@json_option
@reachable
def _limits(account: str, route: str, url: str | None, policy: str | None, *, as_json: bool) -> None:
    """Say how each limit stands that would hold for ACCOUNT's next request."""
    found = run(Where(url, policy), lambda operator: operator.limits(account, route))
    _print({"limits": found} if as_json else explain_limits(found))


@accounts.command("reset")
@click.argument("account")
@click.option(
    "--limit", metavar="NAME", help="Only this one; all counters, and what is remembered of its risk, unless given."
)
@_reason
@reachable
def _reset(account: str, limit: str | None, reason: str, url: str | None, policy: str | None) -> None:
    """Make ACCOUNT's counters as new."""
    found = _act("reset", account, url, policy, reason=reason, limit=limit)
    click.echo(f"{plural(found['fields'], 'counter')} of {account} made as new.")


@accounts.command("refill")
@click.argument("account")
@click.option("--limit", metavar="NAME", required=True, help="Which one.")
@_reason
@reachable
def _refill(account: str, limit: str, reason: str, url: str | None, policy: str | None) -> None:
    """Make one limit of ACCOUNT as new."""
    found = _act("refill", account, url, policy, reason=reason, limit=limit)
    was = plural(found["fields"], "counter") if found["fields"] else "nothing was counted"
    click.echo(f"{limit} of {account} is as new ({was}).")


@accounts.command("tier")
@click.argument("account")
@click.argument("tier_name", metavar="[TIER|none]")
@_given_until
@_reason
@reachable
def _tier(account: str, tier_name: str, until: str | None, reason: str, url: str | None, policy: str | None) -> None:
    """Give ACCOUNT a tier for a time, whatever its credential says; none takes it back.

    What the policy says with `when: {tier: …}` then holds for it from its next request on: larger limits, for instance.
    """
    found = _act("tier", account, url, policy, reason=reason, tier=tier_name, until=until)
    now = "its credential says its tier again" if tier_name == "none" else f"tier {tier_name} {_end(found['until'])}"
    click.echo(f"{account}: {now}.")


@accounts.command("label")
@click.argument("account")
@click.argument("label_name", metavar="LABEL")
@click.option("--remove", is_flag=True, help="Take it away.")
@_until
@_reason
@reachable
def _label(
    account: str, label_name: str, until: str | None, reason: str, url: str | None, policy: str | None, *, remove: bool
) -> None:
    """Put LABEL on ACCOUNT, for scorers and people to read."""
    if remove:
        found = _act("unlabel", account, url, policy, reason=reason, slug=label_name)
        click.echo(f"{account} is not labelled {label_name}{'' if found['there'] else ', and was not'}.")
        return
    found = _act("label", account, url, policy, reason=reason, slug=label_name, until=until)
    click.echo(f"{account} is labelled {label_name} {_end(found['until'])}.")


@accounts.command("override")
@click.argument("account")
@click.argument("what", metavar="[allow|deny|none|RUNG]")
@_until
@_reason
@reachable
def _override(account: str, what: str, until: str | None, reason: str, url: str | None, policy: str | None) -> None:
    """Decide for ACCOUNT, whatever its risk; none takes that back. Its limits hold all the same."""
    found = _act("override", account, url, policy, reason=reason, what=what, until=until)
    click.echo(f"{account}: {_decided(what, found['until'])}.")


def _decided(what: str, until: int | None) -> str:
    if what == "none":
        return "its risk decides again"
    limits = "" if what == "deny" else "; its limits hold as before (`accounts tier` gives it others)"
    return f"{what} {_end(until)}, whatever its risk{limits}"


@accounts.command("export")
@click.argument("account")
@reachable
def _export(account: str, url: str | None, policy: str | None) -> None:
    """Print all that the store keeps of ACCOUNT, as JSON."""
    _print(run(Where(url, policy), lambda operator: operator.export(account)))


@accounts.command("erase", short_help="Forget ACCOUNT, but not what was decided against it.")
@click.argument("account")
@_reason
@reachable
def _erase(account: str, reason: str, url: str | None, policy: str | None) -> None:
    """Forget ACCOUNT: counters, standing and the reasons in it, cases and appeals. What was decided against it stays.

    An override other than allow, and a verdict, are kept: take those back first where they are to go too. Providers of
    verification are asked to forget the account as well; what they may still have is said. Budgets begin anew. By the operator's
    port the reason is in the server's log; by the store it is kept nowhere, for nothing is kept of the account.
    """
    found = _act("erase", account, url, policy, reason=reason)
    click.echo(f"{account} is forgotten." if found["erased"] else f"Nothing was kept of {account}.")
    if found["kept"]:
        click.echo(f"Left, because it holds against the account: {', '.join(found['kept'])}.")
    for each in found["left"]:
        said = f"{each['provider']} may still have its verification {each['verification']} ({each['why']}). Have it erased there."
        click.echo(said)


@accounts.command("id", short_help="Print the account of a credential from standard input.")
@click.option("--source", metavar="NAME", help="The source whose credential it is; whichever recognises it unless given.")
@reachable
def _identify(source: str | None, url: str | None, policy: str | None) -> None:
    """Print the account of a credential that is read from standard input: a key, a token, a proxy's name for the account.

    Never give it as an argument: others see those. By the operator's port (--url), which keeps it nowhere, or here: then
    GUARDRAIL_ID_KEY must be the servers'.
    """
    where = Where(url, policy)
    found = None if where.url is not None else _sources(where)
    text = click.prompt("Credential", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.read()
    credential = text.strip()
    if not credential:
        raise Cannot("Nothing came on standard input. Write: guardrail-mw accounts id < file-with-the-key")
    if found is None:
        click.echo(run(where, lambda operator: operator.identify(credential, source))["account"])
    else:
        click.echo(here(lambda: _account(found, credential, source))["account"])


def _sources(where: Where) -> Policy:
    """The policy whose sources of identity it is read by, here."""
    if not os.environ.get("GUARDRAIL_ID_KEY", "").strip():
        cure = "Set it, or ask the operator's port (--url)."
        raise Cannot(f"GUARDRAIL_ID_KEY is not set: without the servers' key the digest would be nobody's. {cure}")
    found = where.policy()
    if found is None:
        raise Cannot("No policy is named (--policy, GUARDRAIL_POLICY), and no operator's port (--url).")
    return found


async def _account(policy: Policy, credential: str, source: str | None) -> dict[str, Any]:
    guardrail = Guardrail(policy.unwatched(), store=MemoryStore())
    try:
        return await Operator(guardrail).identify(credential, source)
    finally:
        await guardrail.close()


def _act(verb: str, account: str, url: str | None, policy: str | None, **given: str | None) -> dict[str, Any]:
    said = {name: value for name, value in given.items() if value is not None}
    return run(Where(url, policy), lambda operator: operator.act(verb, account, said))


def _end(until: int | None) -> str:
    return "for good" if until is None else f"until {utc(until)}"


def _print(found: dict[str, Any] | list[str]) -> None:
    if isinstance(found, dict):
        click.echo(json.dumps(found, indent=2))
        return
    for line in found:
        click.echo(line)
