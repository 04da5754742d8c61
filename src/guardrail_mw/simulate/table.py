"""The table: what a run came to. The only reader of labels; what it reads reaches nothing that decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from guardrail_mw.simulate import words
from guardrail_mw.simulate.burdens import Burdens
from guardrail_mw.simulate.caller import CODES, VERDICTS
from guardrail_mw.simulate.ledgers import Campaigns, Found, Ordinary
from guardrail_mw.simulate.opinions import Opinions
from guardrail_mw.simulate.world.arrays import HOUR
from guardrail_mw.simulate.world.ranges import ranges_hash

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from guardrail_mw.simulate.caller import Seen
    from guardrail_mw.simulate.world.batch import Batch
    from guardrail_mw.simulate.world.world import World

__all__ = ["Table", "Twin"]

_SUSPECT: Final = VERDICTS.index("suspect")


class Twin:
    """What is noted of a twin run: ordinary people."""

    def __init__(self, world: World) -> None:
        labels, days = world.labels, world.scenario.days
        self.ordinary = Ordinary(world.start, days, labels.cohort, len(labels.cohorts))

    def calls(self, batch: Batch, seen: Seen) -> None:
        """See `run.Book`."""
        self.ordinary.calls(batch, seen)

    def rebuilt(self, at: int, clusters: list[Found]) -> None:
        """A twin has no clusters."""


class Table(Twin):
    """What is noted of a run, and what that comes to."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._world = world
        self._labels = labels = world.labels
        self._people = (labels.operator < 0) & (labels.taken < 0)
        self.campaigns = Campaigns(world.start, world.scenario.days, len(world.accounts), len(labels.operators))
        self.worst: tuple[int, str, int, int] = (0, "", 0, 0)
        """Ordinary members of a suspect cluster, at most: how many, of which, out of how many, at which µs."""
        self.opinions = Opinions(len(world.accounts), self._people)
        self.known = np.zeros(len(labels.operators), np.int64)
        """µs when a cluster of each operator was first watched."""

    def calls(self, batch: Batch, seen: Seen) -> None:
        """See `run.Book`."""
        super().calls(batch, seen)
        self.campaigns.calls(batch, seen)

    def rebuilt(self, at: int, clusters: list[Found]) -> None:
        """See `run.Book`."""
        self.campaigns.rebuilt(at, clusters)
        whose = words.owners(self._counted(self.campaigns.cluster), self.campaigns.owner)
        self.opinions.look(at, clusters, whose)
        for index, each in enumerate(clusters):
            operator = int(whose[index]) if index < len(whose) else -1
            if each.verdict >= 1 and operator >= 0 and not self.known[operator]:
                self.known[operator] = at
            if each.verdict >= _SUSPECT:
                people = each.rows[self._people[each.rows]]
                if len(people) > self.worst[0]:
                    self.worst = (len(people), each.id, len(each.rows), at)

    def _counted(self, cluster: NDArray[Any]) -> NDArray[Any]:
        """Without an operator's accounts that have not called yet: they have got nothing, and are nobody else's."""
        idle = (self._labels.operator >= 0) & (self.campaigns.owner < 0)
        return np.where(idle, -1, cluster)

    # What it comes to

    def figures(self, twin: Twin) -> dict[str, Any]:
        """All figures, as JSON has them.

        Raises:
            ValueError: the twin's ordinary people did something else.
        """
        if twin.ordinary.mark != self.ordinary.mark:
            raise ValueError("the twin's ordinary people called at other times than the run's: they cannot be compared")
        scenario, campaigns = self._world.scenario, self.campaigns
        cluster = self._counted(campaigns.cluster)
        precision, recall, over_accounts = words.b_cubed(cluster, campaigns.owner, len(self._labels.operators))
        pairs = words.pairs(cluster, campaigns.owner)
        operators = [self._operator(number, precision, recall) for number in range(len(self._labels.operators))]
        burdens = Burdens(self._labels, self._world.start, self.ordinary, twin.ordinary, campaigns.ever)
        return {
            "scenario": scenario.name,
            "seed": self._world.seed,
            "ranges": ranges_hash(),
            "days": scenario.days,
            "start": self._world.start,
            "accounts": {"ordinary": int(self._people.sum()), "campaign": int((campaigns.owner >= 0).sum())},
            "exchanges": {
                "ordinary": int(self.ordinary.number.sum()),
                "campaign": int(campaigns.codes.sum()),
            },
            "operators": operators,
            "together": self._together(operators),
            "clusters": {
                "precision_by_account": _figure(over_accounts),
                "precision_by_operator": _mean(precision),
                "recall_by_operator": _mean(recall),
                "pairs": pairs._asdict(),
                "by_verdict": {
                    name: sum(each.verdict == code for each in campaigns.last) for code, name in enumerate(VERDICTS)
                },
                "suspect": self._suspects(),
                "ordinary_in_a_suspect_cluster": dict(zip(("most", "cluster", "of", "at"), self.worst, strict=True)),
            },
            "budgets": self._budgets(),
            "friction": burdens.friction(),
            "framing": burdens.framing(),
            "judges": self.opinions.figures(
                [
                    (name, self._world.operators[number].begin, np.flatnonzero(campaigns.owner == number))
                    for number, name in enumerate(self._labels.operators)
                ]
            ),
            "looks": campaigns.looks,
        }

    def _operator(self, number: int, precision: NDArray[Any], recall: NDArray[Any]) -> dict[str, Any]:
        world, campaigns = self._world, self.campaigns
        plan = world.operators[number]
        settings = world.scenario.campaigns[number]
        mine = np.flatnonzero(campaigns.owner == number)
        served = campaigns.served[number]
        held = words.held(
            self._counted(campaigns.cluster), campaigns.owner, campaigns.exchanges, len(self._labels.operators)
        )[number]
        whose = words.owners(self._counted(campaigns.cluster), campaigns.owner)
        new = mine[(campaigns.first[mine] > self.known[number]) & (self.known[number] > 0)]
        joins = campaigns.joined[new]
        return {
            "operator": settings.operator,
            "attacker": "+".join([settings.attacker, *settings.means]),
            "goal": plan.goal,
            "accounts": len(mine),
            "bought": world.operators[number].bought(world.people),
            "attempts": int(campaigns.attempts[number]),
            "calls": dict(zip(CODES, campaigns.codes[number].tolist(), strict=True)),
            "leak": int(served.sum()) / plan.goal,
            "leak_tokens": int(campaigns.tokens[number]) / (plan.goal * settings.tokens),
            "served": int(served.sum()),
            "budget": self._budget(number),
            "held": _figure(held),
            "clusters": int((whose == number).sum()),
            "precision": _figure(precision[number]),
            "recall": _figure(recall[number]),
            "known_after_hours": _hours(int(self.known[number]) - plan.begin if self.known[number] else None),
            "contained": {
                f"{share:.0%}": self._containment(mine, share, plan.begin, served) for share in (0.5, 0.95)
            },
            "joins": {
                "accounts": len(joins),
                "median": words.quantile(joins, 0.5),
                "p95": words.quantile(joins, 0.95),
            },
            "by_day": served.reshape(-1, 24).sum(axis=1).tolist(),
        }  # fmt: skip

    def _budget(self, number: int) -> dict[str, int]:
        """What an operator's calls were answered before and beside its clusters' budgets, and under those, by UTC days."""
        days = [count for (operator, _, _), count in self.campaigns.bound.items() if operator == number]
        return {
            "before": int(self.campaigns.free[number]),
            "under": sum(days),
            "cluster_days": len(days),
            "most_in_a_day": max(days, default=0),
        }

    def _containment(self, mine: NDArray[Any], share: float, begin: int, served: NDArray[Any]) -> dict[str, Any] | None:
        when = words.contained(self.campaigns.judged[mine], share)
        if when is None:
            return None
        hour = -(-(when - self._world.start) // HOUR)
        return {"hours": _hours(when - begin), "exchanges": int(served[:hour].sum())}

    def _together(self, operators: list[dict[str, Any]]) -> dict[str, Any]:
        goal = sum(each["goal"] for each in operators)
        if not goal:
            return {}
        campaigns = self.campaigns
        inside = words.held(self._counted(campaigns.cluster), campaigns.owner, campaigns.exchanges, len(operators))
        made = np.bincount(campaigns.owner[campaigns.owner >= 0], campaigns.exchanges[campaigns.owner >= 0], len(operators))
        tokens = sum(
            each["goal"] * plan.tokens for each, plan in zip(operators, self._world.scenario.campaigns, strict=True)
        )
        return {
            "goal": goal,
            "leak": sum(each["served"] for each in operators) / goal,
            "leak_tokens": int(campaigns.tokens.sum()) / tokens,
            "held": float(np.nansum(inside * made) / max(1.0, made.sum())),
        }

    def scored(self, clusters: list[Found]) -> dict[str, Any]:
        """What other clusters than the run's would hold of each operator's exchanges, and how exactly."""
        campaigns, operators = self.campaigns, len(self._labels.operators)
        cluster = np.full(len(campaigns.cluster), -1)
        for index, each in enumerate(clusters):
            cluster[each.rows] = index
        cluster = self._counted(cluster)
        held = words.held(cluster, campaigns.owner, campaigns.exchanges, operators)
        _, _, over_accounts = words.b_cubed(cluster, campaigns.owner, operators)
        return {
            "held": {name: _figure(share) for name, share in zip(self._labels.operators, held.tolist(), strict=True)},
            "precision_by_account": _figure(over_accounts),
            "suspect": sum(each.verdict >= _SUSPECT for each in clusters),
            "ordinary_in_suspect_clusters": sum(
                int(self._people[each.rows].sum()) for each in clusters if each.verdict >= _SUSPECT
            ),
        }

    def _suspects(self) -> list[dict[str, Any]]:
        """Each suspect cluster at the end, and the ordinary people in it."""
        found = []
        whose = words.owners(self._counted(self.campaigns.cluster), self.campaigns.owner)
        for index, each in enumerate(self.campaigns.last):
            if each.verdict < _SUSPECT:
                continue
            people = each.rows[self._people[each.rows]]
            operator = int(whose[index]) if index < len(whose) else -1
            found.append(
                {
                    "cluster": each.id,
                    "verdict": VERDICTS[each.verdict],
                    "accounts": len(each.rows),
                    "operator": self._labels.operators[operator] if operator >= 0 else "",
                    "ordinary": len(people),
                    "cohorts": sorted({self._labels.cohorts[code] for code in self._labels.cohort[people].tolist()}),
                }
            )
        return found

    def _budgets(self) -> dict[str, Any]:
        """What members of suspect clusters were served, and the most that one cluster was in a day (UTC)."""
        budgets = self.campaigns.budgets
        return {
            "cluster_days": len(budgets),
            "served": sum(whole for whole, _ in budgets.values()),
            "trimmed": sum(trimmed for _, trimmed in budgets.values()),
            "most_in_a_day": max((whole for whole, _ in budgets.values()), default=0),
        }


def _figure(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _mean(values: NDArray[Any]) -> float | None:
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if len(kept) else None


def _hours(us: int | None) -> float | None:
    return None if us is None else round(us / HOUR, 2)
