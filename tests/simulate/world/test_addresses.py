"""Addresses: distinct, neighbours where they should be, and never in a private network."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import numpy as np
import pytest

from guardrail_mw.simulate.world.addresses import KINDS, Addresses


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(9)


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_distinct_and_public(kind: str, rng: np.random.Generator) -> None:
    addresses = Addresses(4)
    addresses.add(kind, np.full(400, 3), rng)
    texts = addresses[:]
    assert len(set(texts)) == len(texts) == len(addresses) == 1200
    assert all(ip_address(each).is_global for each in texts)
    assert addresses.kind(5) == kind


def test_a_block_is_neighbours(rng: np.random.Generator) -> None:
    addresses = Addresses(4)
    first = addresses.add("office", np.array([4, 1, 300]), rng)
    assert first.tolist() == [0, 4, 5]
    four, one, many = addresses[0:4], addresses[4:5], addresses[5:]
    prefix = 56 if ":" in four[0] else 24
    assert len({ip_network(f"{each}/{prefix}", strict=False) for each in four}) == 1
    assert len(set(many)) == 300
    assert set(one) & set(many) == set()


def test_strangers_are_seldom_neighbours(rng: np.random.Generator) -> None:
    addresses = Addresses(4)
    addresses.add("proxy", np.ones(1000, int), rng)
    networks = {ip_network(f"{each}/24", strict=False) for each in addresses if ":" not in each}
    assert len(networks) > 800


def test_some_homes_have_ipv6(rng: np.random.Generator) -> None:
    addresses = Addresses(4)
    addresses.add("home", np.ones(2000, int), rng)
    assert sum(":" in each for each in addresses) / 2000 == pytest.approx(0.35, abs=0.04)


def test_shared_networks_are_known_in_part(rng: np.random.Generator) -> None:
    addresses = Addresses(4)
    first = addresses.add("relay", np.full(300, 1), rng)
    addresses.add("home", np.full(300, 1), rng)
    known = [ip_network(each) for each in addresses.shared()]
    fours = [(index, ip_address(text)) for index, text in enumerate(addresses[:]) if ":" not in text]
    covered = [index for index, each in fours if any(each in network for network in known)]
    assert max(covered) < 300 == first[-1] + 1
    assert 0.6 < len(covered) / sum(index < 300 for index, _ in fours) < 0.9
