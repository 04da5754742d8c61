"""Deadlines of cases: who is to be reminded, and which have passed."""

from __future__ import annotations

from secrets import token_hex
from typing import TYPE_CHECKING, Final

from guardrail_mw.engine.ground import CASE, KEPT, noted
from guardrail_mw.engine.states import awaits
from guardrail_mw.friction.memory import whole
from guardrail_mw.recent import Recent
from guardrail_mw.stores.base import Change

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrail_mw.engine.cases import Cases

__all__ = ["Deadlines"]

_CASES: Final = 131_072
"""Cases of which a process remembers when they are due."""


class Deadlines:
    """Looks after deadlines.

    Args:
        cases: whose.
    """

    def __init__(self, cases: Cases) -> None:
        self._cases = cases
        deadline, remind = cases.settings.deadline.us, [each.us for each in cases.settings.remind]
        self._early = sorted([0, *remind])
        self._soonest = deadline - max(remind, default=0)
        """µs from when a case is asked anew to the first that is to be said of it."""
        self._quiet: Recent[str, int] = Recent(_CASES)
        """µs until which nothing is to be said of a case, whatever becomes of it."""

    async def look(self) -> None:
        """Remind of deadlines, and say which have passed and which approvals ran out: each once, whichever process looks first.

        Raises:
            StoreError: the store failed; the next look goes on.
        """
        cases, now = self._cases, self._cases.clock.now()
        after = ""
        while names := await cases.files.listed(CASE, 500, after):
            for name in names:
                if now < (self._quiet.get(name) or 0):
                    continue
                fields = await cases.files.pull(CASE, name)
                if fields is not None:
                    await (self._due if awaits(fields) else self._over)(name, fields, now)
                self._quiet.put(name, self._next(fields or {}, now))
            after = names[-1]

    def _next(self, fields: Mapping[str, str], now: int) -> int:
        """When something is to be said next of a case."""
        deadline = whole(fields.get("deadline")) if awaits(fields) else 0
        dates = [whole(fields.get("until")), *[deadline - each for each in self._early]]
        return min([each for each in dates if each > now], default=now + self._soonest)

    async def _due(self, name: str, fields: Mapping[str, str], now: int) -> None:
        cases, deadline = self._cases, whole(fields.get("deadline"))
        if not deadline:
            return
        due = [(f"r.{deadline}.{each.us}", "reminder") for each in cases.settings.remind if now >= deadline - each.us]
        if now >= deadline:
            due = [(f"r.{deadline}.0", "overdue")]
        for mark, what in due:
            if mark not in fields and await self._first(name, mark, what, now):
                cases.notices.tell(what, now, case=name, account=fields.get("account", ""), deadline=deadline)

    async def _over(self, name: str, fields: Mapping[str, str], now: int) -> None:
        """An approval may have run out."""
        until, mark = whole(fields.get("until")), f"e.{fields.get('order', '')}"
        if fields.get("state") != "approved" or not 0 < until <= now or mark in fields:
            return
        if await self._first(name, mark, "expired", now):
            account, provider = fields.get("account", ""), fields.get("provider", "")
            self._cases.notices.tell("expired", now, case=name, account=account, provider=provider)

    async def _first(self, name: str, mark: str, what: str, now: int) -> bool:
        """Note it, and whether nobody had."""
        token = token_hex(8)
        lines = [Change("first", mark, token), noted(now, what)]
        return (await self._cases.files.file(CASE, name, lines, now + KEPT)).get(mark) == token
