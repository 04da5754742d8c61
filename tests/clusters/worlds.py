"""Worlds to find clusters in: a few thousand accounts of ordinary kinds, and campaigns among them, from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from .kit import DAY, Crowd, key

__all__ = ["NOW", "Campaign", "Made", "make"]

NOW: Final = 120 * DAY
"""Hours: the end of what was seen."""
_OLDEST: Final = -400 * DAY


@dataclass(frozen=True)
class Campaign:
    """Accounts by cards of 20, addresses of 10 and one system prompt; crossed, where cards and addresses group them otherwise."""

    name: str
    accounts: int
    crossed: bool


@dataclass
class Made:
    """A world, and who is who."""

    crowd: Crowd = field(default_factory=Crowd)
    cohorts: dict[str, set[str]] = field(default_factory=dict)

    def whose(self, account: str) -> str:
        """The cohort of an account."""
        return next(name for name, members in self.cohorts.items() if account in members)


class _Maker:
    def __init__(self, seed: int) -> None:
        self.made = Made()
        self._random = random.Random(seed)
        self._fresh = count(1)
        self._agents = [next(self._fresh) for _ in range(100)]
        self._client = next(self._fresh)
        self._client_texts = [next(self._fresh) for _ in range(12)]

    def new(self, many: int) -> list[int]:
        return [next(self._fresh) for _ in range(many)]

    def since(self, oldest: int = _OLDEST, newest: int = NOW) -> int:
        return self._random.randrange(oldest, newest)

    def agent(self) -> int:
        """Few programs make most requests."""
        return self._agents[min(99, int(self._random.paretovariate(0.8)) - 1)]

    def add(self, cohort: str, since: int, values: list[tuple[str, int]], late: int = 0) -> str:
        """An account; the first edges are those of the day when evidence began to be kept, or of its own first."""
        members = self.made.cohorts.setdefault(cohort, set())
        name = f"a:{self._random.getrandbits(48):012x}"
        at = max(0, since) + late
        members.add(self.made.crowd.add(name, since, {key(kind, digest): at for kind, digest in values}))
        return name

    def habits(self) -> list[tuple[str, int]]:
        """What anybody may have besides: the popular client, and its texts."""
        found = [("agent", self.agent())]
        if self._random.random() < 0.15:
            found.append(("system", self._client))
            found += [("shingle", each) for each in self._random.sample(self._client_texts, 6)]
        return found

    def home(self) -> None:
        card, addresses, device = self.new(1)[0], self.new(2), self.new(1)[0]
        for _ in range(self._random.randint(1, 4)):
            values = [("payment", card), ("network", self._random.choice(addresses)), *self.habits()]
            if self._random.random() < 0.5:
                values.append(("device", device))
            self.add("home", self.since(), values)

    def office(self, many: int) -> None:
        card, egress, organisation, prompt, *devices = self.new(4 + many // 3)
        begun = self.since(newest=NOW - 20 * DAY)
        for _ in range(many):
            shown = [("payment", card), ("network", egress), ("organisation", organisation)]
            shown += [("device", self._random.choice(devices)), ("network", self.new(1)[0]), ("agent", self.agent())]
            if self._random.random() < 0.4:
                shown.append(("system", prompt))
            self.add("office", self.since(begun), shown)

    def carrier(self, many: int) -> None:
        address, wide = self.new(2)
        for _ in range(many):
            shown = [("payment", self.new(1)[0]), ("network", address), ("network_wide", wide), *self.habits()]
            self.add("carrier", self.since(), shown)

    def service(self, many: int) -> None:
        card, egress, prompt = self.new(3)
        for _ in range(many):
            shown = [("payment", card), ("network", egress), ("system", prompt), ("agent", self._agents[3])]
            self.add("service", self.since(-30 * DAY), shown)

    def loner(self) -> None:
        self.add("loner", self.since(), [("payment", self.new(1)[0]), ("network", self.new(1)[0]), *self.habits()])

    def campaign(self, plan: Campaign) -> None:
        prompt, agent = self.new(2)
        texts, cards, addresses = self.new(90), self.new(plan.accounts // 20 + 1), self.new(plan.accounts // 10 + 1)
        by_card, by_address = list(range(plan.accounts)), list(range(plan.accounts))
        if plan.crossed:
            self._random.shuffle(by_card)
            self._random.shuffle(by_address)
        for card, address in zip(by_card, by_address, strict=True):
            shown = [("payment", cards[card // 20]), ("network", addresses[address // 10])]
            shown += [("system", prompt), ("agent", agent)]
            shown += [("shingle", each) for each in sorted(self._random.sample(texts, 60))[:16]]  # the lowest are kept
            self.add(plan.name, self.since(NOW - 60 * DAY, NOW - 5 * DAY), shown, late=self._random.randrange(12))


def make(seed: int, accounts: int, *campaigns: Campaign) -> Made:
    """So many accounts in all: a few offices, one carrier's address, a service, campaigns, and homes and loners for the rest."""
    maker = _Maker(seed)
    for many in (accounts // 20, accounts // 40, 30, 12):
        maker.office(many)
    maker.carrier(accounts // 12)
    maker.service(accounts // 16)
    for each in campaigns:
        maker.campaign(each)
    while len(maker.made.crowd.since) < accounts:
        if maker._random.random() < 0.5:
            maker.home()
        else:
            maker.loner()
    return maker.made
