"""What an account's verifications have come to, as its standing has it.

Each report of a provider is a field of its own, `case.<code>.<order>`: the code says who was to verify what, the order when the
provider decided. The highest order of a code holds, so that reports which come late, twice or at once lead to the same, whoever
writes them. `cases` grows with every report: what was planned before holds no longer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Self, TypeAlias

from guardrail_mw.conditions import at_least, ial_level
from guardrail_mw.stores.base import Change

if TYPE_CHECKING:
    from guardrail_mw.friction.verification.settings import VerificationSettings

__all__ = [
    "CASES",
    "UNASSURED",
    "Assured",
    "Entry",
    "Outcome",
    "Terms",
    "assured",
    "code_of",
    "entries",
    "higher",
    "passed",
    "raised",
]

CASES: Final = "cases"
"""Field of a standing: how many reports there were."""
_FIELD: Final = "case."
Outcome: TypeAlias = Literal["pending", "approved", "declined", "expired", "withdrawn"]
_RANK_OF: Final[Mapping[str, int]] = {"pending": 0, "approved": 1, "expired": 2, "declined": 3, "withdrawn": 4}
"""Of two of the same µs a decision holds before `pending`, and the one that says less for the account before the other."""
_SPREAD: Final = 16
_DIGITS: Final = 24


class Entry(NamedTuple):
    """What one report says."""

    state: Outcome
    at: int
    """µs since the epoch by the provider's clock."""
    until: int = 0
    """µs until which an approval holds; 0 for any other state."""
    ial: str = ""
    acr: str = ""
    provider: str = ""
    """Its name in the policy."""
    case: str = ""
    """The name of the case's record."""

    @property
    def order(self) -> int:
        """By which entries are compared."""
        return self.at * _SPREAD + _RANK_OF[self.state]

    def holds(self, now: int) -> bool:
        """Whether it is an approval that has not run out."""
        return self.state == "approved" and now < self.until


class Assured(NamedTuple):
    """What approvals that hold are worth together."""

    verified: bool = False
    ial: str = ""
    acr: str = ""
    until: int = 0
    """µs at which the first of them runs out; 0 for none."""


class Terms(NamedTuple):
    """Which approvals a policy counts: those of providers and levels that it names.

    The others are kept, and count again once it names them again.
    """

    assurance: Sequence[str] = ()
    """The order of authentication contexts, lowest first."""
    codes: frozenset[str] = frozenset()
    providers: frozenset[str] = frozenset()
    """Those that have no levels, or that do not tell them."""

    @classmethod
    def of(cls, settings: VerificationSettings | None, assurance: Sequence[str]) -> Self:
        """Of a policy's `verification`, where it has one."""
        named = settings.providers.items() if settings is not None else ()
        codes = [code_of(name, level) for name, each in named for level in each.levels or ()]
        return cls(assurance, frozenset(codes), frozenset([name for name, each in named if each.levels is None]))

    def counts(self, code: str, entry: Entry) -> bool:
        """Whether an approval of this code counts."""
        return code in self.codes or entry.provider in self.providers


UNASSURED: Final = Assured()
"""Of who has not been verified."""


def code_of(provider: str, level: str) -> str:
    """Twelve hex digits of who verifies what: what an approval is bound to."""
    return sha256(f"{len(provider)} {provider} {level}".encode()).hexdigest()[:12]


def entries(fields: Mapping[str, str]) -> dict[str, Entry]:
    """The entry that holds of each code. What cannot be read is left aside."""
    found: dict[str, tuple[int, Entry]] = {}
    if CASES not in fields:
        return {}
    for name, text in fields.items():
        if not name.startswith(_FIELD):
            continue
        code, _, order = name.removeprefix(_FIELD).partition(".")
        entry = _read(order, text)
        if entry is not None and (code not in found or entry.order > found[code][0]):
            found[code] = entry.order, entry
    return {code: entry for code, (_, entry) in found.items()}


def passed(fields: Mapping[str, str], code: str, now: int) -> bool:
    """Whether the verification of this code is passed `now`, in µs."""
    entry = entries(fields).get(code)
    return entry is not None and entry.holds(now)


def raised(fields: Mapping[str, str], code: str, entry: Entry) -> tuple[Change, ...]:
    """What notes an entry in a standing. Those that it, or another, has outdone make room.

    Args:
        fields: of the standing, as far as it is known.
        code: of the case.
        entry: what is reported.
    """
    begun = f"{_FIELD}{code}."
    known = [name for name in fields if name.startswith(begun)]
    orders = {name: order for name in known if (order := _order(name.removeprefix(begun))) is not None}
    highest = max([entry.order, *orders.values()])
    gone = [Change("unset", name) for name, order in orders.items() if order < highest]
    said = json.dumps([entry.state, entry.until, entry.ial, entry.acr, entry.provider, entry.case], separators=(",", ":"))
    return (Change("set", f"{begun}{entry.order}", said), Change("add", CASES, "1"), *gone)


def assured(fields: Mapping[str, str], terms: Terms, now: int) -> Assured:
    """What an account's verifications are worth `now`.

    Args:
        fields: of its standing.
        terms: the policy's.
        now: µs since the epoch.
    """
    if CASES not in fields:
        return UNASSURED
    held = [entry for code, entry in entries(fields).items() if entry.holds(now) and terms.counts(code, entry)]
    if not held:
        return UNASSURED
    acr = ""
    for entry in sorted(held, key=lambda each: each.at):
        acr = higher(acr, entry.acr, terms.assurance)
    ial = max([entry.ial for entry in held], key=ial_level)
    return Assured(True, ial, acr, min(entry.until for entry in held))  # noqa: FBT003 - a value


def higher(one: str, other: str, assurance: Sequence[str]) -> str:
    """The higher of two authentication contexts; of two that no order compares the second, unless it is empty."""
    return one if not other or one in at_least(other, assurance) else other


def _read(order: str, text: str) -> Entry | None:
    number = _order(order)
    if number is None:
        return None
    try:
        state, until, *rest = json.loads(text)
        entry = Entry(state, number // _SPREAD, until, *rest)
    except (TypeError, ValueError):
        return None
    sound = state in _RANK_OF and type(until) is int and all([type(each) is str for each in rest])
    return entry if sound and entry.order == number else None


def _order(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else None
