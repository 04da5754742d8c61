"""How an account stands, looked at without charging anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from guardrail_mw.clusters.binding import counted
from guardrail_mw.conditions import OTHER
from guardrail_mw.engine.accounts import MisuseError, told_tier
from guardrail_mw.engine.identifiers import identifiers
from guardrail_mw.engine.standings import seen
from guardrail_mw.friction import memory
from guardrail_mw.limits.cluster_budget import NAME
from guardrail_mw.limits.tariff import Slot, Tariff
from guardrail_mw.stores.base import Bill, Entry, Reading, Step
from guardrail_mw.values import Estimate, Facts, Standing, Subject

if TYPE_CHECKING:
    from guardrail_mw.engine.core import Engine
    from guardrail_mw.engine.exchange import Exchange
    from guardrail_mw.engine.routes import Route
    from guardrail_mw.stores.base import Store

__all__ = ["Held", "Peeked", "look"]

_TOLD = frozenset({"network", "organisation", "device"})
"""Dimensions whose home only a request tells."""


class Held(NamedTuple):
    """A limit that would hold for an account's next request, as it stands."""

    name: str
    unit: str
    kind: str
    amount: str
    """As the policy writes it: `120/minute`."""
    per: tuple[str, ...]
    model: str | None
    """The model that it is counted for; None where it does not matter."""
    remaining: int | None
    """In its unit; None where it is counted for something that is not known here."""
    reset: int
    """µs until it is as new."""
    wait: int
    """µs until one unit more is admitted."""
    ok: bool
    """Whether one unit more is."""
    shadow: bool
    whose: str
    """The home that it is counted in; empty where that is not known."""

    def told(self) -> dict[str, Any]:
        """For JSON."""
        said = self._asdict()
        reset, wait = said.pop("reset"), said.pop("wait")
        return {**said, "per": list(self.per), "reset_ms": -(-reset // 1000), "wait_ms": -(-wait // 1000)}


class Peeked(NamedTuple):
    """How an account stands. Nothing was charged."""

    account: str
    now: int
    """The store's µs."""
    standing: Standing
    limits: tuple[Held, ...]
    """Those that would hold for its next request on the route that was asked about, in the policy's order; then its cluster's."""
    risk: float
    """What is left of the risk that is remembered, 0 to 100."""
    rung: str
    """The rung that it is on; empty for none."""
    homes: Mapping[str, str | None]
    """Where its usage is counted, by dimension; None where only a request would tell."""

    def home(self, dimension: str) -> str | None:
        """The home of one of a policy's dimensions."""
        return self.homes.get(dimension, self.account) if dimension else "e"


async def look(
    engine: Engine, store: Store, account: str, event: Mapping[str, Any] | None, route: str, know: Callable[[Standing], None]
) -> Peeked:
    """Ask the store how an account stands; two round trips, and one for each model where limits tell models apart.

    Args:
        engine: its policy says what holds.
        store: is asked, and charges nothing.
        account: a home, `a:…` or `n:…`.
        event: its latest decision, which tells what a request would: network, organisation, tier.
        route: a path or a route's name; empty for the first that is metered.
        know: is told the standing before limits are planned.

    Raises:
        MisuseError: there is no such route.
    """
    chosen = _route(engine, route)
    candidate = account if account.startswith("a:") else ""
    receipt = await seen(store, account, candidate)
    standing = receipt.standing or Standing()
    know(standing)
    subject = _subject(account, event, standing.fields)
    limits: dict[tuple[str, str | None], Held] = {}
    for model in [*engine.policy.models, OTHER]:
        exchange = engine.begin(chosen, Facts("POST", route, []))
        exchange.model = model
        tariff = engine.plan(exchange, subject)
        for held in await _limits(store, exchange, tariff, known=event is not None):
            limits.setdefault((held.name, held.model), held)
        if not any("model" in (slot.limit.home, *slot.limit.dimensions) for slot in tariff.slots):
            break
    order = {limit.name: place for place, limit in enumerate(engine.planner.limits)} | {NAME: len(engine.planner.limits)}
    fields = standing.fields
    return Peeked(
        account,
        receipt.now,
        standing,
        tuple(sorted(limits.values(), key=lambda held: order[held.name])),
        engine.judge.ladder.remembered(fields, receipt.now),
        memory.rung(fields).name,
        _homes(account, fields, event, receipt.now),
    )


def _subject(account: str, event: Mapping[str, Any] | None, fields: Mapping[str, str]) -> Subject:
    """Whom the next request would be attributed to, as far as it is known."""
    told = event or {}
    is_account = account.startswith("a:")
    return Subject(
        account=account,
        candidate=account if is_account else "",
        network=account if not is_account else told.get("network", ""),
        authenticated=is_account and told.get("authenticated", True),
        verified=told.get("verified", False),
        organisation=told.get("organisation", ""),
        tier=told_tier(fields, told.get("tier", "")),
        acr=told.get("acr", ""),
        ial=told.get("ial", ""),
        source=told.get("source", "anonymous"),
        device=told.get("device", ""),
    )


def _homes(account: str, fields: Mapping[str, str], event: Mapping[str, Any] | None, now: int) -> dict[str, str | None]:
    known: dict[str, str | None] = {"account": account, "cluster": counted(fields, now).home or account}
    for dimension in _TOLD:
        known[dimension] = None if event is None else event.get(dimension) or account
    if account.startswith("n:"):
        known["network"] = account
    return known


def _route(engine: Engine, wanted: str) -> Route:
    """The route of a path or name; else the first that is metered, else the first that is not exempt."""
    router, routes = engine.router, engine.policy.routes
    for each in routes:
        if wanted and wanted == each.label:
            return router.find(_example(each.path[0]), (each.methods or ["POST"])[0])
    if wanted.startswith("/"):
        return router.find(wanted, "POST")
    if wanted:
        raise MisuseError("route", f"is none of the policy's: {', '.join(each.label for each in routes) or 'it has none'}.")
    found = [router.find(_example(each.path[0]), (each.methods or ["POST"])[0]) for each in routes if not each.exempt]
    return next((each for each in found if each.metered), found[0] if found else router.find("/", "POST"))


def _example(glob: str) -> str:
    """A path that a route's glob matches."""
    return glob.replace("**", "x").replace("*", "x")


async def _limits(store: Store, exchange: Exchange, tariff: Tariff, *, known: bool) -> list[Held]:
    subject = exchange.subject
    assert subject is not None  # noqa: S101 - planned before
    entries = tariff.entries(Estimate(), lambda _limit, _estimate: 1)
    steps = [(entry, step) for entry in entries for step in entry.steps]
    lines = [(slot, *steps[place]) for slot, place in zip(tariff.slots, tariff.shape.places, strict=True) if not slot.share]
    certain = [line for line in lines if known or not _untold(line[0], subject)]
    readings = await _read(store, subject, tariff, [(entry, step) for _, entry, step in certain])
    found = {slot.limit.name: (reading, entry.home) for (slot, entry, _), reading in zip(certain, readings, strict=True)}
    return [_held(slot, exchange.model, *found.get(slot.limit.name, (None, ""))) for slot, _, _ in lines]


def _untold(slot: Slot, subject: Subject) -> bool:
    """Whether only a request would tell what the limit is counted for."""
    told = {"network"} if subject.account == subject.network else set()
    return bool((_TOLD - told) & {slot.limit.home, *slot.limit.dimensions})


async def _read(store: Store, subject: Subject, tariff: Tariff, lines: Sequence[tuple[Entry, Step]]) -> tuple[Reading, ...]:
    """How steps stand, in their order: a tariff has those of one home together."""
    if not lines:
        return ()
    homes: dict[str, tuple[Entry, list[Step]]] = {}
    for entry, step in lines:
        homes.setdefault(entry.home, (entry, []))[1].append(step)
    entries = tuple([Entry(home, tuple(steps), entry.parent) for home, (entry, steps) in homes.items()])
    return (await store.peek(Bill(identifiers(), entries, tariff.payer, subject.candidate))).readings


def _held(slot: Slot, model: str, reading: Reading | None, home: str) -> Held:
    limit = slot.limit
    per = tuple(each for each in (limit.home, *limit.dimensions) if each)
    return Held(
        limit.name,
        limit.unit,
        limit.kind,
        limit.figure,
        per,
        model if "model" in per else None,
        None if reading is None else reading.remaining,
        0 if reading is None else reading.reset,
        0 if reading is None else reading.wait,
        reading is None or reading.ok,
        limit.shadow,
        home,
    )
