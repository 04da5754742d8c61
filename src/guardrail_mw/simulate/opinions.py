"""What other judges would have made of a run's clusters: when they would have contained its operators, and whom besides.

They see the clusters as the run found them. What an operator would have done under another verdict is not known: a run says
that, under a policy with that judge. So their figures are hours and members, no leak.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from guardrail_mw.simulate import words
from guardrail_mw.simulate.judges import JUDGES
from guardrail_mw.simulate.world.arrays import HOUR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from guardrail_mw.simulate.ledgers import Found

__all__ = ["ORACLE", "Opinions"]

ORACLE: Final = "oracle"
"""Suspects a watched cluster if more than half of it is one operator's."""


class Opinions:
    """Opinions, look by look.

    Args:
        accounts: how many there are.
        people: which of them are nobody's but their own.
    """

    def __init__(self, accounts: int, people: NDArray[np.bool_]) -> None:
        self._people = people
        many = len(JUDGES) + 1
        self._since = np.zeros((many, accounts), np.int64)
        """µs since when an account has been in a cluster that the judge suspects; 0 where it is in none."""
        self._most = np.zeros(many, np.int64)
        self._wrong: list[set[str]] = [set() for _ in range(many)]

    def look(self, at: int, clusters: Sequence[Found], whose: NDArray[np.int64]) -> None:
        """Clusters were worked out anew.

        Args:
            at: µs.
            clusters: all there are.
            whose: the operator of each, as far as it goes, or -1.
        """
        inside = np.zeros_like(self._since, np.bool_)
        for index, each in enumerate(clusters):
            owned = index < len(whose) and whose[index] >= 0
            who = np.append(each.suspected, owned and each.verdict >= 1) if len(each.suspected) else None
            if who is None or not who.any():
                continue
            inside[np.ix_(np.flatnonzero(who), each.rows)] = True
            self._most[who] = np.maximum(self._most[who], int(self._people[each.rows].sum()))
            if not owned:
                for judge in np.flatnonzero(who).tolist():
                    self._wrong[judge].add(each.id)
        self._since = np.where(inside, np.where(self._since > 0, self._since, at), 0)

    def figures(self, operators: Sequence[tuple[str, int, NDArray[np.int64]]]) -> list[dict[str, Any]]:
        """What each came to, a mapping a judge.

        Hours until half and 95% of each operator's accounts were suspect for good, None for never; the most ordinary members of
        one suspect cluster at any look; how many suspect clusters were no operator's.

        Args:
            operators: names, when each began (µs), and the rows of its accounts.
        """
        return [
            {
                "judge": name,
                "contained": {
                    operator: [self._hours(self._since[judge][rows], share, begin) for share in (0.5, 0.95)]
                    for operator, begin, rows in operators
                },
                "ordinary_in_a_suspect_cluster": int(self._most[judge]),
                "suspect_clusters_of_no_operator": len(self._wrong[judge]),
            }
            for judge, name in enumerate((*JUDGES, ORACLE))
        ]

    @staticmethod
    def _hours(since: NDArray[np.int64], share: float, begin: int) -> float | None:
        when = words.contained(since, share)
        return None if when is None else round((when - begin) / HOUR, 2)
