"""What one rebuild leaves for the next."""

from __future__ import annotations

import json
import zlib

import pytest

from guardrail_mw.clusters.state import Cluster, Given, Merged, Order, State

FULL = Cluster(
    "0123456789ab",
    ("a:one", "a:two"),
    "suspect",
    4_321,
    1_700_000_000_000_000,
    suspect=1_700_000_000_000_001,
    approved=7,
    asked=1_700_000_000_000_002,
    tied=2,
    exchanges=10**12,
    figures={"size": 0.6931, "young": 1.0},
    ancestors=("0123456789ab", "ba9876543210"),
    lineage=("0123456789ab", "cccccccccccc"),
    families=("client", "payment"),
    material=1_700_000_000_000_003,
    budget=9_000_000,
    granted=5,
    counters="cccccccccccc",
    until=1_700_000_000_000_004,
    shared=6,
    vouched=("403d1bd8e895", "9954c04dc112"),
    worth=7,
)
BARE = Cluster("ba9876543210", ("a:three",), "none", -12, 5)


@pytest.mark.parametrize(
    "state",
    [
        State(),
        State(9, 8, ()),
        State(1_700_000_000_000_000, 3, (FULL, BARE)),
        State(9, 8, (BARE,), (Merged("cccccccccccc", BARE.id, 9, 99),)),
    ],
)
def test_what_is_packed_is_unpacked(state: State) -> None:
    assert State.unpack(state.pack()) == state


def test_a_thousand_names_take_little_room() -> None:
    """One is 45 bytes; the rest compresses."""
    members = tuple(f"a:{number:043}" for number in range(1_000))
    assert len(State(1, 1, (Cluster("0" * 12, members, "none", 0, 0),)).pack()) < 6_000


@pytest.mark.parametrize("before", [{}, {"vouched": False}, {"vouched": True}])
def test_what_was_kept_before_there_were_codes_says_nothing_of_them(before: dict[str, bool]) -> None:
    document = json.loads(zlib.decompress(State(9, 8, (FULL,)).pack()))
    del document["clusters"][0]["vouched"]
    document["clusters"][0] |= before
    (found,) = State.unpack(zlib.compress(json.dumps(document).encode())).clusters
    assert (found.vouched, found.families) == ((), FULL.families)


def test_where_nothing_is_kept_there_is_nothing() -> None:
    assert State.unpack(None) == State(0, 0, ())


@pytest.mark.parametrize("document", [{"format": 2}, {"format": None}, {}])
def test_another_versions_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="are of format"):
        State.unpack(zlib.compress(json.dumps(document).encode()))


def test_whose_id_is_whose() -> None:
    state = State(1, 1, (FULL, BARE))
    assert state.ids() == {"a:one": FULL.id, "a:two": FULL.id, "a:three": BARE.id}


def test_an_id_is_found_by_its_beginning() -> None:
    state = State(1, 1, (FULL, BARE))
    assert state.find("0123") is FULL
    assert state.find("ba9876543210") is BARE
    assert state.find("123") is None
    assert state.find("") is None


def order(what: str, at: int, until: int = 0) -> Order:
    return Order(what, "", until, "because", at)


def test_orders_of_the_whole_lineage_hold_the_latest_last() -> None:
    given = Given({"a": (order("release", 5), order("reject", 1)), "b": (order("approve", 3),), "c": (order("verdict", 2),)})
    assert [each.what for each in given.of(("a", "b", "z"), 10)] == ["reject", "approve", "release"]
    assert given.of((), 10) == ()


def test_an_order_holds_until_its_time() -> None:
    given = Given({"a": (order("release", 5, until=100), order("approve", 6, until=0))})
    assert [each.what for each in given.of(("a",), 99)] == ["release", "approve"]
    assert [each.what for each in given.of(("a",), 100)] == ["approve"]
