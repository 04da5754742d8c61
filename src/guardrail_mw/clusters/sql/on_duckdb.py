"""DuckDB: one large machine. What does not fit into memory goes to its folder for temporary files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from guardrail_mw.clusters.sql.engine import needs

if TYPE_CHECKING:
    from types import TracebackType

    from duckdb import DuckDBPyConnection

__all__ = ["DuckDB"]

_CURE: Final = "pip install 'guardrail-mw[sql]'"


class DuckDB:
    """Runs the stages in DuckDB; needs the extra `sql`.

    Args:
        connection: whose tables may be replaced; nobody else uses it meanwhile.
    """

    def __init__(self, connection: DuckDBPyConnection) -> None:
        needs("splink", cure=_CURE)
        from splink import DuckDBAPI

        self._connection = connection
        self._splink = DuckDBAPI(connection=connection)

    @classmethod
    def open(cls, database: str = ":memory:", *, memory: str = "", threads: int = 0, folder: str = "") -> Self:
        """An engine with a database of its own.

        Args:
            database: a file, or in memory.
            memory: what it may use, `8GB`; else four fifths of the machine's.
            threads: how many; else one a core.
            folder: where what does not fit into memory goes; else beside the database.

        Raises:
            ImportError: the extra `sql` is not installed.
        """
        needs("duckdb", "splink", cure=_CURE)
        import duckdb

        wanted: dict[str, Any] = {"memory_limit": memory, "threads": threads, "temp_directory": folder}
        return cls(duckdb.connect(database, config={name: value for name, value in wanted.items() if value}))

    def load(self, name: str, path: str) -> None:
        """See `Engine.load`."""
        self.view(name, f"select * from read_parquet({_text(path)})")  # noqa: S608 - quoted

    def table(self, name: str, query: str) -> None:
        """See `Engine.table`."""
        self._connection.execute(f"create or replace table {name} as {query}")

    def view(self, name: str, query: str) -> None:
        """See `Engine.view`."""
        self._connection.execute(f"create or replace view {name} as {query}")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """See `Engine.rows`."""
        found: list[tuple[Any, ...]] = self._connection.execute(query).fetchall()
        return found

    def components(self, name: str) -> None:
        """See `Engine.components`."""
        from splink.clustering import cluster_pairwise_predictions_at_threshold as clustered

        found = clustered("node", "link", self._splink, "id", "one", "other")
        self.table(name, f"select id, cluster_id as cluster from {found.physical_name}")  # noqa: S608 - splink's own
        found.drop_table_from_database_and_remove_from_cache()

    def write(self, query: str, path: str) -> None:
        """See `Engine.write`."""
        self._connection.execute(f"copy ({query}) to {_text(path)} (format parquet, compression zstd)")

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
