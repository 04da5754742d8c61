"""Why an account is in its cluster, what two accounts share, and what evidence would have to go for a membership to end.

The figures are worked out anew from the evidence that there is, as a rebuild would: a membership rests on composites that the
account shares with members (see `islands`), on its score without itself (see `growth`), or on both.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple, get_args

import numpy as np

from guardrail_mw.algorithms.keys import BITS
from guardrail_mw.clusters.columns import begins
from guardrail_mw.clusters.graph import Graph, Holdings, Table
from guardrail_mw.clusters.islands import Composites, composites
from guardrail_mw.clusters.nominees import nominate
from guardrail_mw.clusters.scores import ASSERTABLE, BOUND, COUNTS, JOINS, MOST, by_family
from guardrail_mw.clusters.weights import Weights, weigh
from guardrail_mw.values import Family

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from guardrail_mw.clusters.state import Cluster, State

__all__ = ["Explained", "Explainer", "Membership", "Seed", "Shared", "Support"]

_FAMILIES: Final[tuple[Family, ...]] = get_args(Family)


class Shared(NamedTuple):
    """A value that both accounts hold."""

    key: int
    family: Family | None
    """None for a kind that the policy no longer has."""
    bound: bool
    holders: int
    since: tuple[int, int]
    """Hours since 2025-01-01 UTC: when either first showed it."""


class Support(NamedTuple):
    """A value that an account holds, and what it says for its cluster."""

    key: int
    family: Family
    bound: bool
    holders: int
    members: int
    """Of the others in the cluster, who hold it."""
    weight: int
    """Millinats."""
    counts: bool
    """Whether it counts: not for whoever was established and held it before the cluster's second member did."""


class Seed(NamedTuple):
    """Two values of two families that the account holds with others of its cluster, more of them than chance allows."""

    keys: tuple[int, int]
    members: int
    """Members who hold both, this one too."""
    surprise: int
    """Millinats."""


@dataclass(frozen=True, slots=True)
class Membership:
    """Why an account is where it is."""

    account: str
    cluster: Cluster | None
    """None where it is in none."""
    support: tuple[Support, ...] = ()
    """What speaks for it, by family, the heaviest first."""
    seeds: tuple[Seed, ...] = ()
    """The most surprising first."""
    ends: tuple[int, ...] = ()
    """Keys of values without which it would not be a member: as few of them as were found."""

    @property
    def families(self) -> dict[Family, int]:
        """Millinats by family, those that count for nothing too; the heaviest first."""
        return _families(self.support)

    @property
    def score(self) -> int:
        """Millinats of the families that count."""
        return sum(each for each in self.families.values() if each >= COUNTS)

    @property
    def tied(self) -> bool:
        """Whether it shares bound evidence that says something."""
        return _tied(self.support)

    @property
    def joins(self) -> bool:
        """Whether its score alone makes it a member."""
        return _joins(self.support)


@dataclass(frozen=True, slots=True)
class Explained:
    """What there is to say of two accounts."""

    one: Membership
    other: Membership
    shared: tuple[Shared, ...]
    """The rarest first."""


class Explainer:
    """Explains from one reading of the evidence.

    Args:
        held: as it was read, splits applied.
        state: what the last rebuild left.
        kinds: of evidence.
        content: numbers of the families whose values clusters can make their own.
        age: hours after which an account is established.
        now: hours since the epoch of edges.
        new: hours since then from which a use is new.
    """

    def __init__(
        self, held: Holdings, state: State, kinds: Table, *, content: Collection[int], age: int, now: int, new: int
    ) -> None:
        self._held = held
        self._kinds = kinds
        self._graph = Graph.of(held, kinds)
        self._rows = {name: row for row, name in enumerate(held.accounts)}
        self._clusters = state.clusters
        self._cluster = np.full(self._graph.size, -1, np.int32)
        for number, each in enumerate(state.clusters):
            self._cluster[[self._rows[name] for name in each.members if name in self._rows]] = number
        self._content = np.zeros(32, np.bool_)
        self._content[list(content)] = True
        self._age, self._now, self._new = age, now, new
        self._found: Composites | None = None

    def knows(self, account: str) -> bool:
        """Whether anything is kept of it."""
        return account in self._rows

    def explain(self, one: str, other: str) -> Explained:
        """What two accounts share, and why each is where it is.

        Raises:
            KeyError: nothing is kept of one of them.
        """
        return Explained(self.membership(one), self.membership(other), tuple(self._shared(one, other)))

    def membership(self, account: str) -> Membership:
        """Why an account is in its cluster.

        Raises:
            KeyError: nothing is kept of it.
        """
        row = self._rows[account]
        number = int(self._cluster[row])
        if number < 0:
            return Membership(account, None)
        support = tuple(self._support(row, number))
        seeds = tuple(self._seeds(row, number))
        return Membership(account, self._clusters[number], support, seeds, _ends(support, seeds))

    # What two share

    def _shared(self, one: str, other: str) -> list[Shared]:
        held = self._held
        mine, its = ({int(held.key[at]): int(held.first[at]) for at in self._edges(name)} for name in (one, other))
        both = sorted(mine.keys() & its.keys())
        holders = dict(zip(*np.unique(held.key[np.isin(held.key, both)], return_counts=True), strict=True))
        found = []
        for key in both:
            family = int(self._kinds.family[key >> BITS])
            at = int(np.searchsorted(self._graph.keys, key))
            known = family >= 0 and at < len(self._graph.keys) and self._graph.keys[at] == key
            bound = bool(known and self._graph.bound[at])
            name = _FAMILIES[family] if family >= 0 else None
            found.append(Shared(key, name, bound, int(holders[key]), (mine[key], its[key])))
        return sorted(found, key=lambda each: (each.holders, each.key))

    def _edges(self, account: str) -> NDArray[np.int64]:
        return np.flatnonzero(self._held.owner == self._rows[account])

    # Why one is a member

    def _support(self, row: int, number: int) -> list[Support]:
        graph = _narrowed(self._graph, self._graph.value[self._graph.owner == row])
        cluster = self._cluster.copy()
        cluster[row] = -1
        sizes = np.bincount(cluster[cluster >= 0], minlength=len(self._clusters)).astype(np.int64)
        sizes = np.maximum(sizes, 1)
        weights = weigh(graph, cluster, sizes)
        leads = graph.bound[weights.value] | self._nominated(graph, weights, cluster, sizes)
        pairs = {int(weights.value[at]): at for at in np.flatnonzero(weights.cluster == number)}
        mine = np.flatnonzero(graph.owner == row)
        if not any(leads[pairs[int(value)]] for value in graph.value[mine] if int(value) in pairs):
            return []
        found = []
        for edge in mine:
            value = int(graph.value[edge])
            at = pairs.get(value)
            if at is None:
                continue
            second = int(weights.second[at])
            counts = int(graph.first[edge]) >= second or second - int(graph.since[row]) < self._age
            family = _FAMILIES[int(graph.family[value])]
            bound, holders = bool(graph.bound[value]), int(graph.holders[value])
            key, members, weight = int(graph.keys[value]), int(weights.members[at]), int(weights.weight[at])
            found.append(Support(key, family, bound, holders, members, weight, counts))
        order = list(_families(found))
        return sorted(found, key=lambda each: (order.index(each.family), -each.weight, each.key))

    def _nominated(
        self, graph: Graph, weights: Weights, cluster: NDArray[np.int32], sizes: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        established = graph.since <= self._now - self._age
        return nominate(graph, weights, cluster, sizes, established, self._content, new=self._new).pair

    def _seeds(self, row: int, number: int) -> list[Seed]:
        if self._found is None:
            self._found = composites(self._graph, age=self._age)
        whole = self._found
        mine = whole.composite[whole.owner == row]
        inside = self._cluster[whole.owner] == number
        members = Counter(whole.composite[inside & np.isin(whole.composite, mine)].tolist())
        keys = self._graph.keys
        found = [
            Seed((int(keys[whole.low[at]]), int(keys[whole.high[at]])), members[at], int(whole.surprise[at]))
            for at in mine.tolist()
            if members[at] > 1
        ]
        return sorted(found, key=lambda each: (-each.surprise, each.keys))


def _narrowed(graph: Graph, values: NDArray[np.int32]) -> Graph:
    """The same graph with no other values than these; who holds them, and how many accounts there are, stays."""
    wanted = np.unique(values)
    edges = np.isin(graph.value, wanted)
    return replace(
        graph,
        owner=graph.owner[edges],
        value=np.searchsorted(wanted, graph.value[edges]).astype(np.int32),
        first=graph.first[edges],
        keys=graph.keys[wanted],
        holders=graph.holders[wanted],
        family=graph.family[wanted],
        bound=graph.bound[wanted],
        starts=begins(graph.holders[wanted]),
    )


def _families(support: Sequence[Support]) -> dict[Family, int]:
    sums = by_family((each.family, each.weight if each.counts else 0) for each in support)
    return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))


def _tied(support: Sequence[Support]) -> bool:
    return any(each.bound and each.weight >= COUNTS for each in support)


def _joins(support: Sequence[Support]) -> bool:
    counting = [score for score in _families(support).values() if score >= COUNTS]
    return sum(counting) >= JOINS and len(counting) >= (BOUND if _tied(support) else ASSERTABLE)


def _ends(support: Sequence[Support], seeds: Sequence[Seed]) -> tuple[int, ...]:
    """Values to take away so that neither a composite is left nor the score: greedily, and none of them for nothing."""
    gone: list[int] = []
    while left := [seed for seed in seeds if not set(seed.keys) & set(gone)]:
        covers = Counter(key for seed in left for key in seed.keys)
        gone.append(min(covers, key=lambda key: (-covers[key], key)))
    rest = [each for each in support if each.key not in gone]
    while _joins(rest):
        worth = [each for each in rest if each.counts]
        family = min({each.family for each in worth}, key=lambda name: (_many(rest, name), name))
        heaviest = max((each for each in worth if each.family == family), key=lambda each: (each.weight, -each.key))
        gone.append(heaviest.key)
        rest.remove(heaviest)
    for key in tuple(gone):
        fewer = [each for each in gone if each != key]
        if not _holds(support, seeds, fewer):
            gone = fewer
    return tuple(gone)


def _holds(support: Sequence[Support], seeds: Sequence[Seed], gone: Sequence[int]) -> bool:
    """Whether it would be a member without these values."""
    seeded = any(not set(seed.keys) & set(gone) for seed in seeds)
    return seeded or _joins([each for each in support if each.key not in gone])


def _many(support: Sequence[Support], family: Family) -> tuple[int, int]:
    """How many values of a family must go, the heaviest first, until the account would not join or the family does not count.

    A family that does not count by now is no help; of two that take as many the lighter is kept.
    """
    mine = sorted((each for each in support if each.family == family and each.counts), key=lambda each: -each.weight)
    if min(MOST, sum(each.weight for each in mine)) < COUNTS:
        return len(support) + 1, 0
    for many in range(1, len(mine) + 1):
        rest = [each for each in support if each not in mine[:many]]
        if not _joins(rest):
            return many, 0
        if _families(rest).get(family, 0) < COUNTS:
            return many, 1
    return len(mine), 1
