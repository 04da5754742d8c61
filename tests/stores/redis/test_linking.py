"""Evidence on its way to Redis: round trips, what fails, who leaves, what follows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from guardrail_mw.algorithms import edges
from guardrail_mw.errors import StoreError, StoreTimeout
from guardrail_mw.stores.base import Activity, Bill, Change, Gcra, Graph, Lease, Record
from guardrail_mw.stores.redis import RedisStore
from guardrail_mw.stores.redis.linking import Shown
from guardrail_mw.stores.redis.pipes import Pipe
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.servers import Server

from .transport import Counts, Start, batches, bill, left

pytestmark = pytest.mark.anyio
HOUR = 3_600_000_000
PATIENT = 5_000_000
ALONE = "a:Zl2hO0eYqf3rG4mSPc9xUw"
FIRST = (Record(1, "Zl2hO0eY", 0, ()),)
KEY = 1 << 57 | 0xCAFE_0001_2345
STEP = Gcra("k", 1, 1, HOUR, 1000)


def showing(*keys: int, account: str = ALONE, reserved: bool = False) -> Bill:
    steps: tuple[Any, ...] = (STEP._replace(reserved=reserved), Lease("l", 3)) if reserved else (STEP,)
    return bill(account, "n:2", steps=steps)._replace(candidate=account, proved=True, edges=keys)


async def everyone(store: RedisStore) -> dict[str, list[int]]:
    return {each.account: [edge.key for edge in edges.unpack(each.edges)] async for batch in store.read(0) for each in batch}


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
async def store(guardrail_redis: Server, guardrail_prefix: str, counts: Counts) -> Any:
    made = RedisStore(guardrail_redis.url, deadline=PATIENT, prefix=guardrail_prefix, observer=counts)
    yield made
    await made.close()


async def test_it_is_a_graph(store: RedisStore) -> None:
    assert isinstance(store, Graph)


async def test_evidence_is_one_round_trip_with_its_charge(store: RedisStore) -> None:
    await store.open()
    with batches() as sent:
        receipt = await store.charge(showing(KEY, KEY + 1, KEY + 2))
        assert len(receipt.records) == 3
        await store.drain()
        await store.charge(showing())
    assert [len(batch) for batch in sent] == [2, 1]


async def test_without_evidence_not_a_byte_is_sent(store: RedisStore) -> None:
    await store.open()
    with batches() as sent:
        await store.charge(showing()._replace(id="0" * 24))
        await store.charge(showing()._replace(id="0" * 24, edges=(KEY,)))
    [[plain], [_, beside]] = sent
    assert len(plain.payload) == len(beside.payload)


async def test_at_a_cluster_it_is_one_round_trip_too(guardrail_cluster: Server, guardrail_prefix: str) -> None:
    store = RedisStore(guardrail_cluster.url, deadline=PATIENT, prefix=guardrail_prefix)
    keys = range(KEY, KEY + 12)
    await store.charge(showing(*keys, account="a:other"))
    await store.drain()
    with batches() as sent:
        receipt = await store.charge(showing(*keys))
        before = sum(map(len, sent))
        await store.drain()
    assert receipt.records == (Record(2, "otherAAA", 0, ()),) * 12
    # the account's charge and the network's, what the account shows, and twelve values, each in a slot of its own
    assert before == 15
    assert sum(map(len, sent)) == 15 + 12
    assert (await store.charge(showing(*keys))).records == receipt.records
    await store.close()


async def test_the_server_s_own_time(store: RedisStore) -> None:
    assert (await store.charge(showing(KEY))).records == FIRST
    today = edges.day_of(store._book().ways.moment())
    assert [each.account async for batch in store.read(today) for each in batch] == [ALONE]
    assert [each async for batch in store.read(today + 2) for each in batch] == []
    assert await store.sweep(today - 1) == 0
    assert await store.elect("rebuild", "w1", 60_000_000)
    assert not await store.elect("rebuild", "w2", 60_000_000)


@pytest.mark.parametrize("suffix", [":e", ":s"])
async def test_evidence_that_fails_leaves_the_charge_alone(
    store: RedisStore, counts: Counts, guardrail_redis: Server, guardrail_prefix: str, suffix: str
) -> None:
    client = guardrail_redis.client()
    client.rpush(f"{guardrail_prefix}{{{ALONE}}}{suffix}", "no evidence")
    asked = showing(KEY)._replace(candidate=ALONE if suffix == ":e" else "a:other")
    if suffix == ":s":
        client.rpush(f"{guardrail_prefix}{{v:{KEY & 0xFFF:03x}}}", "no record")
    receipt = await store.charge(asked)
    assert (receipt.code, receipt.records) == ("admitted", ())
    assert counts.of == {"store.lost_evidence": 1}
    assert await left(store, ALONE) == 999


async def test_a_script_flush_costs_no_evidence(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    store = RedisStore(server.url, deadline=PATIENT)
    await store.open()
    server.client().script_flush()
    receipts = await asyncio.gather(*[store.charge(showing(KEY, account=f"a:{number:08d}")) for number in range(50)])
    assert sorted(receipt.records[0].holders for receipt in receipts) == list(range(1, 51))
    await store.close()


@pytest.mark.parametrize("reserved", [False, True])
async def test_who_leaves_while_evidence_is_awaited_gets_all_back(
    store: RedisStore, counts: Counts, monkeypatch: pytest.MonkeyPatch, reserved: bool
) -> None:
    waiting = asyncio.Event()

    async def never(_: Shown) -> Any:
        waiting.set()
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(Shown, "records", never)
    charging = asyncio.create_task(store.charge(showing(KEY, reserved=reserved)))
    await asyncio.wait_for(waiting.wait(), 5)
    charging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await charging
    await store.drain()
    assert counts.of == {"store.given_back": 1}
    assert [await left(store, home) for home in (ALONE, "n:2")] == [1000, 1000]
    assert (await store.peek(bill(ALONE, steps=(Lease("l", 3),)))).readings[0].remaining == 3


async def test_who_leaves_before_the_answer_leaves_nothing_charged(guardrail_server: Server, guardrail_prefix: str) -> None:
    store = RedisStore(guardrail_server.url, deadline=PATIENT, prefix=guardrail_prefix)
    # so far from full, a bucket owes back whatever is cancelled, in whatever order
    assert (await store.charge(bill(ALONE, "n:2", steps=(STEP._replace(cost=100),)))).code == "admitted"
    tasks = [asyncio.create_task(store.charge(showing(KEY, KEY + 1))) for _ in range(30)]
    for turns, task in enumerate(tasks):
        for _ in range(turns % 7):
            await asyncio.sleep(0)
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    kept = [each for each in ended if not isinstance(each, BaseException)]
    await store.drain()
    taken = 100 + sum(each.code == "admitted" for each in kept)
    assert [await left(store, home) for home in (ALONE, "n:2")] == [1000 - taken] * 2
    await store.close()


async def test_evidence_that_is_late_leaves_the_charge_alone(
    store: RedisStore, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def late(_: Shown) -> Any:
        raise StoreTimeout("late")

    monkeypatch.setattr(Shown, "records", late)
    receipt = await store.charge(showing(KEY))
    assert (receipt.code, receipt.records, receipt.bill.edges) == ("admitted", (), (KEY,))
    assert counts.of == {"store.lost_evidence": 1}


async def test_a_store_that_is_away_fails_charge_and_evidence(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    store = RedisStore(server.url, deadline=PATIENT)
    server.kill()
    with pytest.raises(StoreError):
        await store.charge(showing(KEY))
    for call in (store.note([Activity("a:1", 9, 1, 1)]), store.link("a:1", [KEY]), store.mark({}, {}), store.sweep(9)):
        with pytest.raises(StoreError):
            await call
    with pytest.raises(StoreError):
        await everyone(store)
    await store.close()


async def test_what_follows_and_fails_is_counted(
    guardrail_cluster: Server, guardrail_prefix: str, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a cluster, a value does not hear of its holder; the account knows all the same, and is not counted later."""
    store = RedisStore(guardrail_cluster.url, deadline=PATIENT, prefix=guardrail_prefix, observer=counts)
    await store.charge(showing())
    send = Pipe.send

    def broken(self: Pipe, calls: list[Any]) -> None:
        for call in calls:
            call.payload = call.payload.replace(b"$4\r\nhold", b"$4\r\nbold")
        send(self, calls)

    monkeypatch.setattr(Pipe, "send", broken)
    assert (await store.charge(showing(KEY))).records == FIRST
    await store.drain()
    assert counts.of == {"store.lost_evidence": 1}
    monkeypatch.setattr(Pipe, "send", send)
    assert (await store.charge(showing(KEY))).records == FIRST
    assert await everyone(store) == {ALONE: [KEY]}
    await store.close()


async def test_who_lost_its_edges_is_not_its_own_second_holder(
    store: RedisStore, guardrail_redis: Server, guardrail_prefix: str
) -> None:
    await store.charge(showing(KEY))
    guardrail_redis.client().delete(f"{guardrail_prefix}{{{ALONE}}}:e")
    assert (await store.charge(showing(KEY))).records == FIRST
    assert (await store.charge(showing(KEY, account="a:other"))).records == (FIRST[0]._replace(holders=2),)


async def test_a_prefix_that_looks_like_a_pattern(guardrail_redis: Server, guardrail_prefix: str) -> None:
    clock = FakeClock()
    ours, theirs = (
        RedisStore(guardrail_redis.url, deadline=PATIENT, prefix=f"{guardrail_prefix}{each}", clock=clock)
        for each in ("[ab]*?\\^:", "a!!:")
    )
    await ours.charge(showing(1))
    await theirs.charge(showing(2, account="a:2"))
    assert await everyone(ours) == {ALONE: [1]}
    assert await everyone(theirs) == {"a:2": [2]}
    for each in (ours, theirs):
        await each.close()


async def test_an_account_is_read_once_though_the_server_tells_of_it_twice(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.note([Activity(f"a:{number:08d}", 9000, 1, 1) for number in range(40)])
    linking = store._book().linking
    scan: Callable[[], Any] = linking._scan

    async def twice() -> Any:
        async for names in scan():
            yield names[:5] + names
            yield names

    monkeypatch.setattr(linking, "_scan", twice)
    found = [each.account async for batch in store.read(0) for each in batch]
    assert sorted(found) == [f"a:{number:08d}" for number in range(40)]


async def test_bulk_is_sent_in_parts(store: RedisStore) -> None:
    """So that no request waits for long."""
    await store.open()
    with batches() as sent:
        await store.assign([(f"a:{number:08d}", [Change("set", "cluster", "0" * 12)]) for number in range(1000)])
    assert sum(map(len, sent)) == 40
    assert max(map(len, sent)) <= 8
