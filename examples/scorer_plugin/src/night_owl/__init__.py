"""A scorer for guardrail_mw: accounts that are busy while people sleep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from guardrail_mw.risk.base import Finding, RiskContext, Scope

__all__ = ["NightOwl", "NightOwlSettings"]

HOUR = 3_600_000_000
"""µs."""


class NightOwlSettings(BaseModel):
    """`with` of `use: night_owl`."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, use_attribute_docstrings=True)

    rule: str
    """The velocity rule that counts what is too much."""
    more_than: int = Field(default=20, ge=0)
    """So many are nothing to wonder at."""
    from_: int = Field(default=22, alias="from", ge=0, le=23)
    """The hour at which the night begins."""
    until: int = Field(default=6, ge=0, le=23)
    """The hour at which it ends."""
    utc_offset: int = Field(default=0, ge=-12, le=14)
    """Hours that the accounts' clocks are ahead of UTC."""
    score: int = Field(default=40, ge=0, le=100)
    excused: str = "night-shift"
    """Accounts with this label work at night, and may."""


class NightOwl:
    """Finds accounts that send more than so much at night."""

    Settings: ClassVar[type[BaseModel]] = NightOwlSettings

    def __init__(self, settings: NightOwlSettings, scope: Scope) -> None:
        if settings.rule not in scope.velocity:
            known = ", ".join(sorted(scope.velocity)) or "none"
            raise ValueError(f"`rule` names `{settings.rule}`, which is no velocity rule; there are: {known}.")
        self._settings = settings

    def score(self, context: RiskContext, /) -> Sequence[Finding]:
        """One finding, or none. The time is the store's: the same in every process."""
        settings = self._settings
        count = context.counts.get(settings.rule)
        if count is None or count.value <= settings.more_than:
            return ()
        hour = (context.now // HOUR + settings.utc_offset) % 24
        if not self._is_night(hour) or settings.excused in context.standing.labels(context.now):
            return ()
        figures = {"count": count.value, "more_than": settings.more_than, "hour": hour}
        return (Finding("timing", settings.score, "busy-at-night", figures),)

    def _is_night(self, hour: int) -> bool:
        begins, ends = self._settings.from_, self._settings.until
        return begins <= hour < ends if begins < ends else hour >= begins or hour < ends
