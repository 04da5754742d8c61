"""Whose counters a rebuilt cluster is charged at: else a split would be a fresh budget, and a merger an amnesty."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from guardrail_mw.algorithms.window import calendar
from guardrail_mw.clusters.state import Cluster, Merged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from guardrail_mw.clusters.descent import Named

__all__ = ["inherited", "merged", "midnight", "sharing", "taken_along", "without_parts"]


def midnight(now: int) -> int:
    """µs at which the UTC day of `now` ends: what a day's budget needs."""
    return calendar(now, "day")[1]


def inherited(known: Cluster | None, parent: Cluster | None, now: int, ends: Callable[[int], int]) -> dict[str, Any]:
    """Whose counters it is charged at, until when, and the budget that holds there; nothing where it is charged at its own.

    A part that gets a new id shares the counters of whatever it was split from until these would have begun anew, and so do parts
    of that part.

    Args:
        known: the cluster that had its id before; None where the id is new.
        parent: the cluster that at least half of it comes from, if there is one.
        now: µs.
        ends: the µs at which all that is counted `now` counts no more.
    """
    before = known or parent
    if before is None:
        return {}
    if now < before.until:
        return {"counters": before.counters, "until": before.until, "shared": before.shared}
    if before is known:
        return {}
    return {"counters": before.id, "until": ends(now), "shared": before.allowance}


def sharing(clusters: Sequence[Cluster]) -> tuple[Cluster, ...]:
    """Clusters, with the budget that parts share as it is now: an operator may have given the whole another."""
    holds = {each.id: each.allowance for each in clusters}
    return tuple(replace(each, shared=holds.get(each.counters, each.shared)) if each.counters else each for each in clusters)


def merged(
    named: Sequence[Named], clusters: Sequence[Cluster], before: Mapping[str, str], now: int, ends: Callable[[int], int]
) -> tuple[Merged, ...]:
    """What was consumed by clusters that are no more, at least half of which went into one that is.

    Args:
        named: what came from where.
        clusters: parallel to it.
        before: of accounts, the id of the cluster they were in.
        now: µs.
        ends: the µs at which all that is counted `now` counts no more.
    """
    whole, there = Counter(before.values()), {each.id for each in named}
    went: dict[str, tuple[int, Cluster]] = {}
    for found, cluster in zip(named, clusters, strict=True):
        for old, came in zip(found.ancestors, found.came, strict=True):
            if old not in there and 2 * came >= whole[old] and came > went.get(old, (0, cluster))[0]:
                went[old] = came, cluster
    targets = {old: cluster.counters or cluster.id for old, (_, cluster) in went.items()}
    return tuple(Merged(old, target, now, ends(now)) for old, target in sorted(targets.items()) if old != target)


def taken_along(parent: Cluster, part: Sequence[str]) -> dict[str, Any]:
    """Since when a part is material, and what of its parent's worked out budget it takes along, by members; nothing for none."""
    came = len(set(part).intersection(parent.members))
    share = parent.budget * came // max(1, len(parent.members))
    return {"material": parent.material, "budget": share} if share else {}


def without_parts(clusters: Sequence[Cluster], before: Mapping[str, Cluster]) -> list[Cluster]:
    """Clusters, of whose budgets is taken what their new parts took along: a split makes no more of it."""
    took: Counter[str] = Counter()
    for each in clusters:
        if each.id not in before and each.material is not None and len(each.lineage) > 1:
            whole = before.get(each.lineage[1])
            if whole is not None and whole.material == each.material:
                took[whole.id] += each.budget
    return [replace(each, budget=max(1, each.budget - took[each.id])) if took[each.id] else each for each in clusters]
