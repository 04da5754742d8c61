"""Orders: what they make of a cluster, at once and in every rebuild."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guardrail_mw.clusters.binding import Approval
from guardrail_mw.clusters.features import FEATURES
from guardrail_mw.clusters.ordering import Judging, decided, orders_of
from guardrail_mw.clusters.splitting import Split
from guardrail_mw.clusters.state import Cluster, Given, Order, Verdict, ordered
from guardrail_mw.clusters.verdict import Judge, Worth

DAY = 86_400_000_000
JUDGING = Judging(
    Judge(0.0, 3_000, 6_000, dict.fromkeys(FEATURES, Worth(0, 0, 1, ""))), (3, 10), Approval(over=5, wait=1_000)
)


def cluster(size: int = 4, score: int = 4_000, **rest: object) -> Cluster:
    members = tuple(f"a:{number}" for number in range(size))
    return replace(Cluster("c" * 12, members, "none", score, 0, exchanges=10, lineage=("c" * 12,)), **rest)  # type: ignore[arg-type]


def order(what: str, value: str = "", at: int = 0, until: int = 0) -> Order:
    return Order(what, value, until, "why", at)


def verdict(*orders: Order, of: Cluster | None = None, now: int = 100, looked: int = 0, cold: bool = False) -> Cluster:
    return decided(of or cluster(), orders, JUDGING, now, looked=looked, cold=cold)


@pytest.mark.parametrize(
    ("orders", "said"),
    [
        ([], "suspect"),
        ([order("release")], "none"),
        ([order("reject")], "watched"),
        ([order("verdict", "confirmed")], "confirmed"),
        ([order("release"), order("verdict", "confirmed")], "confirmed"),
        ([order("verdict", "confirmed"), order("release")], "none"),
        ([order("release"), order("judge")], "suspect"),
        ([order("judge"), order("release")], "none"),
        ([order("release"), order("approve")], "none"),
    ],
)
def test_the_latest_word_counts(orders: list[Order], said: Verdict) -> None:
    assert verdict(*orders).verdict == said


def test_nobody_waits_for_what_does_not_bind() -> None:
    large = cluster(6, asked=50)
    assert verdict(order("release"), of=large).asked is None
    assert verdict(order("reject"), of=large).asked is None
    assert verdict(of=large).asked == 50


def test_an_operators_verdict_is_given_in_the_cold_and_below_the_floor() -> None:
    small = replace(cluster(2), exchanges=0)
    assert verdict(of=small).verdict == "none"
    assert verdict(order("verdict", "suspect"), of=small, cold=True).verdict == "suspect"
    assert verdict(cold=True).verdict == "watched"


def test_an_operators_verdict_waits_from_when_it_was_given() -> None:
    """A thousand µs, over five members; what was given before the last rebuild waits from when that saw it."""
    six = cluster(6, score=0)
    confirmed = order("verdict", "confirmed", at=70)
    assert verdict(confirmed, of=six, now=100, looked=50).asked == 70
    assert verdict(confirmed, of=six, now=1_069, looked=50).asked == 70
    assert verdict(confirmed, of=six, now=1_070, looked=50) == replace(six, verdict="confirmed", approved=6)
    assert verdict(confirmed, of=six, now=2_000, looked=80).asked == 2_000
    assert verdict(confirmed, order("approve", at=71), of=six, now=100, looked=50) == replace(
        six, verdict="confirmed", approved=6
    )
    assert verdict(confirmed, order("approve", at=60), of=six, now=100, looked=50).asked == 70, "it was for another one"
    assert verdict(confirmed, of=cluster(5), now=100, looked=50).asked is None


def test_suspicion_begins_anew_after_an_order() -> None:
    """A day of it would be enough to be confirmed."""
    assert verdict(of=cluster(suspect=7), now=7 + DAY).verdict == "confirmed"
    assert verdict(order("release"), of=cluster(suspect=7), now=7 + DAY).suspect is None
    assert verdict(order("release"), order("judge"), now=7 + DAY).verdict == "suspect"


def test_orders_are_inherited() -> None:
    given = Given({"c" * 12: (order("approve", at=3),), "p" * 12: (order("release", at=1, until=50), order("judge", at=5))})
    child = cluster(lineage=("c" * 12, "p" * 12))
    assert [each.at for each in orders_of(given, child, (), 49)] == [1, 3, 5]
    assert [each.at for each in orders_of(given, child, (), 50)] == [3, 5]
    assert [each.at for each in orders_of(given, cluster(), (), 49)] == [3]
    assert ordered(orders_of(given, child, (), 49)) is None


def test_what_was_ordered_before_a_split_is_not() -> None:
    given = Given(
        {"c" * 12: (order("verdict", "suspect", at=2),), "p" * 12: (order("release", at=1), order("reject", at=9))}
    )
    child = cluster(lineage=("c" * 12, "p" * 12))
    parted = Split("1" * 12, "p" * 12, child.members, ("a:9",), 0, "", 4)
    assert [each.at for each in orders_of(given, child, (parted,), 49)] == [9]
    other = replace(parted, side=("a:9",), rest=child.members)
    assert [each.at for each in orders_of(given, child, (other,), 49)] == [1, 2, 9]


ID, BASIC = "403d1bd8e895", "9954c04dc112"


def test_an_organisation_that_was_verified_has_a_budget_and_no_verdict() -> None:
    found = verdict(order("vouch", f"1 {ID} case-1"), of=cluster(worth=500))
    assert (found.verdict, found.vouched, found.allowance) == ("none", (ID,), 500)


def test_each_case_is_taken_back_by_itself() -> None:
    """Two of one level, as a merged cluster has them, and one of another."""
    given = [order("vouch", f"1 {ID} one"), order("vouch", f"1 {ID} two"), order("vouch", f"1 {BASIC} three")]
    known = cluster(worth=500)
    assert verdict(*given, of=known).vouched == (ID, BASIC)
    assert verdict(*given, order("vouch", f"0 {ID} one"), of=known).vouched == (ID, BASIC)
    back = [order("vouch", f"0 {ID} one"), order("vouch", f"0 {ID} two")]
    assert verdict(*given, *back, of=known).vouched == (BASIC,)
    last = verdict(*given, *back, order("vouch", f"0 {BASIC} three"), of=known)
    assert (last.vouched, last.verdict) == ((), "suspect")
    assert verdict(*given, *back, order("vouch", f"1 {ID} one"), of=known).vouched == (ID, BASIC)


@pytest.mark.parametrize("value", ["1", "0", "", "1 "])
def test_an_order_that_names_no_level_verifies_nothing(value: str) -> None:
    assert verdict(order("vouch", value), of=cluster(worth=500)).vouched == ()


def test_without_a_budget_that_binds_the_verdict_holds() -> None:
    """No tokens were ever counted: then nothing would bind an organisation that was verified, until somebody says what."""
    vouch = order("vouch", f"1 {ID} case-1")
    found = verdict(vouch)
    assert (found.verdict, found.vouched, found.allowance) == ("suspect", (ID,), 0)
    given = verdict(vouch, order("budget", "700"))
    assert (given.verdict, given.allowance) == ("none", 700)
    assert verdict(vouch, order("budget", "700"), order("budget")).verdict == "suspect"
