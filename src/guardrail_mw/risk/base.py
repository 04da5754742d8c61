"""What a scorer is: the door that built-ins and plugins come through, and what passes through it.

An entry point of the group `guardrail_mw.scorers` is a `ScorerType`: a class that owns its settings. A policy's `{use: NAME,
with: {…}}` becomes `cls(cls.Settings.model_validate(with), scope)`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar, get_args, runtime_checkable

from pydantic import BaseModel

from guardrail_mw.clock import Clock
from guardrail_mw.values import Family, Observer

if TYPE_CHECKING:
    from guardrail_mw.values import Facts, Standing, Subject

__all__ = ["FAMILIES", "Count", "Family", "Finding", "RiskContext", "Scope", "Scorer", "ScorerType", "Velocity"]

S_contra = TypeVar("S_contra", bound=BaseModel, contravariant=True)

FAMILIES: tuple[Family, ...] = get_args(Family)


class Finding(NamedTuple):
    """What a scorer says of one request."""

    family: Family
    score: int
    """0 to 100; 0 is as good as none."""
    reason: str
    """A code in lower case with hyphens: `devices-per-account`, `headless-browser`. Constant text: never what a client sent."""
    figures: Mapping[str, int | float | str] = {}
    """What it was worked out from, for `explain`: counts, thresholds, names of known programs. No identifier of anybody."""


class Velocity(NamedTuple):
    """A rule of the policy's `velocity:`, as far as scorers need it."""

    name: str
    family: Family
    """`volume` for counts; for distinct values that of what is told apart."""
    window: int
    """µs."""


class Count(NamedTuple):
    """What a velocity rule has counted, this request included where it counts."""

    value: int
    floor: bool = False
    """Whether there may be more: exact counts of distinct values end at 64."""


class RiskContext:
    """All that a scorer may look at. One for a request; a scorer changes nothing in it."""

    __slots__ = ("authenticated", "counts", "facts", "model", "now", "route", "standing", "subject")

    def __init__(  # noqa: PLR0913 - all that there is to look at
        self,
        facts: Facts,
        subject: Subject,
        standing: Standing,
        counts: Mapping[str, Count],
        now: int,
        *,
        authenticated: bool = False,
        route: str = "",
        model: str = "other",
    ) -> None:
        self.facts = facts
        """The request: method, path, headers, and what its body is likely to use where it was read."""
        self.subject = subject
        """Whom it is attributed to. Subjects are reused between requests: what is worked out of one may be kept by identity."""
        self.standing = standing
        """What is remembered of the account; `fields` holds `verdict`, `since` and the like, and `labels(now)` says what
        operators have put on it and still holds."""
        self.counts = counts
        """By the name of the velocity rule. A rule that does not hold for this request is not there."""
        self.now = now
        """The store's µs."""
        self.authenticated = authenticated
        self.route = route
        """The route's label; empty where none matched."""
        self.model = model
        """A key of the policy's `models`, or `other`."""


@runtime_checkable
class Scorer(Protocol):
    """Says how suspicious a request is, and why.

    Answers at once where it can. An awaitable has the policy's `risk.deadline` (20 ms); one that is late or fails, and a
    synchronous one that keeps being slow, yields nothing, is counted, and never fails a request.
    """

    def score(self, context: RiskContext, /) -> Iterable[Finding] | Awaitable[Iterable[Finding]]:
        """The findings; none where there is nothing to say."""
        ...


class Scope(NamedTuple):
    """What a scorer is given besides its settings."""

    name: str
    """As the policy names it."""
    velocity: Mapping[str, Velocity]
    """The policy's velocity rules, by name."""
    clock: Clock
    observer: Observer


class ScorerType(Protocol[S_contra]):
    """What an entry point of `guardrail_mw.scorers` is."""

    @property
    def Settings(self) -> type[BaseModel]:  # noqa: N802 - a class within a class
        """The model of `with`; strict, refusing what it does not know."""
        ...

    def __call__(self, settings: S_contra, scope: Scope, /) -> Scorer:
        """Build the scorer.

        Raises:
            ValueError: the settings do not fit the rest of the policy (they name a velocity rule that is not there); says what
                to do. The loader reports it at the scorer's place in the file.
        """
        ...
