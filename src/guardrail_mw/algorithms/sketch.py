"""How many different values were seen, where they may be very many: exact to 64, then a HyperLogLog of 4096 registers.

Two panes, each as long as the window: the running one and the one before it, so the count looks back between one window and
two. The standard error is 1.04 / √4096, 1.6%.

Sources: Flajolet, Fusy, Gandouet, Meunier, "HyperLogLog: the analysis of a near-optimal cardinality estimation algorithm"
(2007); the estimate is Ertl's, "New cardinality estimation algorithms for HyperLogLog sketches" (2017), algorithm 6, which has
no bias to be corrected in the middle of its range. Values are mixed by the finaliser of SplitMix64 (Steele, Lea, Flood, 2014).
"""

from __future__ import annotations

from math import inf, log, sqrt

__all__ = ["EXACT", "MOST", "REGISTERS", "Sketch", "estimate", "place"]

_BITS = 12
REGISTERS = 1 << _BITS
_RANKS = 64 - _BITS
"""Bits of a value that are left for its rank."""
_ALPHA = 0.5 / log(2)
_WORD = 2**64 - 1
MOST = 2**52
"""What is said where every register is full, which no number of values that can be seen does."""
EXACT = 64
"""Values that are kept themselves before registers are."""


def place(value: str) -> tuple[int, int]:
    """The register of a value (hex digits), and its rank there: 1 and the zeros at the end of what chose no register."""
    mixed = int(value, 16) & _WORD
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _WORD
    mixed ^= mixed >> 31
    rest = mixed >> _BITS
    return mixed & (REGISTERS - 1), (rest & -rest).bit_length() if rest else _RANKS + 1


def _sigma(share: float) -> float:
    """What registers that are still empty add."""
    if share == 1:
        return inf
    step, total = 1.0, share
    while True:
        share *= share
        before = total
        total += share * step
        step += step
        if total == before:
            return total


def _tau(share: float) -> float:
    """What registers that are full take away."""
    if share in (0, 1):
        return 0.0
    step, total = 1.0, 1 - share
    while True:
        share = sqrt(share)
        before = total
        step *= 0.5
        total -= (1 - share) ** 2 * step
        if total == before:
            return total / 3


def estimate(ranks: list[int]) -> int:
    """How many values were seen, from how many registers have each rank, 0 (empty) to 53."""
    total = REGISTERS * _tau(1 - ranks[_RANKS + 1] / REGISTERS)
    for rank in range(_RANKS, 0, -1):
        total = 0.5 * (total + ranks[rank])
    total += REGISTERS * _sigma(ranks[0] / REGISTERS)
    return round(_ALPHA * REGISTERS * REGISTERS / total) if total else MOST


class Sketch:
    """The values of two panes. At most 64 of them, or 8 KB."""

    __slots__ = ("_both", "_count", "_few", "_pane", "_ranks", "_running")

    def __init__(self) -> None:
        self._pane = 0
        self._few: dict[str, int] | None = {}
        """Each value and the pane it was last seen in; None once there are registers."""
        self._running = bytearray()
        """Registers of the running pane."""
        self._both = bytearray()
        """Registers of both: what is counted."""
        self._ranks: list[int] = []
        """How many of those have each rank."""
        self._count: int | None = None

    def see(self, pane: int, value: str) -> int:
        """See `value` in `pane`, and how many there are. A pane that went back is the newest."""
        self.advance(pane)
        if self._few is not None:
            self._few[value] = self._pane
            if len(self._few) <= EXACT:
                return len(self._few)
            self._spread(self._few)
        else:
            self._note(*place(value))
        return self.count()

    def count(self) -> int:
        """How many there are."""
        if self._few is not None:
            return len(self._few)
        if self._count is None:
            self._count = estimate(self._ranks)
        return self._count

    def advance(self, pane: int) -> None:
        """Forget what was seen before the pane before this."""
        passed = pane - self._pane
        if passed <= 0:
            return
        self._pane = pane
        if self._few is not None or passed > 1:
            few = self._few or {}
            self._few = {value: last for value, last in few.items() if last >= pane - 1}
            self._running = self._both = bytearray()
            return
        self._both, self._running = self._running, bytearray(REGISTERS)
        self._ranks = [self._both.count(rank) for rank in range(_RANKS + 2)]
        self._count = None

    def _note(self, register: int, rank: int, *, running: bool = True) -> None:
        if running and rank > self._running[register]:
            self._running[register] = rank
        before = self._both[register]
        if rank > before:
            self._both[register] = rank
            self._ranks[before] -= 1
            self._ranks[rank] += 1
            self._count = None

    def _spread(self, few: dict[str, int]) -> None:
        """From values to registers."""
        self._running, self._both = bytearray(REGISTERS), bytearray(REGISTERS)
        self._ranks = [REGISTERS] + [0] * (_RANKS + 1)
        self._few = None
        for value, last in few.items():
            self._note(*place(value), running=last == self._pane)
