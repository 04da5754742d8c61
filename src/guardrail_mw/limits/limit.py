"""One limit, with all that a request needs of it computed."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Callable

from guardrail_mw.conditions import Traits
from guardrail_mw.limits.settings import LimitSettings
from guardrail_mw.stores.base import Budget, Gcra, Lease, Step, Window
from guardrail_mw.values import Refusal

__all__ = ["SHARE", "SLOT_WAIT", "Limit", "digest"]

SLOT_WAIT = 1_000_000
"""µs that a refusal by a concurrency limit asks for."""
SHARE = 10
"""Percent of a `per: []` limit that one account may hold in open reservations."""


class Limit:
    """One limit of the policy, with all that a request needs of it computed."""

    __slots__ = (
        "amount", "calendar", "code", "depth", "dimensions", "figure", "home", "kept", "kind", "name", "period", "rated",
        "replaces", "shadow", "share", "shared", "span", "strict", "unit", "when", "window",
    )  # fmt: skip

    def __init__(
        self, settings: LimitSettings, when: Callable[[Traits], bool] | None, *, shadow: bool, strict: bool
    ) -> None:
        self.name = settings.name
        self.kind = settings.kind
        self.unit = settings.unit
        self.figure = settings.figure
        self.home = settings.per[0] if settings.per else ""
        self.dimensions = tuple(settings.per[1:])
        self.code = digest(f"{settings.name} {settings.fingerprint()}", 4)
        self.shadow = shadow
        self.shared = settings.shared
        self.strict = strict
        self.replaces = settings.replaces
        self.when = when
        self.amount = settings.amount_units()
        self.depth = settings.burst_units()
        self.kept = settings.kept_units()
        self.rated, self.period = settings.reduced()
        self.window = settings.period
        self.calendar = settings.calendar
        self.span = -(-self.depth * self.period // self.rated) if self.kind == "token_bucket" else self.window
        """µs in which what it holds is given out: for a bucket, whatever its depth, the time in which it fills."""
        self.share = max(1, self.depth * SHARE // 100)
        """The most that one account may hold of it in open reservations; for a `per: []` limit in tokens or dollars."""

    @property
    def reserves(self) -> bool:
        """Whether its cost is an estimate, corrected when the answer is known."""
        return self.unit != "requests" and self.kind != "concurrency"

    def step(self, field: str, cost: int, *, authenticated: bool, measured: bool = True) -> Step:
        """The step that charges `cost` under `field`. What an estimate exceeds the depth by is not reserved; it is owed."""
        kept = 0 if authenticated else self.kept
        reserved = self.reserves and measured
        if self.reserves and not measured:
            cost = 0
        elif reserved and not self.strict:
            cost = min(cost, self.depth - kept, self.share if self.shared else cost)
        match self.kind:
            case "token_bucket":
                return Gcra(field, cost, self.rated, self.period, self.depth, kept, self.shadow, reserved)
            case "sliding_window":
                return Window(field, cost, self.amount, self.window, self.shadow, reserved)
            case "budget":
                assert self.calendar is not None  # noqa: S101 - a budget has one
                return Budget(field, cost, self.amount, self.calendar, self.shadow, reserved)
            case "concurrency":
                return Lease(field, self.amount, self.shadow)

    def fits(self, cost: int, *, authenticated: bool) -> bool:
        """Whether a request of `cost` can ever be admitted."""
        if self.kind == "concurrency" or (self.reserves and not self.strict):
            return True
        return cost <= self.depth - (0 if authenticated else self.kept)

    def refusal(self, wait: int, *, share: bool) -> Refusal:
        """The value that says it refused. When a slot comes free nobody knows: it says a second, not the lease's whole life."""
        if self.kind == "concurrency":
            wait = min(wait, SLOT_WAIT)
        return Refusal(self.name, "share" if share else self.kind, self.unit, self.figure, wait, self.shared and not share)


def digest(text: str, size: int) -> str:
    """A digest of fixed length, in characters that a field may hold."""
    return urlsafe_b64encode(hashlib.blake2b(text.encode(), digest_size=size).digest()).decode().rstrip("=")
