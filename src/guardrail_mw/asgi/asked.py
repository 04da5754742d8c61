"""Refusals that ask for more than patience: where a person is verified, and where whoever was refused may object."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from guardrail_mw.asgi.fields import rfc3339
from guardrail_mw.asgi.pages.verifying import appeal_page, consent_page
from guardrail_mw.asgi.respond import Answer
from guardrail_mw.asgi.visiting import reading
from guardrail_mw.engine.appeals import LONGEST
from guardrail_mw.engine.callers import browses
from guardrail_mw.engine.hints import hint

if TYPE_CHECKING:
    from guardrail_mw.asgi.types import Scope
    from guardrail_mw.engine import Exchange
    from guardrail_mw.values import Deny

__all__ = ["asked"]

_APPEALED: Final = frozenset({"denied", "verification_required"})
"""Codes of refusals that go by risk, and that nobody can do anything about by waiting."""


async def asked(exchange: Exchange, deny: Deny, scope: Scope) -> Deny | Answer:
    """A refusal with the links that belong to it; for browsers a page, where there is one."""
    engine, subject, tariff = exchange.engine, exchange.subject, exchange.tariff
    cases, appeals, judgement = engine.cases, engine.appeals, exchange.judgement
    rung = judgement.step.rung if judgement is not None else None
    if deny.code not in _APPEALED or cases is None or appeals is None or rung is None or subject is None or tariff is None:
        return deny
    if (
        not subject.candidate or tariff.payer != subject.candidate
    ):  # a network has no identity to verify, and nobody to answer
        return deny
    who = hint(exchange)
    more: dict[str, Any] = {}
    asks = engine.judge.asks(rung) if deny.code == "verification_required" else None
    if asks is not None:
        more["verification_url"], until = await cases.ask(exchange, rung, asks, who)
        more["expires_at"] = rfc3339(until)
    appeal = appeals.link(exchange, who)
    if appeal:
        more["appeal_url"] = appeal
    if (
        scope["type"] != "http"
        or not browses(exchange.facts.headers)
        or not more
        or (asks is None and deny.code != "denied")
    ):
        return replace(deny, more={**deny.more, **more})
    shown: dict[str, Any] = {"service": cases.settings.name, "who": who, "decision": deny.id}
    shown |= reading(engine, exchange.facts)
    if asks is not None:
        provider = cases.settings.providers[asks.provider].name or asks.provider
        fields, body = consent_page(
            action=more["verification_url"],
            provider=provider,
            level=asks.level,
            organisation=cases.whose(exchange, asks) != subject.candidate,
            until=more["expires_at"],
            appeal=appeal,
            onward=cases.onward(asks.provider),
            **shown,
        )
    else:
        fields, body = appeal_page(action=appeal, state="", reason="", text="", most=LONGEST, **shown)
    return Answer(deny.status, [*fields, (b"x-guardrail-decision", deny.id.encode())], body)
