"""`guardrail-mw link`: evidence that the provider's own systems have, out of a file."""

from __future__ import annotations

from pathlib import Path

import click

from guardrail_mw.cli.feeding import Fed, file_type, link_now, look_through
from guardrail_mw.cli.sharing import clustered, named, shared, sharing
from guardrail_mw.engine import Guardrail
from guardrail_mw.engine.figures import plural

__all__ = ["link"]


@click.command(short_help="Feed in what your own systems know of accounts.")
@click.argument("file", type=file_type)
@click.option(
    "--skip-bad", is_flag=True, help="Write the others where a line is bad; unless given, nothing is written then."
)
@sharing
def link(file: Path, policy: str | None, *, skip_bad: bool) -> None:
    """Note what FILE says of accounts, as evidence of who acts together: payment methods, organisations, devices.

    FILE has a JSON object a line (.gz is unpacked), or is Parquet (.parquet). Its fields: account (a:…, or a credential: a key, a
    token, a proxy's name for it), or instead subject and issuer (the name of an account as its issuer has it); kind and value;
    created, when the account was opened (2026-11-24T16:00:00Z, or seconds since 1970). A line may tell created alone.

    All of it is looked through before anything is written. By the shared store of the policy; GUARDRAIL_ID_KEY must be the
    servers'. Exit codes: 0 it is written; 1 the policy is bad; 2 it cannot be, and every bad line has been named.
    """
    found = clustered(policy)
    named("its names for accounts and values would be nobody's")

    async def linking(guardrail: Guardrail) -> Fed:
        return await link_now(guardrail, await look_through(file, guardrail, history=False, skip=skip_bad))

    fed = shared(found, linking, keyless=False)
    click.echo(
        f"{plural(fed.values, 'value')} of {plural(fed.accounts, 'account')} noted. They count from the next rebuild on."
    )
