"""Ids outlive rebuilds."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail_mw.clusters.descent import Named, name

A, B, C = "a" * 12, "b" * 12, "c" * 12
NOW = 1_000


def before(**sizes: int) -> dict[str, str]:
    """Accounts by cluster: `a=3` puts a0, a1, a2 into the cluster aaaaaaaaaaaa."""
    return {f"{letter}{number}": letter * 12 for letter, many in sizes.items() for number in range(many)}


def some(letter: str, begin: int, end: int) -> list[str]:
    return [f"{letter}{number}" for number in range(begin, end)]


def ids(found: list[Named]) -> list[str]:
    return [each.id for each in found]


def test_a_cluster_that_stays_keeps_its_id() -> None:
    assert name([some("a", 0, 9)], before(a=9), NOW) == [Named(A, (A,), (9,), A)]
    assert name([some("a", 0, 9) + some("n", 0, 4)], before(a=9), NOW) == [Named(A, (A,), (9,), A)]


def test_a_new_one_has_a_new_id() -> None:
    (found,) = name([some("n", 0, 5)], before(a=9), NOW)
    assert (found.ancestors, found.came, found.descends) == ((), (), "")
    assert re.fullmatch("[0-9a-f]{12}", found.id)
    assert name([some("n", 0, 5)], {}, NOW) == [found]
    assert ids(name([some("n", 0, 5)], {}, NOW + 1)) != [found.id]
    assert ids(name([some("m", 0, 5)], {}, NOW)) != [found.id]


def test_of_parts_the_largest_keeps_it() -> None:
    first, second, third = name([some("a", 0, 2), some("a", 2, 7), some("a", 7, 9)], before(a=9), NOW)
    assert second == Named(A, (A,), (5,), A)
    assert A not in {first.id, third.id}
    assert first.id != third.id
    assert (first.ancestors, first.descends, third.descends) == ((A,), A, A)


def test_of_equal_parts_the_larger_cluster_and_then_the_first() -> None:
    assert ids(name([some("a", 0, 4), some("a", 4, 8) + some("n", 0, 1)], before(a=8), NOW))[1] == A
    assert ids(name([some("a", 0, 4), some("a", 4, 8)], before(a=8), NOW))[0] == A


def test_merged_ones_have_the_larger_ones() -> None:
    assert name([some("a", 0, 4) + some("b", 0, 5)], before(a=4, b=5), NOW) == [Named(B, (B, A), (5, 4), B)]
    assert name([some("a", 0, 4) + some("b", 0, 4)], before(a=4, b=4), NOW) == [Named(A, (A, B), (4, 4), A)]


def test_an_id_is_given_once() -> None:
    """All of a and most of b in one, the rest of b in the other."""
    found = name([some("a", 0, 9) + some("b", 0, 8), some("b", 8, 10)], before(a=9, b=10), NOW)
    assert found == [Named(A, (A, B), (9, 8), A), Named(B, (B,), (2,), B)]


def test_where_the_first_is_given_the_next_that_is_half_in_it() -> None:
    """Of a the larger part is elsewhere; of b all are here."""
    found = name([some("a", 0, 6), some("a", 6, 10) + some("b", 0, 2)], before(a=10, b=2), NOW)
    assert found[1] == Named(B, (A, B), (4, 2), A)


@pytest.mark.parametrize(
    ("came", "new", "gone", "keeps", "descends"),
    [
        (1, 299, 40, False, False),
        (1, 1, 40, True, True),
        (1, 2, 40, False, False),
        (20, 280, 20, True, False),
        (20, 280, 21, False, False),
        (30, 31, 31, False, False),
        (30, 30, 31, True, True),
        (30, 31, 30, True, False),
    ],
)
def test_a_few_carry_no_id_along(came: int, new: int, gone: int, keeps: bool, descends: bool) -> None:
    """Those who came are half of the new one, or half of the old one; what was said of it holds only for the former."""
    (found,) = name([some("a", 0, came) + some("n", 0, new)], before(a=came + gone), NOW)
    assert (found.id == A, found.descends == A) == (keeps, descends)
    assert (found.ancestors, found.came) == ((A,), (came,))


def test_new_ids_differ() -> None:
    """Even where two have the same first member, which never happens, or one is taken."""
    found = name([["n"], ["n"], ["n"]], {}, NOW)
    assert len(set(ids(found))) == 3
    taken = found[0].id
    assert taken not in ids(name([["n"], ["m"]], {"m": taken}, NOW))[:1]


def test_no_clusters() -> None:
    assert name([], before(a=3), NOW) == []


@given(
    st.lists(st.lists(st.integers(0, 40), max_size=12, unique=True), max_size=6),
    st.dictionaries(st.integers(0, 40), st.integers(0, 4)),
)
def test_whatever_happens(groups: list[list[int]], were: dict[int, int]) -> None:
    """Ids are of one cluster each; ancestors are counted; an old id goes to a cluster that its members went to."""
    seen: set[int] = set()
    clusters = []
    for group in groups:
        mine = sorted(f"{each:02}" for each in group if each not in seen)
        seen.update(group)
        if mine:
            clusters.append(mine)
    known = {f"{account:02}": f"{cluster:012}" for account, cluster in were.items()}
    found = name(clusters, known, NOW)
    assert len(set(ids(found))) == len(clusters)
    for each, members in zip(found, clusters, strict=True):
        came = [known[member] for member in members if member in known]
        assert sorted(zip(each.ancestors, each.came, strict=True)) == sorted((old, came.count(old)) for old in set(came))
        assert list(each.came) == sorted(each.came, reverse=True)
        assert each.id in each.ancestors or each.id not in known.values()
