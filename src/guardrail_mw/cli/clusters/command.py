"""The commands: look at clusters, give orders about them, carry them in and out."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from guardrail_mw.cli.arguments import called
from guardrail_mw.cli.clusters.asking import Asked, by_port
from guardrail_mw.cli.feeding import Fed, file_type, link_now, look_through
from guardrail_mw.cli.output import Cannot, Group, write, writing
from guardrail_mw.cli.reach import json_option, reachable
from guardrail_mw.cli.sharing import clustered, named, numeric, shared, sharing
from guardrail_mw.clock import SystemClock
from guardrail_mw.clusterwork.orders import VERDICTS
from guardrail_mw.engine import Guardrail
from guardrail_mw.engine.figures import plural
from guardrail_mw.engine.linking import graph_of

if TYPE_CHECKING:
    from guardrail_mw.clusters.settings import ClustersSettings

__all__ = ["clusters"]

_HOUR: Final = 3_600_000_000
_New = click.Path(dir_okay=False, writable=True, allow_dash=False, path_type=Path)
_reason = click.option("--reason", required=True, help="Why, in a line.")
_until = click.option(
    "--until", "--for", "until", metavar="DURATION", help="For how long, such as 7d; for good unless given."
)


@click.group(cls=Group, short_help="See who acts together, and decide about it.")
def clusters() -> None:
    """See who acts together and why that is thought, and decide about it.

    ID is a cluster's, or as much of it as no other begins with; ACCOUNT is an account's digest, a:…. What changes something
    needs a reason, which is kept. By the operator's port of a server, or by the store that the policy's servers share.

    Exit codes: 0 it is done; 1 the policy is bad; 2 it cannot be done.
    """


@clusters.command("list")
@json_option
@reachable
def _list(url: str | None, policy: str | None, *, as_json: bool) -> None:
    """List all clusters, the worst and then the largest first."""

    async def ask(work: Asked) -> None:
        from guardrail_mw.clusterwork.listing import tell_list

        answer = await work.clusters()
        _tell({**answer, "lines": () if as_json else tell_list(answer)}, as_json=as_json)

    _with(ask, url, policy)


@clusters.command("show", short_help="Say what is known of a cluster, and what frees it.")
@click.argument("cluster", metavar="ID")
@click.option("--html", type=_New, help="Draw it there: one page that needs nothing else.")
@json_option
@reachable
def _show(cluster: str, html: Path | None, url: str | None, policy: str | None, *, as_json: bool) -> None:
    """Say what is known of a cluster, what its verdict rests on, and what frees it."""

    async def ask(work: Asked) -> None:
        _tell(await work.cluster(cluster), as_json=as_json)
        if html is not None:
            write(html, await work.picture(cluster))

    _with(ask, url, policy)


@clusters.command("explain", short_help="Say what two accounts share, and why each is where it is.")
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@json_option
@reachable
def _explain(one: str, other: str, url: str | None, policy: str | None, *, as_json: bool) -> None:
    """Say what accounts A and B share, why each is in its cluster, and without what it would not be.

    The evidence is read and worked out anew, which takes as long as a rebuild.
    """

    async def ask(work: Asked) -> None:
        _tell(await work.explain(one, other), as_json=as_json)

    _with(ask, url, policy)


@clusters.command("split", short_help="Split accounts off from the rest of their cluster.")
@click.argument("cluster", metavar="ID")
@click.argument("accounts", metavar="[ACCOUNT]...", nargs=-1)
@click.option("--free", is_flag=True, help="Take their verdict away at once, until the next rebuild judges them apart.")
@click.option("--undo", is_flag=True, help="Take back what was split off from ID before.")
@_until
@_reason
@reachable
def _split(
    cluster: str, accounts: Sequence[str], reason: str, until: str | None, *, free: bool, undo: bool, **where: str | None
) -> None:
    """Keep as evidence that the ACCOUNTs, members of ID, and its other members are not of one operator.

    From the next rebuild on they share nothing with the others, whatever they show: each side is found, and judged, by itself.
    What was ordered of ID before does not hold for those who were split off.
    """
    if undo and accounts:
        raise Cannot("--undo takes no ACCOUNT: it takes back everything that was split off from ID.")
    if undo and (free or until):
        raise Cannot("--undo takes neither --free nor --until: with the next rebuild all are together again.")
    if not undo and not accounts:
        raise Cannot("Name the accounts that are to be split off.")

    async def ask(work: Asked) -> None:
        if undo:
            _tell(await work.join(cluster, reason))
        else:
            _tell(await work.split(cluster, accounts, reason, until, free=free))

    _with(ask, **where)


@clusters.command("release", short_help="Restore all accounts of a cluster within a second.")
@click.argument("cluster", metavar="ID")
@_until
@_reason
@json_option
@reachable
def _release(cluster: str, **rest: Any) -> None:
    """Restore all accounts of ID within a second, and list them; its verdict stays none, and that of what comes of it."""
    _ordered(cluster, "release", **rest)


@clusters.command("label", short_help="Give a cluster a verdict, whatever the model thinks.")
@click.argument("cluster", metavar="ID")
@click.argument("verdict", type=click.Choice(VERDICTS))
@_until
@_reason
@json_option
@reachable
def _label(cluster: str, verdict: str, **rest: Any) -> None:
    """Give ID a verdict, whatever the model thinks; with auto the model judges again. It acts within a second."""
    _ordered(cluster, "label", verdict, **rest)


@clusters.command("budget", short_help="Give a material cluster another budget.")
@click.argument("cluster", metavar="ID")
@click.argument("tokens", metavar="TOKENS")
@_until
@_reason
@json_option
@reachable
def _budget(cluster: str, tokens: str, **rest: Any) -> None:
    """Give ID, which is material, TOKENS a UTC day for all members together; with auto what was worked out holds again.

    It acts within a second, and holds for what comes of ID. What was used today stays counted. What is beyond is refused where
    ID's organisation was verified; else it is recorded, by the limit cluster-budget in shadow.
    """
    _ordered(cluster, "budget", tokens, **rest)


@clusters.command("approve", short_help="Let a verdict act without waiting.")
@click.argument("cluster", metavar="ID")
@_until
@_reason
@json_option
@reachable
def _approve(cluster: str, **rest: Any) -> None:
    """Let the verdict of ID act on all who are in it now, without waiting."""
    _ordered(cluster, "approve", **rest)


@clusters.command("reject", short_help="Keep a verdict from acting.")
@click.argument("cluster", metavar="ID")
@_until
@_reason
@json_option
@reachable
def _reject(cluster: str, **rest: Any) -> None:
    """Keep the verdict of ID from acting: it is watched, and its accounts are served as before."""
    _ordered(cluster, "reject", **rest)


@clusters.command("export", short_help="Write which account is in which cluster to a file.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--edges", is_flag=True, help="Write the evidence itself, as Parquet, into the folder FILE: for `clusters form`."
)
@reachable
def _export(file: Path, url: str | None, policy: str | None, *, edges: bool) -> None:
    """Write which account is in which cluster to FILE: account, cluster, verdict, score in nats.

    JSON lines, or Parquet where its name ends in .parquet. With --edges, in place of that, edges.parquet, accounts.parquet and
    splits.parquet: what a rebuild reads, for `guardrail-mw clusters form` on another machine, or on many.
    """
    if edges:
        if url:
            raise Cannot("--edges reads the shared store itself, and goes by no operator's port: leave --url out.")
        _export_edges(file, policy)
        return

    async def ask(work: Asked) -> None:
        from guardrail_mw.cli.clusters.exporting import export

        found = (await work.clusters())["clusters"]
        export(file, found)
        members = sum(len(each["members"]) for each in found)
        click.echo(f"Written: {file}, {plural(members, 'account')} of {plural(len(found), 'cluster')}")

    _with(ask, url, policy)


def _export_edges(folder: Path, policy: str | None) -> None:
    found = clustered(policy)
    numeric()
    settings: ClustersSettings = found.clusters  # type: ignore[assignment] # `clustered` has seen to it

    async def exporting(guardrail: Guardrail) -> tuple[Path, ...]:
        from guardrail_mw.clusters.sql.export import export_edges

        try:
            with writing(folder):
                return await export_edges(
                    graph_of(guardrail),
                    folder,
                    now=SystemClock().now(),
                    lookback=settings.lookback_days,
                    hours=settings.hours,
                    kinds=settings.known(),
                    age=settings.established.us // _HOUR,
                )
        except ImportError as error:
            raise Cannot(f"Parquet files need pyarrow, not installed here. {error}") from error

    *most, last = [str(each) for each in shared(found, exporting)]
    click.echo(f"Written: {', '.join(most)} and {last}")


@clusters.command("import", short_help="Feed in evidence from before there were clusters.")
@click.argument("file", type=file_type)
@click.option("--history", is_flag=True, help="Take first_seen and last_seen of each line; unless given, all is seen now.")
@click.option(
    "--skip-bad", is_flag=True, help="Write the others where a line is bad; unless given, nothing is written then."
)
@sharing
def _import(file: Path, policy: str | None, *, history: bool, skip_bad: bool) -> None:
    """Feed in the evidence in FILE: as for `guardrail-mw link`, and with --history when it was seen first and last.

    With 30 days of history verdicts beyond watched need not wait for 30 days of traffic. GUARDRAIL_ID_KEY must be the servers'.
    """
    found = clustered(policy)
    named("its names for accounts and values would be nobody's")
    if history:
        numeric()

    async def feeding(guardrail: Guardrail) -> Fed:
        if history:
            from guardrail_mw.cli.clusters.history import import_history

            return await import_history(guardrail, file, skip=skip_bad)
        return await link_now(guardrail, await look_through(file, guardrail, history=False, skip=skip_bad))

    fed = shared(found, feeding, keyless=False)
    click.echo(
        f"{plural(fed.values, 'value')} of {plural(fed.accounts, 'account')} noted. They count from the next rebuild on."
    )


def _ordered(
    cluster: str, order: str, value: str = "", *, reason: str, until: str | None, as_json: bool, **where: str | None
) -> None:
    async def ask(work: Asked) -> None:
        _tell(await work.order(cluster, order, value, reason, until), as_json=as_json)

    _with(ask, **where)


def _with(ask: Callable[[Asked], Awaitable[None]], url: str | None, policy: str | None) -> None:
    """Ask about the clusters of the server at the port, or of the shared store.

    Raises:
        Cannot: it cannot be.
    """
    if url:
        by_port(url, ask)
        return
    found = clustered(policy)
    numeric()
    from guardrail_mw.clusterwork.work import Clusterwork, OrderError

    async def asking(guardrail: Guardrail) -> None:
        await ask(Clusterwork.of(guardrail, SystemClock()))

    try:
        shared(found, asking)
    except OrderError as error:
        raise Cannot(f"{called(error.argument, error.text)}") from error


def _tell(answer: dict[str, Any], *, as_json: bool = False) -> None:
    lines = answer.pop("lines")
    for line in [json.dumps(answer, indent=2)] if as_json else lines:
        click.echo(line)
