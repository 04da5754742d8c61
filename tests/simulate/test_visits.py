"""What callers do when they are asked for something, through the real engine, in a town of two hundred."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from guardrail_mw.simulate import checkpoints
from guardrail_mw.simulate.clock import WorldClock
from guardrail_mw.simulate.codes import ASKED, CHALLENGED, DELAYED
from guardrail_mw.simulate.experiment import Experiment, Plan
from guardrail_mw.simulate.guarding import guard, policy_of, secrets_of
from guardrail_mw.simulate.page import page
from guardrail_mw.simulate.report import tell
from guardrail_mw.simulate.run import Pace, Run
from guardrail_mw.simulate.wire import WiredCallers
from guardrail_mw.simulate.world.arrays import DAY, HOUR, MINUTE
from guardrail_mw.simulate.world.scenario import Scenario
from guardrail_mw.simulate.world.world import World

# A judge who has seen enough after two days, and takes who is older for established.
POLICY = """
version: 1
extends: guardrail:campaign
clusters:
  lookback: 30d
  established: 2d
  floor: {accounts: 5, exchanges: 10}
  verdict: {suspect: 0, confirmed: 3}
"""


def campaign(name: str, **papers: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"operator": name, "goal": 1200, "accounts": 40, "scales": False, "days": 2, "start": 2}
    found["traits"] = {"ages": {"before": [0, 0.2]}}
    return {**found, "papers": papers} if papers else found


def plan(path: Path, whose: str, *campaigns: dict[str, Any]) -> Plan:
    policy = path / "policy.yaml"
    policy.write_text(POLICY)
    town = {"name": "town", "days": 4, "ordinary_days": 2, "accounts": 300, "volume": 0.1, "verification": {"whose": whose}}
    return Plan(Scenario.model_validate({**town, "campaigns": campaigns}), 2, str(policy), pace=Pace(windows=()))


def by_name(figures: dict[str, Any]) -> dict[str, Any]:
    both = zip(figures["verification"]["operators"], figures["operators"], strict=True)
    return {each["operator"]: {**other, **each} for each, other in both}


def test_what_the_guard_asks_for() -> None:
    found = {}
    for whose, each_day in (("account", None), ("organisation", 60)):
        asks = {"whose": whose, "each_day": each_day}
        world = World(Scenario.model_validate({"days": 2, "ordinary_days": 1, "accounts": 5, "verification": asks}), 1)
        policy = found[whose] = policy_of("guardrail:campaign", world, "links")
        challenge, verify = policy.friction.ladder
        settings: Any = verify.with_
        assert (challenge.do, verify.do, settings.own["whose"]) == ("challenge", "verify", whose)
        assert guard(policy, WorldClock(world.start), 1).engine.mode == "enforce"
        assert guard(policy, WorldClock(world.start), 1, clusters=False, twin=True).engine.mode == "shadow"
    names = [{limit.name: str(limit.window) for limit in policy.limits} for policy in found.values()]
    assert names[0]["suspects"] == names[1]["suspects"]
    assert (names[0]["verified"], names[1]["verified"]) == ("50/day", "60/day")


class Noted:
    """The code of every call."""

    def __init__(self) -> None:
        self.codes: list[int] = []

    def calls(self, batch: Any, seen: Any) -> None:
        """A stretch of traffic."""
        self.codes += seen.codes.tolist()

    def rebuilt(self, at: int, clusters: Any) -> None:
        """Nothing."""


def test_the_long_way_asks_for_the_same(tmp_path: Path) -> None:
    """Through ASGI a call is refused with the same words, where nobody does anything about it."""
    made = plan(tmp_path, "account", campaign("cannot"))
    found = []
    for kind in (None, WiredCallers):
        book, world = Noted(), World(made.scenario, made.seed)
        run = Run(world, book, policy=made.policy, pace=made.pace, exact=True)
        if kind is not None:
            rows, run.callers = run.callers.rows, kind(run.guardrail, world, run.clock)
            run.callers.rows = rows
        run.go(world.end)
        asyncio.run(run.guardrail.close())
        found.append(book.codes)
    short, long = found
    assert short == long
    assert {ASKED, CHALLENGED} <= set(short)


def test_who_cannot_be_verified_stops_at_once_and_who_can_pays(tmp_path: Path) -> None:
    made = plan(
        tmp_path,
        "account",
        campaign("cannot"),
        campaign("mules", people=2),
        campaign("moving", people=2, moves=True),
        campaign("greedy", people=1, each=5),
    )
    figures = Experiment(made).go()
    found = by_name(figures)
    assert found["cannot"]["asked"] == 40
    assert found["cannot"]["served_after_asked"] < 40  # of 1,200: who is two days old is established here, and may fall out
    assert found["cannot"]["dollars"] == 0
    assert found["mules"]["verified"] == 6  # three accounts a document
    assert found["mules"]["outcomes"] == {"approved": 6}
    assert found["mules"]["dollars"] == 200
    greedy = found["greedy"]["outcomes"]  # the guard counts, whatever the operator thinks
    assert (greedy["approved"], greedy["duplicate"]) == (3, 10)  # two more accounts, which may try five times each
    assert greedy["many"] > 0
    assert found["greedy"]["verified"] == 3
    assert found["cannot"]["leak"] < found["mules"]["leak"] < found["moving"]["leak"]
    assert found["moving"]["leak"] > 0.8
    assert figures["verification"]["people"]["all"]["visits"] == 0
    text = "\n".join(tell([figures]))
    assert "Verified: account" in text
    assert "beyond a twin run with everything in shadow" in text
    assert "mules: 6 verifications begun; 6 approved" in text
    assert "<h2>Verification</h2>" in page([figures])


def test_a_company_vouches_for_its_cluster_up_to_a_budget(tmp_path: Path) -> None:
    made = plan(tmp_path, "organisation", campaign("cannot"), campaign("shell", companies=1))
    found = by_name(Experiment(made).go())
    assert found["shell"]["used"] == {"document": 0, "company": 1, "solve": 0}
    assert found["shell"]["outcomes"] == {"approved": 1}
    assert found["shell"]["dollars"] == 165
    assert found["cannot"]["leak"] < found["shell"]["leak"] < 1
    assert found["shell"]["calls"]["limited"] > 0  # its budget binds


def test_a_farm_solves_and_is_served_no_more_than_a_suspect_is(tmp_path: Path) -> None:
    policy = POLICY.replace("confirmed: 3", "confirmed: 60")  # suspect for a day, then confirmed
    made = plan(tmp_path, "account", campaign("farm", solves=True), campaign("cannot"))
    (tmp_path / "policy.yaml").write_text(policy)
    found = by_name(Experiment(made).go())
    farm = found["farm"]
    assert farm["used"]["solve"] > 0
    assert farm["dollars"] == pytest.approx(farm["used"]["solve"] * 0.00299, abs=0.01)
    assert found["cannot"]["used"]["solve"] == 0
    assert farm["calls"]["limited"] > 0  # a hundred a day, of all its accounts together


@pytest.mark.parametrize("whose", ["account", "organisation"])
def test_people_who_look_like_a_campaign_get_on(tmp_path: Path, whose: str) -> None:
    made = plan(tmp_path, whose, campaign("team", honest=True))
    figures = Experiment(made).go()
    people = figures["verification"]["people"]
    assert people["by_cohort"].keys() == {"team"}
    team = people["by_cohort"]["team"]
    assert team["accounts"] > 20
    assert team["never"] <= 0.05 * team["visits"]
    assert 0 < team["median"] < 10
    assert people["outcomes"].keys() == {"approved"}
    assert people["outcomes"]["approved"] == people["begun"] if whose == "account" else people["begun"] <= 3
    (found,) = by_name(figures).values()
    assert found["dollars"] == 0


def test_a_run_that_was_interrupted_while_people_wait(tmp_path: Path) -> None:
    made = plan(tmp_path, "account", campaign("team", honest=True))
    expected = Experiment(made).go()
    folder = tmp_path / "kept"
    first = Experiment(made, folder)
    run = first.run
    while not (run.callers.visits is not None and run.callers.visits.due):
        run.go(run.world.at + HOUR)
    assert run.world.at < run.world.start + 4 * DAY - HOUR
    checkpoints.save(folder, "run", made.name, run, secrets_of(made.seed))
    second = Experiment(made, folder)
    assert second.resumed
    found = second.go()
    assert found["verification"]["people"] == expected["verification"]["people"]
    assert found["operators"] == expected["operators"]


def test_waits_are_counted_without_the_provider(tmp_path: Path) -> None:
    run = Experiment(plan(tmp_path, "account", campaign("team", honest=True))).run
    run.go(run.world.end)
    visits = run.callers.visits
    assert visits is not None
    assert visits.came
    for each in visits.came:
        assert each.first in {ASKED, CHALLENGED}
        assert not each.done or each.done > each.since
    alone = [each for each in visits.came if each.verified and each.first == ASKED and each.done]
    at_once = [each for each in alone if each.done - each.since == each.own + each.provider]
    assert len(at_once) > 0.8 * len(alone)  # served in the moment of the decision; the others by a call in between
    assert all(each.own >= MINUTE // 60 for each in alone)
    assert DELAYED < ASKED < CHALLENGED
