"""What a simulation writes: reports, a row an account, and how far it has come."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from guardrail_mw.cli.output import Cannot, write, writing

__all__ = ["bar", "parquet", "place", "reports", "rows"]


def parquet(path: Path | None) -> None:
    """Check that a file can be read or written where its name says that it is Parquet.

    Raises:
        Cannot: pyarrow is not installed.
    """
    if path is not None and path.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise Cannot("Parquet needs pyarrow, not installed here. Install it with: pip install 'guardrail-mw[parquet]'")


def place(options: dict[str, Any]) -> Path | None:
    """Where accounts go; None for nowhere."""
    given: Path | None = options["accounts"]
    if given is not None or options["out"] is None:
        return given
    folder: Path = options["out"]
    return folder / ("accounts.parquet" if find_spec("pyarrow") else "accounts.jsonl")


def rows(path: Path, found: list[dict[str, Any]]) -> None:
    """Write a row an account, and say so.

    Raises:
        Cannot: it cannot be written.
    """
    from guardrail_mw.simulate.accounts import write as write_rows

    parquet(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_rows(path, found)
    click.echo(f"Written: {path}")


def reports(options: dict[str, Any], texts: dict[str, str]) -> None:
    """Write the report wherever it is wanted, and say so.

    Args:
        options: of the command: `out`, `html`, and `written` for JSON.
        texts: `report.txt`, `report.json` and `report.html`.

    Raises:
        Cannot: one cannot be written.
    """
    places = [(options["out"] / name, text) for name, text in texts.items() if options["out"] is not None]
    single = (("html", "report.html"), ("written", "report.json"))
    places += [(options[key], texts[name]) for key, name in single if options[key] is not None]
    for path, text in places:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write(path, text)


@contextmanager
def bar(length: int, label: str) -> Iterator[Callable[[int], None] | None]:
    """Progress, where somebody watches and rich is there."""
    if not sys.stderr.isatty() or find_spec("rich") is None:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(label, total=length)
        yield lambda passed: progress.update(task, completed=passed)
