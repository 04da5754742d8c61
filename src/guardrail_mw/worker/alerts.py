"""What an operator is told of after a rebuild: verdicts that begin to act, and those that ask first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from guardrail_mw.clusters.binding import acts
from guardrail_mw.clusters.ordering import orders_of
from guardrail_mw.clusters.state import ORDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrail_mw.clusters.settings import ApprovalSettings
    from guardrail_mw.clusters.state import Cluster, Given, State

__all__ = ["Alert", "alerts"]

_SETTLES: Final = frozenset({"verdict", "release", "approve", "reject"})
"""Orders after which a verdict is no news to whoever gave them."""
What: TypeAlias = Literal["turned", "asks"]


class Alert(NamedTuple):
    """One cluster that somebody should look at."""

    what: What
    """`turned`: its verdict begins to act, or has become graver. `asks`: it begins to wait for approval."""
    text: str
    """A line for the log."""


def alerts(before: State, after: State, given: Given, approval: ApprovalSettings) -> Iterator[Alert]:
    """What a rebuild changed that nobody has ordered.

    A cluster is compared with what it was, or with what at least half of it comes from, so that one that falls apart, or takes in
    another, is no news; nor is what an operator has said of its verdict since the last rebuild.

    Args:
        before: what the last rebuild left.
        after: what this one did.
        given: what operators say, splits included.
        approval: the policy's.
    """
    old = {each.id: each for each in before.clusters}
    for each in after.clusters:
        orders = orders_of(given, each, given.splits, after.rebuilt)
        if any(order.at > before.rebuilt and order.what in _SETTLES for order in orders):
            continue
        known = [old[name] for name in dict.fromkeys((each.id, *each.lineage)) if name in old]
        look = f"guardrail-mw clusters show {each.id}"
        if each.asked is not None:
            if all(one.asked is None for one in known):
                yield Alert("asks", f"{_said(each)} and asks for approval. {_asking(each, approval)} {look}")
        elif acts(each) and all(not acts(one) or _grave(one) < _grave(each) for one in known):
            yield Alert("turned", f"{_said(each)}, and that acts. {look}")


def _said(cluster: Cluster) -> str:
    return (
        f"Cluster {cluster.id}, {len(cluster.members):,} accounts at {cluster.score / 1000:.1f} nats, is {cluster.verdict}"
    )


def _asking(cluster: Cluster, approval: ApprovalSettings) -> str:
    new = len(cluster.members) - cluster.approved
    return f"It would newly bind {new:,}: they are trimmed for {approval.wait}, then it acts, unless it is rejected."


def _grave(cluster: Cluster) -> int:
    return ORDER.index(cluster.verdict)
