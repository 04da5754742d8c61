"""Velocity: how many, or how many distinct, of something somebody shows over a window. It refuses nobody; scorers read it."""

from __future__ import annotations

import hashlib
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from guardrail_mw.conditions import WhenSettings
from guardrail_mw.errors import Problem
from guardrail_mw.limits.limit import digest
from guardrail_mw.limits.settings import HOMES, Dimension
from guardrail_mw.quantities import Duration
from guardrail_mw.settings import Settings, Slug, refuse
from guardrail_mw.stores.base import Count, Distinct, Sketch, Step
from guardrail_mw.values import Family

__all__ = ["FAMILIES", "NOBODY", "VelocitySettings", "Watch", "value"]

FAMILIES: Final[dict[str, Family]] = {
    "account": "reputation",
    "organisation": "reputation",
    "cluster": "reputation",
    "network": "network",
    "device": "device",
    "model": "release",
    "route": "content",
}
"""The kind of evidence that telling these apart is."""
NOBODY: Final = ""

_HOUR: Final = 3_600_000_000
_SHORTEST: Final = 1_000_000
_LONGEST: Final = 90 * 24 * _HOUR


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _figure(value: list[str]) -> str | list[str]:
    return value[0] if len(value) == 1 else value


_SOME = {"enum": [*HOMES, "model", "route"]}
_Per: TypeAlias = Annotated[
    list[Dimension],
    BeforeValidator(_listed),
    PlainSerializer(_figure, when_used="json"),
    Field(max_length=4),
    WithJsonSchema({"anyOf": [_SOME, {"type": "array", "items": _SOME, "maxItems": 4}]}),
]


class VelocitySettings(Settings):
    """One item of `velocity`."""

    name: Slug
    """How scorers, events and `explain` call it."""
    count: Literal["attempts", "admitted", "denied"] | None = None
    """Count requests: all, those that the limits admitted, or those that they refused. A batch that is read counts as many as
    it holds."""
    distinct: Dimension | None = None
    """Count how many different ones of these are seen, attempts that were refused included."""
    per: _Per
    """Whose: one dimension or several, the first of which is somebody; `[]` is everyone together."""
    over: Duration
    """The window: from 1s to 90d, counted in twentieths (distinct values in sixtieths)."""
    approximate: bool = False
    """For `distinct`: beyond 64, within some 5%, by HyperLogLog; it looks back between one window and two."""
    when: WhenSettings | None = None
    """Whose requests count; everybody's unless set."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        problems = []
        if (self.count is None) == (self.distinct is None):
            hint = "Write `count: attempts`, or `distinct: device`, for instance."
            problems.append(Problem("", "needs either `count` or `distinct`.", hint))
        if self.per and self.per[0] not in HOMES:
            problems.append(
                Problem("per", f"begins with `{self.per[0]}`, which is nobody.", f"Begin with {', '.join(HOMES)}.")
            )
        if len(set(self.per)) < len(self.per):
            problems.append(Problem("per", "names a dimension twice.", "Name each once."))
        if self.distinct is not None and self.distinct in self.per:
            what = f"counts how many `{self.distinct}` a `{self.distinct}` has, which is one."
            problems.append(Problem("distinct", what, "Count something else, or per something else."))
        if self.approximate and self.distinct is None:
            problems.append(Problem("approximate", "has no effect on a `count`, which is exact.", "Leave it out."))
        if not _SHORTEST <= self.over.us <= _LONGEST:
            problems.append(Problem("over", "is not between 1s and 90d.", "10m, 24h and 7d are usual."))
        if problems:
            refuse(problems)
        return self

    @property
    def family(self) -> Family:
        """The kind of evidence that it is."""
        return "volume" if self.distinct is None else FAMILIES[self.distinct]

    def fingerprint(self) -> str:
        """Changes when its counters must begin anew."""
        facts = (self.count, self.distinct, *self.per, self.over.us, self.approximate)
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:8]


class Watch:
    """A velocity rule, with all that a request needs of it computed."""

    __slots__ = ("approximate", "code", "count", "dimensions", "distinct", "home", "name", "when", "window")

    def __init__(self, settings: VelocitySettings) -> None:
        self.name = settings.name
        self.count = settings.count
        self.distinct: str = settings.distinct or ""
        self.approximate = settings.approximate
        self.home = settings.per[0] if settings.per else ""
        self.dimensions: tuple[str, ...] = tuple(settings.per[1:])
        self.window = settings.over.us
        self.code = f"v{digest(f'{settings.name} {settings.fingerprint()}', 4)}"
        self.when = settings.when

    def step(self, field: str, seen: str, items: int = 1) -> Step:
        """The step that counts a request of so many `items` under `field`; `seen` is the value that `distinct` tells apart."""
        if self.count is not None:
            return Count(field, self.count, self.window, items)
        if self.approximate:
            return Sketch(field, seen, self.window)
        return Distinct(field, seen, self.window)


def value(name: str) -> str:
    """What a distinct count remembers of a home, a model or a route: 16 hex digits. Homes are keyed digests already."""
    return hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
