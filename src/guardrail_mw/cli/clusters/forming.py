"""`guardrail-mw clusters form`: the clusters of exported evidence, on this machine or on many."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import click

from guardrail_mw.cli.output import Cannot, writing
from guardrail_mw.cli.sharing import numeric
from guardrail_mw.engine.figures import plural

if TYPE_CHECKING:
    from guardrail_mw.clusters.sql.engine import Engine
    from guardrail_mw.clusters.sql.export import Exported
    from guardrail_mw.clusters.sql.terms import Terms

__all__ = ["form"]

_GROUP: Final = 65_536


@click.command(short_help="Form the clusters of exported evidence.")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--engine",
    type=click.Choice(["numpy", "duckdb", "spark"]),
    default="numpy",
    show_default=True,
    help="numpy: in memory; duckdb: what does not fit goes to disk (extra sql); spark: on many machines (sql, pyspark, Java).",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=True, writable=True, allow_dash=False, path_type=Path),
    help="Write account and cluster there: lines of JSON, or Parquet where it ends in .parquet. Unless given, only how many "
    "there are is told.",
)
@click.option(
    "--work",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder for what duckdb or spark put aside, which all machines must see; a temporary one unless given.",
)
def form(directory: Path, engine: str, out: Path | None, work: Path | None) -> None:
    """Form the clusters of the evidence that `clusters export --edges` has written into DIRECTORY.

    The three engines find the same: who acts together, by the rules and at the time of the export, with operators' splits. It
    goes no further: clusters are numbered from 0, by all three alike, and that is all that is said of them. Ids, verdicts and
    budgets are a rebuild's, which this neither replaces nor changes. No store is needed, and no policy.

    With spark FILE.parquet is a folder of parts. It runs in the session that spark-submit sets up, else on this machine.

    Exit codes: 0 it is done; 2 it cannot be done.
    """
    if work is not None and engine == "numpy":
        raise Cannot(
            "--work is of duckdb and spark: numpy has everything in memory. Leave it out, or name another --engine."
        )
    numeric()
    from guardrail_mw.clusters.rebuild import LEAST

    try:
        files, terms = _exported(directory)
        if out is not None and out.resolve() in {path.resolve() for path in files}:
            raise Cannot(f"--out would write over {out.name} of the export. Name another file.")
        accounts, members, clusters = (
            _in_memory(files, terms, out) if engine == "numpy" else _in_sql(engine, files, terms, out, work)
        )
    except ImportError as error:
        raise Cannot(f"{engine} cannot run here. {error}") from error
    click.echo(f"{plural(members, 'account')} of {accounts:,} in {plural(clusters, 'cluster')} of {LEAST} or more")
    if out is not None:
        click.echo(f"Written: {out}")


def _exported(directory: Path) -> tuple[Exported, Terms]:
    """The files of an export, and what it goes by.

    Raises:
        Cannot: they are not there, or not such as this version writes.
    """
    from guardrail_mw.clusters.sql.export import exported
    from guardrail_mw.clusters.sql.terms import Terms

    files = exported(directory)
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise Cannot(f"{directory} has no {', '.join(missing)}. Export it: guardrail-mw clusters export --edges {directory}")
    try:
        return files, Terms.read(files.accounts)
    except (KeyError, TypeError, AttributeError) as error:
        said = f"{files.accounts} says by which rules it was written, but not so that it can be read"
        raise Cannot(f"{said}. Export it anew: guardrail-mw clusters export --edges {directory}") from error
    except (OSError, ValueError) as error:
        raise Cannot(f"{error}. Export it anew: guardrail-mw clusters export --edges {directory}") from error


def _in_memory(files: Exported, terms: Terms, out: Path | None) -> tuple[int, int, int]:
    """Accounts, members and clusters; the rows are written."""
    import numpy as np

    from guardrail_mw.clusters.rebuild import LEAST
    from guardrail_mw.clusters.sql.in_memory import form_in_memory

    try:
        held, cluster = form_in_memory(files, terms)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise Cannot(f"The export in {files.accounts.parent} cannot be read: {error}") from error
    rows = np.flatnonzero(cluster >= 0)
    sizes = np.bincount(cluster[rows], minlength=1)
    rows = rows[sizes[cluster[rows]] >= LEAST]
    rows = rows[np.argsort(cluster[rows], kind="stable")]
    found, number = np.unique(cluster[rows], return_inverse=True)
    if out is not None:
        _write(out, [held.accounts[row] for row in rows.tolist()], number.tolist())
    return len(held.accounts), len(rows), len(found)


def _in_sql(engine: str, files: Exported, terms: Terms, out: Path | None, work: Path | None) -> tuple[int, int, int]:
    """The same, by an engine that runs SQL."""
    from guardrail_mw.clusters.rebuild import LEAST
    from guardrail_mw.clusters.sql import form_from_parquet
    from guardrail_mw.clusters.sql.forming import kept

    with _working(work) as folder, (_duckdb if engine == "duckdb" else _spark)(folder) as running:
        read = form_from_parquet(running, *map(str, files), kinds=terms.kinds, now=terms.now, age=terms.age)
        running.table("kept", kept(LEAST))
        ((members, clusters),) = running.rows("select count(*), count(distinct cluster) from kept")
        query = "select account, cluster from kept order by cluster, account"
        if out is not None and out.suffix == ".parquet":
            with writing(out):
                out.parent.mkdir(parents=True, exist_ok=True)
            running.write(query, str(out))
        elif out is not None:
            rows = running.rows(query)
            _write(out, [row[0] for row in rows], [row[1] for row in rows])
        return read.accounts, members, clusters


@contextmanager
def _working(given: Path | None) -> Iterator[Path]:
    if given is not None:
        with writing(given):
            given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with TemporaryDirectory(prefix="guardrail-form-") as made:
        yield Path(made)


@contextmanager
def _duckdb(folder: Path) -> Iterator[Engine]:
    from guardrail_mw.clusters.sql import DuckDB

    with DuckDB.open(folder=str(folder)) as engine:
        import duckdb

        try:
            yield engine
        except duckdb.Error as error:
            raise Cannot(f"DuckDB could not do it: {str(error).splitlines()[0]}") from error


@contextmanager
def _spark(folder: Path) -> Iterator[Engine]:
    from guardrail_mw.clusters.sql import Spark
    from guardrail_mw.clusters.sql.engine import needs

    needs("pyspark", cure="pip install 'pyspark>=4,<5'")
    needs("splink", cure="pip install 'guardrail-mw[sql]'")
    if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
        raise Cannot("Spark needs a Java runtime, and there is no java here. Install one, 17 or later, or set JAVA_HOME.")
    from pyspark.sql import SparkSession

    session = SparkSession.builder.appName("guardrail-mw clusters form").getOrCreate()
    try:
        yield Spark(session, str(folder))
    finally:
        session.stop()


def _write(path: Path, accounts: list[str], clusters: list[int]) -> None:
    """Write a row an account, in place of what is there.

    Raises:
        Cannot: it cannot be written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            import pyarrow as pa
            from pyarrow import parquet

            columns: dict[str, Any] = {"account": pa.array(accounts, pa.string()), "cluster": pa.array(clusters, pa.int64())}
            parquet.write_table(pa.table(columns), path, row_group_size=_GROUP, compression="zstd")
            return
        with path.open("w", encoding="utf-8") as file:
            rows = zip(accounts, clusters, strict=True)
            file.writelines(json.dumps({"account": account, "cluster": cluster}) + "\n" for account, cluster in rows)
