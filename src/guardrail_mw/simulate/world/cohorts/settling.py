"""Which cohorts a world has, how many groups of each, and their people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from guardrail_mw.simulate.world.arrays import Ints, Rng, Shorts
from guardrail_mw.simulate.world.cohorts.special import SPECIAL, Span
from guardrail_mw.simulate.world.drawing import draw_people
from guardrail_mw.simulate.world.figures import whole
from guardrail_mw.simulate.world.people import People
from guardrail_mw.simulate.world.ranges import Cohort, Traits, merged, ranges
from guardrail_mw.simulate.world.scenario import Scenario
from guardrail_mw.simulate.world.town import Town

__all__ = ["FLOOR", "Settled", "group_sizes", "settle", "shares"]

FLOOR: Final = 20
"""Accounts of the smallest group that a verdict may judge: no scale makes a larger group smaller than this."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Ordinary people, cohort by cohort."""

    people: People
    names: list[str]
    cohort: Shorts
    group: Ints
    held_out: list[bool]
    """Of each cohort."""


def shares(scenario: Scenario) -> dict[str, Cohort]:
    """The cohorts that take part; `share` is each one's part of the whole."""
    known = {
        name: Cohort.model_validate(merged(cohort.model_dump(exclude_unset=True), scenario.cohorts.get(name, {})))
        for name, cohort in ranges().cohorts.items()
    }
    if scenario.mix:
        chosen = {name: known[name].model_copy(update={"share": share}) for name, share in scenario.mix.items() if share > 0}
    elif scenario.only_held_out:
        chosen = {name: each for name, each in known.items() if each.held_out or not each.grouped}
    else:
        chosen = {name: each for name, each in known.items() if scenario.held_out or not each.held_out}
    total = sum(each.share for each in chosen.values())
    return {name: each.model_copy(update={"share": each.share / total}) for name, each in chosen.items()}


def group_sizes(cohort: Cohort, accounts: int, scale: float, rng: Rng) -> NDArray[np.int64]:
    """Sizes of as many groups as make up a cohort's accounts; exactly so many in all, but never half a group of the least size.

    A large cohort's groups are divided by the scale. A last group that is less than the least size goes to the others, or is
    the only one.
    """
    low, high = cohort.traits.size
    if high <= 1:
        return np.ones(accounts, np.int64)
    if cohort.large:
        low, high = max(min(low, FLOOR), low / scale), max(min(high, FLOOR), high / scale)
    mean = (high - low) / np.log(high / low) if high / low >= 10 else (high + low) / 2  # noqa: PLR2004
    sizes = whole((low, high), rng, max(1, int(2 * accounts / mean) + 5))
    while sizes.sum() < accounts:
        sizes = np.concatenate((sizes, whole((low, high), rng, len(sizes))))
    last = int(np.searchsorted(np.cumsum(sizes), accounts))
    sizes = sizes[: last + 1].copy()
    sizes[-1] -= sizes.sum() - accounts
    if sizes[-1] < low and len(sizes) > 1:
        rest, sizes = int(sizes[-1]), sizes[:-1]
        sizes += rest // len(sizes)
        sizes[: rest % len(sizes)] += 1
    return sizes


def settle(scenario: Scenario, accounts: int, town: Town, rng: Rng, span: Span) -> Settled:
    """Draw so many ordinary accounts."""
    cohorts, groups = shares(scenario), 0
    parts: list[People] = []
    cohort: list[Shorts] = []
    group: list[Any] = []
    quotas = np.array([each.share * accounts for each in cohorts.values()])
    whole_quotas = np.floor(quotas).astype(int)
    whole_quotas[np.argsort(whole_quotas - quotas)[: accounts - int(whole_quotas.sum())]] += 1
    for code, (each, quota) in enumerate(zip(cohorts.values(), whole_quotas.tolist(), strict=True)):
        if not quota:
            continue
        people, number = _cohort(each, each.traits, quota, scenario, town, rng, span)
        people.rate *= np.float32(scenario.volume)
        people.account += np.int32(sum(map(len, parts)))
        parts.append(people)
        cohort.append(np.full(len(people), code, np.int16))
        group.append(number + groups)
        groups += int(number.max()) + 1
    people = People.joined(parts) if parts else draw_people(Traits(), np.zeros(0, int), town, rng, origin=0, end=0)[0]
    none: list[Any] = [np.zeros(0, np.int16)]
    return Settled(
        people,
        list(cohorts),
        np.concatenate(cohort or none),
        np.concatenate(group or none).astype(np.int32),
        [each.held_out for each in cohorts.values()],
    )


def _cohort(
    cohort: Cohort, traits: Traits, quota: int, scenario: Scenario, town: Town, rng: Rng, span: Span
) -> tuple[People, Ints]:
    # Half of a migration's accounts are the new ones of the same people.
    sizes = group_sizes(cohort, max(1, quota // 2) if cohort.special == "migration" else quota, scenario.scale, rng)
    people, group = draw_people(traits, sizes, town, rng, origin=span.start, end=span.end)
    if cohort.special:
        return SPECIAL[cohort.special](people, group, rng, span)
    return people, group
