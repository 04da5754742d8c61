"""The worker: it is elected, it rebuilds from the store, and it writes what follows into standings."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from guardrail_mw.algorithms import keys
from guardrail_mw.clusters.settings import ClustersSettings
from guardrail_mw.clusters.state import BINDING, ORDERS, STATE, Cluster, Given, Merged, Order, State
from guardrail_mw.clusters.verdict import Judge
from guardrail_mw.engine.counts import Counts
from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import Activity, Change
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.worker import Worker
from guardrail_mw.worker.desk import Desk
from guardrail_mw.worker.orders import read_orders, write_orders

pytestmark = pytest.mark.anyio

HOUR = 3_600
START = 1_767_225_600_000_000
ORDINARY = 400
CAMPAIGN = [f"a:campaign{each:03}" for each in range(60)]


def key(code: int, number: int) -> int:
    """A value of a kind."""
    return code << keys.BITS | number


async def filled(clock: FakeClock, **settings: Any) -> tuple[MemoryStore, Worker, Counts]:
    """Ordinary accounts of 40 days, then 60 new ones on three cards with one prompt, ten requests and 10,000 tokens each.

    60 of 460 hold the prompt and 20 a card: 2.6 would hold both by chance, and 20 do: 20 ln(20 / 2.6) - 20 + 2.6 = 23.4 nats,
    more than the 15 that are needed.
    """
    store = MemoryStore(clock=clock)
    for each in range(ORDINARY):
        await store.link(f"a:ordinary{each:03}", [key(keys.PAYMENT, 1000 + each), key(keys.AGENT, each % 5)])
    clock.advance(40 * 24 * HOUR)
    for place, account in enumerate(CAMPAIGN):
        await store.link(account, [key(keys.PAYMENT, place // 20), key(keys.SYSTEM, 7), key(keys.SHINGLE, 8)])
    hour = (clock.now() - 1_735_689_600_000_000) // 3_600_000_000
    await store.note([Activity(account, hour, 10, 10_000) for account in CAMPAIGN])
    counts = Counts(None)
    return store, suspicious(Worker(store, ClustersSettings(**settings), clock=clock, observer=counts, who="one")), counts


def suspicious(worker: Worker) -> Worker:
    """One for whom every cluster above the floor is suspect, and none confirmed but in time: whatever the model is fitted to."""
    worker._rules = replace(worker._rules, judge=Judge.shipped().at(-1_000, 1_000))
    return worker


async def standing(store: MemoryStore, account: str) -> dict[str, str]:
    """What is remembered of an account."""
    found: dict[str, str] = (await store.export(account))["standing"]["fields"]
    return found


async def test_a_rebuild_finds_who_acts_together_and_says_so_in_their_standings() -> None:
    clock = FakeClock(START)
    store, worker, counts = await filled(clock)
    state = await worker.turn()
    assert state is not None
    (found,) = [each for each in state.clusters if len(each.members) >= 20]
    assert found.members == tuple(CAMPAIGN)
    assert (found.verdict, found.exchanges, found.tied, found.families) == (
        "suspect",
        600,
        60,
        ("client", "content", "payment"),
    )
    fields = await standing(store, CAMPAIGN[0])
    assert fields == {"cluster": found.id, "verdict": "suspect", "families": "client,content,payment", "budget": "720000"}
    assert (await store.export("a:ordinary000"))["standing"]["fields"] == {}
    assert counts.read()["clusters.rebuilt"] == 1
    assert json.loads(await store.recall(BINDING) or b"")[found.id] == {
        "cluster": found.id, "verdict": "suspect", "families": "client,content,payment", "budget": "720000",
    }  # fmt: skip
    assert State.unpack(await store.recall(STATE)) == state


async def test_what_did_not_change_is_not_written_again_and_ids_stay() -> None:
    clock = FakeClock(START)
    store, worker, _ = await filled(clock)
    first = await worker.work()
    seen = (await store.export(CAMPAIGN[0]))["standing"]["seen"]
    clock.advance(600)
    assert (await worker.work()).ids() == first.ids()
    assert (await store.export(CAMPAIGN[0]))["standing"]["seen"] == seen


async def test_evidence_that_is_taken_away_frees_at_the_next_rebuild() -> None:
    clock = FakeClock(START)
    store, worker, _ = await filled(clock)
    await worker.work()
    await store.unlink(CAMPAIGN[5], [key(keys.PAYMENT, 0), key(keys.SYSTEM, 7), key(keys.SHINGLE, 8)])
    state = await worker.work()
    assert CAMPAIGN[5] not in state.ids()
    assert await standing(store, CAMPAIGN[5]) == {}
    assert (await standing(store, CAMPAIGN[6]))["verdict"] == "suspect"


async def test_one_of_several_has_the_post_until_it_is_silent_for_two_turns() -> None:
    clock = FakeClock(START)
    store, worker, counts = await filled(clock)
    other = Worker(store, ClustersSettings(), clock=clock, observer=counts, who="two")
    assert await worker.turn() is not None
    assert await other.turn() is None
    clock.advance(1_199)
    assert await other.turn() is None
    clock.advance(2)
    assert await other.turn() is not None
    assert await worker.turn() is None


async def test_before_thirty_days_of_evidence_nobody_is_worse_than_watched() -> None:
    clock = FakeClock(START)
    store = MemoryStore(clock=clock)
    for place, account in enumerate(CAMPAIGN):
        await store.link(account, [key(keys.PAYMENT, place // 20), key(keys.SYSTEM, 7), key(keys.SHINGLE, 8)])
    for each in range(ORDINARY):
        await store.link(f"a:ordinary{each:03}", [key(keys.PAYMENT, 1000 + each), key(keys.AGENT, each % 5)])
    hour = (clock.now() - 1_735_689_600_000_000) // 3_600_000_000
    await store.note([Activity(account, hour, 20, 20_000) for account in CAMPAIGN])
    worker = suspicious(Worker(store, ClustersSettings(), clock=clock, observer=Counts(None)))
    assert {each.verdict for each in (await worker.work()).clusters} == {"watched"}
    clock.advance(30 * 24 * HOUR)
    assert {each.verdict for each in (await worker.work()).clusters} == {"suspect"}


async def test_a_verdict_on_many_waits_and_only_brakes_until_it_was_looked_at() -> None:
    clock = FakeClock(START)
    approval = {"over": 50, "wait": "30m"}
    store, worker, _ = await filled(clock, approval=approval)
    state = await worker.work()
    (found,) = [each for each in state.clusters if len(each.members) >= 20]
    assert found.asked == clock.now()
    braked = {"cluster": found.id, "verdict": "watched", "brake": "suspect", "families": "client,content,payment"}
    braked["budget"] = "720000"
    assert await standing(store, CAMPAIGN[0]) == braked
    assert json.loads(await store.recall(BINDING) or b"")[found.id] == braked
    clock.advance(29 * 60)
    await worker.work()
    assert await standing(store, CAMPAIGN[0]) == braked
    clock.advance(60)
    await worker.work()
    assert (await standing(store, CAMPAIGN[0])).get("brake") is None
    assert (await standing(store, CAMPAIGN[0]))["verdict"] == "suspect"


async def test_a_released_cluster_stays_free_until_its_label_runs_out() -> None:
    clock = FakeClock(START)
    store, worker, _ = await filled(clock)
    state = await worker.work()
    (found,) = [each for each in state.clusters if len(each.members) >= 20]
    until = clock.now() + 24 * HOUR * 1_000_000
    given = Given({found.id: (Order("release", "", until, "a school", clock.now()),)})
    await store.keep(ORDERS, write_orders(given, clock.now()))
    clock.advance(600)
    await worker.work()
    assert (await standing(store, CAMPAIGN[0]))["verdict"] == "none"
    clock.advance(24 * HOUR)
    await worker.work()
    assert (await standing(store, CAMPAIGN[0]))["verdict"] == "suspect"


async def test_a_store_that_fails_is_counted_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock(START)
    store, worker, counts = await filled(clock)
    failures = [StoreError("it is away"), RuntimeError("a mistake")]
    slept = []

    async def elect(name: str, who: str, ttl: int) -> bool:
        assert (name, who, ttl) == ("rebuild", "one", 1_200_000_000)
        if failures:
            raise failures.pop(0)
        return True

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise EOFError

    monkeypatch.setattr(store, "elect", elect)
    monkeypatch.setattr("guardrail_mw.worker.worker.sleep", sleep)
    with pytest.raises(EOFError):
        await worker.run()
    assert slept == [600, 600, 600]
    assert (counts.read()["clusters.failed"], counts.read()["clusters.rebuilt"]) == (2, 1)


def test_orders_are_kept_but_for_those_that_ran_out() -> None:
    lasting, short = Order("verdict", "confirmed", 0, "seen", 5), Order("release", "", 10, "asked", 6)
    given = Given({"aa": (lasting, short), "bb": (short,)})
    assert read_orders(write_orders(given, 9)) == given
    assert read_orders(write_orders(given, 10)) == Given({"aa": (lasting,)})
    assert read_orders(None) == Given()


async def test_a_day_old_store_is_swept_once_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock(START)
    store, worker, _ = await filled(clock)
    days: list[int] = []
    sweep = store.sweep

    async def swept(before: int) -> int:
        days.append(before)
        return await sweep(before)

    monkeypatch.setattr(store, "sweep", swept)
    await worker.work()
    await worker.work()
    clock.advance(24 * HOUR)
    await worker.work()
    today = (START - 1_735_689_600_000_000) // 86_400_000_000 + 40
    assert days == [today - 90, today - 89]


async def test_a_former_member_is_told_so() -> None:
    clock = FakeClock(START)
    store = MemoryStore(clock=clock)
    await store.link("a:alone", [key(keys.AGENT, 1)])
    await store.remember(
        "a:alone", [Change("set", "cluster", "0" * 12), Change("set", "verdict", "suspect"), Change("set", "brake", "x")]
    )
    gone = Cluster("0" * 12, ("a:alone",), "suspect", 0, 0)
    await store.keep(STATE, State(1, 1, (gone,)).pack())
    await Worker(store, ClustersSettings(), clock=clock, observer=Counts(None)).work()
    assert await standing(store, "a:alone") == {}


async def test_the_budget_of_a_material_cluster_is_in_its_members_standings_as_long_as_they_are_members() -> None:
    """60 accounts of 10,000 tokens each on one day: 1.2 times 600,000, which stays when they use more."""
    clock = FakeClock(START)
    store, worker, _ = await filled(clock)
    await worker.work()
    assert {(await standing(store, each)).get("budget") for each in CAMPAIGN} == {"720000"}
    assert (await standing(store, "a:ordinary000")).get("budget") is None
    hour = (clock.now() - 1_735_689_600_000_000) // 3_600_000_000
    await store.note([Activity(account, hour, 10, 90_000) for account in CAMPAIGN])
    await store.unlink(CAMPAIGN[5], [key(keys.PAYMENT, 0), key(keys.SYSTEM, 7), key(keys.SHINGLE, 8)])
    clock.advance(600)
    await worker.work()
    assert (await standing(store, CAMPAIGN[5])).get("budget") is None
    assert (await standing(store, CAMPAIGN[6]))["budget"] == "720000"


async def test_a_budget_that_was_not_written_is_written_by_the_next_rebuild() -> None:
    """The store was away, or somebody set it otherwise: what standings say is compared, not what was meant to be written."""
    clock = FakeClock(START)
    store, worker, _ = await filled(clock)
    await worker.work()
    await store.remember(CAMPAIGN[0], [Change("unset", "budget")])
    await store.remember(CAMPAIGN[1], [Change("set", "budget", "1")])
    await worker.work()
    assert {(await standing(store, each))["budget"] for each in CAMPAIGN[:2]} == {"720000"}


async def together(**settings: Any) -> tuple[list[tuple[str, ...]], int]:
    """Twenty new accounts on one card, at work in the same three hours of ten days, 20 requests a day: families, and records."""
    clock = FakeClock(START)
    store = MemoryStore(clock=clock)
    for each in range(ORDINARY):
        await store.link(f"a:ordinary{each:03}", [key(keys.PAYMENT, 1000 + each)])
    hour = (clock.now() - 1_735_689_600_000_000) // 3_600_000_000 // 24 * 24 + 9
    for account in CAMPAIGN[:20]:
        await store.link(account, [key(keys.PAYMENT, 1)])
        await store.note([Activity(account, hour - day * 24, 20, 100) for day in range(9, -1, -1)])
    worker = Worker(store, ClustersSettings.model_validate(settings), clock=clock, observer=Counts(None))
    return [each.families for each in (await worker.work()).clusters], len(store._linked._records)


async def test_hours_in_common_are_evidence_unless_the_policy_says_otherwise() -> None:
    """20 of 420 have both: 1 is expected, and 20 are 40.9 nats above. The card has a record then, the hours none."""
    (found, records), (nothing, fewer) = await together(), await together(hours=False)
    assert (found, nothing) == ([("payment", "timing")], [])
    assert (records, fewer) == (1, 0)


class Meddling(MemoryStore):
    """In which something happens between a rebuild's note of its clusters and what it writes of accounts."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def mark(self, records: Mapping[int, Any], established: Mapping[int, int]) -> None:
        await super().mark(records, established)
        if self.meanwhile is not None:
            meddle, self.meanwhile = self.meanwhile, None
            await meddle()


async def meddled(clock: FakeClock) -> tuple[Meddling, Worker, Counts]:
    """As `filled`, once rebuilt."""
    made, worker, counts = await filled(clock)
    store = Meddling(clock=clock)
    store.__dict__.update(made.__dict__)
    worker._store = store
    await worker.work()
    clock.advance(600)
    return store, worker, counts


async def test_who_is_split_off_and_freed_during_a_rebuild_is_not_bound_by_it() -> None:
    clock = FakeClock(START)
    store, worker, _ = await meddled(clock)
    [large] = [each for each in State.unpack(await store.recall(STATE)).clusters if len(each.members) == 60]
    desk = Desk(store, ClustersSettings(), clock=clock)

    async def meanwhile() -> None:
        await desk.split(large.id, CAMPAIGN[:3], "mine")
        await desk.free(CAMPAIGN[:3])

    store.meanwhile = meanwhile
    worker._rules = replace(
        worker._rules, judge=Judge.shipped().at(-2_000, -1_500)
    )  # the verdict turns: all are written anew
    await worker.work()
    assert "cluster" not in await standing(store, CAMPAIGN[0])
    assert (await standing(store, CAMPAIGN[3]))["verdict"] == "confirmed"


async def test_what_another_has_rebuilt_meanwhile_is_not_written_over() -> None:
    clock = FakeClock(START)
    store, worker, _ = await meddled(clock)
    now = clock.now()
    pending = Merged("aaaaaaaaaaaa", "bbbbbbbbbbbb", now, now + 10 * HOUR * 1_000_000)
    await store.keep(STATE, replace(State.unpack(await store.recall(STATE)), merged=(pending,)).pack())
    newer = State(now + 1, 1, (), (pending,)).pack()

    async def meanwhile() -> None:
        await store.keep(STATE, newer)

    store.meanwhile = meanwhile
    await worker.work()
    assert await store.recall(STATE) == newer


async def test_an_alert_is_not_lost_with_what_fails_after_it() -> None:
    clock = FakeClock(START)
    store, worker, counts = await filled(clock)
    meddling = Meddling(clock=clock)
    meddling.__dict__.update(store.__dict__)

    async def meanwhile() -> None:
        raise StoreError("it is away")

    meddling.meanwhile = meanwhile
    worker._store = meddling
    with pytest.raises(StoreError):
        await worker.work()
    await worker.work()
    assert counts.read()["clusters.turned"] == 1
