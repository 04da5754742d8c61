"""What was thought of each account in the end, and why: for files that others read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guardrail_mw.clusters.binding import BINDS
from guardrail_mw.friction import memory
from guardrail_mw.stores.base import Desk

if TYPE_CHECKING:
    from guardrail_mw.clusters.state import State
    from guardrail_mw.engine import Guardrail

__all__ = ["Thought", "thoughts", "write"]

_PART: Final = 50_000


class Thought(NamedTuple):
    """An account at the end of a run."""

    account: str
    """As whoever gave it calls it."""
    cluster: str
    """12 hex digits, or empty."""
    verdict: str
    """`none`, `watched`, `suspect`, `confirmed`."""
    rung: str
    """The rung of friction that it is on, or empty."""
    reasons: tuple[str, ...]


async def thoughts(guardrail: Guardrail, state: State | None, names: Mapping[str, str]) -> AsyncIterator[Thought]:
    """Of each account.

    Args:
        guardrail: that has seen their traffic.
        state: what the last rebuild left; None where the policy has no clusters.
        names: their names by their homes.
    """
    store = guardrail.store
    clusters = {} if state is None else {each.id: each for each in state.clusters}
    for home, name in names.items():
        fields: Mapping[str, str] = {}
        if isinstance(store, Desk):
            fields = (await store.export(home)).get("standing", {}).get("fields", {})
        on, reasons = memory.rung(fields).name, []
        cluster = clusters.get(fields.get("cluster", ""))
        if cluster is not None:
            share = ", ".join(cluster.families) or "nothing that half of them have"
            reasons.append(f"acts with {len(cluster.members) - 1} others, which share {share}")
            reasons.append(f"the cluster's score is {cluster.score / 1000:.3f} nats")
            if fields.get("brake"):
                reasons.append("the verdict waits for approval")
            if cluster.verdict in BINDS:
                reasons.append(
                    f"freed at once by: clusters release {cluster.id}, or clusters split {cluster.id} {home} --free"
                )
        if on:
            reasons.append(f"its risk has led it onto the rung {on}")
        yield Thought(name, fields.get("cluster", ""), fields.get("verdict", "none"), on, tuple(reasons))


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write a row an account: Parquet where the name ends in `.parquet`, else a line of JSON each. Returns how many.

    Raises:
        OSError: it cannot be written.
    """
    if path.suffix != ".parquet":
        count = 0
        with path.open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
        return count
    return _parquet(path, rows)


def _parquet(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer, count = None, 0
    part: list[dict[str, Any]] = []

    def flush(writer: Any) -> Any:
        table = pa.Table.from_pylist(part, schema=writer.schema if writer is not None else None)
        if writer is None:
            writer = pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
        part.clear()
        return writer

    for row in rows:
        part.append(dict(row))
        count += 1
        if len(part) >= _PART:
            writer = flush(writer)
    if part or writer is None:
        writer = flush(writer)
    writer.close()
    return count
