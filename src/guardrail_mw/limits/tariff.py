"""Where a plan's limits are counted, and what a request is charged on each.

A plan fixes which limits hold for one kind of request. Its *shape* for one kind of subject (does it have an organisation, is
its account its network) fixes which steps stand in whose home, and is shared by all subjects of that kind; a *tariff* is a
shape with one subject's homes in it. So a subject costs a few small objects, and a request of constant cost computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from guardrail_mw.limits.limit import Limit, digest
from guardrail_mw.stores.base import Entry, Lease, Reading, Share, Step
from guardrail_mw.values import Estimate, Refusal

__all__ = ["Costs", "Place", "Plan", "Shape", "Slot", "Tariff"]

Costs = Callable[[Limit, Estimate], int]
"""What a request reserves of a limit."""

_PERSONAL = frozenset({"account", "network", "organisation", "cluster"})
_KEPT = 256


class Place(NamedTuple):
    """The homes that a subject's usage is counted in."""

    account: str
    network: str
    network_parent: str = "e"
    organisation: str = ""
    cluster: str = ""
    authenticated: bool = False

    def home(self, dimension: str) -> str:
        """The home of a dimension. Who has no organisation or cluster is one by itself; no dimension is everyone."""
        match dimension:
            case "":
                return "e"
            case "network":
                return self.network
            case "organisation":
                return self.organisation or self.account
            case "cluster":
                return self.cluster or self.account
            case _:
                return self.account

    def parent(self, dimension: str) -> str:
        """The home that stands in for it where a store cannot tell newcomers apart."""
        return self.network_parent if self.home(dimension) == self.network else "e"


class Slot(NamedTuple):
    """One step of a plan's bills: a limit, or an account's share of a limit that belongs to everyone."""

    limit: Limit
    share: bool = False


class _Group(NamedTuple):
    """The steps of one home."""

    whose: str
    """The dimension that names the home; empty for everyone's."""
    lines: tuple[tuple[Slot, str], ...]
    """Slots and their fields."""
    model: Entry | None
    """The entry of a request that costs one, in no home, where no step is measured."""


class Shape:
    """A plan for one kind of subject."""

    __slots__ = ("_authenticated", "_turns", "groups", "measured", "models", "slots", "template")

    def __init__(self, groups: Sequence[_Group], *, measured: bool, authenticated: bool) -> None:
        self.groups = tuple(groups)
        self.slots = tuple(slot for group in self.groups for slot, _ in group.lines)
        """What the readings of a bill are of, in order."""
        models = [group.model for group in self.groups]
        self.models = None if None in models else tuple([model for model in models if model is not None])
        """The entry of each group, where none is measured."""
        self.measured = measured
        self.template: object = None
        """What the edge made of it for its answers' fields."""
        self._authenticated = authenticated
        self._turns: Shape | None = None

    def step(self, slot: Slot, field: str, cost: int) -> Step:
        """The step that charges a slot."""
        if slot.share:
            return Share(field, min(cost, slot.limit.share), slot.limit.share, slot.limit.shadow)
        return slot.limit.step(field, cost, authenticated=self._authenticated, measured=self.measured)

    def turns(self) -> Shape:
        """For what happens within a connection, which holds its slots already: all but the leases."""
        if self._turns is None:
            groups = [each for each in map(_without_leases, self.groups) if each.lines]
            self._turns = Shape(groups, measured=self.measured, authenticated=self._authenticated)
        return self._turns

    def too_large(self, estimate: Estimate, costs: Costs) -> Limit | None:
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


class Plan:
    """The limits that hold for one kind of request."""

    __slots__ = ("_personal", "_shapes", "_slots", "measured")

    def __init__(self, limits: Sequence[Limit], *, metered: bool) -> None:
        self._slots = [Slot(limit) for limit in limits]
        self.measured = metered and any(limit.reserves for limit in limits)
        """Whether requests' bodies and answers are read for tokens. Where they are not, limits in tokens or dollars hold all
        the same: they refuse who owes, and charge what the app adds."""
        if self.measured:
            self._slots += [Slot(limit, share=True) for limit in limits if limit.shared and limit.reserves]
        self._personal = any(not _PERSONAL.isdisjoint(limit.dimensions) for limit in limits)
        self._shapes: dict[Hashable, Shape] = {}

    def tariff(self, place: Place, model: str, route: str) -> Tariff:
        """The plan's homes and fields for a subject."""
        if self._personal:  # fields name other homes of the subject's: nobody else has the same
            return _tariff(self._shape(place, model, route), place)
        kind = (place.account == place.network, not place.organisation, not place.cluster, place.authenticated, model, route)
        shape = self._shapes.get(kind)
        if shape is None:
            if len(self._shapes) >= _KEPT:
                self._shapes.clear()
            shape = self._shapes[kind] = self._shape(place, model, route)
        return _tariff(shape, place)

    def _shape(self, place: Place, model: str, route: str) -> Shape:
        shape = Shape((), measured=self.measured, authenticated=place.authenticated)
        lines: dict[str, list[tuple[Slot, str]]] = {}
        whose: dict[str, str] = {}
        for slot in self._slots:
            dimension = "account" if slot.share else slot.limit.home
            home = place.home(dimension)
            whose.setdefault(home, dimension)
            lines.setdefault(home, []).append((slot, _field(slot, place, model, route)))
        groups = [_group(shape, whose[home], tuple(each)) for home, each in lines.items()]
        return Shape(groups, measured=self.measured, authenticated=place.authenticated)


class Tariff:
    """What one subject is charged by one plan."""

    __slots__ = ("_homes", "_turns", "fixed", "kept", "payer", "shape")

    def __init__(self, shape: Shape, payer: str, homes: tuple[tuple[str, str], ...]) -> None:
        self.shape = shape
        self.payer = payer
        """The home of who pays."""
        self._homes = homes
        """Home and parent of each group."""
        self._turns: Tariff | None = None
        self.fixed: tuple[Entry, ...] | None = None
        """The entries of every bill, where they are always the same."""
        if shape.models is not None:
            self.fixed = tuple([model.at(*place) for model, place in zip(shape.models, homes, strict=True)])
        self.kept: object = None
        """The store's notes on those bills: see `stores.base.Notes`."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        """What the readings of a bill are of, in order."""
        return self.shape.slots

    @property
    def measured(self) -> bool:
        """Whether requests and answers are read for tokens."""
        return self.shape.measured

    def entries(self, estimate: Estimate, costs: Costs) -> tuple[Entry, ...]:
        """The entries of a bill for what a request is likely to use."""
        if self.fixed is not None and estimate.items == 1:
            return self.fixed
        step = self.shape.step
        return tuple(
            [
                group.model.at(home, parent)
                if group.model is not None and estimate.items == 1
                else Entry(
                    home, tuple([step(slot, field, costs(slot.limit, estimate)) for slot, field in group.lines]), parent
                )
                for group, (home, parent) in zip(self.shape.groups, self._homes, strict=True)
            ]
        )

    def turns(self) -> Tariff:
        """For what happens within a connection of the subject's: all but the leases."""
        if self._turns is None:
            shape = self.shape.turns()
            homes = {group.whose: home for group, home in zip(self.shape.groups, self._homes, strict=True)}
            self._turns = Tariff(shape, self.payer, tuple([homes[group.whose] for group in shape.groups]))
        return self._turns


def _tariff(shape: Shape, place: Place) -> Tariff:
    homes = tuple([(place.home(group.whose), place.parent(group.whose)) for group in shape.groups])
    return Tariff(shape, place.account, homes)


def _group(shape: Shape, whose: str, lines: tuple[tuple[Slot, str], ...]) -> _Group:
    measured = shape.measured and any(slot.limit.reserves for slot, _ in lines)
    return _Group(
        whose, lines, None if measured else Entry("", tuple([shape.step(slot, field, 1) for slot, field in lines]))
    )


def _without_leases(group: _Group) -> _Group:
    lines = tuple(line for line in group.lines if line[0].limit.kind != "concurrency")
    if group.model is None:
        return group._replace(lines=lines)
    steps = tuple(step for step in group.model.steps if not isinstance(step, Lease))
    return group._replace(lines=lines, model=Entry("", steps))


def _field(slot: Slot, place: Place, model: str, route: str) -> str:
    """The limit's code, and a digest of fixed length for each further dimension, so that no two mean the same."""
    parts = [slot.limit.code]
    for dimension in slot.limit.dimensions:
        value = model if dimension == "model" else route if dimension == "route" else place.home(dimension)
        parts.append(digest(value, 6))
    return ".".join(["o", *parts] if slot.share else parts)
