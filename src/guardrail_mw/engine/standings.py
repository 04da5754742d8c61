"""What this process knows of accounts: their standings as the store last told them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrail_mw.engine.identifiers import identifiers
from guardrail_mw.stores.base import Bill, Entry
from guardrail_mw.values import Standing

if TYPE_CHECKING:
    from guardrail_mw.stores.base import Receipt, Store

__all__ = ["MOST", "Standings", "seen"]

MOST = 100_000
"""Standings kept, those least recently met given up first."""
_UNKNOWN = Standing()


async def seen(store: Store, payer: str, candidate: str) -> Receipt:
    """What the store knows of an account, uncharged: `now`, and the `standing` where there is one.

    Args:
        store: is asked.
        payer: a home, `a:…` or `n:…`.
        candidate: the account; empty for a network.

    Raises:
        StoreError: it did not answer.
    """
    return await store.peek(Bill(identifiers(), (Entry(payer, ()),), payer, candidate))


class Standings:
    """Least-recently-used standings. Whoever is not here is planned for as unknown; the store then says what it knows."""

    __slots__ = ("_kept", "_most")

    def __init__(self, most: int = MOST) -> None:
        self._kept: dict[str, Standing] = {}
        self._most = most

    def get(self, account: str) -> Standing:
        """The standing last heard of; `Standing()` for the anonymous and the unknown."""
        standing = self._kept.get(account)
        if standing is None:
            return _UNKNOWN
        if len(self._kept) >= self._most:
            del self._kept[account]
            self._kept[account] = standing
        return standing

    def put(self, account: str, standing: Standing) -> None:
        """Keep what the store said. What equals an unknown account's is not kept."""
        self._kept.pop(account, None)
        if standing.version or standing.seen:
            if len(self._kept) >= self._most:
                del self._kept[next(iter(self._kept))]
            self._kept[account] = standing
