"""Who stands before the ladder, and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from guardrail_mw.conditions import Traits
from guardrail_mw.friction.rung import Rung
from guardrail_mw.stores.base import Change

__all__ = ["Person", "Step"]


class Person(NamedTuple):
    """Who stands before the ladder."""

    account: str
    """Home of who pays."""
    candidate: str
    """Home of the account whose standing `fields` is and may be written; empty where nothing is remembered: for the anonymous,
    and for keys that nobody has proved."""
    traits: Traits
    fields: Mapping[str, str]
    """Of its standing."""
    now: int
    """The store's µs."""
    signed_in: int = 0
    """µs at which its owner last signed in, as its token says; 0 where nobody said."""
    solves: frozenset[str] | None = None
    """Challenges that it could solve, by their plugins' names: those that a client says; None is any, as in a browser."""

    def can(self, rung: Rung) -> bool:
        """Whether it could pass what a rung asks for.

        Whoever can read an error can follow its link to be verified, if there is an account that could be.
        """
        if rung.do == "verify":
            return bool(self.candidate)
        return self.solves is None or rung.use in self.solves


class Step(NamedTuple):
    """Where a request stands on the ladder."""

    rung: Rung | None
    """What acts; None lets it pass."""
    would: Rung | None
    """What would act, were nothing in shadow or still rolling out, where that is another rung."""
    effective: float
    """The risk, or what is remembered of a greater one."""
    at: float | None
    """The threshold, for this account, of the rung that acts (or would); None where there is none."""
    why: tuple[str, ...]
    """What had a say besides the risk: `override`, `unknown-override`, `allow-lane`, `capped`, `hysteresis`, `up`,
    `one-family`, `not-rolled-out`, `shadow`, `otherwise`, `cleared`, `budget`;
    `delays-full` where it was to wait and nobody more could, `store` where it was to solve something and the store was down."""
    entered: bool
    """Whether the account comes onto this rung from a lower one, or none, with this request."""
    changes: tuple[Change, ...]
    """For the candidate's standing; mostly none."""
    families: int = 0
    """Of the evidence it was worked out with."""
