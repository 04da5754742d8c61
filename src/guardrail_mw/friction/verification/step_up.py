"""`use: step_up`: whoever has a token signs in again, better (RFC 9470).

The refusal is the challenge of RFC 9470, section 3: 401, `error="insufficient_user_authentication"`, with `acr_values` and
`max_age`. The client has its issuer sign the person in accordingly and comes back with the new token: one whose `acr` is what is
asked for, or above it in `identity.assurance`, and whose `auth_time` is recent enough. Nothing is kept here: the token proves it.
Keys of an API have no issuer to go to; they get 403 and `verification_url`, where the policy has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator

from guardrail_mw.conditions import at_least
from guardrail_mw.errors import Problem
from guardrail_mw.friction.verification.base import Wanted
from guardrail_mw.quantities import Duration
from guardrail_mw.settings import Settings, refuse

if TYPE_CHECKING:
    from guardrail_mw.friction.step import Person

__all__ = ["StepUpSettings", "StepUpVerifier"]

SLACK: Final = 60_000_000
"""µs by which an issuer's clock may be ahead of ours, or a token be older than `max_age` when it arrives."""
_SECOND: Final = 1_000_000
_TOKEN: Final = "jwt"  # noqa: S105 - the name of a source


class StepUpSettings(Settings):
    """`with` of `use: step_up`."""

    acr: str = Field(min_length=1, max_length=255, pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$")
    """The authentication context that is asked for; those above it in `identity.assurance` do as well."""
    max_age: Duration | None = None
    """How long ago somebody may have signed in, by the token's `auth_time`; without it, ever."""
    url: str = Field(default="", max_length=512)
    """Where a person begins who has no token of an issuer, such as an account's settings: `verification_url` in the refusal."""

    @field_validator("max_age")
    @classmethod
    def _recent(cls, max_age: Duration | None) -> Duration | None:
        if max_age is not None and (max_age.us < 60 * _SECOND or max_age.us % _SECOND):
            refuse([Problem("", "is no whole number of seconds from 1m on.", "Signing in and coming back takes a while.")])
        return max_age

    @field_validator("url")
    @classmethod
    def _http(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            sound = not url or (parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc)
        except ValueError:
            sound = False
        if not sound or not url.isascii() or any(each <= " " for each in url):
            refuse([Problem("", "is not an http or https URL.", "Write https://account.example/verify.")])
        return url


class StepUpVerifier:
    """Asks for a better token.

    Args:
        settings: which.
        assurance: the order of authentication contexts, lowest first.
    """

    Settings: ClassVar[type[BaseModel]] = StepUpSettings

    __slots__ = ("_enough", "settings")

    def __init__(self, settings: StepUpSettings, assurance: Sequence[str], /) -> None:
        self.settings = settings
        self._enough = at_least(settings.acr, assurance)

    def passed(self, person: Person, /) -> bool:
        """Whether the token says that its owner has signed in well enough, and lately enough."""
        max_age = self.settings.max_age
        if person.traits.acr not in self._enough:
            return False
        if max_age is None:
            return True
        since = person.now - person.signed_in
        return bool(person.signed_in) and -SLACK <= since <= max_age.us + SLACK

    def wanted(self, person: Person, /) -> Wanted:
        """Of who has a token, another; anybody else is sent to where verification begins."""
        settings = self.settings
        if person.traits.source != _TOKEN:
            return Wanted(url=settings.url)
        max_age = settings.max_age
        return Wanted((settings.acr,), max_age.us // _SECOND if max_age is not None else None, settings.url)
