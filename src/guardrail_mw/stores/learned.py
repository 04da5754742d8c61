"""What exchanges taught while the store was away: applied in this process at once, carried to the store when it is back.

Every change is mergeable, so they may wait, be put together and arrive late. Bounded: who comes when it is full is not kept,
and counted. A standing that this process has changed has a negative version, which no store gives: a plan made on it meets
`stale` as soon as the store is back. What no plan depends on makes `seen` negative in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence

from guardrail_mw.stores.base import Bill, Change
from guardrail_mw.stores.remembering import merge
from guardrail_mw.values import PLAN_FIELDS, Standing

__all__ = ["Learned"]

ACCOUNTS = 10_000
"""Accounts whose changes wait at most."""
CHANGES = 64
"""Changes that wait for one account at most, after those of one field were put together."""
STANDINGS = 100_000
"""Standings last seen that are kept, as many as the engine keeps."""


class Learned:
    """Changes that wait, by account, and the standings they apply to."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Change]] = {}
        self._versions: dict[str, int] = {}
        self._changed: dict[str, int] = {}
        """`Standing.seen` as this process made it up."""
        self._seen: dict[str, Standing] = {}
        self._last = 0

    def __len__(self) -> int:
        """Accounts whose changes wait."""
        return len(self._waiting)

    def note(self, account: str, standing: Standing) -> None:
        """The store said how an account stands."""
        self._seen.pop(account, None)
        if len(self._seen) >= STANDINGS:
            del self._seen[next(iter(self._seen))]
        self._seen[account] = standing
        self._versions.pop(account, None)
        self._changed.pop(account, None)

    def add(self, account: str, changes: Sequence[Change]) -> int:
        """Keep `changes` until the store is back; returns how many could not be kept."""
        waiting = self._waiting.get(account)
        if waiting is None:
            if len(self._waiting) >= ACCOUNTS:
                return len(changes)
            waiting = self._waiting[account] = []
        lost = sum(not _fold(waiting, change) for change in changes)
        self._last -= 1
        self._changed[account] = self._last
        if any(change.field in PLAN_FIELDS for change in changes):
            self._versions[account] = self._last
        return lost

    def newer(self, bill: Bill) -> Standing | None:
        """How the candidate stands, if this process has changed it since the bill was planned; else the bill knows best.

        None also where the standing that the bill was planned on is no longer known: changes alone would hide a verdict.
        """
        version = self._versions.get(bill.candidate)
        return None if version is None or version == bill.version else self._present(bill, version)

    def beside(self, bill: Bill) -> Standing | None:
        """How the candidate stands, if this process has changed what no plan depends on since the caller last saw it."""
        changed = self._changed.get(bill.candidate)
        return None if changed is None or changed == bill.seen else self._present(bill, bill.version)

    def _present(self, bill: Bill, version: int) -> Standing | None:
        seen = self._seen.get(bill.candidate)
        if seen is None and (bill.version > 0 or bill.seen > 0):
            return None
        fields = dict(seen.fields) if seen else {}
        for change in self._waiting.get(bill.candidate, ()):
            after = merge(change, fields.get(change.field))
            if after is None:
                fields.pop(change.field, None)
            else:
                fields[change.field] = after
        return Standing(version, fields, self._changed.get(bill.candidate, bill.seen))

    def forget(self, account: str) -> bool:
        """Nothing is known of an account any more; False where nothing was."""
        kept = (self._waiting, self._versions, self._changed, self._seen)
        return any([each.pop(account, None) is not None for each in kept])

    def take(self) -> tuple[str, list[Change]]:
        """The account that waits longest, and its changes: no longer kept here."""
        account = next(iter(self._waiting))
        self._versions.pop(account, None)
        self._changed.pop(account, None)
        return account, self._waiting.pop(account)

    def put_back(self, account: str, changes: Sequence[Change]) -> int:
        """The store failed on changes that were taken; returns how many are lost.

        It may have carried them out all the same, so sums are not sent again: everything else says the same twice.
        """
        later = self._waiting.pop(account, [])
        again = [change for change in changes if change.op != "add"]
        return len(changes) - len(again) + (self.add(account, [*again, *later]) if again or later else 0)


def _fold(waiting: list[Change], change: Change) -> bool:
    """Put `change` together with what waits for its field. False where there is no room for it."""
    if change.op in ("set", "unset"):
        waiting[:] = [each for each in waiting if each.field != change.field]
    place = next((at for at in range(len(waiting) - 1, -1, -1) if waiting[at].field == change.field), None)
    if place is not None and waiting[place].op == change.op:
        waiting[place] = _both(waiting[place], change)
        return True
    if len(waiting) >= CHANGES:
        return False
    waiting.append(change)
    return True


def _both(first: Change, second: Change) -> Change:
    """One change that does what two of one field and kind did."""
    if first.op == "first":
        return first
    whole = int(first.value), int(second.value)
    return first._replace(value=str(sum(whole) if first.op == "add" else max(whole)))
