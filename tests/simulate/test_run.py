"""Runs: when clusters are worked out, what is told, what stays the same when a run is interrupted or written short."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from guardrail_mw.algorithms import activity, edges, keys
from guardrail_mw.simulate import checkpoints
from guardrail_mw.simulate.ablation import spared
from guardrail_mw.simulate.checkpoints import CheckpointError
from guardrail_mw.simulate.experiment import Experiment, Plan, TwinError
from guardrail_mw.simulate.guarding import policy_of, secrets_of
from guardrail_mw.simulate.run import Pace, Run, looks
from guardrail_mw.simulate.world.arrays import DAY, HOUR, MINUTE
from guardrail_mw.simulate.world.scenario import Scenario
from guardrail_mw.simulate.world.world import World


def scenario(**more: Any) -> Scenario:
    campaign = {"operator": "one", "goal": 900, "accounts": 40, "scales": False, "days": 2, "start": 1}
    town = {"name": "town", "days": 3, "ordinary_days": 1, "accounts": 70, "volume": 0.5, "campaigns": [campaign]}
    return Scenario.model_validate({**town, **more})


class Nobody:
    """Notes nothing."""

    def calls(self, batch: Any, seen: Any) -> None:
        """Nothing."""

    def rebuilt(self, at: int, clusters: Any) -> None:
        """Nothing."""


def test_the_moments_of_rebuilds() -> None:
    models = [{"name": "old"}, {"name": "new", "released": 3.5}]
    world = World(scenario(days=8, models=models), 1)
    found = [at - world.start for at in looks(world, Pace())]
    assert found[0] == DAY  # once a day before campaigns begin
    window = [at for at in found if DAY <= at < 2 * DAY]
    assert window == [DAY + step * 10 * MINUTE for step in range(144)]
    usual = [at for at in found if 2 * DAY <= at < 3.5 * DAY]
    assert usual == [2 * DAY + step * 3 * HOUR for step in range(12)]
    released = [at for at in found if 3.5 * DAY <= at < 4.5 * DAY]
    assert released[:2] == [int(3.5 * DAY), int(3.5 * DAY) + 10 * MINUTE]
    assert max(found) < 8 * DAY
    assert [at - world.start for at in looks(world, Pace(windows=()))] == [DAY + step * 3 * HOUR for step in range(7 * 8)]


def kept(run: Run) -> dict[str, Any]:
    store: Any = run.guardrail.store
    standings = {account: dict(known[1]) for account, known in store._standings.items()}
    return {"standings": standings, "edges": dict(store._linked._accounts), "values": dict(store._linked._records)}


def test_an_interrupted_run_comes_to_the_same(tmp_path: Path) -> None:
    plan = Plan(scenario(), pace=Pace(windows=()))
    whole = Experiment(plan)
    expected = whole.go()
    first = Experiment(plan, tmp_path)
    assert not first.resumed
    first.run.go(first.run.world.start + DAY + 7 * HOUR)
    checkpoints.save(tmp_path, "run", plan.name, first.run, secrets_of(plan.seed))
    del first
    second = Experiment(plan, tmp_path)
    assert second.resumed
    assert second.run.world.at == second.run.world.start + DAY + 7 * HOUR
    found = second.go()
    for each in (expected, found):
        del each["speed"]
    assert found == expected
    assert kept(second.run) == kept(whole.run)
    third = Experiment(plan, tmp_path)  # it was written down at the end as well
    assert third.run.done
    assert third.twin.done
    with pytest.raises(CheckpointError, match="is of another run"):
        Experiment(Plan(scenario(), seed=2, pace=Pace(windows=())), tmp_path)


def test_a_twin_in_a_process_of_its_own_is_the_same(tmp_path: Path) -> None:
    plan = Plan(scenario(accounts=30), pace=Pace(windows=()))
    expected = Experiment(plan).go()
    passed: list[int] = []
    beside = Experiment(plan, apart=True)
    found = beside.go(passed.append)
    for each in (expected, found):
        del each["speed"]
    assert found == expected
    assert passed == sorted(passed)
    assert beside.passed == beside.length
    kept = Experiment(plan, tmp_path, apart=True)
    kept.go()
    again = Experiment(plan, tmp_path, apart=True)
    assert again.resumed
    assert again.run.done
    assert again.twin.done


def test_a_twin_that_ends_early_is_told_of(tmp_path: Path) -> None:
    plan = Plan(scenario(accounts=30), pace=Pace(windows=()))
    kept = Experiment(plan, tmp_path, apart=True)
    (tmp_path / "twin.pickle").write_bytes(b"no pickle")  # the other process cannot go on from that
    with pytest.raises(TwinError, match="The twin run ended early, with exit code 1"):
        kept.go()


def test_evidence_that_is_permuted_leaves_nobody_together() -> None:
    plans = [Plan(scenario(permuted=permuted, accounts=200), pace=Pace(windows=())) for permuted in (False, True)]
    worlds = [plan.begin(twin=False).world for plan in plans]
    cards = [world.people.card.tolist() for world in worlds]
    assert cards[0] != cards[1]
    assert sorted(cards[0]) == sorted(cards[1])


def test_a_checkpoint_that_cannot_be_read(tmp_path: Path) -> None:
    assert checkpoints.load(tmp_path, "run", "x") is None
    (tmp_path / "run.pickle").write_bytes(b"no pickle")
    with pytest.raises(CheckpointError, match="Remove it to begin anew"):
        checkpoints.load(tmp_path, "run", "x")
    (tmp_path / "run.pickle").write_bytes(pickle.dumps((1, "x")))
    with pytest.raises(CheckpointError, match="cannot be read"):
        checkpoints.load(tmp_path, "run", "x")


def shown(run: Run) -> dict[str, set[int]]:
    """What each account has shown."""
    store: Any = run.guardrail.store
    found = {}
    for account, packed in store._linked._accounts.items():
        found[account] = {edge.key for edge in edges.unpack(packed[activity.LENGTH :])}
    return found


@pytest.mark.parametrize("means", [[], ["paraphrase"], ["rewrite"]])
def test_texts_that_are_not_written_show_the_same(means: list[str]) -> None:
    """Each account shows what it would if every text were written and read, but for what messages have in common by chance."""
    campaign = {"operator": "one", "goal": 900, "accounts": 40, "scales": False, "days": 2, "start": 1, "means": means}
    runs = []
    for exact in (True, False):
        world = World(scenario(accounts=60, campaigns=[campaign]), 4)
        run = Run(world, Nobody(), pace=Pace(windows=()), exact=exact)
        run.go(world.end)
        runs.append(shown(run))
    written, short = runs
    assert written.keys() == short.keys()
    whole, missing, extra = 0, 0, 0
    for account, theirs in written.items():
        mine = short[account]
        other = {key for key in theirs ^ mine if key >> keys.BITS != keys.SHINGLE}
        assert not other
        shingles = {key for key in theirs if key >> keys.BITS == keys.SHINGLE}
        whole += len(shingles)
        missing += len(shingles - mine)
        extra += len({key for key in mine - theirs if key >> keys.BITS == keys.SHINGLE})
    assert whole > (0 if means == ["rewrite"] else 100)
    assert missing <= 0.05 * whole + 2
    assert extra <= 0.05 * whole + 2


def test_a_family_can_be_left_out() -> None:
    world = World(scenario(accounts=40), 1)
    run = Run(world, Nobody(), pace=Pace(windows=()), left_out=frozenset({"payment", "client", "content"}))
    run.go(world.end)
    kinds = {key >> keys.BITS for account in shown(run).values() for key in account}
    assert kinds & {keys.PAYMENT, keys.SYSTEM, keys.SHINGLE, keys.AGENT, keys.DEVICE_SEEN} == set()
    assert {keys.DEVICE, keys.NETWORK_WIDE} <= kinds


def test_without_timing_nobody_is_read_with_his_hours() -> None:
    """These hours are made from what accounts did, so leaving out what they show is not enough."""
    assert [hours_of(left_out) for left_out in ((), ("timing",), ("payment",))] == [True, False, True]


def hours_of(left_out: tuple[str, ...]) -> bool:
    run = Run(World(scenario(accounts=40), 1), Nobody(), pace=Pace(windows=()), left_out=frozenset(left_out))
    assert run.policy.clusters is not None
    assert spared(run.policy.clusters, ("timing",)).hours is False
    return run.policy.clusters.hours


def test_without_releases_no_model_is_new() -> None:
    world = World(scenario(accounts=40, models=[{"name": "old"}, {"name": "new", "released": 1.5}]), 1)
    for left_out, told in ((frozenset[str](), True), (frozenset({"release"}), False)):
        policy = policy_of("guardrail:campaign", world, "links", left_out)
        assert any(each.released is not None for each in policy.models.values()) is told


def test_the_store_and_the_events_of_a_policy_are_left_alone(tmp_path: Path) -> None:
    """Nobody answers at that URL; and no file of events comes to be."""
    path = tmp_path / "policy.yaml"
    path.write_text(
        "version: 1\nextends: guardrail:campaign\nstore: {url: 'redis://127.0.0.1:1/0'}\n"
        f"telemetry: {{events: [{{use: jsonl, with: {{path: {tmp_path / 'events.jsonl'}}}}}]}}\n"
    )
    world = World(scenario(accounts=10), 1)
    run = Run(world, Nobody(), policy=str(path), pace=Pace(windows=()))
    run.go(world.start + 1)
    assert shown(run)
    assert [each.name for each in tmp_path.iterdir()] == ["policy.yaml"]


def test_without_a_feed_the_guard_sees_traffic_only() -> None:
    world = World(scenario(accounts=40), 1)
    run = Run(world, Nobody(), feed="none", pace=Pace(windows=()))
    run.go(world.end)
    kinds = {key >> keys.BITS for account in shown(run).values() for key in account}
    assert kinds <= {keys.DEVICE_SEEN, keys.NETWORK, keys.NETWORK_WIDE, keys.SYSTEM, keys.AGENT, keys.SHINGLE, keys.RELEASE}
    assert run.policy.identity.device is None


def test_what_would_be_found_without_a_family_changes_nothing() -> None:
    world = World(scenario(accounts=300), 1)
    run = Run(world, Nobody(), pace=Pace(windows=()))
    run.go(world.end)
    before = kept(run)
    assert run.state is not None
    rows = run.callers.rows
    expected = [sorted(rows[member] for member in each.members) for each in run.state.clusters]
    every = [sorted(each.rows.tolist()) for each in run.without("")]
    assert sorted(every) == sorted(expected)
    found = {
        family: sorted(map(len, (each.rows for each in run.without(family)))) for family in ("payment", "client", "content")
    }
    assert any(sizes != sorted(map(len, every)) for sizes in found.values())
    assert kept(run) == before
