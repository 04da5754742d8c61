"""`use: identity`: somebody shows who they are, to a provider that the policy names under `verification`.

The refusal has `verification_url`: a page that says who is to be verified and for whom, and sends the person on to the provider.
What the provider reports is kept in the account's standing until it runs out (see `assurance`). It is bound to the provider and
the level, not to the rung's name or place: nobody shows a passport again because a policy was tidied up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, Field

from guardrail_mw.friction.verification.assurance import code_of, passed
from guardrail_mw.friction.verification.base import Asking, Wanted
from guardrail_mw.settings import Settings, Slug
from guardrail_mw.values import VOUCHED

if TYPE_CHECKING:
    from guardrail_mw.friction.step import Person

__all__ = ["IdentitySettings", "IdentityVerifier"]


class IdentitySettings(Settings):
    """`with` of `use: identity`."""

    provider: Slug
    """A key of `verification.providers`."""
    level: str = Field(min_length=1, max_length=64)
    """What is to be checked: one of the provider's `levels`."""
    whose: Literal["account", "organisation"] = "account"
    """Who is verified: each account alone; or once whoever stands behind the account's cluster, which then has a budget that
    binds. An account that is in no suspect cluster is verified alone."""


class IdentityVerifier:
    """Asks for an identity to be verified.

    Args:
        settings: by whom, and what.
        assurance: the order of authentication contexts, lowest first; not needed here.
    """

    Settings: ClassVar[type[BaseModel]] = IdentitySettings

    __slots__ = ("_code", "asks")

    def __init__(self, settings: IdentitySettings, assurance: Sequence[str], /) -> None:
        self._code = code_of(settings.provider, settings.level)
        self.asks = Asking(settings.provider, settings.level, settings.whose == "organisation")
        """Where that begins, whoever keeps cases says."""

    def passed(self, person: Person, /) -> bool:
        """Whether a provider's approval holds."""
        codes = person.fields.get("budget", "").partition(VOUCHED)[2].split(",")
        return (self.asks.organisation and self._code in codes) or passed(person.fields, self._code, person.now)

    def wanted(self, person: Person, /) -> Wanted:
        """No token: see `asks`."""
        return Wanted()
