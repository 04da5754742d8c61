"""Who can solve a challenge, who can be verified, with which documents, and how long that takes and what it costs.

Ordinary people have a document each; where an organisation is verified, its members show the organisation's. An operator has what
its scenario gives it: documents of people who lend them (mules), companies that exist on paper, a farm that solves. What one of
these costs, and how long people take, stands in `papers.yaml`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from math import exp, log
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
import yaml
from pydantic import Field

from guardrail_mw.simulate.world.arrays import SECOND, mix, unit
from guardrail_mw.simulate.world.people import People
from guardrail_mw.simulate.world.ranges import Part

__all__ = ["Figures", "Papers", "PapersSettings", "Price", "Share", "Span", "figures", "figures_hash"]

_FILE: Final = Path(__file__).with_name("papers.yaml")
_NORMAL: Final = NormalDist()
_P95: Final = 1.6448536
_SALTS: Final[Mapping[str, int]] = {"program": 201, "hands": 202, "consent": 203, "provider": 204, "transport": 205}


class Price(Part):
    """What one costs."""

    dollars: Annotated[float, Field(ge=0)]
    source: str


class Span(Part):
    """How long something takes."""

    span: tuple[float, float]
    """Seconds: the median and the 95th percentile."""
    source: str


class Share(Part):
    """How many there are of a sort."""

    share: Annotated[float, Field(ge=0, le=1)]
    source: str


class Figures(Part):
    """The whole file."""

    version: int
    prices: dict[str, Price]
    """`document`, `company`, `solve`."""
    times: dict[str, Span]
    """`program`, `hands`, `consent`, `provider`."""
    transport: Share

    def dollars(self, used: Mapping[str, int]) -> float:
        """What so many of each cost."""
        return sum(self.prices[name].dollars * many for name, many in used.items())


@cache
def figures() -> Figures:
    """The file, read once."""
    return Figures.model_validate(yaml.safe_load(_FILE.read_text("utf-8")))


def figures_hash() -> str:
    """The file's SHA-256, 16 digits of it."""
    return sha256(_FILE.read_bytes()).hexdigest()[:16]


class PapersSettings(Part):
    """What an operator can show."""

    people: Annotated[int, Field(ge=0)] = 0
    """Documents of people who lend them."""
    each: Annotated[int, Field(ge=1)] = 3
    """Accounts that it shows one for: it knows how many a document is good for."""
    companies: Annotated[int, Field(ge=0)] = 0
    """Companies that it has registered; it shows each once."""
    solves: bool = False
    """Whether a farm solves its challenges."""
    moves: bool = False
    """Whether it moves its work to the accounts that get on; where none does it waits."""
    honest: bool = False
    """It is no campaign, though it looks like one: people with a document each, who do what people do when they are asked."""


_NOTHING: Final = PapersSettings()


class _Stock(NamedTuple):
    """What an operator has shown so far."""

    people: dict[int, str]
    """The document by account."""
    companies: dict[str, str]
    """By whose organisation it was to be."""


class Papers:
    """Everybody's.

    Args:
        people: the world's.
        settings: of each operator.
        seed: of the world.
    """

    def __init__(self, people: People, settings: Sequence[PapersSettings | None], seed: int) -> None:
        self._people = people
        self._settings = [each or _NOTHING for each in settings]
        self._stocks = [_Stock({}, {}) for _ in settings]
        self._seed = seed

    def acts(self, operator: int) -> int:
        """Whose documents are shown: the operator's, or -1 for people who show their own."""
        return -1 if operator >= 0 and self._settings[operator].honest else operator

    def farmed(self, operator: int) -> bool:
        """Whether an operator's challenges are solved."""
        return operator >= 0 and self._settings[operator].solves

    def show(self, account: int, operator: int, organisation: str = "") -> str:
        """The document that is shown to be verified; empty for who has none.

        Args:
            account: a row.
            operator: who acts; -1 for the account's owner.
            organisation: whose organisation is to be verified, as it is asked for; empty where it is the account alone.
        """
        if operator < 0:
            mine = int(self._people.organisation[account])
            return f"C{mine:08d}" if organisation and mine >= 0 else f"P{account:08d}"
        stock, settings = self._stocks[operator], self._settings[operator]
        if organisation:
            return _next(stock.companies, organisation, settings.companies, 1, f"S{operator:04d}")
        return _next(stock.people, account, settings.people, settings.each, f"M{operator:04d}")

    def used(self, operator: int) -> dict[str, int]:
        """How many documents and companies an operator has shown."""
        stock = self._stocks[operator]
        return {"document": len(set(stock.people.values())), "company": len(set(stock.companies.values()))}

    def has(self, operator: int) -> dict[str, int]:
        """How many it has."""
        settings = self._settings[operator]
        return {"document": settings.people, "company": settings.companies}

    def solving(self, account: int, at: int, *, browser: bool) -> int:
        """µs from a refusal to a challenge that is solved, by a program or by hand."""
        alone = not browser and self._draw("transport", account, 0) < figures().transport.share
        return self._takes("program" if alone else "hands", account, at)

    def consenting(self, account: int, at: int) -> int:
        """µs of one's own, from a refusal to the provider and back."""
        return self._takes("consent", account, at)

    def looking(self, account: int, at: int) -> int:
        """µs that the provider takes."""
        return self._takes("provider", account, at)

    def _takes(self, what: str, account: int, at: int) -> int:
        median, late = figures().times[what].span
        sigma = log(late / median) / _P95
        draw = min(max(self._draw(what, account, at), 1e-9), 1 - 1e-9)
        return int(median * exp(sigma * _NORMAL.inv_cdf(draw)) * SECOND)

    def _draw(self, what: str, account: int, at: int) -> float:
        mixed = mix(np.array([account * 1_000_003 + at // SECOND]), _SALTS[what] + 1000 * self._seed)
        return float(unit(mixed)[0])


def _next(shown: dict[Any, str], key: Any, many: int, each: int, name: str) -> str:
    if key not in shown and len(shown) < many * each:
        shown[key] = f"{name}{len(shown) // each:08d}"
    return shown.get(key, "")
