"""What the pages behind links have in common: who may come how often, what was posted, and what whoever is turned away hears."""

from __future__ import annotations

import json
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from guardrail_mw.asgi.browsing import is_form, is_json, languages, read, same_origin, words_of
from guardrail_mw.asgi.pages.verifying import By, closed_page
from guardrail_mw.asgi.problems import problem
from guardrail_mw.asgi.respond import Answer
from guardrail_mw.engine.callers import browses
from guardrail_mw.identity.failures import Failures, homes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrail_mw.asgi.types import Receive
    from guardrail_mw.clock import Clock
    from guardrail_mw.engine import Engine
    from guardrail_mw.values import Facts

__all__ = ["VISITS", "Gate", "Turned", "checked_by", "given", "only", "reading", "turned"]

VISITS: Final = 120
"""Requests a minute, of a network, for these pages."""
_BODY: Final = 32_768
"""Bytes: a form writes a character of an appeal as up to twelve."""
_CLOSED: Final[Mapping[str, tuple[int, str, str]]] = {
    "unknown": (404, "unknown_link", "This link is damaged, or of another service. A new one comes with a refusal."),
    "expired": (410, "link_expired", "This link is over. A new one comes with the next request that is refused."),
    "foreign": (403, "foreign_origin", "A page of another site sent this form. Open the link itself."),
    "many": (429, "too_many_requests", "Too many requests for these pages came from this network. Wait a minute."),
    "unavailable": (503, "unavailable", "It cannot be looked up at the moment. Try again in a while."),
    "large": (413, "body_too_large", "That is longer than what is read here."),
}
_BY: Final[Mapping[str, By]] = {"simulated": "simulated", "manual": "manual"}
_METHOD: Final = (405, "method_not_allowed", "GET looks, POST sends.")


class Turned(Exception):  # noqa: N818 - a visitor, not an error
    """A visitor is turned away.

    Args:
        why: what is said to that: a key of what can be said, or the answer itself.
    """

    def __init__(self, why: str | Answer) -> None:
        super().__init__(why if isinstance(why, str) else "")
        self.why = why


class Gate:
    """Lets so many come.

    Args:
        clock: read monotonically.
    """

    __slots__ = ("_visits",)

    def __init__(self, clock: Clock) -> None:
        self._visits = Failures(clock, VISITS)

    def enter(self, engine: Engine, facts: Facts) -> None:
        """One more comes.

        Raises:
            Turned: they are too many.
        """
        where = homes_of(engine.resolver.fallback(facts))
        if self._visits.spent(*where):
            raise Turned("many")
        self._visits.add(*where)


def only(method: str) -> bool:
    """Whether something is sent; looking is the other.

    Raises:
        Turned: it is neither.
    """
    if method not in {"GET", "HEAD", "POST"}:
        raise Turned(problem(*_METHOD, headers=[(b"allow", b"GET, HEAD, POST")]))
    return method == "POST"


async def given(engine: Engine, receive: Receive, facts: Facts) -> Mapping[str, str]:
    """What was posted: a form of this origin, or JSON, which no other site's form can send.

    Raises:
        Turned: it is neither.
    """
    form = is_form(facts.headers)
    if form and not same_origin(facts.headers, engine.policy.endpoints):
        raise Turned("foreign")
    body = await read(receive, _BODY)
    if body is None:
        raise Turned("large")
    says_json = is_json(facts.headers)
    try:
        if form:
            return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=16))
        found = json.loads(body) if says_json else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        status = 400 if says_json else 415
        raise Turned(problem(status, "unreadable", "Send JSON, or the form of the page."))
    return {name: value.encode(errors="replace").decode() for name, value in found.items() if isinstance(value, str)}


def checked_by(use: str) -> By:
    """Who checks, by the provider's plugin: what a page of consent says of what happens next."""
    return _BY.get(use, "service")


def reading(engine: Engine, facts: Facts) -> dict[str, Any]:
    """What every page is made with: languages, a nonce, and the words of the policy's folder."""
    words = words_of(engine.policy.endpoints.words)
    return {"languages": languages(facts.headers), "nonce": token_urlsafe(18), "words": words}


def turned(why: str | Answer, engine: Engine, facts: Facts) -> Answer:
    """What whoever is turned away is told: a page for browsers."""
    if isinstance(why, Answer):
        return why
    status, code, detail = _CLOSED[why]
    wait = [(b"retry-after", b"60")] if why == "many" else []
    if not browses(facts.headers):
        return problem(status, code, detail, headers=wait)
    shown: Any = why
    fields, body = closed_page(why=shown, **reading(engine, facts))
    return Answer(status, [*fields, *wait], body)
