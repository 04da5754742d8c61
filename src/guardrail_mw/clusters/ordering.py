"""What operators' orders make of a cluster: the same at once, when they are given, and in every rebuild after."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self, cast

from guardrail_mw.clusters.binding import Approval, bind
from guardrail_mw.clusters.splitting import Split, freed
from guardrail_mw.clusters.state import SAYS, Verdict, ordered
from guardrail_mw.clusters.verdict import Case, Judge, judged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail_mw.clusters.settings import ClustersSettings
    from guardrail_mw.clusters.state import Cluster, Given, Order

__all__ = ["Judging", "decided", "granted", "orders_of", "vouched"]


@dataclass(frozen=True, slots=True)
class Judging:
    """What a policy says of judging clusters."""

    judge: Judge
    floor: tuple[int, int]
    """Accounts and exchanges."""
    approval: Approval

    @classmethod
    def of(cls, settings: ClustersSettings) -> Self:
        """The shipped model with a policy's thresholds, and the rest as the policy has it."""
        floor, approval, verdict = settings.floor, settings.approval, settings.verdict
        return cls(
            Judge.shipped().at(verdict.suspect, verdict.confirmed),
            (floor.accounts, floor.exchanges),
            Approval(approval.over, approval.wait.us),
        )


def granted(orders: Sequence[Order]) -> int:
    """Tokens a UTC day that the latest order on the budget gives; 0 where there is none, or it took that back."""
    latest = next((order for order in reversed(orders) if order.what == "budget"), None)
    return int(latest.value or 0) if latest is not None else 0


def vouched(orders: Sequence[Order]) -> tuple[str, ...]:
    """The codes by which its organisation was verified, of cases of which that was not taken back."""
    latest: dict[str, str] = {}
    for order in orders:
        if order.what == "vouch":
            verified, _, about = order.value.partition(" ")
            code, _, case = about.partition(" ")
            latest[case] = code if verified == "1" else ""
    return tuple(sorted({code for code in latest.values() if code}))


def orders_of(given: Given, cluster: Cluster, splits: Sequence[Split], now: int) -> tuple[Order, ...]:
    """What holds for a cluster, the latest last: what was said of it, and of those that it descends from.

    What was said before it was split off holds for it no more, under whatever name it was; nor does what was said of its id
    before it came to that: else a campaign would be free that takes in all of a few who were released.
    """
    lineage = cluster.lineage if cluster.id in cluster.lineage else (cluster.id, *cluster.lineage)
    since = freed(cluster.members, splits)
    return tuple(order for order in given.of(lineage, now) if order.at > since and order.at >= cluster.heir)


def decided(cluster: Cluster, orders: Sequence[Order], judging: Judging, now: int, *, looked: int, cold: bool) -> Cluster:
    """The cluster with its verdict, whether that acts, and the budget that an operator gives it.

    Of an organisation that was verified the model says nothing more, for it is known whom to ask, as long as there is a budget
    that binds: where no tokens were ever counted its verdict holds. An operator's word holds.

    Args:
        cluster: with `suspect`, `approved` and `asked` as they were before.
        orders: what holds for it, the latest last.
        judging: the policy's.
        now: µs.
        looked: µs of the last rebuild. A verdict that was ordered since waits from when it was, not from when that is seen.
        cold: whether there is too little history yet to go beyond `watched`.
    """
    word = ordered(orders)
    cluster = replace(cluster, granted=granted(orders), vouched=vouched(orders))
    says: Verdict | None = "none" if cluster.vouched and cluster.allowance else None
    if word is not None:
        says = cast("Verdict", word.value) if word.what == "verdict" else SAYS[word.what]
    case = Case(len(cluster.members), cluster.exchanges, cluster.score, cluster.suspect, says)
    verdict, since = judged(case, judging.judge, floor=judging.floor, now=now, cold=cold)
    asked = cluster.asked
    if asked is None and word is not None and word.what == "verdict" and word.at > looked:
        asked = min(word.at, now)
    made = replace(cluster, verdict=verdict, suspect=since, asked=asked)
    return bind(made, orders, judging.approval, now)
