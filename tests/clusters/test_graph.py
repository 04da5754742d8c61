"""Who holds what, in columns."""

from __future__ import annotations

import random

import numpy as np
import pytest

from guardrail_mw.algorithms import keys
from guardrail_mw.clusters.graph import Graph
from guardrail_mw.clusters.reading import FAMILY

from .kit import TABLE, Crowd, key


def holding(many: int, *values: int) -> Graph:
    crowd = Crowd()
    crowd.group("g", many, 5, values)
    return crowd.graph()


def test_the_columns() -> None:
    """Values in order, edges by value and then by account; what only one holds is not there."""
    crowd = Crowd()
    card, agent, alone = key("payment", 9), key("agent", 2), key("device", 1)
    crowd.add("a:b", 30, {agent: 31, card: 32})
    crowd.add("a:a", 10, {card: 11, alone: 12})
    crowd.add("a:c", 20, {agent: 21})
    graph = crowd.graph()
    assert graph.size == 3
    assert list(graph.accounts) == ["a:a", "a:b", "a:c"]
    assert graph.since.tolist() == [10, 30, 20]
    assert graph.keys.tolist() == [card, agent]
    assert graph.holders.tolist() == [2, 2]
    assert graph.value.tolist() == [0, 0, 1, 1]
    assert graph.owner.tolist() == [0, 1, 1, 2]
    assert graph.first.tolist() == [11, 32, 31, 21]
    assert graph.starts.tolist() == [0, 2, 4]
    assert graph.family.tolist() == [FAMILY["payment"], FAMILY["client"]]
    assert graph.bound.tolist() == [True, False]
    order, starts = graph.by_account()
    assert order.tolist() == [0, 1, 2, 3]
    assert starts.tolist() == [0, 1, 3, 4]


def test_by_account_skips_nobody() -> None:
    crowd = Crowd(2)
    crowd.group("g", 2, 0, [key("agent", 1), key("payment", 1)])
    crowd.add("a:z", 0)
    order, starts = crowd.graph().by_account()
    assert starts.tolist() == [0, 2, 4, 4, 4, 4]
    assert order.tolist() == [0, 2, 1, 3]


@pytest.mark.parametrize("kind", ["payment", "domain", "organisation", "device"])
def test_what_costs_something_is_bound_however_many_hold_it(kind: str) -> None:
    assert holding(500, key(kind, 1)).bound.tolist() == [True]


@pytest.mark.parametrize(
    "kind",
    ["email_domain", "issuer", "device_seen", "network_wide", "tls", "system", "agent", "shingle", "release", "coactive"],
)
def test_what_anybody_can_send_is_not(kind: str) -> None:
    assert holding(2, key(kind, 1)).bound.tolist() == [False]


@pytest.mark.parametrize(("holders", "bound"), [(19, True), (20, False), (21, False)])
def test_a_network_is_bound_while_fewer_than_twenty_hold_it(holders: int, bound: bool) -> None:
    assert holding(holders, key("network", 1)).bound.tolist() == [bound]


def test_a_network_on_a_list_of_shared_ones_is_not_bound() -> None:
    """Whoever came after it was put there has it as a wide one, of the same digest; one of them is enough to know."""
    crowd = Crowd()
    crowd.group("g", 5, 0, [key("network", 7), key("network", 8), key("payment", 7)])
    crowd.add("a:z", 0, [key("network_wide", 7)])
    graph = crowd.graph()
    bound = dict(zip(graph.keys.tolist(), graph.bound.tolist(), strict=True))
    assert bound == {key("payment", 7): True, key("network", 7): False, key("network", 8): True}


def test_the_whole_digest_counts() -> None:
    crowd = Crowd()
    crowd.group("g", 5, 0, [key("network", (1 << 57) - 1), key("network", 1)])
    crowd.add("a:z", 0, [key("network_wide", (1 << 57) - 1)])
    assert crowd.graph().bound.tolist() == [True, False]


def test_a_kind_that_nobody_names_is_no_evidence() -> None:
    assert holding(5, keys.join(40, 1)).keys.tolist() == []
    assert holding(5, keys.join(40, 1), keys.join(63, 1), key("agent", 1)).keys.tolist() == [key("agent", 1)]


def test_least_is_a_choice() -> None:
    crowd = Crowd()
    crowd.group("g", 2, 0, [key("agent", 1)])
    crowd.group("h", 3, 0, [key("agent", 2)])
    assert Graph.of(crowd.held(), TABLE, least=3).keys.tolist() == [key("agent", 2)]


@pytest.mark.parametrize("crowd", [Crowd(), Crowd(3)])
def test_nobody_and_nothing(crowd: Crowd) -> None:
    graph = crowd.graph()
    assert (graph.size, len(graph.keys), len(graph.owner), graph.starts.tolist()) == (len(crowd.since), 0, 0, [0])


def test_edges_come_in_any_order() -> None:
    crowd = Crowd()
    chance = random.Random(1)
    for number in range(200):
        crowd.add(f"a:{number:03}", number, [key("agent", chance.randrange(30)), key("network", chance.randrange(90))])
    order = list(range(crowd.edges))
    chance.shuffle(order)
    one, other = crowd.graph(), Graph.of(crowd.held(order), TABLE)
    for name in ("owner", "value", "first", "keys", "holders", "family", "bound", "starts", "since"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
