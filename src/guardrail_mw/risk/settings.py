"""The policy's `risk:` section: which scorers are asked, and how much what they find counts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import (
    ConfigDict,
    Field,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    field_validator,
    model_validator,
)

from guardrail_mw.errors import Problem
from guardrail_mw.quantities import Duration
from guardrail_mw.risk.base import Family, Scope, Scorer
from guardrail_mw.settings import PluginItem, Settings, Slug, refuse

__all__ = ["PRESETS", "Preset", "RiskSettings", "ScorerSettings"]

Preset: TypeAlias = Literal["balanced", "careful", "strict"]
Weight: TypeAlias = Annotated[float, Field(ge=0, le=1)]

PRESETS: Final[Mapping[Preset, Mapping[Family, float]]] = {
    "balanced": {"automation": 0.7, "client": 0.4, "content": 0.7, "release": 0.7, "timing": 0.7},
    "careful": {"automation": 0.4, "client": 0.2, "content": 0.4, "release": 0.4, "timing": 0.4},
    "strict": {},
}
"""Families whose evidence anybody can send count for less, `client` (what one program fixes for all who use it) for least.

With the usual ladder no such family alone reaches `verify` (75, for some accounts 72.5) in `balanced`, nor `challenge` (50,
for some 45) in `careful`. `strict` counts every family whole, as no preset does.
"""

_MS: Final = 1_000
_HUMPS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class ScorerSettings(PluginItem, Settings):
    """One scorer: the name of a plugin, its own settings, and how much it counts."""

    model_config = ConfigDict(populate_by_name=True)

    kind = "scorers"
    noun = "a scorer"

    use: str = Field(min_length=1, max_length=64, json_schema_extra={"examples": ["velocity", "automation", "cluster"]})
    """An entry point of `guardrail_mw.scorers`."""
    with_: Annotated[Any, WithJsonSchema({"type": "object"})] = Field(default=None, alias="with")
    """The plugin's own model, made from what stands here."""
    name: Slug | None = None
    """How events, `explain` and switches call it; as `use` unless set."""
    weight: Weight = 1.0
    """What its scores are multiplied by."""
    shadow: bool = False
    """What it finds is recorded and adds nothing to the risk."""

    @classmethod
    def holding(cls, scorer: Scorer, *, name: str | None = None, weight: float = 1.0, shadow: bool = False) -> Self:
        """The item that stands for a scorer which Python made itself; named as its class (`night-owl`) unless set."""
        kind = type(scorer).__name__
        item = cls.model_construct(use=kind, name=name or _slug(kind), weight=weight, shadow=shadow)
        item._built = scorer  # noqa: SLF001 - its own
        return item

    @property
    def label(self) -> str:
        """Its name, or the plugin's."""
        return self.name or self.use

    def build(self, scope: Scope) -> Scorer:
        """The scorer, ready to be asked.

        Raises:
            ValueError: its settings do not fit the rest of the policy.
        """
        scorer: Scorer = self._make(self.use, self.with_, scope)
        return scorer


def _slug(kind: str) -> str:
    return _HUMPS.sub("-", kind.strip("_")).replace("_", "-").lower()[:40].strip("-") or "scorer"


def _scorer(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    if isinstance(value, Scorer) and not isinstance(value, Settings | type):
        return ScorerSettings.holding(value)
    return handler(value)


class RiskSettings(Settings):
    """All of `risk:`."""

    scorers: list[Annotated[ScorerSettings, WrapValidator(_scorer)]] = Field(default=[], max_length=32)
    """Asked on every request, after it was charged."""
    deadline: Duration = Duration.parse("20ms")
    """How long an awaitable scorer is waited for, and from when on a synchronous one counts as slow."""
    preset: Preset | None = None
    """Weights of families to begin with. `balanced`: what anybody can send (`automation`, `content`, `release`, `timing`) counts
    0.7 and `client` 0.4. `careful`: 0.4 and 0.2. `strict`: every family whole, as without a preset."""
    weights: dict[Family, Weight] = Field(default={})
    """What a family's findings are multiplied by; stands above the preset."""

    @field_validator("deadline")
    @classmethod
    def _deadline(cls, deadline: Duration) -> Duration:
        if not _MS <= deadline.us <= 1_000 * _MS:
            refuse([Problem("", "is not between 1ms and 1s.", "20ms suits scorers that look something up nearby.")])
        return deadline

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        seen: dict[str, int] = {}
        problems = []
        for index, scorer in enumerate(self.scorers):
            first = seen.setdefault(scorer.label, index)
            if first != index:
                what = f"is called `{scorer.label}`, as scorers[{first}] is."
                problems.append(Problem(f"scorers.{index}", what, "Give one of them a `name` of its own."))
        if problems:
            refuse(problems)
        return self

    def weighing(self) -> dict[Family, float]:
        """The weight of every family that does not count whole."""
        weights = {**(PRESETS[self.preset] if self.preset is not None else {}), **self.weights}
        return {family: weight for family, weight in weights.items() if weight != 1}
