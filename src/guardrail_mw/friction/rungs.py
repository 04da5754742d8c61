"""What a policy may say of one rung: when it is reached, what it does, and how carefully it is brought in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from guardrail_mw import plugins
from guardrail_mw.errors import PluginError, Problem
from guardrail_mw.friction.trim import TrimSettings
from guardrail_mw.quantities import Budget, Share
from guardrail_mw.settings import Settings, Slug, refuse

__all__ = [
    "KINDS",
    "NEEDS",
    "Accounts",
    "ChallengeSettings",
    "DelaySettings",
    "DenySettings",
    "Kind",
    "NoSettings",
    "Otherwise",
    "PluginSettings",
    "RungSettings",
    "TrimRungSettings",
    "VerifySettings",
    "WaitSettings",
]

Kind: TypeAlias = Literal["delay", "trim", "challenge", "verify", "deny"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
"""Mildest first."""
Otherwise: TypeAlias = Literal["allow", "delay", "trim", "deny"]

NEEDS: Final[Mapping[str, int]] = {"verify": 2, "deny": 2}
"""Families of evidence that a kind of rung asks of a request; the others go by what is remembered, too."""


def _countable(budget: Budget) -> Budget:
    """Whole accounts, by the hour, day or week."""
    if budget.amount % 1:
        refuse([Problem("", "has decimals, and accounts are whole.", "Write a whole number.")])
    if budget.calendar not in {"hour", "day", "week"}:
        what = f"is by the {budget.calendar}; expected hour, day or week."
        refuse([Problem("", what, "Write 20/day, for instance.")])
    return budget


Accounts: TypeAlias = Annotated[Budget, AfterValidator(_countable)]
"""How many accounts in a calendar period."""


class RungSettings(Settings):
    """One item of `ladder`."""

    model_config = ConfigDict(populate_by_name=True)

    at: int = Field(ge=1, le=100)
    """The risk that reaches it. Thresholds differ between accounts by up to a tenth of min(at, 100 - at)."""
    do: Kind
    """What it does."""
    with_: Any = Field(default=None, alias="with")
    """What the kind of rung needs to know."""
    name: Slug | None = None
    """How events, switches and overrides call it; as `do` unless set."""
    shadow: bool = False
    """Recorded, never acts: the rung below it does."""
    rollout: Share | None = None
    """The share of accounts that it acts on; `friction.rollout` unless set."""
    up: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """After so many requests that it has met without being left, the next rung up acts."""
    otherwise: Otherwise | None = None
    """What callers meet who cannot solve a `challenge` or pass a `verify`; all the same unless set."""
    false_positives: Accounts | None = None
    """Established accounts that it may newly touch; `friction.false_positives` unless set."""

    @model_validator(mode="before")
    @classmethod
    def _always_settings(cls, value: object) -> object:
        """Without `with` a rung still says which settings it misses."""
        if isinstance(value, Mapping) and not {"with", "with_"} & value.keys():
            return {**value, "with": {}}
        return value

    @field_validator("name")
    @classmethod
    def _free(cls, name: str | None) -> str | None:
        if name in {"allow", "none"}:
            refuse([Problem("", f"`{name}` means something else in an override.", "Choose another name.")])
        return name

    @field_validator("otherwise")
    @classmethod
    def _solvable(cls, otherwise: Otherwise | None) -> Otherwise | None:
        if otherwise is not None and cls not in {ChallengeSettings, VerifySettings, RungSettings}:
            refuse([Problem("", "has no effect: nobody has to solve anything on this rung.", "Leave it out.")])
        return otherwise

    @model_validator(mode="after")
    def _no_disguise(self) -> RungSettings:
        if self.name is not None and self.name in KINDS and self.name != self.do:
            refuse(
                [Problem("name", f"is what another kind of rung does, and this one does {self.do}.", "Choose another name.")]
            )
        return self

    @property
    def label(self) -> str:
        """Its name, or what it does."""
        return self.name or self.do

    def fingerprint(self) -> str:
        """Sixteen hex digits of what it does and is called, not of when or to whom.

        Rollouts and clearances hang on it: raising `rollout` or moving `at` keeps who is in, and what was solved.
        """
        settings = self.with_
        plain = settings.model_dump(mode="json", by_alias=True) if isinstance(settings, BaseModel) else settings
        facts = json.dumps([self.label, self.do, plain], sort_keys=True)
        return hashlib.sha256(facts.encode()).hexdigest()[:16]


class WaitSettings(Settings):
    """`with` of a `delay`."""

    seconds: Annotated[float, Field(gt=0, le=60)] = 0.5
    """How long a request waits before it goes to the app."""
    jitter: Share = Share.parse("20%")
    """By how much more or less, evenly spread."""


class DelaySettings(RungSettings):
    """A rung that lets requests wait."""

    do: Literal["delay"]
    with_: WaitSettings = Field(default=WaitSettings(), alias="with")


class TrimRungSettings(RungSettings):
    """A rung that takes from requests what whoever copies a model wants most."""

    do: Literal["trim"]
    with_: TrimSettings = Field(default=TrimSettings(), alias="with")


class PluginSettings(BaseModel):
    """`with` of a rung that a plugin serves: its name, and its own settings beside it."""

    model_config = ConfigDict(
        strict=True, extra="allow", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )

    use: str = Field(min_length=1, max_length=64)
    """An entry point of `guardrail_mw.challenges` or `guardrail_mw.verifiers`."""

    @property
    def own(self) -> dict[str, Any]:
        """What is the plugin's to read."""
        return dict(self.__pydantic_extra__ or {})


class ChallengeSettings(RungSettings):
    """A rung that asks for something to be solved."""

    do: Literal["challenge"]
    with_: PluginSettings = Field(alias="with")

    @field_validator("with_")
    @classmethod
    def _installed(cls, value: PluginSettings) -> PluginSettings:
        return _plugged("challenges", value)


class VerifySettings(RungSettings):
    """A rung that asks for proof of who somebody is."""

    do: Literal["verify"]
    with_: PluginSettings = Field(alias="with")

    @field_validator("with_")
    @classmethod
    def _installed(cls, value: PluginSettings) -> PluginSettings:
        return _plugged("verifiers", value)


class NoSettings(Settings):
    """`with` of a rung that needs to know nothing."""


class DenySettings(RungSettings):
    """A rung that refuses."""

    do: Literal["deny"]
    with_: NoSettings = Field(default=NoSettings(), alias="with")


def _plugged(kind: str, value: PluginSettings) -> PluginSettings:
    """Refuse a plugin that is not there, saying which; one that is reads its own settings, errors at their places."""
    known = plugins.installed(kind)
    if value.use not in known:
        near = get_close_matches(value.use, known, n=1)
        hint = f"Did you mean `{near[0]}`?" if near else "Install the package that offers it, or leave this rung out."
        there = ", ".join(sorted(known)) or "none"
        refuse(
            [Problem("use", f"names `{value.use}`, a plugin that is missing among the {kind}; installed: {there}.", hint)]
        )
    try:
        model = getattr(plugins.load(kind, value.use), "Settings", None)
    except PluginError as error:
        refuse([Problem("use", f"{error.public} {error.detail}".rstrip())])
    if model is not None:
        model.model_validate(value.own)
    return value
