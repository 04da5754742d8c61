"""A decision in words: what was seen, how far it is from the limit or the threshold, and what would bring it down.

Pure: from the event that was recorded, and the policy where it is at hand. The command line and the console both print it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from guardrail_mw.engine import remedies
from guardrail_mw.engine.figures import ago, amount, clean, number, plural, span, utc

if TYPE_CHECKING:
    from guardrail_mw.policy import Policy

__all__ = ["WHY", "explain", "explain_account", "explain_limits", "summarise"]

WHY: Final[Mapping[str, str]] = {
    "allow-lane": "`friction.allow` holds for it: no rung acts, whatever the risk",
    "budget": "the rung's budget of established accounts is spent, so it met a lower one",
    "capped": "a cap of the policy keeps rungs stricter than it away from this caller",
    "cleared": "it has passed what the rung asks for",
    "delays-full": "it was to wait, and no more requests may wait at once: it was trimmed instead, where the caps let it",
    "hysteresis": "the risk is below the threshold again, but not yet by enough to leave the rung",
    "not-rolled-out": "the rung is not rolled out to this account yet",
    "one-family": "the evidence is of one family; deny and verify need two",
    "otherwise": "it cannot solve what the rung asks, and meets what stands in `otherwise`",
    "override": "an operator's override decides, not the risk",
    "shadow": "the rung, or a scorer that speaks against it, is in shadow: recorded only",
    "store": "the store could not say what was solved before, so nothing was asked",
    "unknown-override": "its override names a rung that the policy does not have; it is ignored",
    "up": "it went on although the rung held, and was led up to the next",
}
"""What the codes of an event's `why` mean."""
_DONE: Final = {
    "allow": "passed on",
    "delay": "delayed",
    "trim": "trimmed",
    "challenge": "challenged",
    "verify": "asked to verify",
    "deny": "refused",
}
_OUTCOMES: Final = {
    "answered": "answered",
    "refused": "refused by the app",
    "failed": "failed",
    "abandoned": "the client went away",
    "denied": "the app never saw it",
}


def explain(event: Mapping[str, Any], *, policy: Policy | None = None, rungs: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """One decision, a fact a line.

    Args:
        event: as recorded, valid (`telemetry.event.validate`).
        policy: the one that decided, where it is known: for weights, amounts and how fast risk fades.
        rungs: `{name, at}` of each rung for this account, as `Operator.show` has them.
    """
    if policy is not None and policy.hash != event["policy"]:
        policy = None
    return [clean(line) for line in _explained(event, policy, rungs)]


def _explained(event: Mapping[str, Any], policy: Policy | None, rungs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"Decision {event['id']}, {utc(event['at'])}, mode {event['mode']}, policy {event['policy']}"
    yield f"Request  {_request(event)}"
    yield f"Caller   {_caller(event)}"
    yield f"Answer   {_answer(event)}"
    if event["would"] is not None:
        yield f"Shadow   {_would(event['would'])}"
    if event["limits"]:
        yield "Limits"
        yield from (f"  {line}" for line in _limits(event, policy))
    if event["velocity"]:
        yield "Counted"
        for name, (count, more) in event["velocity"].items():
            yield f"  {name:<22} {count}{' or more' if more else ''}"
    yield from _risk(event, policy)
    yield from _rung(event, policy, rungs)
    yield from (f"         {code}: {WHY[code]}" for code in event["why"] if code in WHY)
    helps = list(remedies.remedies(event, policy))
    if helps:
        yield "What would bring it down"
        yield from (f"  {line}" for line in helps)
    if policy is None and (event["findings"] or event["limits"]):
        yield "(The policy that decided is not at hand: weights, amounts and decay are left out.)"


def _request(event: Mapping[str, Any]) -> str:
    route = event["route"] or "what matches no route"
    likely, used = event["estimate"], event["used"]
    parts = [f"{event['method'] or 'an unusual method'} on {route}, model {event['model']}"]
    if likely["input"] or likely["output"]:
        parts.append(f"likely {plural(likely['input'], 'token')} in, {likely['output']} out")
    if likely["items"] != 1:
        parts.append(f"counts as {likely['items']} requests")
    if used is not None:
        counted = "" if used["complete"] else " (deltas counted, no usage came)"
        whole = used["input"] + used["cached"] + used["cache_write"]
        parts.append(f"used {whole} in, {used['output']} out{counted}")
    return "; ".join([*parts, f"took {span(round(event['duration_ms'] * 1000))}"])


def _caller(event: Mapping[str, Any]) -> str:
    if not event["account"]:
        return "its credential was bad"
    if event["authenticated"]:
        traits = [event["account"], f"proved by {event['source']}"]
    elif event["candidate"]:
        traits = [f"a key nobody has proved ({event['candidate']}): its network {event['account']} pays"]
    else:
        traits = [f"no credential: its network {event['account']} pays"]
    traits += [f"{name} {event[name]}" for name in ("tier", "acr", "ial") if event[name]]
    if event["verified"]:
        traits.append("verified")
    if event["verdict"] != "none":
        traits.append(f"its cluster is {event['verdict']}")
    if event["device"]:
        traits.append(f"device {event['device']} ({event['device_kind'] or 'unknown'})")
    if event["network"] and event["network"] != event["account"]:
        traits.append(f"network {event['network']}")
    return ", ".join(traits)


def _answer(event: Mapping[str, Any]) -> str:
    done = _DONE[event["decision"]]
    if event["decision"] == "delay":
        done += f" by {span(event['delay_ms'] * 1000)}"
    if event["trimmed"]:
        done += f" of {', '.join(event['trimmed'])}"
    code = f" ({event['code']})" if event["code"] else ""
    outcome = _OUTCOMES[event["outcome"]]
    if event["outcome"] == "denied":
        return f"{done} with {event['status']}{code}; {outcome}" if event["status"] else f"{done}{code}; {outcome}"
    status = f" {event['status']}" if event["status"] else ", no answer began"
    return f"{done}{code}; {outcome}{status}"


def _would(would: Mapping[str, Any]) -> str:
    by = f" by limit {would['limit']}" if would["limit"] else f" by rung {would['rung']}" if would["rung"] else ""
    code = f" ({would['code']})" if would["code"] else ""
    return f"outside shadow it would have been {_DONE[would['decision']]}{by}{code}"


def _limits(event: Mapping[str, Any], policy: Policy | None) -> Iterator[str]:
    figures = {each.name: each.figure for each in policy.limits} if policy is not None else {}
    refusal = event["refusal"] or {}
    refused = {refusal.get("limit"), (event["would"] or {}).get("limit")}
    for limit in event["limits"]:
        unit, cost, left = limit["unit"], limit["cost"], limit["remaining"]
        of = f" of {figures[limit['name']]}" if limit["name"] in figures else ""
        if limit["ok"]:
            whole = f", as new in {span(limit['reset_ms'] * 1000)}" if limit["reset_ms"] else ""
            yield f"{limit['name']:<22} cost {amount(cost, unit)}{of}; {amount(left, unit)} left{whole}"
            continue
        short = f", {amount(cost - left, unit)} short" if cost > left else ""
        wait = f"; room in {span(refusal['wait_ms'] * 1000)}" if refusal.get("limit") == limit["name"] else ""
        mark = "recorded only, it is in shadow" if limit["shadow"] else "REFUSED" if limit["name"] in refused else "no room"
        yield f"{limit['name']:<22} {mark}: costs {amount(cost, unit)}{of}, {amount(left, unit)} left{short}{wait}"


def _risk(event: Mapping[str, Any], policy: Policy | None) -> Iterator[str]:
    if not event["findings"] and not event["risk"] and not event["effective"]:
        return
    memory = f", {number(event['effective'])} with what is remembered" if event["effective"] > event["risk"] else ""
    yield f"Risk     {number(event['risk'])} of 100 by itself{memory}"
    yield from (f"  {line}" for line in remedies.families(event, policy))
    for found in event["findings"]:
        shadow = " (in shadow: recorded only)" if found["shadow"] else ""
        yield f"    {found['reason']} {found['score']}, {found['family']}, by {found['scorer']}{shadow}: {_figures(found)}"


def _figures(found: Mapping[str, Any]) -> str:
    """What a finding was worked out from."""
    figures = found["figures"]
    ramp = remedies.ramp(found)
    if ramp is not None:
        more = " or more" if ramp.floor else ""
        begins = f"suspicion begins above {ramp.start} and is whole at {ramp.full}"
        return f"{ramp.counted}{more} counted within {span(ramp.window)}; {begins}"
    return ", ".join(f"{name} {value}" for name, value in figures.items()) or "no figures"


def _rung(event: Mapping[str, Any], policy: Policy | None, rungs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    effective = event["effective"]
    if event["rung"] is not None and event["rung_at"] is not None:
        above = effective - event["rung_at"]
        side = "above" if above >= 0 else "below"
        place = f"begins at {number(event['rung_at'])} for this account: {number(abs(above))} {side} it"
        yield f"Rung     {event['rung']}, which {place}"
    elif event["rung"] is not None:
        yield f"Rung     {event['rung']}"
    elif event["findings"] or effective:
        yield from _next(effective, policy, rungs)


def _next(effective: float, policy: Policy | None, rungs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """How far the lowest rung is that was not reached."""
    higher = next((rung for rung in rungs if rung["at"] > effective), None)
    if higher is not None:
        far = number(higher["at"] - effective)
        yield f"Rung     none; {far} below {higher['name']}, which begins at {number(higher['at'])} for this account"
    elif policy is not None and policy.friction.ladder:
        first = policy.friction.ladder[0]
        low, high = remedies.spread(first.at)
        yield f"Rung     none; {first.label} begins between {number(low)} and {number(high)}, which depends on the account"


# Accounts


def explain_account(shown: Mapping[str, Any], limits: Iterable[Mapping[str, Any]] | None = None) -> list[str]:
    """How an account stands: from what `Operator.show` and `Operator.limits` say."""
    return [clean(line) for line in _account(shown, limits)]


def _account(shown: Mapping[str, Any], limits: Iterable[Mapping[str, Any]] | None) -> Iterator[str]:
    now = shown["now"]
    yield f"Account  {shown['account']}, {utc(now)}"
    yield f"Standing {_standing(shown)}"
    yield f"Risk     {number(shown['risk'])} of 100 remembered"
    on = shown["rung"]
    if on is not None:
        met = f", and has met {plural(on['met'], 'request')}" if on["met"] else ""
        yield f"Rung     {on['name']}, {ago(on['since'], now)}{met}"
    for rung in shown["rungs"]:
        far = rung["at"] - shown["risk"]
        side = f"{number(far)} away" if far > 0 else f"{number(abs(far))} below what is remembered"
        yield f"  {rung['name']:<22} begins at {number(rung['at'])}, {side}{', in shadow' if rung['shadow'] else ''}"
    yield from _passed(shown)
    ruled = shown["override"]
    if ruled is not None:
        yield f"Override {ruled['what']} {_until(ruled['until'])}: {ruled['why']}"
    if shown["tier"]:
        why = f": {shown['tier_why']}" if shown["tier_why"] else ""
        yield f"Tier     {shown['tier']} {_until(shown['tier_until'])}{why}"
    for label in shown["labels"]:
        yield f"Label    {label['label']} {_until(label['until'])}: {label['why']}"
    if limits is not None:
        yield "Limits"
        yield from (f"  {line}" for line in explain_limits(limits))
    for done in shown["done"]:
        yield f"Done     {utc(done['at'])}: {done['verb']} {done['what']}: {done['why']}"
    if shown["decisions"]:
        yield f"Latest decisions, of the last {len(shown['decisions'])} that this process knows"
        yield from (f"  {_brief(event)}" for event in shown["decisions"])


def _passed(shown: Mapping[str, Any]) -> Iterator[str]:
    for passed in shown["cleared"]:
        what = passed["rung"] or f"what the policy does not ask for now ({passed['code']})"
        yield f"Passed   {what}, until {utc(passed['until'])}"
    for case in shown.get("verifications", ()):
        ends = f" {_until(case['until'])}" if case["until"] else ""
        but = "" if case["counts"] else "; it does not count: the policy names no such provider, or level"
        yield f"Case     {case['case']}: {case['provider']} {case['state']}{ends}, {utc(case['at'])}{but}"


def _standing(shown: Mapping[str, Any]) -> str:
    if not shown["known"]:
        return "nothing is remembered of it"
    since = f"known {ago(shown['since'], shown['now'])}" if shown["since"] else "known"
    parts = [since, *(["proved by the app"] if shown["proved"] else []), *(["verified"] if shown["verified"] else [])]
    parts += [f"{name} {shown[name]}" for name in ("acr", "ial", "cluster") if shown[name]]
    return ", ".join([*parts, f"verdict {shown['verdict']}"])


def _until(until: int | None) -> str:
    return "for good" if until is None else f"until {utc(until)}"


def explain_limits(limits: Iterable[Mapping[str, Any]]) -> list[str]:
    """Each limit of an account, a line."""
    return [clean(_limit(each)) for each in limits] or ["none hold"]


def _limit(limit: Mapping[str, Any]) -> str:
    name = f"{limit['name']} ({limit['model']})" if limit["model"] else limit["name"]
    shadow = ", in shadow" if limit["shadow"] else ""
    if limit["remaining"] is None:
        per = " and ".join(limit["per"])
        return f"{name:<22} {limit['amount']} per {per}: which that is, a request must tell{shadow}"
    left = f"{amount(limit['remaining'], limit['unit'])} left of {limit['amount']}"
    wait = "" if limit["ok"] else f"; room in {span(limit['wait_ms'] * 1000)}"
    whole = f"; as new in {span(limit['reset_ms'] * 1000)}" if limit["reset_ms"] else ""
    return f"{name:<22} {left}{wait}{whole}{shadow}"


def _brief(event: Mapping[str, Any]) -> str:
    by = event["refusal"]["limit"] if event["refusal"] else event["rung"] or event["code"]
    what = f"{event['decision']}{f' ({by})' if by else ''}"
    return f"{event['id']}  {utc(event['at'])}  {what}, {event['status'] or 'no answer'}, risk {number(event['effective'])}"


def summarise(account: str, events: Sequence[Mapping[str, Any]]) -> list[str]:
    """What became of an account's requests, from its events, the newest first."""
    counts: dict[str, int] = {}
    for event in events:
        counts[event["decision"]] = counts.get(event["decision"], 0) + 1
    some = ", ".join(f"{count} {decision}" for decision, count in sorted(counts.items(), key=lambda each: -each[1]))
    span_ = f"{utc(events[-1]['at'])} to {utc(events[0]['at'])}"
    lines = [f"Account  {account}: {plural(len(events), 'decision')}, {span_}", f"         {some}"]
    return [clean(line) for line in [*lines, *(f"  {_brief(event)}" for event in events[:20])]]
