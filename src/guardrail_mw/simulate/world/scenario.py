"""A world to be made, as it stands in a YAML file."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from guardrail_mw.simulate.world.figures import Range
from guardrail_mw.simulate.world.papers import PapersSettings
from guardrail_mw.simulate.world.ranges import Conduct, Means, Part, Traits, merged, ranges

__all__ = [
    "CampaignSettings", "ModelSettings", "Scenario", "ScenarioError", "VerificationSettings", "load_scenario", "reported",
]  # fmt: skip

_REPORTED: Final = {
    "february-small": (150_000, 218),
    "february-middle": (3_400_000, 4_930),
    "february-large": (13_000_000, 18_852),
    "june": (25_000 * 26 * 45, 25_000),
}
"""Exchanges and accounts, over 45 days. February: a frontier lab's report of February 2026, three operators; its 24,000
accounts are split in proportion to the exchanges. June: 25,000 accounts, 28.8 million exchanges in 45 days, 26 a day each
(the product is 29.25 million: 26 is rounded)."""

_MODELS: Final = (
    {"name": "large-1"},
    {"name": "small-1"},
    {"name": "large-2", "released": 12.625},
    {"name": "large-3", "released": 45.625},
)


class ScenarioError(ValueError):
    """A scenario that cannot be: its text names every problem and where it stands."""


class ModelSettings(Part):
    """A model that the service has."""

    name: Annotated[str, Field(min_length=1)]
    released: float | None = None
    """Days after the beginning; none: it was there before."""


class CampaignSettings(Part):
    """An operator, its goal, and by what means it goes about it."""

    operator: Annotated[str, Field(min_length=1)]
    like: str = ""
    """A reported campaign, whose goal and accounts these are unless given."""
    goal: Annotated[int, Field(ge=1)] = 150_000
    """Useful exchanges in all, before scaling."""
    accounts: Annotated[int, Field(ge=1)] = 218
    """Before scaling."""
    scales: bool = True
    """Whether the scale divides it; the smallest operator never is."""
    start: Annotated[float, Field(ge=0)] | None = None
    """Days after the beginning; none: when the ordinary days are over."""
    days: Annotated[float, Field(gt=0)] = 45
    tokens: Annotated[int, Field(ge=1)] = 1500
    """Of an exchange, in the mean, in and out."""
    attacker: str = "naive"
    """What it starts from: one of the ranges' `attackers`."""
    means: list[str] = Field(default_factory=list)
    """What is laid over that, in order: names of the ranges' `means`."""
    traits: dict[str, Any] = Field(default_factory=dict)
    """Laid over all."""
    conduct: dict[str, Any] = Field(default_factory=dict)
    """Laid over all."""
    papers: PapersSettings | None = None
    """What it can show to be verified, and whether a farm solves for it; none: nothing, and nobody does."""

    @model_validator(mode="before")
    @classmethod
    def _as_reported(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not value.get("like"):
            return value
        if value["like"] not in _REPORTED:
            raise ValueError(f"like: no campaign {value['like']!r} was reported: there are {', '.join(_REPORTED)}")
        goal, accounts = _REPORTED[value["like"]]
        return {"goal": goal, "accounts": accounts, "scales": value["like"] != "february-small", **value}

    @model_validator(mode="after")
    def _known(self) -> CampaignSettings:
        known = ranges()
        if self.attacker not in known.attackers:
            raise ValueError(f"attacker: no {self.attacker!r}: there are {', '.join(known.attackers)}")
        for name in self.means:
            if name not in known.means:
                raise ValueError(f"means: no {name!r}: there are {', '.join(known.means)}")
        _ = self.conducts, self.all_traits
        return self

    @property
    def _layers(self) -> list[Means]:
        known = ranges()
        return [known.attackers[self.attacker], *(known.means[name] for name in self.means)]

    @property
    def all_traits(self) -> Traits:
        """What its accounts are like, all layers laid over one another."""
        laid: dict[str, Any] = {}
        if drawn := self.conducts.drawn:
            laid = ranges().cohorts[drawn].traits.model_dump(exclude_unset=True)
        for layer in [each.traits for each in self._layers if not self.conducts.drawn] + [self.traits]:
            laid = merged(laid, layer)
        return Traits.model_validate(laid)

    @property
    def conducts(self) -> Conduct:
        """What it does, all layers laid over one another."""
        laid: dict[str, Any] = {}
        for layer in [each.conduct for each in self._layers] + [self.conduct]:
            laid = merged(laid, layer)
        conduct = Conduct.model_validate(laid)
        for name in filter(None, (conduct.drawn, conduct.inside)):
            if name not in ranges().cohorts:
                raise ValueError(f"conduct: no cohort {name!r}: there are {', '.join(ranges().cohorts)}")
        return conduct

    @property
    def held_out(self) -> bool:
        """Whether any of its layers is held out from tuning."""
        return any(each.held_out for each in self._layers)


class VerificationSettings(Part):
    """What the guard asks for beside its limits."""

    whose: Literal["account", "organisation"] = "account"
    """Whether each account is verified alone, or once whoever stands behind a cluster."""
    each_day: Annotated[int, Field(ge=1)] | None = None
    """Requests a day that a verified account of a suspect cluster has; none: as many as anybody."""


class Scenario(Part):
    """A world."""

    name: str = "unnamed"
    start: dt.date = dt.date(2026, 1, 5)
    """Midnight UTC."""
    days: Annotated[int, Field(ge=1)] = 75
    ordinary_days: Annotated[int, Field(ge=0)] = 30
    """Days before campaigns begin."""
    step: Annotated[int, Field(ge=300, le=3600)] = 3600
    """Seconds of a batch: a divisor of an hour. Attackers react from one to the next."""
    ratio: Annotated[float, Field(gt=0)] = 10
    """Ordinary accounts for each that campaigns begin with, as scaled."""
    accounts: Annotated[int, Field(ge=0)] | None = None
    """Ordinary accounts, in place of `ratio`."""
    scale: Annotated[float, Field(ge=1, le=10)] = 1
    """Divides large groups and campaigns; never the smallest operator nor any floor."""
    volume: Annotated[float, Field(gt=0)] = 1.0
    """Times every ordinary account's volume."""
    held_out: bool = False
    """Whether cohorts that are held out from tuning take part."""
    only_held_out: bool = False
    """Only those take part, and homes."""
    mix: dict[str, float] = Field(default_factory=dict)
    """Shares of cohorts, in place of the ranges'; a cohort that is not named takes no part."""
    cohorts: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Laid over the ranges' cohorts (`traits: {…}`): for scenarios of one's own, never for the published table."""
    permuted: bool = False
    """Whether each kind of evidence is given to other accounts: a control, in which nobody acts together but by chance."""
    models: list[ModelSettings] = Field(default_factory=lambda: [ModelSettings.model_validate(each) for each in _MODELS])
    """Two releases, at 15:00 UTC: one in the ordinary days, one while campaigns run."""
    campaigns: list[CampaignSettings] = Field(default_factory=list)
    verification: VerificationSettings | None = None
    """Challenges and verification are on; the twin is a run with everything in shadow. None: they are off."""
    viral: Range = (3.0, 3.0)
    """Days for which a viral prompt is passed on."""

    @model_validator(mode="after")
    def _fits(self) -> Scenario:
        if 3600 % self.step:
            raise ValueError(f"step: {self.step} s does not divide an hour")
        if all(model.released is not None for model in self.models):
            raise ValueError("models: at least one must have been there before (no `released`)")
        for name in {*self.mix, *self.cohorts}:
            if name not in ranges().cohorts:
                raise ValueError(f"mix: no cohort {name!r}: there are {', '.join(ranges().cohorts)}")
        names = [each.operator for each in self.campaigns]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"campaigns: two operators are called {name!r}")
        for campaign in self.campaigns:
            begin = self.ordinary_days if campaign.start is None else campaign.start
            if begin + campaign.days > self.days:
                over = f"ends on day {begin + campaign.days:g}, after the world, which has {self.days}"
                raise ValueError(f"campaigns: {campaign.operator!r} {over}")
        return self


def reported(name: str, *, attacker: str = "naive", means: Sequence[str] = (), **more: Any) -> Scenario:
    """A reported campaign as a scenario: `february` (its three operators), `june`, or one of February's.

    Args:
        name: which.
        attacker: what its operators start from.
        means: what they do beside that.
        more: the scenario's other fields.
    """
    which = [each for each in _REPORTED if each == name or each.startswith(f"{name}-")]
    if not which:
        raise ScenarioError(f"no campaign {name!r} was reported: there are february, {', '.join(_REPORTED)}")
    campaigns = [{"operator": each, "like": each, "attacker": attacker, "means": list(means)} for each in which]
    return Scenario.model_validate({"name": name, "campaigns": campaigns, **more})


def load_scenario(source: str | os.PathLike[str]) -> Scenario:
    """Read a scenario from a YAML file.

    Raises:
        ScenarioError: it cannot be read, or is not a scenario: every problem with its place.
    """
    path = Path(source)
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ScenarioError(f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise ScenarioError(f"{path}: a scenario is a mapping")
    try:
        return Scenario.model_validate(document)
    except ValidationError as error:
        lines = [
            f"  {'.'.join(map(str, each['loc'])) or '(all)'}: {each['msg']}" for each in error.errors(include_url=False)
        ]
        raise ScenarioError(f"{path}: {len(lines)} problem{'s'[: len(lines) > 1]}\n" + "\n".join(lines)) from error
