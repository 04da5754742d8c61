"""Figures with units: what is read means what is written, and whatever an editor's schema refuses is not read.

Input: the kind on the first line, then the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from ipaddress import ip_network
from typing import Final

from guardrail_mw.quantities import Budget, Duration, Network, Quantity, QuantityError, Rate, Share, Size

from .base import Target, head, within

KINDS: Final[dict[str, type[Quantity]]] = {
    each.__name__.lower(): each for each in (Rate, Budget, Duration, Size, Share, Network)
}
SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "month": 2_592_000, "year": 31_104_000}
UNITS: Final = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86_400)}
_FIGURE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(.*)", re.DOTALL)


def check(data: bytes) -> None:
    """One text as one kind of figure."""
    name, rest = head(data)
    kind = KINDS.get(name)
    if kind is None:
        return
    text = rest.decode("utf-8", "replace")
    with within(0.5):
        try:
            found = kind.parse(text)
        except QuantityError as error:
            explained(error, kind)
            return
        assert str(found) == text.strip()
        assert kind.parse(str(found)) == found
        assert re.search(kind.pattern, text) is not None, "an editor would refuse it"
        means(found, text.strip())


def explained(error: QuantityError, kind: type[Quantity]) -> None:
    """What is wrong and what would be right, in a line or two: 64 characters are quoted, each escaped at worst."""
    assert len(str(error)) < 900
    assert error.wrong
    assert error.expected == kind.expected


def means(found: Quantity, text: str) -> None:
    """The integers in it, worked out apart."""
    if isinstance(found, Network):
        assert found.network == ip_network(
            text.partition("/")[0] + "/" + (text.partition("/")[2] or str(found.network.max_prefixlen))
        )
        return
    figure = _FIGURE.fullmatch(text)
    assert figure is not None, "no figure in front"
    try:
        amount = Decimal(figure[1])
    except InvalidOperation as error:
        raise AssertionError("no number in front") from error
    assert 0 < amount <= 10**15
    unit = figure[2].strip()
    if isinstance(found, Duration):
        assert found.us == amount * UNITS[unit] * 1_000_000
        assert 0 < found.us <= 3_650 * 86_400_000_000
    elif isinstance(found, Size):
        base = 1024 if "i" in unit else 1000
        assert found.bytes == amount * base ** " KMGT".index(unit[0] if unit != "B" else " ")
    elif isinstance(found, Share):
        assert unit == "%"
        assert found.percent == amount <= 100
        assert found.of(10**6) == int(amount * 10_000)
        assert found.of(7) <= 7
    elif isinstance(found, Budget):
        assert (found.amount, found.calendar) == (amount, re.sub(r"^(/|per)\s*", "", unit))
    elif isinstance(found, Rate):
        period = re.fullmatch(r"(?:/|per)\s*(?:([0-9]+)\s*)?([a-z]+?)s?", unit, re.IGNORECASE)
        assert period is not None, "a rate without a period"
        assert found.amount == amount
        assert found.period == int(period[1] or 1) * SECONDS[period[2].lower()] * 1_000_000
        assert 0 < found.period <= 3_650 * 86_400_000_000


def seeds() -> Iterator[bytes]:
    """Good ones of every kind, and their neighbours."""
    for name, kind in KINDS.items():
        for text in kind.examples:
            yield f"{name}\n{text}".encode()
            yield f"{name}\n {text} ".encode()
    for text in ("60/minute", "5 per 2 hours", "12.50/hour", "5 PER 10 Seconds", "0/day", "1/0 day", "-1/s", "nan/day", "1e3/day",
                 "1/1/day", "5/minute;6/day", "5 per month", "999999999999999/year", "1/9999999999 years", "1/12 months",
                 "\u0663/day", "3/\uff12 days"):  # fmt: skip
        yield f"rate\n{text}".encode()
        yield f"budget\n{text}".encode()
    for text in ("0.5ms", "0.0001ms", "3650d", "3651d", "1.5h", "5 m", "\u0661s", "5M", "1.s", "00005s", "+5s"):
        yield f"duration\n{text}".encode()
    for text in ("0.5KiB", "0.0001KB", "1000TiB", "5 GB", "5b", "5KIB"):
        yield f"size\n{text}".encode()
    for text in ("100%", "0.000001%", "100.000001%", "5 %", "5", "%"):
        yield f"share\n{text}".encode()
    for text in ("::1", "2001:db8::/32", "10.0.0.1/8", "::ffff:1.2.3.4", "fe80::1%eth0", "10/8", "1.2.3.4/255.255.255.0",
                 "1.2.3.4/0.0.0.255", "0.0.0.0/0", "1.2.3.4/032", "01.2.3.4", "2001:db8::/\u0663"):  # fmt: skip
        yield f"network\n{text}".encode()


WORDS: Final = (
    b"rate\n", b"budget\n", b"duration\n", b"size\n", b"share\n", b"network\n", b"/minute", b" per ", b"seconds", b"days",
    b"month", b"year", b"week", b"ms", b"KiB", b"TB", b"%", b"/24", b"::", b"255.255.0.0", b"0.000001", b"\xd9\xa3",
    b"\xc2\xa0", b"\xe2\x80\x83",
)  # fmt: skip

TARGET: Final = Target("quantity", check, seeds, WORDS, 96)
