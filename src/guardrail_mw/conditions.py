"""`when`: whom a rule is for, what a policy may say of it, compiled into one question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Final, Literal, NamedTuple, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from guardrail_mw.errors import Problem
from guardrail_mw.settings import OneOrMany, OneOrMore, Settings, refuse

__all__ = ["OTHER", "VERDICTS", "Traits", "Verdict", "WhenSettings", "at_least", "compile_when", "ial_level"]

OTHER: Final = "other"
"""Whatever model the policy does not list."""
Verdict: TypeAlias = Literal["none", "watched", "suspect", "confirmed"]
VERDICTS: Final[tuple[Verdict, ...]] = ("none", "watched", "suspect", "confirmed")
"""Lowest first."""

_Verdicts: TypeAlias = Annotated[
    Annotated[Verdict, Tag("one")] | Annotated[list[Verdict], Field(min_length=1), Tag("many")],
    Discriminator(lambda value: "many" if isinstance(value, list) else "one"),
]


class WhenSettings(Settings):
    """Whom a rule is for: all that is said here must hold.

    A list holds for what is in it. One verdict, `acr` or `ial`, which have an order, holds for that and what is above it.
    """

    authenticated: bool | None = None
    """Whether the credential was proved."""
    verified: bool | None = None
    """Whether a person or organisation passed identity verification."""
    tier: OneOrMany | None = None
    organisation: OneOrMany | None = None
    """As the claim writes it."""
    verdict: _Verdicts | None = None
    acr: OneOrMore | None = None
    """`identity.assurance` gives the order; one that is not listed there matches only itself."""
    ial: OneOrMore | None = None
    source: OneOrMany | None = None
    """Which of `identity.sources` recognised the credential, or `anonymous`."""
    route: OneOrMany | None = None
    """A route's name, or one of its paths as written in `routes`."""
    method: OneOrMany | None = None
    model: OneOrMany | None = None
    """A key of `models`, or `other` for whatever is not listed there."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            refuse([Problem("", "is empty, which holds for everybody.", "Name a condition, or leave `when` out.")])
        bad = [method for method in self.method or () if not (method.isascii() and method.isalpha() and method.isupper())]
        if bad:
            refuse([Problem("method", "is not an HTTP method in capitals.", "Write GET, POST and so on.")])
        return self


class Traits(NamedTuple):
    """What `when` looks at: known before the store is asked, so that the plan is."""

    route: tuple[str, ...] = ()
    """The route's label and paths; empty where none matched."""
    method: str = ""
    model: str = OTHER
    authenticated: bool = False
    verified: bool = False
    tier: str = ""
    organisation: str = ""
    verdict: str = "none"
    acr: str = ""
    ial: str = ""
    source: str = "anonymous"


def compile_when(when: WhenSettings, assurance: Sequence[str]) -> Callable[[Traits], bool]:
    """One predicate for all conditions: every one must hold. `assurance` orders `acr` values, lowest first."""
    tests: list[Callable[[Traits], bool]] = []
    for name in ("authenticated", "verified"):
        wanted = getattr(when, name)
        if wanted is not None:
            tests.append(_equals(name, wanted))
    for name in ("tier", "organisation", "source", "method", "model"):
        values = getattr(when, name)
        if values is not None:
            tests.append(_within(name, frozenset(values)))
    if when.route is not None:
        routes = frozenset(when.route)
        tests.append(lambda traits: not routes.isdisjoint(traits.route))
    tests += [
        _ordered(name, value, order)
        for name, value, order in (("verdict", when.verdict, VERDICTS), ("acr", when.acr, assurance), ("ial", when.ial, ()))
        if value is not None
    ]
    return lambda traits: all([test(traits) for test in tests])


def _equals(name: str, wanted: bool) -> Callable[[Traits], bool]:  # noqa: FBT001 - the value to be equal to
    return lambda traits: getattr(traits, name) is wanted


def _within(name: str, values: frozenset[str]) -> Callable[[Traits], bool]:
    return lambda traits: getattr(traits, name) in values


def _ordered(name: str, wanted: str | Sequence[str], order: Sequence[str]) -> Callable[[Traits], bool]:
    """A list holds for what is in it; one value for itself and what is above it; one outside the order only for itself."""
    if not isinstance(wanted, str):
        return _within(name, frozenset(wanted))
    if name == "ial":
        return lambda traits: ial_level(getattr(traits, name)) >= ial_level(wanted) if traits.ial else False
    return _within(name, at_least(wanted, order))


def at_least(wanted: str, order: Sequence[str]) -> frozenset[str]:
    """What is wanted, and what is above it in an order, lowest first; what the order does not have is only itself."""
    return frozenset(order[order.index(wanted) :] if wanted in order else [wanted])


def ial_level(value: str) -> int:
    """NIST SP 800-63's identity assurance level: the digits of `2` or `ial2`; -1 where there are none."""
    digits = "".join(character for character in value if character in "0123456789")
    return int(digits[:4]) if digits else -1
