"""Refusals that ask for more than patience: where a person is verified, and where whoever was refused may object."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from guardrail_mw.asgi.fields import rfc3339
from guardrail_mw.asgi.pages.verifying import appeal_page, consent_page
from guardrail_mw.asgi.places import appeal_of
from guardrail_mw.asgi.respond import Answer
from guardrail_mw.asgi.visiting import checked_by, reading
from guardrail_mw.engine.appeals import LONGEST
from guardrail_mw.engine.callers import browses
from guardrail_mw.engine.hints import hint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrail_mw.asgi.types import Scope
    from guardrail_mw.engine import Exchange
    from guardrail_mw.engine.cases import Cases
    from guardrail_mw.friction.ladder import Rung
    from guardrail_mw.friction.verification import Asking
    from guardrail_mw.values import Deny

__all__ = ["asked"]

_APPEALED: Final = frozenset({"denied", "verification_required", "parameters_refused"})
"""Codes of refusals that go by risk, and that nobody can do anything about by waiting; `challenged` sees to its own."""


async def asked(exchange: Exchange, deny: Deny, scope: Scope) -> Deny | Answer:
    """A refusal with the links that belong to it; for browsers a page, where there is one."""
    engine = exchange.engine
    cases, appeals = engine.cases, engine.appeals
    if cases is None or appeals is None or not exchange.answerable:  # a network has no identity, and nobody to answer
        return deny
    way = _way(exchange, deny)
    suspected = deny.refusal is not None and deny.refusal.limit in engine.suspecting
    if way is None and not suspected and deny.code not in _APPEALED:
        return deny
    who, more = hint(exchange), dict(deny.more)
    if way is not None:
        more["verification_url"], until = await cases.ask(exchange, *way, who)
        more["expires_at"] = rfc3339(until)
    appeal = appeal_of(exchange, scope)
    if appeal:
        more["appeal_url"] = appeal
    page = None
    if scope["type"] == "http" and browses(exchange.facts.headers) and deny.code in _APPEALED:
        shown = {"service": cases.settings.name, "who": who, "decision": deny.id, **reading(engine, exchange.facts)}
        if way is not None:
            page = _consent(exchange, cases, way[1], more, shown)
        elif appeal and deny.code == "denied":
            page = appeal_page(action=appeal, state="", reason="", text="", most=LONGEST, **shown)
    if page is None:
        return replace(deny, more=more)
    fields, body = page
    return Answer(deny.status, [*fields, (b"x-guardrail-decision", deny.id.encode())], body)


def _way(exchange: Exchange, deny: Deny) -> tuple[Rung, Asking] | None:
    """What the caller could have verified: what its rung asks for; where a limit is for the unverified, the lowest rung's.

    Who is in a suspect cluster and is refused by its limit never gets as far as the ladder.
    """
    engine, judgement = exchange.engine, exchange.judgement
    if deny.refusal is not None and deny.refusal.limit in engine.freeing:
        return engine.judge.way
    rung = judgement.step.rung if judgement is not None and deny.code == "verification_required" else None
    asks = engine.judge.asks(rung) if rung is not None else None
    return (rung, asks) if rung is not None and asks is not None else None


def _consent(
    exchange: Exchange, cases: Cases, asks: Asking, more: Mapping[str, Any], shown: Mapping[str, Any]
) -> tuple[list[tuple[bytes, bytes]], bytes]:
    subject, settings = exchange.subject, cases.settings.providers[asks.provider]
    assert subject is not None  # noqa: S101 - it is asked
    return consent_page(
        action=more["verification_url"],
        provider=settings.name or asks.provider,
        level=asks.level,
        organisation=cases.whose(exchange, asks) != subject.candidate,
        until=more["expires_at"],
        appeal=more.get("appeal_url", ""),
        onward=cases.onward(asks.provider),
        by=checked_by(settings.use),
        **shown,
    )
