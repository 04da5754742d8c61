"""What every challenge is to the rest."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

from pydantic import BaseModel, field_validator

from guardrail_mw.errors import Problem
from guardrail_mw.quantities import Duration
from guardrail_mw.settings import Settings, refuse

__all__ = ["Asked", "Challenger", "ChallengerSettings", "Means", "Outcome"]

_SECOND: Final = 1_000_000
_DAY: Final = 86_400 * _SECOND


class ChallengerSettings(Settings):
    """What `with` of every challenge may say."""

    immunity: Duration = Duration.parse("30m")
    """How long one that was solved satisfies the rung."""
    expires: Duration = Duration.parse("5m")
    """How long there is to solve one."""

    @field_validator("immunity")
    @classmethod
    def _forgets(cls, immunity: Duration) -> Duration:
        if not 10 * _SECOND <= immunity.us <= 30 * _DAY:
            refuse([Problem("", "is not between 10s and 30d.", "30m is usual: nobody solves one twice in a conversation.")])
        return immunity

    @field_validator("expires")
    @classmethod
    def _ends(cls, expires: Duration) -> Duration:
        if not 30 * _SECOND <= expires.us <= _DAY // 24:
            refuse([Problem("", "is not between 30s and 1h.", "5m is time to come back to a page that was left open.")])
        return expires


class Asked(NamedTuple):
    """One asking."""

    case: str
    """Sealed: who is asked for what. It goes out with the challenge and comes back with the answer; opaque to everybody."""
    suspicion: float
    """From 0, at the rung's threshold, to 1, at a risk of 100."""
    expires: int
    """µs since the epoch."""
    action: str = ""
    """The rung's name."""


Outcome: TypeAlias = Literal["solved", "failed", "unavailable"]
"""What an answer comes to: `unavailable` where a service could not be asked."""


class Means(NamedTuple):
    """What a challenge may use of the process."""

    keys: Sequence[bytes]
    """32 bytes each, for this challenge alone: the first signs, any verifies."""


@runtime_checkable
class Challenger(Protocol):
    """Makes challenges and judges answers. One for a rung; may be used from several event loops."""

    Settings: ClassVar[type[BaseModel]]
    """The model of what stands beside `use` in `with`."""

    def __init__(self, settings: Any, means: Means, /) -> None: ...

    def issue(self, asked: Asked, /) -> Mapping[str, Any]:
        """What the solver must know, as JSON; `type`, `url`, `case` and `expires_at` are put beside it.

        Cheap: one is made for each refusal.
        """
        ...

    def verify(self, asked: Asked, answer: str, /) -> Outcome | Awaitable[Outcome]:
        """Whether `answer` solves the challenge that was made for `asked.case`. That it is in time, and the first, is seen to."""
        ...
