"""Figures with units, as a policy writes them: parsed once, printed back as written.

Each is a frozen value that can be the type of a pydantic field: it takes its own text (or an instance), nothing else, so
that `rate: 60` or `keep: 0.3` is refused with the reason. `str()` gives the text back. Equal are those that mean the same.

| type | examples | in integers |
|---|---|---|
| `Rate` | `60/minute`, `5 per 2 hours`, `12.50/hour` | `period` in µs |
| `Budget` | `500/month` | restarts with the calendar, UTC |
| `Duration` | `250ms`, `30s`, `5m`, `1h`, `7d` | `us` |
| `Size` | `32MiB`, `64KB` | `bytes` |
| `Share` | `30%` | `of(n)`, rounded down |
| `Moment` | `2026-11-24`, `2026-11-24T16:00:00Z` | `us` since 1970, UTC |
| `Network` | `10.0.0.0/8`, `2001:db8::/32` | |
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, ClassVar, Final, Literal, Self, TypeAlias, get_args

import limits
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

__all__ = ["Budget", "Calendar", "Duration", "Moment", "Network", "Quantity", "QuantityError", "Rate", "Share", "Size"]

Calendar: TypeAlias = Literal["minute", "hour", "day", "week", "month", "year"]

LONGEST: Final = 64
"""Characters of a quantity; whatever is longer is a mistake."""
MOST: Final = 10**15
"""The largest amount, below 2^53."""
LONGEST_PERIOD: Final = 3_650 * 86_400_000_000
"""Ten years in µs: the longest period or duration."""


class QuantityError(ValueError):
    """A text that is not the quantity it should be.

    Args:
        text: what was written; shown, cut.
        wrong: what is wrong with it, never quoting it.
        expected: what would be right, with an example.
    """

    def __init__(self, text: str, wrong: str, expected: str) -> None:
        shown = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
        super().__init__(f"{shown!r} {wrong}; expected {expected}.")
        self.wrong = wrong
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Quantity:
    """What the quantities share: their text, and how pydantic meets them."""

    text: str = field(compare=False)
    """As the policy wrote it, outer blanks left out."""

    expected: ClassVar[str]
    pattern: ClassVar[str]
    """For editors, in the JSON Schema: nothing valid fails it, not everything invalid does."""
    examples: ClassVar[tuple[str, ...]]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `text`.

        Raises:
            QuantityError: it is not one; says what is wrong and what was expected.
        """
        raise NotImplementedError

    @classmethod
    def _error(cls, text: str, wrong: str) -> QuantityError:
        return QuantityError(text, wrong, cls.expected)

    @classmethod
    def _trim(cls, text: str) -> str:
        trimmed = text.strip()
        if len(trimmed) > LONGEST:
            raise cls._error(trimmed, f"is longer than {LONGEST} characters")
        if not trimmed:
            raise cls._error(trimmed, "is empty")
        return trimmed

    @classmethod
    def _validate(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise cls._error(str(value), f"is {_kind(value)}, not a text with its unit")
        return cls.parse(value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Its own text or an instance, nothing else; serialised as the text."""
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.to_string_ser_schema(when_used="always")
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """A string with a pattern and examples."""
        return {"type": "string", "pattern": cls.pattern, "examples": list(cls.examples)}

    def __str__(self) -> str:
        """The text as written."""
        return self.text


_NUMBER = re.compile(r"([+-]?)([0-9]+(?:\.[0-9]+)?)(?![0-9.])", re.ASCII)
_NO_NUMBER = re.compile(r"[+-]?\.?(nan|inf|infinity)", re.IGNORECASE)


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float | Decimal):
        return "a bare number"
    return "empty" if value is None else f"a {type(value).__name__}"


def _amount(kind: type[Quantity], text: str) -> tuple[Decimal, str]:
    """The figure that `text` begins with, and what follows. Refuses NaN, infinities, signs, zero and the absurd."""
    if _NO_NUMBER.match(text):
        raise kind._error(text, "is not a finite number")  # noqa: SLF001 - the base class's own
    found = _NUMBER.match(text)
    if found is None:
        raise kind._error(text, "does not begin with a plain decimal number")  # noqa: SLF001
    sign, digits = found.groups()
    amount = Decimal(digits)
    if sign == "-" or not amount:
        raise kind._error(text, "is not above 0")  # noqa: SLF001
    if sign or len(digits.partition(".")[2]) > 6:  # noqa: PLR2004 - micro-units are the finest there are
        raise kind._error(text, "has a sign" if sign else "has more than six decimals")  # noqa: SLF001
    if amount > MOST:
        raise kind._error(text, "is too large to mean anything")  # noqa: SLF001
    return amount, text[found.end() :]


@dataclass(frozen=True, slots=True)
class Rate(Quantity):
    """So much in a period, in the grammar of the `limits` library; for dollars the amount may have decimals.

    As in `limits`, a month is 30 days and a year 360: who means the calendar writes a `Budget`.
    """

    amount: Decimal
    period: int
    """µs."""

    expected = "an amount and a period, such as 60/minute or 5 per 2 hours"
    pattern = (
        r"^\s*[0-9]+(\.[0-9]+)?\s*(/|[pP][eE][rR])\s*([0-9]+\s*)?"
        r"((second|minute|hour|day|month|year)s?|[A-Za-z]*[A-Z][A-Za-z]*)\s*$"
    )
    examples = ("60/minute", "5 per 2 hours", "12.50/hour")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a rate."""
        text = cls._trim(text)
        amount, rest = _amount(cls, text)
        if re.search(r"[,;|]", rest):
            raise cls._error(text, "is more than one rate: write a limit for each")
        if re.match(r"\s*(/|per)\s*0+\s*[a-z]", rest, re.IGNORECASE):
            raise cls._error(text, "has a period of 0")
        try:
            item = limits.parse(f"1{rest}")
        except ValueError:
            raise cls._error(text, _rate_trouble(rest)) from None
        period = item.get_expiry() * 1_000_000
        if period > LONGEST_PERIOD:
            raise cls._error(text, "has a period of more than ten years")
        return cls(text, amount, period)


def _rate_trouble(rest: str) -> str:
    if not rest.strip():
        return "has no period"
    found = re.fullmatch(r"\s*(?:/|per)\s*(?:[0-9]+\s*)?([a-z]+)\s*", rest, re.IGNORECASE)
    if found is None:
        return "is not a rate"
    return "is not in seconds, minutes, hours, days, months or years"


@dataclass(frozen=True, slots=True)
class Budget(Quantity):
    """So much in a calendar period, which begins anew with the calendar, UTC; weeks begin on Monday."""

    amount: Decimal
    calendar: Calendar

    expected = "an amount and a calendar period (minute, hour, day, week, month or year), such as 500/month"
    pattern = r"^\s*[0-9]+(\.[0-9]+)?\s*(/|per)\s*(minute|hour|day|week|month|year)\s*$"
    examples = ("500/month", "20.50/day")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a budget."""
        text = cls._trim(text)
        amount, rest = _amount(cls, text)
        found = re.fullmatch(r"\s*(?:/|per)\s*([0-9]*)\s*([A-Za-z]*)", rest)
        if found is None:
            raise cls._error(text, "is not a budget" if rest.strip() else "has no calendar period")
        if found[1]:
            raise cls._error(text, "is of several periods, and a budget is of one")
        for calendar in get_args(Calendar):
            if found[2] == calendar:
                return cls(text, amount, calendar)
        raise cls._error(text, "is of no calendar period")


_DURATIONS: Final = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}


@dataclass(frozen=True, slots=True)
class Duration(Quantity):
    """A length of time."""

    us: int
    """µs."""

    expected = "a number and one of ms, s, m, h, d, such as 250ms or 30s"
    pattern = r"^\s*[0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d)\s*$"
    examples = ("250ms", "30s", "5m", "1h", "7d")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a duration."""
        text = cls._trim(text)
        amount, rest = _amount(cls, text)
        unit = rest.strip()
        if unit not in _DURATIONS:
            raise cls._error(text, f"has {'an unknown unit' if unit else 'no unit'}")
        us = amount * _DURATIONS[unit]
        if us != int(us):
            raise cls._error(text, "is finer than a microsecond")
        if us > LONGEST_PERIOD:
            raise cls._error(text, "is more than ten years")
        return cls(text, int(us))

    @property
    def seconds(self) -> float:
        """For timeouts of the standard library."""
        return self.us / 1_000_000


_SIZES: Final = {"B": 1} | {
    f"{prefix}{suffix}": base ** (power + 1)
    for power, prefix in enumerate("KMGT")
    for suffix, base in (("B", 1000), ("iB", 1024))
}


@dataclass(frozen=True, slots=True)
class Size(Quantity):
    """An amount of memory: KB is 1000 bytes, KiB 1024."""

    bytes: int

    expected = "a number and one of B, KB, MB, GB, TB, KiB, MiB, GiB, TiB, such as 32MiB"
    pattern = r"^\s*[0-9]+(\.[0-9]+)?\s*(B|[KMGT]i?B)\s*$"
    examples = ("32MiB", "64KB")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a size."""
        text = cls._trim(text)
        amount, rest = _amount(cls, text)
        unit = rest.strip()
        if unit not in _SIZES:
            raise cls._error(text, f"has {'an unknown unit' if unit else 'no unit'}")
        count = amount * _SIZES[unit]
        if count != int(count):
            raise cls._error(text, "is not a whole number of bytes")
        if count > MOST:
            raise cls._error(text, "is too large to mean anything")
        return cls(text, int(count))


@dataclass(frozen=True, slots=True)
class Share(Quantity):
    """A part of a whole, above 0% and at most 100%."""

    percent: Decimal

    expected = "a percentage above 0% and at most 100%, such as 30%"
    pattern = r"^\s*[0-9]+(\.[0-9]+)?\s*%\s*$"
    examples = ("30%", "2.5%")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a share."""
        text = cls._trim(text)
        percent, rest = _amount(cls, text)
        if rest.strip() != "%":
            raise cls._error(text, "has no % sign" if not rest.strip() else "is not a percentage")
        if percent > 100:  # noqa: PLR2004
            raise cls._error(text, "is more than the whole")
        return cls(text, percent)

    def of(self, whole: int) -> int:
        """This share of `whole`, rounded down."""
        numerator, denominator = self.percent.as_integer_ratio()
        return whole * numerator // (denominator * 100)


@dataclass(frozen=True, slots=True)
class Network(Quantity):
    """A range of addresses, or one."""

    network: IPv4Network | IPv6Network

    expected = "a network such as 10.0.0.0/8 or 2001:db8::/32, or one address"
    pattern = r"^\s*[0-9A-Fa-f:.]+(/[0-9]{1,3})?\s*$"
    examples = ("10.0.0.0/8", "2001:db8::/32", "192.0.2.7")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a network."""
        text = cls._trim(text)
        try:
            network = ip_network(text, strict=False)
        except ValueError:
            raise cls._error(text, "is not a network") from None
        if "%" in text:
            raise cls._error(text, "names a zone, which has a meaning only on one machine")
        if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
            raise cls._error(text, "is an IPv4-mapped network: write the IPv4 one, mapped addresses match it")
        address = text.partition("/")[0]
        if network.network_address != ip_network(address).network_address:
            raise cls._error(text, "has bits set beyond its prefix: clear them, or leave the prefix out")
        return cls(text, network)


@dataclass(frozen=True, slots=True)
class Moment(Quantity):
    """A day, or a time of one; UTC where no zone is named."""

    us: int
    """µs since 1970-01-01T00:00:00Z."""

    expected = "a day or a time such as 2026-11-24 or 2026-11-24T16:00:00Z"
    pattern = r"^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.]+(Z|[+-][0-9]{2}:?[0-9]{2})?)?\s*$"
    examples = ("2026-11-24", "2026-11-24T16:00:00Z")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a moment (RFC 3339)."""
        text = cls._trim(text)
        if re.fullmatch(cls.pattern, text, re.ASCII) is None:
            raise cls._error(text, "is no day and no time")
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise cls._error(text, "is a day or a time that there is not") from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
        return cls(text, (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)
