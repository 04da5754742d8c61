"""An export read whole, for numpy: what the stages as SQL are held to, and enough where it fits into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from guardrail_mw.clusters.forming import form
from guardrail_mw.clusters.graph import Graph, Holdings
from guardrail_mw.clusters.reading import FAMILY, table
from guardrail_mw.clusters.rebuild import RECENT
from guardrail_mw.clusters.splitting import part

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from guardrail_mw.clusters.sql.export import Exported
    from guardrail_mw.clusters.sql.terms import Terms

__all__ = ["form_in_memory", "read_exported"]


def read_exported(files: Exported) -> Holdings:
    """What `export_edges` wrote, with the splits in force; accounts in the order of their names. Needs the extra `parquet`.

    Raises:
        OSError: a file cannot be read.
        ValueError: one is no Parquet, or lacks a column.
    """
    from pyarrow import compute, parquet

    accounts = parquet.read_table(files.accounts, columns=["account", "since"]).sort_by("account").combine_chunks()
    edges = parquet.read_table(files.edges, columns=["account", "key", "first"])
    owner = compute.index_in(edges["account"], value_set=accounts["account"])
    if owner.null_count:
        raise ValueError(f"{files.edges.name} names accounts that {files.accounts.name} has not")
    for name, some in ((files.accounts.name, accounts), (files.edges.name, edges)):
        for column in some.column_names:
            if some[column].null_count:
                raise ValueError(f"{name} has rows without {column}")
    held = Holdings(
        accounts["account"].to_pylist(),
        accounts["since"].to_numpy(),
        owner.to_numpy().astype(np.int32),
        edges["key"].to_numpy(),
        edges["first"].to_numpy(),
    )
    sides: dict[int, tuple[int, tuple[list[str], list[str]]]] = {}
    for row in parquet.read_table(files.splits).to_pylist():
        sides.setdefault(row["split"], (row["renaming"], ([], [])))[1][row["side"] - 1].append(row["account"])
    for _, (renamed, (side, rest)) in sorted(sides.items()):
        held = part(held, side, rest, renamed)
    return held


def form_in_memory(files: Exported, terms: Terms) -> tuple[Holdings, NDArray[np.int32]]:
    """The clusters of an export, as a rebuild forms them.

    Args:
        files: of `export_edges`.
        terms: what it goes by.

    Returns:
        What was read, and of each account the number of its cluster: -1 for none.

    Raises:
        OSError: a file cannot be read.
        ValueError: one is no Parquet, or lacks a column.
    """
    held = read_exported(files)
    graph = Graph.of(held, table(terms.kinds))
    content: Any = np.zeros(32, np.bool_)
    content[[FAMILY["content"], FAMILY["client"]]] = True
    return held, form(graph, content, now=terms.now, age=terms.age, new=terms.now - RECENT).cluster
