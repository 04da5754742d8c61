"""What a store keeps of accounts and their edges, as Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guardrail_mw.algorithms import edges
from guardrail_mw.clusters.reading import Reader

if TYPE_CHECKING:
    from guardrail_mw.stores.base import Graph, Held

__all__ = ["Exported", "export_edges"]

GROUP: Final = 65_536
"""Accounts at a time, and of a row group: all that is in memory."""


class Exported(NamedTuple):
    """The files."""

    edges: Path
    """Of an edge: account, key, and first (hours since the epoch of edges)."""
    accounts: Path
    """Of an account: account, and since (hours)."""


async def export_edges(store: Graph, folder: Path, *, now: int, lookback: int = 90, group: int = GROUP) -> Exported:
    """Write what a rebuild would read: `edges.parquet` and `accounts.parquet`, in place of what is there.

    Needs the extra `parquet`. What the store's read tells while it changes is as before or after, as for a rebuild.

    Args:
        store: where the evidence lies.
        folder: is made where it is not there.
        now: µs.
        lookback: days after which an edge that was not seen again counts no more.
        group: accounts that are in memory at a time.

    Raises:
        StoreError: the store failed. No file is changed then.
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = Exported(folder / "edges.parquet", folder / "accounts.parquet")
    parts = Exported(*[path.with_suffix(".parquet.part") for path in files])
    with _Files(parts) as out:
        waiting: list[Held] = []
        async for batch in store.read(max(0, edges.day_of(now) - lookback)):
            waiting += batch
            while len(waiting) >= group:
                out.add(waiting[:group], now, lookback)
                waiting = waiting[group:]
        if waiting:
            out.add(waiting, now, lookback)
    for part, path in zip(parts, files, strict=True):
        part.replace(path)
    return files


class _Files:
    """Both, while they are written."""

    def __init__(self, paths: Exported) -> None:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

        self._paths = paths
        self._edges = pa.schema([("account", pa.string()), ("key", pa.int64()), ("first", pa.int64())])
        self._accounts = pa.schema([("account", pa.string()), ("since", pa.int64())])
        schemas = (self._edges, self._accounts)
        self._writers = [ParquetWriter(path, schema, compression="zstd") for path, schema in zip(paths, schemas, strict=True)]

    def add(self, held: list[Held], now: int, lookback: int) -> None:
        """As a rebuild reads it: what each account is, depends on no other."""
        import pyarrow as pa

        reader = Reader(now, lookback)
        reader.add(held)
        found = reader.read().held
        names = pa.array(found.accounts, pa.string())
        columns: tuple[Any, ...] = (names.take(pa.array(found.owner)), found.key, found.first)
        self._writers[0].write_table(pa.table(list(columns), schema=self._edges))
        self._writers[1].write_table(pa.table([names, found.since], schema=self._accounts))

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for writer in self._writers:
            writer.close()
        if kind is not None:
            for path in self._paths:
                path.unlink(missing_ok=True)
