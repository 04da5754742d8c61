"""Who is in which cluster, for other programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from guardrail_mw.cli.output import Cannot, writing

__all__ = ["export"]

_GROUP: Final = 65_536


def export(path: Path, clusters: Sequence[Mapping[str, Any]]) -> None:
    """Write account, cluster, verdict and score (nats), a row an account, sorted by cluster.

    Args:
        path: Parquet where it ends in .parquet, else lines of JSON.
        clusters: as `Clusterwork.clusters` has them.

    Raises:
        Cannot: the file cannot be written.
    """
    with writing(path):
        if path.suffix == ".parquet":
            _parquet(path, clusters)
        else:
            with path.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in _rows(clusters))


def _rows(clusters: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for each in sorted(clusters, key=lambda each: each["cluster"]):
        for account in each["members"]:
            yield {"account": account, **{name: each[name] for name in ("cluster", "verdict", "score")}}


def _parquet(path: Path, clusters: Sequence[Mapping[str, Any]]) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        cure = "Install it with: pip install 'guardrail-mw[parquet]'"
        raise Cannot(f"Parquet files need pyarrow, not installed here. {cure}") from error
    word = pa.dictionary(pa.int32(), pa.string())
    columns = [("account", pa.string()), ("cluster", word), ("verdict", word), ("score", pa.float64())]
    table = pa.Table.from_pylist(list(_rows(clusters)), schema=pa.schema(columns))
    parquet.write_table(table, path, row_group_size=_GROUP, compression="zstd")
