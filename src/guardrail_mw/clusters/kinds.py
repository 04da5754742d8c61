"""The kinds of evidence: what each is called, which family it counts for, and whether it costs anything to share.

*Bound* evidence costs money or identity to share; *assertable* evidence anybody can send. What one program fixes (system
prompt, user agent, TLS, SDK) is one family, `client`, however many kinds of it there are. Codes 1 to 31 are built in, 32 to 63
are a policy's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrail_mw.algorithms import keys

if TYPE_CHECKING:
    from guardrail_mw.values import Family

__all__ = ["BUILT_IN", "FEW", "Declared", "Kind", "Kinds", "default_code"]

FEW: Final = 20
"""Holders from which on a network is no bound evidence: a house has fewer, an office, a carrier's NAT or a proxy more."""


class Kind(NamedTuple):
    """A kind of evidence."""

    code: int
    name: str
    family: Family
    bound: bool
    below: int = 0
    """Holders from which on its values are not bound any more; 0 where they stay so, however many share one."""


class Declared(NamedTuple):
    """An organisation that the policy knows."""

    name: str
    tokens: int
    """That its members have in all, a UTC day."""


BUILT_IN: Final[tuple[Kind, ...]] = (
    Kind(keys.PAYMENT, "payment", "payment", bound=True),
    Kind(keys.DOMAIN, "domain", "reputation", bound=True),
    Kind(keys.ORGANISATION, "organisation", "reputation", bound=True),
    Kind(keys.EMAIL_DOMAIN, "email_domain", "reputation", bound=False),
    Kind(keys.ISSUER, "issuer", "reputation", bound=False),
    Kind(keys.DEVICE, "device", "device", bound=True),
    Kind(keys.DEVICE_SEEN, "device_seen", "client", bound=False),
    Kind(keys.NETWORK, "network", "network", bound=True, below=FEW),
    Kind(keys.NETWORK_WIDE, "network_wide", "network", bound=False),
    Kind(keys.TLS, "tls", "client", bound=False),
    Kind(keys.SYSTEM, "system", "client", bound=False),
    Kind(keys.AGENT, "agent", "client", bound=False),
    Kind(keys.SHINGLE, "shingle", "content", bound=False),
    Kind(keys.RELEASE, "release", "release", bound=False),
    Kind(keys.COACTIVE, "coactive", "timing", bound=False),
)
"""In the order of their codes. An address on a shared network is noted as `network_wide`, with the digest that it has as
`network`: so a rebuild that finds both knows that the value is bound no longer."""


def default_code(name: str) -> int:
    """The code of a policy's own kind that names none: by its name alone, so that no other kind's coming or going moves it."""
    return keys.OWN + sha256(name.encode()).digest()[0] % (keys.MOST + 1 - keys.OWN)


class Kinds:
    """The kinds that a policy knows: those built in, and its own.

    Args:
        own: the policy's own.
    """

    __slots__ = ("by_code", "by_name")

    def __init__(self, own: Iterable[Kind] = ()) -> None:
        every = (*BUILT_IN, *own)
        self.by_code: Mapping[int, Kind] = {kind.code: kind for kind in every}
        self.by_name: Mapping[str, Kind] = {kind.name: kind for kind in every}

    def of(self, key: int) -> Kind | None:
        """The kind of a key; None for one that the policy no longer has."""
        return self.by_code.get(key >> keys.BITS)

    def is_bound(self, key: int, holders: int) -> bool:
        """Whether a value that so many accounts hold costs money or identity to share."""
        kind = self.by_code.get(key >> keys.BITS)
        return kind is not None and kind.bound and (not kind.below or holders < kind.below)
