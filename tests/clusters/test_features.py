"""What a verdict looks at, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from math import log
from typing import Any

import numpy as np
import pytest

from guardrail_mw.clusters.features import FEATURES, Activities, features, tied
from guardrail_mw.clusters.graph import Graph
from guardrail_mw.clusters.reading import FAMILIES

from .kit import Crowd, idle, key, numbered

YOUNG = 1_000


def tied_names(crowd: Crowd, *clusters: list[str]) -> set[str]:
    graph = crowd.graph()
    found = tied(graph, numbered(graph, clusters))
    return {graph.accounts[row] for row in np.flatnonzero(found).tolist()}


def test_tied_by_what_is_bound_and_another_member_holds() -> None:
    crowd = Crowd()
    crowd.group("m", 2, 0, [key("payment", 1), key("system", 1)])
    crowd.add("a:prompt", 0, [key("system", 1)])
    crowd.add("a:shared", 0, [key("payment", 2)])
    crowd.add("a:outside", 0, [key("payment", 1), key("payment", 2)])
    crowd.add("a:other", 0, [key("payment", 1)])
    mine = ["a:m0000", "a:m0001", "a:prompt", "a:shared"]
    assert tied_names(crowd, mine) == {"a:m0000", "a:m0001"}
    assert tied_names(crowd, mine, ["a:other"]) == {"a:m0000", "a:m0001"}
    assert tied_names(crowd, [*mine, "a:other"]) == {"a:m0000", "a:m0001", "a:other"}
    assert tied_names(crowd) == set()


def test_a_crowded_address_ties_nobody() -> None:
    crowd = Crowd()
    members = crowd.group("m", 19, 0, [key("network", 1)])
    assert tied_names(crowd, members) == set(members)
    crowd.group("o", 1, 0, [key("network", 1)])
    assert tied_names(crowd, members) == set()


def crowd_of(cards: int) -> Crowd:
    """Four members; all have one card, three of them as many more as are asked for, and two an address."""
    crowd = Crowd(10)
    for number in range(4):
        shown = [key("payment", 0)]
        shown += [key("payment", 1 + card) for card in range(cards - 1)] if number < 3 else []
        shown += [key("network", 1)] if number < 2 else []
        crowd.add(f"a:m{number}", 500 + 250 * number, shown)
    return crowd


def figures(crowd: Crowd, templated: tuple[str, ...] = (), **columns: list[Any]) -> dict[str, float]:
    """Of a cluster of all whose name begins with `m`; columns of what they did, in order."""
    graph = crowd.graph()
    members = sorted(each for each in crowd.since if each.startswith("a:m"))
    row = [list(graph.accounts).index(each) for each in members]
    activity = idle(graph.size)
    for name, told in columns.items():
        column = getattr(activity, name).copy()
        column[row] = told
        activity = replace(activity, **{name: column})
    own = np.isin(graph.accounts, templated)
    found = features(graph, numbered(graph, [members]), activity, own, FAMILIES[:2], young=YOUNG)
    assert found.shape == (1, len(FEATURES))
    return dict(zip(FEATURES, found[0].tolist(), strict=True))


def test_size_is_the_logarithm_of_who_is_tied() -> None:
    crowd = crowd_of(1)
    crowd.add("a:m9", 0, [key("system", 1)])
    assert figures(crowd)["size"] == pytest.approx(log(4))


def test_young_is_a_share() -> None:
    """They came at hours 500, 750, 1,000 and 1,250."""
    assert figures(crowd_of(1))["young"] == 0.5


def test_pace_and_evenness() -> None:
    """ln(1 + 3), ln(1 + 3), ln(1 + 15), ln(1 + 15) a day: 2, 2, 4 and 4 times ln 2; mean 3, deviation 1 of them.

    63 requests of four are 15.75 each, of which 15.75 / 18.75 = 0.84 counts.
    """
    found = figures(crowd_of(1), requests=[6, 12, 30, 15], days=[2, 4, 2, 1])
    assert found["pace"] == pytest.approx(3 * log(2))
    assert found["evenness"] == pytest.approx(1 + 0.84 * (1 / (0.1 + log(2)) - 1))
    assert figures(crowd_of(1))["pace"] == 0


def test_the_most_even_are_worth_what_their_requests_are() -> None:
    """All alike: 2.5 at most; 12 requests each count 12 / 15, one each 1 / 4, none nothing."""
    assert figures(crowd_of(1), requests=[12] * 4, days=[2] * 4)["evenness"] == pytest.approx(1 + 1.5 * 0.8, rel=1e-6)
    assert figures(crowd_of(1), requests=[1] * 4, days=[1] * 4)["evenness"] == pytest.approx(1 + 1.5 * 0.25, rel=1e-6)
    assert figures(crowd_of(1))["evenness"] == 1


def test_round_the_clock_is_the_entropy_of_the_hours() -> None:
    hours = np.zeros((4, 24), np.int64)
    assert figures(crowd_of(1), hours=hours.tolist())["round_the_clock"] == 0
    hours[0, 5] = 100
    assert figures(crowd_of(1), hours=hours.tolist())["round_the_clock"] == pytest.approx(0)
    hours[1, 6] = 100
    assert figures(crowd_of(1), hours=hours.tolist())["round_the_clock"] == pytest.approx(log(2) / log(24))
    hours[2, :] = 7
    hours[:2] = 0
    assert figures(crowd_of(1), hours=hours.tolist())["round_the_clock"] == pytest.approx(1)


def test_weekend_is_days_of_all_days() -> None:
    """A week with 5, 7 and 2 days, and one day: 5/7, 1, 2/7, 1."""
    found = figures(crowd_of(1), first=[24] * 4, last=[168] * 3 + [24], days=[5, 7, 2, 1])
    assert found["weekend"] == pytest.approx((5 / 7 + 1 + 2 / 7 + 1) / 4)
    night = figures(crowd_of(1), first=[23] * 4, last=[24] * 4, days=[2] * 4)
    assert night["weekend"] == 1


def test_templated_is_a_share_of_the_tied() -> None:
    crowd = crowd_of(1)
    crowd.add("a:m9", 0, [key("system", 1)])
    assert figures(crowd, ("a:m0", "a:m9"))["templated"] == 0.25


def test_fresh_is_smoothed() -> None:
    assert figures(crowd_of(1))["fresh"] == 0.1
    assert figures(crowd_of(1), windowed=[20, 10, 0, 10], fresh=[20, 4, 0, 0])["fresh"] == pytest.approx(25 / 50)


@pytest.mark.parametrize("cards", [1, 2, 7])
def test_cards_and_addresses_that_three_share(cards: int) -> None:
    """The address is two's."""
    found = figures(crowd_of(cards))
    assert found["cards"] == pytest.approx(log(1 + cards))
    assert found["addresses"] == 0
    crowd = crowd_of(cards)
    crowd.shown["a:m3"][key("network", 1)] = 0
    assert figures(crowd)["addresses"] == pytest.approx(log(2))


def test_growth_is_the_share_of_the_last_week() -> None:
    assert (
        figures(crowd_of(1), requests=[10, 20, 30, 40], daily=[[10, *[0] * 7], [0] * 8, [2, 3, *[0] * 6], [*[0] * 7, 10]])[
            "growth"
        ]
        == 0.25
    )
    assert figures(crowd_of(1))["growth"] == 0


def test_strangers_move_nothing() -> None:
    """Who shares only what anybody can send is a member, and what he does is not looked at."""
    crowd = crowd_of(2)
    hours = np.arange(96).reshape(4, 24).tolist()
    did: dict[str, list[Any]] = {
        "requests": [9, 8, 7, 6], "days": [1, 2, 3, 4], "hours": hours, "windowed": [5] * 4, "fresh": [1] * 4, "daily": [[3]] * 4,
    }  # fmt: skip
    before = figures(crowd, (), **did)
    for number in range(50):
        crowd.add(f"a:mz{number}", 9_000, [key("system", 1), key("shingle", 1)])
    more: Any = {name: [*column, *[column[0] if name in {"hours", "daily"} else 999] * 50] for name, column in did.items()}
    assert figures(crowd, ("a:mz1",), **more) == before


def test_clusters_are_apart() -> None:
    """Two at once are as each alone, and one of which nobody is tied is all noughts but the smoothed ones."""
    crowd = Crowd()
    one, other = crowd.group("m", 4, 500, [key("payment", 1)]), crowd.group("n", 7, 2_000, [key("payment", 2)])
    loose = crowd.group("p", 3, 0)
    graph = crowd.graph()

    def of(*clusters: list[str]) -> Any:
        return features(
            graph, numbered(graph, clusters), _busy(graph), np.zeros(graph.size, np.bool_), FAMILIES[:2], young=YOUNG
        )

    both = of(one, other, loose)
    assert np.array_equal(both[0], of(one)[0])
    assert np.array_equal(both[1], of(other)[0])
    nothing = dict(zip(FEATURES, both[2].tolist(), strict=True))
    assert nothing == dict.fromkeys(FEATURES, 0.0) | {"evenness": 1.0, "fresh": 0.1}
    assert of().shape == (0, len(FEATURES))


def _busy(graph: Graph) -> Activities:
    return replace(idle(graph.size), requests=np.arange(graph.size) + 1, days=np.ones(graph.size, np.int64))
