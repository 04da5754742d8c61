"""What the memory store keeps of one subject."""

from __future__ import annotations

from typing import Any

from guardrail_mw.algorithms import lease

__all__ = ["Home"]


class Home:
    """Everything of one subject, and its own time, which neither goes back nor stands still."""

    __slots__ = ("counters", "evicted", "expiry", "last", "offset", "open", "shares")

    def __init__(self) -> None:
        self.last = 0
        self.offset = 0
        self.evicted = False
        self.expiry = 0
        """Raw µs from which it equals a new subject's."""
        self.counters: dict[str, Any] = {}
        """By field: a bucket's numbers, a window, a budget's start and total, leases by holder, distinct values and overflow."""
        self.shares: dict[str, int] = {}
        self.open: dict[str, tuple[int, tuple[tuple[str, int], ...]]] = {}
        """Receipt to its expiry and the shares it holds."""

    def time(self, raw: int) -> int:
        """The home's own time."""
        own = raw + self.offset
        return max(self.last, own)

    def note(self, raw: int) -> None:
        """Where the clock is found behind, the offset grows, so that the home's time goes on from where it stood."""
        self.offset = max(self.offset, self.last - raw)

    def tick(self, raw: int) -> int:
        """The home's own time, from which it never goes back."""
        self.note(raw)
        self.last = raw + self.offset
        return self.last

    def keep(self, until: int) -> None:
        """It differs from a new subject's until `until`, own time."""
        self.expiry = max(self.expiry, until - self.offset)

    def leave(self, receipt: str, own: int, shares: tuple[tuple[str, int], ...]) -> list[str]:
        """Note an open receipt, or renew it; one that was lost is put back. Returns those that were swept."""
        swept = self.sweep(own) if self.open else []
        if receipt not in self.open:
            for field, cost in shares:
                self.shares[field] = self.shares.get(field, 0) + cost
        self.open[receipt] = (own + lease.TTL, shares)
        self.keep(own + lease.TTL)
        return swept

    def forget(self, receipt: str, own: int) -> bool:
        """Close a receipt; False where it is not open (any more)."""
        found = self.open.pop(receipt, None)
        if found is None:
            return False
        if found[1]:
            self._release(found[1])
        return found[0] > own

    def sweep(self, own: int) -> list[str]:
        """Close the receipts of whoever stopped renewing them, and say which."""
        swept = [receipt for receipt, (expiry, _) in self.open.items() if expiry <= own]
        for receipt in swept:
            self._release(self.open.pop(receipt)[1])
        return swept

    def share(self, field: str, own: int) -> int:
        """What open receipts hold of a field."""
        held = self.shares.get(field, 0)
        if not held:
            return 0
        dead = [shares for expiry, shares in self.open.values() if expiry <= own]
        return max(0, held - sum(cost for shares in dead for name, cost in shares if name == field))

    def _release(self, shares: tuple[tuple[str, int], ...]) -> None:
        for field, cost in shares:
            left = self.shares.get(field, 0) - cost
            if left > 0:
                self.shares[field] = left
            else:  # less than nothing where the field was made new since
                self.shares.pop(field, None)
