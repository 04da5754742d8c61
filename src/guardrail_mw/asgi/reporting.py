"""Where providers report, and where a caller sees what it has passed."""

from __future__ import annotations

import logging
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

from guardrail_mw.asgi.browsing import read
from guardrail_mw.asgi.fields import rfc3339
from guardrail_mw.asgi.problems import plain, problem
from guardrail_mw.asgi.respond import Answer
from guardrail_mw.engine.standings import seen
from guardrail_mw.errors import StoreError, TokenError
from guardrail_mw.friction.clearance import holds
from guardrail_mw.friction.memory import whole
from guardrail_mw.friction.verification.assurance import assured
from guardrail_mw.friction.verification.providers import ProviderError, WebhookError
from guardrail_mw.identity.failures import Failures, homes_of
from guardrail_mw.values import CLEARED, Standing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardrail_mw.asgi.types import Receive, Scope
    from guardrail_mw.clock import Clock
    from guardrail_mw.engine import Engine, Guardrail
    from guardrail_mw.engine.reports import Reports
    from guardrail_mw.friction.verification.providers import Report
    from guardrail_mw.values import Facts, Headers, Subject

__all__ = ["LONGEST", "STATUS", "WEBHOOKS", "Reporting"]

logger = logging.getLogger("guardrail_mw")

WEBHOOKS: Final = "/webhooks"
STATUS: Final = "/status"
"""Below the prefix."""
LONGEST: Final = 262_144
"""Bytes of a webhook."""
_BAD: Final = 60
"""Webhooks a minute, of a network, that are not believed; and questions of a caller's for its status."""
_POST: Final = (405, "method_not_allowed", "Webhooks are POSTed here.")
_GET: Final = (405, "method_not_allowed", "Only GET and HEAD are answered here.")
_MANY: Final = (429, "too_many_requests", "Too many requests came from this network. Wait a minute.")
_MINUTE: Final = [(b"retry-after", b"60")]


class Reporting:
    """Takes webhooks, and tells callers how they stand.

    Args:
        guardrail: whose cases these are.
        clock: for how many may be bad.
    """

    __slots__ = ("_asked", "_bad", "_guardrail")

    def __init__(self, guardrail: Guardrail, clock: Clock) -> None:
        self._guardrail = guardrail
        self._bad = Failures(clock, _BAD)
        self._asked = Failures(clock, _BAD)

    async def webhook(self, provider: str, scope: Scope, receive: Receive, facts: Facts) -> Answer:
        """The response to a provider's webhook: 2xx once it is worked off, or was before."""
        if scope["method"] != "POST":
            return problem(*_POST, headers=[(b"allow", b"POST")])
        engine = self._guardrail.engine
        reports = engine.reports
        assert reports is not None  # noqa: S101 - the caller asks first
        network = homes_of(engine.resolver.fallback(facts))
        if self._bad.spent(*network):
            return problem(*_MANY, headers=_MINUTE)
        believed = self._believed(reports, provider, await read(receive, LONGEST), facts, network)
        if isinstance(believed, Answer):
            return believed
        try:
            heard = [await reports.heard(provider, report) for report in believed]
        except (ProviderError, StoreError) as error:
            self._guardrail.counts.count("verification.webhook_later")
            logger.warning("A webhook of %s could not be worked off: %s", provider, error)
            return problem(503, "unavailable", "It cannot be taken at the moment. Send it again.", headers=_MINUTE)
        return plain(200, {"heard": heard})

    def _believed(
        self, reports: Reports, provider: str, body: bytes | None, facts: Facts, network: tuple[str, str]
    ) -> Sequence[Report] | Answer:
        """What a webhook reports, or why it is not taken. What is not believed is counted; how many come at once is not."""
        if self._bad.spent(*network):  # by what came while this was read
            return problem(*_MANY, headers=_MINUTE)
        if body is None:
            self._bad.add(*network)
            return problem(413, "body_too_large", "A webhook is not that long.")
        try:
            return reports.believed(provider, body, _once(facts.headers))
        except WebhookError as error:
            self._bad.add(*network)
            self._guardrail.counts.count(f"verification.webhook_{error.code}")
            logger.warning("A webhook for %.40r was not believed: %s", provider, error.code)
            return problem(400, "webhook_refused", "The webhook is not accepted.")

    async def status(self, scope: Scope, facts: Facts) -> Answer:
        """What the caller has passed, and until when."""
        if scope["method"] not in {"GET", "HEAD"}:
            return problem(*_GET, headers=[(b"allow", b"GET, HEAD")])
        engine = self._guardrail.engine
        network = homes_of(engine.resolver.fallback(facts))
        if self._asked.spent(*network):
            return problem(*_MANY, headers=_MINUTE)
        self._asked.add(*network)
        try:
            found = engine.identify(facts)
            subject = await found if isawaitable(found) else found
        except TokenError as error:
            return problem(error.status, error.code, error.public)
        try:
            return plain(200, await _status(self._guardrail, engine, facts, subject))
        except StoreError as error:
            logger.info("How a caller stands could not be looked up: %s", error)
            return problem(503, "unavailable", "It cannot be looked up at the moment. Try again in a while.")


async def _status(guardrail: Guardrail, engine: Engine, facts: Facts, subject: Subject) -> dict[str, Any]:
    account = subject.candidate
    if account:
        receipt = await seen(guardrail.store, account, account)
        now, fields = receipt.now, (receipt.standing or Standing()).fields
    else:
        now = guardrail.now()
        fields = engine.judge.cookies(facts, subject.network, now)
    shown = assured(fields, engine.terms, now)
    verified: dict[str, Any] = {"verified": shown.verified}
    if shown.verified:
        verified |= {"ial": shown.ial, "acr": shown.acr, "until": rfc3339(shown.until)}
    appealed = None
    if engine.appeals is not None and account:
        cluster = fields.get("cluster", "")
        for name in (f"c:{cluster}" if cluster else "", account):
            item = await engine.appeals.find(engine.appeals.name(name)) if name else None
            if item is not None and account in {item.subject, *item.accounts}:
                appealed = {"state": item.state, "reason": item.reason}
                break
    return {
        "account": account or None,
        "cleared": [
            {"rung": rung.name, "until": rfc3339(whole(fields[CLEARED + rung.code]))}
            for rung in engine.judge.ladder.rungs
            if holds(fields, rung.code, now)
        ],
        "verification": verified,
        "appeal": appealed,
    }


def _once(headers: Headers) -> Mapping[str, str]:
    """Fields by name; those that came twice are left out."""
    found: dict[str, str] = {}
    twice = set()
    for name, value in headers:
        text = name.decode("latin-1")
        if text in found:
            twice.add(text)
        found[text] = value.decode("latin-1")
    return {name: value for name, value in found.items() if name not in twice}
