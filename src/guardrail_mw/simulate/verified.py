"""What being asked to solve, or to prove who one is, came to: for operators in documents and dollars, for people in minutes.

A reader of labels, as the table is; nothing of it reaches what decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from guardrail_mw.simulate import words
from guardrail_mw.simulate.codes import ASKED, CODES
from guardrail_mw.simulate.visiting import Came
from guardrail_mw.simulate.world.arrays import MINUTE
from guardrail_mw.simulate.world.papers import figures, figures_hash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail_mw.simulate.visits import Visits
    from guardrail_mw.simulate.world.world import World

__all__ = ["OUTCOMES", "verified"]

OUTCOMES: Final = ("approved", "duplicate", "declined", "many", "unavailable", "over")


def verified(world: World, visits: Visits) -> dict[str, Any]:
    """All figures, as JSON has them."""
    return {
        "whose": world.scenario.verification.whose if world.scenario.verification is not None else "",
        "papers": figures_hash(),
        "assumed": figures().model_dump(mode="json"),
        "operators": [_operator(world, visits, number) for number in range(len(world.operators))],
        "people": _people(world, visits),
    }


def _operator(world: World, visits: Visits, number: int) -> dict[str, Any]:
    used = {**world.papers.used(number), "solve": int(visits.solved[number])}
    mine = np.unique(np.append(world.operators[number].rows, np.flatnonzero(world.labels.operator == number)))
    asked = mine[visits.asked[mine] > 0]
    return {
        "operator": world.scenario.campaigns[number].operator,
        "has": world.papers.has(number),
        "used": used,
        "dollars": round(figures().dollars(used), 2),
        "asked": len(asked),
        "verified": int((visits.passed[mine] > 0).sum()),
        "begun": int(visits.begun[number]),
        "outcomes": {what: visits.outcomes[number, what] for what in OUTCOMES if (number, what) in visits.outcomes},
        "served_after_asked": int(visits.after[asked].sum()),
        "most_after_asked": int(visits.after[asked].max(initial=0)),
    }


def _people(world: World, visits: Visits) -> dict[str, Any]:
    """Those who act for themselves: how long from a refusal to the next answer, without what the provider took."""
    labels = world.labels
    theirs = [visit for (_, operator), visit in visits.open.items() if operator < 0]
    came = [
        *visits.came,
        *[Came(each.account, each.first, each.since, 0, 0, 0, verified=False) for each in theirs if each.idle],
    ]
    by_cohort: dict[str, list[Came]] = {}
    for each in came:
        owner = int(labels.operator[each.account])
        name = labels.cohorts[labels.cohort[each.account]] if owner < 0 else world.scenario.campaigns[owner].operator
        by_cohort.setdefault(name, []).append(each)
    return {
        "all": _waits(came),
        "by_cohort": {name: _waits(part) for name, part in sorted(by_cohort.items())},
        "by_rung": {
            CODES[code]: _waits([each for each in came if each.first == code])
            for code in sorted({each.first for each in came})
        },
        "solved": int(visits.solved[-1]),
        "begun": int(visits.begun[-1]),
        "outcomes": {what: visits.outcomes[-1, what] for what in OUTCOMES if (-1, what) in visits.outcomes},
        "without_a_link": visits.without_link,
        "waiting_at_the_end": sum(not each.idle for each in theirs),
    }


def _waits(came: Sequence[Came]) -> dict[str, Any]:
    """Minutes: all but the provider's, and of these what is neither the provider's nor the person's own."""
    whole = np.array([each.done - each.since - each.provider if each.done else 0 for each in came], np.int64)
    ours = np.array(
        [max(1, each.done - each.since - each.provider - each.own) if each.done else 0 for each in came], np.int64
    )
    return {
        "visits": len(came),
        "accounts": len({each.account for each in came}),
        "asked": sum(each.first == ASKED for each in came),
        "never": sum(not each.done for each in came),
        "median": _minutes(words.quantile(np.maximum(whole, np.sign(ours)), 0.5)),
        "p95": _minutes(words.quantile(np.maximum(whole, np.sign(ours)), 0.95)),
        "ours_median": _minutes(words.quantile(ours, 0.5)),
        "ours_p95": _minutes(words.quantile(ours, 0.95)),
    }


def _minutes(us: float | None) -> float | None:
    return None if us is None else round(us / MINUTE, 3)
