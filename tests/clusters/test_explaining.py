"""Why an account is a member: figures worked out by hand, and what would end it tried on a real rebuild."""

from __future__ import annotations

from itertools import combinations
from math import floor, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail_mw.clusters.explaining import Explained, Explainer, Membership, Seed, Shared, Support, _ends, _holds
from guardrail_mw.clusters.graph import Holdings
from guardrail_mw.clusters.reading import FAMILIES
from guardrail_mw.clusters.rebuild import Rules, rebuild
from guardrail_mw.clusters.state import Given, State
from guardrail_mw.values import Family

from .kit import DAY, MONTH, TABLE, Crowd, idle, key
from .small import NOW

CARD, DEVICE, SYSTEM, AGENT = key("payment", 1), key("device", 2), key("system", 3), key("agent", 4)
STRANGERS = 2_000


def rebuilt(held: Holdings) -> State:
    return rebuild(held, idle(len(held.accounts)), State(), Given(), Rules(TABLE, epoch=0), NOW * 3_600_000_000).state


def explainer(held: Holdings) -> Explainer:
    return Explainer(held, rebuilt(held), TABLE, content=FAMILIES[2:], age=MONTH, now=NOW, new=NOW - 45 * DAY)


def without(held: Holdings, account: str, keys: tuple[int, ...]) -> Holdings:
    gone = (held.owner == held.accounts.index(account)) & np.isin(held.key, keys)
    return Holdings(held.accounts, held.since, held.owner[~gone], held.key[~gone], held.first[~gone])


def cluster_of(held: Holdings, account: str) -> frozenset[str]:
    return next((frozenset(each.members) for each in rebuilt(held).clusters if account in each.members), frozenset())


@pytest.fixture(scope="module")
def crowd() -> Crowd:
    """Twenty with a card, a device and a system prompt; a newcomer with the three; one who had the card before."""
    found = Crowd(STRANGERS)
    found.group("m", 20, NOW - 5 * DAY, [CARD, DEVICE, SYSTEM])
    found.add("a:new", NOW - 1, [CARD, DEVICE, SYSTEM])
    found.add("a:old", 0, {CARD: 5, AGENT: 6})
    found.add("a:else", 0, {AGENT: 7, DEVICE: NOW - 2})
    return found


@pytest.fixture(scope="module")
def explained(crowd: Crowd) -> Explained:
    return explainer(crowd.held()).explain("a:new", "a:old")


def test_what_two_share(explained: Explained) -> None:
    assert explained.shared == (Shared(CARD, "payment", True, 22, (NOW - 1, 5)),)


def test_the_rarest_comes_first(crowd: Crowd) -> None:
    shared = explainer(crowd.held()).explain("a:old", "a:else").shared
    assert shared == (Shared(AGENT, "client", False, 2, (6, 7)),)
    found = explainer(crowd.held()).explain("a:m0000", "a:new").shared
    assert [each.key for each in found] == [SYSTEM, *sorted([CARD, DEVICE])]


def test_a_kind_that_is_no_more() -> None:
    strange = key("payment", 9) & ((1 << 57) - 1) | 40 << 57
    found = Crowd()
    found.add("a:1", 0, [strange])
    found.add("a:2", 0, [strange])
    assert explainer(found.held()).explain("a:1", "a:2").shared == (Shared(strange, None, False, 2, (0, 0)),)


def test_who_is_in_no_cluster(explained: Explained) -> None:
    assert explained.other == Membership("a:old", None)


def nats(members: int, size: int, outside: int, accounts: int) -> int:
    """Of a value that so many of a cluster's hold, and so many others: ln of the ratio of shares, half a holder more outside."""
    return floor(1000 * log((members / size) / ((outside + 0.5) / (accounts - size + 1))))


def test_what_speaks_for_a_member(explained: Explained) -> None:
    """Without itself it has 20 members; outside are the account itself, and with the card and the device one more each."""
    found = explained.one
    accounts = STRANGERS + 23
    assert found.cluster is not None
    assert len(found.cluster.members) == 21
    assert {each.key: (each.members, each.holders, each.weight, each.counts) for each in found.support} == {
        CARD: (20, 22, nats(20, 20, 2, accounts), True),
        DEVICE: (20, 22, nats(20, 20, 2, accounts), True),
        SYSTEM: (20, 21, nats(20, 20, 1, accounts), True),
    }
    assert list(found.families) == ["client", "device", "payment"]
    assert found.score == sum(each.weight for each in found.support)
    assert found.tied
    assert found.joins
    assert {seed.keys for seed in found.seeds} == {(CARD, DEVICE), (CARD, SYSTEM), (DEVICE, SYSTEM)}
    assert all(seed.members == 21 for seed in found.seeds)
    assert [seed.surprise for seed in found.seeds] == sorted((seed.surprise for seed in found.seeds), reverse=True)


@pytest.mark.parametrize("account", ["a:new", "a:m0000"])
def test_what_would_end_it_does(crowd: Crowd, account: str) -> None:
    """Without it a rebuild puts the account nowhere; with any of it left, it stays."""
    held = crowd.held()
    ends = explainer(held).membership(account).ends
    assert cluster_of(held, account)
    assert not cluster_of(without(held, account, ends), account)
    for fewer in combinations(ends, len(ends) - 1):
        assert cluster_of(without(held, account, fewer), account)


def test_what_was_an_accounts_before_counts_for_nothing() -> None:
    """It took up the prompt and a shingle; the card it had before the second member did, but it is tied by it all the same."""
    found = Crowd(STRANGERS)
    found.group("m", 20, NOW - 5 * DAY, [CARD, DEVICE, SYSTEM, key("shingle", 6)])
    found.add("a:old", 0, {CARD: 5, SYSTEM: NOW - 2, key("shingle", 6): NOW - 2})
    member = explainer(found.held()).membership("a:old")
    counts = {each.key: each.counts for each in member.support}
    assert counts == {CARD: False, SYSTEM: True, key("shingle", 6): True}
    assert member.cluster is not None
    assert member.families["payment"] == 0
    assert member.seeds == ()
    assert member.ends
    assert not cluster_of(without(found.held(), "a:old", member.ends), "a:old")


def test_membership_by_score_alone() -> None:
    """A composite that fewer than five hold is no seed: a newcomer with a card of the cluster's and two of its programs."""
    found = Crowd(STRANGERS)
    found.group("m", 20, NOW - 5 * DAY, [CARD, SYSTEM])
    found.add("a:m~1", NOW - 5 * DAY, [CARD, SYSTEM, key("device", 7), key("tls", 8)])
    found.add("a:m~2", NOW - 5 * DAY, [CARD, SYSTEM, key("device", 7), key("tls", 8)])
    found.add("a:new", NOW - 1, [SYSTEM, key("device", 7), key("tls", 8)])
    held = found.held()
    member = explainer(held).membership("a:new")
    assert member.seeds == ()
    assert member.joins
    assert not cluster_of(without(held, "a:new", member.ends), "a:new")
    for fewer in combinations(member.ends, len(member.ends) - 1):
        assert cluster_of(without(held, "a:new", fewer), "a:new")


def test_nothing_is_kept(crowd: Crowd) -> None:
    found = explainer(crowd.held())
    assert found.knows("a:new")
    assert not found.knows("a:nobody")
    with pytest.raises(KeyError):
        found.membership("a:nobody")


def support(number: int, family: Family, weight: int, *, bound: bool = False, counts: bool = True) -> Support:
    return Support(number, family, bound, 5, 4, weight, counts)


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([support(1, "payment", 9_000, bound=True), *[support(n, "content", 1_500) for n in range(10, 20)]], (1,)),
        ([support(1, "payment", 9_000, bound=True), support(2, "client", 5_000), support(3, "network", 3_000)], (1,)),
        (
            [
                *[support(n, "content", 1_000) for n in range(10, 26)],
                support(1, "client", 2_500),
                support(2, "network", 3_000),
            ],
            (1,),
        ),
        ([support(n, "payment" if n < 3 else "device", 9_000, bound=True) for n in (1, 2, 3)], (3,)),
        ([support(n, "payment", 9_000, bound=True) for n in (1, 2)], ()),
        ([support(1, "payment", 9_000, bound=True), support(2, "device", 9_000, counts=False)], ()),
    ],
)
def test_as_few_as_can_be(values: list[Support], ends: tuple[int, ...]) -> None:
    assert _ends(values, []) == ends


_values = st.lists(
    st.tuples(
        st.sampled_from(["payment", "content", "client", "network"]), st.integers(0, 9_000), st.booleans(), st.booleans()
    ),
    max_size=9,
)


@given(_values, st.lists(st.sets(st.integers(0, 8), min_size=2, max_size=2), max_size=4))
def test_it_is_enough_and_none_of_it_for_nothing(drawn: list[tuple[Family, int, bool, bool]], pairs: list[set[int]]) -> None:
    values = [
        support(n, family, weight, bound=bound, counts=counts) for n, (family, weight, bound, counts) in enumerate(drawn)
    ]
    seeds = [Seed((min(pair), max(pair)), 5, 20_000) for pair in pairs]
    ends = _ends(values, seeds)
    assert not _holds(values, seeds, ends)
    for key_ in ends:
        assert _holds(values, seeds, [each for each in ends if each != key_])
