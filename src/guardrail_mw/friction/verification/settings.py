"""The policy's `verification:` section: who verifies people for it, and until when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import Field, WithJsonSchema, field_validator, model_validator

from guardrail_mw.errors import Problem
from guardrail_mw.quantities import Duration
from guardrail_mw.settings import PluginItem, Settings, Slug, refuse

if TYPE_CHECKING:
    from guardrail_mw.friction.verification.providers.base import Means, Provider

__all__ = ["AppealsSettings", "ProvidedSettings", "VerificationSettings"]

_DAY: Final = 86_400_000_000


class ProvidedSettings(PluginItem, Settings):
    """A provider that is used."""

    kind: ClassVar[str] = "providers"
    noun: ClassVar[str] = "a provider of identity verification"

    use: str = Field(min_length=1, max_length=64)
    """An entry point of `guardrail_mw.providers`: `stripe_identity`, `persona`, `sumsub`, `veriff`, `standard_webhooks`, `manual`
    or `simulated`."""
    with_: Annotated[Any, WithJsonSchema({"type": "object"})] = Field(alias="with", repr=False)
    """Its own settings; `levels` says what it checks, and what an approval of each is worth."""
    name: str = Field(default="", max_length=64)
    """What people know it by; its key in the policy unless set."""

    @property
    def levels(self) -> Mapping[str, Any] | None:
        """What it checks, and what that is worth; None where it has no such thing."""
        found: Mapping[str, Any] | None = getattr(self.with_, "levels", None)
        return found

    def build(self, means: Means) -> Provider:
        """The provider."""
        made: Provider = self._make(self.use, self.with_, means)
        return made


class AppealsSettings(Settings):
    """Whether, and how, whoever is refused for risk may object."""

    open: bool = True
    """Refusals for risk carry `appeal_url`."""
    lasts: Duration = Duration.parse("30d")
    """How long such a link is good."""

    @field_validator("lasts")
    @classmethod
    def _long_enough(cls, lasts: Duration) -> Duration:
        if not _DAY <= lasts.us <= 365 * _DAY:
            refuse([Problem("", "is not between 1d and 365d.", "30d is usual.")])
        return lasts


class VerificationSettings(Settings):
    """All of `verification:`."""

    name: str = Field(min_length=1, max_length=100)
    """For whom people are verified, as they know it: it stands on the page."""
    providers: dict[Slug, ProvidedSettings] = Field(default={}, max_length=16)
    """Who verifies, by a name of your own, which stands in the address of its webhooks. Keep it."""
    link: Duration = Duration.parse("7d")
    """How long a `verification_url` is good; every refusal has a new one."""
    deadline: Duration = Duration.parse("14d")
    """How long an account has from when it is first asked. What follows is yours: it is said in an event."""
    remind: list[Duration] = Field(default=[Duration.parse("7d"), Duration.parse("1d")], max_length=8)
    """How long before the deadline somebody should be reminded; likewise."""
    tries: int = Field(default=5, ge=1, le=100)
    """Verifications that an account may begin in 30 days: each costs you something. A whole cluster has five times as many."""
    duplicates: int = Field(default=3, ge=1, le=1_000)
    """Accounts that one document, or one person, may verify in 90 days."""
    appeals: AppealsSettings = AppealsSettings()

    @field_validator("link", "deadline")
    @classmethod
    def _days(cls, value: Duration) -> Duration:
        if not _DAY // 24 <= value.us <= 365 * _DAY:
            refuse([Problem("", "is not between 1h and 365d.", "People find their passport at home, in the evening.")])
        return value

    @model_validator(mode="after")
    def _in_time(self) -> VerificationSettings:
        late = [index for index, each in enumerate(self.remind) if each.us >= self.deadline.us]
        if late:
            text = f"is not below `deadline`, {self.deadline}."
            refuse([Problem(f"remind.{index}", text, "Remind before it.") for index in late])
        return self
