"""When a verdict acts: one that would newly bind many accounts waits for an operator, and only trims meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrail_mw.stores.base import Change
from guardrail_mw.values import VOUCHED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from guardrail_mw.clusters.state import Cluster, Order

__all__ = [
    "APART", "BINDS", "FREE", "Approval", "Counted", "acts", "bind", "bound", "changes", "counted", "in_force", "kept_apart",
    "standing",
]  # fmt: skip

FREE: Final = dict.fromkeys(("cluster", "verdict", "brake", "families", "budget", "counters"), "")
"""Fields of the standing of who is in no cluster."""
_DIGITS: Final = 20
APART: Final = "apart"
"""Field of the standing of who was split off: µs until which that holds, 0 for good."""
BINDS: Final = frozenset({"suspect", "confirmed"})
"""Verdicts that policies act on."""


class Counted(NamedTuple):
    """Where a cluster is counted."""

    home: str
    """`c:…`; empty for who is in no cluster."""
    budget: int
    """Tokens a UTC day that are shared there; 0 for none."""
    binds: bool = False
    """Whether what is beyond is refused: the cluster's organisation was verified, and this is what it has."""


@dataclass(frozen=True, slots=True)
class Approval:
    """When an operator is asked."""

    over: int = 1_000
    """Accounts that a verdict may newly bind without asking."""
    wait: int = 1_800_000_000
    """µs after which it acts in full, unless it was rejected."""


def bind(cluster: Cluster, orders: Sequence[Order], approval: Approval, now: int) -> Cluster:
    """The cluster with how many of its members are approved for, and since when it waits for that.

    Args:
        cluster: with `approved` and `asked` as they were before.
        orders: what operators say of it, the latest last.
        approval: the policy's.
        now: µs.
    """
    if cluster.verdict not in BINDS:
        return replace(cluster, asked=None)
    size = len(cluster.members)
    if size - cluster.approved <= approval.over:
        return replace(cluster, asked=None)
    asked = cluster.asked if cluster.asked is not None else now
    approves = any(order.what == "approve" and order.at >= asked for order in orders)
    if approves or now - asked >= approval.wait:
        return replace(cluster, approved=size, asked=None)
    return replace(cluster, asked=asked)


def bound(fields: Mapping[str, str]) -> str:
    """The id of the cluster that an account's standing is in, where its verdict binds; else empty."""
    return fields.get("cluster", "") if fields.get("verdict") in BINDS else ""


def acts(cluster: Cluster) -> bool:
    """Whether its verdict is in force."""
    return cluster.verdict in BINDS and cluster.asked is None


def standing(cluster: Cluster, was: str = "none") -> dict[str, str]:
    """Fields of a member's standing; an empty one is left out.

    A verdict that waits shows as `watched`, and `brake` holds it; whoever was bound before stays bound, else a campaign could
    lift its own verdict by growing. `budget` is what all members have together, in tokens a UTC day, where it is material, and
    `vouched` behind it where its organisation was verified, with the codes of the provider and level;
    `counters`, in a part of another cluster, that one's id, the µs until which it is charged there, and the budget there.

    Args:
        cluster: whose member it is.
        was: the verdict in the member's standing.
    """
    waits = cluster.verdict in BINDS and cluster.asked is not None and was not in BINDS
    return {
        "cluster": cluster.id,
        "verdict": "watched" if waits else cluster.verdict,
        "brake": cluster.verdict if waits else "",
        "families": ",".join(cluster.families),
        "budget": _budget(cluster),
        "counters": f"{cluster.counters} {cluster.until} {cluster.shared}" if cluster.counters else "",
    }


def counted(fields: Mapping[str, str], now: int) -> Counted:
    """Where, as a member's standing says, its cluster is counted `now`. What cannot be read is left aside."""
    home, _, rest = fields.get("counters", "").partition(" ")
    until, _, there = rest.partition(" ")
    cluster, budget = fields.get("cluster", ""), fields.get("budget", "")
    budget, binds, _ = budget.partition(VOUCHED)
    if home and _is_whole(until) and _is_whole(there) and now < int(until):
        return Counted(f"c:{home}", int(there), bool(binds))
    return Counted(f"c:{cluster}" if cluster else "", int(budget) if _is_whole(budget) else 0, bool(binds))


def _budget(cluster: Cluster) -> str:
    codes = ",".join(cluster.vouched)
    return f"{cluster.allowance}{VOUCHED}{codes}" if codes else str(cluster.allowance or "")


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _DIGITS


def changes(fields: Mapping[str, str]) -> tuple[Change, ...]:
    """What makes a standing's fields these; an empty one is left out."""
    return tuple([Change("set", name, value) if value else Change("unset", name) for name, value in fields.items()])


def kept_apart(fields: Mapping[str, str], now: int) -> bool:
    """Whether an account was split off from a cluster: only a rebuild, which sees the split, may say where it belongs."""
    until = fields.get(APART, "")
    return until == "0" or (_is_whole(until) and now < int(until))


def in_force(clusters: Iterable[Cluster]) -> dict[str, dict[str, str]]:
    """What a newcomer's standing gets, by cluster: for processes that place between rebuilds."""
    return {each.id: {name: value for name, value in standing(each).items() if value} for each in clusters}
