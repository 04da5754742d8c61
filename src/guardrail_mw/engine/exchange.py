"""What the pipeline knows of one request, and what the app finds in `scope["state"]["guardrail"]`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrail_mw.conditions import Traits
from guardrail_mw.values import Estimate, Standing

if TYPE_CHECKING:
    from guardrail_mw.engine.core import Engine
    from guardrail_mw.engine.judgement import Judgement
    from guardrail_mw.engine.routes import Route
    from guardrail_mw.friction.ladder import Person
    from guardrail_mw.limits.tariff import Tariff
    from guardrail_mw.stores.base import Receipt
    from guardrail_mw.values import Decision, Facts, Subject

__all__ = ["NOTHING", "Exchange", "Limited"]

NOTHING = Estimate()
UNKNOWN = Standing()
_ANYBODY = Traits()


class Limited:
    """How one limit stands, for the app to read."""

    __slots__ = ("name", "remaining", "reset", "unit")

    def __init__(self, name: str, unit: str, remaining: int, reset: int) -> None:
        self.name = name
        self.unit = unit
        self.remaining = remaining
        self.reset = reset
        """µs until it is as new."""

    def __repr__(self) -> str:
        return f"<{self.name}: {self.remaining} {self.unit} left, whole in {self.reset / 1_000_000:g} s>"


class Exchange:
    """One request on its way through the pipeline.

    The app reads `id`, `subject`, `decision` and `readings`, and charges what only it knows with `await add(unit, n)`.
    """

    __slots__ = (
        "authenticated", "began", "decision", "delayed", "dialect", "engine", "estimate", "facts", "id", "judgement", "model",
        "person", "receipt", "route", "settled", "shown", "standing", "subject", "tariff", "token", "traits", "trimmed", "turn",
        "would",
    )  # fmt: skip

    def __init__(self, engine: Engine, identity: str, route: Route, facts: Facts) -> None:
        self.engine = engine
        self.id = identity
        self.route = route
        self.dialect = route.dialect
        self.facts = facts
        self.subject: Subject | None = None
        self.authenticated = False
        """Whether the credential was proved, by a source or by the app's answers so far."""
        self.standing = UNKNOWN
        self.shown: Standing | None = None
        """The standing as it is judged by, once that was looked at: with what a cookie shows that its caller has passed."""
        self.person: Person | None = None
        """Who stands before the ladder, likewise."""
        self.estimate = NOTHING
        self.model = "other"
        self.tariff: Tariff | None = None
        self.traits = _ANYBODY
        """What rules' `when` looks at."""
        self.receipt: Receipt | None = None
        self.judgement: Judgement | None = None
        """What its risk is, where the policy has scorers or a ladder, and no limit refused it."""
        self.decision: Decision | None = None
        """What was done."""
        self.would: Decision | None = None
        """What shadow mode would have done, where that differs."""
        self.token: tuple[str, str] | None = None
        """Where it must solve something: what is spent by that, and the store's epoch."""
        self.delayed = 0.0
        """Seconds that it was made to wait."""
        self.trimmed: tuple[str, ...] = ()
        """Parameters that were taken out of its body."""
        self.began = 0
        """Monotonic µs, where decisions are recorded."""
        self.settled = False
        self.turn = False
        """Whether it is a message on a socket, which holds its slots already."""

    @property
    def answerable(self) -> str:
        """Home of the account that can be verified, and may appeal; empty for who has none, and for keys that nobody knows.

        One that nobody has proved counts if something is held against it: it is refused before the app could prove it.
        """
        subject, tariff, standing = self.subject, self.tariff, self.standing
        if subject is None or tariff is None:
            return ""
        known = tariff.payer == subject.candidate or standing.version or standing.seen
        return subject.candidate if known else ""

    @property
    def readings(self) -> tuple[Limited, ...]:
        """The limits that hold for this request, as they stand after it was charged."""
        if self.receipt is None or self.tariff is None or not self.receipt.readings:
            return ()
        return tuple(
            Limited(slot.limit.name, slot.limit.unit, reading.remaining, reading.reset)
            for slot, reading in self.tariff.shape.read(self.receipt.readings)
            if not slot.share
        )

    async def add(self, unit: str, n: int) -> None:
        """Charge what only the app knows: a tool call (`requests`), an image's `tokens`, micro-dollars (`usd`).

        It is owed, whatever the limits hold: what is spent is spent. Charged at once, on each limit of the request in that
        unit.

        Args:
            unit: requests, tokens, input_tokens, output_tokens or usd.
            n: how many; whole, at least 0. Micro-dollars for usd.

        Raises:
            ValueError: an unknown unit, or not a whole number of at least 0.
        """
        await self.engine.add(self, unit, n)
