"""The whole, from edges to verdicts, and from one rebuild to the next."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from guardrail_mw.clusters.binding import Approval
from guardrail_mw.clusters.features import FEATURES, Activities
from guardrail_mw.clusters.rebuild import HOUR, MARKED, Rebuilt, Rules, rebuild
from guardrail_mw.clusters.state import Cluster, Given, Order, State, Verdict
from guardrail_mw.clusters.verdict import Judge

from . import worlds
from .kit import TABLE, Crowd, idle, key

NOW = 2_800
"""Hours: more than a month after the campaigns began, at 2,000."""
SHIPPED = Judge.shipped()
MILD = replace(SHIPPED, suspect=10**9, confirmed=10**9)
SURE = replace(SHIPPED, suspect=-(10**9), confirmed=10**9)
HARSH = replace(SHIPPED, suspect=-(10**9), confirmed=-(10**9))
"""Judges to whom nobody is suspect, everybody is, and everybody is confirmed."""
R = "d" * 12


def values(number: int) -> list[int]:
    return [key("payment", number), key("device", number), key("system", number)]


def campaign(*sizes: int, strangers: int = 2_000) -> Crowd:
    """Clusters of so many; the first's names begin with a."""
    crowd = Crowd(strangers)
    for number, many in enumerate(sizes):
        crowd.group("abc"[number], many, 2_000, values(number))
    return crowd


def busy(accounts: int, requests: int = 100) -> Activities:
    return replace(idle(accounts), requests=np.full(accounts, requests), days=np.ones(accounts, np.int64))


def run(crowd: Crowd, before: State | None = None, *, now: float = NOW, orders: Any = None, **rules: Any) -> Rebuilt:
    known = {"epoch": 0, "judge": MILD, **rules}
    given = Given({name: tuple(each) for name, each in (orders or {}).items()})
    return rebuild(crowd.held(), busy(len(crowd.since)), before or State(), given, Rules(TABLE, **known), round(now * HOUR))


def clusters(found: Rebuilt) -> dict[str, Cluster]:
    """By the first letter of its first member."""
    return {each.members[0][2]: each for each in found.state.clusters}


def verdicts(found: Rebuilt) -> dict[str, Verdict]:
    return {letter: each.verdict for letter, each in clusters(found).items()}


def order(what: str, value: str = "", at: float = 0, until: float = 0) -> Order:
    return Order(what, value, round(until * HOUR), "because", round(at * HOUR))


def known(name: str, members: list[str], **more: Any) -> Cluster:
    """As an earlier rebuild left it."""
    return Cluster(
        name, tuple(sorted(members)), **{"verdict": "watched", "score": 0, "begun": 7, "lineage": (name,), **more}
    )


def names(crowd: Crowd, letter: str) -> list[str]:
    return sorted(each for each in crowd.since if each[2] == letter)


# One rebuild


def test_what_is_known_of_a_cluster() -> None:
    crowd = campaign(30)
    crowd.add("a:adopted", 2_100, [key("device", 0), key("system", 0), key("network_wide", 0)])
    found = clusters(run(crowd))["a"]
    assert found.members == ("a:a0000", *[f"a:a{number:04}" for number in range(1, 30)], "a:adopted")
    assert (found.verdict, found.begun, found.suspect, found.asked, found.approved) == ("watched", NOW * HOUR, None, None, 0)
    assert (found.tied, found.exchanges) == (31, 3_100)
    assert (found.ancestors, found.lineage, found.families) == ((), (found.id,), ("client", "device", "payment"))
    assert tuple(found.figures) == FEATURES
    assert found.figures["size"] == 3.434
    assert found.score == pytest.approx(
        int(MILD.score(np.array([[*found.figures.values()]]))[0]), abs=5
    )  # figures are rounded


def test_the_state_tells_when() -> None:
    state = run(campaign(30)).state
    assert (state.rebuilt, state.first) == (NOW * HOUR, 2_000 * HOUR)
    assert State.unpack(state.pack()) == state


@pytest.mark.parametrize(("many", "kept"), [(6, True), (5, False)])
def test_a_cluster_of_too_few_is_not_kept(many: int, kept: bool) -> None:
    found = run(campaign(many), least=6)
    assert bool(found.state.clusters) is kept
    assert len(found.names) == 1
    assert bool(found.names[0]) is kept


@pytest.mark.parametrize("crowd", [Crowd(), Crowd(5)])
def test_nobody_is_in_a_cluster_where_there_is_none(crowd: Crowd) -> None:
    found = run(crowd)
    assert (found.state, found.marks, found.names) == (State(NOW * HOUR, 0), {}, ())


@pytest.mark.parametrize(("judge", "verdict"), [(MILD, "watched"), (SURE, "suspect"), (HARSH, "confirmed")])
def test_verdicts(judge: Judge, verdict: Verdict) -> None:
    crowd = campaign(20, 19, strangers=3_000)
    assert verdicts(run(crowd, judge=judge)) == {"a": verdict, "b": "none"}


def test_exchanges_have_a_floor() -> None:
    crowd = campaign(20)
    rules = Rules(TABLE, epoch=0, judge=MILD)
    for requests, verdict in ((15, "watched"), (14, "none")):
        found = rebuild(crowd.held(), busy(len(crowd.since), requests), State(), Given(), rules, NOW * HOUR)
        assert verdicts(found) == {"a": verdict}


def test_families_are_those_that_half_of_the_members_show() -> None:
    crowd = campaign(30)
    for each in names(crowd, "a")[:15]:
        crowd.shown[each] |= {key("network_wide", 5): 2_000}
    for each in names(crowd, "a")[:14]:
        crowd.shown[each] |= {key("shingle", 5): 2_000}
    assert clusters(run(crowd))["a"].families == ("client", "device", "network", "payment")


def test_a_few_who_show_much_are_not_half() -> None:
    crowd = campaign(30)
    for each in names(crowd, "a")[:5]:
        crowd.shown[each] |= {key("domain", number): 2_000 for number in range(5)}
    assert clusters(run(crowd))["a"].families == ("client", "device", "payment")


# Marks


def test_marks_say_what_values_speak_for() -> None:
    """ln(1 / (0.5 / 1,991)) = 8.28953: held by all 40 and nobody else of 2,030; and by 10 of them and 7 others 2.9..."""
    crowd = campaign(40, strangers=1_990)
    for each in [*names(crowd, "a")[:10], *[f"a:~{number:05}" for number in range(7)]]:
        crowd.shown[each][key("agent", 5)] = 2_000
    found = run(crowd)
    (cluster,) = found.state.clusters
    marks = {key("payment", 0): 8_289, key("device", 0): 8_289, key("system", 0): 8_289, key("agent", 5): 4_195}
    assert found.marks == {value: ((cluster.id, weight),) for value, weight in marks.items()}


def test_marks_come_with_how_many_established_accounts_hold_a_value() -> None:
    """Members came at hour 2,000, strangers before: at hour 2,800 all are 720 hours old; of 801 hours strangers alone."""
    crowd = campaign(40, strangers=1_990)
    for each in [*names(crowd, "a")[:10], *[f"a:~{number:05}" for number in range(7)]]:
        crowd.shown[each][key("agent", 5)] = 2_000
    own = dict.fromkeys([key("payment", 0), key("device", 0), key("system", 0)], 40)
    assert run(crowd).established == {**own, key("agent", 5): 17}
    assert run(crowd, established=NOW - 1_999).established == {key("agent", 5): 7}


def test_marks_name_the_three_that_a_value_says_most_for() -> None:
    """All of 50, and halves and fewer of others: the share decides."""
    crowd = Crowd(3_000)
    for number, share in enumerate((1.0, 0.2, 0.6, 0.4)):
        for each in crowd.group(f"m{number}", 50, 2_000, values(number))[: int(50 * share)]:
            crowd.shown[each][key("tls", 9)] = 2_000
    found = run(crowd)
    by_id = {each.id: each.members[0][3] for each in found.state.clusters}
    mine = found.marks[key("tls", 9)]
    assert len(mine) == MARKED == 3
    assert [by_id[cluster] for cluster, _ in mine] == ["0", "2", "3"]
    assert [weight for _, weight in mine] == sorted((weight for _, weight in mine), reverse=True)


@pytest.mark.parametrize(("many", "marked"), [(20, True), (19, False)])
def test_only_clusters_above_the_floor_mark_values(many: int, marked: bool) -> None:
    assert bool(run(campaign(many)).marks) is marked


# Cold


@pytest.mark.parametrize(("after", "verdict"), [(719, "watched"), (720, "confirmed")])
def test_until_a_month_of_evidence_is_there_nobody_is_worse_than_watched(after: int, verdict: Verdict) -> None:
    assert verdicts(run(campaign(30), now=2_000 + after, judge=HARSH)) == {"a": verdict}


def test_an_operator_may_say_so_before() -> None:
    crowd = campaign(30)
    first = run(crowd, now=2_100, judge=HARSH)
    mine = clusters(first)["a"].id
    found = run(crowd, first.state, now=2_101, judge=HARSH, orders={mine: [order("verdict", "suspect", 2_100)]})
    assert verdicts(found) == {"a": "suspect"}


def test_evidence_is_as_old_as_the_oldest_there_ever_was() -> None:
    crowd = campaign(30)
    assert run(crowd, State(1, 1_000 * HOUR)).state.first == 1_000 * HOUR
    assert run(crowd, State(1, 2_100 * HOUR)).state.first == 2_000 * HOUR
    assert run(Crowd(3), State(1, 1_000 * HOUR)).state.first == 1_000 * HOUR


# From one to the next


def test_ids_and_beginnings_stay() -> None:
    crowd = campaign(30, 25)
    first = run(crowd)
    second = run(crowd, first.state, now=NOW + 1)
    assert second.state.ids() == first.state.ids()
    assert {each.begun for each in second.state.clusters} == {NOW * HOUR}
    assert all(each.ancestors == each.lineage == (each.id,) for each in second.state.clusters)


def test_evidence_that_is_taken_away_takes_the_cluster_with_it() -> None:
    crowd = campaign(30)
    first = run(crowd)
    for each in names(crowd, "a"):
        del crowd.shown[each][key("payment", 0)], crowd.shown[each][key("device", 0)]
    assert run(crowd, first.state).state.clusters == ()


def test_a_day_of_suspicion_confirms() -> None:
    crowd = campaign(30)
    state = State()
    found = {}
    for hour in (0, 12, 23.9, 24, 25):
        done = run(crowd, state, now=NOW + hour, judge=SURE)
        state = done.state
        found[hour] = verdicts(done)["a"]
    assert found == {0: "suspect", 12: "suspect", 23.9: "suspect", 24: "confirmed", 25: "confirmed"}
    after = run(crowd, run(crowd, state, now=NOW + 26, judge=MILD).state, now=NOW + 27, judge=SURE)
    assert verdicts(after) == {"a": "suspect"}


@pytest.mark.parametrize(
    ("orders", "verdict"),
    [
        ([order("release", at=1)], "none"),
        ([order("reject", at=1)], "watched"),
        ([order("verdict", "suspect", at=1)], "suspect"),
        ([order("release", at=1), order("verdict", "suspect", at=2)], "suspect"),
        ([order("verdict", "suspect", at=2), order("release", at=1)], "suspect"),
        ([order("verdict", "suspect", at=1), order("approve", at=2)], "suspect"),
        ([order("release", at=1, until=NOW + 1)], "none"),
        ([order("release", at=1, until=NOW)], "confirmed"),
        ([order("approve", at=1)], "confirmed"),
    ],
)
def test_what_an_operator_says_holds_until_its_time(orders: list[Order], verdict: Verdict) -> None:
    crowd = campaign(30)
    before = State(1, 1, (known(R, names(crowd, "a")),))
    found = run(crowd, before, judge=HARSH, orders={R: orders})
    assert verdicts(found) == {"a": verdict}


def test_what_was_said_of_one_holds_for_its_parts_for_good() -> None:
    """It falls apart; the part with a new id is released as well, at every look."""
    crowd = campaign(30, 25)
    state = State(1, 1, (known(R, [*names(crowd, "a"), *names(crowd, "b")]),))
    for look in range(4):
        done = run(crowd, state, now=NOW + look, judge=HARSH, orders={R: [order("release")]})
        state = done.state
        assert verdicts(done) == {"a": "none", "b": "none"}
        assert clusters(done)["a"].id == R
        assert clusters(done)["b"].lineage == (clusters(done)["b"].id, R)


def test_what_was_said_of_one_does_not_hold_for_a_larger_one_that_takes_it_in() -> None:
    """A released group of ten becomes part of a campaign of 30."""
    crowd = campaign(40)
    every = names(crowd, "a")
    before = State(1, 1, (known(R, every[:10]), known("e" * 12, every[10:])))
    found = run(crowd, before, judge=HARSH, orders={R: [order("release")]})
    assert verdicts(found) == {"a": "confirmed"}
    assert clusters(found)["a"].ancestors == ("e" * 12, R)


def test_one_former_member_of_a_released_cluster_frees_no_campaign() -> None:
    crowd = campaign(300, 30)
    before = State(1, 1, (known(R, [names(crowd, "a")[0], *names(crowd, "b")]),))
    found = run(crowd, before, judge=HARSH, orders={R: [order("release")]})
    assert verdicts(found) == {"a": "confirmed", "b": "none"}


def test_nor_does_one_of_a_released_cluster_that_is_no_more() -> None:
    crowd = campaign(300, 299)
    every = [*names(crowd, "a"), *names(crowd, "b")[1:]]
    before = State(
        1, 1, (known(R, [names(crowd, "b")[0], *[f"a:x{number}" for number in range(40)]]), known("e" * 12, every))
    )
    found = run(crowd, before, judge=HARSH, orders={R: [order("release")]})
    assert verdicts(found) == {"a": "confirmed", "b": "confirmed"}


def test_nor_do_all_of_a_few_who_were_released_though_it_has_their_id() -> None:
    """Its id goes on, for whatever was counted; what was said of twenty does not hold for 300, at no later look either."""
    crowd = campaign(300)
    before = State(1, 1, (known(R, names(crowd, "a")[:20]),))
    said = {R: [order("release")]}
    first = run(crowd, before, judge=HARSH, orders=said)
    (found,) = first.state.clusters
    assert (found.id, found.verdict, found.heir) == (R, "confirmed", NOW * HOUR)
    second = run(crowd, first.state, now=NOW + 1, judge=HARSH, orders=said)
    assert [(each.id, each.verdict, each.heir) for each in second.state.clusters] == [(R, "confirmed", NOW * HOUR)]
    again = {R: [*said[R], order("release", at=NOW + 1)]}
    third = run(crowd, second.state, now=NOW + 2, judge=HARSH, orders=again)
    assert [each.verdict for each in third.state.clusters] == ["none"]


# Brakes


def test_a_verdict_over_many_waits_and_then_acts() -> None:
    crowd = campaign(31)
    rules: dict[str, Any] = {"judge": HARSH, "approval": Approval(over=30, wait=HOUR)}
    first = run(crowd, **rules)
    assert clusters(first)["a"].asked == NOW * HOUR
    second = run(crowd, first.state, now=NOW + 0.9, **rules)
    assert clusters(second)["a"].asked == NOW * HOUR
    third = run(crowd, second.state, now=NOW + 1, **rules)
    assert (clusters(third)["a"].asked, clusters(third)["a"].approved) == (None, 31)
    approved = run(
        crowd, first.state, now=NOW + 0.2, orders={clusters(first)["a"].id: [order("approve", at=NOW + 0.1)]}, **rules
    )
    assert (clusters(approved)["a"].asked, clusters(approved)["a"].approved) == (None, 31)
    rejected = run(
        crowd, first.state, now=NOW + 9, orders={clusters(first)["a"].id: [order("reject", at=NOW + 0.1)]}, **rules
    )
    assert (clusters(rejected)["a"].verdict, clusters(rejected)["a"].approved) == ("watched", 0)


def test_approval_is_of_who_came_along() -> None:
    """31 of an approved 40, and one of an approved thousand."""
    crowd = campaign(60)
    every = names(crowd, "a")
    gone = [f"a:x{number}" for number in range(999)]
    old = (known(R, [*every[:31], *gone[:9]], approved=40), known("e" * 12, [every[31], *gone], approved=1_000))
    found = run(crowd, State(1, 1, old), judge=HARSH, approval=Approval(over=27))
    assert (clusters(found)["a"].approved, clusters(found)["a"].asked) == (32, NOW * HOUR)
    assert clusters(run(crowd, State(1, 1, old), judge=HARSH, approval=Approval(over=28)))["a"].asked is None


def test_parts_share_what_was_approved() -> None:
    crowd = campaign(30, 25)
    before = State(1, 1, (known(R, [*names(crowd, "a"), *names(crowd, "b")], approved=55),))
    assert {letter: each.approved for letter, each in clusters(run(crowd, before, judge=HARSH)).items()} == {
        "a": 30,
        "b": 25,
    }


# Whatever order things come in


@pytest.mark.parametrize("seed", [1, 2])
def test_it_matters_not_in_which_order_things_come(seed: int) -> None:
    made = worlds.make(seed, 1_500, worlds.Campaign("camp", 200, crossed=True))
    order = list(range(made.crowd.edges))
    random.Random(seed).shuffle(order)
    rules = Rules(TABLE, epoch=0)
    now = worlds.NOW * HOUR
    one, other = [
        rebuild(made.crowd.held(each), busy(len(made.crowd.since)), State(), Given(), rules, now) for each in (None, order)
    ]
    assert one.state == other.state
    assert one.marks == other.marks
    assert set(clusters(one))
    again = rebuild(made.crowd.held(), busy(len(made.crowd.since)), one.state, Given(), rules, now + HOUR)
    assert again.state.ids() == one.state.ids()
