"""How much a cluster looks like a campaign: a logistic model that a person can read, in `verdict.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import numpy as np

from guardrail_mw.clusters.features import FEATURES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from guardrail_mw.clusters.state import Verdict

__all__ = ["Case", "Judge", "Worth", "judged"]

_DAY: Final = 86_400_000_000


class Worth(NamedTuple):
    """What one figure is worth."""

    weight: float
    """Nats for each `scale` above `centre`."""
    centre: float
    scale: float
    why: str


@dataclass(frozen=True, slots=True)
class Judge:
    """The model."""

    bias: float
    suspect: int
    """Millinats from which a cluster is suspect, and confirmed."""
    confirmed: int
    worth: Mapping[str, Worth]

    @classmethod
    def shipped(cls) -> Self:
        """The one that comes with the package."""
        return cls.read(_shipped())

    @classmethod
    def read(cls, text: str) -> Self:
        """From TOML.

        Raises:
            ValueError: it names figures that there are not, or leaves one out.
        """
        document = tomllib.loads(text)
        figures = document["figures"]
        if set(figures) != set(FEATURES):
            raise ValueError(f"the model's figures are {sorted(figures)}; they must be {sorted(FEATURES)}")
        worth = {name: Worth(**figures[name]) for name in FEATURES}
        return cls(document["bias"], round(document["suspect"] * 1000), round(document["confirmed"] * 1000), worth)

    def at(self, suspect: float | None, confirmed: float | None) -> Self:
        """The same with a policy's thresholds, in nats; where it names none, its own. `confirmed` stays 3 above `suspect`."""
        below = self.suspect if suspect is None else round(suspect * 1000)
        apart = self.confirmed - self.suspect
        return replace(self, suspect=below, confirmed=below + apart if confirmed is None else round(confirmed * 1000))

    def parts(self, figures: NDArray[np.float64]) -> NDArray[np.float64]:
        """Nats by figure, a row a cluster."""
        table = np.array([self.worth[name][:3] for name in FEATURES])
        return np.asarray(table[:, 0] * (figures - table[:, 1]) / table[:, 2])

    def score(self, figures: NDArray[np.float64]) -> NDArray[np.int64]:
        """Millinats of each cluster."""
        nats: NDArray[np.float64] = self.parts(figures).sum(axis=1) + self.bias
        return np.asarray(np.floor(nats * 1000), np.int64)


class Case(NamedTuple):
    """What a verdict of one cluster hangs on, besides its score."""

    accounts: int
    exchanges: int
    score: int
    """Millinats."""
    since: int | None
    """µs since when it has been suspect at every look."""
    ordered: Verdict | None
    """What an operator says of it."""


def judged(case: Case, judge: Judge, *, floor: tuple[int, int], now: int, cold: bool) -> tuple[Verdict, int | None]:
    """The verdict, and since when it is suspect at every look.

    Args:
        case: the cluster.
        judge: whose thresholds hold.
        floor: accounts and exchanges below which nothing is said.
        now: µs.
        cold: whether there is too little history yet to go beyond `watched`.
    """
    above = not cold and case.score >= judge.suspect and case.accounts >= floor[0] and case.exchanges >= floor[1]
    since = (case.since if case.since is not None else now) if above else None
    if case.ordered is not None:
        return case.ordered, None
    if case.accounts < floor[0] or case.exchanges < floor[1]:
        return "none", None
    if since is None:
        return "watched", None
    lasting = case.score >= judge.confirmed or now - since >= _DAY
    return ("confirmed" if lasting else "suspect"), since


@cache
def _shipped() -> str:
    return (files("guardrail_mw.clusters") / "verdict.toml").read_text()
