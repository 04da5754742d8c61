"""What clusters consumed that were merged into others: added to the others' counters, once.

Counters lie in a cluster's home. What there is of one is read (`peek`) and charged in the other's, whatever the limits there: it
is owed. The same bill takes the only place in a window that bears the merged cluster's name, so that a repeat, after a failure or
by another process, is refused whole: an id never comes again once its cluster is gone. Slots in flight are let go, they end
within half a minute; velocity is not carried.

It is carried as it stands then: what is reserved and not settled yet counts as reserved, for good, and what a sliding window has
counted counts from now on. A part that shares another's counters has none of its own, so what it used stays with that one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, TypeAlias

from guardrail_mw.algorithms.window import calendar
from guardrail_mw.clusters.inheriting import midnight
from guardrail_mw.errors import StoreError
from guardrail_mw.limits.cluster_budget import cluster_budget
from guardrail_mw.limits.limit import Limit
from guardrail_mw.limits.settings import LARGEST
from guardrail_mw.stores.base import Bill, Budget, Desk, Entry, Gcra, Store, Window

if TYPE_CHECKING:
    from guardrail_mw.clusters.state import Merged
    from guardrail_mw.limits.settings import LimitSettings

__all__ = ["Carrying"]

_Step: TypeAlias = Gcra | Window | Budget
_GUARD: Final = "m."
"""Before the merged cluster's id: the field that it can be carried through once."""


class Carrying:
    """Carries what limits `per: [cluster]`, and material clusters' budgets, have counted.

    Args:
        limits: the policy's.
    """

    def __init__(self, limits: Iterable[LimitSettings]) -> None:
        made = [Limit(each, None, shadow=True, strict=False) for each in limits if each.per[:1] == ["cluster"]]
        self._limits = {each.code: each for each in (*made, cluster_budget(1))}

    def ends(self, now: int) -> int:
        """The µs at which nothing that a cluster's limits count `now` counts any more: at midnight UTC, or later."""
        return max(midnight(now), *[_ends(limit, now) for limit in self._limits.values()])

    async def carry(self, store: object, merged: Sequence[Merged]) -> None:
        """Add what those consumed to the counters that they were merged into. May be repeated.

        Raises:
            StoreError: the store failed, or cannot do it; what was carried stays so.
        """
        if not isinstance(store, Store) or not isinstance(store, Desk):
            raise StoreError("What merged clusters consumed is not carried.", f"{type(store).__name__} has no desk.")
        for each in merged:
            await self._carry(store, store, each)

    async def _carry(self, store: Store, desk: Desk, merged: Merged) -> None:
        source, target = f"c:{merged.source}", f"c:{merged.target}"
        kept = (await desk.export(source))["counters"]
        steps = [step for field in sorted({_field(name) for name in kept}) if (step := self._step(field)) is not None]
        if not steps:
            return
        name = blake2b(f"{merged.source} {merged.target}".encode(), digest_size=12).hexdigest()
        stands = (await store.peek(Bill(name, tuple(Entry(home, tuple(steps)) for home in (source, target))))).readings
        owed = [
            step._replace(cost=min(_most(step) - mine.remaining, theirs.remaining))
            for step, mine, theirs in zip(steps, stands[: len(steps)], stands[len(steps) :], strict=True)
        ]
        guard = Window(f"{_GUARD}{merged.source}", 1, 1, merged.until - merged.at)
        receipt = await store.charge(Bill(name, (Entry(target, (guard, *[step for step in owed if step.cost])),)))
        if receipt.local or receipt.code not in {"admitted", "denied"}:
            raise StoreError("What merged clusters consumed could not be carried.", "It is tried again at the next rebuild.")

    def _step(self, field: str) -> _Step | None:
        """A step of no cost on a field, as deep as can be counted; None where no limit counts there."""
        limit = self._limits.get(field.partition(".")[0])
        if limit is None:
            return None
        match limit.kind:
            case "token_bucket":
                return Gcra(field, 0, limit.rated, limit.period, LARGEST // limit.period, shadow=True)
            case "sliding_window":
                return Window(field, 0, LARGEST, limit.window, shadow=True)
            case "budget" if limit.calendar is not None:
                return Budget(field, 0, LARGEST, limit.calendar, shadow=True)
            case _:
                return None


def _most(step: _Step) -> int:
    return step.burst if isinstance(step, Gcra) else step.amount


def _ends(limit: Limit, now: int) -> int:
    return calendar(now, limit.calendar)[1] if limit.calendar is not None else now + limit.span


def _field(name: str) -> str:
    """The field that a name of a home's hash belongs to: itself, or what stands before the slot of its ring."""
    field, colon, slot = name.rpartition(":")
    return field if colon and slot.isdecimal() else name
