"""Challenges at the edge: how they go out with a refusal, and the endpoint where answers come in.

Answers need no credential: the case that comes with them is sealed, and says who was asked. Nothing is redirected to but where
the case says that a browser was going, which is a path of this server.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_plus

from guardrail_mw.asgi.browsing import (
    FORM,
    NOTHING,
    Held,
    back_of,
    digest,
    held,
    is_form,
    is_json,
    languages,
    page,
    read,
    resend,
    same_origin,
    shown,
    words_of,
)
from guardrail_mw.asgi.fields import rfc3339
from guardrail_mw.asgi.patience import Patience
from guardrail_mw.asgi.places import appeal_of, url_of
from guardrail_mw.asgi.problems import onward, plain, problem
from guardrail_mw.asgi.respond import Answer
from guardrail_mw.engine.callers import browses
from guardrail_mw.engine.clearing import Cleared
from guardrail_mw.errors import StoreError
from guardrail_mw.identity.failures import homes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrail_mw.asgi.pages.page import Again
    from guardrail_mw.asgi.pages.words import Words
    from guardrail_mw.asgi.types import Receive, Scope
    from guardrail_mw.clock import Clock
    from guardrail_mw.engine import Engine, Exchange, Guardrail
    from guardrail_mw.engine.clearing import Case, Clearing, Given, Said
    from guardrail_mw.values import Deny, Facts, Subject

__all__ = ["CHALLENGE", "LONGEST", "SHORT", "Answers", "challenged"]

logger = logging.getLogger("guardrail_mw")

CHALLENGE: Final = "/challenge"
"""Below the prefix."""
SHORT: Final = 32_768
"""Bytes of a body with an answer alone."""
LONGEST: Final = 3 * FORM + SHORT
"""Bytes of a form with an answer, and the form that was held up, which is encoded once more."""
_FIELDS: Final = 16
"""Of an answer."""

Header = tuple[bytes, bytes]

_WORDS: Final[Mapping[Said, tuple[int, str, str]]] = {
    "failed": (403, "challenge_failed", "That does not solve it."),
    "expired": (403, "challenge_expired", "It was solved too late, or what is asked for has changed."),
    "spent": (403, "challenge_spent", "It was solved before, or by somebody else's store. Solve this one."),
    "cookies": (403, "cookies_needed", "It was given to another browser or network, or cookies are not kept."),
    "over": (403, "challenge_over", "What was asked for is over. Send the request again that it was asked for."),
    "unreadable": (400, "unreadable_answer", "Send JSON or a form with `case` and `answer`, as they were given."),
    "unavailable": (503, "unavailable", "It cannot be judged at the moment. Try again."),
}
_MANY: Final = (429, "too_many_answers", "Too many answers that clear nothing came from this network. Wait a minute.")
_SENT: Final = ("answer", "form")
_WHOLE: Final = re.compile(r"[^\ud800-\udfff]*")
"""Text that has bytes: JSON can hold half a character."""
_MINUTE: Final = [(b"retry-after", b"60")]
_LARGE: Final = (413, "body_too_large", "An answer is not that long.")
_KIND: Final = (415, "unreadable", "Send JSON (application/json), or the form of the page.")
_FOREIGN: Final = (403, "foreign_origin", "A page of another site sent this form.")
_SHOWN: Final[Mapping[Said, Again]] = {"failed": "failed", "expired": "expired", "spent": "spent", "cookies": "cookies"}
_METHOD: Final = (405, "method_not_allowed", "Answers are POSTed here.")


async def challenged(exchange: Exchange, deny: Deny, scope: Scope, receive: Receive) -> Deny | Answer:
    """A refusal that asks for something to be solved, with what that is: for browsers a page, else in the body."""
    clearing, token, judgement = exchange.engine.clearing, exchange.token, exchange.judgement
    rung = judgement.step.rung if judgement is not None else None
    if deny.code != "challenge_required" or clearing is None or token is None or rung is None:
        cookie = clearing.introduced(exchange) if clearing is not None else b""
        return replace(deny, headers=(*deny.headers, *_cookie(cookie))) if cookie else deny
    settings, headers = exchange.engine.policy.endpoints, exchange.facts.headers
    looks = scope["type"] == "http" and browses(headers) and shown(rung.use)
    request = await held(scope, receive, settings) if looks else NOTHING
    back = back_of(scope, settings) if looks else ""
    given = clearing.ask(exchange, rung, token, back=back, method=request.method, form=digest(request.form))
    more, appeal = _members(given, url_of(scope, settings, CHALLENGE)), appeal_of(exchange, scope)
    if not looks:
        objects = {"appeal_url": appeal} if appeal else {}
        return replace(deny, more=more | objects, headers=(*deny.headers, *_cookie(given.cookie)))
    words = words_of(settings.words)
    fields, body = page(
        more["challenge"], request, decision=deny.id, back=back, languages=languages(headers), words=words, appeal=appeal
    )
    return Answer(403, [*fields, (b"x-guardrail-decision", deny.id.encode()), *_cookie(given.cookie)], body)


def _members(given: Given, url: str) -> dict[str, Any]:
    expires = rfc3339(given.until)
    return {"challenge": {**given.challenge, "url": url, "expires_at": expires}, "expires_at": expires}


def _cookie(value: bytes) -> list[Header]:
    return [(b"set-cookie", value)] if value else []


class Answers:
    """Takes answers to challenges.

    Args:
        guardrail: whose engine gave them out.
        clock: for how many may be wrong.
    """

    __slots__ = ("_guardrail", "_patience")

    def __init__(self, guardrail: Guardrail, clock: Clock) -> None:
        self._guardrail = guardrail
        self._patience = Patience(clock)

    async def answer(self, scope: Scope, receive: Receive, facts: Facts) -> Answer:
        """The response to a request for the endpoint, by the policy that runs when it begins.

        Args:
            scope: of the request.
            receive: its body.
            facts: read of its scope.
        """
        if scope["method"] != "POST":
            return problem(*_METHOD, headers=[(b"allow", b"POST")])
        engine = self._guardrail.engine
        subject = engine.resolver.fallback(facts)
        if self._patience.exhausted(*homes_of(subject)):
            return problem(*_MANY, headers=_MINUTE)
        if is_form(facts.headers) and not same_origin(facts.headers, engine.policy.endpoints):
            return problem(*_FOREIGN)
        if not is_form(facts.headers) and not is_json(facts.headers):
            return problem(*_KIND)
        body = await read(receive, LONGEST if is_form(facts.headers) else SHORT)
        return problem(*_LARGE) if body is None else await self._counted(engine, scope, facts, subject, body)

    async def _counted(self, engine: Engine, scope: Scope, facts: Facts, subject: Subject, body: bytes) -> Answer:
        """The response to an answer, which is counted until it has cleared something."""
        clearing, patience, where = engine.clearing, self._patience, homes_of(subject)
        assert clearing is not None  # noqa: S101 - the caller asks first
        if patience.exhausted(*where):  # bodies that were held back until all could come at once
            return problem(*_MANY, headers=_MINUTE)
        told, sent = patience.told(*where), _sent(facts, body)
        case, form = clearing.read(sent.get("case", "")), ""
        found: Cleared | Said = "unreadable"
        if case is not None:
            answer, form = [
                unquote_plus(sent.get(name, "")) if is_form(facts.headers) else sent.get(name, "") for name in _SENT
            ]
            found = await self._judged(clearing, case, sent["case"], answer, facts, subject, told=told)
        if not isinstance(found, str):
            return _cleared(found, facts, case, form, words_of(engine.policy.endpoints.words))
        if not told:
            return problem(*_MANY, headers=_MINUTE)
        return self._refused(found) if case is None else await self._again(engine, case, found, scope, facts, subject, form)

    async def _judged(
        self, clearing: Clearing, case: Case, sealed: str, answer: str, facts: Facts, subject: Subject, *, told: bool
    ) -> Cleared | Said:
        """What an answer comes to."""
        where = homes_of(subject)
        if not self._patience.tries(*where, case.id):
            return clearing.said("over")
        try:
            found = await clearing.answer(sealed, case, answer, facts, subject)
        except StoreError as error:
            logger.info("An answer to a challenge could not be judged: %s", error)
            found = clearing.said("unavailable")
        self._patience.settle(*where, case.id, found, told=told)
        return found

    async def _again(
        self, engine: Engine, case: Case, why: Said, scope: Scope, facts: Facts, subject: Subject, form: str
    ) -> Answer:
        """Say why, with another challenge where one can be given: on a page again where it was on one.

        Where none can, because it is over, the policy has changed or it is too long ago, a browser goes where it was going: what
        is asked for now, it is asked there.
        """
        clearing, looks = engine.clearing, bool(case.back) and is_form(facts.headers)
        if clearing is None or why not in {*_SHOWN, "over"}:
            return self._refused(why)
        try:
            given = await clearing.again(case, facts, subject) if why in _SHOWN else None
        except StoreError as error:
            logger.info("No other challenge could be given: %s", error)
            return self._refused(why)
        words = words_of(engine.policy.endpoints.words)
        if given is None:
            return _onward(facts, case, form, [], words) if looks else self._refused(why)
        more, cookie = _members(given, url_of(scope, engine.policy.endpoints, CHALLENGE)), _cookie(given.cookie)
        if not looks:
            return self._refused(why, more, cookie)
        request = Held(case.method, form if digest(form) == case.form else "")
        fields, body = page(
            more["challenge"],
            request,
            decision=case.id,
            back=case.back,
            languages=languages(facts.headers),
            again=_SHOWN[why],
            words=words,
        )
        return Answer(403, [*fields, *cookie], body)

    @staticmethod
    def _refused(why: Said, more: Mapping[str, Any] | None = None, headers: list[Header] | None = None) -> Answer:
        return problem(*_WORDS[why], more=more, headers=headers or ())


def _cleared(found: Cleared, facts: Facts, case: Case | None, form: str, words: Words | None) -> Answer:
    cookie = _cookie(found.cookie)
    if case is None or not case.back or not is_form(facts.headers):
        return plain(200, {"cleared": True, "expires_at": rfc3339(found.until)}, cookie)
    return _onward(facts, case, form, cookie, words)


def _onward(facts: Facts, case: Case, form: str, cookie: list[Header], words: Words | None) -> Answer:
    """Where the browser was going: its form with a button, or else a redirect."""
    if case.form and digest(form) == case.form:
        held_up, wanted = Held(case.method, form), languages(facts.headers)
        fields, body = resend(held_up, back=case.back, languages=wanted, words=words)
        return Answer(200, [*fields, *cookie], body)
    return onward(case.back, cookie)


def _sent(facts: Facts, body: bytes) -> Mapping[str, str]:
    """Case, answer and the form that was held up, as they came; nothing where they cannot be read.

    Those of a form are still encoded. A case is of letters that need no encoding; the rest may be long, and takes a hundred times
    as long to decode as to send, so it is not before the case is known to be one of ours.
    """
    try:
        text = body.decode()
        if is_form(facts.headers):
            pairs = [each.partition("=") for each in text.split("&", _FIELDS)]
            return (
                {name: value for name, _, value in pairs} if len(pairs) <= _FIELDS and all(each[1] for each in pairs) else {}
            )
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    said = {name: found.get(name, "") for name in ("case", *_SENT)} if isinstance(found, dict) else {}
    return said if all([isinstance(each, str) and _WHOLE.fullmatch(each) for each in said.values()]) else {}
