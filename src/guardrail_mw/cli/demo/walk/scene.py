"""Who is there: an office, a small campaign and others, drawn as `guardrail-mw simulate` draws them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

import numpy as np

from guardrail_mw.simulate.world.arrays import DAY, HOUR, MINUTE
from guardrail_mw.simulate.world.scenario import Scenario
from guardrail_mw.simulate.world.town import FREE_MAIL
from guardrail_mw.simulate.world.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrail_mw.simulate.world.batch import Batch

__all__ = ["DAYS", "MINUTES", "SIDES", "Scene", "Side", "scenario"]

Side: TypeAlias = Literal["campaign", "office", "others"]
SIDES: Final[tuple[Side, ...]] = get_args(Side)
DAYS: Final = 30
"""Of history, before the day on which it happens."""
_OPENS: Final = 14
"""The hour, UTC, at which it begins."""
MINUTES: Final = 50
"""That it takes, by the demo's clock."""
_WAITS: Final = 2
"""Minutes after that, at which the campaign begins."""


def scenario() -> Scenario:
    """A small town whose one office is busy, and an operator who wants an office's worth of answers every half hour.

    The office and the operator are drawn from the ranges that the simulation's are; the office works with all it has, so that
    both make as many requests.
    """
    begins = DAYS + (_OPENS + _WAITS / 60) / 24
    return Scenario.model_validate(
        {
            "name": "demo",
            "days": DAYS + 1,
            "ordinary_days": DAYS,
            "accounts": 300,
            "mix": {"homes": 0.6, "households": 0.1, "agents": 0.05, "offices": 0.25},
            "cohorts": {"offices": {"traits": {"size": [75, 75], "rate": [60, 90], "active": 1, "zones": 0}}},
            "models": [{"name": "demo-large"}, {"name": "demo-small"}],
            "campaigns": [
                {
                    "operator": "campaign",
                    "accounts": 40,
                    "goal": 12_000,
                    "start": begins,
                    "days": 0.4,
                    "means": ["cards-50"],
                    "conduct": {"hours": 24},
                }
            ],
        }
    )


class Scene:
    """Everybody, their past, and what they call in the time that is shown. Of one seed it is always the same."""

    def __init__(self, seed: int) -> None:
        self.world = World(scenario(), seed)
        self.begin: Final = self.world.start + DAYS * DAY + _OPENS * HOUR
        """µs."""
        self.end: Final = self.begin + MINUTES * MINUTE
        labels = self.world.labels
        office = labels.cohort == labels.cohorts.index("offices")
        self._sides: list[int] = np.where(labels.operator >= 0, 0, np.where(office, 1, 2)).tolist()

    def side(self, row: int) -> Side:
        """Whose an account is: what the guard never learns."""
        return SIDES[self._sides[row]]

    def accounts(self) -> Iterator[tuple[str, Side]]:
        """The key of every account, and whose it is."""
        for row, real in enumerate(self.world.accounts.real.tolist()):
            if real:
                yield self.world.accounts.name(row), self.side(row)

    def history(self) -> Iterator[dict[str, Any]]:
        """What the service has kept of the days before, as `clusters import --history` reads it: to be taken once."""
        accounts, addresses, times = [], [], []
        while self.world.at < self.begin:
            batch = next(self.world.batches())
            accounts.append(batch.account)
            addresses.append(batch.address)
            times.append(batch.at)
        for link in self.world.links(0, self.begin):
            if link.value not in FREE_MAIL:  # anybody can have an address there
                yield {
                    "account": self.world.accounts.name(link.account),
                    "kind": link.kind,
                    "value": link.value,
                    "created": link.created,
                    "first_seen": max(link.created, self.world.start),
                    "last_seen": self.begin,
                }
        account, address, at = (np.concatenate(each) for each in (accounts, addresses, times))
        used = account.astype(np.int64) * len(self.world.addresses) + address.astype(np.int64)
        pairs, first = np.unique(used, return_index=True)  # of what is in time's order the first, and the last
        last = len(used) - 1 - np.unique(used[::-1], return_index=True)[1]
        for pair, since, until in zip(pairs.tolist(), at[first].tolist(), at[last].tolist(), strict=True):
            row, where = divmod(pair, len(self.world.addresses))
            yield {
                "account": self.world.accounts.name(row),
                "kind": "network",
                "value": self.world.addresses[where],
                "first_seen": since,
                "last_seen": until,
            }

    def calls(self) -> Batch:
        """The calls of that time, in order: to be taken once, next."""
        batch = next(self.world.batches())
        return batch.take(slice(int(np.searchsorted(batch.at, self.end))))
