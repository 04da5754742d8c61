"""Network addresses, a number each: read as a list of text, kept as ten bytes."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address
from typing import Any, Final, overload

import numpy as np
from numpy.typing import NDArray

from guardrail_mw.simulate.world.arrays import Column, Ints, Rng, mix

__all__ = ["KINDS", "Addresses"]

KINDS: Final = ("home", "cgnat", "office", "campus", "relay", "cloud", "proxy")
_FIRST: Final = {"home": 24, "cgnat": 36, "office": 44, "campus": 52, "relay": 60, "cloud": 68}
"""The first octet of four /8 of each kind; invented, none is private or reserved. A proxy's addresses are among homes'."""
_BITS: Final = 26
_SIXES: Final = {"home": 0.35, "cgnat": 0.0, "office": 0.1, "campus": 0.1, "relay": 0.2, "cloud": 0.1, "proxy": 0.1}
"""The share of blocks with IPv6: assumptions, about what large services report of homes and little elsewhere."""
_PREFIX: Final = 0x2A02 << 48
_SHARED: Final = ("cgnat", "relay", "cloud")


class Addresses(Sequence[str]):
    """All addresses of a world; an index is what batches carry."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._code: Column[np.uint64] = Column(np.uint64)
        """The 32 bits of an IPv4 address, or the upper 64 of an IPv6 one: whose lower half is made from the index."""
        self._kind: Column[np.uint8] = Column(np.uint8)
        self._blocks = dict.fromkeys(KINDS, 0)

    def __len__(self) -> int:
        return len(self._code)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        code = int(self._code[index])
        if code < 1 << 32:
            return f"{code >> 24}.{code >> 16 & 255}.{code >> 8 & 255}.{code & 255}"
        lower = int(mix(index, self._seed)) & 0xFDFFFFFFFFFFFFFF
        return str(IPv6Address(code << 64 | lower))

    def kind(self, index: int) -> str:
        """What sort of network an address is in."""
        return KINDS[int(self._kind[index])]

    def of_kind(self, kind: str) -> Ints:
        """All of a kind."""
        return np.flatnonzero(self._kind.all == KINDS.index(kind)).astype(np.int32)

    def shared(self) -> list[str]:
        """Networks that the service's operator can know as shared: what carriers, relays and clouds publish, three quarters."""
        return [f"{_FIRST[kind] + more}.0.0.0/8" for kind in _SHARED for more in range(3)]

    def add(self, kind: str, sizes: NDArray[Any], rng: Rng) -> Ints:
        """New addresses, in blocks whose members are neighbours (up to 256 in a /24, or as many /64 of a /56).

        Args:
            kind: one of `KINDS`.
            sizes: how many addresses each block has.
            rng: where from.

        Returns:
            The index of each block's first address; the others follow it.
        """
        sizes = np.asarray(sizes, np.int64)
        first = len(self) + np.concatenate(([0], np.cumsum(sizes)[:-1])) if len(sizes) else np.zeros(0, np.int64)
        owner = np.repeat(np.arange(len(sizes)), sizes)
        within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        space = "home" if kind == "proxy" else kind
        # Large blocks go on in other /24s: each run of 256 is a block of its own.
        _, block = np.unique(owner.astype(np.uint64) << np.uint64(24) | (within >> 8).astype(np.uint64), return_inverse=True)
        count = int(block.max()) + 1 if len(block) else 0
        serial = np.arange(count, dtype=np.uint64) + np.uint64(self._blocks[space])
        self._blocks[space] += count
        six = rng.random(count) < _SIXES[kind]
        # An odd factor makes this a bijection of 26 bits: no address comes twice, and neighbours in time are none in space.
        spot = (serial * np.uint64(0x2545F4914F6CDD1D) + np.uint64(self._seed * 0x9E3779B1 & 0xFFFFFFFF)) & np.uint64(
            (1 << _BITS) - 1
        )
        four = (np.uint64(_FIRST[space] << 24) + spot)[block]
        four = (four & ~np.uint64(255)) | ((four + (within & 255).astype(np.uint64)) & np.uint64(255))
        wide = (np.uint64(_PREFIX | KINDS.index(space) << 44) | spot << np.uint64(8))[block] + (within & 255).astype(
            np.uint64
        )
        self._code.add(np.where(six[block], wide, four))
        self._kind.add(np.full(len(block), KINDS.index(kind), np.uint8))
        return first.astype(np.int32)
