"""Where people are verified: a page for browsers, JSON for others.

The address holds a link of ours, sealed, which says whose case it is. Whoever has it can begin and look. Nothing is begun by a
page of another site: a form must come from this origin (Fetch Metadata, `Origin`), and nobody is sent anywhere but to the
provider that the policy names.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from guardrail_mw.asgi.browsing import is_form
from guardrail_mw.asgi.fields import rfc3339
from guardrail_mw.asgi.pages.verifying import consent_page, decide_page, state_page, waiting_page
from guardrail_mw.asgi.problems import onward, plain, problem
from guardrail_mw.asgi.respond import Answer
from guardrail_mw.asgi.visiting import Gate, Turned, checked_by, given, only, reading, turned
from guardrail_mw.engine.callers import browses
from guardrail_mw.engine.cases import lost
from guardrail_mw.errors import StoreError
from guardrail_mw.friction.memory import whole
from guardrail_mw.friction.verification.providers import ProviderError
from guardrail_mw.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrail_mw.asgi.types import Receive, Scope
    from guardrail_mw.engine import Engine, Guardrail
    from guardrail_mw.engine.cases import Cases, Link
    from guardrail_mw.values import Facts

__all__ = ["Verifying"]

logger = logging.getLogger("guardrail_mw")

_AGAIN: Final = 10_000_000
"""µs between two questions to a provider about one case."""
_ASKED: Final = 4_096
_SHOWN: Final = {"": "started", "pending": "pending"}
_RETRY: Final = b"again"
"""The query that asks for the page of consent once more."""
_OVER: Final = {"declined", "expired", "withdrawn", "duplicate"}
_HELD_UP: Final[Mapping[str, tuple[str, int, str]]] = {
    "approved": ("approved", 200, ""),
    "pending": ("pending", 200, ""),
    "many": ("many", 429, "tries_used_up"),
    "busy": ("busy", 409, "under_way"),
    "unavailable": ("later", 503, "unavailable"),
}
_CONSENT: Final = (400, "consent_missing", "Send `consent` as `yes`: the page says what it is for.")


class _Visit:
    """One request for a link."""

    __slots__ = ("cases", "engine", "facts", "link", "sealed")

    def __init__(self, engine: Engine, cases: Cases, link: Link, sealed: str, facts: Facts) -> None:
        self.engine = engine
        self.cases = cases
        self.link = link
        self.sealed = sealed
        self.facts = facts

    @property
    def looks(self) -> bool:
        """Whether a person reads the answer."""
        return browses(self.facts.headers)

    @property
    def use(self) -> str:
        """The plugin of the case's provider."""
        return self.cases.settings.providers[self.link.provider].use

    @property
    def over(self) -> bool:
        """Whether the link's time is over."""
        return self.cases.clock.now() >= self.link.until

    @property
    def place(self) -> str:
        """The link's address."""
        return self.cases.base + self.sealed

    @property
    def provider(self) -> str:
        """What people know the provider by."""
        return self.cases.settings.providers[self.link.provider].name or self.link.provider

    def named(self) -> dict[str, Any]:
        """What every page of the case says."""
        return {"service": self.cases.settings.name, "who": self.link.who, **reading(self.engine, self.facts)}


class Verifying:
    """Serves links to verifications.

    Args:
        guardrail: whose they are.
        gate: how many may come.
    """

    __slots__ = ("_gate", "_guardrail", "_looked")

    def __init__(self, guardrail: Guardrail, gate: Gate) -> None:
        self._guardrail = guardrail
        self._gate = gate
        self._looked: Recent[str, int] = Recent(_ASKED)

    async def answer(self, sealed: str, scope: Scope, receive: Receive, facts: Facts) -> Answer:
        """The response to a request for a link."""
        engine = self._guardrail.engine
        try:
            return await self._serve(engine, sealed, scope, receive, facts)
        except Turned as away:
            return turned(away.why, engine, facts)
        except StoreError as error:
            logger.warning("A verification could not be looked up: %s", error)
            return turned("unavailable", engine, facts)

    async def _serve(self, engine: Engine, sealed: str, scope: Scope, receive: Receive, facts: Facts) -> Answer:
        self._gate.enter(engine, facts)
        sends, visit = only(scope["method"]), self._visit(engine, sealed, facts)
        if not sends:
            return await self._show(visit, again=scope.get("query_string") == _RETRY)
        if visit.over:
            raise Turned("expired")
        said = await given(engine, receive, facts)
        return await (_click(visit, said["outcome"]) if "outcome" in said else _begin(visit, said))

    @staticmethod
    def _visit(engine: Engine, sealed: str, facts: Facts) -> _Visit:
        cases = engine.cases
        link = cases.read(sealed) if cases is not None else None
        if cases is None or link is None or link.provider not in cases.providers:
            raise Turned("unknown")
        return _Visit(engine, cases, link, sealed, facts)

    async def _show(self, visit: _Visit, *, again: bool) -> Answer:
        fields = await self._fields(visit)
        state = _state(visit.link, fields, visit.cases.clock.now())
        if state == "asked" and visit.over:
            raise Turned("expired")
        if not visit.looks:
            return plain(200, _told(visit.link, fields, state))
        if state == "asked" or (again and not visit.over and state != "approved"):
            return _consent(visit)
        if state in {"started", "pending"} and visit.use == "simulated":
            return Answer(200, *decide_page(action=visit.place, **visit.named()))
        if state in {"started", "pending"} and visit.use == "manual":
            return Answer(200, *waiting_page(until="", **visit.named()))
        return _state_page(visit, state, fields)

    async def _fields(self, visit: _Visit) -> Mapping[str, str]:
        """The case's record; of one that is under way elsewhere, after its provider was asked, now and then."""
        cases, reports = visit.cases, visit.engine.reports
        fields = await cases.case(visit.link)
        which, now = fields.get("ref", ""), cases.clock.now()
        if not which or fields.get("state", "") not in {"", "pending"} or reports is None:
            return fields
        if 0 <= now - (self._looked.get(which) or 0) < _AGAIN:
            return fields
        self._looked.put(which, now)
        try:
            heard = await reports.fetched(visit.link.provider, which)
        except ProviderError as error:
            logger.info("What became of a verification was not to be had: %s", error.detail or error.code)
            return fields
        return await cases.case(visit.link) if heard != "unknown" else fields


async def _begin(visit: _Visit, said: Mapping[str, str]) -> Answer:
    """Send a person who consents on to the provider."""
    if said.get("consent") != "yes":
        raise Turned(problem(*_CONSENT))
    verification = visit.engine.verification
    assert verification is not None  # noqa: S101 - there are cases
    begun = await verification.beginning.begin(visit.link, visit.sealed)
    if begun == "over":
        raise Turned("expired")
    if begun not in _HELD_UP:
        return onward(begun) if is_form(visit.facts.headers) else plain(201, {"url": begun})
    shown, status, code = _HELD_UP[begun]
    fields = await visit.cases.case(visit.link)
    if visit.looks and begun == "many":
        raise Turned("many")
    if visit.looks:
        return _state_page(visit, shown, fields, status)
    told = _told(visit.link, fields, _state(visit.link, fields, visit.cases.clock.now()))
    return problem(status, code, "It cannot begin now.", more=told) if code else plain(status, told)


async def _click(visit: _Visit, outcome: str) -> Answer:
    """What somebody chose where nothing is checked."""
    cases, link, reports = visit.cases, visit.link, visit.engine.reports
    fields = await cases.case(link)
    if visit.use != "simulated" or outcome not in {"approved", "declined"} or not fields.get("ref") or reports is None:
        raise Turned(problem(403, "not_simulated", "Nothing can be chosen here: a provider decides."))
    name = cases.named(link)
    await reports.decide(name, "approved" if outcome == "approved" else "declined", "clicked")
    return onward(visit.place) if is_form(visit.facts.headers) else plain(200, {"state": outcome})


def _state(link: Link, fields: Mapping[str, str], now: int) -> str:
    state = fields.get("state", "")
    if lost(link, fields):
        return "asked"
    if state == "approved" and now >= whole(fields.get("until")):
        return "expired"
    if state in _SHOWN:
        return _SHOWN[state] if fields.get("ref") else "asked"
    return "duplicate" if fields.get("why") == "duplicate" else state


def _told(link: Link, fields: Mapping[str, str], state: str) -> dict[str, Any]:
    until = whole(fields.get("until")) if state != "asked" else 0
    said = {"account": link.account, "state": state, "provider": link.provider, "level": link.level}
    more = {"approved_until": rfc3339(until)} if until else {}
    return {**said, **more, "expires_at": rfc3339(link.until)}


def _consent(visit: _Visit) -> Answer:
    made = consent_page(
        action=visit.place,
        provider=visit.provider,
        level=visit.link.level,
        organisation=visit.link.subject != visit.link.account,
        until=rfc3339(visit.link.until),
        decision=visit.link.decision,
        appeal="",
        onward=visit.cases.onward(visit.link.provider),
        by=checked_by(visit.use),
        **visit.named(),
    )
    return Answer(200, *made)


def _state_page(visit: _Visit, state: str, fields: Mapping[str, str], status: int = 200) -> Answer:
    until = whole(fields.get("until"))
    again = f"{visit.place}?{_RETRY.decode()}" if state in {"started", "pending", "later", *_OVER} and not visit.over else ""
    said: Any = state
    made = state_page(
        state=said,
        again=again,
        provider=visit.provider,
        until=rfc3339(until) if until else "",
        appeal="",
        decision=visit.link.decision,
        **visit.named(),
    )
    return Answer(status, *made)
