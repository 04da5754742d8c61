"""The store over every kind of server: one round trip, event loops, settlements, renewals, switches."""

from __future__ import annotations

import asyncio
import threading

import pytest

from guardrail_mw.errors import StoreError, StoreTimeout
from guardrail_mw.stores.base import Bill, Change, Gcra, Lease, Receipt, Settlement, Store, Switches
from guardrail_mw.stores.redis import RedisStore
from guardrail_mw.stores.redis.batches import BATCH
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.servers import Server

from .transport import Counts, Start, batches, bill, left, ours, until

pytestmark = pytest.mark.anyio
HOUR = 3_600_000_000
PATIENT = 5_000_000


def open_bill(home: str = "a:1", *others: str) -> Bill:
    """Reserves 5 of 1000 units (one comes back in an hour) and holds one of 3 leases, in each home."""
    return bill(home, *others, steps=(Gcra("k", 5, 1, HOUR, 1000, reserved=True), Lease("l", 3)))


async def test_it_keeps_the_contracts_names(guardrail_redis: Server) -> None:
    store = RedisStore(guardrail_redis.url)
    assert isinstance(store, Store)
    assert isinstance(store, Switches)


async def test_two_hundred_at_once_take_ten(guardrail_server: Server, guardrail_prefix: str) -> None:
    store = RedisStore(guardrail_server.url, deadline=PATIENT, prefix=guardrail_prefix)
    bills = [bill("a:1", "n:2", "e", steps=(Gcra("r", 1, 1, HOUR, 10),)) for _ in range(200)]
    receipts = await asyncio.gather(*[store.charge(each) for each in bills])
    await store.drain()
    admitted = [receipt for receipt in receipts if receipt.code == "admitted"]
    if guardrail_server.kind == "cluster":
        assert 1 <= len(admitted) <= 10
    else:
        assert len(admitted) == 10
    for home in ("a:1", "n:2", "e"):
        assert await left(store, home, step=Gcra("r", 1, 1, HOUR, 10)) == 10 - len(admitted)
    assert all(len(receipt.readings) == 3 for receipt in receipts)
    await store.close()


async def test_a_request_is_one_round_trip(guardrail_redis: Server, guardrail_prefix: str) -> None:
    store = RedisStore(guardrail_redis.url, deadline=PATIENT, prefix=guardrail_prefix)
    await store.open()
    with batches() as sent:
        await store.charge(bill("a:1", "n:2", "o:3", "e"))
    assert [len(batch) for batch in sent] == [1]
    await store.close()


async def test_settling_corrects_once_whatever_is_repeated(guardrail_server: Server, guardrail_prefix: str) -> None:
    store = RedisStore(guardrail_server.url, deadline=PATIENT, prefix=guardrail_prefix)
    receipt = await store.charge(open_bill("a:1", "n:2"))
    assert receipt.open
    assert [await left(store, home) for home in ("a:1", "n:2")] == [995, 995]
    settlement = Settlement(receipt, "settled", used=(2, None, 9, None))
    store.settle([settlement, settlement])
    await store.drain()
    store.settle([settlement])
    await store.drain()
    # 2 of 5 were used in one home, 9 in the other: 4 more are owed.
    assert [await left(store, home) for home in ("a:1", "n:2")] == [998, 991]
    again = [await store.charge(open_bill("a:1", "n:2")) for _ in range(4)]
    assert [each.code for each in again] == ["admitted"] * 3 + ["denied"]
    await store.close()


async def test_what_the_exchange_taught_arrives_with_its_settlement(guardrail_server: Server, guardrail_prefix: str) -> None:
    store = RedisStore(guardrail_server.url, deadline=PATIENT, prefix=guardrail_prefix)
    receipt = await store.charge(open_bill()._replace(candidate="a:9"))
    store.settle([Settlement(receipt, "settled", changes=(Change("set", "verdict", "watched"),))])
    await store.drain()
    told = await store.charge(open_bill()._replace(candidate="a:9"))
    assert told.code == "stale"
    assert told.standing is not None
    assert told.standing.fields == {"verdict": "watched"}
    known = await store.charge(open_bill()._replace(candidate="a:9", version=told.standing.version))
    assert known.code == "admitted"
    store.settle([Settlement(known, "cancelled")])
    await store.close()


async def test_a_renewal_and_a_settlement_at_once_leave_nothing_behind(
    guardrail_server: Server, guardrail_prefix: str
) -> None:
    store = RedisStore(guardrail_server.url, deadline=PATIENT, prefix=guardrail_prefix)
    receipts = [await store.charge(open_bill("a:1", "n:2")) for _ in range(3)]
    renewing = asyncio.create_task(store.renew(receipts))
    await asyncio.sleep(0)
    store.settle([Settlement(receipt, "cancelled") for receipt in receipts])
    renewed = await renewing
    await store.drain()
    assert [each.bill.id for each in renewed] == [each.bill.id for each in receipts]
    assert [await left(store, home) for home in ("a:1", "n:2")] == [1000, 1000]
    assert (await store.peek(open_bill("a:1", "n:2"))).readings[1].remaining == 3
    await store.close()


async def test_no_settlement_overtakes_a_renewal(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    store = RedisStore(server.url, deadline=PATIENT)
    receipt = await store.charge(open_bill())
    server.client().execute_command("CLIENT", "PAUSE", "10000", "WRITE")
    held = asyncio.gather(*[store.charge(bill("a:2")) for _ in range(2 * BATCH)])
    await until(lambda: server.client().info("clients")["blocked_clients"] == 2)
    server.client().execute_command("CLIENT", "UNPAUSE")
    await held  # so there are two connections
    with batches() as sent:
        server.client().execute_command("CLIENT", "PAUSE", "10000", "WRITE")
        renewing = asyncio.create_task(store.renew([receipt]))
        await until(lambda: len(sent) == 1)
        store.settle([Settlement(receipt, "cancelled")])
        await store.read_switches()  # reads pass a pause, on the other connection; a settlement would ride along
        assert [len(batch) for batch in sent] == [1, 1]
        server.client().execute_command("CLIENT", "UNPAUSE")
        await renewing
        await store.drain()
    assert len(sent) == 3
    assert (await store.peek(open_bill())).readings[1].remaining == 3
    await store.close()


async def test_a_renewal_notes_what_may_still_come_back(guardrail_server: Server, guardrail_prefix: str) -> None:
    clock = FakeClock()
    store = RedisStore(guardrail_server.url, deadline=PATIENT, prefix=guardrail_prefix, clock=clock)
    receipt = await store.charge(open_bill())
    clock.advance(20)
    (receipt,) = await store.renew([receipt])
    # Of five units, five hours of bucket, twenty seconds have come back by themselves.
    assert receipt.readings[0].mark is not None
    assert receipt.readings[0].mark[4:6] == (5 * HOUR - 20_000_000, 0)
    clock.advance(20)
    # 40 s after the charge the lease still holds, because it was renewed 20 s ago.
    assert (await store.peek(open_bill())).readings[1].remaining == 2
    clock.advance(10)
    assert (await store.peek(open_bill())).readings[1].remaining == 3
    await store.close()


async def test_tokens_are_spent_once(guardrail_server: Server, guardrail_prefix: str) -> None:
    store = RedisStore(guardrail_server.url, deadline=PATIENT, prefix=guardrail_prefix)
    epoch, other = await store.epoch("token"), await store.epoch("other")
    assert sorted(await asyncio.gather(*[store.spend("token", HOUR, epoch) for _ in range(5)])) == [False] * 4 + [True]
    assert await store.spend("other", HOUR, other)
    await store.close()


async def test_switches(guardrail_server: Server, guardrail_prefix: str) -> None:
    store = RedisStore(guardrail_server.url, deadline=PATIENT, prefix=guardrail_prefix)
    assert await store.read_switches() == {}
    await store.write_switch("", "shadow")
    await store.write_switch("requests", "off")
    assert await store.read_switches() == {"": "shadow", "requests": "off"}
    await store.write_switch("", None)
    assert await store.read_switches() == {"requests": "off"}
    await store.close()


async def test_a_bills_own_not_after_is_kept(guardrail_server: Server, guardrail_prefix: str) -> None:
    store = RedisStore(guardrail_server.url, deadline=PATIENT, prefix=guardrail_prefix)
    assert (await store.charge(bill("a:1", "n:2")._replace(not_after=1))).code == "late"
    assert [await left(store, home) for home in ("a:1", "n:2")] == [1000, 1000]
    await store.close()


async def test_a_clock_believed_wrong_costs_one_replay(guardrail_redis: Server, guardrail_prefix: str) -> None:
    store = RedisStore(guardrail_redis.url, deadline=PATIENT, prefix=guardrail_prefix)
    await store.open()
    time = store._book().ways.sole.time
    time._low = time._high = time._high - 3 * HOUR
    with batches() as sent:
        assert (await store.charge(bill("a:1"))).code == "admitted"
        assert (await store.charge(bill("a:1"))).code == "admitted"
    assert [len(batch) for batch in sent] == [1, 1, 1]
    assert await left(store, "a:1") == 998
    await store.close()


def test_event_loops_come_and_go(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    store = RedisStore(server.url, deadline=PATIENT)

    async def one() -> None:
        receipt = await store.charge(open_bill())
        store.settle([Settlement(receipt, "cancelled")])  # nobody drains: the loop's end does

    for _ in range(3):
        asyncio.run(one())
    assert store._books == {}
    assert ours(server) == []
    assert asyncio.run(left(store, "a:1")) == 1000


def test_event_loops_of_several_threads_at_once(guardrail_redis: Server, guardrail_prefix: str) -> None:
    store = RedisStore(guardrail_redis.url, deadline=PATIENT, prefix=guardrail_prefix)
    codes: list[str] = []

    async def some() -> None:
        receipts = await asyncio.gather(*[store.charge(bill("a:1")) for _ in range(100)])
        codes.extend(receipt.code for receipt in receipts)

    threads = [threading.Thread(target=asyncio.run, args=(some(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == ["admitted"] * 400
    assert asyncio.run(left(store, "a:1")) == 600


def test_settling_outside_an_event_loop_is_counted(guardrail_redis: Server, guardrail_prefix: str) -> None:
    counts = Counts()
    store = RedisStore(guardrail_redis.url, deadline=PATIENT, prefix=guardrail_prefix, observer=counts)
    receipt = asyncio.run(_charge(store))
    store.settle([Settlement(receipt, "cancelled")])
    assert counts.of == {"store.lost_settlements": 1}


async def _charge(store: RedisStore) -> Receipt:
    return await store.charge(open_bill())


async def test_a_closed_store_can_be_used_again(guardrail_redis: Server, guardrail_prefix: str) -> None:
    store = RedisStore(guardrail_redis.url, deadline=PATIENT, prefix=guardrail_prefix)
    for turn in range(3):
        assert await left(store, "a:1") == 1000 - turn
        assert (await store.charge(bill("a:1"))).code == "admitted"
        await store.close()
    await store.close()


async def test_a_full_server_refuses_charges_and_lets_settle(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    counts = Counts()
    store = RedisStore(server.url, deadline=PATIENT, observer=counts)
    receipt = await store.charge(open_bill())
    server.client().config_set("maxmemory", 1)
    with pytest.raises(StoreError, match="OOM"):
        await store.charge(bill("a:2"))
    store.settle([Settlement(receipt, "cancelled")])
    await store.drain()
    server.client().config_set("maxmemory", 0)
    assert await left(store, "a:1") == 1000
    assert counts.of == {}
    await store.close()


async def test_a_script_flush_costs_nobody_anything(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    store = RedisStore(server.url, deadline=PATIENT)
    await store.open()
    server.client().script_flush()
    receipts = await asyncio.gather(*[store.charge(open_bill(f"a:{number}")) for number in range(100)])
    server.client().script_flush()
    store.settle([Settlement(receipt, "cancelled") for receipt in receipts])
    await store.drain()
    assert [await left(store, f"a:{number}") for number in range(100)] == [1000] * 100
    await store.close()


async def test_a_lost_settlement_is_sent_again_where_its_receipt_makes_that_harmless(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    counts = Counts()
    store = RedisStore(server.url, deadline=PATIENT, observer=counts)
    with_receipt, without = await store.charge(open_bill("a:1")), await store.charge(bill("a:2"))
    client = server.client()
    client.execute_command("CLIENT", "PAUSE", "10000", "WRITE")
    store.settle([Settlement(with_receipt, "cancelled"), Settlement(without, "cancelled")])
    await until(lambda: client.info("clients")["blocked_clients"] == 1)
    for connection in ours(server):
        client.client_kill_filter(_id=connection)
    client.execute_command("CLIENT", "UNPAUSE")
    await store.drain()
    assert counts.of == {"store.lost_connections": 1, "store.lost_settlements": 1}
    assert await left(store, "a:1") == 1000
    assert await left(store, "a:2") == 999
    await store.close()


async def test_settlements_wait_for_a_restart(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    counts = Counts()
    store = RedisStore(server.url, deadline=PATIENT, observer=counts)
    receipt = await store.charge(open_bill())
    server.kill()
    await until(lambda: not store._book().ways.sole._pool.all)
    store.settle([Settlement(receipt, "cancelled")])
    server.restart()
    await asyncio.wait_for(store.drain(), 5)
    assert "store.lost_settlements" not in counts.of
    assert await left(store, "a:1") == 1000
    await store.close()


async def test_a_settlement_that_makes_no_sense_is_counted_and_harms_nobody(
    guardrail_redis: Server, guardrail_prefix: str
) -> None:
    counts = Counts()
    store = RedisStore(guardrail_redis.url, deadline=PATIENT, prefix=guardrail_prefix, observer=counts)
    receipt = await store.charge(open_bill())
    store.settle([Settlement(receipt._replace(readings=()), "cancelled"), Settlement(receipt, "cancelled")])
    await store.drain()
    assert counts.of == {"store.lost_settlements": 1}
    assert await left(store, "a:1") == 1000
    await store.close()


async def test_a_command_that_is_late_twice_is_a_timeout(guardrail_redis: Server, guardrail_prefix: str) -> None:
    store = RedisStore(guardrail_redis.url, deadline=PATIENT, prefix=guardrail_prefix)
    await store.open()
    book = store._book()
    pack = book.pack
    book.pack = lambda bill, part, not_after: pack(bill, part, 1)  # type: ignore[method-assign] # noqa: ARG005
    with batches() as sent, pytest.raises(StoreTimeout, match="too late"):
        await store.charge(bill("a:1"))
    assert [len(batch) for batch in sent] == [1, 1]
    assert await left(store, "a:1") == 1000
    await store.close()
