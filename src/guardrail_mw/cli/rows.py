"""Rows out of a file: JSON lines or Parquet, each with the number that people find it by."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

from guardrail_mw.cli.output import Cannot

__all__ = ["LONGEST", "Row", "rows", "size"]

LONGEST: Final = 1 << 20
"""Bytes of a line."""
_OFTEN: Final = 256
Row: TypeAlias = "tuple[int, dict[str, Any] | str]"
"""The number of the line or the row, from 1; and what stands there, or what is wrong with it."""


def size(path: Path) -> int:
    """How much there is to read: bytes, as `rows` reports them.

    Raises:
        Cannot: the file cannot be read.
    """
    try:
        return path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from error


def rows(path: Path, progress: Callable[[int], object] = lambda _: None) -> Iterator[Row]:
    """What stands in a file; what ends in `.parquet` is that, else it is lines of JSON, unpacked where it ends in `.gz`.

    Args:
        path: of the file.
        progress: is told how many bytes more are done.

    Raises:
        Cannot: the file cannot be read.
    """
    try:
        yield from _columns(path, progress) if path.suffix == ".parquet" else _lines(path, progress)
    except (OSError, EOFError, gzip.zlib.error) as error:  # type: ignore[attr-defined] # of gzip's own
        raise _unreadable(path, error) from error


def _lines(path: Path, progress: Callable[[int], object]) -> Iterator[Row]:
    done = 0
    with path.open("rb") as raw:
        lines: IO[bytes] = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw  # type: ignore[assignment] # reads bytes
        number = 0
        while line := lines.readline(LONGEST):
            number += 1
            if len(line) == LONGEST and not line.endswith(b"\n"):
                while (rest := lines.readline(LONGEST)) and not rest.endswith(b"\n"):
                    pass
                yield number, "the line is longer than 1 MiB"
            elif not line.isspace():
                yield number, _read(line)
            if not number % _OFTEN:
                progress(raw.tell() - done)
                done = raw.tell()
        progress(raw.tell() - done)


def _read(line: bytes) -> dict[str, Any] | str:
    try:
        found = json.loads(line, parse_constant=_no_number)
    except RecursionError:
        return "it is nested too deeply"
    except UnicodeDecodeError:
        return "it is not UTF-8"
    except json.JSONDecodeError:
        return "it is not JSON"
    except ValueError as error:
        return str(error)
    return found if isinstance(found, dict) else "it is no object: {…}"


def _columns(path: Path, progress: Callable[[int], object]) -> Iterator[Row]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        cure = "Install it with: pip install 'guardrail-mw[parquet]'"
        raise Cannot(f"Parquet files need pyarrow, not installed here. {cure}") from error
    whole, number = size(path), 0
    try:
        with parquet.ParquetFile(path) as file:
            count, done = max(1, file.metadata.num_rows), 0
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield number, {name: value for name, value in row.items() if value is not None}
                at = whole * number // count
                progress(at - done)
                done = at
    except pa.ArrowInvalid as error:
        raise Cannot(f"{path} cannot be read: it is no whole Parquet file.") from error


def _no_number(name: str) -> Any:
    raise ValueError(f"it holds {name}, which is not JSON")


def _unreadable(path: object, error: Exception) -> Cannot:
    reason = getattr(error, "strerror", None) or "it is not whole gzip data"
    return Cannot(f"{path} cannot be read: {reason.lower()}.")
