"""The accounts of an operator: made, bought or hijacked; those that it holds ready as well."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from guardrail_mw.simulate.world.arrays import DAY, Bools, Ints, Rng
from guardrail_mw.simulate.world.cohorts.settling import Settled, group_sizes
from guardrail_mw.simulate.world.drawing import draw_people
from guardrail_mw.simulate.world.people import FOREVER, People
from guardrail_mw.simulate.world.programs import POPULAR
from guardrail_mw.simulate.world.ranges import ranges
from guardrail_mw.simulate.world.scenario import CampaignSettings
from guardrail_mw.simulate.world.town import FREE_MAIL, Town

__all__ = ["Recruits", "begins_with", "plant", "recruit"]

_CUSTOMERS: Final = 0.05
"""A reseller's share of customers who are an operator's."""
_ESTABLISHED: Final = 30
"""Days after which an account is established."""
_HOSTS: Final = ("resellers", "declared")


@dataclass(frozen=True, slots=True)
class Recruits:
    """What an operator has, and has ready."""

    people: People
    """`account` counts from 0, or is an ordinary row where it uses another's."""
    of_others: bool
    """Whether the accounts are ordinary people's."""
    first: int
    """How many it begins with; the rest replaces those that are banned."""
    aged: int
    """How many of the rest were made before."""
    victims: list[int]
    """Groups whose evidence it plants."""
    hosts: list[int]
    """Groups that its accounts are among."""


def begins_with(campaign: CampaignSettings, scale: float) -> tuple[int, int]:
    """Exchanges and accounts as scaled. A limit of calls a day raises accounts until the goal can be met."""
    by = scale if campaign.scales else 1.0
    goal, accounts = max(1, round(campaign.goal / by)), max(1, round(campaign.accounts / by))
    if campaign.conducts.per_day is not None:
        useful = campaign.conducts.per_day * (1 - campaign.conducts.cover[1])
        accounts = max(accounts, math.ceil(goal / (useful * campaign.days)))
    return goal, accounts


def recruit(
    campaign: CampaignSettings, accounts: int, settled: Settled, town: Town, rng: Rng, *, span: Sequence[int]
) -> Recruits:
    """Draw an operator's accounts: from the same path as everybody's.

    Args:
        campaign: what it is like.
        accounts: how many it begins with.
        settled: ordinary people, whom it may use or hide among.
        town: where values come from.
        rng: where from.
        span: microseconds: when the world begins, when the operator does, and when the world ends.
    """
    start, begin, end = span
    conduct, traits = campaign.conducts, campaign.all_traits
    replaces = conduct.replace is not None
    stock = accounts if not replaces else math.ceil(accounts * conduct.most)
    if conduct.pollute and conduct.source == "made":
        traits = traits.model_copy(update={"program": POPULAR})
    traits = traits.model_copy(update={"size": (1.0, 1.0)})
    if conduct.drawn:
        sizes = group_sizes(ranges().cohorts[conduct.drawn], accounts, 1.0, rng)
        people, _ = draw_people(traits, sizes, town, rng, origin=start, end=end)
        return Recruits(people, of_others=False, first=accounts, aged=0, victims=[], hosts=[])
    people, _ = draw_people(traits, np.array([stock]), town, rng, origin=begin, end=end)
    people.begin = np.full(stock, begin)
    aged = min(stock - accounts, round(float(conduct.spares[1]) * accounts)) if replaces else 0
    people.created[accounts + aged :] = FOREVER
    people.begin[accounts:] = FOREVER
    people.template = np.where(people.template < 0, people.free, people.template).astype(np.int32)
    of_others, victims, hosts = conduct.source != "made", [], []
    if of_others:
        people = _others(people, settled, rng, begin, bought=conduct.source == "bought")
    if conduct.inside:
        hosts = _among(people, settled, conduct.inside, rng)
    if conduct.victim:
        victims = _planted(people, settled, rng, address=conduct.victim == "address")
    if conduct.pollute:
        _popular(people, settled, town, rng)
    return Recruits(people, of_others, min(accounts, len(people)), aged, victims, hosts)


def _others(people: People, settled: Settled, rng: Rng, begin: int, *, bought: bool) -> People:
    """Use ordinary people's accounts: established ones who are alone. Bought ones end with their sale."""
    ordinary = settled.people
    homes = np.flatnonzero(
        np.isin(settled.cohort, [code for code, name in enumerate(settled.names) if not ranges().cohorts[name].grouped])
        & (ordinary.created < begin - _ESTABLISHED * DAY)
        & (ordinary.until > begin)
    )
    chosen = rng.permutation(homes)[: len(people)].astype(np.int32)
    people = people.take(np.arange(len(chosen)))
    people.account = chosen
    for name in ("created", "card", "domain", "verified", "organisation", "issuer"):
        setattr(people, name, getattr(ordinary, name)[chosen].copy())
    if bought:
        ordinary.until[chosen] = begin - (rng.random(len(chosen)) * 5 * DAY).astype(np.int64)
    return people


def _among(people: People, settled: Settled, cohort: str, rng: Rng) -> list[int]:
    """Put some accounts among a reseller's customers, of whom they are then 5%: with its addresses, card and domain."""
    names = [name for name in (cohort, *_HOSTS) if name in settled.names]
    if not names:
        return []
    rows = np.flatnonzero(settled.cohort == settled.names.index(names[0]))
    groups, sizes = np.unique(settled.group[rows], return_counts=True)
    host, size = int(groups[np.argmax(sizes)]), int(sizes.max())
    customers = rng.permutation(len(people))[: max(1, round(size * _CUSTOMERS / (1 - _CUSTOMERS)))]
    pattern = rng.choice(rows[settled.group[rows] == host], len(customers))
    for name in ("address", "hop", "pool", "lease", "card", "domain", "verified", "organisation", "issuer"):
        getattr(people, name)[customers] = getattr(settled.people, name)[pattern]
    return [host]


def _planted(people: People, settled: Settled, rng: Rng, *, address: bool) -> list[int]:
    """Show what an established office shows: its domain (which nobody verifies), programs and system prompts.

    Half of the accounts send its templates too, where it has any. Its card, signed devices and organisation cannot be had. With
    `address` the calls come from its network as well, as if through a machine of it.
    """
    for name in ("offices", "saas", "declared", "niche"):
        if name in settled.names:
            break
    else:
        return []
    rows = np.flatnonzero(settled.cohort == settled.names.index(name))
    # The one whose people have been there for longest, half of them at least.
    groups, number = np.unique(settled.group[rows], return_inverse=True)
    ages = [float(np.median(settled.people.created[rows[number == each]])) for each in range(len(groups))]
    victim = int(groups[int(np.argmin(ages))])
    pattern = rng.choice(rows[settled.group[rows] == victim], len(people))
    plant(people, settled.people, pattern, address=address)
    return [victim]


def plant(people: People, others: People, pattern: NDArray[Any], *, address: bool) -> None:
    """Give people the assertable evidence of others, in place."""
    names = ["domain", "client", "system", *(["address", "hop", "pool", "lease"] if address else [])]
    for name in names:
        setattr(people, name, getattr(others, name)[pattern].copy())
    half = (np.arange(len(people)) % 2 == 0) & (others.template[pattern] >= 0)
    people.template = np.where(half, others.template[pattern], people.template)
    people.verified = np.zeros(len(people), bool)


def _popular(people: People, settled: Settled, town: Town, rng: Rng) -> None:
    """Use what many strangers use, so that it becomes evidence against them: in place."""
    n = len(people)
    people.system = town.programs.systems()[people.client].astype(np.int32)
    half: Bools = rng.random(n) < 0.5  # noqa: PLR2004
    people.template = np.where(half, town.viral, people.template).astype(np.int32)
    people.domain = rng.integers(0, len(FREE_MAIL), n).astype(np.int32)
    crowded = [code for code, name in enumerate(settled.names) if name in {"cgnat", "relays"}]
    rows = np.flatnonzero(np.isin(settled.cohort, crowded))
    if len(rows):
        pattern: Ints = rng.choice(rows, n).astype(np.int32)
        people.address = np.where(half, settled.people.address[pattern], people.address)
        people.hop = np.where(half, settled.people.hop[pattern], people.hop)
        people.lease = np.where(half, 0, people.lease).astype(np.int32)
