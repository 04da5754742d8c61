"""Clusters from exported edges: as `clusters.forming`, stage by stage, in SQL."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrail_mw.algorithms import keys
from guardrail_mw.clusters import forming, islands, nominees, scores, weights
from guardrail_mw.clusters.reading import FAMILY
from guardrail_mw.clusters.sql.stages import Figure, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guardrail_mw.clusters.kinds import Kinds
    from guardrail_mw.clusters.sql.engine import Engine

__all__ = ["Found", "form_from_parquet", "kept"]

_CONTENT: Final = (FAMILY["content"], FAMILY["client"])


class Found(NamedTuple):
    """What there is now. The engine has it in `cluster` (account, cluster), and in `worth` what values say for clusters."""

    accounts: int
    """Read."""
    members: int
    clusters: int


def form_from_parquet(  # noqa: PLR0913 - a rebuild's rules
    engine: Engine,
    edges: str,
    accounts: str,
    splits: str = "",
    *,
    kinds: Kinds,
    now: int,
    age: int = 30 * 24,
    new: int = 45 * 24,
    content: Iterable[int] = _CONTENT,
) -> Found:
    """Find the clusters of what `export_edges` wrote.

    A cluster is called by the number of its first account, in the order of names: of the island that it began with, or the
    first of several. So their order is that of the numbers that `clusters.forming.form` gives them.

    Scores are millinats, rounded down. An engine's logarithm may differ from numpy's in the last bit, so a score may differ by
    one millinat where it is within some 10^-12 of a whole one. To matter, a sum must then be exactly at a threshold.

    Args:
        engine: what runs it; its tables of the stages' names are replaced.
        edges: Parquet with account (text), key (63 bits) and first (hours since the epoch of edges); an edge but once.
        accounts: Parquet with account and since (hours); those without edges too.
        splits: Parquet with what operators have parted, a row an account and split: split (a number, in the order in which they
            hold), renaming (57 bits), account, and side (1 was split off, 2 stayed). None unless given.
        kinds: what the keys' codes mean.
        now: hours since the epoch of edges.
        age: hours after which an account is established.
        new: hours in which a use is new.
        content: families whose values can be nominated.
    """
    engine.load("exported", edges)
    engine.load("accounts", accounts)
    _part(engine, splits)
    figures = {**_figures(kinds, content), "age": age, "established": now - age, "new": now - new}
    run(engine, "graph", figures)
    ((size,),) = engine.rows("select count(*) from account")
    figures["accounts"] = size
    _islands(engine, figures)
    for _ in range(forming.ROUNDS):
        run(engine, "weights", figures)
        run(engine, "uniting", figures)
        if _any(engine, "link"):
            _merge(engine)
            continue
        run(engine, "growth", figures)
        joins, merges = _any(engine, "joiner"), _any(engine, "link")
        if joins:
            engine.table("home", "select id, cluster from home union all select id, cluster from joiner")
        if merges:
            _merge(engine)
        if not joins and not merges:
            break
    else:
        run(engine, "weights", figures)
    engine.table("cluster", "select a.account, h.cluster from home h join account a on a.id = h.id")
    ((members, clusters),) = engine.rows("select count(*), count(distinct cluster) from cluster")
    return Found(size, members, clusters)


def kept(least: int) -> str:
    """The query for the rows (account, cluster) of clusters that have at least `least` members; they are numbered from 0."""
    large = f"select cluster from cluster group by cluster having count(*) >= {least}"  # noqa: S608 - a number
    number = "cast(row_number() over (order by cluster) - 1 as bigint) as number"  # over clusters, which are few
    return (
        f"with large as ({large}), numbered as (select cluster, {number} from large) "  # noqa: S608 - ours
        "select c.account, n.number as cluster from cluster c join numbered n on n.cluster = c.cluster"
    )


def _part(engine: Engine, splits: str) -> None:
    """Make `edges` of what was exported: the two sides of each split share nothing."""
    held = "select account, key, first from exported"
    given: list[tuple[int, int]] = []
    if splits:
        engine.load("splits", splits)
        given = [(row[0], row[1]) for row in engine.rows("select distinct split, renaming from splits order by split")]
    if given:
        run(engine, "parting", {})
        for split, renaming in given:
            run(engine, "splitting", {"split": split, "renaming": renaming})
        run(engine, "parted", {})
        held = "select account, key, first from parted"
    engine.view("edges", held)


def _islands(engine: Engine, figures: Mapping[str, Figure]) -> None:
    run(engine, "counting", figures)
    ((many,),) = engine.rows("select count(*) from counted")
    needed = max(islands.LEAST, int(1000 * log(max(1, many))) + islands.BESIDE)
    run(engine, "islands", {**figures, "needed": needed})
    if _any(engine, "node"):
        engine.components("home")
    else:
        engine.table("home", "select id, id as cluster from node")


def _merge(engine: Engine) -> None:
    """Clusters that `link` leads to from one another are one."""
    engine.table("node", "select distinct cluster as id from home")
    engine.components("merged")
    engine.table("home", "select h.id, m.cluster from home h join merged m on m.id = h.cluster")


def _any(engine: Engine, table: str) -> bool:
    return bool(engine.rows(f"select 1 from {table} limit 1"))  # noqa: S608 - a name of ours


def _figures(kinds: Kinds, content: Iterable[int]) -> dict[str, Figure]:
    """The constants of the stages, by the names that they have there."""
    return {
        "bits": keys.BITS,
        "digest": (1 << keys.BITS) - 1,
        "network": keys.NETWORK,
        "wide": keys.NETWORK_WIDE,
        "kinds": [(code, FAMILY[kind.family], kind.bound, kind.below) for code, kind in sorted(kinds.by_code.items())],
        "content": [-1, *content],
        "holders": islands.HOLDERS,
        "least": weights.LEAST,
        "most": scores.MOST,
        "uses": nominees.USES,
        "lift": nominees.LIFT,
        "own_share": nominees.PREVALENT,
        "own_members": nominees.LEAST,
        "joins": scores.JOINS,
        "counts": scores.COUNTS,
        "two": scores.BOUND,
        "assertable": scores.ASSERTABLE,
        "drawn": forming.LEAST,
        "share": forming.SHARE,
    }
