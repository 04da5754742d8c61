"""How many, or how many distinct, in a window: from the policy's velocity rules to findings."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, ClassVar, Final, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from guardrail_mw.errors import Problem
from guardrail_mw.risk.base import Family, Finding, RiskContext, Scope, Velocity
from guardrail_mw.settings import Settings, Slug, refuse

__all__ = ["Ramp", "VelocityScorer", "VelocitySettings"]

_MOST: Final = 10**12
_SECOND: Final = 1_000_000


class Ramp(Settings):
    """From which count on a rule says something, and when it says all it can."""

    model_config = ConfigDict(populate_by_name=True)

    from_: int = Field(alias="from", ge=0, le=_MOST)
    """The count at which the score is still 0."""
    full: int = Field(ge=1, le=_MOST)
    """The count at which it is 100. A rule that counts distinct values exactly ends at 64."""

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.full <= self.from_:
            refuse([Problem("full", "is not above `from`.", "The score rises from 0 at `from` to 100 at `full`.")])
        return self


class VelocitySettings(RootModel[Annotated[dict[Slug, Ramp], Field(min_length=1, max_length=64)]]):
    """`with` of `use: velocity`: the names of velocity rules, each with its ramp."""

    model_config = ConfigDict(strict=True, frozen=True, hide_input_in_errors=True)


class _Rule(NamedTuple):
    name: str
    family: Family
    at: int
    full: int
    seconds: int | float


class VelocityScorer:
    """Says of each rule how far its count is on its way from `from` to `full`.

    The score is whole and rounded down: 100 is said at `full`, not just below. A count that is a floor (`64+`) is taken as it
    stands: there may be more, but nobody knows.

    Args:
        settings: rules by name.
        scope: the policy's velocity rules.

    Raises:
        ValueError: a rule is not among them.
    """

    Settings: ClassVar[type[BaseModel]] = VelocitySettings

    def __init__(self, settings: VelocitySettings, scope: Scope) -> None:
        unknown = [_unknown(name, scope) for name in settings.root if name not in scope.velocity]
        if unknown:
            raise ValueError(" ".join(unknown))
        self._rules = [_rule(scope.velocity[name], ramp) for name, ramp in settings.root.items()]

    def score(self, context: RiskContext, /) -> Sequence[Finding]:
        """One finding for each rule that has counted more than its `from`."""
        counts = context.counts
        found: list[Finding] = []
        for name, family, at, full, seconds in self._rules:
            count = counts.get(name)
            if count is None or count.value <= at:
                continue
            score = min((count.value - at) * 100 // (full - at), 100)
            figures = {"count": count.value, "floor": int(count.floor), "from": at, "full": full, "window_s": seconds}
            found.append(Finding(family, score, name, figures))
        return found


def _rule(velocity: Velocity, ramp: Ramp) -> _Rule:
    whole, rest = divmod(velocity.window, _SECOND)
    return _Rule(velocity.name, velocity.family, ramp.from_, ramp.full, velocity.window / _SECOND if rest else whole)


def _unknown(name: str, scope: Scope) -> str:
    near = get_close_matches(name, scope.velocity, n=1, cutoff=0.6)
    if near:
        return f"`{name}` is no velocity rule. Did you mean `{near[0]}`?"
    known = ", ".join(f"`{each}`" for each in sorted(scope.velocity))
    return f"`{name}` is no velocity rule. " + (
        f"Velocity rules: {known}." if known else "There is none: add it to `velocity`."
    )
