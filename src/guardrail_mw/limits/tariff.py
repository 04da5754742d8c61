"""Where a plan's limits are counted, and what a request is charged on each.

A plan fixes which limits hold for one kind of request. Its *shape* for one kind of subject (does it have an organisation, is
its account its network) fixes which steps stand in whose home, and is shared by all subjects of that kind; a *tariff* is a
shape with one subject's homes in it. So a subject costs a few small objects, and a request of constant cost computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from guardrail_mw.limits.limit import Limit, digest
from guardrail_mw.limits.velocity import Watch, value
from guardrail_mw.stores.base import Entry, Lease, Reading, Share, Step
from guardrail_mw.values import Estimate, Refusal

__all__ = ["Costs", "Place", "Plan", "Shape", "Slot", "Tariff"]

Costs = Callable[[Limit, Estimate], int]
"""What a request reserves of a limit."""

_PERSONAL = frozenset({"account", "network", "organisation", "cluster", "device"})
_KEPT = 256


class Place(NamedTuple):
    """The homes that a subject's usage is counted in."""

    account: str
    network: str
    network_parent: str = "e"
    organisation: str = ""
    cluster: str = ""
    authenticated: bool = False
    device: str = ""
    seen: bool = False
    """Whether the device is one that anybody could show. Those are counted apart from signed ones: a browser that keeps its
    cookie was seen once before, and is one device in either count."""

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
            case "device":
                return self.device or self.account
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
    """The steps of one home: what limits take, then what velocity rules count."""

    whose: str
    """The dimension that names the home; empty for everyone's."""
    lines: tuple[tuple[Slot, str], ...]
    """Slots and their fields."""
    watched: tuple[tuple[Watch, str], ...]
    """Velocity rules and their fields."""
    model: Entry | None
    """The entry of a request that costs one, in no home, where no step is measured."""


class Shape:
    """A plan for one kind of subject."""

    __slots__ = (
        "_authenticated",
        "_turns",
        "distinct",
        "groups",
        "measured",
        "models",
        "outline",
        "places",
        "slots",
        "template",
        "watches",
    )  # fmt: skip

    def __init__(self, groups: Sequence[_Group], *, measured: bool, authenticated: bool) -> None:
        self.groups = tuple(groups)
        self.slots = tuple(slot for group in self.groups for slot, _ in group.lines)
        """What a bill takes from, in order."""
        self.places, self.watches = _lay(self.groups)
        """Where the readings of a bill have each slot's; what it counts besides, and where they have that."""
        self.distinct = any(watch.distinct for watch, _ in self.watches)
        """Whether some steps hold a value of the subject's, so that no two subjects have the same."""
        models = [group.model for group in self.groups]
        self.models = None if None in models else tuple([model for model in models if model is not None])
        """The entry of each group, where none is measured."""
        self.measured = measured
        self.template: object = None
        """What the edge made of it for its answers' fields."""
        self.outline: object = None
        """What the engine made of it for its events."""
        self._authenticated = authenticated
        self._turns: Shape | None = None

    def read(self, readings: Sequence[Reading]) -> list[tuple[Slot, Reading]]:
        """Each slot with its reading."""
        return [(slot, readings[place]) for slot, place in zip(self.slots, self.places, strict=True)]

    def step(self, slot: Slot, field: str, cost: int) -> Step:
        """The step that charges a slot."""
        if slot.share:
            return Share(field, min(cost, slot.limit.share), slot.limit.share, slot.limit.shadow)
        return slot.limit.step(field, cost, authenticated=self._authenticated, measured=self.measured)

    def turns(self) -> Shape:
        """For what happens within a connection, which holds its slots already: all but the leases."""
        if self._turns is None:
            groups = [each for each in map(_without_leases, self.groups) if each.lines or each.watched]
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
            for slot, reading in self.read(readings)
            if not reading.ok and not slot.limit.shadow
        ]
        return max(refused, key=lambda each: (not each.shared, each.wait), default=None)


def _lay(groups: Sequence[_Group]) -> tuple[tuple[int, ...], tuple[tuple[Watch, int], ...]]:
    places: list[int] = []
    watches: list[tuple[Watch, int]] = []
    at = 0
    for group in groups:
        places += range(at, at + len(group.lines))
        at += len(group.lines)
        watches += [(watch, at + index) for index, (watch, _) in enumerate(group.watched)]
        at += len(group.watched)
    return tuple(places), tuple(watches)


class Plan:
    """The limits that hold for one kind of request."""

    __slots__ = ("_personal", "_shapes", "_slots", "_watches", "measured")

    def __init__(self, limits: Sequence[Limit], watches: Sequence[Watch] = (), *, metered: bool) -> None:
        self._watches = tuple(watches)
        self._slots = [Slot(limit) for limit in limits]
        self.measured = metered and any(limit.reserves for limit in limits)
        """Whether requests' bodies and answers are read for tokens. Where they are not, limits in tokens or dollars hold all
        the same: they refuse who owes, and charge what the app adds."""
        if self.measured:
            self._slots += [Slot(limit, share=True) for limit in limits if limit.shared and limit.reserves]
        dimensions = [each.dimensions for each in limits] + [each.dimensions for each in watches]
        self._personal = any(not _PERSONAL.isdisjoint(each) for each in dimensions)
        self._shapes: dict[Hashable, Shape] = {}

    def tariff(self, place: Place, model: str, route: str) -> Tariff:
        """The plan's homes and fields for a subject."""
        if self._personal:  # fields name other homes of the subject's: nobody else has the same
            return _tariff(self._shape(place, model, route), place, model, route)
        kind = (
            place.account == place.network, not place.organisation, not place.cluster, not place.device,
            place.authenticated, place.seen, model, route,
        )  # fmt: skip
        shape = self._shapes.get(kind)
        if shape is None:
            if len(self._shapes) >= _KEPT:
                self._shapes.clear()
            shape = self._shapes[kind] = self._shape(place, model, route)
        return _tariff(shape, place, model, route)

    def _shape(self, place: Place, model: str, route: str) -> Shape:
        shape = Shape((), measured=self.measured, authenticated=place.authenticated)
        lines: dict[str, list[tuple[Slot, str]]] = {}
        watched: dict[str, list[tuple[Watch, str]]] = {}
        whose: dict[str, str] = {}
        for slot in self._slots:
            dimension = "account" if slot.share else slot.limit.home
            home = place.home(dimension)
            whose.setdefault(home, dimension)
            code = f"o.{slot.limit.code}" if slot.share else slot.limit.code
            lines.setdefault(home, []).append((slot, _field(code, slot.limit.dimensions, place, model, route)))
        for watch in self._watches:
            home = place.home(watch.home)
            whose.setdefault(home, watch.home)
            code = f"{watch.code}s" if place.seen and watch.distinct == "device" else watch.code
            watched.setdefault(home, []).append((watch, _field(code, watch.dimensions, place, model, route)))
        groups = [_group(shape, whose[home], tuple(lines.get(home, ())), tuple(watched.get(home, ()))) for home in whose]
        return Shape(groups, measured=self.measured, authenticated=place.authenticated)


class Tariff:
    """What one subject is charged by one plan."""

    __slots__ = ("_homes", "_turns", "_values", "fixed", "kept", "payer", "shape", "who")

    def __init__(
        self, shape: Shape, payer: str, homes: tuple[tuple[str, str], ...], values: dict[str, str] | None = None
    ) -> None:
        self.shape = shape
        self.payer = payer
        """The home of who pays."""
        self._homes = homes
        """Home and parent of each group."""
        self._values = values
        """What each dimension's distinct counts see, where there are any."""
        self._turns: Tariff | None = None
        self.fixed: tuple[Entry, ...] | None = None
        """The entries of every bill, where they are always the same."""
        if shape.models is not None and not shape.distinct:
            self.fixed = tuple([model.at(*place) for model, place in zip(shape.models, homes, strict=True)])
        elif shape.models is not None:
            self.fixed = tuple([self._entry(group, *home) for group, home in zip(shape.groups, homes, strict=True)])
        self.who: object = None
        """What the engine wrote down of the subject for its events."""
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
        return tuple(
            [
                self._entry(group, *home)
                if group.model is not None and estimate.items == 1
                else self._reserving(group, home, estimate, costs)
                for group, home in zip(self.shape.groups, self._homes, strict=True)
            ]
        )

    def _entry(self, group: _Group, home: str, parent: str) -> Entry:
        """The entry of a group where nothing is measured."""
        assert group.model is not None  # noqa: S101 - it is not measured
        if not any([watch.distinct for watch, _ in group.watched]):
            return group.model.at(home, parent)
        taken = group.model.steps[: len(group.lines)]
        return Entry(home, (*taken, *self._counting(group)), parent)

    def _reserving(self, group: _Group, home: tuple[str, str], estimate: Estimate, costs: Costs) -> Entry:
        step = self.shape.step
        taken = [step(slot, field, costs(slot.limit, estimate)) for slot, field in group.lines]
        return Entry(home[0], (*taken, *self._counting(group, estimate.items)), home[1])

    def _counting(self, group: _Group, items: int = 1) -> list[Step]:
        values = self._values or {}
        return [watch.step(field, values.get(watch.distinct, ""), items) for watch, field in group.watched]

    def turns(self) -> Tariff:
        """For what happens within a connection of the subject's: all but the leases."""
        if self._turns is None:
            shape = self.shape.turns()
            homes = {group.whose: home for group, home in zip(self.shape.groups, self._homes, strict=True)}
            mine = tuple([homes[group.whose] for group in shape.groups])
            self._turns = Tariff(shape, self.payer, mine, self._values)
        return self._turns


def _tariff(shape: Shape, place: Place, model: str, route: str) -> Tariff:
    homes = tuple([(place.home(group.whose), place.parent(group.whose)) for group in shape.groups])
    values = None
    if shape.distinct:
        told = {watch.distinct for watch, _ in shape.watches if watch.distinct}
        values = {dimension: value(_named(dimension, place, model, route)) for dimension in told}
    return Tariff(shape, place.account, homes, values)


def _group(shape: Shape, whose: str, lines: tuple[tuple[Slot, str], ...], watched: tuple[tuple[Watch, str], ...]) -> _Group:
    measured = shape.measured and any(slot.limit.reserves for slot, _ in lines)
    steps = [] if measured else [shape.step(slot, field, 1) for slot, field in lines]
    steps += [watch.step(field, "") for watch, field in watched]
    return _Group(whose, lines, watched, None if measured else Entry("", tuple(steps)))


def _without_leases(group: _Group) -> _Group:
    lines = tuple(line for line in group.lines if line[0].limit.kind != "concurrency")
    if group.model is None:
        return group._replace(lines=lines)
    steps = tuple(step for step in group.model.steps if not isinstance(step, Lease))
    return group._replace(lines=lines, model=Entry("", steps))


def _named(dimension: str, place: Place, model: str, route: str) -> str:
    return model if dimension == "model" else route if dimension == "route" else place.home(dimension)


def _field(code: str, dimensions: Sequence[str], place: Place, model: str, route: str) -> str:
    """The rule's code, and a digest of fixed length for each further dimension, so that no two mean the same."""
    return ".".join([code, *[digest(_named(dimension, place, model, route), 6) for dimension in dimensions]])
