"""What a policy counts, suspects and does about it, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from guardrail_mw.policy import verifying
from guardrail_mw.policy.words import conditions, either, period
from guardrail_mw.risk.automation import AutomationSettings
from guardrail_mw.risk.velocity import VelocitySettings as Ramps

if TYPE_CHECKING:
    from guardrail_mw.clusters.settings import ClustersSettings
    from guardrail_mw.friction.rungs import RungSettings
    from guardrail_mw.friction.settings import FrictionSettings
    from guardrail_mw.limits.velocity import VelocitySettings
    from guardrail_mw.policy.document import Policy
    from guardrail_mw.risk.settings import RiskSettings, ScorerSettings

__all__ = ["describe"]

_COUNTED: Final = {
    "attempts": "requests",
    "admitted": "requests that the limits admitted",
    "denied": "requests that the limits refused",
}


def describe(policy: Policy) -> Iterator[str]:
    """Its velocity rules, its scorers, its ladder, who verifies people for it, and its clusters; nothing where it has none."""
    if policy.velocity:
        yield from ("", "Velocity")
        for rule in policy.velocity:
            yield f"  {rule.name}: {_rule(rule)}"
    if policy.risk.scorers:
        yield from ("", "Risk, from 0 to 100")
        yield from _risk(policy.risk)
    if policy.friction.ladder:
        yield from ("", "Friction")
        yield from _friction(policy.friction)
    yield from verifying.describe(policy)
    if policy.clusters is not None:
        yield from ("", "Clusters")
        yield from _clusters(policy.clusters)


def _rule(rule: VelocitySettings) -> str:
    whose = f"each {rule.per[0]}" if rule.per else "everyone together"
    if rule.per[1:]:
        whose += f", apart for each {' and '.join(rule.per[1:])}"
    what = _COUNTED[rule.count] if rule.count is not None else f"different {rule.distinct}s"
    about = "about how many" if rule.approximate else "how many"
    text = f"{about} {what} of {whose} there were in any {period(rule.over.us)}"
    if rule.distinct is not None and not rule.approximate:
        text += ", exactly up to 64"
    if rule.when is not None:
        text += f", if {' and '.join(conditions(rule.when))}"
    return text + "."


def _risk(risk: RiskSettings) -> Iterator[str]:
    for scorer in risk.scorers:
        named = f" ({scorer.use})" if scorer.label != scorer.use else ""
        weight = f", counted {scorer.weight:g} times" if scorer.weight != 1 else ""
        yield f"  {scorer.label}{named}{weight}{'; recorded only' if scorer.shadow else ''}."
        yield from _scores(scorer)
    weights = risk.weighing()
    if weights:
        listed = ", ".join(f"{family} {weight:g}" for family, weight in sorted(weights.items()))
        yield f"  Families of evidence that count less than whole: {listed}."
    yield "  Of each family the strongest finding counts; families add up as independent evidence does."


def _scores(scorer: ScorerSettings) -> Iterator[str]:
    """From what on it says how much; of a plugin's own settings, which may hold secrets, nothing."""
    settings = scorer.with_
    if isinstance(settings, Ramps):
        for rule, ramp in settings.root.items():
            yield f"    {rule}: 0 up to {ramp.from_}, 100 from {ramp.full}, and evenly between them."
    elif isinstance(settings, AutomationSettings):
        signs = [(name, value) for name, value in settings if not isinstance(value, bool) and value]
        yield f"    {', '.join(f'{name} {value}' for name, value in signs) or 'nothing'}."


def _friction(friction: FrictionSettings) -> Iterator[str]:
    for rung in friction.ladder:
        yield f"  {rung.label}: from a risk of about {rung.at}, {_rung(rung, friction)}"
    yield f"  A rung is left {friction.hysteresis} points below where it begins; a remembered risk halves in {friction.decay}."
    for when in friction.allow:
        yield f"  Nothing is done to whom: {' and '.join(conditions(when))}."
    for cap in friction.caps:
        worst = "nothing" if cap.most == "allow" else f"at most {cap.most}"
        yield f"  {worst[0].upper()}{worst[1:]} is done if {' and '.join(conditions(cap.when))}."


def _rung(rung: RungSettings, friction: FrictionSettings) -> str:
    text = _does(rung)
    if rung.do in {"verify", "deny"}:
        text += ", on evidence of two families"
    if rung.otherwise is not None:
        text += f" (whoever cannot: {rung.otherwise})"
    share = rung.rollout or friction.rollout
    if str(share) != "100%":
        text += f", for {share} of accounts"
    if rung.up is not None:
        text += f"; after {rung.up} requests that it met, the next rung"
    budget = rung.false_positives or friction.false_positives
    if budget is not None:
        text += f"; newly for at most {budget} established accounts"
    return f"{text}.{' Recorded only.' if rung.shadow else ''}"


def _does(rung: RungSettings) -> str:
    match rung.do:
        case "delay":
            return f"requests wait {rung.with_.seconds:g} s"
        case "trim":
            actions = rung.with_.actions()
            taken = [name for name, (refused, _) in actions.items() if not refused]
            refused = [name for name, (is_refused, _) in actions.items() if is_refused]
            said = [f"{', '.join(taken)} are taken out of requests"] if taken else []
            said += [f"requests with {either(refused)} are refused"] if refused else []
            return " and ".join(said)
        case "deny":
            return "requests are refused (403)"
        case "verify" if (asks := verifying.asks(rung)) is not None:
            return verifying.asked(asks)
        case _:
            return f"{rung.do} by {rung.with_.use}"


def _clusters(clusters: ClustersSettings) -> Iterator[str]:
    where = "one of the serving processes" if clusters.rebuild == "here" else "guardrail-mw worker alone"
    yield f"  Accounts that act as one operator are worked out every {clusters.every}, by {where}."
    what = "are evidence, as keyed digests" if clusters.content else "are not looked at"
    yield f"  System prompts, and what an account writes again and again, {what}."
    what = "is evidence that anybody can send" if clusters.hours else "is not looked at"
    yield f"  Working at the same hours of the day, at the same pace, {what}."
    for name, kind in clusters.kinds.items():
        worth = "costs money or identity to share" if kind.bound else "anybody can send"
        yield f"  {name}: a kind of evidence of its own, which {worth}; it counts as {kind.family}."
    old, floor, approval = clusters.established, clusters.floor, clusters.approval
    yield f"  Evidence counts for {clusters.lookback} after it was last seen; none draws in who is {old} old and had it before."
    yield f"  A verdict takes {floor.accounts} accounts and {floor.exchanges} exchanges; one beyond watched, 30 days of evidence."
    over, wait = approval.over, approval.wait
    yield f"  One that newly binds over {over} accounts only trims for {wait}, unless an operator has said by then."
