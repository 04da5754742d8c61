"""`use: manual`: an operator decides.

The person is sent to a page of ours, which says what to do; whoever keeps cases turns the operator's decision into a report
with `decide`. There is no webhook, and nobody to ask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from guardrail_mw.friction.verification.providers.base import (
    Begin,
    Means,
    ProviderError,
    Report,
    Started,
    State,
    WebhookError,
    Worth,
)
from guardrail_mw.friction.verification.providers.reading import number, report
from guardrail_mw.settings import Settings

__all__ = ["ManualProvider", "ManualSettings", "Ours"]


class ManualSettings(Settings):
    """`with` of `use: manual`."""

    levels: dict[str, Worth] = Field(min_length=1, max_length=64)
    """What an approval of each of the policy's levels is worth."""


class Ours:
    """What is decided here, with nobody else.

    Args:
        settings: what approvals are worth.
        means: clock, digests, and where the page is.
    """

    Settings: ClassVar[type[BaseModel]]
    webhook: ClassVar[bool] = False
    hosts: ClassVar[Sequence[str]] = ()
    prefix: ClassVar[str]
    """What ids begin with."""

    __slots__ = ("_means", "settings")

    def __init__(self, settings: Any, means: Means, /) -> None:
        self.settings = settings
        self._means = means

    async def start(self, begin: Begin, /) -> Started:
        """The page for the case. The same wish is the same verification."""
        if begin.level not in self.settings.levels:
            raise ProviderError("refused", "a level that the settings do not have")
        made = sha256(f"{begin.case} {begin.idempotency_key}".encode()).hexdigest()[:32]
        return Started(f"{self.prefix}_{made}", self._means.page + begin.case)

    async def resume(self, which: str, begin: Begin, /) -> Started:
        """The same page."""
        return Started(which, self._means.page + begin.case)

    def decide(
        self,
        begin: Begin,
        which: str,
        state: State,
        at: int,
        *,
        document: str = "",
        person: str = "",
    ) -> Report:
        """A decision, as a provider would report it.

        Args:
            begin: what was wanted.
            which: what `start` called it.
            state: what it comes to.
            at: when that was decided.
            document: the document's country and number, where somebody noted it; becomes a token.
            person: likewise a person's official number.
        """
        event = sha256(f"{which} {state} {at}".encode()).hexdigest()
        made = Report(
            begin.case,
            which,
            event,
            state,
            at,
            document=number(self._means, "document", "", document),
            person=number(self._means, "person", "", person),
        )
        return report(made, self.settings.levels.get(begin.level), level=begin.level)

    def parse_webhook(self, raw: bytes, headers: Mapping[str, str], /) -> Sequence[Report]:
        """Nobody sends any.

        Raises:
            WebhookError: always.
        """
        raise WebhookError("unsigned")

    async def fetch(self, which: str, /) -> Report | None:
        """Nobody knows more than we do."""
        return None

    async def cancel(self, which: str, /) -> None:
        """Nothing is under way elsewhere."""

    async def redact(self, which: str, /) -> None:
        """Nothing is kept elsewhere."""


class ManualProvider(Ours):
    """An operator."""

    Settings: ClassVar[type[BaseModel]] = ManualSettings
    prefix: ClassVar[str] = "manual"
    vouches: ClassVar[bool] = True
    """What an operator has seen is worth what the level is, noted down or not."""

    __slots__ = ()
