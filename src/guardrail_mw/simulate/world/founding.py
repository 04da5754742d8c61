"""Everybody who will ever be in a world, put into an order that says nothing; and what is true of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from guardrail_mw.simulate.world.arrays import DAY, Ints, Rng
from guardrail_mw.simulate.world.campaigns.operator import Force, Operator
from guardrail_mw.simulate.world.campaigns.recruiting import Recruits, begins_with, recruit
from guardrail_mw.simulate.world.cohorts import Settled, Span, settle
from guardrail_mw.simulate.world.labels import Labels
from guardrail_mw.simulate.world.people import People
from guardrail_mw.simulate.world.scenario import CampaignSettings, Scenario
from guardrail_mw.simulate.world.town import Town

__all__ = ["Founded", "found"]


class Founded(NamedTuple):
    """What a world begins with."""

    people: People
    labels: Labels
    operators: list[Operator]


class _Hired(NamedTuple):
    """A campaign and whom it has."""

    campaign: CampaignSettings
    goal: int
    begin: int
    recruits: Recruits
    rows: slice
    """Their places before they are put in order."""


def found(scenario: Scenario, start: int, end: int, town: Town, rng: Rng) -> Founded:
    """Draw ordinary people, then operators' accounts, which may be or use ordinary ones.

    Args:
        scenario: who there should be.
        start: microseconds.
        end: likewise.
        town: where values come from.
        rng: where chance comes from.
    """
    plans = [begins_with(each, scenario.scale) for each in scenario.campaigns]
    needed = scenario.accounts
    if needed is None:
        needed = round(scenario.ratio * sum(accounts for _, accounts in plans))
    viral = start + int((0.3 + 0.5 * rng.random()) * (end - start))
    settled = settle(scenario, needed, town, rng, Span(start, end, (viral, viral + int(scenario.viral[1] * DAY))))
    hired, first = list[_Hired](), len(settled.people)
    for campaign, (goal, accounts) in zip(scenario.campaigns, plans, strict=True):
        begin = start + int((scenario.ordinary_days if campaign.start is None else campaign.start) * DAY)
        mine = recruit(campaign, accounts, settled, town, rng, span=(start, begin, end))
        hired.append(_Hired(campaign, goal, begin, mine, slice(first, first + len(mine.people))))
        first += len(mine.people)
    people = People.joined([settled.people, *(each.recruits.people for each in hired)])
    owner = np.arange(len(people))
    owner[: len(settled.people)] = settled.people.account
    for each in hired:
        if each.recruits.of_others:
            owner[each.rows] = each.recruits.people.account
    order = rng.permutation(len(people))
    place = np.empty(len(people), np.int32)
    place[order] = np.arange(len(people), dtype=np.int32)
    people.account = place[owner]
    return Founded(people.take(order), _labels(settled, hired, order), _operators(hired, place, rng))


def _operators(hired: list[_Hired], place: Ints, rng: Rng) -> list[Operator]:
    operators = []
    for number, (campaign, goal, begin, mine, rows) in enumerate(hired):
        span = begin, begin + int(campaign.days * DAY)
        force = Force(place[rows], mine.first, mine.aged)
        operators.append(Operator(number, campaign.conducts, goal, force, span, rng))
    return operators


def _labels(settled: Settled, hired: list[_Hired], order: NDArray[Any]) -> Labels:
    """Labels by row, put into the same order; what a persona in another's account does is told of that account."""
    n, first = len(order), len(settled.people)
    cohort, group = np.full(n, len(settled.names), np.int16), np.zeros(n, np.int32)
    operator, taken, held = np.full(n, -1, np.int16), np.full(n, -1, np.int16), np.zeros(n, bool)
    cohort[:first], group[:first] = settled.cohort, settled.group
    held[:first] = np.array([*settled.held_out, False])[settled.cohort]
    groups = int(settled.group.max()) + 1 if first else 0
    names = [each.campaign.operator for each in hired]
    labels = Labels([*settled.names, "campaign"], names, cohort, group, operator, taken, held)
    for number, (campaign, _, _, mine, rows) in enumerate(hired):
        operator[rows], group[rows], held[rows] = number, groups + number, campaign.held_out
        if mine.of_others:
            whose = operator if campaign.conducts.source == "bought" else taken
            whose[mine.people.account] = number
        labels.victims[campaign.operator], labels.hosts[campaign.operator] = mine.victims, mine.hosts
    for name in ("cohort", "group", "operator", "taken", "held_out"):
        setattr(labels, name, getattr(labels, name)[order])
    return labels
