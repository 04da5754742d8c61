"""Arrays: their types, one that grows, and numbers that look random and are not."""

from __future__ import annotations

from typing import Any, Final, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DAY",
    "HOUR",
    "MINUTE",
    "SECOND",
    "Bools",
    "Bytes",
    "Column",
    "Floats",
    "Ints",
    "Rng",
    "Shorts",
    "Wides",
    "mix",
    "unit",
]

Bools: TypeAlias = NDArray[np.bool_]
Bytes: TypeAlias = NDArray[np.uint8]
Shorts: TypeAlias = NDArray[np.int16]
Ints: TypeAlias = NDArray[np.int32]
Wides: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float32]
Rng: TypeAlias = np.random.Generator

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
"""Microseconds."""

_S = TypeVar("_S", bound=np.generic)


class Column(Generic[_S]):
    """An array that grows at its end; its memory doubles, so that adding costs the same however long it is."""

    def __init__(self, dtype: type[_S]) -> None:
        self._data: NDArray[_S] = np.empty(16, dtype)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, row: int) -> Any:
        return self._data[: self._size][row]

    @property
    def all(self) -> NDArray[_S]:
        """What is there now: a view, which a later `add` leaves behind."""
        return self._data[: self._size]

    def add(self, values: NDArray[Any]) -> int:
        """Put values at the end; returns the row of the first."""
        first, size = self._size, self._size + len(values)
        if size > len(self._data):
            grown: NDArray[_S] = np.empty(max(size, 2 * len(self._data)), self._data.dtype)
            grown[:first] = self._data[:first]
            self._data = grown
        self._data[first:size] = values
        self._size = size
        return first

    def put(self, values: NDArray[_S]) -> None:
        """Replace all."""
        self._data, self._size = values.copy(), len(values)


def mix(values: NDArray[Any] | int, salt: int) -> NDArray[np.uint64]:
    """Numbers of 64 bits that differ where the values do and show nothing of them.

    The finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014), a
    bijection for each salt.
    """
    with np.errstate(over="ignore"):
        x = np.asarray(values).astype(np.uint64)
        x = x * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt * 0xD1342543DE82EF95 & 0xFFFFFFFFFFFFFFFF)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed


def unit(values: NDArray[np.uint64]) -> NDArray[np.float64]:
    """From 64 bits to [0, 1)."""
    floats: NDArray[np.float64] = (values >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return floats
