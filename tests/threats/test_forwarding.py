"""A chain of proxies is believed only as far as trusted ones wrote it: whoever forges the rest pays from one network."""

from __future__ import annotations

from typing import Any

import pytest

from .kit import CHAT, Guarded, Upstream, policy

pytestmark = pytest.mark.anyio

STRANGERS = {"name": "strangers", "per": ["network"], "rate": "2/minute"}
PROXY = ("10.0.0.1", 1)
FORGED: list[Any] = [
    lambda n: [(b"x-forwarded-for", b"192.0.2.%d" % n)],
    lambda n: [(b"x-forwarded-for", b"192.0.2.%d, 10.0.0.2" % n)],
    lambda n: [(b"x-forwarded-for", b"10.0.0.%d" % n)],
    lambda n: [(b"forwarded", b"for=192.0.2.%d" % n)],
    lambda n: [(b"x-real-ip", b"192.0.2.%d" % n), (b"x_forwarded_for", b"192.0.2.%d" % n)],
    lambda n: [(b"x-forwarded-for", b"192.0.2.%d" % n)] * 2,
]


def document(*trusted: Any) -> dict[str, Any]:
    return {**policy(STRANGERS), "identity": {"trusted_proxies": list(trusted)}}


async def statuses(guarded: Guarded, headers: Any, peer: tuple[str, int]) -> list[int]:
    return [(await guarded.post(CHAT, {}, *headers(number), client=peer)).status for number in range(1, 5)]


@pytest.mark.parametrize("forged", FORGED)
async def test_a_peer_that_is_no_proxy_is_not_believed(forged: Any) -> None:
    for trusted in ((), ("10.0.0.0/8",)):
        guarded = Guarded(Upstream(), document(*trusted))
        assert await statuses(guarded, forged, ("198.51.100.9", 1)) == [200, 200, 429, 429]


@pytest.mark.parametrize(
    "sent",
    [
        lambda n: b"192.0.2.%d, 198.51.100.9" % n,
        lambda n: b'"192.0.2.%d, 198.51.100.9' % n,  # a quotation mark must not swallow what the proxy appends
        lambda n: b"192.0.2.%d,,198.51.100.9" % n,
        lambda n: b"192.0.2.%d, [::ffff:198.51.100.9]:%d" % (n, n),
        lambda n: b"192.0.2.%d, 198.51.100.9:%d" % (n, 1000 + n),
        lambda n: b", " * 30_000 + b"192.0.2.%d, 198.51.100.9" % n,
    ],
)
async def test_behind_a_proxy_what_the_client_wrote_is_not_reached(sent: Any) -> None:
    """The proxy appends whom it heard; the rest is the client's invention."""
    guarded = Guarded(Upstream(), document("10.0.0.0/8"))
    assert await statuses(guarded, lambda n: [(b"x-forwarded-for", sent(n))], PROXY) == [200, 200, 429, 429]


async def test_two_headers_read_as_one_chain() -> None:
    """What the client sent stands in a header of its own, before the proxy's."""
    guarded = Guarded(Upstream(), document("10.0.0.0/8"))
    both = lambda n: [(b"x-forwarded-for", b"192.0.2.%d" % n), (b"x-forwarded-for", b"198.51.100.9")]  # noqa: E731
    assert await statuses(guarded, both, PROXY) == [200, 200, 429, 429]


async def test_two_hops_are_two() -> None:
    guarded = Guarded(Upstream(), document({"hops": 2}))
    chain = lambda n: [(b"x-forwarded-for", b"192.0.2.%d, 198.51.100.9, 10.1.1.1" % n)]  # noqa: E731
    assert await statuses(guarded, chain, PROXY) == [200, 200, 429, 429]


async def test_neighbours_in_one_network_are_one() -> None:
    """A /64 is one subject, and the IPv4-mapped form of an address is that address."""
    guarded = Guarded(Upstream(), document())
    six = [(await guarded.post(CHAT, {}, (b"a", b"b"), client=(f"2001:db8::{n:x}", 1))).status for n in range(1, 5)]
    assert six == [200, 200, 429, 429]
    four = [
        (await guarded.post(CHAT, {}, (b"a", b"b"), client=(a, 1))).status for a in ("192.0.2.7", "::ffff:192.0.2.7") * 2
    ]
    assert four == [200, 200, 429, 429]


async def test_a_household_with_a_48_is_no_crowd() -> None:
    """64 networks of a /48 are told apart; all others share one, and its two requests."""
    guarded = Guarded(Upstream(), document())
    taken = [(await guarded.post(CHAT, {}, (b"a", b"b"), client=(f"2001:db8:0:{n:x}::1", 1))).status for n in range(300)]
    assert taken.count(200) == 64 + 2
