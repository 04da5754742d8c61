"""What every provider of identity verification is to the rest.

A provider is told a case, sends a person somewhere, and reports what became of it: in webhooks, and when it is asked. It
keeps nothing itself. Reports come late, twice and out of order; whoever keeps cases lets the latest by `at` hold, and of
two of the same `at` a decision before `pending`. So an approval is taken back by any later state, and a late `pending`
undoes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

from pydantic import BaseModel, Field, field_validator

from guardrail_mw.clock import Clock
from guardrail_mw.errors import GuardrailError, Problem
from guardrail_mw.friction.verification.providers.places import is_service
from guardrail_mw.quantities import Duration
from guardrail_mw.settings import Settings, refuse

__all__ = [
    "Begin",
    "Means",
    "Provider",
    "ProviderError",
    "ProviderSettings",
    "Refusal",
    "Report",
    "Started",
    "State",
    "Trouble",
    "WebhookError",
    "Worth",
]

_SECOND: Final = 1_000_000
_DAY: Final = 86_400 * _SECOND

State: TypeAlias = Literal["pending", "approved", "declined", "expired", "withdrawn"]
"""`pending` is also whatever we do not know; `withdrawn` is taken back: an approval, or the whole verification."""

Refusal: TypeAlias = Literal["unsigned", "signature", "stale", "unreadable"]
"""Why a webhook is none: nothing signs it, no live secret does, it is of another time, it is not what is documented."""

Trouble: TypeAlias = Literal["unavailable", "refused", "rejected", "unknown", "unreadable", "unsupported"]
"""Why a call came to nothing.

No answer in time, or an overloaded service; our keys or our settings are refused; what was asked for cannot be done now; there
is no such verification; the answer is not what is documented; the provider has no such thing.
"""


class WebhookError(GuardrailError):
    """A webhook that is not believed. Says nothing of what it held, nor of what was expected.

    Args:
        code: why.
    """

    def __init__(self, code: Refusal) -> None:
        super().__init__("The webhook is not accepted.", code)
        self.code: Refusal = code


class ProviderError(GuardrailError):
    """A call to a provider that came to nothing.

    Args:
        code: why.
        detail: for logs: an HTTP status or the kind of an error, never what the provider wrote.
    """

    def __init__(self, code: Trouble, detail: str = "") -> None:
        super().__init__("The verification service did not do it.", f"{code} {detail}".rstrip())
        self.code: Trouble = code


class Begin(NamedTuple):
    """A verification that is wanted."""

    case: str
    """Our sealed reference: up to 400 characters of A-Z, a-z, 0-9, `-`, `_`, `.`, `~`. The provider carries it back."""
    level: str
    """The policy's name of what is to be checked."""
    return_url: str
    """Where the person comes back to: of ours, checked by whoever asks."""
    idempotency_key: str
    """The same for the same wish, however often it is repeated; up to 255 characters."""


class Started(NamedTuple):
    """A verification that may begin."""

    id: str
    """The provider's."""
    url: str
    """Where the person goes: https, on a host of the provider's; of ours where the page is ours. Often good only once."""


class Report(NamedTuple):
    """What became of a verification."""

    case: str
    """As it was given; empty where the provider no longer has it (after erasure, say): then `id` tells."""
    id: str
    event: str
    """The event's id; where there is none, the digest of the body."""
    state: State
    at: int
    """µs since the epoch by the provider's clock; never ahead of ours by more than the tolerance."""
    until: int | None = None
    """When an approval ends."""
    ial: str = ""
    """What an approval is worth, as the settings say for what was checked; empty for any other state."""
    acr: str = ""
    document: str = ""
    """A keyed digest by which the same document is known again, wherever it is shown; empty where the provider does not tell."""
    person: str = ""
    """Likewise for a person's official number."""
    level: str = ""
    """Which of the policy's levels was checked, for an approval; empty where the provider has none, or does not tell."""


class Means(NamedTuple):
    """What a provider may use of the process."""

    clock: Clock
    digest: Callable[[str, str], str]
    """A kind (`document`, `person`) and a value to a token, keyed and the same for years: numbers of documents go no further."""
    page: str = ""
    """What the address of a page of ours for a case begins with: the case follows."""


class Worth(Settings):
    """What an approval of a level is worth."""

    ial: str = Field(default="", max_length=255)
    """The identity assurance level that it gives, as `when: {ial: …}` names it."""
    acr: str = Field(default="", max_length=255)
    """The authentication context that it gives, as `identity.assurance` orders it."""
    lasts: Duration = Duration.parse("365d")
    """How long an approval is good for, from when the provider decided."""

    @field_validator("lasts")
    @classmethod
    def _ends(cls, lasts: Duration) -> Duration:
        if lasts.us < _DAY:
            refuse([Problem("", "is less than 1d.", "365d is usual: people do not show documents every day.")])
        return lasts


class ProviderSettings(Settings):
    """`with` of every provider that is a service."""

    secrets: list[str] = Field(min_length=1, max_length=8, repr=False)
    """What signs webhooks: all that are live while one replaces another. Write ${NAME}, and set it in the environment."""
    deadline: Duration = Duration.parse("10s")
    """How long the service may take to answer a call."""
    url: str = Field(default="", max_length=512)
    """Where the service is, where it is not the usual place."""

    @field_validator("secrets")
    @classmethod
    def _some(cls, secrets: list[str]) -> list[str]:
        wrong = [index for index, secret in enumerate(secrets) if not 8 <= len(secret) <= 1_024 or not secret.isascii()]  # noqa: PLR2004
        if wrong:
            refuse([Problem(str(index), "is not 8 to 1024 ASCII characters.", "Anybody could guess it.") for index in wrong])
        return secrets

    @field_validator("deadline")
    @classmethod
    def _bearable(cls, deadline: Duration) -> Duration:
        if not _SECOND // 10 <= deadline.us <= 60 * _SECOND:
            refuse([Problem("", "is not between 100ms and 1m.", "A person waits for it.")])
        return deadline

    @field_validator("url")
    @classmethod
    def _https(cls, url: str) -> str:
        if url and not is_service(url):
            refuse([Problem("", "is not a plain https URL.", "Secrets are sent there.")])
        return url.rstrip("/")


@runtime_checkable
class Provider(Protocol):
    """Has somebody's identity verified. May be used from several event loops."""

    Settings: ClassVar[type[BaseModel]]
    """The model of what stands beside `use` in `with`."""
    webhook: ClassVar[bool]
    """Whether it sends any."""

    @property
    def hosts(self) -> Sequence[str]:
        """Where people are sent: these hosts, and those below them; none where the pages are ours."""
        ...

    def __init__(self, settings: Any, means: Means, /) -> None: ...

    async def start(self, begin: Begin, /) -> Started:
        """Have a verification made.

        Raises:
            ProviderError: it was not, as far as we know. The same wish may be repeated.
        """
        ...

    async def resume(self, which: str, begin: Begin, /) -> Started:
        """Another way to a verification that was started: what `start` gave is often good only once, or for minutes.

        Raises:
            ProviderError: there is none: it is decided, unknown, or `unsupported`; then what `start` gave still holds.
        """
        ...

    def parse_webhook(self, raw: bytes, headers: Mapping[str, str], /) -> Sequence[Report]:
        """What a webhook reports; none where it is of no concern.

        Args:
            raw: the body, byte for byte.
            headers: names in small letters; a field that came twice is left out.

        Raises:
            WebhookError: it is not believed.
        """
        ...

    async def fetch(self, which: str, /) -> Report | None:
        """What became of a verification. None where the provider knows nothing that we do not (`manual`).

        It may tell of the document and the person what no webhook does.

        Raises:
            ProviderError: it does not say.
        """
        ...

    async def cancel(self, which: str, /) -> None:
        """Have the provider take nothing more from the person.

        Raises:
            ProviderError: it may still; whoever keeps the case minds nothing that comes of it.
        """
        ...

    async def redact(self, which: str, /) -> None:
        """Have the provider forget what it collected. One that is unknown is forgotten. What was decided stays.

        Raises:
            ProviderError: it has not.
        """
        ...
