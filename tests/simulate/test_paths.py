"""The short way decides what the long way through ASGI decides."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from guardrail_mw.simulate.caller import CODES, Callers
from guardrail_mw.simulate.run import Pace, Run
from guardrail_mw.simulate.wire import WiredCallers
from guardrail_mw.simulate.world.arrays import DAY, HOUR
from guardrail_mw.simulate.world.scenario import Scenario
from guardrail_mw.simulate.world.world import World
from guardrail_mw.stores.base import Change

# Limits that bind, clusters that are watched soon, and a rung that slows their members down.
POLICY = """
version: 1
extends: guardrail:campaign
clusters:
  lookback: 30d
  established: 1d
  floor: {accounts: 5, exchanges: 10}
  verdict: {suspect: 0, confirmed: 40}
  approval: {over: 60, wait: 6h}
limits:
  - {name: day, per: [account], window: 12/day}
  - {name: suspects, per: [cluster], when: {verdict: suspect}, window: 100/day}
risk: {scorers: [{use: cluster, with: {watched: 20}}]}
friction: {ladder: [{name: slower, at: 20, do: delay, with: {seconds: 0.5}}]}
"""


class Noted:
    """All that was decided."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.clusters: list[int] = []
        self.verdicts: list[int] = []
        self.found: list[Any] = []

    def calls(self, batch: Any, seen: Any) -> None:
        self.codes += seen.codes.tolist()
        self.clusters += (seen.cluster >= 0).tolist()
        self.verdicts += seen.verdict.tolist()

    def rebuilt(self, at: int, clusters: Any) -> None:
        self.found.append((at, [(each.verdict, each.rows.tolist()) for each in clusters]))


def world() -> World:
    campaign = {"operator": "one", "goal": 2400, "accounts": 80, "scales": False, "days": 3, "start": 2}
    return World(Scenario.model_validate({"days": 5, "ordinary_days": 2, "accounts": 120, "campaigns": [campaign]}), 3)


def ran(policy: str, kind: type[Callers] | None) -> Run:
    run = Run(world(), Noted(), policy=policy, pace=Pace(windows=()), exact=True)
    if kind is not None:
        rows = run.callers.rows  # of whom something was told is noted there too
        run.callers = kind(run.guardrail, run.world, run.clock, exact=True)
        run.callers.rows = rows
    run.go(run.world.start + 3 * DAY + 12 * HOUR)
    asyncio.run(judged(run))
    run.go(run.world.end)
    asyncio.run(run.guardrail.close())
    return run


async def judged(run: Run) -> None:
    """Everybody is found to be in a suspect cluster, which waits for approval: until the next rebuild, three hours later."""
    fields = {"cluster": "c0ffee000000", "verdict": "suspect", "brake": "1"}
    changes = tuple(Change("set", name, value) for name, value in fields.items())
    store: Any = run.guardrail.store
    await store.assign([(home, changes) for home in sorted(run.callers.rows)])


def kept(run: Run) -> dict[str, Any]:
    """What the store keeps of each account, but for what is random: the ids of open requests."""
    store: Any = run.guardrail.store
    standings = {account: dict(known[1]) for account, known in store._standings.items()}
    return {"standings": standings, "edges": dict(store._linked._accounts), "values": dict(store._linked._records)}


def test_both_ways_decide_the_same(tmp_path: Any) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    short, long = ran(str(policy), None), ran(str(policy), WiredCallers)
    assert isinstance(short.book, Noted)
    assert isinstance(long.book, Noted)
    assert short.book.codes == long.book.codes
    assert short.book.clusters == long.book.clusters
    assert short.book.verdicts == long.book.verdicts
    assert short.book.found == long.book.found
    assert kept(short) == kept(long)
    # And there was something to decide.
    counts = dict(zip(CODES, np.bincount(short.book.codes, minlength=len(CODES)).tolist(), strict=True))
    assert counts["limited"] > 100
    assert counts["delayed"] > 20
    assert counts["trimmed"] > 20
    assert sum(short.book.clusters) > 100
    assert set(short.book.verdicts) >= {0, 1, 2}
    assert short.world.end == short.world.start + 5 * DAY
