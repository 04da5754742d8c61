"""What every way of being verified is to the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pydantic import BaseModel

    from guardrail_mw.friction.step import Person

__all__ = ["Asking", "Verifier", "Wanted"]


class Asking(NamedTuple):
    """A verification by one of the policy's providers.

    A verifier that has one as `asks` leaves it to the middleware to say where a person begins.
    """

    provider: str
    """A key of `verification.providers`."""
    level: str
    organisation: bool = False
    """Whether once is enough for everybody of a cluster."""


class Wanted(NamedTuple):
    """What is asked for, as the refusal says it."""

    acr: tuple[str, ...] = ()
    """Authentication contexts, any of which will do, for who has a token of an issuer; empty for no such thing."""
    max_age: int | None = None
    """Seconds that may have passed since somebody signed in; None for any number."""
    url: str = ""
    """Where a person begins; empty for nowhere."""


@runtime_checkable
class Verifier(Protocol):
    """Says what must be proved, and whether it is. One for a rung; may be used from several event loops."""

    Settings: ClassVar[type[BaseModel]]
    """The model of what stands beside `use` in `with`."""

    def __init__(self, settings: Any, assurance: Sequence[str], /) -> None: ...

    def passed(self, person: Person, /) -> bool:
        """Whether what a request shows proves it. What was proved before is in the standing, and seen to."""
        ...

    def wanted(self, person: Person, /) -> Wanted:
        """What to ask of somebody whom the rung stops."""
        ...
