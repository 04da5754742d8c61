"""Between rebuilds: which cluster an account joins, from the records that came with its charge."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from guardrail_mw.clusters.scores import BOUND, COUNTS, JOINS, by_family

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail_mw.clusters.kinds import Kinds
    from guardrail_mw.stores.base import Record
    from guardrail_mw.values import Family

__all__ = ["Placed", "Placer"]

KEPT: Final = 16_384
"""Accounts whose evidence so far is kept."""

_Said: TypeAlias = "dict[str, dict[int, tuple[Family, bool, int]]]"
"""By cluster and key: the family, whether the value is bound, and millinats."""


class Placed(NamedTuple):
    """Where an account belongs."""

    cluster: str
    score: int
    """Millinats."""
    families: tuple[Family, ...]
    """Those that count, sorted."""


class Placer:
    """Adds up what charges bring back of new accounts that are in no cluster. One for a process.

    Without a bound value in common nobody is placed: that is left to a rebuild, which sees more.

    Args:
        kinds: the policy's.
    """

    __slots__ = ("_kinds", "_said")

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._said: OrderedDict[str, _Said] = OrderedDict()

    def place(self, account: str, keys: Sequence[int], records: Sequence[Record]) -> Placed | None:
        """The cluster that the account joins by what it has shown so far; None for none yet.

        Args:
            account: its home.
            keys: what it showed anew.
            records: parallel to `keys`.
        """
        said = self._said.get(account)
        for key, record in zip(keys, records, strict=True):
            for values in (said or {}).values():
                values.pop(key, None)
            kind = self._kinds.of(key)
            if kind is None or not record.clusters:
                continue
            hard = self._kinds.is_bound(key, record.holders)
            if said is None:
                said = self._said[account] = {}
                if len(self._said) > KEPT:
                    self._said.popitem(last=False)
            for cluster, weight in record.clusters:
                said.setdefault(cluster, {})[key] = (kind.family, hard, weight)
        if said is None:
            return None
        self._said.move_to_end(account)
        best = _best(said)
        if best is not None:
            del self._said[account]
        return best


def _best(said: _Said) -> Placed | None:
    found = [placed for cluster in said if (placed := _scored(cluster, said[cluster])) is not None]
    return min(found, key=lambda each: (-each.score, each.cluster), default=None)


def _scored(cluster: str, said: dict[int, tuple[Family, bool, int]]) -> Placed | None:
    sums = by_family((family, weight) for family, _, weight in said.values())
    tied = any(bound and weight >= COUNTS for _, bound, weight in said.values())
    counting = sorted(family for family, score in sums.items() if score >= COUNTS)
    total = sum(sums[family] for family in counting)
    if not tied or total < JOINS or len(counting) < BOUND:
        return None
    return Placed(cluster, total, tuple(counting))
