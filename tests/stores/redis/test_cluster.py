"""A bill over several slots; slots that move, nodes that die, masters that change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, Self

import pytest
from redis import Redis

from guardrail_mw.errors import StoreError, StoreTimeout
from guardrail_mw.stores.base import Change, Gcra, Receipt, Settlement
from guardrail_mw.stores.redis import RedisStore, codec
from guardrail_mw.stores.redis.batches import Lane, Redirect
from guardrail_mw.stores.redis.cluster import Topology
from guardrail_mw.stores.redis.nodes import Address, dial, parse, slots
from guardrail_mw.testing.servers import Cluster, start_cluster

from .transport import Counts, Start, Told, bill, call, left

pytestmark = pytest.mark.anyio
HOUR = 3_600_000_000
PATIENT = 5_000_000
OPEN = Gcra("k", 5, 1, HOUR, 1000, reserved=True)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Of this module alone: its slots move."""
    started = start_cluster()
    yield started
    started.stop()


class Nodes:
    """The nodes of a cluster by the slots that they serve."""

    def __init__(self, cluster: Cluster) -> None:
        self.clients = [Redis(port=node.port) for node in cluster.nodes]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self.clients:
            client.close()

    def name(self, index: int) -> str:
        return str(self.clients[index].execute_command("CLUSTER", "MYID").decode())

    def setslot(self, index: int, slot: int, *words: str) -> None:
        self.clients[index].execute_command("CLUSTER", "SETSLOT", str(slot), *words)

    def begin(self, slot: int, source: int, target: int) -> None:
        """The slot begins to move."""
        self.setslot(target, slot, "IMPORTING", self.name(source))
        self.setslot(source, slot, "MIGRATING", self.name(target))

    def end(self, slot: int, target: int) -> None:
        """The slot has moved; the others hear of it before they are asked."""
        for index in (target, *(each for each in range(3) if each != target)):
            self.setslot(index, slot, "NODE", self.name(target))
        port = self.clients[target].connection_pool.connection_kwargs["port"]
        bound = monotonic() + 5
        while any(self.owner(index, slot) != port for index in range(3)):
            assert monotonic() < bound, "the nodes do not agree"

    def owner(self, index: int, slot: int) -> int:
        """The port of whoever serves a slot, as one node sees it."""
        ranges = self.clients[index].execute_command("CLUSTER", "SLOTS")
        return next(int(port) for first, last, (_, port, *_), *_ in ranges if first <= slot <= last)

    def carry(self, slot: int, source: int, target: int) -> None:
        """Move the slot's keys."""
        keys = self.clients[source].execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1000)
        port: Any = self.clients[target].connection_pool.connection_kwargs["port"]
        if keys:
            self.clients[source].execute_command("MIGRATE", "127.0.0.1", port, "", 0, 5000, "KEYS", *keys)


def owner(home: str) -> int:
    """Index of the node that `start_cluster` gave a home's slot to."""
    return codec.key_slot(home) * 3 // 16_384


def home_of(node: int, letter: str = "a", start: int = 0) -> str:
    """A home whose slot begins on that node. Each slot that moves has a `start` of its own, so that it needs not move back."""
    return next(home for number in range(start, start + 100) if owner(home := f"{letter}:{number}") == node)


async def test_the_layout_is_asked_of_any_node(cluster: Cluster) -> None:
    ports = [node.port for node in cluster.nodes]
    target = parse(f"redis+cluster://127.0.0.1:1,127.0.0.1:{ports[2]}")
    found = await slots(target, Address("127.0.0.1", ports[2]))
    for index, port in enumerate(ports):
        slot = codec.key_slot(home_of(index))
        assert [master for first, last, master in found if first <= slot <= last] == [Address("127.0.0.1", port)]
    store = RedisStore(f"redis+cluster://127.0.0.1:1,127.0.0.1:{ports[2]}", deadline=PATIENT)
    assert (await store.charge(bill(home_of(0), home_of(1), home_of(2)))).code == "admitted"
    await store.close()


async def test_a_standalone_server_is_no_cluster(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    store = RedisStore(server.url.replace("redis://", "redis+cluster://").removesuffix("/0"))
    with pytest.raises(StoreError, match="no Redis Cluster"):
        await store.charge(bill("a:1"))
    await store.close()


async def test_where_one_slot_refuses_the_others_get_theirs_back(cluster: Cluster, guardrail_prefix: str) -> None:
    store = RedisStore(cluster.url, deadline=PATIENT, prefix=guardrail_prefix)
    full, one, two = home_of(0), home_of(1), home_of(2)
    empty = await store.charge(bill(full, steps=(Gcra("k", 1000, 1, HOUR, 1000),)))
    assert empty.code == "admitted"
    for homes in ((full, one, two), (one, full, two), (two, one, full)):
        for step in (OPEN, OPEN._replace(reserved=False)):
            receipt = await store.charge(bill(*homes, steps=(step,)))
            assert receipt.code == "denied"
            assert [reading.ok for reading in receipt.readings] == [home != full for home in homes]
            assert not receipt.open
    await store.drain()
    assert [await left(store, home) for home in (one, two)] == [1000, 1000]
    await store.close()


async def test_where_the_standing_is_stale_nothing_stays_charged(cluster: Cluster, guardrail_prefix: str) -> None:
    store = RedisStore(cluster.url, deadline=PATIENT, prefix=guardrail_prefix)
    account, network = home_of(0), home_of(1, "n")
    version = await store.remember(account, [Change("set", "verdict", "suspect")])
    receipt = await store.charge(bill(account, network, steps=(OPEN,))._replace(candidate=account))
    assert receipt.code == "stale"
    assert receipt.standing is not None
    assert (receipt.standing.version, receipt.standing.fields) == (version, {"verdict": "suspect"})
    await store.drain()
    assert [await left(store, home) for home in (account, network)] == [1000, 1000]
    await store.close()


async def test_a_slot_that_has_moved_is_followed(cluster: Cluster, guardrail_prefix: str) -> None:
    counts = Counts()
    store = RedisStore(cluster.url, deadline=PATIENT, prefix=guardrail_prefix, observer=counts)
    home, other = home_of(0, start=100), home_of(1)
    slot = codec.key_slot(home)
    receipt = await store.charge(bill(home, other, steps=(OPEN,)))
    with Nodes(cluster) as nodes:
        nodes.begin(slot, 0, 2)
        nodes.carry(slot, 0, 2)
        nodes.end(slot, 2)
    store.settle([Settlement(receipt, "settled", used=(2, 2))])
    await store.drain()
    assert [await left(store, each) for each in (home, other)] == [998, 998]
    moved = counts.of["store.moved"]
    assert moved == 1
    receipts = await asyncio.gather(*[store.charge(bill(home, other)) for _ in range(50)])
    assert {each.code for each in receipts} == {"admitted"}
    assert counts.of["store.moved"] == moved
    assert [await left(store, each) for each in (home, other)] == [948, 948]
    await store.close()


async def test_a_slot_on_the_move_is_asked_for_where_it_goes(cluster: Cluster, guardrail_prefix: str) -> None:
    counts = Counts()
    store = RedisStore(cluster.url, deadline=PATIENT, prefix=guardrail_prefix, observer=counts)
    home, other = home_of(0, start=200), home_of(1)
    slot = codec.key_slot(home)
    with Nodes(cluster) as nodes:
        nodes.begin(slot, 0, 2)
        # No key is there yet: the source sends everybody to the target, which serves whoever says ASKING.
        receipts = await asyncio.gather(*[store.charge(bill(home, other)) for _ in range(100)])
        assert {each.code for each in receipts} == {"admitted"}
        assert counts.of["store.ask"] == 100
        assert "store.moved" not in counts.of
        nodes.end(slot, 2)
    assert [await left(store, each) for each in (home, other)] == [900, 900]
    await store.close()


async def test_keys_on_both_sides_are_tried_once_more_then_the_request_fails(
    cluster: Cluster, guardrail_prefix: str
) -> None:
    counts = Counts()
    store = RedisStore(cluster.url, deadline=PATIENT, prefix=guardrail_prefix, observer=counts)
    home, other = home_of(0, start=300), home_of(1)
    slot = codec.key_slot(home)
    await store.charge(bill(home, other))
    with Nodes(cluster) as nodes:
        nodes.begin(slot, 0, 2)
        # The home's hash is here, its receipts are nowhere: a script that names both must wait until the slot has moved.
        with pytest.raises(StoreError, match="TRYAGAIN"):
            await store.charge(bill(home, other, steps=(OPEN,)))
        assert counts.of["store.tryagain"] == 1
        await store.drain()
        nodes.carry(slot, 0, 2)
        nodes.end(slot, 2)
    assert (await store.charge(bill(home, other, steps=(OPEN,)))).code == "admitted"
    assert [await left(store, each) for each in (home, other)] == [994, 994]
    await store.close()


async def test_a_dead_nodes_slots_fail_alone_and_come_back_within_a_second(guardrail_start: Start) -> None:
    cluster = guardrail_start("cluster")
    assert isinstance(cluster, Cluster)
    store = RedisStore(cluster.url, deadline=PATIENT)
    homes = [home_of(index) for index in range(3)]
    assert (await store.charge(bill(*homes))).code == "admitted"
    cluster.nodes[2].kill()
    for _ in range(5):
        with pytest.raises(StoreError):
            await store.charge(bill(*homes))
    await store.drain()
    assert [await left(store, home) for home in homes[:2]] == [999, 999]
    assert (await store.charge(bill(*homes[:2]))).code == "admitted"
    cluster.nodes[2].restart()
    back = monotonic()
    while True:
        try:
            receipt = await store.charge(bill(homes[2]))
            break
        except StoreError as error:
            if "CLUSTERDOWN" in error.detail:
                back = monotonic()  # the node is up, and does not serve yet
            assert monotonic() - back < 1
            await asyncio.sleep(0.001)
    assert receipt.code == "admitted"
    await store.close()


async def test_a_frozen_node_makes_late_only_those_who_need_it(guardrail_start: Start) -> None:
    cluster = guardrail_start("cluster")
    assert isinstance(cluster, Cluster)
    store = RedisStore(cluster.url, deadline=100_000)
    homes = [home_of(index) for index in range(3)]
    for home in homes:
        await left(store, home)
    cluster.nodes[1].freeze()
    ends = await asyncio.gather(
        store.charge(bill(homes[0], homes[1])),
        store.charge(bill(homes[0], homes[2])),
        return_exceptions=True,
    )
    assert isinstance(ends[0], StoreTimeout)
    assert not isinstance(ends[1], BaseException)
    cluster.thaw()
    await store.drain()
    assert [await left(store, home) for home in homes] == [999, 1000, 999]
    await store.close()


async def test_sentinels_lead_to_the_new_master(guardrail_start: Start) -> None:
    sentinel = guardrail_start("sentinel")
    store = RedisStore(sentinel.url, deadline=PATIENT)
    assert (await store.charge(bill("a:1"))).code == "admitted"
    await store.drain()
    old = sentinel.pid
    sentinel.kill()
    failures = 0
    end = monotonic() + 10
    while True:
        try:
            receipt = await store.charge(bill("a:1"))
            break
        except StoreError:
            failures += 1
            assert monotonic() < end
            await asyncio.sleep(0.001)
    assert receipt.code == "admitted"
    assert failures
    assert sentinel.pid != old
    await store.close()


async def test_a_master_that_became_a_replica_is_not_taken(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    server.client().execute_command("REPLICAOF", "127.0.0.1", "1")
    port = server.url.rpartition(":")[2].removesuffix("/0").encode()
    async with Told(b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%b\r\n" % (len(port), port)) as sentinel:
        store = RedisStore(sentinel.url.replace("redis:", "redis+sentinel:") + "/guardrail")
        with pytest.raises(StoreError, match="none yet"):
            await store.open()
        await store.close()
    assert sentinel.heard == [[b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", b"guardrail"]]


async def test_sentinels_that_know_no_such_service(guardrail_start: Start) -> None:
    sentinel = guardrail_start("sentinel")
    store = RedisStore(sentinel.url.replace("/guardrail", "/other"))
    with pytest.raises(StoreError, match="knows no other"):
        await store.open()
    await store.close()


def test_what_one_event_loop_charged_another_settles(cluster: Cluster, guardrail_prefix: str) -> None:
    store = RedisStore(cluster.url, deadline=PATIENT, prefix=guardrail_prefix)
    homes = home_of(0), home_of(1)
    receipt = asyncio.run(_charge(store, *homes))

    async def settle() -> list[int]:
        store.settle([Settlement(receipt, "cancelled")])
        await store.drain()
        return [await left(store, home) for home in homes]

    assert asyncio.run(settle()) == [1000, 1000]


async def _charge(store: RedisStore, *homes: str) -> Receipt:
    return await store.charge(bill(*homes, steps=(OPEN,)))


async def test_a_cluster_that_cannot_be_reached(caplog: pytest.LogCaptureFixture) -> None:
    counts = Counts()
    store = RedisStore("redis+cluster://127.0.0.1:1", observer=counts)
    for _ in range(3):
        with pytest.raises(StoreError, match="cannot be reached") as caught:
            await store.charge(bill("a:1"))
    assert isinstance(caught.value.__cause__, StoreError)
    assert caplog.text.count("no node") == 1  # one question in a tenth of a second
    receipt = Receipt(bill("a:1", steps=(OPEN,)), "admitted", 1, None, (), open=True)
    store.settle([Settlement(receipt, "cancelled")])
    await store.drain()
    assert counts.of["store.lost_settlements"] == 1
    await store.close()


async def test_errands_of_a_master_that_is_no_more_go_to_its_heir(guardrail_start: Start) -> None:
    gone, heir = guardrail_start("redis"), guardrail_start("redis")
    gone.kill()
    addresses = [Address("127.0.0.1", each.process.port) for each in (gone, heir)]  # type: ignore[attr-defined]
    target = parse("redis://127.0.0.1")

    def make(address: Address, redirect: Redirect, on_down: Callable[[], None]) -> Lane:
        return Lane(lambda: dial(target, [], address), deadline=1, observer=Counts(), redirect=redirect, on_down=on_down)

    topology = Topology(target, make)
    topology._adopt([(0, 99, addresses[0])])
    carried, dropped = call("ECHO", "carried"), call("ECHO", "dropped")
    for slot, errand in ((7, carried), (99, dropped)):
        errand.slot = slot
        topology.lane(slot).errand(errand)
    topology._adopt([(0, 98, addresses[1])])
    assert await carried.future == b"carried"
    with pytest.raises(StoreError, match="some of its slots"):
        await dropped.future
    with pytest.raises(StoreError, match="some of its slots"):
        topology.lane(99)
    await topology.close()
    late = call("ECHO", "late")
    topology._redirect(addresses[1], late, ask=False, slot=1, address=":1")
    with pytest.raises(StoreError, match="closed"):
        await late.future
