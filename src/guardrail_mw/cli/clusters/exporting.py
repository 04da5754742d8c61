"""Who is in which cluster, for other programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from guardrail_mw.cli.output import Cannot, writing

if TYPE_CHECKING:
    from guardrail_mw.clusters.state import State

__all__ = ["export"]

_GROUP: Final = 65_536


def export(path: Path, state: State) -> None:
    """Write account, cluster, verdict and score (nats), a row an account, sorted by cluster.

    Raises:
        Cannot: the file cannot be written.
    """
    with writing(path):
        if path.suffix == ".parquet":
            _parquet(path, state)
        else:
            with path.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in _rows(state))


def _rows(state: State) -> Iterator[dict[str, Any]]:
    for each in sorted(state.clusters, key=lambda each: each.id):
        for account in each.members:
            yield {"account": account, "cluster": each.id, "verdict": each.verdict, "score": each.score / 1000}


def _parquet(path: Path, state: State) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        cure = "Install it with: pip install 'guardrail-mw[parquet]'"
        raise Cannot(f"Parquet files need pyarrow, not installed here. {cure}") from error
    word = pa.dictionary(pa.int32(), pa.string())
    columns = [("account", pa.string()), ("cluster", word), ("verdict", word), ("score", pa.float64())]
    table = pa.Table.from_pylist(list(_rows(state)), schema=pa.schema(columns))
    parquet.write_table(table, path, row_group_size=_GROUP, compression="zstd")
