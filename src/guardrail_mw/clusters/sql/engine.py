"""What the stages need of an engine that runs SQL."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Protocol

__all__ = ["Engine", "needs"]


class Engine(Protocol):
    """Runs the stages. Names are tables' and views'; a new one takes the place of an old one of that name."""

    def load(self, name: str, path: str) -> None:
        """Make a view of Parquet: a file, a folder, or a pattern."""
        ...

    def table(self, name: str, query: str) -> None:
        """Work a query out, and keep what comes of it. The query may be of the table that it replaces."""
        ...

    def view(self, name: str, query: str) -> None:
        """Give a query a name."""
        ...

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What comes of a query, here."""
        ...

    def components(self, name: str) -> None:
        """Make a table `name` (id, cluster) of the nodes in `node` (id): the least id that `link` (one, other) leads to."""
        ...

    def write(self, query: str, path: str) -> None:
        """Write what comes of a query as Parquet, in place of what is there."""
        ...


def needs(*modules: str, cure: str) -> None:
    """Make sure that optional libraries are there.

    Raises:
        ImportError: one is not; says how to install it.
    """
    for each in modules:
        if find_spec(each) is None:
            raise ImportError(f"{each} is not installed. Install it with: {cure}")
