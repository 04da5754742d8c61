"""The policy's `friction:` section: the ladder, who is kept off it, and how its rungs begin and end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from guardrail_mw.conditions import WhenSettings
from guardrail_mw.errors import Problem
from guardrail_mw.friction.rungs import (
    KINDS,
    Accounts,
    ChallengeSettings,
    DelaySettings,
    DenySettings,
    Kind,
    RungSettings,
    TrimRungSettings,
    VerifySettings,
)
from guardrail_mw.quantities import Duration, Share
from guardrail_mw.settings import Settings, refuse

__all__ = ["CapSettings", "DelaysSettings", "FrictionSettings", "Rungs"]

_MINUTE: Final = 60_000_000
_LONGEST_WAIT: Final = 60_000_000
"""µs: what proxies and SDKs let a request wait for its first byte before they give it up."""


def _do(value: object) -> str:
    """The kind of rung, so that what is wrong with it is said of that kind; of an unknown one, of rungs in general."""
    do = value.get("do") if isinstance(value, Mapping) else getattr(value, "do", None)
    return do if isinstance(do, str) and do in KINDS else "unknown"


Rungs: TypeAlias = list[
    Annotated[
        Annotated[DelaySettings, Tag("delay")]
        | Annotated[TrimRungSettings, Tag("trim")]
        | Annotated[ChallengeSettings, Tag("challenge")]
        | Annotated[VerifySettings, Tag("verify")]
        | Annotated[DenySettings, Tag("deny")]
        | SkipJsonSchema[Annotated[RungSettings, Tag("unknown")]],
        Discriminator(_do),
    ]
]
"""The rungs, lowest first; what may stand in `with` is known by `do`."""


class DelaysSettings(Settings):
    """How much waiting a process takes upon itself."""

    at_once: int = Field(default=200, ge=0, le=1_000_000)
    """Requests that may wait in a process at once; beyond that they are trimmed instead."""
    at_most: Duration = Duration.parse("10s")
    """The longest that one waits, jitter included."""

    @field_validator("at_most")
    @classmethod
    def _bearable(cls, at_most: Duration) -> Duration:
        if at_most.us > _LONGEST_WAIT:
            refuse([Problem("", "is longer than a minute, and clients give up before.", "Deny rather than wait so long.")])
        return at_most


class CapSettings(Settings):
    """The most that some callers ever meet."""

    when: WhenSettings
    """Who they are: `{route: …}`, `{tier: …}`."""
    most: Literal[Kind, "allow"]
    """The strictest kind of rung for them; `allow` is none."""


class FrictionSettings(Settings):
    """All of `friction:`."""

    rollout: Share = Share.parse("100%")
    """The share of accounts that rungs act on; always the same ones, and more of them as it grows."""
    delays: DelaysSettings = DelaysSettings()
    false_positives: Accounts | None = None
    """How many established accounts (30 days) each rung may newly touch, one of a cluster: `20/day`."""
    ladder: Rungs = Field(default=[], max_length=16)
    """The highest rung whose `at` the risk reaches; `verify` and `deny` need evidence of two families."""
    allow: list[WhenSettings] = Field(default=[], max_length=64)
    """Who meets no rung at all, whatever the risk."""
    caps: list[CapSettings] = Field(default=[], max_length=64)
    """Of those that hold for a caller, the mildest counts."""
    hysteresis: int = Field(default=5, ge=0, le=50)
    """Points below a rung's threshold that the risk must fall before an account leaves it."""
    decay: Duration = Duration.parse("30m")
    """How long until a remembered risk has halved."""

    @field_validator("decay")
    @classmethod
    def _decays(cls, decay: Duration) -> Duration:
        if not _MINUTE // 60 <= decay.us <= 30 * 24 * 60 * _MINUTE:
            refuse([Problem("", "is not between 1s and 30d.", "30m forgives an hour's calm.")])
        return decay

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        problems = [*self._ascending(), *self._names(), *self._waits(), *self._ups()]
        if problems:
            refuse(problems)
        return self

    def _ascending(self) -> Iterator[Problem]:
        for index in range(1, len(self.ladder)):
            below = self.ladder[index - 1].at
            if self.ladder[index].at <= below:
                yield Problem(
                    f"ladder.{index}.at", f"is not above the rung before it, at {below}.", "Write rungs lowest first."
                )

    def _names(self) -> Iterator[Problem]:
        seen: dict[str, int] = {}
        for index, rung in enumerate(self.ladder):
            first = seen.setdefault(rung.label, index)
            if first != index:
                place = f"ladder.{index}.{'do' if rung.name is None else 'name'}"
                yield Problem(
                    place, f"makes a second `{rung.label}`, as ladder[{first}] is.", "Give it a `name` of its own."
                )

    def _waits(self) -> Iterator[Problem]:
        for index, rung in enumerate(self.ladder):
            if isinstance(rung, DelaySettings) and rung.with_.seconds * 1_000_000 > self.delays.at_most.us:
                place, most = f"ladder.{index}.with.seconds", self.delays.at_most
                yield Problem(place, f"is more than `delays.at_most`, {most}.", "Wait less, or allow more there.")

    def _ups(self) -> Iterator[Problem]:
        if self.ladder and self.ladder[-1].up is not None:
            place = f"ladder.{len(self.ladder) - 1}.up"
            yield Problem(place, "has no rung above it to go up to.", "Leave it out, or add a rung.")

    def whens(self) -> Iterator[tuple[tuple[str | int, ...], WhenSettings]]:
        """Every condition and its place in the section, for whoever knows which routes, models and sources there are."""
        for index, when in enumerate(self.allow):
            yield ("allow", index), when
        for index, cap in enumerate(self.caps):
            yield ("caps", index, "when"), cap.when

    def names(self) -> tuple[str, ...]:
        """What its rungs are called, lowest first: what switches and overrides may name."""
        return tuple(rung.label for rung in self.ladder)
