"""What is owed to counters of attempts and refusals that the store was not told of."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.engine import missed
from guardrail_mw.engine.missed import Missed
from guardrail_mw.stores.base import Bill, Count, Distinct, Entry, Gcra, Kept

from ..telemetry.kit import Counts  # noqa: TID252 - an observer that counts

BUCKET = Gcra("b", 1, 1, 1, 1)
ATTEMPTS, DENIED, ADMITTED = Count("x", "attempts", 60), Count("y", "denied", 60), Count("z", "admitted", 60)
SEEN = Distinct("d", "0" * 16, 60)


def bill(**homes: Any) -> Bill:
    """Steps by home."""
    entries = [Entry(home, steps, f"parent of {home}") for home, steps in homes.items()]
    return Bill("id", tuple(entries), "payer", "candidate", 7, notes=Kept())


def carried(found: Bill) -> dict[str, Any]:
    """What its entries hold, by home."""
    return {entry.home: (entry.parent, entry.steps) for entry in found.entries}


def test_what_is_owed_is_carried_once() -> None:
    """Attempts go on counting this one; what counts refusals counts what it is owed, though the bill may be admitted."""
    owed = Missed(Counts())
    given = bill(a=(BUCKET, ATTEMPTS, DENIED, ADMITTED), n=(SEEN, ATTEMPTS._replace(cost=3)))
    assert len(owed) == 0
    assert owed.take(given) == (given, {})
    assert owed.take(given)[0] is given
    owed.note(given)
    owed.note(given)
    assert len(owed) == 3
    taking = bill(a=(BUCKET, ATTEMPTS, DENIED, ADMITTED), n=(SEEN, ATTEMPTS._replace(cost=3)), o=(ATTEMPTS,))
    found, taken = owed.take(taking)
    assert taken == {("a", "x"): 2, ("a", "y"): 2, ("n", "x"): 6}
    assert carried(found) == {
        "a": ("parent of a", (BUCKET, ATTEMPTS._replace(cost=3), DENIED._replace(what="attempts", cost=2), ADMITTED)),
        "n": ("parent of n", (SEEN, ATTEMPTS._replace(cost=9))),
        "o": ("parent of o", (ATTEMPTS,)),
    }
    assert found.entries[2] is taking.entries[2]
    assert found._replace(entries=taking.entries, notes=taking.notes) == taking
    assert found.notes is None
    assert (len(owed), owed.take(taking)) == (0, (taking, {}))


def test_what_the_store_did_not_take_is_owed_still() -> None:
    owed = Missed(Counts())
    given = bill(a=(ATTEMPTS, DENIED))
    owed.note(given)
    _, taken = owed.take(given)
    owed.note(given)
    owed.put_back(taken)
    assert owed.take(given)[1] == {("a", "x"): 2, ("a", "y"): 2}


def test_a_refusal_by_the_store_is_owed_to_counters_that_were_lent() -> None:
    """They counted attempts for once, and so not their own refusal; those that owed nothing have counted it."""
    owed = Missed(Counts())
    given = bill(a=(BUCKET, ATTEMPTS, DENIED._replace(cost=4), ADMITTED), n=(DENIED,))
    owed.refused(given, {("a", "x"): 9, ("a", "y"): 9, ("a", "z"): 9})
    assert owed.take(given)[1] == {("a", "y"): 4}


def test_what_is_beyond_the_most_is_lost_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missed.MOST == 10_000
    monkeypatch.setattr(missed, "MOST", 2)
    counts = Counts()
    owed = Missed(counts)
    for home in "abca":
        owed.note(bill(**{home: (ATTEMPTS._replace(cost=5),)}))
    assert (len(owed), counts) == (2, {"engine.attempts_lost": 5})
    assert owed.take(bill(a=(ATTEMPTS,), c=(ATTEMPTS,)))[1] == {("a", "x"): 10}
