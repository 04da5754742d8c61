"""What clusters cost ordinary people: friction by cohort, in their worst thirty days, and what framing does to its victims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from guardrail_mw.simulate import words
from guardrail_mw.simulate.caller import CODES
from guardrail_mw.simulate.ledgers import SERVED
from guardrail_mw.simulate.world.arrays import DAY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from guardrail_mw.simulate.ledgers import Ordinary
    from guardrail_mw.simulate.words import Exceptions
    from guardrail_mw.simulate.world.labels import Labels

__all__ = ["Burdens"]

_RUNGS: Final = CODES[1:]


class Burdens:
    """Of one run beside its twin.

    Args:
        labels: who is who.
        start: µs of the run's first day.
        ordinary: what was noted of the run.
        twin: of the twin.
        ever: of each account, whether it ever was in a suspect cluster.
    """

    def __init__(self, labels: Labels, start: int, ordinary: Ordinary, twin: Ordinary, ever: NDArray[np.bool_]) -> None:
        self._labels, self._start, self._ordinary, self._ever = labels, start, ordinary, ever
        self._people = (labels.operator < 0) & (labels.taken < 0)
        victims = sorted({group for groups in labels.victims.values() for group in groups})
        self._framed = np.isin(labels.group, victims) & self._people
        run, other = ordinary.exceptions(), twin.exceptions()
        self._worse = words.worse(run, other)
        self._denied = words.denied(run, other)

    def friction(self) -> dict[str, Any]:
        """Of ordinary people in nobody's hands; whom a frame was to hit is counted apart."""
        counted = self._people & ~self._framed
        worse = self._worse.take(np.flatnonzero(counted[self._worse.account]))
        denied = self._denied[counted[self._denied]]
        cohorts = self._labels.cohorts[:-1]
        by_cohort = {
            name: found
            for code, name in enumerate(cohorts)
            if (found := self._touched(worse, denied, counted & (self._labels.cohort == code), [code])) is not None
        }
        return {
            "all": self._touched(worse, denied, counted, list(range(len(cohorts)))),
            "cohorts": by_cohort,
            "denied_outside_suspect_clusters": int((~self._ever[denied]).sum()),
            "denied": [
                {
                    "account": int(row),
                    "cohort": self._labels.cohorts[self._labels.cohort[row]],
                    "in_a_suspect_cluster": bool(self._ever[row]),
                }
                for row in denied.tolist()
            ],
        }

    def _touched(
        self, worse: Exceptions, denied: NDArray[Any], who: NDArray[Any], cohorts: list[int]
    ) -> dict[str, Any] | None:
        """Of some accounts, in their worst thirty days; None where none of them called."""
        mine = worse.take(np.flatnonzero(who[worse.account]))
        day = (mine.at - self._start) // DAY
        window = words.worst_window(mine.account, day, len(self._ordinary.active))
        span = slice(window.first, window.first + words.WINDOW)
        active = np.flatnonzero(self._ordinary.active[span].any(axis=0) & who)
        if not len(active):
            return None
        group, groups = self._groups(who, active)
        inside = mine.take(np.flatnonzero((day >= window.first) & (day < window.first + words.WINDOW)))
        requests = int(self._ordinary.requests[span][:, cohorts].sum())
        hit = words.touched_groups(window.accounts, group) if groups else np.zeros(0, np.int64)
        return {
            "first_day": window.first,
            "accounts": len(active),
            "touched": len(window.accounts),
            "share": len(window.accounts) / len(active),
            "groups": groups,
            "groups_touched": len(hit),
            "requests": requests,
            "worse": len(inside),
            "rungs": {
                name: {
                    "requests": int((inside.code == code).sum()),
                    "accounts": len(np.unique(inside.account[inside.code == code])),
                }
                for code, name in enumerate(_RUNGS, 1)
            },
            "denied": int(who[denied].sum()),
        }

    def _groups(self, who: NDArray[Any], active: NDArray[Any]) -> tuple[NDArray[Any], int]:
        """The group of each account, -1 for those that are alone; and how many groups had somebody who called."""
        group = np.where(who, self._labels.group, -1)
        sizes = np.bincount(group[group >= 0])
        group = np.where(sizes[np.maximum(group, 0)] < 2, -1, group)  # noqa: PLR2004 - one person is no group
        return group, len(np.unique(group[active][group[active] >= 0]))

    def framing(self) -> list[dict[str, Any]]:
        """What became of those whose evidence an operator planted."""
        worse, found = self._worse, []
        for operator, groups in self._labels.victims.items():
            for group in groups:
                who = (self._labels.group == group) & self._people
                mine = who[worse.account]
                found.append(
                    {
                        "operator": operator,
                        "accounts": int(who.sum()),
                        "touched": len(np.unique(worse.account[mine])),
                        "denied_or_limited": len(np.unique(worse.account[mine & (worse.code > SERVED)])),
                        "ever_in_a_suspect_cluster": int(self._ever[who].sum()),
                    }
                )
        return found
