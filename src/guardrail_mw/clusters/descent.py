"""Which rebuilt cluster is which of those before: ids, and what hangs on them, outlive rebuilds."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Named", "name"]


class Named(NamedTuple):
    """A cluster's id, and those it came from."""

    id: str
    """Its largest ancestor's that has at least half of itself in it, or makes up half of it, and whose id no larger part has;
    where there is none, a new one. Twelve hex digits."""
    ancestors: tuple[str, ...]
    """Every cluster that members came from, the one that most came from first."""
    came: tuple[int, ...]
    """How many came from each."""

    descends: str
    """The cluster that it is a descendant of, for what operators said: at least half of its members come from it. Empty for none:
    one member from a cluster that was released must not free a campaign."""


def name(clusters: Sequence[Sequence[str]], before: Mapping[str, str], now: int) -> list[Named]:
    """Name rebuilt clusters.

    Args:
        clusters: the members of each, sorted.
        before: of accounts, the id of the cluster they were in.
        now: µs; a new id is worked out from it and the cluster's first member.
    """
    whole = Counter(before.values())
    shares: list[tuple[int, int, str, int]] = []
    ancestors: list[tuple[str, ...]] = []
    came: list[tuple[int, ...]] = []
    for index, members in enumerate(clusters):
        many: dict[str, int] = {}
        for member in members:
            old = before.get(member)
            if old is not None:
                many[old] = many.get(old, 0) + 1
        ordered = sorted(many, key=lambda each: (-many[each], each))
        ancestors.append(tuple(ordered))
        came.append(tuple(many[old] for old in ordered))
        shares += [
            (-many[old], -len(members), old, index) for old in ordered if 2 * many[old] >= min(whole[old], len(members))
        ]
    given: dict[int, str] = {}
    taken: set[str] = set()
    for _, _, old, index in sorted(shares):
        if index not in given and old not in taken:
            given[index] = old
            taken.add(old)
    return [
        Named(
            given.get(index) or _new(members, now, taken),
            ancestors[index],
            came[index],
            _parent(members, ancestors[index], came[index]),
        )
        for index, members in enumerate(clusters)
    ]


def _parent(members: Sequence[str], ancestors: tuple[str, ...], came: tuple[int, ...]) -> str:
    return ancestors[0] if came and 2 * came[0] >= len(members) else ""


def _new(members: Sequence[str], now: int, taken: set[str]) -> str:
    salt = 0
    while True:
        found = blake2b(f"{now} {salt} {members[0]}".encode(), digest_size=6, person=b"cluster").hexdigest()
        if found not in taken:
            taken.add(found)
            return found
        salt += 1
