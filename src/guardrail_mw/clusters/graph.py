"""Who holds what, in columns: what a rebuild works on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from guardrail_mw.algorithms.keys import BITS
from guardrail_mw.clusters.columns import begins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Graph", "Holdings", "Table"]


@dataclass(frozen=True, slots=True)
class Table:
    """What each kind of evidence is, by its code: arrays of 64.

    Families are numbers from 0; a kind that nobody has named is of no family (-1) and counts nothing.
    """

    family: NDArray[np.int8]
    bound: NDArray[np.bool_]
    below: NDArray[np.int32]
    """Holders from which on a value of it is not bound any more; 0 where it stays so."""
    wide: tuple[int, int] = (0, 0)
    """Codes of network and of its coarser kind: a value that is known as the second too, by the same digest, is shared."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """Accounts and their edges as they were read; an edge a row."""

    accounts: Sequence[str]
    since: NDArray[np.int64]
    """Hours since the epoch of edges: when an account was made, or first seen. An account a row."""
    owner: NDArray[np.int32]
    """Row of the account."""
    key: NDArray[np.int64]
    first: NDArray[np.int64]
    """Hours since the epoch of edges: when the account first showed it."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Edges whose values several accounts hold, sorted by value, then by account; and of each value what is known of it."""

    accounts: Sequence[str]
    since: NDArray[np.int64]
    owner: NDArray[np.int32]
    value: NDArray[np.int32]
    """Row of the value."""
    first: NDArray[np.int64]
    keys: NDArray[np.int64]
    """The values that several hold, in order."""
    holders: NDArray[np.int32]
    family: NDArray[np.int8]
    bound: NDArray[np.bool_]
    starts: NDArray[np.int64]
    """Where each value's edges begin; one more than there are values."""

    @classmethod
    def of(cls, held: Holdings, kinds: Table, *, least: int = 2) -> Self:
        """Of all edges, those whose values at least `least` accounts hold."""
        order = np.lexsort((held.owner, held.key))
        key, owner, first = held.key[order], held.owner[order], held.first[order]
        rows = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1]))) if len(key) else np.zeros(0, np.int64)
        keys, holders = key[rows], np.diff(np.append(rows, len(key)))
        code = (keys >> BITS).astype(np.int64)
        keep = (holders >= least) & (kinds.family[code] >= 0)
        edges = np.repeat(keep, holders)
        keys, holders, code = keys[keep], holders[keep].astype(np.int32), code[keep]
        below = kinds.below[code]
        bound = kinds.bound[code] & ((below == 0) | (holders < below)) & ~_shared(keys, key, kinds)
        return cls(
            held.accounts,
            held.since,
            owner[edges],
            np.repeat(np.arange(len(keys), dtype=np.int32), holders),
            first[edges],
            keys,
            holders,
            kinds.family[code],
            bound,
            begins(holders),
        )

    @property
    def size(self) -> int:
        """Accounts, those that share nothing included."""
        return len(self.accounts)

    def by_account(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The edges' rows in the order of accounts, and where each account's begin."""
        order = np.argsort(self.owner, kind="stable")
        return order, begins(np.bincount(self.owner, minlength=self.size))


def _shared(keys: NDArray[np.int64], every: NDArray[np.int64], kinds: Table) -> NDArray[np.bool_]:
    """Of `keys`, which are networks that are on a list of shared ones: somebody noted them as such."""
    network, wide = kinds.wide
    digest = np.int64((1 << BITS) - 1)
    noted = every[(every >> BITS) == wide] & digest
    return np.asarray(((keys >> BITS) == network) & np.isin(keys & digest, noted), np.bool_)
