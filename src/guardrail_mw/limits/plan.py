"""Limits compiled: which hold for a request, where each is counted, and what a request is charged on each.

A policy's limits are compiled once. What holds for a kind of request (a route, a method, and whatever `when` looks at) is a
`Plan`; a plan's places in the store for one subject are a `Tariff`, which is kept with the subject. So a request whose costs
are constant is billed without computing anything.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import NamedTuple

from guardrail_mw.limits.conditions import Traits, compile_when
from guardrail_mw.limits.models import Models
from guardrail_mw.limits.settings import LimitSettings, ModelSettings
from guardrail_mw.stores.base import Budget, Entry, Gcra, Lease, Reading, Share, Step, Window
from guardrail_mw.values import Estimate, Refusal, Usage

__all__ = ["SHARE", "SLOT_WAIT", "Limit", "Place", "Plan", "Planner", "Slot", "Tariff"]

SLOT_WAIT = 1_000_000
"""µs that a refusal by a concurrency limit asks for."""
SHARE = 10
"""Percent of a `per: []` limit that one account may hold in open reservations."""


class Place(NamedTuple):
    """The homes that a subject's usage is counted in."""

    account: str
    network: str
    network_parent: str = "e"
    organisation: str = ""
    cluster: str = ""
    authenticated: bool = False


class Limit:
    """One limit of the policy, with all that a request needs of it computed."""

    __slots__ = (
        "amount", "calendar", "code", "depth", "dimensions", "figure", "home", "kept", "kind", "name", "period", "rated",
        "replaces", "shadow", "share", "shared", "span", "strict", "unit", "when", "window",
    )  # fmt: skip

    def __init__(
        self, settings: LimitSettings, when: Callable[[Traits], bool] | None, *, shadow: bool, strict: bool
    ) -> None:
        self.name = settings.name
        self.kind = settings.kind
        self.unit = settings.unit
        self.figure = settings.figure
        self.home = settings.per[0] if settings.per else ""
        self.dimensions = tuple(settings.per[1:])
        self.code = _digest(f"{settings.name} {settings.fingerprint()}", 4)
        self.shadow = shadow
        self.shared = settings.shared
        self.strict = strict
        self.replaces = settings.replaces
        self.when = when
        self.amount = settings.amount_units()
        self.depth = settings.burst_units()
        self.kept = settings.kept_units()
        self.rated, self.period = settings.reduced()
        self.window = settings.period
        self.calendar = settings.calendar
        self.span = -(-self.depth * self.period // self.rated) if self.kind == "token_bucket" else self.window
        """µs in which what it holds is given out: for a bucket that is deeper or less deep than its rate, the time it fills in."""
        self.share = max(1, self.depth * SHARE // 100)
        """The most that one account may hold of it in open reservations; for a `per: []` limit in tokens or dollars."""

    @property
    def reserves(self) -> bool:
        """Whether its cost is an estimate, corrected when the answer is known."""
        return self.unit != "requests" and self.kind != "concurrency"

    def step(self, field: str, cost: int, *, authenticated: bool, measured: bool = True) -> Step:
        """The step that charges `cost` under `field`. What an estimate exceeds the depth by is not reserved; it is owed."""
        kept = 0 if authenticated else self.kept
        reserved = self.reserves and measured
        if self.reserves and not measured:
            cost = 0
        elif reserved and not self.strict:
            cost = min(cost, self.depth - kept, self.share if self.shared else cost)
        match self.kind:
            case "token_bucket":
                return Gcra(field, cost, self.rated, self.period, self.depth, kept, self.shadow, reserved)
            case "sliding_window":
                return Window(field, cost, self.amount, self.window, self.shadow, reserved)
            case "budget":
                assert self.calendar is not None  # noqa: S101 - a budget has one
                return Budget(field, cost, self.amount, self.calendar, self.shadow, reserved)
            case "concurrency":
                return Lease(field, self.amount, self.shadow)

    def fits(self, cost: int, *, authenticated: bool) -> bool:
        """Whether a request of `cost` can ever be admitted."""
        if self.kind == "concurrency" or (self.reserves and not self.strict):
            return True
        return cost <= self.depth - (0 if authenticated else self.kept)

    def refusal(self, wait: int, *, share: bool) -> Refusal:
        """The value that says it refused. When a slot comes free nobody knows: it says a second, not the lease's whole life."""
        if self.kind == "concurrency":
            wait = min(wait, SLOT_WAIT)
        return Refusal(self.name, "share" if share else self.kind, self.unit, self.figure, wait, self.shared and not share)


class Slot(NamedTuple):
    """One step of a plan's bills: a limit, or an account's share of a limit that belongs to everyone."""

    limit: Limit
    share: bool = False


class Plan:
    """The limits that hold for one kind of request."""

    __slots__ = ("measured", "slots")

    def __init__(self, limits: Sequence[Limit], *, metered: bool) -> None:
        self.slots = [Slot(limit) for limit in limits]
        self.measured = metered and any(limit.reserves for limit in limits)
        """Whether requests' bodies and answers are read for tokens. Where they are not, limits in tokens or dollars hold all
        the same: they refuse who owes, and charge what the app adds."""
        if self.measured:
            self.slots += [Slot(limit, share=True) for limit in limits if limit.shared and limit.reserves]

    def tariff(self, place: Place, model: str, route: str) -> Tariff:
        """The plan's homes and fields for a subject."""
        return Tariff(self, place, model, route)


class _Group(NamedTuple):
    """The steps of one home."""

    home: str
    parent: str
    lines: tuple[tuple[Slot, str], ...]
    fixed: Entry | None
    """The entry of a request that costs one, where no step is measured."""


class Tariff:
    """What one subject is charged by one plan: the groups of a bill, and the slots in the order of its readings."""

    __slots__ = ("_authenticated", "_groups", "_turns", "fixed", "measured", "slots", "template")

    def __init__(self, plan: Plan, place: Place, model: str, route: str) -> None:
        self._authenticated = place.authenticated
        self.measured = plan.measured
        self.template: object = None
        """What the edge made of it for its answers' fields."""
        self._turns: Tariff | None = None
        lines: dict[str, list[tuple[Slot, str]]] = {place.account: []}
        for slot in plan.slots:
            home = place.account if slot.share else _home(slot.limit, place)
            lines.setdefault(home, []).append((slot, _field(slot, place, model, route)))
        self.fixed: tuple[Entry, ...] | None
        """The entries of every bill, where they are always the same."""
        self.slots: tuple[Slot, ...]
        """What the readings of a bill are of, in order."""
        self._arrange([self._group(home, tuple(each), place) for home, each in lines.items() if each])

    def _group(self, home: str, lines: tuple[tuple[Slot, str], ...], place: Place) -> _Group:
        parent = place.network_parent if home == place.network else "e"
        fixed = None
        if not (self.measured and any(slot.limit.reserves for slot, _ in lines)):
            fixed = Entry(home, tuple([self._step(slot, field, 1) for slot, field in lines]), parent)
        return _Group(home, parent, lines, fixed)

    def _step(self, slot: Slot, field: str, cost: int) -> Step:
        if slot.share:
            return Share(field, min(cost, slot.limit.share), slot.limit.share, slot.limit.shadow)
        return slot.limit.step(field, cost, authenticated=self._authenticated, measured=self.measured)

    def entries(self, estimate: Estimate, costs: Callable[[Limit, Estimate], int]) -> tuple[Entry, ...]:
        """The entries of a bill for what a request is likely to use."""
        if self.fixed is not None and estimate.items == 1:
            return self.fixed
        return tuple(
            [
                group.fixed
                if group.fixed is not None and estimate.items == 1
                else Entry(
                    group.home,
                    tuple([self._step(slot, field, costs(slot.limit, estimate)) for slot, field in group.lines]),
                    group.parent,
                )
                for group in self._groups
            ]
        )

    def turns(self) -> Tariff:
        """For what happens within a connection, which holds its slots already: all but the leases."""
        if self._turns is None:
            groups = [each for each in map(_without_leases, self._groups) if each.lines]
            self._turns = copy(self)
            self._turns._arrange(groups)  # noqa: SLF001 - another of its kind
        return self._turns

    def _arrange(self, groups: list[_Group]) -> None:
        self._groups = groups
        self.slots = tuple(slot for group in groups for slot, _ in group.lines)
        self.fixed = _fixed(groups)

    def too_large(self, estimate: Estimate, costs: Callable[[Limit, Estimate], int]) -> Limit | None:
        """A limit that can never admit the request, if there is one (request costs and strict reservations only)."""
        for slot in self.slots:
            limit = slot.limit
            if slot.share or limit.shadow:
                continue
            if not limit.fits(costs(limit, estimate), authenticated=self._authenticated):
                return limit
        return None

    def refusal(self, readings: Sequence[Reading]) -> Refusal | None:
        """Which limit refused: the caller's own before one that belongs to everyone, and of those the longest wait."""
        refused = [
            slot.limit.refusal(reading.wait, share=slot.share)
            for slot, reading in zip(self.slots, readings, strict=True)
            if not reading.ok and not slot.limit.shadow
        ]
        return max(refused, key=lambda each: (not each.shared, each.wait), default=None)


class Planner:
    """All limits of a policy. One for a policy; plans are made as kinds of requests come.

    Args:
        limits: the policy's.
        models: the policy's.
        assurance: the order of `acr` values, lowest first.
        shadowed: names of limits that an operator has switched to shadow.
        strict: whether every limit reserves all that a request allows.
    """

    def __init__(
        self,
        limits: Sequence[LimitSettings],
        models: Mapping[str, ModelSettings],
        assurance: Sequence[str] = (),
        shadowed: Iterable[str] = (),
        *,
        strict: bool = False,
    ) -> None:
        switched = frozenset(shadowed)
        self.models = Models(models)
        self.limits: tuple[Limit, ...] = tuple(
            Limit(
                each,
                compile_when(each.when, assurance) if each.when else None,
                shadow=each.shadow or each.name in switched,
                strict=each.strict or strict,
            )
            for each in limits
        )
        self._reading = frozenset(
            limit.name
            for limit, each in zip(self.limits, limits, strict=True)
            if limit.reserves or "model" in limit.dimensions or (each.when is not None and each.when.model is not None)
        )
        self._plans: dict[tuple[frozenset[str], bool, Traits], Plan] = {}

    def reads(self, names: frozenset[str]) -> bool:
        """Whether one of the named limits needs to know a request's model or size before it can be charged."""
        return not self._reading.isdisjoint(names)

    def plan(self, names: frozenset[str], traits: Traits, *, metered: bool) -> Plan:
        """The limits that hold for requests of these traits where the route allows `names`."""
        key = (names, metered, traits)
        found = self._plans.get(key)
        if found is None:
            if len(self._plans) >= 4096:  # noqa: PLR2004 - tiers and organisations come from claims
                self._plans.clear()
            found = self._plans[key] = Plan(self._holding(names, traits), metered=metered)
        return found

    def _holding(self, names: frozenset[str], traits: Traits) -> list[Limit]:
        holding = [limit for limit in self.limits if limit.name in names and (limit.when is None or limit.when(traits))]
        replaced = {limit.replaces for limit in holding}
        return [limit for limit in holding if limit.name not in replaced]

    def cost(self, limit: Limit, estimate: Estimate) -> int:
        """What a request reserves of a limit."""
        output = max(estimate.most, estimate.output) if limit.strict else estimate.output
        match limit.unit:
            case "requests":
                return estimate.items
            case "tokens":
                return estimate.input + output
            case "input_tokens":
                return estimate.input
            case "output_tokens":
                return output
            case "usd":
                return self.models.cost(self.models.key(estimate.model), Usage(input=estimate.input, output=output))

    def used(self, limit: Limit, usage: Usage, model: str) -> int | None:
        """What an exchange used of a limit; None where its cost was no estimate."""
        match limit.unit:
            case "tokens":
                return usage.tokens
            case "input_tokens":
                return usage.input + usage.cached + usage.cache_write
            case "output_tokens":
                return usage.output
            case "usd":
                return self.models.cost(model, usage)
            case _:
                return None


def _fixed(groups: Iterable[_Group]) -> tuple[Entry, ...] | None:
    entries = [group.fixed for group in groups]
    return None if None in entries else tuple([entry for entry in entries if entry is not None])


def _without_leases(group: _Group) -> _Group:
    lines = tuple(line for line in group.lines if line[0].limit.kind != "concurrency")
    if group.fixed is None:
        return group._replace(lines=lines)
    steps = tuple(step for step in group.fixed.steps if not isinstance(step, Lease))
    return group._replace(lines=lines, fixed=Entry(group.home, steps, group.parent))


def _home(limit: Limit, place: Place) -> str:
    match limit.home:
        case "":
            return "e"
        case "network":
            return place.network
        case "organisation":
            return place.organisation or place.account
        case "cluster":
            return place.cluster or place.account
        case _:
            return place.account


def _field(slot: Slot, place: Place, model: str, route: str) -> str:
    """The limit's code, and a digest of fixed length for each further dimension, so that no two mean the same."""
    parts = [slot.limit.code]
    for dimension in slot.limit.dimensions:
        match dimension:
            case "model":
                value = model
            case "route":
                value = route
            case "network":
                value = place.network
            case "organisation":
                value = place.organisation or place.account
            case "cluster":
                value = place.cluster or place.account
            case _:
                value = place.account
        parts.append(_digest(value, 6))
    return ".".join(["o", *parts] if slot.share else parts)


def _digest(text: str, size: int) -> str:
    return urlsafe_b64encode(hashlib.blake2b(text.encode(), digest_size=size).digest()).decode().rstrip("=")
