"""The whole, from the edges: which clusters there are, which they were before, and what is to be thought of them.

Nothing is patched: what an account is in follows from the evidence that there is. Take evidence away, and the next rebuild is
without it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from guardrail_mw.algorithms import keys
from guardrail_mw.algorithms.edges import EPOCH
from guardrail_mw.clusters.binding import Approval
from guardrail_mw.clusters.descent import name
from guardrail_mw.clusters.features import FEATURES, Activities, features, tied
from guardrail_mw.clusters.forming import Formed, form
from guardrail_mw.clusters.graph import Graph, Holdings, Table
from guardrail_mw.clusters.inheriting import inherited, merged, midnight, sharing, taken_along, without_parts
from guardrail_mw.clusters.material import GROWTH, Materiality, declared, tokens_by_day, worth
from guardrail_mw.clusters.ordering import Judging, decided, orders_of
from guardrail_mw.clusters.reading import FAMILIES, FAMILY
from guardrail_mw.clusters.scores import COUNTS
from guardrail_mw.clusters.splitting import apart, freed, holding
from guardrail_mw.clusters.state import Cluster, Given, State
from guardrail_mw.clusters.verdict import Judge

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from numpy.typing import NDArray

    from guardrail_mw.clusters.kinds import Declared

__all__ = ["HOUR", "LEAST", "MARKED", "RECENT", "Rebuilt", "Rules", "rebuild"]

HOUR: Final = 3_600_000_000
"""µs."""
LEAST: Final = 5
"""Members from which a cluster is kept."""
MARKED: Final = 3
"""Clusters that a value's record names."""
RECENT: Final = 45 * 24
"""Hours in which a use is new, and an account young."""
_LINEAGE: Final = 64
"""Ids that a lineage has at most: splits of splits."""
_MOST_OF: Final = 0.5
"""Share of its members that a family must tie for a cluster to rest on it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a policy says of rebuilds."""

    kinds: Table
    families: tuple[int, int, int, int] = FAMILIES
    """Numbers of the families payment, network, content and client."""
    epoch: int = EPOCH
    """µs at which the hours of edges begin."""
    established: int = 30 * 24
    """Hours."""
    least: int = LEAST
    """Members from which a cluster is kept."""
    floor: tuple[int, int] = (20, 300)
    """Accounts and exchanges from which it is watched."""
    approval: Approval = field(default_factory=Approval)
    material: Materiality = field(default_factory=Materiality)
    organisations: Mapping[int, Declared] = field(default_factory=dict)
    """Those that the policy knows, by the keys of the evidence of belonging to them."""
    judge: Judge | None = None
    """The model; the shipped one unless given."""
    ends: Callable[[int], int] = midnight
    """When all that is counted at a time (µs) counts no more: until then the parts of a cluster share its counters."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What came of it."""

    state: State
    marks: dict[int, tuple[tuple[str, int], ...]]
    """Of values, the clusters they speak for and how much (millinats), the most first."""
    established: dict[int, int]
    """Of those values, how many of their holders are established; not where none is."""
    formed: Formed
    graph: Graph
    names: tuple[str, ...]
    """Ids by the numbers that `formed` has; empty for a cluster that is too small to keep."""


def rebuild(held: Holdings, activity: Activities, before: State, given: Given, rules: Rules, now: int) -> Rebuilt:
    """Find and judge all clusters.

    Args:
        held: accounts and their edges, of the last 90 days.
        activity: of each account.
        before: what the last rebuild left.
        given: what operators say.
        rules: how.
        now: µs.
    """
    hour = (now - rules.epoch) // HOUR
    given = replace(given, splits=holding(given.splits, now))
    held = apart(held, given.splits)
    graph = Graph.of(held, rules.kinds)
    content = np.zeros(32, np.bool_)
    content[list(rules.families[2:])] = True
    formed = form(graph, content, now=hour, age=rules.established, new=hour - RECENT)
    groups = _groups(formed.cluster)
    kept = [number for number, rows in enumerate(groups) if len(rows) >= rules.least]
    members = [tuple(sorted(held.accounts[row] for row in groups[number])) for number in kept]
    were = before.ids()
    named = name(members, were, now)
    figures = features(
        graph, formed.cluster, activity, _templated(graph, formed, rules), rules.families[:2], young=hour - RECENT
    )
    judge = rules.judge or Judge.shipped()
    scores = judge.score(figures)
    ties = np.bincount(formed.cluster[tied(graph, formed.cluster)], minlength=len(groups))
    requests = np.bincount(
        formed.cluster[formed.cluster >= 0], weights=activity.requests[formed.cluster >= 0], minlength=len(groups)
    )
    tokens = tokens_by_day(activity, formed.cluster, len(groups))
    five = worth(activity)
    rests = _rests(graph, formed, len(groups))
    organisations = declared(graph, formed.cluster, len(groups), rules.organisations)
    first = _first(held, before, rules)
    old = {each.id: each for each in before.clusters}
    clusters = []
    cold = not first or now - first < rules.established * HOUR
    judging = Judging(judge, rules.floor, rules.approval)
    for number, mine, found in zip(kept, members, named, strict=True):
        known = old.get(found.id)
        parent = old.get(found.descends)
        heir = now if known is not None and parent is None else parent.heir if parent is not None else 0
        lineage = dict.fromkeys((found.id, *(parent.lineage if parent is not None else ())))
        own = freed(mine, given.splits) >= 0  # an operator took them out: what the others did is not theirs
        along = {} if own or known is not None or parent is None else taken_along(parent, mine)
        made = Cluster(
            found.id,
            mine,
            "none",
            int(scores[number]),
            known.begun if known is not None else now,
            tied=int(ties[number]),
            exchanges=int(requests[number]),
            figures=dict(zip(FEATURES, (round(float(each), 4) for each in figures[number]), strict=True)),
            ancestors=found.ancestors,
            lineage=tuple(lineage)[:_LINEAGE],
            heir=heir,
            families=rests[number],
            **(along or _material(known, len(mine), tokens[number], tokens[-1], rules, now)),
            **_organised(organisations.get(number)),
            worth=five,
            **({} if own else inherited(known, parent, now, rules.ends)),
            approved=sum(min(old[each].approved, came) for each, came in zip(found.ancestors, found.came, strict=True)),
        )
        clusters.append(_verdict(made, known, given, judging, (now, before.rebuilt), cold=cold))
    names = [""] * len(groups)
    for number, found in zip(kept, named, strict=True):
        names[number] = found.id
    watched = {each.id for each in clusters if len(each.members) >= rules.floor[0]}
    pending = tuple(each for each in before.merged if now < each.until)
    state = State(
        now, first, sharing(without_parts(clusters, old)), (*pending, *merged(named, clusters, were, now, rules.ends))
    )
    marks = _marks(graph, formed, names, watched)
    elders = _elders(graph, marks, graph.since <= hour - rules.established)
    return Rebuilt(state, marks, elders, formed, graph, tuple(names))


def _verdict(
    made: Cluster, known: Cluster | None, given: Given, judging: Judging, times: tuple[int, int], *, cold: bool
) -> Cluster:
    """The cluster with its verdict, where `times` are now and when the last rebuild was."""
    if known is not None:
        made = replace(made, suspect=known.suspect, asked=known.asked)
    orders = orders_of(given, made, given.splits, times[0])
    return decided(made, orders, judging, times[0], looked=times[1], cold=cold)


def _material(
    known: Cluster | None, members: int, tokens: NDArray[np.float64], everybody: NDArray[np.float64], rules: Rules, now: int
) -> dict[str, Any]:
    """Since when it is material, and its budget, which stays what it was then; nothing where it is not.

    The budget of one of which no tokens were counted then is fixed at the first rebuild that knows of some.
    """
    since = known.material if known is not None else None
    if known is not None and since is not None and known.budget:
        return {"material": since, "budget": known.budget}
    largest = float(tokens.max(initial=0.0))
    if since is None and not rules.material.holds(members, largest, float(everybody.max(initial=0.0))):
        return {}
    return {"material": now if since is None else since, "budget": round(GROWTH * largest)}


def _organised(organisation: Declared | None) -> dict[str, Any]:
    """The organisation of a cluster and the budget that it has, whether or not it is large; nothing for none."""
    return {} if organisation is None else {"organisation": organisation.name, "declared": organisation.tokens}


def _first(held: Holdings, before: State, rules: Rules) -> int:
    """µs of the oldest evidence that there is or was; 0 for none."""
    here = int(held.first.min()) * HOUR + rules.epoch if len(held.first) else 0
    return min(filter(None, (here, before.first)), default=0)


def _groups(cluster: NDArray[np.int32]) -> list[NDArray[np.int64]]:
    """The rows of each cluster's members."""
    rows = np.flatnonzero(cluster >= 0)
    rows = rows[np.argsort(cluster[rows], kind="stable")]
    many = np.bincount(cluster[rows], minlength=int(cluster.max(initial=-1)) + 1)
    return np.split(rows, np.cumsum(many)[:-1]) if len(many) else []


def _templated(graph: Graph, formed: Formed, rules: Rules) -> NDArray[np.bool_]:
    """Of each account, whether it holds content that its cluster has made its own."""
    own = formed.nominated & (graph.family[formed.weights.value] == rules.families[2])
    found = np.zeros(graph.size, np.bool_)
    found[graph.owner[_held(graph, formed, own)]] = True
    return found


def _rests(graph: Graph, formed: Formed, clusters: int) -> list[tuple[str, ...]]:
    """The families of evidence that each cluster rests on: half of its members hold something of it that counts."""
    edges = _held(graph, formed, formed.weights.weight >= COUNTS)
    family = graph.family[graph.value[edges]].astype(np.int64)
    holds = np.unique(graph.owner[edges].astype(np.int64) * len(FAMILY) + family)
    account, family = holds // len(FAMILY), holds % len(FAMILY)
    many = np.bincount(formed.cluster[account] * len(FAMILY) + family, minlength=clusters * len(FAMILY))
    sizes = np.bincount(formed.cluster[formed.cluster >= 0], minlength=clusters)
    enough = many.reshape(clusters, len(FAMILY)) >= _MOST_OF * sizes[:, None]
    names = list(FAMILY)
    return [tuple(sorted(names[place] for place in np.flatnonzero(row))) for row in enough]


def _held(graph: Graph, formed: Formed, pairs: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The rows of members' edges to values that are among `pairs` of weights with their own cluster."""
    weights = formed.weights
    clusters = int(formed.cluster.max(initial=-1)) + 1 or 1
    wanted = np.unique(weights.value[pairs].astype(np.int64) * clusters + weights.cluster[pairs])
    inside = np.flatnonzero(formed.cluster[graph.owner] >= 0)
    number = graph.value[inside].astype(np.int64) * clusters + formed.cluster[graph.owner[inside]]
    return inside[np.isin(number, wanted)]


def _marks(graph: Graph, formed: Formed, names: list[str], watched: set[str]) -> dict[int, tuple[tuple[str, int], ...]]:
    weights = formed.weights
    worth = np.array([each in watched for each in names], np.bool_)
    # hours in common are shown by no request, so no record of them is ever read
    shown = graph.keys[weights.value] >> keys.BITS != keys.COACTIVE
    rows = np.flatnonzero(worth[weights.cluster] & shown) if len(names) else np.zeros(0, np.int64)
    rows = rows[np.lexsort((weights.cluster[rows], -weights.weight[rows], weights.value[rows]))]
    marks: dict[int, tuple[tuple[str, int], ...]] = {}
    for row in rows.tolist():
        key = int(graph.keys[weights.value[row]])
        mine = marks.get(key, ())
        if len(mine) < MARKED:
            marks[key] = (*mine, (names[weights.cluster[row]], int(weights.weight[row])))
    return marks


def _elders(graph: Graph, marks: Collection[int], established: NDArray[np.bool_]) -> dict[int, int]:
    """How many established accounts hold each value that is marked, where any does."""
    many = np.bincount(graph.value[established[graph.owner]], minlength=len(graph.keys))
    rows = np.flatnonzero((many > 0) & np.isin(graph.keys, np.fromiter(marks, graph.keys.dtype, len(marks))))
    return dict(zip(graph.keys[rows].tolist(), many[rows].tolist(), strict=True))
