"""What the memory store keeps of each subject, and of how many. Everything is done under the store's lock."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from guardrail_mw.algorithms import lease

if TYPE_CHECKING:
    from guardrail_mw.values import Observer

__all__ = ["Home", "Homes"]

_SECOND = 1_000_000
_NEVER = 1 << 63


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


class Homes:
    """Every subject's home.

    Args:
        most: are kept; beyond it newcomers share their parent's, at last everyone's, `e`.
        observer: is told of `store.shared_home`.
    """

    __slots__ = ("_due", "_most", "_observer", "_seconds", "due", "known")

    def __init__(self, most: int, observer: Observer | None) -> None:
        self._most = most
        self._observer = observer
        self._due: dict[int, list[str]] = {}
        self._seconds: list[int] = []
        self.known: dict[str, Home] = {}
        """By name."""
        self.due = _NEVER
        """µs from which on some of them may have to go."""

    def find(self, name: str, parent: str, now: int) -> Home:
        """A subject's home, made where it has none; its parent's where there is no room."""
        home = self.known.get(name)
        if home is not None:
            return home
        if len(self.known) >= self._most and name != "e":
            if self._observer is not None:
                self._observer.count("store.shared_home")
            return self.find(parent if parent in self.known else "e", "e", now)
        home = self.known[name] = Home()
        self._schedule(name, now)
        return home

    def evict(self, now: int) -> list[str]:
        """Look at the homes whose time has come; those that equal a new subject's go. Returns the receipts that went too."""
        gone: list[str] = []
        while self._seconds and self._seconds[0] * _SECOND <= now:
            for name in self._due.pop(heappop(self._seconds)):
                home = self.known[name]
                if home.expiry > now:
                    self._schedule(name, home.expiry)
                else:
                    del self.known[name]
                    home.evicted = True
                    gone.extend(home.open)
        self.due = self._seconds[0] * _SECOND if self._seconds else _NEVER
        return gone

    def _schedule(self, name: str, expiry: int) -> None:
        second = expiry // _SECOND + 1
        if second not in self._due:
            self._due[second] = []
            heappush(self._seconds, second)
            self.due = min(self.due, second * _SECOND)
        self._due[second].append(name)
