"""What became of one request, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from textwrap import indent
from typing import TYPE_CHECKING

from guardrail_mw.engine.exchange import NOTHING

if TYPE_CHECKING:
    from guardrail_mw.cli.request import Request
    from guardrail_mw.cli.watching import Seen
    from guardrail_mw.engine import Exchange
    from guardrail_mw.limits.limit import Limit
    from guardrail_mw.limits.tariff import Slot
    from guardrail_mw.stores.base import Reading, Step
    from guardrail_mw.values import Subject

__all__ = ["tell"]

_NAMES, _COSTS = 22, 16
"""Columns of the table of limits, at least."""
_SHOWN = (b"ratelimit", b"retry-after", b"x-ratelimit", b"anthropic-ratelimit", b"x-should-retry", b"www-authenticate")


def tell(seen: Seen, request: Request, mode: str, *, passing: bool) -> Iterator[str]:
    """Route, caller, cost, limits and answer; `passing` digests are this run's alone."""
    yield f"{request.method} {request.path}"
    exchange = seen.exchange
    if exchange is None:
        why = "the mode is off" if mode == "off" else "its route is exempt"
        yield f"Passes untouched: {why}."
        return
    route = exchange.route
    none = "none of the policy's; errors are problem details"
    yield f"Route    {f'{route.label}, in the {route.dialect} dialect' if route.label else none}"
    yield from _caller(exchange.subject, exchange, seen)
    if passing and exchange.subject is not None:
        yield "         (the digest is this run's: GUARDRAIL_ID_KEY is not set)"
    if exchange.estimate is not NOTHING:
        estimate = exchange.estimate
        same = f" (counts as {exchange.model})" if estimate.model != exchange.model else ""
        model = f"{estimate.model or 'none named'}{same}"
        yield f"Model    {model}; likely to use {estimate.input} tokens of input, {estimate.output} of output"
    if exchange.receipt is not None:
        yield "Limits"
        yield from _limits(exchange)
    yield from _answer(seen, mode)


def _caller(subject: Subject | None, exchange: Exchange, seen: Seen) -> Iterator[str]:
    if subject is None:
        yield f"Caller   its credential is refused{f': {seen.detail}' if seen.detail else ''}"
        return
    if exchange.authenticated:
        traits = (("tier", subject.tier), ("organisation", subject.organisation_name), ("acr", subject.acr))
        also = "".join(f", {name} {value}" for name, value in traits if value)
        yield f"Caller   account {subject.candidate}, proved by {subject.source}{also}"
    elif subject.candidate:
        text = f"a key that nobody has proved yet ({subject.source}): its network {subject.account} pays until the app accepts it"
        yield f"Caller   {text}"
    else:
        yield f"Caller   no credential: its network {subject.account} pays"
    if seen.detail:
        yield f"         What is bad: {seen.detail}"


def _limits(exchange: Exchange) -> Iterator[str]:
    assert exchange.tariff is not None  # noqa: S101 - charged
    assert exchange.receipt is not None  # noqa: S101 - charged
    then = "; then" if exchange.receipt.code == "admitted" else ";"
    steps = [step for entry in exchange.receipt.bill.entries for step in entry.steps]
    shape = exchange.tariff.shape
    rows = [
        (_name(slot), _cost(slot, steps[place]), _state(slot, exchange.receipt.readings[place], then))
        for slot, place in zip(shape.slots, shape.places, strict=True)
    ]
    wide = max([_NAMES, *(len(name) for name, _, _ in rows)])
    figures = max([_COSTS, *(len(cost) for _, cost, _ in rows)])
    for name, cost, state in rows:
        yield f"  {name:<{wide}} {cost:>{figures}}  {state}"
    if not exchange.tariff.slots:
        yield "  none hold"


def _name(slot: Slot) -> str:
    return f"share of {slot.limit.name}" if slot.share else slot.limit.name


def _cost(slot: Slot, step: Step) -> str:
    return "1 slot" if slot.limit.kind == "concurrency" else _amount(slot.limit, getattr(step, "cost", 1))


def _state(slot: Slot, reading: Reading, then: str) -> str:
    limit = slot.limit
    most = f"{limit.share}" if slot.share else limit.figure
    if reading.ok:
        return f"of {most}{then} {_amount(limit, reading.remaining, bare=True)} left"
    recorded = " (shadow: recorded only)" if limit.shadow else ""
    wait = f"; room in {reading.wait / 1_000_000:.3g} s" if reading.wait else ""
    return f"of {most}: REFUSES{recorded}, {_amount(limit, reading.remaining, bare=True)} left{wait}"


def _amount(limit: Limit, units: int, *, bare: bool = False) -> str:
    if limit.unit == "usd":
        return f"${Decimal(units).scaleb(-6):f}" if units else "$0"
    noun = limit.unit.replace("_", " ")
    return f"{units}" if bare else f"{units} {noun.removesuffix('s') if units == 1 else noun}"


def _answer(seen: Seen, mode: str) -> Iterator[str]:
    deny = seen.refusal
    if deny is None:
        yield f"Answer   the app's, {'with these fields' if mode == 'enforce' else 'without rate fields: the mode is shadow'}"
    elif seen.passed:
        yield f"Answer   the app's, because the mode is shadow; in enforce {deny.status}: {deny.message}"
    else:
        yield f"Answer   {seen.status}, with these fields"
    for name, value in seen.headers:
        if name.startswith(_SHOWN):
            yield f"  {name.decode()}: {value.decode('latin-1')}"
    if not seen.passed and seen.body:
        try:
            yield indent(json.dumps(json.loads(seen.body), indent=2), "  ")
        except ValueError:
            yield f"  a page for browsers, of {len(seen.body)} bytes"
