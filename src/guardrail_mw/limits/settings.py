"""What a policy may say of limits, models and reservations, and the integers that it comes to.

Whatever one item tells by itself is checked here; what needs the rest of the document is the policy's to check.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from guardrail_mw.conditions import WhenSettings
from guardrail_mw.errors import Problem
from guardrail_mw.quantities import Budget, Calendar, Moment, Rate, Share
from guardrail_mw.settings import MICRO, Amount, Dollars, Settings, Slug, Word, refuse

__all__ = [
    "FIGURES",
    "HOMES",
    "LARGEST",
    "Dimension",
    "Kind",
    "LimitSettings",
    "ModelSettings",
    "PriceSettings",
    "ReserveSettings",
    "Unit",
]

LARGEST: Final = 2**51
"""The most that a bucket may be deep, in units times µs of its period, both divided by the gcd of amount and period.

Two such spans (a full bucket and one more charge) and the clock, until the year 2080, stay below 2^53, where the doubles of
Lua stop being exact.
"""

Dimension: TypeAlias = Literal["account", "network", "organisation", "cluster", "device", "model", "route"]
Unit: TypeAlias = Literal["requests", "tokens", "input_tokens", "output_tokens", "usd"]
Kind: TypeAlias = Literal["token_bucket", "sliding_window", "budget", "concurrency"]

HOMES: Final = ("account", "network", "organisation", "cluster", "device")
"""The dimensions that are somebody: what may stand first in `per`."""
FIGURES: Final[dict[str, Kind]] = {
    "rate": "token_bucket",
    "window": "sliding_window",
    "budget": "budget",
    "concurrency": "concurrency",
}
"""The keys of which a limit has one, and the kind of limit that each makes."""


class LimitSettings(Settings):
    """One item of `limits`."""

    name: Slug
    """Lower-case letters, digits and hyphens; how events, headers, `routes` and `replaces` call it."""
    per: list[Dimension] = Field(max_length=4)
    """Whose usage is counted together: the first is the subject, the rest tell its uses apart; `[]` is everyone together."""
    unit: Unit = "requests"
    """What is counted; `tokens` are input, cached, cache-write and output together, `usd` is by the prices in `models`."""
    rate: Rate | None = None
    """A token bucket that refills all the time: `60/minute`, `5 per 2 hours`."""
    window: Rate | None = None
    """At most this in any window of that length, wherever it begins."""
    budget: Budget | None = None
    """At most this in a calendar period, UTC: `500/month`."""
    concurrency: Annotated[int, Field(ge=1, le=MICRO)] | None = None
    """Requests in flight at once."""
    burst: Amount | None = None
    """How deep the bucket of a `rate` is, in its unit; the rate's amount unless set."""
    when: WhenSettings | None = None
    """Whom it is for; everybody unless set."""
    replaces: Slug | None = None
    """The limit that this one stands in for where its `when` holds."""
    shadow: bool = False
    """Recorded, never refuses."""
    keep: Share | None = None
    """For `per: []`: the part kept for the authenticated once only it is left."""
    strict: bool = False
    """Reserve all that a request allows, not what is likely."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        problems = [*self._figures(), *self._dimensions(), *self._extras()]
        problems = problems or [*self._integers()]
        if problems:
            refuse(problems)
        return self

    def _figures(self) -> Iterator[Problem]:
        given = [key for key in FIGURES if getattr(self, key) is not None]
        if not given:
            yield Problem("", "says no figure.", f"Give one of {', '.join(FIGURES)}, such as `rate: 60/minute`.")
        for key in given[1:]:
            yield Problem(key, f"stands beside `{given[0]}`, and a limit has one figure.", "Write two limits.")
        if self.concurrency is not None and "unit" in self.model_fields_set:
            yield Problem("unit", "does not go with `concurrency`, which counts requests in flight.", "Leave it out.")

    def _dimensions(self) -> Iterator[Problem]:
        if self.per and self.per[0] not in HOMES:
            yield Problem(
                "per",
                f"begins with `{self.per[0]}`, which is nobody: the first dimension is whose usage is counted.",
                f"Begin with {', '.join(HOMES[:-1])} or {HOMES[-1]}, such as `per: [account, {self.per[0]}]`.",
            )
        if len(set(self.per)) < len(self.per):
            yield Problem("per", "names a dimension twice.", "Name each once.")

    def _extras(self) -> Iterator[Problem]:
        if self.burst is not None and self.rate is None:
            yield Problem("burst", "goes only with `rate`: it is how deep the bucket is.", "Leave it out.")
        if self.strict and self.unit in {"requests", "input_tokens"}:
            yield Problem("strict", f"has no effect on {self.unit}: only output is reserved.", "Leave it out.")
        if self.replaces == self.name:
            yield Problem("replaces", "names the limit itself.", "Name the limit that this one stands in for.")
        if self.keep is not None:
            yield from self._keep(self.keep)

    def _keep(self, keep: Share) -> Iterator[Problem]:
        if self.per:
            yield Problem("keep", "goes only with `per: []`: it shares out what belongs to everyone.", "Leave it out.")
        elif self.rate is None:
            yield Problem("keep", "goes only with `rate`.", "Leave it out, or make this limit a rate.")
        if keep.percent >= 100:  # noqa: PLR2004
            yield Problem("keep", "leaves strangers nothing.", "Keep less than 100%, or add a limit for strangers.")

    def _integers(self) -> Iterator[Problem]:
        """Whether the figures are whole in their unit, and stay where arithmetic is exact."""
        figure = next(key for key in FIGURES if getattr(self, key) is not None)
        whole = "whole" if self.unit != "usd" else "whole micro-dollars"
        for key, amount in ((figure, self._amount), ("burst", self.burst)):
            if amount is not None and amount * self._scale % 1:
                yield Problem(key, f"has decimals, and {self.unit} are {whole}.", "Write a whole number.")
                return
        if self.burst_units() * self.reduced()[1] > LARGEST or self.amount_units() > LARGEST:
            key = "burst" if self.burst is not None and self.burst > self._amount else figure
            yield Problem(key, "is out of the range in which counting is exact (2^51 unit microseconds).", self._rounder())
        if self.keep is not None and not self.kept_units():
            yield Problem("keep", "is less than one of the depth, so it keeps nothing.", "Keep more.")

    def _rounder(self) -> str:
        """The nearest figures with one to three digits that would do."""
        rate = self.rate or self.window
        for digits in (3, 2, 1):
            if rate is None or self.burst is not None:
                break
            step = Decimal(10) ** (rate.amount.adjusted() + 1 - digits)
            amount = (rate.amount / step).to_integral_value(ROUND_CEILING) * step
            units = int(amount * self._scale)
            if amount * self._scale % 1 == 0 and units * (rate.period // math.gcd(units, rate.period)) <= LARGEST:
                return f"A rounder amount works: {amount:f}."
        return "Use a smaller or rounder amount, or a shorter period."

    @property
    def _scale(self) -> int:
        return MICRO if self.unit == "usd" else 1

    @property
    def _amount(self) -> Decimal:
        if self.concurrency is not None:
            return Decimal(self.concurrency)
        figure = self.rate or self.window or self.budget
        return figure.amount if figure is not None else Decimal(0)

    @property
    def _depth(self) -> Decimal:
        return self._amount if self.burst is None else self.burst

    @property
    def kind(self) -> Kind:
        """What kind of limit its figure makes it."""
        return next(kind for key, kind in FIGURES.items() if getattr(self, key) is not None)

    @property
    def figure(self) -> str:
        """Its figure as the policy wrote it: `120/minute`; the number for `concurrency`."""
        return str(self.rate or self.window or self.budget or self.concurrency)

    @property
    def shared(self) -> bool:
        """Whether everyone draws on it (`per: []`): who is refused by it did nothing wrong."""
        return not self.per

    @property
    def period(self) -> int:
        """µs of a rate's or window's period; 0 for the other kinds."""
        rate = self.rate or self.window
        return rate.period if rate is not None else 0

    @property
    def calendar(self) -> Calendar | None:
        """A budget's calendar period."""
        return self.budget.calendar if self.budget is not None else None

    def amount_units(self) -> int:
        """The figure's amount in its unit; micro-dollars for usd, slots for concurrency."""
        return int(self._amount * self._scale)

    def burst_units(self) -> int:
        """How deep the bucket is, in the same unit; for the other kinds the amount."""
        return int(self._depth * self._scale)

    def kept_units(self) -> int:
        """What strangers may not touch of the bucket's depth; 0 without `keep`."""
        return self.keep.of(self.burst_units()) if self.keep is not None else 0

    def reduced(self) -> tuple[int, int]:
        """Amount and period (µs) of a rate, divided by their gcd, as `algorithms.gcra` takes them; (amount, 1) otherwise."""
        amount = self.amount_units()
        if self.rate is None:
            return amount, 1
        common = math.gcd(amount, self.rate.period)
        return amount // common, self.rate.period // common

    def largest_cost(self) -> int:
        """The largest cost, in its unit, whose arithmetic is exact: what a settlement is cut to."""
        return LARGEST // self.reduced()[1]

    def fingerprint(self) -> str:
        """Eight hex digits that change when its counters must begin anew: with kind, unit, dimensions, amount or period."""
        facts = (self.kind, self.unit, *self.per, self.amount_units(), self.period, self.calendar)
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:8]


class PriceSettings(Settings):
    """Dollars for a million tokens, which is micro-dollars for one."""

    input: Dollars
    output: Dollars
    cached: Dollars | None = None
    """Input that the server's cache spared; as input unless set."""
    cache_write: Dollars | None = None
    """Input that was written to the cache; as input unless set."""

    def picodollars(self) -> tuple[int, int, int, int]:
        """Whole pico-dollars (1e-12) for a token of input, cached, cache-write and output.

        What an exchange costs is the sum of tokens times these, divided by 10^6 and rounded up: micro-dollars.
        """
        cached = self.input if self.cached is None else self.cached
        cache_write = self.input if self.cache_write is None else self.cache_write
        return tuple(int(price * MICRO) for price in (self.input, cached, cache_write, self.output))  # type: ignore[return-value]


class ModelSettings(Settings):
    """One entry of `models`: names that count as one model, and their price. The key `other` is whatever matches none."""

    names: list[Word] | None = Field(default=None, min_length=1)
    """Names as clients write them, `*` for any characters; the key itself unless set."""
    usd_per_million: PriceSettings | None = None
    released: Moment | None = None
    """When it came: whose traffic moves to a model at once is evidence, where the policy has `clusters`."""


class ReserveSettings(Settings):
    """What a request is assumed to use before its answer is known."""

    output: int = Field(default=1024, ge=1, le=10_000_000)
    """Tokens: min(the largest cap that the request gives, this), for each choice."""
    media: int = Field(default=1500, ge=0, le=10_000_000)
    """Tokens for each image, sound or file in the prompt."""
    strict: bool = False
    """Reserve all that a request allows: its cap, not what is likely."""
