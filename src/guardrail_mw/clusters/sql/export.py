"""What a store keeps of accounts and their edges, as Parquet."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from guardrail_mw.algorithms import edges
from guardrail_mw.clusters.kinds import Kinds
from guardrail_mw.clusters.reading import Reader
from guardrail_mw.clusters.splitting import Split, holding, read_splits, renaming
from guardrail_mw.clusters.sql.engine import needs
from guardrail_mw.clusters.sql.terms import NAME, Terms
from guardrail_mw.clusters.state import SPLITS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guardrail_mw.stores.base import Graph, Held

__all__ = ["Exported", "export_edges", "exported"]

GROUP: Final = 65_536
"""Accounts at a time, and of a row group: all that is in memory."""


class Exported(NamedTuple):
    """The files."""

    edges: Path
    """Of an edge: account, key, and first (hours since the epoch of edges)."""
    accounts: Path
    """Of an account: account, and since (hours). Its metadata has the `Terms` of the export."""
    splits: Path
    """Of an account and a split that holds: split (0 holds first), renaming (see `splitting.renaming`), account, and side: 1 was
    split off, 2 stayed."""


def exported(folder: Path) -> Exported:
    """The files of a folder."""
    return Exported(folder / "edges.parquet", folder / "accounts.parquet", folder / "splits.parquet")


async def export_edges(  # noqa: PLR0913 - a rebuild's rules
    store: Graph,
    folder: Path,
    *,
    now: int,
    lookback: int = 90,
    hours: bool = True,
    kinds: Kinds | None = None,
    age: int = 30 * 24,
    group: int = GROUP,
) -> Exported:
    """Write what a rebuild would read: `edges.parquet`, `accounts.parquet` and `splits.parquet`, in place of what is there.

    Needs the extra `parquet`. What the store's read tells while it changes is as before or after, as for a rebuild.

    Args:
        store: where the evidence lies.
        folder: is made where it is not there.
        now: µs.
        lookback: days after which an edge that was not seen again counts no more.
        hours: whether the hours at which an account works are evidence too: `clusters.hours`.
        kinds: what the keys' codes mean; those that are built in unless given.
        age: hours after which an account is established.
        group: accounts that are in memory at a time.

    Raises:
        StoreError: the store failed. No file is changed then.
        OSError: a file cannot be written.
        ImportError: pyarrow is not installed.
    """
    splits = holding(read_splits(await store.recall(SPLITS)), now)
    terms = Terms.of(edges.hour_of(now), kinds or Kinds(), age)
    with _Files(folder, partial(Reader, now, lookback, hours=hours), terms) as out:
        await asyncio.to_thread(out.part, splits)
        waiting: list[Held] = []
        async for batch in store.read(edges.horizon(now, lookback)):
            waiting += batch
            while len(waiting) >= group:
                await asyncio.to_thread(out.add, waiting[:group])
                waiting = waiting[group:]
        if waiting:
            await asyncio.to_thread(out.add, waiting)
    return out.paths


class _Files:
    """All of them, under other names until they are whole."""

    def __init__(self, folder: Path, reader: Callable[[], Reader], terms: Terms) -> None:
        needs("pyarrow", cure="pip install 'guardrail-mw[parquet]'")
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

        self._reader = reader
        folder.mkdir(parents=True, exist_ok=True)
        self.paths = exported(folder)
        self._parts = [path.with_suffix(".parquet.part") for path in self.paths]
        self._edges = pa.schema([("account", pa.string()), ("key", pa.int64()), ("first", pa.int64())])
        self._accounts = pa.schema([("account", pa.string()), ("since", pa.int64())], metadata={NAME: terms.packed()})
        numbers = [("split", pa.int64()), ("renaming", pa.int64())]
        self._splits = pa.schema([*numbers, ("account", pa.string()), ("side", pa.int64())])
        columns = zip(self._parts, (self._edges, self._accounts, self._splits), strict=True)
        self._writers = [ParquetWriter(part, schema, compression="zstd") for part, schema in columns]

    def part(self, splits: Sequence[Split]) -> None:
        """What holds, the earliest first."""
        import pyarrow as pa

        for number, each in enumerate(splits):
            names = pa.array([*each.side, *each.rest], pa.string())
            sides = [1] * len(each.side) + [2] * len(each.rest)
            columns: list[Any] = [[number] * len(names), [renaming(each.id)] * len(names), names, sides]
            self._writers[2].write_table(pa.table(columns, schema=self._splits))

    def add(self, held: list[Held]) -> None:
        """As a rebuild reads it: what is read of an account depends on no other."""
        import pyarrow as pa

        reader = self._reader()
        reader.add(held)
        found = reader.read().held
        names = pa.array(found.accounts, pa.string())
        columns: list[Any] = [names.take(pa.array(found.owner)), found.key, found.first]
        self._writers[0].write_table(pa.table(columns, schema=self._edges))
        self._writers[1].write_table(pa.table([names, found.since], schema=self._accounts))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for writer in self._writers:
            writer.close()
        for part, path in zip(self._parts, self.paths, strict=True):
            if kind is None:
                part.replace(path)
            else:
                part.unlink(missing_ok=True)
