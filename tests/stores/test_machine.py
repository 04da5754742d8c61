"""Hypothesis drives each of our stores beside the plain model, and every answer must be the same."""

from __future__ import annotations

import os
from collections.abc import Sequence
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from guardrail_mw.stores.base import Bill, Count, Receipt, Settlement, Store
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.stores.redis.store import RedisStore
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.machine import StoreMachine
from guardrail_mw.testing.servers import Server

TIMES = int(os.environ.get("GUARDRAIL_EXAMPLES", "1"))
"""Multiplies how many histories are tried."""


def drive(machine: type[StoreMachine], examples: int, *, phases: Sequence[Phase] = tuple(Phase)) -> None:
    """Run a machine. Derandomised: the same histories each time; what a longer search finds becomes a test of its own."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples * TIMES,
            stateful_step_count=30,
            deadline=None,
            database=None,
            derandomize=TIMES == 1,
            phases=phases,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_memory() -> None:
    class Memory(StoreMachine):
        def make_store(self, clock: FakeClock) -> Store:
            return MemoryStore(clock=clock)

    drive(Memory, 80)


def test_memory_that_is_full() -> None:
    """With room for every home but no more, nothing is lost."""

    class Small(StoreMachine):
        def make_store(self, clock: FakeClock) -> Store:
            return MemoryStore(clock=clock, max_subjects=5)

    drive(Small, 20)


@pytest.mark.parametrize(("kind", "examples"), [("fakeredis", 8), ("redis", 40), ("valkey", 40)])
def test_one_server(request: pytest.FixtureRequest, kind: str, examples: int) -> None:
    server: Server = request.getfixturevalue(f"guardrail_{kind}")

    class Redis(StoreMachine):
        def make_store(self, clock: FakeClock) -> Store:
            return RedisStore(server.url, deadline=10_000_000, prefix=f"m{uuid4().hex}:", clock=clock)

    drive(Redis, examples)


def test_cluster(guardrail_cluster: Server) -> None:
    class Cluster(StoreMachine):
        exact = False

        def make_store(self, clock: FakeClock) -> Store:
            return RedisStore(guardrail_cluster.url, deadline=10_000_000, prefix=f"m{uuid4().hex}:", clock=clock)

    drive(Cluster, 25)


class Unsettled(MemoryStore):
    def settle(self, settlements: Sequence[Settlement]) -> None:
        super().settle([each for each in settlements if each.outcome == "settled"])


class Talkative(MemoryStore):
    async def peek(self, bill: Bill) -> Receipt:
        await self.charge(bill)
        return await super().peek(bill)


class Silent(MemoryStore):
    async def charge(self, bill: Bill) -> Receipt:
        receipt = await super().charge(bill)
        return receipt if receipt.code == "stale" else receipt._replace(standing=None)


class Uncounting(MemoryStore):
    async def charge(self, bill: Bill) -> Receipt:
        receipt = await super().charge(bill)
        if receipt.code == "denied":
            counts = [step for entry in bill.entries for step in entry.steps if isinstance(step, Count)]
            for entry in bill.entries:
                await self.reset(entry.home, [step.field for step in counts])
        return receipt


class Unforgetting(MemoryStore):
    async def erase(self, account: str) -> bool:
        return bool(account)


class Timeless(MemoryStore):
    async def spend(self, token: str, ttl: int, epoch: str) -> bool:
        del epoch
        return await super().spend(token, ttl, await self.epoch(token))


@pytest.mark.parametrize("broken", [Unsettled, Talkative, Silent, Uncounting, Unforgetting, Timeless])
def test_the_machine_finds_what_is_broken(broken: type[MemoryStore]) -> None:
    class Broken(StoreMachine):
        def make_store(self, clock: FakeClock) -> Store:
            return broken(clock=clock)

    with pytest.raises(AssertionError):
        drive(Broken, 80, phases=[Phase.generate])
