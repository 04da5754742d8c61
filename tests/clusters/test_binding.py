"""When a verdict acts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guardrail_mw.clusters.binding import FREE, Approval, acts, bind, counted, kept_apart, standing
from guardrail_mw.clusters.state import Cluster, Order, Verdict

NOW = 10**15
MINUTE = 60_000_000
APPROVAL = Approval(over=1_000, wait=30 * MINUTE)


def cluster(size: int, verdict: Verdict = "suspect", approved: int = 0, asked: int | None = None) -> Cluster:
    members = tuple(f"a:{number:06}" for number in range(size))
    return Cluster("c" * 12, members, verdict, 0, 0, approved=approved, asked=asked, families=("client", "payment"))


def order(what: str, at: int) -> Order:
    return Order(what, "", 0, "because", at)


def bound(was: Cluster, *orders: Order, now: int = NOW) -> tuple[int, int | None]:
    """Whom it is approved for, and since when it waits."""
    found = bind(was, orders, APPROVAL, now)
    assert acts(found) is (found.asked is None and found.verdict in {"suspect", "confirmed"})
    assert replace(found, approved=was.approved, asked=was.asked) == was
    return found.approved, found.asked


def test_as_shipped() -> None:
    assert Approval() == APPROVAL


@pytest.mark.parametrize("verdict", ["suspect", "confirmed"])
def test_over_a_thousand_waits(verdict: Verdict) -> None:
    assert bound(cluster(1_000, verdict)) == (0, None)
    assert bound(cluster(1_001, verdict)) == (0, NOW)


@pytest.mark.parametrize("verdict", ["none", "watched"])
def test_what_binds_nobody_does_not_wait(verdict: Verdict) -> None:
    assert bound(cluster(5_000, verdict)) == (0, None)
    assert bound(cluster(5_000, verdict, asked=NOW - 1)) == (0, None)
    assert not acts(cluster(5, verdict))


def test_it_waits_half_an_hour_and_then_acts() -> None:
    asked = NOW - 30 * MINUTE
    assert bound(cluster(1_001, asked=asked + 1)) == (0, asked + 1)
    assert bound(cluster(1_001, asked=asked)) == (1_001, None)


def test_growth_since_the_last_approval_counts() -> None:
    """Little by little too: what came without asking is not approved."""
    assert bound(cluster(6_000, approved=5_000)) == (5_000, None)
    assert bound(cluster(6_001, approved=5_000)) == (5_000, NOW)
    assert bound(cluster(999)) == (0, None)
    assert bound(cluster(6_001, approved=5_000, asked=NOW - 30 * MINUTE)) == (6_001, None)


def test_an_operator_approves() -> None:
    assert bound(cluster(4_000, asked=NOW - 5), order("approve", NOW - 4)) == (4_000, None)
    assert bound(cluster(4_000, asked=NOW - 5), order("approve", NOW - 5)) == (4_000, None)


def test_an_approval_is_of_what_was_asked() -> None:
    """Not of what comes later."""
    assert bound(cluster(9_000, approved=4_000), order("approve", NOW - 4)) == (4_000, NOW)
    assert bound(cluster(9_000, approved=4_000, asked=NOW - 3), order("approve", NOW - 4)) == (4_000, NOW - 3)


def test_other_orders_approve_nothing() -> None:
    assert bound(cluster(4_000, asked=NOW - 5), order("verdict", NOW), order("reject", NOW)) == (0, NOW - 5)


def test_the_standing_of_a_member() -> None:
    fields = {"cluster": "c" * 12, "verdict": "suspect", "brake": "", "families": "client,payment"}
    fields |= {"budget": "", "counters": ""}
    assert standing(cluster(5)) == fields
    assert standing(cluster(5, "none")) == fields | {"verdict": "none"}
    assert standing(replace(cluster(5), families=())) == fields | {"families": ""}


def test_the_standing_of_a_member_of_one_that_waits() -> None:
    """It trims whoever is new; a campaign lifts no verdict by growing."""
    waiting = cluster(2_000, "confirmed", asked=NOW)
    fields = {"cluster": "c" * 12, "families": "client,payment", "budget": "", "counters": ""}
    for was in ("none", "watched", ""):
        assert standing(waiting, was) == fields | {"verdict": "watched", "brake": "confirmed"}
    for was in ("suspect", "confirmed"):
        assert standing(waiting, was) == fields | {"verdict": "confirmed", "brake": ""}
    assert standing(cluster(2_000, "watched", asked=NOW)) == fields | {"verdict": "watched", "brake": ""}


def test_the_standing_of_a_member_of_a_material_one() -> None:
    """What was worked out, or an operator's figure in its place; none where no tokens were counted."""
    material = replace(cluster(5), material=NOW, budget=700)
    assert standing(material)["budget"] == "700"
    assert standing(replace(material, granted=9))["budget"] == "9"
    assert standing(replace(material, budget=0))["budget"] == ""
    assert standing(replace(material, material=None, granted=9))["budget"] == ""
    assert (FREE["budget"], FREE["counters"]) == ("", "")


def test_a_part_is_charged_where_its_whole_is_until_that_ends() -> None:
    part = replace(cluster(5), material=NOW, budget=700, counters="d" * 12, until=NOW, shared=9)
    fields = standing(part)
    assert fields["counters"] == f"{'d' * 12} {NOW} 9"
    assert counted(fields, NOW - 1)[:2] == (f"c:{'d' * 12}", 9)
    assert counted(fields, NOW)[:2] == (f"c:{'c' * 12}", 700)
    assert counted(standing(replace(part, counters="")), 0)[:2] == (f"c:{'c' * 12}", 700)


@pytest.mark.parametrize(
    "text", ["", "x", "x 1", "x 99 y", "x y 9", " 99 9", "x 99 9 9", "x -99 9", "x " + "9" * 5_000 + " 9"]
)
def test_what_cannot_be_read_is_left_aside(text: str) -> None:
    fields = {"cluster": "c" * 12, "verdict": "none", "budget": "many", "counters": text}
    assert counted(fields, 5)[:2] == (f"c:{'c' * 12}", 0)
    assert counted({"counters": text, "budget": "7"}, 5)[:2] == ("", 7)
    assert counted({}, 5)[:2] == ("", 0)


@pytest.mark.parametrize(
    ("field", "apart"),
    [
        ("0", True),
        (str(NOW + 1), True),
        (str(NOW), False),
        ("", False),
        ("soon", False),
        ("1 2", False),
        ("9" * 5_000, False),
    ],
)
def test_what_keeps_apart(field: str, apart: bool) -> None:
    assert kept_apart({"apart": field}, NOW) is apart
    assert kept_apart({}, NOW) is False
