"""What this process knows of accounts: their standings as the store last told them."""

from __future__ import annotations

from guardrail_mw.values import Standing

__all__ = ["MOST", "Standings"]

MOST = 100_000
"""Standings kept, those least recently met given up first."""
_UNKNOWN = Standing()


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
