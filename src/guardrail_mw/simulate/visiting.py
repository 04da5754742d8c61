"""One caller's way from a refusal to the next answer, and what is noted of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from guardrail_mw.engine.cases import Link
    from guardrail_mw.engine.clearing import Given
    from guardrail_mw.simulate.world.batch import Batch

__all__ = ["Came", "Visit"]


@dataclass(slots=True)
class Visit:
    """One caller's way from a refusal to the next answer; an operator's ends where its account is verified."""

    account: int
    operator: int
    """-1 for an account's owner."""
    batch: Batch
    """The call that was refused."""
    first: int
    """The code of its refusal."""
    since: int
    """µs."""
    own: int = 0
    """µs of the caller's, as the world has it."""
    provider: int = 0
    """µs of the provider's."""
    tries: int = 0
    solves: int = 0
    idle: bool = False
    """Whether it has come to nothing; the next call that is refused takes it up again."""
    given: Given | None = None
    link: Link | None = None
    sealed: str = ""
    document: str = ""


class Came(NamedTuple):
    """What became of a visit of an account's owner."""

    account: int
    first: int
    since: int
    done: int
    """µs of the next answer with content; 0 for none."""
    own: int
    provider: int
    verified: bool
