"""What merged clusters consumed is carried once, whatever fails in between. Over rebuilds: tests/integration."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.clusters.settings import ClustersSettings
from guardrail_mw.clusters.state import STATE, Merged, State
from guardrail_mw.engine import Guardrail
from guardrail_mw.engine.counts import Counts
from guardrail_mw.errors import StoreError
from guardrail_mw.limits.cluster_budget import CODE
from guardrail_mw.limits.settings import LimitSettings
from guardrail_mw.policy import load
from guardrail_mw.stores.base import Bill, Budget, Entry, Receipt
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.worker import Worker
from guardrail_mw.worker.carrying import Carrying

pytestmark = pytest.mark.anyio

NOON = 20_454 * 86_400_000_000 + 43_200_000_000
HOUR = 3_600_000_000


def limit(**more: Any) -> LimitSettings:
    return LimitSettings.model_validate({"name": "pool", "per": ["cluster"], **more})


async def test_until_when_something_counts() -> None:
    """Noon: a day's budget counts 12 h more, a window as long as it is, a bucket of 10 a day that is 20 deep two days."""
    for limits, hours in (
        ([], 12),
        ([limit(window="5/hour")], 12),
        ([limit(window="5/day")], 24),
        ([limit(rate="10/day", burst=20)], 48),
        ([limit(budget="5/day"), limit(window="5 per 3 days")], 72),
        ([limit(concurrency=5)], 12),
        ([LimitSettings.model_validate({"name": "other", "per": ["account", "cluster"], "window": "5/day"})], 12),
    ):
        assert Carrying(limits).ends(NOON) == NOON + hours * HOUR, limits


class Failing(MemoryStore):
    """Fails where a test wants it to."""

    fails = ""
    local = False

    async def charge(self, bill: Bill) -> Receipt:
        if self.fails == "charge":
            raise StoreError("it is away")
        if self.local:
            return Receipt(bill, "admitted", 0, None, (), local=True)
        return await super().charge(bill)

    async def keep(self, name: str, blob: bytes) -> None:
        if self.fails == "note" and name == STATE and State.unpack(blob).merged == ():
            raise StoreError("it is away")
        await super().keep(name, blob)


async def spent(store: MemoryStore, cluster: str) -> int:
    step = Budget(CODE, 0, 1_000, "day")
    return 1_000 - (await store.peek(Bill("0" * 24, (Entry(f"c:{cluster}", (step,)),)))).readings[0].remaining


async def beginning(clock: FakeClock) -> tuple[Failing, Worker]:
    """Two have consumed 60 and 50, and the first rebuild finds that they were merged."""
    store = Failing(clock=clock)
    for cluster, cost in (("one", 60), ("two", 50)):
        await store.charge(Bill(f"{cost:024}", (Entry(f"c:{cluster}", (Budget(CODE, cost, 1_000, "day"),)),)))
    merged = Merged("two", "one", clock.now(), clock.now() + 12 * HOUR)
    await store.keep(STATE, State(1, 1, (), (merged,)).pack())
    return store, Worker(store, ClustersSettings(), clock=clock, observer=Counts(None))


@pytest.mark.parametrize(("fails", "there"), [("charge", 60), ("note", 110)])
async def test_what_failed_is_done_by_the_next_rebuild(fails: str, there: int) -> None:
    clock = FakeClock(NOON)
    store, worker = await beginning(clock)
    store.fails = fails
    for _ in range(2):
        with pytest.raises(StoreError):
            await worker.work()
        assert len(State.unpack(await store.recall(STATE)).merged) == 1
        assert await spent(store, "one") == there
        clock.advance(600)
    store.fails = ""
    assert (await worker.work()).merged == ()
    assert State.unpack(await store.recall(STATE)).merged == ()
    assert await spent(store, "one") == 110


async def test_what_only_this_process_counted_is_not_carried() -> None:
    store, worker = await beginning(FakeClock(NOON))
    store.local = True
    with pytest.raises(StoreError, match="could not be carried"):
        await worker.work()
    store.local = False
    await worker.work()
    assert await spent(store, "one") == 110


async def test_what_counts_no_more_is_let_go() -> None:
    clock = FakeClock(NOON)
    store, worker = await beginning(clock)
    store.fails = "charge"
    clock.advance(12 * 3_600)
    assert (await worker.work()).merged == ()
    assert await spent(store, "one") == 0


async def test_a_store_without_a_desk_says_so() -> None:
    with pytest.raises(StoreError, match="object has no desk"):
        await Carrying([]).carry(object(), [])


async def test_a_policy_that_is_changed_changes_what_is_carried() -> None:
    first = load({"version": 1, "extends": "guardrail:campaign"})
    limit = {"name": "together", "per": ["cluster"], "rate": "50/hour"}
    second = load({"version": 1, "extends": "guardrail:campaign", "limits": [limit]})
    guardrail = Guardrail(first, clock=FakeClock(), environ={"GUARDRAIL_ID_KEY": "k" * 32, "GUARDRAIL_KEYS": "k" * 32})
    assert list(guardrail.worker().limits) == list(first.limits)
    guardrail.apply(second)
    assert "together" in {each.name for each in guardrail.worker().limits}
    await guardrail.close()
