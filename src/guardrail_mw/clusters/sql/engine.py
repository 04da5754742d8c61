"""What the stages need of an engine that runs SQL."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Engine"]


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
