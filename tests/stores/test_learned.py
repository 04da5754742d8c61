"""What exchanges teach while the store is away."""

from __future__ import annotations

import pytest

from guardrail_mw.stores import learned
from guardrail_mw.stores.base import Bill, Change
from guardrail_mw.stores.learned import Learned
from guardrail_mw.values import Standing


def bill(version: int) -> Bill:
    return Bill("0" * 24, (), candidate="a:1", version=version)


def waiting(kept: Learned) -> dict[str, list[Change]]:
    found = {}
    while kept:
        account, changes = kept.take()
        found[account] = changes
    return found


def test_changes_of_one_field_are_put_together() -> None:
    kept = Learned()
    assert kept.add("a:1", [Change("add", "n", "2"), Change("max", "risk", "40"), Change("first", "met", "7")]) == 0
    assert kept.add("a:1", [Change("add", "n", "3"), Change("max", "risk", "30"), Change("first", "met", "8")]) == 0
    assert kept.add("a:1", [Change("set", "tier", "x"), Change("add", "z", "1"), Change("unset", "z")]) == 0
    assert kept.add("a:1", [Change("set", "tier", "y")]) == 0
    assert waiting(kept) == {
        "a:1": [
            Change("add", "n", "5"),
            Change("max", "risk", "40"),
            Change("first", "met", "7"),
            Change("unset", "z"),
            Change("set", "tier", "y"),
        ]
    }


def test_other_operations_on_one_field_keep_their_order() -> None:
    kept = Learned()
    changes = [Change("set", "n", "5"), Change("add", "n", "1"), Change("max", "n", "9"), Change("add", "n", "1")]
    kept.add("a:1", changes)
    assert waiting(kept) == {"a:1": changes}


def test_a_bill_knows_best_until_something_was_learned() -> None:
    kept = Learned()
    assert kept.newer(bill(0)) is None
    assert kept.newer(bill(55)) is None
    kept.add("a:1", [Change("max", "risk", "40")])  # no plan depends on it
    assert kept.newer(bill(55)) is None


def test_what_was_learned_is_met_on_the_next_bill() -> None:
    kept = Learned()
    kept.note("a:1", Standing(55, {"verdict": "suspect", "risk": "20", "acr": "low"}))
    kept.add("a:1", [Change("max", "risk", "40"), Change("set", "proved", "1"), Change("unset", "acr")])
    standing = kept.newer(bill(55))
    assert standing == Standing(-1, {"verdict": "suspect", "risk": "40", "proved": "1"}, -1)
    assert kept.newer(bill(-1)) is None
    kept.add("a:1", [Change("set", "tier", "pro")])
    assert kept.newer(bill(-1)) == Standing(-2, {"verdict": "suspect", "risk": "40", "proved": "1", "tier": "pro"}, -2)


def test_an_account_nobody_knew() -> None:
    kept = Learned()
    kept.add("a:1", [Change("set", "proved", "1")])
    assert kept.newer(bill(0)) == Standing(-1, {"proved": "1"}, -1)


def test_what_no_plan_depends_on_is_told_beside_the_bill() -> None:
    kept = Learned()
    assert kept.beside(bill(55)) is None
    kept.note("a:1", Standing(55, {"tier": "x"}, 60))
    kept.add("a:1", [Change("max", "heat", "40")])
    assert kept.newer(bill(55)) is None
    assert kept.beside(bill(55)) == Standing(55, {"tier": "x", "heat": "40"}, -1)
    assert kept.beside(bill(55)._replace(seen=-1)) is None
    kept.add("a:1", [Change("max", "heat", "50")])
    assert kept.beside(bill(55)._replace(seen=-1)) == Standing(55, {"tier": "x", "heat": "50"}, -2)
    kept.note("a:1", Standing(55, {"tier": "x", "heat": "70"}, 90))  # the store is back
    assert kept.beside(bill(55)._replace(seen=-2)) is None


@pytest.mark.parametrize(("version", "seen"), [(55, 0), (0, 55)])
def test_changes_alone_do_not_hide_what_else_is_remembered(version: int, seen: int) -> None:
    kept = Learned()
    kept.add("a:1", [Change("max", "heat", "40")])
    assert kept.beside(bill(version)._replace(seen=seen)) is None
    assert kept.beside(bill(0)) == Standing(0, {"heat": "40"}, -1)


def test_changes_alone_do_not_hide_a_verdict() -> None:
    # The bill was planned on a standing that is no longer remembered here: it stays the best there is.
    kept = Learned()
    kept.add("a:1", [Change("set", "proved", "1")])
    assert kept.newer(bill(55)) is None


def test_the_stores_word_ends_ours() -> None:
    kept = Learned()
    kept.add("a:1", [Change("set", "proved", "1")])
    kept.note("a:1", Standing(99, {"proved": "1"}))
    assert kept.newer(bill(99)) is None
    assert len(kept) == 1, "it is still to be carried over"


def test_what_was_taken_no_longer_applies_here() -> None:
    kept = Learned()
    kept.add("a:1", [Change("set", "proved", "1")])
    kept.take()
    assert kept.newer(bill(0)) is None
    assert not kept


def test_sums_are_not_sent_twice() -> None:
    kept = Learned()
    taken = [Change("add", "n", "1"), Change("set", "tier", "x"), Change("max", "risk", "4")]
    kept.add("a:1", [Change("add", "n", "5"), Change("max", "risk", "3")])  # learned while the taken ones were under way
    assert kept.put_back("a:1", taken) == 1
    assert waiting(kept) == {"a:1": [Change("set", "tier", "x"), Change("max", "risk", "4"), Change("add", "n", "5")]}


def test_nothing_is_put_back_where_nothing_may_be_sent_again() -> None:
    kept = Learned()
    assert kept.put_back("a:1", [Change("add", "n", "1")]) == 1
    assert not kept


def test_what_was_learned_later_wins_over_what_is_put_back() -> None:
    kept = Learned()
    kept.add("a:1", [Change("set", "tier", "new")])
    kept.put_back("a:1", [Change("set", "tier", "old")])
    assert waiting(kept) == {"a:1": [Change("set", "tier", "new")]}


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "ACCOUNTS", 2)
    monkeypatch.setattr(learned, "CHANGES", 3)
    monkeypatch.setattr(learned, "STANDINGS", 2)
    kept = Learned()
    assert kept.add("a:1", [Change("set", name, "") for name in "abcde"]) == 2
    assert kept.add("a:2", [Change("set", "a", "")]) == 0
    assert kept.add("a:3", [Change("set", "a", ""), Change("set", "b", "")]) == 2
    assert kept.add("a:1", [Change("set", "a", "x")]) == 0, "a field that waits already has room"
    for account in ("a:1", "a:2", "a:1", "a:3"):
        kept.note(account, Standing(1, {}))
    assert set(kept._seen) == {"a:1", "a:3"}
