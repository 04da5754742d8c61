"""What is remembered of the operator behind an account: the verdict on its cluster, as a finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Self, TypeAlias, get_args

from pydantic import BaseModel, Field, model_validator

from guardrail_mw.conditions import Verdict
from guardrail_mw.errors import Problem
from guardrail_mw.risk.base import FAMILIES, Family, Finding, RiskContext, Scope
from guardrail_mw.settings import Settings, refuse

__all__ = ["ClusterScorer", "ClusterSettings"]

Score: TypeAlias = Annotated[int, Field(ge=0, le=100)]


class ClusterSettings(Settings):
    """`with` of `use: cluster`: what each verdict is worth, in every family that it rests on."""

    watched: Score = 5
    """Little, for it says no more than that they are many: in five families together it is 23, and offices are watched, too."""
    suspect: Score = 60
    confirmed: Score = 90

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if not self.watched <= self.suspect <= self.confirmed:
            what = "do not rise: watched, suspect and confirmed are ever graver."
            refuse([Problem("", what, "Write watched ≤ suspect ≤ confirmed.")])
        return self


class ClusterScorer:
    """Reads the verdict from the account's standing and says it once in each family that the verdict rests on.

    The standing's `families` names them, separated by commas; without it a verdict counts as `reputation`. Two families are
    combined as any two are: a suspect whose verdict rests on network and payment has 84, one of `reputation` alone 60. No
    verdict, `none` and whatever is not a verdict say nothing.

    Args:
        settings: what each verdict is worth.
        scope: nothing of it is needed.
    """

    Settings: ClassVar[type[BaseModel]] = ClusterSettings

    def __init__(self, settings: ClusterSettings, scope: Scope) -> None:
        worth: dict[str, int] = settings.model_dump()
        self._findings: Mapping[str, Mapping[Family, Finding]] = {
            verdict: {
                family: Finding(family, worth[verdict], f"cluster-{verdict}", {"verdict": verdict}) for family in FAMILIES
            }
            for verdict in get_args(Verdict)
            if worth.get(verdict)
        }

    def score(self, context: RiskContext, /) -> Sequence[Finding]:
        """One finding for each family; none where nothing is held against the account."""
        fields = context.standing.fields
        findings = self._findings.get(fields.get("verdict", "none"))
        if findings is None:
            return ()
        named = {name.strip() for name in fields.get("families", "").split(",")}
        return [findings[family] for family in FAMILIES if family in named] or [findings["reputation"]]
