"""The parts of verification, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

from guardrail_mw.engine.appeals import Appeals
from guardrail_mw.engine.beginning import Beginning
from guardrail_mw.engine.cases import Cases
from guardrail_mw.engine.deadlines import Deadlines
from guardrail_mw.engine.reports import Reports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrail_mw.engine.ground import Ground
    from guardrail_mw.friction.verification.settings import VerificationSettings

__all__ = ["Verification"]


class Verification(NamedTuple):
    """All that a policy's `verification` asks for."""

    cases: Cases
    """Who is to be verified by whom."""
    beginning: Beginning
    """Begins it."""
    deadlines: Deadlines
    """Until when."""
    reports: Reports
    """What became of it."""
    appeals: Appeals
    """Who objects."""

    @classmethod
    def of(cls, settings: VerificationSettings, ground: Ground, assurance: Sequence[str]) -> Self:
        """Of a policy.

        Args:
            settings: its `verification`.
            ground: what it stands on.
            assurance: the order of authentication contexts, lowest first.
        """
        cases = Cases(settings, ground)
        return cls(cases, Beginning(cases), Deadlines(cases), Reports(cases, assurance), Appeals(settings, ground))
