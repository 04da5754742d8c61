"""What a source of identity is: the door that built-ins and plugins come through.

An entry point of the group `guardrail_mw.identities` is a `SourceType`: a class that owns its settings. A policy's
`{use: NAME, with: {…}}` becomes `cls(cls.Settings.model_validate(with), context)`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel

from guardrail_mw.clock import Clock
from guardrail_mw.values import Credential, Observer

__all__ = ["MAX_CREDENTIAL", "Context", "NullObserver", "Presented", "Source", "SourceType"]

S_contra = TypeVar("S_contra", bound=BaseModel, contravariant=True)

MAX_CREDENTIAL = 8192
"""Bytes of a credential; whatever is longer is refused before anything reads it."""


class NullObserver:
    """Hears everything, tells nobody."""

    __slots__ = ()

    def count(self, event: str, by: int = 1) -> None:
        """Nothing."""


class Context(NamedTuple):
    """What a source is given besides its settings."""

    name: str
    """As the policy names it in `use`; part of every account of this source."""
    clock: Clock
    observer: Observer
    forget: Callable[[], None]
    """Call it when credentials accepted so far may be good no longer (a key was withdrawn): subjects are worked out anew."""


class Presented(NamedTuple):
    """What one request presents to the sources."""

    credential: bytes
    """The one credential, freed of `Bearer`; empty where there is none."""
    names: tuple[bytes, ...]
    """The headers that carried it."""
    attributes: Mapping[bytes, list[bytes]]
    """Values, in order, of the headers that some source lists as attributes."""
    trusted: bool
    """Whether the peer is a trusted proxy, whose headers may be believed."""
    network: str
    """Home of the client's network: what budgets are kept by."""
    parent: str
    """Home of its parent."""


@runtime_checkable
class Source(Protocol):
    """Tells whom a credential belongs to.

    `identify` answers None for what it does not recognise: then the next source is asked. What it recognises and finds bad
    it refuses with a `TokenError`, and no other source is asked. It answers at once where it can; an awaitable costs time.
    """

    @property
    def name(self) -> str:
        """As the policy names it."""
        ...

    @property
    def credentials(self) -> tuple[bytes, ...]:
        """Lower-case names of the headers whose value is a credential. A request may present one, once a header."""
        ...

    @property
    def attributes(self) -> tuple[bytes, ...]:
        """Lower-case names of other headers it reads."""
        ...

    def identify(self, presented: Presented) -> Credential | Awaitable[Credential | None] | None:
        """Whose credential this is, or None where it is not of this source's kind.

        Raises:
            TokenError: it is, and it is bad.
        """
        ...

    async def start(self) -> None:
        """Get ready ahead of the first request; never fails. Not called where the server sends no lifespan."""
        ...

    async def aclose(self) -> None:
        """Let go of what runs in the background. It may be used again afterwards."""
        ...


class SourceType(Protocol[S_contra]):
    """What an entry point of `guardrail_mw.identities` is."""

    @property
    def Settings(self) -> type[BaseModel]:  # noqa: N802 - a class within a class
        """The model of `with`; strict, refusing what it does not know."""
        ...

    def __call__(self, settings: S_contra, context: Context, /) -> Source:
        """Build the source."""
        ...
