"""Where whoever was refused for risk may object: a page for browsers, JSON for others. See `verifying` for what a link is."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from guardrail_mw.asgi.pages.verifying import appeal_page
from guardrail_mw.asgi.problems import plain, problem
from guardrail_mw.asgi.respond import Answer
from guardrail_mw.asgi.visiting import Gate, Turned, given, only, reading, turned
from guardrail_mw.engine.appeals import LONGEST
from guardrail_mw.engine.callers import browses
from guardrail_mw.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrail_mw.asgi.types import Receive, Scope
    from guardrail_mw.engine import Engine, Guardrail
    from guardrail_mw.engine.appeals import Appeal, Appeals, Plea
    from guardrail_mw.values import Facts

__all__ = ["Appealing"]

logger = logging.getLogger("guardrail_mw")

_NOT_TAKEN: Final[Mapping[str, tuple[int, str, str]]] = {
    "many": (429, "too_many_appeals", "This account has appealed often enough today. It is on the list already."),
    "empty": (400, "text_missing", "Send `text`: what you do with the service, and why the refusal is wrong."),
    "long": (413, "text_too_long", f"An appeal has {LONGEST} characters at most."),
}


class Appealing:
    """Serves links to appeals.

    Args:
        guardrail: whose they are.
        gate: how many may come.
    """

    __slots__ = ("_gate", "_guardrail")

    def __init__(self, guardrail: Guardrail, gate: Gate) -> None:
        self._guardrail = guardrail
        self._gate = gate

    async def answer(self, sealed: str, scope: Scope, receive: Receive, facts: Facts) -> Answer:
        """The response to a request for a link."""
        engine = self._guardrail.engine
        try:
            return await self._serve(engine, sealed, scope, receive, facts)
        except Turned as away:
            return turned(away.why, engine, facts)
        except StoreError as error:
            logger.warning("An appeal could not be taken: %s", error)
            return turned("unavailable", engine, facts)

    async def _serve(self, engine: Engine, sealed: str, scope: Scope, receive: Receive, facts: Facts) -> Answer:
        self._gate.enter(engine, facts)
        sends, appeals = only(scope["method"]), engine.appeals
        plea = appeals.read(sealed) if appeals is not None else None
        if appeals is None or plea is None:
            raise Turned("unknown")
        over = self._guardrail.now() >= plea.until
        if over and sends:
            raise Turned("expired")
        text = (await given(engine, receive, facts)).get("text", "") if sends else ""
        taken = await appeals.appeal(plea, text) if sends else ""
        item = await appeals.find(appeals.name(plea.subject))
        if over and item is None:
            raise Turned("expired")
        return self._told(engine, appeals, plea, item, taken, text, sealed, facts)

    @staticmethod
    def _told(  # noqa: PLR0913 - what an answer is made of
        engine: Engine,
        appeals: Appeals,
        plea: Plea,
        item: Appeal | None,
        taken: str,
        text: str,
        sealed: str,
        facts: Facts,
    ) -> Answer:
        status = _NOT_TAKEN[taken][0] if taken in _NOT_TAKEN else 200
        if not browses(facts.headers):
            if taken in _NOT_TAKEN:
                return problem(*_NOT_TAKEN[taken])
            state, reason = (item.state, item.reason) if item is not None else ("none", "")
            told = {"account": plea.account, "decision": plea.decision, "state": state, "reason": reason}
            return plain(201 if taken else 200, told)
        bad = taken in {"empty", "long"}
        state_: Any = item.state if item is not None and not bad else ""
        made = appeal_page(
            action=appeals.base + sealed,
            service=appeals.settings.name,
            who=plea.who,
            decision=plea.decision,
            state=state_,
            reason=item.reason if item is not None else "",
            text=text[:LONGEST] if bad else "",
            most=LONGEST,
            **reading(engine, facts),
        )
        return Answer(status, *made)
