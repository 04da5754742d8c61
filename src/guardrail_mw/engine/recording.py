"""What is recorded of a decision: one event, of digests, names and figures. See `telemetry.event` for what each means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardrail_mw.friction.budget import established
from guardrail_mw.telemetry.event import VERSION
from guardrail_mw.values import Challenge, Delay, Deny, Trim, Verify

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrail_mw.engine.exchange import Exchange
    from guardrail_mw.values import Decision, Usage

__all__ = ["kind", "record", "subject_of", "used_of"]

_NOBODY: dict[str, Any] = {
    **dict.fromkeys(("account", "candidate", "network", "organisation", "cluster"), ""),
    **dict.fromkeys(("device", "device_kind", "tier", "acr", "ial"), ""),
    "authenticated": False,
    "verified": False,
    "source": "",
}
_UNJUDGED: dict[str, Any] = {
    "risk": 0.0, "effective": 0.0, "findings": [], "rung": None, "rung_at": None, "why": [], "changes": 0,
}  # fmt: skip
_KINDS: dict[type, str] = {Delay: "delay", Trim: "trim", Challenge: "challenge", Verify: "verify"}
_ASKED: Final = {"challenge_required": "challenge", "verification_required": "verify"}
"""Codes of refusals that ask for something."""


def kind(decision: Decision | None) -> str:
    """The decision in a word: `allow`, `delay`, `trim`, `challenge`, `verify` or `deny`."""
    if isinstance(decision, Deny):
        return _ASKED.get(decision.code, "deny")
    return _KINDS.get(type(decision), "allow")


def record(exchange: Exchange, outcome: str, *, status: int, usage: Usage | None, now: int, took: int) -> dict[str, Any]:
    """The event of an exchange that has ended.

    Args:
        exchange: decided, and settled where it was charged.
        outcome: `answered`, `refused`, `failed`, `abandoned`, or `denied` where it never reached the app.
        status: of the answer; 0 where there was none.
        usage: what the answer used, where it was metered.
        now: µs since the epoch, where the store did not say.
        took: µs from its beginning to its end.
    """
    receipt, decision, fields = exchange.receipt, exchange.decision, exchange.standing.fields
    at = receipt.now if receipt is not None else now
    estimate = exchange.estimate
    return {
        "v": VERSION,
        "id": exchange.id,
        "at": at,
        "policy": exchange.engine.policy.hash,
        "identity": exchange.engine.policy.identity_hash,
        "mode": exchange.engine.mode,
        "route": exchange.route.label,
        "method": exchange.route.method,
        "dialect": exchange.dialect,
        "model": exchange.model,
        **subject_of(exchange, fields),
        "established": established(fields, at),
        "decision": kind(decision),
        "code": decision.code if isinstance(decision, Deny) else "",
        "status": status,
        "outcome": outcome,
        "would": _would(exchange),
        **_charged(exchange),
        "refusal": _refusal(decision),
        **_judged(exchange),
        "verdict": fields.get("verdict", "none"),
        "delay_ms": round(exchange.delayed * 1000),
        "trimmed": list(exchange.trimmed),
        "estimate": {"input": estimate.input, "output": estimate.output, "items": estimate.items},
        "used": None if usage is None else used_of(usage),
        "duration_ms": took / 1000,
    }


def subject_of(exchange: Exchange, fields: Mapping[str, str]) -> dict[str, Any]:
    """Whose it was: what subject and standing say. `fields` are the standing's."""
    subject = exchange.subject
    if subject is None:  # its credential was bad
        return _NOBODY
    planned = exchange.tariff is not None
    return {
        "account": exchange.tariff.payer if exchange.tariff is not None else subject.account,
        "candidate": subject.candidate,
        "network": subject.network,
        "organisation": subject.organisation,
        "cluster": fields.get("cluster", ""),
        "device": subject.device,
        "device_kind": subject.device_kind,
        "tier": exchange.traits.tier,
        "acr": exchange.traits.acr if planned else subject.acr,
        "ial": exchange.traits.ial if planned else subject.ial,
        "authenticated": exchange.authenticated,
        "verified": exchange.traits.verified if planned else subject.verified,
        "source": subject.source,
    }


def used_of(usage: Usage) -> dict[str, Any]:
    """What an answer used."""
    return {
        "input": usage.input,
        "cached": usage.cached,
        "cache_write": usage.cache_write,
        "output": usage.output,
        "complete": usage.complete,
    }


def _would(exchange: Exchange) -> dict[str, Any] | None:
    """What shadow kept from happening: all of it, or a rung's alone."""
    would = exchange.would
    step = exchange.judgement.step if exchange.judgement is not None else None
    rung = None if step is None else step.would or (None if would is None else step.rung)
    if would is None and rung is None:
        return None
    refusal = would.refusal if isinstance(would, Deny) else None
    return {
        "decision": kind(would) if would is not None else rung.do if rung is not None else "allow",
        "code": would.code if isinstance(would, Deny) else "",
        "limit": refusal.limit if refusal is not None else "",
        "rung": rung.name if rung is not None else "",
    }


def _refusal(decision: Decision | None) -> dict[str, Any] | None:
    refused = decision.refusal if isinstance(decision, Deny) else None
    if refused is None:
        return None
    return {"limit": refused.limit, "kind": refused.kind, "unit": refused.unit, "wait_ms": refused.wait // 1000}


def _charged(exchange: Exchange) -> dict[str, Any]:
    receipt, tariff = exchange.receipt, exchange.tariff
    if receipt is None or tariff is None or not receipt.readings:
        return {"limits": [], "velocity": {}}
    shape, readings = tariff.shape, receipt.readings
    steps = [step for entry in receipt.bill.entries for step in entry.steps]
    limits = []
    for slot, place in zip(shape.slots, shape.places, strict=True):
        if slot.share:
            continue
        limit, reading = slot.limit, readings[place]
        limits.append(
            {
                "name": limit.name,
                "unit": limit.unit,
                "cost": getattr(steps[place], "cost", 1),
                "remaining": reading.remaining,
                "reset_ms": reading.reset // 1000,
                "ok": reading.ok,
                "shadow": limit.shadow,
            }
        )
    velocity = {watch.name: [readings[place].remaining, not readings[place].ok] for watch, place in shape.watches}
    return {"limits": limits, "velocity": velocity}


def _judged(exchange: Exchange) -> dict[str, Any]:
    judgement = exchange.judgement
    if judgement is None:
        return _UNJUDGED
    scored, step = judgement.scored, judgement.step
    return {
        "risk": scored.risk.score,
        "effective": round(step.effective, 2),
        "findings": [
            {
                "scorer": each.scorer,
                "family": each.finding.family,
                "score": each.finding.score,
                "reason": each.finding.reason,
                "figures": dict(each.finding.figures),
                "shadow": each.shadow,
            }
            for each in scored.findings
        ],
        "rung": step.rung.name if step.rung is not None else None,
        "rung_at": None if step.at is None else round(step.at, 2),
        "why": list(step.why),
        "changes": len(step.changes),
    }
