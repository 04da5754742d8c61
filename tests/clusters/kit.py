"""What the tests of clusters share: graphs made from a few words, and their answers by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from guardrail_mw.algorithms import keys
from guardrail_mw.clusters.features import Activities
from guardrail_mw.clusters.graph import Graph, Holdings, Table
from guardrail_mw.clusters.kinds import Kinds
from guardrail_mw.clusters.reading import FAMILY, table
from guardrail_mw.clusters.weights import Weights

KINDS: Final = Kinds()
TABLE: Final[Table] = table(KINDS)
CONTENT: Final[NDArray[np.bool_]] = np.isin(np.arange(32), [FAMILY["content"], FAMILY["client"]])
"""Families whose values can be nominated, as a rebuild has them."""
DAY: Final = 24
MONTH: Final = 30 * DAY
"""Hours after which an account is established."""
CODE: Final = {name: kind.code for name, kind in KINDS.by_name.items()}

Shown: TypeAlias = "dict[str, dict[int, int]]"
"""Of each account its keys, and the hour when it first showed each."""


def key(kind: str, digest: int) -> int:
    """A value of a kind: `key("payment", 7)`."""
    return keys.join(CODE[kind], digest)


class Crowd:
    """Accounts and what they show, put down one by one.

    Args:
        strangers: accounts that show nothing that anybody else does; they only make chance smaller.
    """

    def __init__(self, strangers: int = 0) -> None:
        self.since: dict[str, int] = {}
        self.shown: Shown = {}
        for number in range(strangers):
            self.add(f"a:~{number:05}", 0)

    def add(self, account: str, since: int, values: Mapping[int, int] | Iterable[int] = ()) -> str:
        """An account that is there since an hour; `values` were first shown then, unless it says when."""
        self.since[account] = since
        shown = values if isinstance(values, Mapping) else dict.fromkeys(values, since)
        self.shown[account] = dict(shown)
        return account

    def group(self, name: str, many: int, since: int, values: Iterable[int] = ()) -> list[str]:
        """Several that are alike."""
        return [self.add(f"a:{name}{number:04}", since, values) for number in range(many)]

    def held(self, order: Iterable[int] | None = None, names: Sequence[str] | None = None) -> Holdings:
        """As a reader makes it: accounts by name, and edges by account; or both in another order."""
        names = sorted(self.since) if names is None else names
        rows = [(row, value, first) for row, name in enumerate(names) for value, first in self.shown[name].items()]
        if order is not None:
            rows = [rows[at] for at in order]
        return Holdings(
            names,
            np.array([self.since[name] for name in names], np.int64),
            np.array([row for row, _, _ in rows], np.int32),
            np.array([value for _, value, _ in rows], np.int64),
            np.array([first for _, _, first in rows], np.int64),
        )

    def graph(self) -> Graph:
        """In columns."""
        return Graph.of(self.held(), TABLE)

    @property
    def edges(self) -> int:
        """How many there are."""
        return sum(len(each) for each in self.shown.values())


def numbered(graph: Graph, clusters: Iterable[Iterable[str]]) -> NDArray[np.int32]:
    """Clusters of names as the number of each account's."""
    row = {name: at for at, name in enumerate(graph.accounts)}
    found = np.full(graph.size, -1, np.int32)
    for number, members in enumerate(clusters):
        found[[row[each] for each in members]] = number
    return found


def named(graph: Graph, cluster: NDArray[np.int32]) -> list[list[str]]:
    """The members of each cluster, by their numbers."""
    found: list[list[str]] = [[] for _ in range(int(cluster.max(initial=-1)) + 1)]
    for row in np.flatnonzero(cluster >= 0).tolist():
        found[int(cluster[row])].append(graph.accounts[row])
    return found


def sizes(cluster: NDArray[np.int32]) -> NDArray[np.int64]:
    """Members of each cluster."""
    return np.bincount(cluster[cluster >= 0], minlength=int(cluster.max(initial=-1)) + 1).astype(np.int64)


class Said(NamedTuple):
    """What a value says for a cluster."""

    members: int
    weight: int
    second: int


def said(graph: Graph, weights: Weights) -> dict[tuple[int, int], Said]:
    """Weights by key and number of the cluster."""
    found = {}
    columns = (weights.value, weights.cluster, weights.members, weights.weight, weights.second)
    for value, cluster, members, weight, second in zip(*[each.tolist() for each in columns], strict=True):
        found[int(graph.keys[value]), cluster] = Said(members, weight, second)
    return found


def idle(accounts: int) -> Activities:
    """Accounts that have done nothing."""
    none = np.zeros(accounts, np.int64)
    hours = np.zeros((accounts, DAY), np.int64)
    days = np.zeros((accounts, 8), np.int64)
    return Activities(none, none.copy(), none.copy(), none.copy(), none.copy(), hours, none.copy(), none.copy(), days)
