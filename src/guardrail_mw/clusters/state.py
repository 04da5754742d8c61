"""What a rebuild leaves behind, and the next begins with."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardrail_mw.clusters.splitting import Split

__all__ = [
    "BINDING",
    "EDITION",
    "ORDER",
    "ORDERS",
    "SAYS",
    "SPLITS",
    "STATE",
    "Cluster",
    "Given",
    "Merged",
    "Order",
    "State",
    "Verdict",
    "edition",
    "ordered",
]

Verdict: TypeAlias = Literal["none", "watched", "suspect", "confirmed"]
ORDER: Final[tuple[Verdict, ...]] = ("none", "watched", "suspect", "confirmed")

SAYS: Final[Mapping[str, Verdict | None]] = {"release": "none", "reject": "watched", "judge": None}
"""What each order says of the verdict; `verdict` names one, and `approve` says nothing of it."""

STATE: Final = "clusters"
BINDING: Final = "clusters.binding"
EDITION: Final = "clusters.edition"
ORDERS: Final = "clusters.orders"
SPLITS: Final = "clusters.splits"
"""What a store keeps under (`Graph.keep`): all clusters; which verdicts are in force, for processes that place newcomers; a few
bytes that are others with each change of those; what operators have said, and what they have split."""

_FORMAT = 1


def edition(binding: bytes) -> bytes:
    """The few bytes that go with what is kept of verdicts in force."""
    return blake2b(binding, digest_size=8).digest()


@dataclass(frozen=True, slots=True)
class Cluster:
    """Accounts that act as one."""

    id: str
    members: tuple[str, ...]
    """Sorted homes of accounts."""
    verdict: Verdict
    score: int
    """Millinats of the model."""
    begun: int
    """µs when it was first found."""
    suspect: int | None = None
    """µs since when it has been suspect at every look."""
    approved: int = 0
    """Members that a verdict which binds has been approved for; growth beyond waits again."""
    asked: int | None = None
    """µs when approval was first waited for."""
    tied: int = 0
    """Members tied by bound evidence."""
    exchanges: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)
    ancestors: tuple[str, ...] = ()
    """Clusters that its members were in at the last rebuild, the one that most were in first."""
    lineage: tuple[str, ...] = ()
    """Clusters that it descends from, itself first: what operators said of them holds for it."""
    heir: int = 0
    """µs since when it has had its id although less than half of it came from the cluster that had it before: what was said
    before holds for it no more."""
    families: tuple[str, ...] = ()
    """Families of evidence that it rests on."""
    material: int | None = None
    """µs since when it has been material: large, and of no declared organisation."""
    budget: int = 0
    """Tokens a UTC day that a material cluster has in all: 1.2 times the largest day of the seven before it became so."""
    granted: int = 0
    """Tokens a UTC day that an operator gives it in place of that; 0 where none does."""
    organisation: str = ""
    """The organisation of at least half of its members, where the policy knows it."""
    declared: int = 0
    """Its share of the tokens a UTC day that the policy gives that organisation."""
    vouched: tuple[str, ...] = ()
    """By what providers and levels its organisation was verified: their codes, in order."""
    worth: int = 0
    """Tokens a UTC day that `FIVE` accounts use: the least that a verified organisation has, whatever it was before."""
    counters: str = ""
    """The cluster that it was split from, at whose counters it is charged; empty where it is charged at its own."""
    until: int = 0
    """µs at which that ends."""
    shared: int = 0
    """Tokens a UTC day that it shares there until then; 0 where that cluster was not material."""

    @property
    def allowance(self) -> int:
        """Tokens a UTC day that hold; 0 where it is neither material nor a known organisation's, or none were ever counted."""
        if not self.shares:
            return 0
        return self.granted or self.declared or (max(self.budget, self.worth) if self.vouched else self.budget)

    @property
    def shares(self) -> bool:
        """Whether its members share a budget."""
        return self.material is not None or self.declared > 0 or bool(self.vouched)


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator says of a cluster, and of whatever descends from it."""

    what: str
    """`verdict`, `release`, `approve`, `reject`, `judge` (the model judges again), `budget`, or `vouch`: its organisation was
    verified, or that was taken back; no operator's word. `value` is then `1` or `0`, the code of the provider and level, and the
    name of the case: each case is taken back by itself."""
    value: str
    until: int
    """µs; 0 is for good."""
    why: str
    at: int


def ordered(orders: Sequence[Order]) -> Order | None:
    """The latest word on the verdict; None where operators have given none, or let the model judge again.

    Args:
        orders: what is said of the cluster, the latest last.
    """
    latest = next((order for order in reversed(orders) if order.what in SAYS or order.what == "verdict"), None)
    return latest if latest is not None and latest.what != "judge" else None


@dataclass(frozen=True, slots=True)
class Given:
    """What operators have decided, by cluster."""

    orders: Mapping[str, tuple[Order, ...]] = field(default_factory=dict)
    splits: tuple[Split, ...] = ()
    """What they have split."""

    def of(self, lineage: tuple[str, ...], now: int) -> tuple[Order, ...]:
        """Those that hold for a cluster of this lineage, the latest last."""
        found = [order for each in lineage for order in self.orders.get(each, ()) if not order.until or now < order.until]
        return tuple(sorted(found, key=lambda order: order.at))


@dataclass(frozen=True, slots=True)
class Merged:
    """A cluster that is no more, whose consumption is still to be added to another's counters."""

    source: str
    target: str
    at: int
    """µs of the rebuild that found it merged."""
    until: int
    """µs from which on nothing of it counts any more."""


@dataclass(frozen=True, slots=True)
class State:
    """All clusters."""

    rebuilt: int = 0
    """µs of the edges' reading."""
    first: int = 0
    """µs of the oldest evidence; 0 where there is none."""
    clusters: tuple[Cluster, ...] = ()
    merged: tuple[Merged, ...] = ()
    """What has not been carried yet, in its order."""

    def pack(self) -> bytes:
        """For the store: compressed JSON."""
        document: dict[str, Any] = {"format": _FORMAT, "rebuilt": self.rebuilt, "first": self.first}
        document["clusters"] = [asdict(each) for each in self.clusters]
        document["merged"] = [asdict(each) for each in self.merged]
        return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 6)

    @classmethod
    def unpack(cls, packed: bytes | None) -> Self:
        """From the store; the first one where there is none.

        Raises:
            ValueError: another version wrote it.
        """
        if packed is None:
            return cls()
        document = json.loads(zlib.decompress(packed))
        if document.get("format") != _FORMAT:
            raise ValueError(f"the clusters in the store are of format {document.get('format')!r}, and this reads {_FORMAT}")
        merged = tuple(Merged(**each) for each in document.get("merged", ()))
        return cls(document["rebuilt"], document["first"], tuple(_cluster(each) for each in document["clusters"]), merged)

    def ids(self) -> dict[str, str]:
        """The cluster of each account that is in one."""
        return {member: each.id for each in self.clusters for member in each.members}

    def find(self, cluster: str) -> Cluster | None:
        """By its id, or the beginning of it."""
        return next((each for each in self.clusters if each.id.startswith(cluster)), None) if cluster else None


def _cluster(stored: dict[str, Any]) -> Cluster:
    assert stored["verdict"] in ORDER  # noqa: S101 - written by `pack`
    lists = {name: tuple(value) for name, value in stored.items() if isinstance(value, list)}
    return Cluster(**{**stored, "vouched": (), **lists})  # what was kept before codes were says nothing of it
