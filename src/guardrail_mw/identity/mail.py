"""What an e-mail address says of who somebody belongs to: its domain, where not anybody can have an address there.

A domain is cut to the part that somebody registered: whoever owns one makes as many names below it as he likes, so the names
below must not count as different owners. The list of public suffixes is long and changes weekly; what is known here are the
second levels that most countries use (`co.uk`, `edu.au`), which is enough: a name that is cut too short is one that more share,
and counts for less.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib import resources
from typing import Final

__all__ = ["FREE", "domain_of", "registered"]

LONGEST: Final = 253
"""Octets of a name in DNS."""
LONGEST_LABEL: Final = 63

FREE: Final = frozenset(
    name
    for line in resources.files("guardrail_mw.identity").joinpath("free_mail.txt").read_text("utf-8").splitlines()
    if (name := line.partition("#")[0].strip())
)
"""Domains where anybody gets an address for nothing: sharing one means nothing, and having one costs nothing."""

_SECOND: Final = frozenset({
    "ac", "ad", "asn", "co", "com", "ed", "edu", "go", "gob", "gouv", "gov", "govt", "gr", "id", "info", "lg", "ltd",
    "me", "mil", "ne", "net", "nhs", "nom", "or", "org", "plc", "police", "sch", "school",
})  # fmt: skip
"""What stands below a country's name and above what somebody registers."""
_TENANTS: Final = frozenset({"onmicrosoft.com"})
"""Names below which each label is another organisation's."""


def domain_of(address: str) -> str:
    """The domain of an e-mail address, as `registered` has it; empty for what is no address."""
    _, at, host = address.strip().rpartition("@")
    return registered(host) if at else ""


def registered(host: str, free: Collection[str] = FREE) -> str:
    """The part of a host's name that somebody registered, in small ASCII letters; empty for what is no name, and for `free`."""
    name = _ascii(host.rstrip("."))
    labels = name.split(".")
    if len(labels) == 1 or labels[-1].isdigit() or not all([_is_label(label) for label in labels]):
        return ""
    depth = _depth(labels)
    found = ".".join(labels[-depth:]) if len(labels) >= depth else ""
    return "" if name in free or found in free else found


def _depth(labels: list[str]) -> int:
    """How many labels from the right name an owner."""
    top, second = labels[-1], labels[-2]
    if len(top) != 2 and ".".join(labels[-2:]) not in _TENANTS:  # noqa: PLR2004 - countries have two letters
        return 2
    if top == "us" and len(second) == 2:  # noqa: PLR2004 - a state: k12.ca.us holds all its schools
        return 4 if labels[-3:-2] in (["k12"], ["lib"], ["cc"], ["state"], ["co"], ["ci"]) else 3
    return 3 if second in _SECOND or ".".join(labels[-2:]) in _TENANTS else 2


def _ascii(host: str) -> str:
    """As DNS has it: a name in another script in its ASCII form, so that what looks alike stays apart."""
    if len(host) > LONGEST:
        return ""
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            return ""
    return host.lower() if len(host) <= LONGEST else ""


def _is_label(label: str) -> bool:
    return 0 < len(label) <= LONGEST_LABEL and label.replace("-", "a").replace("_", "a").isalnum()
