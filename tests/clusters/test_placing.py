"""Newcomers are placed between rebuilds as a rebuild would."""

from __future__ import annotations

import random
from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail_mw.clusters.graph import Graph
from guardrail_mw.clusters.growth import joining
from guardrail_mw.clusters.placing import KEPT, Placed, Placer
from guardrail_mw.clusters.reading import FAMILY
from guardrail_mw.clusters.rebuild import HOUR, Rebuilt, Rules, rebuild
from guardrail_mw.clusters.state import Given, State
from guardrail_mw.stores.base import Record

from .kit import KINDS, MONTH, TABLE, Crowd, idle, key

X, Y = "1" * 12, "2" * 12
CARD, DEVICE, PROMPT, TEXT, ADDRESS = [key(kind, 1) for kind in ("payment", "device", "system", "shingle", "network")]


def record(*clusters: tuple[str, int], holders: int = 5) -> Record:
    return Record(holders, "first", 0, clusters)


def place(*shown: tuple[int, Record], by: Placer | None = None, account: str = "a:he") -> Placed | None:
    return (by or Placer(KINDS)).place(account, [value for value, _ in shown], [each for _, each in shown])


def test_twelve_nats_of_two_families() -> None:
    assert place((CARD, record((X, 9_000))), (DEVICE, record((X, 3_000)))) == Placed(X, 12_000, ("device", "payment"))
    assert place((CARD, record((X, 9_000))), (DEVICE, record((X, 2_999)))) is None
    assert place((CARD, record((X, 9_000))), (DEVICE, record((Y, 9_000)))) is None
    assert place((CARD, record((X, 9_000))), (key("payment", 2), record((X, 9_000)))) is None


def test_a_family_counts_from_two_nats_to_nine() -> None:
    assert place((CARD, record((X, 9_000))), (DEVICE, record((X, 3_000))), (PROMPT, record((X, 1_999)))) == Placed(
        X, 12_000, ("device", "payment")
    )
    assert place((CARD, record((X, 8_000))), (DEVICE, record((X, 2_000))), (PROMPT, record((X, 2_000)))) == Placed(
        X, 12_000, ("client", "device", "payment")
    )
    twice = place((CARD, record((X, 9_000))), (PROMPT, record((X, 6_000))), (key("agent", 1), record((X, 6_000))))
    assert twice == Placed(X, 18_000, ("client", "payment"))


def test_without_a_bound_value_in_common_nobody_is_placed() -> None:
    shown = [(each, record((X, 9_000))) for each in (PROMPT, TEXT, key("network_wide", 1), key("release", 1))]
    assert place(*shown) is None
    assert place(*shown, (CARD, record((X, 1_999)))) is None
    assert place(*shown, (CARD, record((X, 2_000)))) == Placed(
        X, 38_000, ("client", "content", "network", "payment", "release")
    )


def test_a_crowded_address_is_not_bound() -> None:
    """The account that asks is one of its holders."""
    prompt = (PROMPT, record((X, 9_000)))
    assert place(prompt, (ADDRESS, record((X, 9_000), holders=19))) == Placed(X, 18_000, ("client", "network"))
    assert place(prompt, (ADDRESS, record((X, 9_000), holders=20))) is None
    assert place(prompt, (CARD, record((X, 9_000), holders=90_000))) is not None


def test_where_it_scores_most_and_of_equals_the_first_id() -> None:
    assert place((CARD, record((X, 8_000), (Y, 9_000))), (DEVICE, record((X, 5_000), (Y, 5_000)))) == Placed(
        Y, 14_000, ("device", "payment")
    )
    equal = place((CARD, record((Y, 9_000), (X, 9_000))), (DEVICE, record((Y, 9_000), (X, 9_000))))
    assert equal is not None
    assert equal.cluster == X


def test_it_adds_up_over_requests() -> None:
    placer = Placer(KINDS)
    assert place((CARD, record((X, 9_000))), by=placer) is None
    assert place((DEVICE, record((X, 9_000))), by=placer, account="a:another") is None
    assert place((PROMPT, record()), by=placer) is None
    assert place((DEVICE, record((X, 3_000))), by=placer) == Placed(X, 12_000, ("device", "payment"))


def test_what_is_shown_again_counts_once_as_it_last_was() -> None:
    placer = Placer(KINDS)
    assert place((CARD, record((X, 9_000))), by=placer) is None
    assert place((CARD, record((X, 9_000))), (DEVICE, record((X, 2_500))), by=placer) is None
    assert place((CARD, record((X, 8_000))), (DEVICE, record((X, 3_500))), by=placer) is None
    assert place((CARD, record((X, 8_500))), by=placer) == Placed(X, 12_000, ("device", "payment"))


def test_what_a_value_no_longer_says_is_forgotten() -> None:
    """Its cluster was released, or is no more."""
    placer = Placer(KINDS)
    assert place((CARD, record((X, 9_000))), by=placer) is None
    assert place((CARD, record()), by=placer) is None
    assert place((DEVICE, record((X, 9_000))), by=placer) is None
    assert place((CARD, record((Y, 9_000))), by=placer) is None
    assert place((CARD, record((X, 9_000))), by=placer) == Placed(X, 18_000, ("device", "payment"))


def test_after_it_was_placed_it_begins_anew() -> None:
    placer = Placer(KINDS)
    assert place((CARD, record((X, 9_000))), (DEVICE, record((X, 9_000))), by=placer) is not None
    assert place((CARD, record((X, 9_000))), by=placer) is None


def test_a_kind_that_nobody_names_says_nothing() -> None:
    unknown = 40 << 57 | 1
    assert place((CARD, record((X, 9_000))), (unknown, record((X, 9_000)))) is None


def test_nothing_shown_is_nothing() -> None:
    assert place() is None
    assert place((CARD, record()), (DEVICE, record())) is None


def test_so_many_accounts_are_kept_the_oldest_goes() -> None:
    placer = Placer(KINDS)
    for number in range(KEPT):
        place((CARD, record((X, 9_000))), by=placer, account=f"a:{number}")
    place((TEXT, record((X, 1_000))), by=placer, account="a:0")
    place((CARD, record((X, 9_000))), by=placer, account="a:last")
    for account, kept in (("a:0", True), ("a:last", True), ("a:2", True), ("a:1", False)):
        assert (place((DEVICE, record((X, 9_000))), by=placer, account=account) is not None) is kept


# Beside a rebuild

NOW = 100 * 24


@cache
def world() -> tuple[Crowd, list[int], Rebuilt]:
    """Three clusters, values that more or fewer of them hold, and of others too; and what a rebuild says of it."""
    chance = random.Random(11)
    crowd = Crowd(1_500)
    groups = [
        crowd.group(f"g{at}", many, 2_000, [key("payment", at), key("system", at)]) for at, many in enumerate((40, 30, 22))
    ]
    strangers = [each for each in crowd.since if "~" in each]
    values = [key(kind, at) for kind in ("payment", "system") for at in range(3)]
    for number in range(60):
        kind = ("device", "domain", "network", "network_wide", "agent", "shingle", "release", "tls")[number % 8]
        value = key(kind, 100 + number)
        values.append(value)
        own = groups[number // 8 % 3]
        for each in chance.sample(strangers, 0 if kind == "network" else chance.choice((0, 0, 1, 3, 20, 80))):
            crowd.shown[each][value] = 2_000
        for group in groups:
            many = int(len(group) * chance.choice((0, 0.1, 0.5, 1)))
            if kind == "network":
                many = chance.choice((0, 1)) if group is not own else 2  # of four holders there is no composite
            elif group is not own and (kind in {"shingle", "release"} or KINDS.is_bound(value, 2)):
                many = 0
            for each in chance.sample(group, many):
                crowd.shown[each][value] = 2_000
    for value, many in ((key("network", 1), 18), (key("network", 2), 19)):
        values.append(value)
        for each in groups[0][:many]:
            crowd.shown[each][value] = 2_000
    crowd.add("a:he", NOW - 1)
    rules = Rules(TABLE, epoch=0)
    done = rebuild(crowd.held(), idle(len(crowd.since)), State(), Given(), rules, NOW * HOUR)
    assert [len(each.members) >= 20 for each in done.state.clusters] == [True] * 3
    return crowd, values, done


def as_rebuilt(shown: list[int]) -> tuple[Placed | None, Graph]:
    """What growth makes of the account, if it shows these, with the weights of the rebuild."""
    crowd, _, done = world()
    crowd.shown["a:he"] = dict.fromkeys(shown, NOW - 1)
    graph = crowd.graph()
    crowd.shown["a:he"] = {}
    weights = done.formed.weights
    value = np.searchsorted(graph.keys, done.graph.keys[weights.value]).astype(np.int32)
    assert np.array_equal(graph.keys[value], done.graph.keys[weights.value])
    asked = np.array([each == "a:he" for each in graph.accounts])
    found = joining(graph, weights._replace(value=value), done.formed.nominated, done.formed.cluster, asked, age=MONTH)
    every = []
    for cluster, score, bits, tied in zip(
        found.cluster.tolist(), found.score.tolist(), found.families.tolist(), found.tied.tolist(), strict=True
    ):
        if tied:
            families = sorted(name for name, number in FAMILY.items() if bits >> number & 1)
            every.append(Placed(done.names[cluster], score, tuple(families)))
    return min(every, key=lambda each: (-each.score, each.cluster), default=None), graph


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_newcomer_is_placed_where_a_rebuild_puts_whoever_shares_a_bound_value(data: st.DataObject) -> None:
    """By what the rebuild wrote of values; at once, or bit by bit."""
    _, values, done = world()
    shown = data.draw(st.lists(st.sampled_from(values), unique=True, max_size=8))
    expected, graph = as_rebuilt(shown)
    holders = dict(zip(graph.keys.tolist(), graph.holders.tolist(), strict=True))
    records = [Record(holders.get(value, 1), "first", 0, done.marks.get(value, ())) for value in shown]
    assert Placer(KINDS).place("a:he", shown, records) == expected
    placer = Placer(KINDS)
    parts = [placer.place("a:he", [value], [each]) for value, each in zip(shown, records, strict=True)]
    assert any(each is not None for each in parts) is (expected is not None)
