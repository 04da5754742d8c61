"""`when`: whom a limit is for, compiled into one question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from guardrail_mw.limits.models import OTHER
from guardrail_mw.limits.settings import VERDICTS, WhenSettings

__all__ = ["Traits", "compile_when"]


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
        return lambda traits: _ial(getattr(traits, name)) >= _ial(wanted) if traits.ial else False
    if wanted not in order:
        return _within(name, frozenset([wanted]))
    return _within(name, frozenset(order[order.index(wanted) :]))


def _ial(value: str) -> int:
    """NIST SP 800-63's identity assurance level: the digits of `2` or `ial2`; -1 where there are none."""
    digits = "".join(character for character in value if character in "0123456789")
    return int(digits[:4]) if digits else -1
