"""Clusters as JSON, for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from guardrail_mw.algorithms import keys
from guardrail_mw.clusters.binding import acts
from guardrail_mw.clusterwork.telling import hour_of, parts, splits_of

if TYPE_CHECKING:
    from guardrail_mw.clusters.explaining import Explained, Membership, Shared, Support
    from guardrail_mw.clusters.kinds import Kinds
    from guardrail_mw.clusters.splitting import Split
    from guardrail_mw.clusters.state import Cluster, Order
    from guardrail_mw.clusters.verdict import Judge

__all__ = ["both", "figures_of"]


def figures_of(cluster: Cluster, orders: Sequence[Order], splits: Sequence[Split], judge: Judge) -> dict[str, Any]:
    """All that is known of one: the same as `telling.tell`."""
    figures = {
        name: {"figure": figure, "nats": round(worth, 3) + 0.0, "why": why}
        for name, figure, worth, why in parts(cluster, judge)
    }
    return {
        "cluster": cluster.id,
        "verdict": cluster.verdict,
        "acts": acts(cluster),
        "score": cluster.score / 1000,
        "members": list(cluster.members),
        "tied": cluster.tied,
        "families": list(cluster.families),
        "exchanges": cluster.exchanges,
        "begun": cluster.begun,
        "suspect_since": cluster.suspect,
        "waits_since": cluster.asked,
        "approved": cluster.approved,
        "material_since": cluster.material,
        "budget": cluster.allowance or None,
        "organisation": cluster.organisation or None,
        "counters": {"of": cluster.counters, "until": cluster.until} if cluster.counters else None,
        "ancestors": list(cluster.ancestors),
        "figures": figures,
        "orders": [asdict(each) | {"until": each.until or None} for each in orders],
        "splits": [_split(each) for each in splits_of(cluster, splits)],
    }


def _split(split: Split) -> dict[str, Any]:
    return {
        "cluster": split.cluster,
        "accounts": list(split.side),
        "until": split.until or None,
        "why": split.why,
        "at": split.at,
    }


def both(explained: Explained, kinds: Kinds) -> dict[str, Any]:
    """What two accounts share, and why each is where it is: the same as `telling.tell_both`."""
    return {
        "shared": [_shared(each, kinds) for each in explained.shared],
        "accounts": [_membership(each, kinds) for each in (explained.one, explained.other)],
    }


def _membership(member: Membership, kinds: Kinds) -> dict[str, Any]:
    return {
        "account": member.account,
        "cluster": member.cluster.id if member.cluster is not None else None,
        "verdict": member.cluster.verdict if member.cluster is not None else None,
        "score": member.score / 1000,
        "tied": member.tied,
        "joins": member.joins,
        "families": {family: score / 1000 for family, score in member.families.items()},
        "support": [_support(each, kinds) for each in member.support],
        "seeds": [
            {
                "values": [_value(key, kinds) for key in each.keys],
                "members": each.members,
                "surprise": each.surprise / 1000,
            }
            for each in member.seeds
        ],
        "ends_without": [_value(key, kinds) for key in member.ends],
    }


def _shared(shared: Shared, kinds: Kinds) -> dict[str, Any]:
    return {
        **_value(shared.key, kinds),
        "family": shared.family,
        "bound": shared.bound,
        "holders": shared.holders,
        "since": [hour_of(hour) for hour in shared.since],
    }


def _support(support: Support, kinds: Kinds) -> dict[str, Any]:
    return {
        **_value(support.key, kinds),
        "family": support.family,
        "bound": support.bound,
        "holders": support.holders,
        "members": support.members,
        "weight": support.weight / 1000,
        "counts": support.counts,
    }


def _value(key: int, kinds: Kinds) -> dict[str, str]:
    """A value by its kind and its digest; the value itself is nowhere."""
    kind = kinds.of(key)
    return {"kind": kind.name if kind is not None else f"{keys.code_of(key)}", "value": keys.text_of(key)}
