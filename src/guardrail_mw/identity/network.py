"""Where a request comes from: the client's address as trusted proxies tell it, and the network that stands for it.

A chain is read from the right, where each trusted proxy wrote down whom it heard; what a client sent stands to the left of
that and is never reached. Therefore elements are split at every comma, quoted or not: a quotation mark opened by a client
cannot swallow what a proxy appends. Sources: RFC 7239 (Forwarded), RFC 4291 2.5.5.2 (IPv4-mapped), RFC 4007 11 (zones).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple, TypeAlias

from guardrail_mw.identity.digest import Digester
from guardrail_mw.identity.settings import Hops, IdentitySettings, Unix
from guardrail_mw.quantities import Network
from guardrail_mw.recent import Recent

__all__ = ["Address", "Locator", "Place", "parse_address", "parse_forwarded"]

Address: TypeAlias = IPv4Address | IPv6Address

LONGEST_CHAIN = 32
"""Proxies walked; a longer chain ends there."""
LONGEST_ELEMENT = 512
"""Bytes of one element of a chain; a longer one is nobody's address."""
REMEMBERED = 8_192
"""Places in a generation of the cache."""
PARENTS = {4: 24, 6: 48}
"""Prefix of the network that stands in where single ones cannot be told apart."""


class Place(NamedTuple):
    """Where a request comes from."""

    home: str
    """`n:…` of the network, by the policy's prefix."""
    parent: str
    """`n:…` of its /24 or /48; the same as `home` where the prefix is not longer."""
    plentiful: bool
    """Whether the parent has more such networks than can be kept: an IPv6 network within a /48."""
    trusted: bool
    """Whether the peer is a trusted proxy."""
    evidence: tuple[int, ...] = ()
    """Keys of the client's address, where the policy has clusters."""


def parse_address(text: bytes) -> Address | None:
    """Read `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`, perhaps with a zone; None for anything else."""
    text = text.strip(b" \t")
    if len(text) > 64:  # noqa: PLR2004 - the longest address with zone and port
        return None
    if text.startswith(b"["):
        inner, bracket, rest = text[1:].partition(b"]")
        if not bracket or (rest and not _is_port(rest)) or b":" not in inner:
            return None
        text = inner
    elif text.count(b":") == 1:
        text, _, port = text.partition(b":")
        if not _is_port(b":" + port):
            return None
    host, zone, _ = text.partition(b"%")
    if zone and b":" not in host:
        return None
    try:
        address = ip_address(host.decode("ascii"))
    except ValueError:
        return None
    return _unmapped(address)


def parse_forwarded(element: bytes) -> Address | None:
    """The address in the `for` of an element of a Forwarded header; None for `unknown`, `_hidden` and the like."""
    found: list[bytes] = []
    for pair in element.split(b";"):
        name, equals, value = pair.partition(b"=")
        if equals and name.strip(b" \t").lower() == b"for":
            found.append(value.strip(b" \t"))
    if len(found) != 1:
        return None
    value = found[0]
    if len(value) > 1 and value[:1] == value[-1:] == b'"':
        value = value[1:-1]
    return parse_address(value)


def _is_port(text: bytes) -> bool:
    """`:80`, or the obfuscated `:_x` that RFC 7239 allows."""
    port = text[1:]
    return text[:1] == b":" and (port.isdigit() or (port[:1] == b"_" and len(port) > 1))


def _unmapped(address: Address) -> Address:
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address
    return address


def _from_the_right(values: Sequence[bytes]) -> Iterator[bytes]:
    """The elements of a header's values, last first, without copying what is not reached."""
    for value in reversed(values):
        end = len(value)
        while end >= 0:
            start = value.rfind(b",", 0, end)
            yield value[start + 1 : end] if end - start <= LONGEST_ELEMENT else b""
            end = start


class Locator:
    """Finds the client's network. The same peer and chain are always at the same place.

    Args:
        settings: whom to believe, which header they write, and the prefixes.
        digester: names the networks.
        evidence: what an address is evidence of; None where the policy has no clusters.
    """

    __slots__ = (
        "_digester",
        "_evidence",
        "_found",
        "_hops",
        "_networks",
        "_prefixes",
        "_unix",
        "_unix_home",
        "_unknown_home",
        "header",
    )

    def __init__(
        self,
        settings: IdentitySettings,
        digester: Digester,
        evidence: Callable[[Address], tuple[int, ...]] | None = None,
    ) -> None:
        self._evidence = evidence
        proxies = settings.trusted_proxies
        self._networks = tuple(item.network for item in proxies if isinstance(item, Network))
        self._unix = any(isinstance(item, Unix) for item in proxies)
        self._hops = next((item.hops for item in proxies if isinstance(item, Hops)), 0)
        self._prefixes = {4: settings.network.ipv4_prefix, 6: settings.network.ipv6_prefix}
        self._digester = digester
        self._unix_home = digester.network(b"unix")
        self._unknown_home = digester.network(b"unknown")
        self._found: Recent[tuple[str, tuple[bytes, ...]], Place] = Recent(
            REMEMBERED, weigh=_weigh, most=REMEMBERED * LONGEST_ELEMENT, heaviest=LONGEST_ELEMENT
        )
        self.header = settings.network.header.encode() if proxies else b""
        """The header that is read, or empty where nobody is believed."""

    def locate(self, peer: str, chain: tuple[bytes, ...]) -> Place:
        """Where a request comes from.

        Args:
            peer: as the server gave it; `unix` or empty where the peer has no address.
            chain: the values of `header`, in order.
        """
        known = self._found.get((peer, chain))
        if known is None:
            known = self._locate(peer, chain)
            self._found.put((peer, chain), known)
        return known

    def _locate(self, peer: str, chain: Sequence[bytes]) -> Place:
        start = None if peer in {"", "unix"} else parse_address(peer.encode("utf-8", "replace"))
        unix = peer in {"", "unix"}
        trusted = self._believes(start, unix=unix)
        client = self._walk(start, chain) if trusted else start
        if client is None:
            home = self._unix_home if unix else self._unknown_home
            return Place(home, home, plentiful=False, trusted=trusted)
        return self._place(client, trusted=trusted)

    def _believes(self, address: Address | None, *, unix: bool = False) -> bool:
        if self._hops and not self._networks and not self._unix:
            return True
        if address is None:
            return unix and self._unix
        return any(address.version == network.version and address in network for network in self._networks)

    def _walk(self, peer: Address | None, chain: Sequence[bytes]) -> Address | None:
        """From the peer leftwards: over trusted proxies, or so many hops. Stops before what is not an address."""
        parse = parse_forwarded if self.header == b"forwarded" else parse_address
        current = peer
        most = self._hops or LONGEST_CHAIN
        for count, element in enumerate(_from_the_right(chain)):
            if count >= most or (count and not self._hops and not self._believes(current)):
                break
            heard = parse(element)
            if heard is None:
                break
            current = heard
        return current

    def _place(self, address: Address, *, trusted: bool) -> Place:
        version = address.version
        prefix = self._prefixes[version]
        home = self._home(address, prefix)
        evidence = self._evidence(address) if self._evidence is not None else ()
        if prefix <= PARENTS[version]:
            return Place(home, home, plentiful=False, trusted=trusted, evidence=evidence)
        parent = self._home(address, PARENTS[version])
        return Place(home, parent, plentiful=version == 6, trusted=trusted, evidence=evidence)  # noqa: PLR2004

    def _home(self, address: Address, prefix: int) -> str:
        spare = address.max_prefixlen - prefix
        network = int(address) >> spare << spare
        return self._digester.network(network.to_bytes(address.max_prefixlen // 8, "big") + bytes([prefix]))


def _weigh(key: tuple[str, tuple[bytes, ...]]) -> int:
    return sum(map(len, key[1]))
