"""`use: simulated`: whoever clicks is verified.

For demonstrations: it proves nothing, and the settings must say that this is known. The person is sent to a page of ours,
where the outcome is chosen; `decide` makes the report of it.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, Field, field_validator

from guardrail_mw.errors import Problem
from guardrail_mw.friction.verification.providers.base import Means
from guardrail_mw.friction.verification.providers.manual import ManualSettings, Ours
from guardrail_mw.settings import refuse

__all__ = ["SimulatedProvider", "SimulatedSettings"]


class SimulatedSettings(ManualSettings):
    """`with` of `use: simulated`."""

    i_know_it_proves_nothing: bool = Field(default=False, validate_default=True)
    """Must be true: anybody who can click passes."""

    @field_validator("i_know_it_proves_nothing")
    @classmethod
    def _known(cls, known: bool) -> bool:  # noqa: FBT001 - pydantic's way
        if not known:
            refuse([Problem("", "is not true: anybody who can click passes.", "Where it matters, use another provider.")])
        return known


class SimulatedProvider(Ours):
    """Nobody.

    Args:
        settings: what clicks are worth.
        means: clock, digests, and where the page is.
    """

    Settings: ClassVar[type[BaseModel]] = SimulatedSettings
    prefix: ClassVar[str] = "simulated"

    __slots__ = ()

    def __init__(self, settings: SimulatedSettings, means: Means, /) -> None:
        if settings.i_know_it_proves_nothing is not True:  # made without validation
            raise ValueError("i_know_it_proves_nothing is not true")
        super().__init__(settings, means)
