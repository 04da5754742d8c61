"""Spark: many machines."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from guardrail_mw.clusters.sql.engine import needs

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Spark"]


class Spark:
    """Runs the stages in Spark SQL; needs pyspark 4 and the extra `sql`.

    Every table is written to the folder as Parquet once and read from there, so that no plan is worked out twice and none grows
    from round to round. The folder is whoever gave it's to clear.

    Args:
        session: tables are views of a session of the engine's own, which has the settings that this one was made with; of these
            `spark.sql.shuffle.partitions` should suit the machines.
        folder: where all machines can write and read: `hdfs:`, `s3a:`, or a path where there is only one machine. It becomes
            the checkpoint folder, where splink keeps what it needs.

    Raises:
        ImportError: pyspark or splink is not installed.
    """

    def __init__(self, session: SparkSession, folder: str) -> None:
        needs("pyspark", cure="pip install 'pyspark>=4,<5'")
        needs("splink", cure="pip install 'guardrail-mw[sql]'")
        from splink import SparkAPI

        self._session = session.newSession()
        self._folder = folder.rstrip("/")
        self._made = count()
        session.sparkContext.setCheckpointDir(self._folder)
        # The functions of splink's own compare words; none is needed here.
        api: Any = SparkAPI  # it has no types
        self._splink = api(spark_session=self._session, register_udfs_automatically=False)

    def load(self, name: str, path: str) -> None:
        """See `Engine.load`."""
        self._session.read.parquet(path).createOrReplaceTempView(name)

    def table(self, name: str, query: str) -> None:
        """See `Engine.table`."""
        path = f"{self._folder}/{next(self._made):03}-{name}"
        self.write(query, path)
        self.load(name, path)

    def view(self, name: str, query: str) -> None:
        """See `Engine.view`."""
        self._session.sql(query).createOrReplaceTempView(name)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """See `Engine.rows`."""
        return [tuple(row) for row in self._session.sql(query).collect()]

    def components(self, name: str) -> None:
        """See `Engine.components`."""
        from splink.clustering import cluster_pairwise_predictions_at_threshold as clustered

        found = clustered("node", "link", self._splink, "id", "one", "other")
        self.table(name, f"select id, cluster_id as cluster from {found.physical_name}")  # noqa: S608 - splink's own

    def write(self, query: str, path: str) -> None:
        """See `Engine.write`."""
        self._session.sql(query).write.mode("overwrite").parquet(path)
