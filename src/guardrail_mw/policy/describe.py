"""A policy in plain sentences: what it does to each route, and what each limit means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, get_args

from guardrail_mw.limits.settings import LimitSettings
from guardrail_mw.policy import identifying, judging
from guardrail_mw.policy.document import Policy, RouteSettings, StoreSettings, url_trouble
from guardrail_mw.policy.words import conditions, either, period
from guardrail_mw.settings import MICRO
from guardrail_mw.values import Mode

__all__ = ["describe", "place", "sentence"]

_MODES: Final = {
    "shadow": "shadow: what would be refused is recorded, and every request passes",
    "enforce": "enforce: what the limits refuse is refused",
    "off": "off: every request passes untouched and nothing is counted",
}
_STORES: Final = {
    "memory": "in this process's memory",
    "redis": "in Redis",
    "rediss": "in Redis over TLS",
    "unix": "in Redis on a Unix socket",
    "redis+sentinel": "in Redis found through Sentinel",
    "redis+cluster": "in a Redis Cluster",
}
_NOUNS: Final = {"input_tokens": "input tokens", "output_tokens": "output tokens"}


def describe(policy: Policy, environ: Mapping[str, str] | None = None) -> str:
    """What a policy does, for people: its mode and store, its limits, then each route in the order they are tried.

    Args:
        policy: any.
        environ: where `GUARDRAIL_MODE` and `GUARDRAIL_STORE` stand above what the policy says; nothing does unless given.
    """
    environ = environ or {}
    mode = next((mode for mode in get_args(Mode) if mode == environ.get("GUARDRAIL_MODE", "").strip()), policy.mode)
    acts, _, means = _MODES[mode].partition(":")
    lines = [f"Mode {acts}{'' if mode == policy.mode else ', from GUARDRAIL_MODE'}:{means}.", f"Policy {policy.hash}."]
    lines += _store(policy.store, environ.get("GUARDRAIL_STORE", "").strip())
    if policy.console is not None:
        lines.append(f"The operator's port is {policy.console.address.url}.")
    lines += identifying.describe(policy)
    lines += ["", "Limits"]
    lines += [f"  {limit.name}: {sentence(limit)}" for limit in policy.limits] or ["  none: nothing is refused."]
    lines += judging.describe(policy)
    lines += ["", "Routes, the first that matches wins"]
    for route in (*policy.routes, None):
        lines += _route(policy, route, mode)
    return "\n".join(lines) + "\n"


def place(url: str) -> str:
    """A store's URL without whoever logs in there, and without its options: either may hold a password."""
    scheme, _, rest = url.partition("://")
    before, _, options = rest.partition("?")
    return f"{scheme}://{'…' if '@' in options else before.rpartition('@')[2]}"


def _store(store: StoreSettings, instead: str) -> Iterator[str]:
    """Where counters are. `instead`: the URL in the environment, or empty; one that is none is not shown."""
    if instead and url_trouble(instead) is not None:
        yield "Counters are nowhere: GUARDRAIL_STORE is no URL of a store."
        return
    store = store.model_copy(update={"url": instead}) if instead else store
    where = _STORES.get(store.scheme, f"in the store {store.scheme}")
    named = [] if store.scheme == "memory" else [place(store.url)]
    named += ["from GUARDRAIL_STORE"] if instead else []
    where += f" ({', '.join(named)})" if named else ""
    share = f"1/{store.processes}" if store.processes > 1 else "the whole"
    failing = {
        "allow": "requests pass",
        "deny": "requests are answered 503",
        "local": f"each process decides alone, with {share} of every limit",
    }
    if store.scheme == "memory":
        also = " Processes do not share it: each allows the whole of every limit." if store.processes > 1 else ""
        yield f"Counters are {where}, for up to {store.max_subjects} subjects.{also}"
    else:
        yield f"Counters are {where}; when it does not answer within {store.deadline}, {failing[store.on_error]}."


def sentence(limit: LimitSettings) -> str:
    """One limit in words."""
    text = f"{_who(limit)} may {_figure(limit)}"
    if limit.when is not None:
        text += f", if {' and '.join(conditions(limit.when))}"
    text += "."
    if limit.replaces:
        text += f" It stands in for `{limit.replaces}`."
    if limit.keep is not None:
        text += f" Once only {limit.keep} is left, that is kept for the authenticated."
    if limit.strict:
        text += " All that a request allows is reserved."
    return f"{text} Recorded only." if limit.shadow else text


def _who(limit: LimitSettings) -> str:
    if not limit.per:
        return "everyone together"
    home, *rest = limit.per
    subject = "each cluster of accounts" if home == "cluster" else f"each {home}"
    return subject + (f", counted apart for each {' and '.join(rest)}," if rest else "")


def _figure(limit: LimitSettings) -> str:
    if limit.concurrency is not None:
        return f"have {limit.concurrency} request{'s' * (limit.concurrency != 1)} in flight at once"
    amount = _quantity(limit, limit.amount_units())
    if limit.budget is not None:
        return f"use {amount} in a calendar {limit.budget.calendar} (UTC)"
    if limit.window is not None:
        return f"use {amount} in any {period(limit.period)}"
    burst = _quantity(limit, limit.burst_units()).partition(" ")[0]
    return f"use {amount} per {period(limit.period)}, up to {burst} at once"


def _quantity(limit: LimitSettings, units: int) -> str:
    if limit.unit == "usd":
        return f"${units // MICRO}.{units % MICRO:06}".removesuffix("0000")
    noun = _NOUNS.get(limit.unit, limit.unit)
    return f"{units} {noun if units != 1 else noun.removesuffix('s')}"


def _route(policy: Policy, route: RouteSettings | None, mode: Mode) -> Iterator[str]:
    """What happens to what matches `route`, or (None) no route."""
    methods = f" ({', '.join(route.methods)})" if route is not None and route.methods else ""
    yield f"  {'everything else' if route is None else ', '.join(route.path)}{methods}"
    if route is not None and route.exempt:
        yield "    GET and HEAD pass unguarded; other methods:"
    limits = policy.limits_of(route)
    dialect = "problem" if route is None else route.dialect
    errors = "problem details (RFC 9457)" if dialect == "problem" else f"the way {dialect}'s clients expect"
    yield f"    Errors are written {'as ' if dialect == 'problem' else ''}{errors}; {_metering(route)}."
    proving = _proving(policy, route)
    if proving:
        yield f"    A 2xx to {proving} proves the key that came with it."
    yield f"    Limits: {', '.join(limit.name for limit in limits) or 'none'}."
    if mode == "enforce":
        yield from _refusals(limits, dialect)


def _proving(policy: Policy, route: RouteSettings | None) -> str:
    """The methods to which the app's 2xx proves a key; empty where none does."""
    if route is None or not identifying.trusts_app(policy):
        return ""
    if route.methods is None and (route.proves or (route.proves is None and route.metered)):
        return "any method"
    return either([each for each in route.methods or ("POST",) if route.is_proof(each)] or [""])


def _metering(route: RouteSettings | None) -> str:
    if route is None or not any(map(route.is_metered, route.methods or ("GET", "POST"))):
        return "answers are not read for tokens"
    text = "answers to every method are" if route.metered else "answers to POST are"
    return f"{text} read for tokens"


def _refusals(limits: list[LimitSettings], dialect: str) -> Iterator[str]:
    acting = [limit for limit in limits if not limit.shadow]
    timed = [limit.name for limit in acting if not limit.shared and limit.budget is None]
    spent = [limit.name for limit in acting if not limit.shared and limit.budget is not None]
    shed = [limit.name for limit in acting if limit.shared]
    if timed:
        yield f"    Beyond {either(timed)}: 429, with the time to wait."
    if spent:
        yield f"    Beyond {either(spent)}: 429, not to be retried."
    if shed:
        yield f"    Beyond {either(shed)}: {529 if dialect == 'anthropic' else 503}, the server sheds load."
