"""What an account shows with a request, whatever is in its body: keys of what others may show too.

Nothing of a value leaves this module but its keyed digest. What a client sends of itself is cut, so that a long one costs no more
and an end that changes changes nothing; what is empty is no evidence.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from guardrail_mw.algorithms import keys
from guardrail_mw.identity.mail import FREE, registered
from guardrail_mw.identity.network import Address, Place, parse_address
from guardrail_mw.recent import Recent

if TYPE_CHECKING:
    from guardrail_mw.identity.digest import Digester
    from guardrail_mw.quantities import Network
    from guardrail_mw.values import Credential, Subject

__all__ = ["LONGEST", "Evidence", "EvidenceSettings"]

LONGEST: Final = 512
"""Bytes of a header that are evidence."""
REMEMBERED: Final = 4_096
"""Keys in a generation of the cache: of what many accounts show."""

_AGENT: Final = b"user-agent"
_OWN: Final = {4: 32, 6: 64}
_WIDE: Final = {4: 24, 6: 48}
_PRIVATE: Final = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)
"""Addresses that mean something only within a network, and carriers' NAT (RFC 1918, 3927, 4193, 4291, 6598)."""

_Range: TypeAlias = IPv4Network | IPv6Network


class EvidenceSettings(Protocol):
    """What of the policy's `clusters` is needed here."""

    @property
    def shared_networks(self) -> Sequence[Network]:
        """Whose addresses are never bound evidence."""
        ...

    @property
    def free_mail(self) -> Sequence[str]:
        """Domains that are no evidence, besides those that are known."""
        ...


class Evidence:
    """Works out what subjects show. One for a resolver.

    Args:
        settings: the policy's `clusters`.
        digester: names the values.
        tls: the header in which a trusted proxy tells the fingerprint of the client's TLS handshake; empty for none.
        issuers: whether the policy has several sources: one issuer alone says nothing.
    """

    __slots__ = ("_digester", "_free", "_issuers", "_known", "_shared", "_tls", "headers")

    def __init__(self, settings: EvidenceSettings, digester: Digester, *, tls: bytes = b"", issuers: bool = False) -> None:
        self._digester = digester
        self._tls = tls
        self._issuers = issuers
        self._free = FREE | frozenset(settings.free_mail)
        self._shared = _Ranges(each.network for each in settings.shared_networks)
        self._known: Recent[tuple[int, str | bytes], int] = Recent(REMEMBERED)
        self.headers = frozenset({_AGENT, tls} - {b""})
        """Names of the headers that it reads."""

    def of(self, found: Credential, subject: Subject, place: Place, read: Iterable[tuple[bytes, bytes]]) -> tuple[int, ...]:
        """The keys of one subject.

        Args:
            found: the credential that names it.
            subject: with its organisation and device.
            place: where it comes from.
            read: headers of the request; of one that stands twice the first counts.
        """
        key, shared = self._digester.key, self._often
        shown = []
        if found.payment:
            shown.append(key(keys.PAYMENT, found.payment))
        if found.domain and found.domain not in self._free:
            shown.append(shared(keys.DOMAIN if found.domain_verified else keys.EMAIL_DOMAIN, found.domain))
        if subject.organisation:
            shown.append(shared(keys.ORGANISATION, subject.organisation))
        if self._issuers and found.issuer:
            shown.append(shared(keys.ISSUER, found.issuer))
        if subject.device:
            signed = subject.device_kind == "signed"
            shown.append(key(keys.DEVICE, subject.device) if signed else shared(keys.DEVICE_SEEN, subject.device))
        shown += place.evidence
        first: dict[bytes, bytes] = {}
        for name, value in read:
            if name in self.headers:
                first.setdefault(name, value[:LONGEST])
        if place.trusted and self._tls and (print_ := first.get(self._tls)):
            shown.append(shared(keys.TLS, print_))
        if agent := first.get(_AGENT):
            shown.append(shared(keys.AGENT, agent))
        return tuple(shown)

    def networks(self, address: Address) -> tuple[int, ...]:
        """The keys of a client's address: its own network (/32, /64) and the wider one (/24, /48).

        One that is known to be shared is `network_wide` both times; its digest is still the one it would have as `network`.
        """
        own = self._network(address, keys.NETWORK, _OWN[address.version])
        wide = self._network(address, keys.NETWORK_WIDE, _WIDE[address.version])
        return (keys.recode(own, keys.NETWORK_WIDE) if address in self._shared else own, wide)

    def linked(self, code: int, value: str) -> int:
        """The key of what the provider's own systems know of an account: the same that a request which shows it has.

        Args:
            code: of the kind.
            value: a domain or an e-mail address; an address; the home `o:…` of an organisation or `d:…` of a device; of any
                other kind the value byte for byte.

        Raises:
            ValueError: it is empty, or can be no evidence of that kind.
        """
        if code in {keys.NETWORK, keys.NETWORK_WIDE}:
            own, wide = self.networks(_address(value))
            return own if code == keys.NETWORK else wide
        if code in {keys.DOMAIN, keys.EMAIL_DOMAIN}:
            value = registered(value.strip().rpartition("@")[2], self._free)
            if not value:
                raise ValueError("it is no domain, or one where anybody can have an address")
        if not value:
            raise ValueError("it is empty")
        prefix = {keys.ORGANISATION: "o:", keys.DEVICE: "d:", keys.DEVICE_SEEN: "d:"}.get(code, "")
        if not value.startswith(prefix):
            raise ValueError(f"it is no home: expected {prefix}… as events have it")
        return self._digester.key(code, value)

    def _often(self, code: int, value: str | bytes) -> int:
        """The key of what many show."""
        found = self._known.get((code, value))
        if found is None:
            found = self._digester.key(code, value)
            self._known.put((code, value), found)
        return found

    def _network(self, address: Address, code: int, prefix: int) -> int:
        spare = address.max_prefixlen - prefix
        network = int(address) >> spare << spare
        return self._digester.key(code, network.to_bytes(address.max_prefixlen // 8, "big") + bytes([prefix]))


class _Ranges:
    """Networks, of which an address is looked for in the time it takes to halve them."""

    __slots__ = ("_found",)

    def __init__(self, networks: Iterable[_Range]) -> None:
        every = [*_PRIVATE, *networks]
        self._found: dict[int, tuple[list[int], list[int]]] = {}
        for version, kind in ((4, IPv4Network), (6, IPv6Network)):
            apart: Collection[_Range] = sorted(collapse_addresses([each for each in every if isinstance(each, kind)]))  # type: ignore[type-var]
            begin = [int(each.network_address) for each in apart]
            self._found[version] = (begin, [int(each.broadcast_address) for each in apart])

    def __contains__(self, address: Address) -> bool:
        begin, end = self._found[address.version]
        place = bisect_right(begin, int(address)) - 1
        return place >= 0 and int(address) <= end[place]


def _address(text: str) -> Address:
    found = parse_address(text.strip().partition("/")[0].encode("utf-8", "replace"))
    if found is None:
        raise ValueError("it is no address")
    return found
