"""What is noted of a run, on batches of a few calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from guardrail_mw.simulate.caller import Seen
from guardrail_mw.simulate.ledgers import Campaigns, Found, Ordinary, running
from guardrail_mw.simulate.world.batch import Batch

_START = 1_767_571_200_000_000
_HOUR = 3_600_000_000


def batch(*calls: tuple[int, int, int, bool]) -> Batch:
    """Minute, account, operator, useful; 100 tokens in and 50 out each."""
    columns = np.array([each[:3] for each in calls], np.int64).reshape(-1, 3).T
    none = np.zeros(len(calls), np.int64)
    named: dict[str, Any] = dict.fromkeys(Batch.__dataclass_fields__, none)
    named |= {
        "at": _START + columns[0] * 60_000_000,
        "account": columns[1].astype(np.int32),
        "operator": columns[2].astype(np.int16),
        "useful": np.array([each[3] for each in calls], bool),
        "input": none + 100,
        "output": none + 50,
    }
    return Batch(**named)


def seen(codes: list[int], clusters: list[int] | None = None, verdicts: list[int] | None = None) -> Seen:
    nothing = [0] * len(codes)
    return Seen(
        np.array(codes, np.uint8),
        np.array(clusters or [-1] * len(codes), np.int32),
        np.array(verdicts or nothing, np.uint8),
    )


def test_running_numbers() -> None:
    assert running(np.array([5, 7, 5, 5, 7])).tolist() == [0, 0, 1, 2, 1]
    assert running(np.array([], np.int64)).tolist() == []


def test_ordinary_requests_are_numbered_and_what_is_odd_is_kept() -> None:
    ledger = Ordinary(_START, 2, np.array([0, 1, 1]), 2)
    ledger.calls(batch((0, 0, -1, False), (1, 1, 3, True), (2, 0, -1, False)), seen([0, 3, 3]))
    ledger.calls(batch((24 * 60, 0, -1, False), (24 * 60 + 1, 2, -1, False)), seen([2, 0]))
    found = ledger.exceptions()
    assert found.account.tolist() == [0, 0]
    assert found.number.tolist() == [1, 2]  # its second and its third request
    assert found.code.tolist() == [3, 2]
    assert found.at.tolist() == [_START + 2 * 60_000_000, _START + 24 * _HOUR]
    assert ledger.requests.tolist() == [[2, 0], [1, 1]]  # the operator's call is nobody's
    assert ledger.active.tolist() == [[True, False, False], [True, False, True]]
    assert ledger.codes.tolist() == [2, 0, 1, 1, 0, 0, 0]


def test_two_runs_differ_in_their_mark_if_anybody_called_at_another_time() -> None:
    def mark(minute: int, account: int) -> int:
        ledger = Ordinary(_START, 1, np.array([0, 0]), 1)
        ledger.calls(batch((minute, account, -1, False)), seen([0]))
        return ledger.mark

    assert mark(1, 0) == mark(1, 0)
    assert len({mark(1, 0), mark(2, 0), mark(1, 1)}) == 3


def test_campaigns() -> None:
    ledger = Campaigns(_START, 1, 4, 2)
    ledger.calls(
        batch((0, 0, 0, True), (1, 0, 0, False), (2, 1, 1, True), (61, 0, 0, True), (62, 0, 0, True), (63, 3, -1, False)),
        seen([0, 0, 1, 3, 2, 0], [-1, -1, -1, 0, 0, -1]),
    )
    assert ledger.attempts.tolist() == [3, 1]
    assert ledger.codes.tolist() == [[2, 0, 1, 1, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0]]
    # Useful and answered: one in the first hour, the delayed one in the second; cover is not useful, and the fourth was limited.
    assert ledger.served[0, :3].tolist() == [1, 1, 0]
    assert ledger.served[1, :3].tolist() == [1, 0, 0]
    assert ledger.tokens.tolist() == [300, 150]
    assert ledger.owner.tolist() == [0, 1, -1, -1]
    assert ledger.exchanges.tolist() == [4, 1, 0, 0]
    assert ledger.joined.tolist() == [3, 0, 0, 0]  # its third call was the first decided as a member's
    assert ledger.first.tolist() == [_START, _START + 2 * 60_000_000, 0, 0]
    ledger.calls(batch((70, 0, 0, True), (71, 1, 1, True)), seen([0, 0], [0, 0]))
    assert ledger.joined.tolist() == [3, 2, 0, 0]


def test_budgets_count_what_members_of_suspect_clusters_are_served() -> None:
    ledger = Campaigns(_START, 2, 3, 1)
    calls = batch((0, 0, 0, True), (1, 0, 0, True), (2, 1, -1, False), (3, 1, -1, False), (24 * 60, 0, 0, True))
    ledger.calls(calls, seen([0, 1, 0, 3, 0], [0, 0, 0, 0, 0], [1, 2, 3, 3, 2]))
    # The first was only watched; the fourth was refused.
    assert ledger.budgets == {(0, 0): [1, 1], (0, 1): [1, 0]}
    # The operator's own: the second on the first day, the last on the next; the third is an ordinary member's.
    assert ledger.free.tolist() == [1]
    assert ledger.bound == {(0, 0, 0): 1, (0, 0, 1): 1}


def test_judged_lasts_as_long_as_there_is_no_break() -> None:
    ledger = Campaigns(_START, 1, 4, 1)
    both, one = np.array([0, 1]), np.array([1])
    ledger.rebuilt(10, [Found("a", 2, both), Found("b", 1, np.array([2]))])
    assert ledger.judged.tolist() == [10, 10, 0, 0]
    ledger.rebuilt(20, [Found("a", 3, one)])
    assert ledger.judged.tolist() == [0, 10, 0, 0]
    ledger.rebuilt(30, [Found("b", 1, np.array([3])), Found("a", 2, both)])
    assert ledger.judged.tolist() == [30, 10, 0, 0]
    assert ledger.ever.tolist() == [True, True, False, False]
    assert ledger.cluster.tolist() == [1, 1, -1, 0]
    assert ledger.looks == [(10, 2, 1, 2), (20, 1, 1, 1), (30, 2, 1, 2)]
    assert [each.id for each in ledger.last] == ["b", "a"]


@pytest.mark.parametrize("kind", ["ordinary", "campaigns"])
def test_nothing_is_nothing(kind: str) -> None:
    nothing = batch().take(np.zeros(0, np.int64))
    if kind == "ordinary":
        ledger = Ordinary(_START, 1, np.array([0]), 1)
        ledger.calls(nothing, seen([]))
        assert len(ledger.exceptions()) == 0
    else:
        campaigns = Campaigns(_START, 1, 1, 1)
        campaigns.calls(nothing, seen([]))
        assert campaigns.exchanges.tolist() == [0]
