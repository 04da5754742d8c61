"""The commands: look at clusters, give orders about them, carry them in and out."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from guardrail_mw.cli.feeding import Fed, file_type, link_now, look_through
from guardrail_mw.cli.output import Cannot, Group, write, writing
from guardrail_mw.cli.reach import json_option
from guardrail_mw.cli.sharing import clustered, named, numeric, shared, sharing
from guardrail_mw.clock import SystemClock
from guardrail_mw.engine import Guardrail
from guardrail_mw.engine.accounts import home_of, line_of, moment
from guardrail_mw.engine.figures import plural
from guardrail_mw.engine.linking import graph_of

if TYPE_CHECKING:
    from guardrail_mw.clusters.settings import ClustersSettings
    from guardrail_mw.worker.desk import Desk, Done

__all__ = ["clusters"]

_T = TypeVar("_T")
_SHOWN: Final = 20
_HOUR: Final = 3_600_000_000
_CALLED: Final = {"cluster": "ID", "account": "ACCOUNT", "tokens": "TOKENS"}
_New = click.Path(dir_okay=False, writable=True, allow_dash=False, path_type=Path)
_reason = click.option("--reason", required=True, help="Why, in a line.")
_until = click.option(
    "--until", "--for", "until", metavar="DURATION", help="For how long, such as 7d; for good unless given."
)


@click.group(cls=Group, short_help="See who acts together, and decide about it.")
def clusters() -> None:
    """See who acts together and why that is thought, and decide about it.

    ID is a cluster's, or as much of it as no other begins with; ACCOUNT is an account's digest, a:…. What changes something
    needs a reason, which is kept. By the shared store of the policy.

    Exit codes: 0 it is done; 1 the policy is bad; 2 it cannot be done.
    """


@clusters.command("list")
@json_option
@sharing
def _list(policy: str | None, *, as_json: bool) -> None:
    """List all clusters, the worst and then the largest first."""

    async def ask(desk: Desk) -> None:
        from guardrail_mw.cli.clusters.telling import figures_of, ranked, tell_list

        state, given, splits = await desk.state(), await desk.given(), await desk.splits()
        orders = {each.id: desk.orders(each, given, splits) for each in state.clusters}
        if as_json:
            found = [figures_of(each, orders[each.id], splits, desk.judge) for each in ranked(state)]
            _json({"rebuilt": state.rebuilt, "clusters": found})
        else:
            _print(tell_list(state, orders, desk.now()))

    _with_desk(policy, ask)


@clusters.command("show", short_help="Say what is known of a cluster, and what frees it.")
@click.argument("cluster", metavar="ID")
@click.option("--html", type=_New, help="Draw it there: one page that needs nothing else.")
@json_option
@sharing
def _show(cluster: str, html: Path | None, policy: str | None, *, as_json: bool) -> None:
    """Say what is known of a cluster, what its verdict rests on, and what frees it."""

    async def ask(desk: Desk) -> None:
        from guardrail_mw.cli.clusters.picture import picture
        from guardrail_mw.cli.clusters.telling import figures_of, tell

        state, given, splits = await desk.state(), await desk.given(), await desk.splits()
        found = desk.find(state, cluster)
        orders = desk.orders(found, given, splits)
        if as_json:
            _json(dict(figures_of(found, orders, splits, desk.judge)))
        else:
            _print(tell(found, orders, splits, desk, cold=desk.cold(state, desk.now())))
        if html is not None:
            write(html, picture(found, (await desk.read()).held, desk))

    _with_desk(policy, ask)


@clusters.command("explain", short_help="Say what two accounts share, and why each is where it is.")
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@sharing
def _explain(one: str, other: str, policy: str | None) -> None:
    """Say what accounts A and B share, why each is in its cluster, and without what it would not be.

    The evidence is read and worked out anew, which takes as long as a rebuild.
    """

    async def ask(desk: Desk) -> None:
        from guardrail_mw.cli.clusters.explaining import explained
        from guardrail_mw.cli.clusters.telling import tell_both

        accounts = [home_of(each, only="a") for each in (one, other)]
        _print(tell_both(await explained(desk, *accounts), desk.settings.known()))

    _with_desk(policy, ask)


@clusters.command("split", short_help="Split accounts off from the rest of their cluster.")
@click.argument("cluster", metavar="ID")
@click.argument("accounts", metavar="[ACCOUNT]...", nargs=-1)
@click.option("--free", is_flag=True, help="Take their verdict away at once, until the next rebuild judges them apart.")
@click.option("--undo", is_flag=True, help="Take back what was split off from ID before.")
@_until
@_reason
@sharing
def _split(
    cluster: str, accounts: Sequence[str], until: str | None, reason: str, policy: str | None, *, free: bool, undo: bool
) -> None:
    """Keep as evidence that the ACCOUNTs, members of ID, and its other members are not of one operator.

    From the next rebuild on they share nothing with the others, whatever they show: each side is found, and judged, by itself.
    What was ordered of ID before does not hold for those who were split off.
    """
    if undo and accounts:
        raise Cannot("--undo takes no ACCOUNT: it takes back everything that was split off from ID.")
    if not undo and not accounts:
        raise Cannot("Name the accounts that are to be split off.")

    async def ask(desk: Desk) -> None:
        why, every = line_of("reason", reason), desk.settings.every
        if undo:
            gone = await desk.join(cluster, why)
            click.echo(f"{plural(len(gone), 'split')} of {cluster} taken back, as of the next rebuild (every {every}).")
            return
        homes = [home_of(each, only="a") for each in accounts]
        made = await desk.split(cluster, homes, why, moment(until, desk.now()))
        if free:
            await desk.free(made.side)
        from guardrail_mw.cli.clusters.telling import until as ending

        what = f"{plural(len(made.side), 'account')} split off from {made.cluster} {ending(made.until)}"
        now = "they are in no cluster" if free else "they are treated as before (--free frees them at once)"
        click.echo(f"{what}, as of the next rebuild (every {every}). Until then {now}.")

    _with_desk(policy, ask)


@clusters.command("release", short_help="Restore all accounts of a cluster within a second.")
@click.argument("cluster", metavar="ID")
@_until
@_reason
@json_option
@sharing
def _release(cluster: str, until: str | None, reason: str, policy: str | None, *, as_json: bool) -> None:
    """Restore all accounts of ID within a second, and list them; its verdict stays none, and that of what comes of it."""
    _ordered(policy, cluster, "release", "", reason, until, as_json=as_json)


@clusters.command("label", short_help="Give a cluster a verdict, whatever the model thinks.")
@click.argument("cluster", metavar="ID")
@click.argument("verdict", type=click.Choice(["none", "watched", "suspect", "confirmed", "auto"]))
@_until
@_reason
@json_option
@sharing
def _label(cluster: str, verdict: str, until: str | None, reason: str, policy: str | None, *, as_json: bool) -> None:
    """Give ID a verdict, whatever the model thinks; with auto the model judges again. It acts within a second."""
    what, value = ("judge", "") if verdict == "auto" else ("verdict", verdict)
    _ordered(policy, cluster, what, value, reason, until, as_json=as_json)


@clusters.command("budget", short_help="Give a material cluster another budget.")
@click.argument("cluster", metavar="ID")
@click.argument("tokens", metavar="TOKENS")
@_until
@_reason
@json_option
@sharing
def _budget(cluster: str, tokens: str, until: str | None, reason: str, policy: str | None, *, as_json: bool) -> None:
    """Give ID, which is material, TOKENS a UTC day for all members together; with auto what was worked out holds again.

    It acts within a second, and holds for what comes of ID. What was used today stays counted. What is beyond is refused where
    ID's organisation was verified; else it is recorded, by the limit cluster-budget in shadow.
    """
    _ordered(policy, cluster, "budget", "" if tokens == "auto" else tokens, reason, until, as_json=as_json)


@clusters.command("approve", short_help="Let a verdict act without waiting.")
@click.argument("cluster", metavar="ID")
@_until
@_reason
@json_option
@sharing
def _approve(cluster: str, until: str | None, reason: str, policy: str | None, *, as_json: bool) -> None:
    """Let the verdict of ID act on all who are in it now, without waiting."""
    _ordered(policy, cluster, "approve", "", reason, until, as_json=as_json)


@clusters.command("reject", short_help="Keep a verdict from acting.")
@click.argument("cluster", metavar="ID")
@_until
@_reason
@json_option
@sharing
def _reject(cluster: str, until: str | None, reason: str, policy: str | None, *, as_json: bool) -> None:
    """Keep the verdict of ID from acting: it is watched, and its accounts are served as before."""
    _ordered(policy, cluster, "reject", "", reason, until, as_json=as_json)


@clusters.command("export", short_help="Write which account is in which cluster to a file.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--edges", is_flag=True, help="Write the evidence itself, as Parquet, into the folder FILE: for `clusters form`."
)
@sharing
def _export(file: Path, policy: str | None, *, edges: bool) -> None:
    """Write which account is in which cluster to FILE: account, cluster, verdict, score in nats.

    JSON lines, or Parquet where its name ends in .parquet. With --edges, in place of that, edges.parquet, accounts.parquet and
    splits.parquet: what a rebuild reads, for `guardrail-mw clusters form` on another machine, or on many.
    """
    if edges:
        _export_edges(file, policy)
        return

    async def ask(desk: Desk) -> None:
        from guardrail_mw.cli.clusters.exporting import export

        state = await desk.state()
        export(file, state)
        members = sum(len(each.members) for each in state.clusters)
        click.echo(f"Written: {file}, {plural(members, 'account')} of {plural(len(state.clusters), 'cluster')}")

    _with_desk(policy, ask)


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
    policy: str | None, cluster: str, what: str, value: str, reason: str, until: str | None, *, as_json: bool
) -> None:
    async def ask(desk: Desk) -> None:
        from guardrail_mw.cli.clusters.telling import budgeted, described
        from guardrail_mw.cli.clusters.telling import until as ending

        why, end = line_of("reason", reason), moment(until, desk.now())
        done = await desk.order(cluster, what, value, why, end)
        if as_json:
            _json(
                {
                    "cluster": done.after.id,
                    "verdict": done.after.verdict,
                    "budget": done.after.allowance or None,
                    "until": end or None,
                    "touched": list(done.touched),
                }
            )
            return
        holds = f"Its verdict is {described(done.after)}."
        if what == "budget":
            holds = f"Its members share {budgeted(done.after)}."
        click.echo(f"{done.after.id}: {_said(what, value)} {ending(end)}. {holds}")
        click.echo(f"{plural(len(done.touched), 'account')} touched:")
        for account in done.touched[:_SHOWN]:
            click.echo(f"  {account}")
        if len(done.touched) > _SHOWN:
            click.echo(f"  and {len(done.touched) - _SHOWN:,} more; --json has all of them")
        _advise(done, desk)

    _with_desk(policy, ask)


def _said(what: str, value: str) -> str:
    if what == "budget":
        return f"given {int(value):,} tokens a UTC day" if value else "what was worked out for it holds again"
    return {
        "release": "released",
        "approve": "approved",
        "reject": "rejected",
        "judge": "the model judges again",
    }.get(what) or f"labelled {value}"


def _advise(done: Done, desk: Desk) -> None:
    """What to do next, where the order does not act by itself."""
    if done.after.asked is not None and done.before.asked is None:
        over, wait = f"It newly binds over {desk.settings.approval.over:,} accounts", desk.settings.approval.wait
        cure = f"To act now: guardrail-mw clusters approve {done.after.id}"
        click.echo(f"{over}, so they are trimmed for {wait} first. {cure}")


def _with_desk(policy: str | None, ask: Callable[[Desk], Awaitable[_T]]) -> _T:
    """Do something at the desk of the shared store.

    Raises:
        Cannot: it cannot be.
    """
    found = clustered(policy)
    numeric()
    from guardrail_mw.worker.desk import Desk, OrderError

    settings: ClustersSettings = found.clusters  # type: ignore[assignment] # `clustered` has seen to it

    async def asking(guardrail: Guardrail) -> _T:
        return await ask(Desk(graph_of(guardrail), settings, clock=SystemClock()))

    try:
        return shared(found, asking)
    except OrderError as error:
        raise Cannot(f"{_CALLED.get(error.argument, error.argument)} {error.text}") from error


def _json(found: dict[str, Any]) -> None:
    click.echo(json.dumps(found, indent=2))


def _print(lines: Any) -> None:
    for line in lines:
        click.echo(line)
