"""Clusters past one machine: the stages of `clusters.forming` as SQL over Parquet, on DuckDB or on Spark.

One text for both, in `stages/`; connected components are splink's. The clusters are the same that numpy finds, because scores
are whole millinats and every tie is decided by the order of names. Operators' splits, which are exported too, hold. What
a rebuild does afterwards is not here: ids, verdicts, and operators' orders about them. `guardrail-mw clusters form` is the
same as a command, with numpy too, for an export that fits into memory.

    files = await export_edges(store, Path("export"), now=now)
    with DuckDB.open() as engine:
        form_from_parquet(engine, *map(str, files), kinds=Kinds(), now=edges.hour_of(now))
        engine.write("select * from cluster", "clusters.parquet")
"""

from __future__ import annotations

from guardrail_mw.clusters.sql.engine import Engine
from guardrail_mw.clusters.sql.export import export_edges
from guardrail_mw.clusters.sql.forming import Found, form_from_parquet
from guardrail_mw.clusters.sql.on_duckdb import DuckDB
from guardrail_mw.clusters.sql.on_spark import Spark

__all__ = ["DuckDB", "Engine", "Found", "Spark", "export_edges", "form_from_parquet"]
