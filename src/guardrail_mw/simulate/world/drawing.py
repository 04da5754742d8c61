"""The one code path that draws every account: an office's, a student's, a campaign's.

Nothing in here knows whom it draws for.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from guardrail_mw.simulate.world import volumes
from guardrail_mw.simulate.world.arrays import DAY, HOUR, SECOND, Ints, Rng
from guardrail_mw.simulate.world.figures import Range, draw, whole
from guardrail_mw.simulate.world.people import FOREVER, SESSION, People
from guardrail_mw.simulate.world.ranges import Sharing, Traits
from guardrail_mw.simulate.world.sharing import allot, distinct, shuffled, spread
from guardrail_mw.simulate.world.texts import LANGUAGES
from guardrail_mw.simulate.world.town import Town

__all__ = ["draw_people"]

_RHYTHMS: Final = list(volumes.RHYTHMS)
_REWRITTEN: Final = 2.0
_BLOCK: Final = 256
"""Homes whose lines are of one block of addresses."""
_VENDORS: Final = 4096
"""Addresses of a proxy vendor's pool."""
_FIRST_CALL: Final = 0.5
"""Hours from an account's making to its first call, in the mean: an assumption."""


def draw_people(traits: Traits, sizes: NDArray[Any], town: Town, rng: Rng, *, origin: int, end: int) -> tuple[People, Ints]:
    """Accounts of groups.

    Args:
        traits: what they are like.
        sizes: accounts of each group.
        town: where values come from.
        rng: where chance comes from.
        origin: microseconds: the beginning of the run, or of what the accounts were made for.
        end: microseconds: the run's end.

    Returns:
        The accounts, group by group, and the number of each one's group, from 0. `account` counts from 0 as well.
    """
    drawing = _Drawing(traits, np.asarray(sizes, np.int64), town, rng)
    columns = {
        **drawing.software(),
        **drawing.ages(origin, end),
        **drawing.places(),
        **drawing.devices(),
        **drawing.prompts(),
        **drawing.papers(),
        **drawing.habits(),
    }
    columns["until"] = drawing.until(columns["begin"])
    wanted = {"account": np.arange(drawing.n), **columns}
    return People(**{name: np.asarray(wanted[name], dtype) for name, dtype in _TYPES.items()}), drawing.group.astype(
        np.int32
    )


_TYPES: Final[dict[str, Any]] = {
    **dict.fromkeys(("created", "begin", "until"), np.int64),
    **dict.fromkeys(
        ("account", "address", "pool", "lease", "elsewhere", "device", "card", "domain", "organisation"), np.int32
    ),
    **dict.fromkeys(("system", "template", "free", "most"), np.int32),
    **dict.fromkeys(("hop", "client", "slot"), np.int16),
    **dict.fromkeys(("roam", "templated", "rate", "spread", "active", "launch", "settle"), np.float32),
    **dict.fromkeys(("devices", "issuer", "rhythm"), np.uint8),
    **dict.fromkeys(("length", "zone"), np.int8),
    **dict.fromkeys(("verified", "turns"), np.bool_),
}


class _Drawing:
    """One draw: each method gives some columns of `People`."""

    def __init__(self, traits: Traits, sizes: NDArray[np.int64], town: Town, rng: Rng) -> None:
        self.traits, self.town, self.rng = traits, town, rng
        self.groups = len(sizes)
        self.group = np.repeat(np.arange(self.groups), sizes)
        self.n = len(self.group)
        self.mixing = self.of_group(traits.mixing)
        odds = np.array([*traits.languages.values()])
        codes = [LANGUAGES.index(each) for each in traits.languages]
        self.language = rng.choice(codes, self.groups, p=odds / odds.sum())[self.group]

    def of_group(self, span: Range) -> NDArray[np.float64]:
        """A figure of each group, account by account."""
        return draw(span, self.rng, self.groups)[self.group]

    def chosen(self, share: Range) -> NDArray[np.bool_]:
        """Accounts of each group, by a share that is the group's."""
        return np.asarray(self.rng.random(self.n) < self.of_group(share), bool)

    def holding(self, per: str | Range) -> tuple[NDArray[np.int64], int]:
        """Values that accounts have in common, mixed as the group mixes them."""
        value, count = allot(per, self.group, self.rng)
        return shuffled(value, self.group, self.mixing, self.rng), count

    def software(self) -> dict[str, Any]:
        """Programs, and system prompts."""
        programs, traits = self.town.programs, self.traits
        if traits.program == "group":
            client = np.concatenate([self._own_program(int(size)) for size in np.bincount(self.group)])
        else:
            client = programs.draw(traits.program, self.rng, self.n)
        system = programs.systems()[client]
        if traits.system.per != "program":
            value, count = allot(traits.system.per, self.group, self.rng)
            _, holder = np.unique(value, return_index=True)
            own = self.town.texts.systems(self.language[holder], self.rng.integers(30, 300, count)) + value
            system = np.where(self.chosen(traits.system.have), own, system)
        self.client = client
        return {"client": client, "system": system, "turns": np.full(self.n, traits.turns)}

    def _own_program(self, users: int) -> NDArray[np.int16]:
        """A program that only one group uses."""
        programs = self.town.programs
        name = f"client-{len(programs.all)}"
        programs.found(name, self.town.texts.system("en", int(self.rng.integers(60, 400))), self.rng)
        return programs.draw(name, self.rng, users)

    def ages(self, origin: int, end: int) -> dict[str, Any]:
        """When accounts were made, and when they first call."""
        ages, rng, last = self.traits.ages, self.rng, max(end, origin + 1)
        if ages.within is None:
            created = origin - (draw(ages.before, rng, self.n) * DAY).astype(np.int64)
            come = self.chosen(ages.during)
            created[come] = rng.integers(origin, last, int(come.sum()))
        else:
            moment = origin - (draw(ages.before, rng, self.groups) * DAY).astype(np.int64)
            come = rng.random(self.groups) < draw(ages.during, rng, self.groups)
            moment[come] = rng.integers(origin, last, int(come.sum()))
            created = moment[self.group] + (rng.random(self.n) * self.of_group(ages.within) * HOUR).astype(np.int64)
        created = created // SECOND * SECOND
        return {"created": created, "begin": created + (rng.exponential(_FIRST_CALL, self.n) * HOUR).astype(np.int64)}

    def until(self, begin: NDArray[np.int64]) -> NDArray[np.int64]:
        """When accounts last call."""
        if self.traits.stay is None:
            return np.full(self.n, FOREVER)
        return np.asarray(begin + (draw(self.traits.stay, self.rng, self.n) * DAY).astype(np.int64), np.int64)

    def places(self) -> dict[str, Any]:
        """Addresses: the first, how many, the blocks they are leased from and for how long; and those away from there."""
        place, town, rng = self.traits.address, self.town, self.rng
        value, count = self.holding(place.per)
        hop, lease = whole(place.each, rng, self.n), np.zeros(self.n, np.int64)
        pool: NDArray[Any] | None = None
        address: NDArray[Any]
        if place.vendor:
            first, size = town.vendor(place.vendor, _VENDORS, rng)
            address = (first + rng.integers(0, size - int(place.each[1]), count))[value]
        elif place.taken:
            hop = np.ones(self.n, np.int64)
            address = rng.choice(town.addresses.of_kind("home"), count)[value].astype(np.int64)
        elif place.lease[1] > 0:
            address, pool, lease = self._leased(value, count)
        else:
            blocks = np.maximum(whole(place.pool, rng, count), 1)
            np.maximum.at(blocks, value, hop)
            begins = town.addresses.add(place.kind, blocks, rng)
            address = begins[value] + (rng.random(self.n) * (blocks[value] - hop + 1)).astype(np.int64)
        roam = draw(place.roam, rng, self.n)
        return {
            "address": address,
            "hop": hop,
            "pool": address if pool is None else pool,
            "lease": lease,
            "elsewhere": self._elsewhere(),
            "roam": roam,
        }

    def _leased(self, value: NDArray[np.int64], count: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Homes in providers' blocks, a spot each; strangers are put beside one another."""
        place = self.traits.address
        blocks = -(-count // _BLOCK)
        first = self.town.addresses.add(place.kind, np.full(blocks, _BLOCK), self.rng)
        spot = self.rng.permutation(blocks * _BLOCK)[:count][value]
        lease = np.rint(draw(place.lease, self.rng, blocks) * 24)
        pool = first[spot // _BLOCK]
        return pool + spot % _BLOCK, pool, lease[spot // _BLOCK]

    def _elsewhere(self) -> Ints:
        """A mobile network; for half of those who do not call from home, home."""
        address = self.town.roaming(self.rng, self.n)
        if self.traits.address.kind in {"office", "campus"} and self.traits.address.roam[1] > 0:
            home = np.flatnonzero(self.rng.random(self.n) < 0.5)  # noqa: PLR2004
            address[home] = self.town.addresses.add("home", np.ones(len(home), np.int64), self.rng)
        return address

    def devices(self) -> dict[str, Any]:
        """Devices: the first, and how many."""
        held = self.traits.device
        value, count = self.holding(held.per)
        many = whole(held.each, self.rng, count)
        start = self.town.take("devices", int(many.sum())) + np.cumsum(many) - many
        devices = np.full(self.n, SESSION) if held.session else many[value]
        return {"device": np.where(self.chosen(held.have), start[value], -1), "devices": devices}

    def prompts(self) -> dict[str, Any]:
        """Families of templates, the shares of calls that use them, and of free text."""
        prompts, texts, rng = self.traits.prompts, self.town.texts, self.rng
        free = np.array([self.town.free[each] for each in LANGUAGES])[self.language]
        columns = {"template": np.full(self.n, -1), "templated": self.of_group(prompts.share), "free": free}
        if prompts.bank:
            columns["template"] += 1 + self.town.bank(prompts.bank, int(prompts.variants[1]))
        elif prompts.share[1] > 0:
            value, count = distinct(self.client) if prompts.per == "program" else allot(prompts.per, self.group, rng)
            _, holder = np.unique(value, return_index=True)
            shapes = tuple(whole(each, rng, count) for each in (prompts.fixed, prompts.slots, prompts.words))
            paraphrase = np.full(count, _REWRITTEN) if prompts.rewrite else draw(prompts.paraphrase, rng, count)
            variants = whole(prompts.variants, rng, count)
            columns["template"] = texts.many(self.language[holder], variants, shapes, paraphrase) + value
        return columns

    def papers(self) -> dict[str, Any]:
        """Cards, e-mail domains, organisations and their issuers."""
        traits, town, rng = self.traits, self.town, self.rng
        organisation = np.full(self.n, -1)
        number, count = spread(traits.organisation, self.group, self.groups)
        if count:
            organisation = town.take("organisations", count) + number
        if traits.mail.domain == "free":
            domain: NDArray[Any] = town.free_mail(rng, self.n)
        elif traits.mail.domain == "own":
            domain = town.take("domains", self.n) + np.arange(self.n)
        elif traits.mail.domain == "group" or not count:
            domain = town.take("domains", self.groups) + self.group
        else:
            domain = town.take("domains", count) + number
        return {
            "card": self._cards(traits.card),
            "domain": domain,
            "verified": self.chosen(traits.mail.verified),
            "organisation": organisation,
            "issuer": np.where(organisation >= 0, rng.integers(0, 3, self.groups)[self.group], 0),
        }

    def _cards(self, held: Sharing) -> NDArray[Any]:
        value, count = self.holding(held.per)
        return np.where(self.chosen(held.have), self.town.take("cards", count) + value, -1)

    def habits(self) -> dict[str, Any]:
        """How much, when, and how soon with a new model."""
        traits, rng, n = self.traits, self.rng, self.n
        share = self.of_group(traits.spread)
        return {
            "length": np.full(n, volumes.PROFILES.index(traits.length)),
            "rhythm": np.full(n, _RHYTHMS.index(traits.rhythm)),
            "zone": np.rint(self.of_group(traits.zones)),
            "slot": np.full(n, -1),
            "rate": self.of_group(traits.rate) * volumes.between(rng, n, share),
            "spread": share,
            "active": draw(traits.active, rng, n),
            "most": np.full(n, traits.most),
            "launch": self.of_group(traits.launch),
            "settle": self.of_group(traits.settle),
        }
