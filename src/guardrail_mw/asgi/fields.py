"""Response fields that tell a client how much is left.

`RateLimit-Policy` and `RateLimit` follow draft-ietf-httpapi-ratelimit-headers-11 (two lists of quoted names, RFC 9651
structured fields); `x-ratelimit-*` and `anthropic-ratelimit-*` are what the official SDKs' users know. The draft registers
the quota units `requests`, `content-bytes` and `concurrent-requests`; those for tokens and dollars are ours.

All that a plan fixes is rendered once, into a `Template`; a request fills in what is left and when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from time import gmtime
from typing import Literal, NamedTuple, Protocol

import http_sf
from http_sf.types import BareItemType

__all__ = ["GREATEST", "Limit", "Reading", "Template", "duration", "rfc3339", "sf_item", "sf_list", "whole_seconds"]

GREATEST = 999_999_999_999_999
"""The largest integer a structured field may hold (RFC 9651, section 3.3.1); larger figures are cut to it."""

Bare = str | int | bytes
Fields = list[tuple[bytes, bytes]]

_MILLISECOND = 1_000
_SECOND = 1_000_000
_UNITS = {"tokens": "tokens", "input_tokens": "input-tokens", "output_tokens": "output-tokens", "usd": "micro-usd"}
_OPENAI = {"requests": "requests", "tokens": "tokens"}
_ANTHROPIC = {"requests": "requests", "tokens": "tokens", "input_tokens": "input-tokens", "output_tokens": "output-tokens"}


class Limit(NamedTuple):
    """What of a limit never changes while its plan is in force."""

    name: str
    kind: Literal["token_bucket", "sliding_window", "budget", "concurrency"]
    unit: str
    amount: int
    """Units; micro-dollars for `usd`."""
    window: int = 0
    """µs; 0 where there is none (concurrency) or where it has no fixed length (a calendar month)."""
    partition: bytes | None = None
    """`pk`: what tells this quota from its like, where that may be shown: never a digest of an account."""
    place: int = -1
    """Its place among the readings given to `render`; -1 for its place among the limits."""


class Reading(Protocol):
    """What a store says of a step; `guardrail_mw.stores.base.Reading` is one."""

    @property
    def ok(self) -> bool:
        """Whether it admitted."""
        ...

    @property
    def remaining(self) -> int:
        """Units left."""
        ...

    @property
    def reset(self) -> int:
        """µs until it is as new."""
        ...

    @property
    def wait(self) -> int:
        """µs until it would admit."""
        ...


def sf_item(value: Bare, parameters: Mapping[str, Bare] | None = None) -> str:
    """One item of RFC 9651: a string, an integer or a byte sequence, with parameters of the same.

    Raises:
        ValueError: it cannot be written: a string outside printable ASCII, an integer of over 15 digits, a bad key.
    """
    written: dict[str, BareItemType] = dict(parameters or {})
    return http_sf.ser((value, written))


def sf_list(items: Sequence[str]) -> str:
    """A list of what `sf_item` gave; a structured list may not be empty, an empty one is a field left out."""
    return ", ".join(items)


def whole_seconds(us: int) -> int:
    """Seconds, rounded up: who comes back then is not early."""
    return -(-us // _SECOND)


def duration(us: int) -> str:
    """A time as OpenAI's fields have it (Go's notation): `250ms`, `1s`, `6m0s`, `1h0m0s`; rounded up."""
    if us < _SECOND:
        return f"{-(-us // _MILLISECOND)}ms" if us <= _SECOND - _MILLISECOND else "1s"
    minutes, seconds = divmod(whole_seconds(us), 60)
    if not minutes:
        return f"{seconds}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{seconds}s" if hours else f"{minutes}m{seconds}s"


def rfc3339(us: int) -> str:
    """A moment (µs since the epoch) in UTC, rounded up to the second: `2026-01-01T00:00:00Z`. Years up to 9999."""
    return _moment(min(whole_seconds(us), 253_402_300_799))


@lru_cache(maxsize=1024)
def _moment(seconds: int) -> str:
    at = gmtime(seconds)
    return f"{at[0]:04d}-{at[1]:02d}-{at[2]:02d}T{at[3]:02d}:{at[4]:02d}:{at[5]:02d}Z"


def _left(value: int) -> int:
    return 0 if value < 0 else min(value, GREATEST)


class _Family:
    """The limits behind one `x-ratelimit-limit-tokens` and its siblings; the one with the least left speaks."""

    __slots__ = ("indices", "limits", "remaining", "reset")

    def __init__(self, before: str, after: str) -> None:
        self.indices: list[int] = []
        self.limits: list[tuple[bytes, bytes]] = []
        self.remaining = before.format("remaining", after).encode()
        self.reset = before.format("reset", after).encode()

    def tightest(self, readings: Sequence[Reading]) -> tuple[int, Reading]:
        best = 0
        if len(self.indices) > 1:
            left = [readings[index].remaining for index in self.indices]
            best = left.index(min(left))
        return best, readings[self.indices[best]]


class Template:
    """The fields of one set of limits, in one dialect: built once a plan, rendered with every answer.

    Args:
        limits: those that the request was charged on and whose state may be shown, in the order of the readings.
        dialect: `openai` or `anthropic` adds that vendor's fields; `problem` has none of its own.
        families: the policy's `headers`: `ietf`, `dialect`.

    Raises:
        ValueError: a name holds characters that a structured field cannot.
    """

    __slots__ = ("_families", "_format", "_indices", "_policy", "_rfc3339")

    def __init__(
        self,
        limits: Sequence[Limit],
        dialect: str = "problem",
        families: Sequence[str] = ("ietf", "dialect"),
    ) -> None:
        placed = [(limit, at if limit.place < 0 else limit.place) for at, limit in enumerate(limits)]
        self._policy: tuple[bytes, bytes] | None = None
        self._format = b""
        self._indices: list[tuple[int, bool]] = []
        self._families: list[_Family] = []
        self._rfc3339 = dialect == "anthropic"
        if "ietf" in families and limits:
            self._ietf(placed)
        if "dialect" in families:
            self._vendor(placed, dialect)

    def _ietf(self, placed: Sequence[tuple[Limit, int]]) -> None:
        policies, services = [], []
        for limit, index in placed:
            fixed: dict[str, Bare] = {"q": _left(limit.amount)}
            unit = "concurrent-requests" if limit.kind == "concurrency" else _UNITS.get(limit.unit, limit.unit)
            if unit != "requests":
                fixed["qu"] = unit
            if limit.window > 0:
                fixed["w"] = whole_seconds(limit.window)
            partition: dict[str, Bare] = {} if limit.partition is None else {"pk": limit.partition}
            policies.append(sf_item(limit.name, fixed | partition))
            name, key = sf_item(limit.name).replace("%", "%%"), sf_item(0, partition)[1:]
            timed = limit.kind != "concurrency"  # a slot comes back when its holder is done; nobody knows when
            services.append(f"{name};r=%d{';t=%d' if timed else ''}{key}")
            self._indices.append((index, timed))
        self._policy = (b"ratelimit-policy", sf_list(policies).encode())
        self._format = sf_list(services).encode()

    def _vendor(self, placed: Sequence[tuple[Limit, int]], dialect: str) -> None:
        if dialect == "openai":
            pattern, units = "x-ratelimit-{0}-{1}", _OPENAI
        elif dialect == "anthropic":
            pattern, units = "anthropic-ratelimit-{1}-{0}", _ANTHROPIC
        else:
            return
        for unit, name in units.items():
            family = _Family(pattern, name)
            for limit, index in placed:
                if limit.unit == unit and limit.kind != "concurrency":
                    family.indices.append(index)
                    family.limits.append((pattern.format("limit", name).encode(), b"%d" % limit.amount))
            if family.indices:
                self._families.append(family)

    def render(self, readings: Sequence[Reading], now: int) -> Fields:
        """The fields for one answer.

        Args:
            readings: what the store said, e.g. `Receipt.readings`. A limit that refused shows when it would admit, not when
                it is whole again, so that `t` never lies beyond `retry-after` (the draft asks for that).
            now: the store's µs, for the times of day that anthropic's fields hold.
        """
        fields: Fields = []
        if self._policy is not None:
            figures: list[int] = []
            for index, timed in self._indices:
                reading = readings[index]
                remaining = reading.remaining
                figures.append(remaining if 0 <= remaining <= GREATEST else _left(remaining))
                if timed:
                    figures.append(-(-(reading.reset if reading.ok else reading.wait) // _SECOND))
            fields.append(self._policy)
            fields.append((b"ratelimit", self._format % tuple(figures)))
        for family in self._families:
            best, reading = family.tightest(readings)
            until = reading.reset if reading.ok else reading.wait
            fields.append(family.limits[best])
            fields.append((family.remaining, b"%d" % _left(reading.remaining)))
            fields.append((family.reset, (rfc3339(now + until) if self._rfc3339 else duration(until)).encode()))
        return fields
