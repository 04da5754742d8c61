"""The client's network: forging, garbage, prefixes."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail_mw.identity import IdentitySettings
from guardrail_mw.identity.digest import Digester
from guardrail_mw.identity.network import Locator, parse_address, parse_forwarded

from .kit import ID_KEY

DIGESTER = Digester(ID_KEY)


def locator(*proxies: Any, **network: Any) -> Locator:
    return Locator(IdentitySettings.model_validate({"trusted_proxies": list(proxies), "network": network}), DIGESTER)


def home(text: str, prefix: int | None = None) -> str:
    """The home of an address's network, by another way: from its bits."""
    address = ip_address(text)
    prefix = prefix if prefix is not None else (32 if address.version == 4 else 64)
    width = address.max_prefixlen
    bits = f"{int(address):0{width}b}"[:prefix].ljust(width, "0")
    return DIGESTER.network(int(bits, 2).to_bytes(width // 8, "big") + bytes([prefix]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"192.0.2.1", "192.0.2.1"),
        (b" 192.0.2.1:4711\t", "192.0.2.1"),
        (b"192.0.2.1:_port", "192.0.2.1"),
        (b"2001:db8::1", "2001:db8::1"),
        (b"[2001:db8::1]", "2001:db8::1"),
        (b"[2001:DB8::1]:443", "2001:db8::1"),
        (b"fe80::1%eth0", "fe80::1"),
        (b"[fe80::1%25eth0]:80", "fe80::1"),
        (b"::ffff:192.0.2.1", "192.0.2.1"),
        (b"[::ffff:c000:201]:80", "192.0.2.1"),
        (b"", None),
        (b"unknown", None),
        (b"_hidden", None),
        (b"192.0.2.1:", None),
        (b"192.0.2.1:http", None),
        (b"192.0.2", None),
        (b"192.0.2.256", None),
        (b"010.0.0.1", None),
        (b"192.0.2.1/24", None),
        (b"192.0.2.1%eth0", None),
        (b"[192.0.2.1]", None),
        (b"[2001:db8::1", None),
        (b"[2001:db8::1]80", None),
        (b"2001:db8::1::2", None),
        ("\uff11\uff19\uff12.0.2.1".encode(), None),
        (b"\xff\xfe", None),
        (b"1" * 5000, None),
        (b"::1%" + b"x" * 100, None),
    ],
)
def test_addresses(text: bytes, expected: str | None) -> None:
    assert parse_address(text) == (None if expected is None else ip_address(expected))


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        (b"for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
        (b' For="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
        (b'proto=https ; for="192.0.2.1:_x"', "192.0.2.1"),
        (b"for=unknown", None),
        (b"for=_SEVKISEK", None),
        (b"proto=https", None),
        (b"for=192.0.2.1;for=192.0.2.2", None),
        (b'for="192.0.2.1', None),
        (b"192.0.2.1", None),
        (b"", None),
    ],
)
def test_forwarded(element: bytes, expected: str | None) -> None:
    assert parse_forwarded(element) == (None if expected is None else ip_address(expected))


CHAINS = [
    # proxies, peer, chain, whose network
    ([], "203.0.113.9", ["1.2.3.4"], "203.0.113.9"),
    (["10.0.0.0/8"], "203.0.113.9", ["1.2.3.4"], "203.0.113.9"),
    (["10.0.0.0/8"], "10.0.0.1", [], "10.0.0.1"),
    (["10.0.0.0/8"], "10.0.0.1", ["1.2.3.4, 198.51.100.7"], "198.51.100.7"),
    (["10.0.0.0/8"], "10.0.0.1", ["1.2.3.4, 198.51.100.7, 10.9.9.9"], "198.51.100.7"),
    (["10.0.0.0/8"], "10.0.0.1", ["1.2.3.4", "198.51.100.7", "10.9.9.9"], "198.51.100.7"),
    (["10.0.0.0/8"], "10.0.0.1", ["10.1.1.1, 10.9.9.9"], "10.1.1.1"),
    (["10.0.0.0/8"], "10.0.0.1", ["198.51.100.7, unknown"], "10.0.0.1"),
    (["10.0.0.0/8"], "10.0.0.1", ["198.51.100.7, unknown, 10.9.9.9"], "10.9.9.9"),
    (["10.0.0.0/8"], "::ffff:10.0.0.1", ["198.51.100.7:80"], "198.51.100.7"),
    (["2001:db8::/32"], "2001:db8::1", ["198.51.100.7, 10.0.0.1"], "10.0.0.1"),
    (["unix"], "unix", ["198.51.100.7"], "198.51.100.7"),
    (["unix"], "", ["198.51.100.7"], "198.51.100.7"),
    ([{"hops": 1}], "172.16.0.1", ["1.2.3.4, 198.51.100.7"], "198.51.100.7"),
    ([{"hops": 2}], "172.16.0.1", ["1.2.3.4, 198.51.100.7, 172.16.0.2"], "198.51.100.7"),
    ([{"hops": 2}], "172.16.0.1", ["198.51.100.7"], "198.51.100.7"),
    ([{"hops": 2}], "172.16.0.1", [], "172.16.0.1"),
    ([{"hops": 2}], "172.16.0.1", ["198.51.100.7, garbage"], "172.16.0.1"),
    ([{"hops": 1}, "10.0.0.0/8"], "10.0.0.1", ["198.51.100.7, 10.2.2.2"], "10.2.2.2"),
    ([{"hops": 1}, "10.0.0.0/8"], "203.0.113.9", ["198.51.100.7"], "203.0.113.9"),
]


@pytest.mark.parametrize(("proxies", "peer", "chain", "expected"), CHAINS)
def test_chains(proxies: list[Any], peer: str, chain: list[str], expected: str) -> None:
    assert locator(*proxies).locate(peer, tuple(value.encode() for value in chain)).home == home(expected)


def test_a_long_chain_of_proxies_ends_somewhere() -> None:
    chain = b"198.51.100.7, " + b", ".join(b"10.0.1.%d" % number for number in range(200))
    assert locator("10.0.0.0/8").locate("10.0.0.1", (chain,)).home == home("10.0.1.168")  # the 32nd from the right


sent = st.lists(
    st.binary(max_size=60).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b""))
    | st.sampled_from([b"6.6.6.6", b'for="', b"for=6.6.6.6;", b'for="6.6.6.6', b"for=6.6.6.6, for=10.0.0.3"])
    | st.sampled_from([b",", b'\\"', b"unknown"]),
    max_size=4,
)
hop = st.sampled_from(["10.0.0.3", "10.200.0.4", "fd00::7"])


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded"])
@given(forged=sent, proxies=st.lists(hop, max_size=3), joined=st.booleans(), counted=st.booleans())
def test_what_a_client_sends_never_moves_it(
    header: str, forged: list[bytes], proxies: list[str], joined: bool, counted: bool
) -> None:
    """Each honest proxy appends whom it heard, behind whatever was there: in the last line or in one of its own."""
    heard = ["198.51.100.7", *proxies]
    written = [f'for="[{item}]:1"' if ":" in item else f"for={item}" for item in heard] if header == "forwarded" else heard
    lines = list(forged)
    for item in written:
        if joined and lines:
            lines[-1] += b", " + item.encode()
        else:
            lines.append(item.encode())
    trusted = [{"hops": len(heard)}] if counted else ["10.0.0.0/8", "fd00::/8"]
    assert locator(*trusted, header=header).locate("10.0.0.1", tuple(lines)).home == home("198.51.100.7")


@given(peer=st.text(max_size=80), chain=st.lists(st.binary(max_size=600), max_size=5).map(tuple))
def test_garbage_is_somewhere(peer: str, chain: tuple[bytes, ...]) -> None:
    for where in (locator("10.0.0.0/8", "unix"), locator({"hops": 3}, header="forwarded"), locator()):
        assert where.locate(peer, chain).home.startswith("n:")


def test_peers_without_an_address() -> None:
    where = locator()
    unix = where.locate("unix", ())
    assert unix.home == where.locate("", ()).home == unix.parent
    odd = where.locate("testclient", ())
    assert odd.home == where.locate("also no address", ()).home != unix.home
    assert not locator("unix").locate("testclient", ()).trusted
    assert locator("unix").locate("unix", ()).trusted


def test_prefixes_and_parents() -> None:
    narrow = locator().locate("2001:db8:1:2:3::4", ())
    assert (narrow.home, narrow.parent, narrow.plentiful) == (home("2001:db8:1:2::", 64), home("2001:db8:1::", 48), True)
    wide = locator(ipv6_prefix=48).locate("2001:db8:1:2:3::4", ())
    assert (wide.home, wide.parent, wide.plentiful) == (home("2001:db8:1::", 48), home("2001:db8:1::", 48), False)
    four = locator().locate("198.51.100.7", ())
    assert (four.home, four.parent, four.plentiful) == (home("198.51.100.7"), home("198.51.100.0", 24), False)
    office = locator(ipv4_prefix=29).locate("198.51.100.7", ())
    assert office.home == locator(ipv4_prefix=29).locate("198.51.100.1", ()).home == home("198.51.100.0", 29)


def test_a_mapped_address_is_the_ipv4_one() -> None:
    assert locator().locate("::ffff:198.51.100.7", ()) == locator().locate("198.51.100.7", ())


def test_the_other_header_is_never_read() -> None:
    assert locator("10.0.0.0/8").header == b"x-forwarded-for"
    assert locator("10.0.0.0/8", header="forwarded").header == b"forwarded"
    assert locator().header == b""
