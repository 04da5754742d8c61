"""An operator's split: accounts that were taken for one and are not. It is kept as evidence that they must not be linked.

A split changes no cluster; it changes what accounts are seen to share, before clusters are found. So it is undone as all else is:
take it away, and the next rebuild is without it.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import numpy as np

from guardrail_mw.algorithms import keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from guardrail_mw.clusters.graph import Holdings

__all__ = ["Split", "apart", "freed", "holding", "part", "read_splits", "renaming", "until_when", "write_splits"]

_OUTSIDE, _SIDE, _REST = 0, 1, 2
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Split:
    """What an operator has parted."""

    id: str
    """Twelve hex digits."""
    cluster: str
    """What they were one of when it was given."""
    side: tuple[str, ...]
    """Homes of the accounts that were split off."""
    rest: tuple[str, ...]
    """Homes of the cluster's other members at that time."""
    until: int
    """µs; 0 is for good."""
    why: str
    at: int


def read_splits(kept: bytes | None) -> tuple[Split, ...]:
    """From the store; none where there are none.

    Raises:
        ValueError: another version wrote it.
    """
    if kept is None:
        return ()
    document = json.loads(zlib.decompress(kept))
    if document.get("format") != _FORMAT:
        raise ValueError(f"the splits in the store are of format {document.get('format')!r}, and this reads {_FORMAT}")
    return tuple(Split(**{**each, "side": tuple(each["side"]), "rest": tuple(each["rest"])}) for each in document["splits"])


def write_splits(splits: Iterable[Split], now: int) -> bytes:
    """For the store: compressed JSON, less those whose time is over at `now` µs."""
    kept = [asdict(each) for each in holding(splits, now)]
    return zlib.compress(json.dumps({"format": _FORMAT, "splits": kept}, separators=(",", ":")).encode(), 6)


def holding(splits: Iterable[Split], now: int) -> tuple[Split, ...]:
    """Those that hold at `now` µs, the earliest first."""
    return tuple(
        sorted((each for each in splits if not each.until or now < each.until), key=lambda each: (each.at, each.id))
    )


def until_when(splits: Iterable[Split]) -> dict[str, int]:
    """Of each account that was split off, µs until which one of these splits holds; 0 for good."""
    ends: dict[str, int] = {}
    for each in splits:
        for account in each.side:
            end = ends.get(account, each.until)
            ends[account] = max(end, each.until) if end and each.until else 0
    return ends


def freed(members: Sequence[str], splits: Iterable[Split]) -> int:
    """µs at which half of a cluster was split off: what was ordered before holds for it no more. -1 for never."""
    mine = set(members)
    return max((each.at for each in splits if 2 * len(mine.intersection(each.side)) >= len(mine) > 0), default=-1)


def apart(held: Holdings, splits: Iterable[Split]) -> Holdings:
    """The same holdings, in which the two sides of each split share nothing.

    A value that both sides hold stays with the side where more hold it, and with everybody else who does; the others hold one of
    their own instead, so that they still share it among themselves. A value that is commoner outside the cluster than in it they
    lose: a private name for it would make it look like something that only they have.

    Accounts of neither side that hold what each of them has made its own are of the side that they have more of (of the rest,
    where that is even), and lose what is the other's: one account must not be enough to tie the two together again.

    Args:
        held: as they were read.
        splits: those that hold, the earliest first.
    """
    for each in splits:
        held = part(held, each.side, each.rest, renaming(each.id))
    return held


def part(held: Holdings, side: Iterable[str], rest: Iterable[str], renamed: int) -> Holdings:
    """The same holdings, in which the two sides of one split share nothing; see `apart`.

    Args:
        held: as they were read, less what earlier splits took.
        side: homes of the accounts that were split off.
        rest: of those that stayed.
        renamed: `renaming` of the split.
    """
    whose = _whose(held.accounts, side, rest)
    mine = whose[held.owner]
    if not (np.any(mine == _SIDE) and np.any(mine == _REST)):
        return held
    names, value = np.unique(held.key, return_inverse=True)
    inside = np.bincount(value[mine == _SIDE], minlength=len(names))
    stayed = np.bincount(value[mine == _REST], minlength=len(names))
    outside = np.bincount(value[mine == _OUTSIDE], minlength=len(names))
    own = inside + stayed >= outside
    won = np.where(inside > stayed, _SIDE, _REST)
    both = (inside > 0) & (stayed > 0)
    loses = both[value] & (mine != _OUTSIDE) & (mine != won[value])
    drops = loses & ~own[value]
    moves = loses & own[value]
    bridging = _bridging(held.owner, value, mine, own & (inside + stayed > 0), won, len(held.accounts))
    key = np.where(moves, held.key ^ renamed, held.key)
    kept = ~(drops | bridging)
    return replace(held, owner=held.owner[kept], key=key[kept], first=held.first[kept])


def _whose(accounts: Sequence[str], side: Iterable[str], rest: Iterable[str]) -> NDArray[np.int8]:
    """Of each account, which side it is on."""
    sides = dict.fromkeys(rest, _REST) | dict.fromkeys(side, _SIDE)
    return np.fromiter((sides.get(account, _OUTSIDE) for account in accounts), np.int8, len(accounts))


def _bridging(
    owner: NDArray[np.int32],
    value: NDArray[np.int64],
    mine: NDArray[np.int8],
    own: NDArray[np.bool_],
    won: NDArray[np.int64],
    accounts: int,
) -> NDArray[np.bool_]:
    """Of each edge, whether it ties an account of neither side to the one that it has less of."""
    counts = (mine == _OUTSIDE) & own[value]
    sided = [np.bincount(owner[counts & (won[value] == which)], minlength=accounts) for which in (_SIDE, _REST)]
    torn = (sided[0] > 0) & (sided[1] > 0)
    loses = np.where(sided[0] > sided[1], _REST, _SIDE)
    return np.asarray(counts & torn[owner] & (won[value] == loses[owner]), np.bool_)


def renaming(split: str) -> int:
    """What the keys of values are combined with, by exclusive or, on the side of this split that loses them.

    So it can be said in SQL, too. Digests are keyed: nobody can choose two that become each other.
    """
    digest = blake2b(split.encode(), digest_size=8, person=b"split").digest()
    return int.from_bytes(digest, "big") >> (64 - keys.BITS) or 1
