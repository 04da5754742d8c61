"""What would bring a risk down, or make room: worked out from one event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, log2
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guardrail_mw.clusters.binding import BINDS
from guardrail_mw.engine.figures import number, span
from guardrail_mw.friction.rung import margin
from guardrail_mw.risk.base import Finding
from guardrail_mw.risk.combination import Risk, Weighed, combine
from guardrail_mw.risk.combination import explain as explain_risk

if TYPE_CHECKING:
    from guardrail_mw.policy import Policy

__all__ = ["Ramp", "families", "ramp", "remedies", "spread"]

_NEAR: Final = 0.02
"""Points by which a risk worked out without weights may differ from the one recorded, and still be it."""
_SECOND: Final = 1_000_000
_ASKS: Final[Mapping[str, str]] = {
    "challenge": "To solve what it was asked: then the rung below holds, for as long as this one's `immunity` says.",
    "verify": "To be verified, as it was told how: it passes until that runs out. `guardrail-mw cases list` has what was begun.",
}
"""What whoever is asked for something can do himself."""


class Ramp(NamedTuple):
    """How a velocity finding came about."""

    counted: int
    floor: bool
    start: int
    full: int
    window: int
    """µs."""


def ramp(found: Mapping[str, Any]) -> Ramp | None:
    """A finding's ramp, if its figures are those of one."""
    figures = found["figures"]
    if not {"count", "from", "full", "window_s"} <= figures.keys():
        return None
    try:
        window = round(float(figures["window_s"]) * _SECOND)
        return Ramp(int(figures["count"]), bool(figures.get("floor")), int(figures["from"]), int(figures["full"]), window)
    except (ValueError, OverflowError):
        return None


def spread(at: int) -> tuple[float, float]:
    """Between which figures a rung's threshold lies, over all accounts."""
    return at - margin(at), at + margin(at)


def families(event: Mapping[str, Any], policy: Policy | None) -> list[str]:
    """A line for each family: what it adds to the risk. None where the weights are not known."""
    found, risk = _combined(event, policy)
    return explain_risk(risk, found) if risk is not None else []


def _weighed(event: Mapping[str, Any], policy: Policy | None) -> list[Weighed]:
    weights = {item.label: item.weight for item in policy.risk.scorers} if policy is not None else {}
    return [
        Weighed(
            each["scorer"],
            Finding(each["family"], each["score"], each["reason"], each["figures"]),
            weights.get(each["scorer"], 1.0),
            each["shadow"],
        )
        for each in event["findings"]
    ]


def _combined(event: Mapping[str, Any], policy: Policy | None) -> tuple[list[Weighed], Risk | None]:
    """The findings with their weights, and the risk they make; None where that is not the one recorded."""
    found = _weighed(event, policy)
    acting = [each for each in found if not each.shadow]
    risk = combine(acting, policy.risk.weighing() if policy is not None else {})
    return acting, risk if acting and abs(risk.score - event["risk"]) <= _NEAR else None


def remedies(event: Mapping[str, Any], policy: Policy | None) -> Iterator[str]:
    """Lines: time for a limit, calm for a memory, a smaller count for a finding, or an operator."""
    refusal = event["refusal"]
    if refusal is not None:
        wait = span(refusal["wait_ms"] * 1000)
        yield f"The limit {refusal['limit']}: the same request is admitted in {wait}, if nothing else comes."
        if _is_own(refusal["limit"], event, policy):
            yield f"Or: guardrail-mw accounts refill {_account(event)} --limit {refusal['limit']} --reason …"
    if (refusal is not None or event["rung"] is not None) and event["cluster"] and event["verdict"] in BINDS:
        yield f"Its cluster is {event['verdict']}: guardrail-mw clusters show {event['cluster']} says why, and what frees it."
    if event["rung"] is None or event["rung_at"] is None:
        return
    if event["decision"] in _ASKS:
        yield _ASKS[event["decision"]]
    leave = _leave(event["rung_at"], policy)
    yield from _smaller(event, policy, leave)
    yield from _calm(event, policy, leave)
    if _account(event).startswith("a:"):
        yield f"Or: guardrail-mw accounts override {_account(event)} allow --until 7d --reason …"


def _account(event: Mapping[str, Any]) -> str:
    return str(event["candidate"] or event["account"])


def _is_own(name: str, event: Mapping[str, Any], policy: Policy | None) -> bool:
    """Whether a limit is counted for the account itself, as far as the policy is at hand; no other can be refilled."""
    limits = policy.limits if policy is not None else []
    return _account(event).startswith("a:") and all([each.per[:1] == ["account"] for each in limits if each.name == name])


def _leave(at: float, policy: Policy | None) -> float:
    """The risk below which the rung is left."""
    hysteresis = policy.friction.hysteresis if policy is not None else 0
    return max(at - hysteresis, at / 2)


def _calm(event: Mapping[str, Any], policy: Policy | None, leave: float) -> Iterator[str]:
    effective = event["effective"]
    if policy is None or effective < leave or leave <= 1 or not event["authenticated"]:
        return
    decay = policy.friction.decay
    wait = ceil(decay.us * log2(effective / leave))
    yield f"Calm: what is remembered halves every {decay}; from {number(effective)} it is below {number(leave)} in {span(wait)}."


def _smaller(event: Mapping[str, Any], policy: Policy | None, leave: float) -> Iterator[str]:
    """For each count, how small it would have to be for the risk of such a request to be below the rung."""
    if event["risk"] < leave:
        return
    found, risk = _combined(event, policy)
    if risk is None:
        return
    weights: Mapping[Any, float] = policy.risk.weighing() if policy is not None else {}
    for each in found:
        steps = ramp({"figures": each.finding.figures})
        others = [other for other in found if other is not each]
        if steps is None or not each.finding.score:
            continue
        most = _most(each, steps, others, weights, leave)
        if most is not None:
            less = f"at most {most} within {span(steps.window)} instead of {steps.counted}"
            yield f"{each.finding.reason}: {less}, all else as it was."
        else:
            rest = combine(others, weights).score
            yield f"{each.finding.reason} alone does not do it: without it the risk would still be {number(rest)}."


def _most(each: Weighed, steps: Ramp, others: Sequence[Weighed], weights: Mapping[Any, float], leave: float) -> int | None:
    """The largest count with which the risk is below `leave`; None where there is none. The risk grows with the count."""

    def risk(count: int) -> float:
        score = min(max(0, count - steps.start) * 100 // max(1, steps.full - steps.start), 100)
        finding = each.finding._replace(score=score)
        return combine([*others, each._replace(finding=finding)], weights).score

    low, high = steps.start, steps.counted
    if risk(low) >= leave:
        return None
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if risk(middle) < leave else (low, middle)
    return low
