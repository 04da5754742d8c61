"""How many established accounts a rung may newly touch: asked of the store, once an account comes onto it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from guardrail_mw.errors import StoreError
from guardrail_mw.friction.budget import Spent, Take, take
from guardrail_mw.stores.base import Tally

if TYPE_CHECKING:
    from guardrail_mw.friction.ladder import Ladder, Person, Step
    from guardrail_mw.stores.base import Store
    from guardrail_mw.values import Observer

__all__ = ["Budgets"]

logger = logging.getLogger("guardrail_mw")


class Budgets:
    """The false-positive budgets of a ladder's rungs.

    Asking costs a second round trip, on the one request with which an established account comes onto a rung. A budget that
    cannot be asked counts as spent: doubt is in the account's favour.
    """

    def __init__(self, ladder: Ladder, store: Store, observer: Observer, spent: Spent) -> None:
        self._ladder = ladder
        self._store = store
        self._observer = observer
        self._spent = spent

    async def keep(self, person: Person, step: Step) -> Step:
        """The step that is taken: this one, or, where a rung's budget is spent, one that is lower."""
        while (cost := take(person, step)) is not None and not await self._room(cost, person, step):
            step = self._ladder.lower(person, step)
        return step

    async def _room(self, cost: Take, person: Person, step: Step) -> bool:
        if self._spent.holds(cost):
            return False
        try:
            if isinstance(self._store, Tally) and await self._store.take(*cost):
                return True
        except StoreError as error:
            logger.debug("budget of %s: %s", cost.budget, error)
            return False
        if self._spent.note(cost, person.now):
            self._observer.count("friction.budget_spent")
            name = step.rung.name if step.rung is not None else ""
            logger.warning("Rung %s has touched %d established accounts, as many as it may.", name, cost.most)
        return False
