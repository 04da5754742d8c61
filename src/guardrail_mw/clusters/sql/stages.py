"""The stages' text, which DuckDB and Spark run as it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from guardrail_mw.clusters.sql.engine import Engine

__all__ = ["Figure", "run"]

Figure: TypeAlias = "int | float | Sequence[int] | Sequence[Sequence[int | bool]]"
"""What stands for `:name` in a stage: a number, numbers, or rows of them."""
_STATEMENT: Final = re.compile(r"^create (table|view) (\w+) as\s(.+?);$", re.DOTALL | re.MULTILINE)
_NAME: Final = re.compile(r":([a-z_]+)")


def run(engine: Engine, stage: str, figures: Mapping[str, Figure]) -> None:
    """Run a stage: make the tables and views that its file names, in that order.

    Raises:
        KeyError: the stage needs a figure that is not given.
    """
    text = (files("guardrail_mw.clusters.sql") / "stages" / f"{stage}.sql").read_text("utf-8")
    for what, name, query in _STATEMENT.findall(text):
        make = engine.table if what == "table" else engine.view
        make(name, _NAME.sub(lambda found: _literal(figures[found[1]]), query.strip()))


def _literal(figure: Figure) -> str:
    """A figure in SQL. A fraction is a double everywhere, which needs an exponent: else it is a decimal somewhere."""
    if isinstance(figure, bool):
        return str(figure).lower()
    if isinstance(figure, int):
        return str(figure)
    if isinstance(figure, float):
        return f"{figure!r}e0"
    return ", ".join(_literal(each) if isinstance(each, int) else f"({_literal(each)})" for each in figure)
