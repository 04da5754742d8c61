"""The table's words, each worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from guardrail_mw.simulate import words
from guardrail_mw.simulate.words import Exceptions

_MINUTE = 60_000_000
# Ten accounts: four of operator 0, three of operator 1, three ordinary ones.
OWNER = np.array([0, 0, 0, 0, 1, 1, 1, -1, -1, -1])
# Cluster 0: three of operator 0 and an ordinary one. Cluster 1: one of operator 0, two of operator 1. Cluster 2: two ordinary.
CLUSTER = np.array([0, 0, 0, 1, 1, 1, -1, 0, 2, 2])


def exceptions(*rows: tuple[int, int, int, int]) -> Exceptions:
    """Account, number, minute, code."""
    columns = np.array(rows, np.int64).reshape(-1, 4).T
    return Exceptions(
        columns[0].astype(np.int32), columns[1].astype(np.int32), columns[2] * _MINUTE, columns[3].astype(np.uint8)
    )


def test_shares_of_a_cluster() -> None:
    own, size = words.shares(CLUSTER, OWNER)
    assert own.tolist() == [3, 3, 3, 1, 2, 2, 0, 1, 2, 2]
    assert size.tolist() == [4, 4, 4, 3, 3, 3, 0, 4, 2, 2]


def test_a_cluster_is_the_operators_who_has_more_than_half_of_it() -> None:
    assert words.owners(CLUSTER, OWNER).tolist() == [0, 1, -1]
    assert words.owners(np.array([0, 0, 1, 1]), np.array([0, -1, 0, 1])).tolist() == [-1, -1]  # half is not more than half


def test_held_counts_exchanges_of_accounts_in_their_operators_clusters() -> None:
    exchanges = np.array([10, 20, 30, 40, 5, 5, 10, 1, 1, 1])
    # Operator 0: 10 + 20 + 30 of 100; the fourth account is in operator 1's cluster. Operator 1: 10 of 20.
    assert words.held(CLUSTER, OWNER, exchanges, 2).tolist() == [0.6, 0.5]
    assert np.isnan(words.held(CLUSTER, OWNER, exchanges, 3)[2])


def test_b_cubed() -> None:
    precision, recall, over_accounts = words.b_cubed(CLUSTER, OWNER, 2)
    # Operator 0: three accounts have 3/4, one has 1/3. Operator 1: two have 2/3; the third is in no cluster.
    assert precision.tolist() == pytest.approx([(3 * 3 / 4 + 1 / 3) / 4, 2 / 3])
    # Three reach 3 of 4, one 1 of 4; two reach 2 of 3, one only itself, 1 of 3.
    assert recall.tolist() == pytest.approx([(3 * 3 / 4 + 1 / 4) / 4, (2 / 3 + 2 / 3 + 1 / 3) / 3])
    assert over_accounts == pytest.approx((3 * 3 / 4 + 1 / 3 + 2 * 2 / 3) / 6)


def test_b_cubed_of_nothing() -> None:
    precision, recall, over_accounts = words.b_cubed(np.array([-1, -1]), np.array([0, 0]), 1)
    assert np.isnan(precision[0])
    assert recall.tolist() == [0.5]
    assert np.isnan(over_accounts)


def test_pairs_in_one_cluster() -> None:
    # Cluster 0: 3 pairs of operator 0, 3 mixed. Cluster 1: 1 of operator 1, 2 across. Cluster 2: 1 ordinary.
    assert words.pairs(CLUSTER, OWNER) == words.Pairs(own=4, cross=2, mixed=3, ordinary=1)
    assert words.pairs(np.array([-1]), np.array([0])) == words.Pairs(0, 0, 0, 0)


def test_containment_of_a_share() -> None:
    judged = np.array([50, 0, 10, 30])
    assert words.contained(judged, 0.5) == 30  # the second of four
    assert words.contained(judged, 0.75) == 50
    assert words.contained(judged, 0.95) is None  # the fourth never was
    assert words.contained(np.array([], np.int64), 0.5) is None


def test_quantiles_of_what_may_never_come() -> None:
    joins = np.array([3, 1, 2, 0, 5])
    assert words.quantile(joins, 0.5) == 3
    assert words.quantile(joins, 0.8) == 5
    assert words.quantile(joins, 0.95) is None
    assert words.quantile(np.array([]), 0.5) is None


def test_worse_than_in_the_twin() -> None:
    run = exceptions((1, 0, 0, 3), (1, 1, 1, 3), (1, 2, 2, 2), (2, 0, 0, 1), (2, 1, 0, 2))
    twin = exceptions((1, 1, 1, 3), (1, 2, 2, 3), (2, 0, 0, 2), (9, 9, 9, 3))
    # 1/0: limited, served in the twin. 1/1: limited in both. 1/2: delayed, limited in the twin: better. 2/0: trimmed, delayed in
    # the twin: worse. 2/1: delayed, served in the twin.
    assert words.worse(run, twin).key.tolist() == [1 << 32, 2 << 32, 2 << 32 | 1]
    assert len(words.worse(run, exceptions())) == 5


def test_denied_is_three_in_a_row_over_ten_minutes() -> None:
    run = exceptions(
        (1, 4, 0, 3), (1, 5, 5, 3), (1, 6, 10, 4),  # three over ten minutes
        (2, 0, 0, 3), (2, 1, 5, 3), (2, 2, 9, 3),  # over nine
        (3, 0, 0, 3), (3, 1, 20, 3),  # two
        (4, 0, 0, 3), (4, 1, 9, 3), (4, 3, 20, 3),  # the third request between them was served
        (5, 0, 0, 3), (5, 1, 9, 2), (5, 2, 20, 3), (5, 3, 30, 3),  # a delay is an answer
        (6, 0, 0, 3), (6, 1, 5, 3), (6, 2, 8, 3), (6, 3, 20, 5),  # the twin refused the second: three are left, over twenty
        (7, 0, 0, 3), (7, 1, 5, 3), (7, 2, 20, 3),  # the twin refused the first: two are left
    )  # fmt: skip
    twin = exceptions((6, 1, 5, 3), (7, 0, 0, 4), (1, 4, 0, 2))  # a delay in the twin is no refusal
    assert words.denied(run, twin).tolist() == [1, 6]
    assert words.denied(exceptions(), twin).tolist() == []


def test_the_worst_window_has_most_accounts_not_most_touches() -> None:
    account = np.array([1, 1, 1, 1, 2, 3, 4])
    day = np.array([0, 0, 1, 2, 9, 10, 12])
    found = words.worst_window(account, day, 14, width=3)
    assert found.first == 8  # days 8 to 10: accounts 2 and 3; days 10 to 12: 3 and 4, later
    assert found.accounts.tolist() == [2, 3]
    whole = words.worst_window(account, day, 14)
    assert whole.first == 0
    assert whole.accounts.tolist() == [1, 2, 3, 4]
    assert words.worst_window(np.array([]), np.array([]), 14).accounts.tolist() == []


def test_a_group_is_touched_beyond_one_account_and_one_in_a_hundred() -> None:
    group = np.concatenate((np.zeros(3, int), np.ones(500, int), np.full(2, -1)))
    assert words.touched_groups(np.array([0]), group).tolist() == []  # one of three
    assert words.touched_groups(np.array([0, 1]), group).tolist() == [0]
    assert words.touched_groups(np.arange(3, 8), group).tolist() == []  # five of 500 is one in a hundred
    assert words.touched_groups(np.arange(3, 9), group).tolist() == [1]
    assert words.touched_groups(np.array([503, 504]), group).tolist() == []


def test_what_zero_of_so_many_may_be() -> None:
    assert words.zero_bound(300) == pytest.approx(0.01)
    assert words.zero_bound(2) == 1.0
    assert words.zero_bound(0) == 1.0
