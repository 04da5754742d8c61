"""The memory store's tokens that are spent, and its budgets of members. Everything is done under the store's lock."""

from __future__ import annotations

from guardrail_mw.errors import StoreError

__all__ = ["Members", "Tokens"]

_SECOND = 1_000_000
_BUDGETS = 1024
"""Budgets of members, from which on those that have ended are looked for; again whenever there are twice as many as were left."""


class Tokens:
    """Tokens that are spent, for as long as they would be good.

    Args:
        most: are kept; beyond it none can be spent, for none may be forgotten early.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._spent: dict[str, int] = {}
        self._forgotten = 0
        """µs when those whose time was over were last looked for."""

    def spend(self, token: str, ttl: int, now: int) -> bool:
        """See `Store.spend`."""
        if self._spent.get(token, 0) > now:
            return False
        if len(self._spent) >= self._most:
            if now >= self._forgotten + _SECOND:  # looking through all of them takes a while
                self._forgotten = now
                self._spent = {each: until for each, until in self._spent.items() if until > now}
            if len(self._spent) >= self._most:
                raise StoreError("The store holds as many spent tokens as it may.", f"{self._most} of them are still good.")
        self._spent[token] = now + ttl
        return True


class Members:
    """Who has taken a place in which budget, until when."""

    def __init__(self) -> None:
        self._budgets: dict[str, dict[str, int]] = {}
        self._many = _BUDGETS
        """From how many budgets on those that have ended are looked for."""

    def take(self, budget: str, member: str, most: int, until: int, now: int) -> bool:
        """See `Tally.take`."""
        if len(self._budgets) >= self._many:
            self._budgets = {name: kept for name, kept in self._budgets.items() if max(kept.values(), default=0) > now}
            self._many = max(_BUDGETS, 2 * len(self._budgets))  # looking through all of them takes a while
        members = {who: last for who, last in self._budgets.get(budget, {}).items() if last > now}
        self._budgets[budget] = members
        if member not in members and (until <= now or len(members) >= most):
            return False
        members.setdefault(member, until)
        return True
