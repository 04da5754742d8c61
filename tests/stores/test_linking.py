"""Evidence in every store at random, against plain dictionaries; and what the memory store promises beyond the contract."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from guardrail_mw.algorithms import activity, edges
from guardrail_mw.stores.base import Activity, Bill, Entry, Gcra, Graph, Held, Record, Store
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.stores.redis import RedisStore
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.servers import Server

pytestmark = pytest.mark.anyio

PATIENT = 10_000_000
TAKE = (Gcra("f", 0, 1, 1_000_000, 8),)
TODAY = 365
CLUSTERS = ("0123456789ab", "ba9876543210")
ACCOUNTS = [f"a:{number:08d}-_aaaaaaaaaaaa" for number in range(12)]
KEYS = [
    low | high << 16 for low in (0x1234, 0x5234, 0xFFFF) for high in (0, 1, 0x0100, 0x0101, 0x0101_0101, 2**46, 2**47 - 1)
]
KEYS += [9 << 57 | number << 12 | 0x234 for number in range(70)]
"""Few buckets, and bytes that look like one another."""


async def show(store: Store, number: int, account: str, keys: list[int]) -> tuple[Record, ...]:
    receipt = await store.charge(
        Bill(f"{number:024x}", (Entry(account, TAKE),), account, account, 0, proved=True, edges=tuple(keys))
    )
    assert receipt.code == "admitted"
    await store.drain()
    return receipt.records


CHEAP = {4, 5, 7, *range(9, 32)}
"""Codes of what anybody can send."""


class Naive:
    """Who shows what, in sets."""

    def __init__(self) -> None:
        self.edges: dict[str, dict[int, list[int]]] = {account: {} for account in ACCOUNTS}
        self.order: dict[int, list[str]] = {}
        self.shared: dict[int, str | None] = {}
        """Of values that several have held at once: who was first, None where that one left."""
        self.said: dict[int, tuple[int, tuple[tuple[str, int], ...]]] = {}

    def show(self, account: str, keys: list[int], day: int) -> list[Record]:
        mine = self.edges[account]
        for key in keys:
            if key in mine:
                mine[key][1] = day
        had = [key in mine for key in keys]
        gone: list[int] = []
        new = []
        for key, before in zip(keys, had, strict=True):
            new.append(not before and key not in mine)
            if new[-1]:
                if len(mine) == 64:
                    old = [each for each, (_, last) in mine.items() if day - last > 90]
                    cheap = {each: last for each, (_, last) in mine.items() if each >> 57 in CHEAP}
                    going = cheap or {each: last for each, (_, last) in mine.items()}
                    old = old or [min(going, key=going.__getitem__)]
                    for each in old:
                        del mine[each]
                    gone += old
                mine[key] = [day * 24, day]
        records = []
        for key, is_new in zip(keys, new, strict=True):
            if is_new:
                self._hold(account, key)
            records.append(self._record(account, key))
        for key in gone:
            self._drop(account, key)
        return records

    def forget(self, account: str, keys: list[int]) -> None:
        for key in keys:
            if self.edges[account].pop(key, None):
                self._drop(account, key)

    def mark(self, clusters: dict[int, tuple[tuple[str, int], ...]], established: dict[int, int]) -> None:
        self.said = {}
        for key in {*clusters, *established}:
            if not self.order.get(key):
                continue
            if clusters.get(key):
                self.shared.setdefault(key, self.order[key][0])
            if key in self.shared:
                self.said[key] = (established.get(key, 0), clusters.get(key, ()))

    def _hold(self, account: str, key: int) -> None:
        holders = self.order.setdefault(key, [])
        holders.append(account)
        if len(holders) == 2:
            self.shared.setdefault(key, holders[0])

    def _drop(self, account: str, key: int) -> None:
        self.order[key].remove(account)
        if self.shared.get(key) == account:
            self.shared[key] = None
        if not self.order[key]:
            self.shared.pop(key, None)
            self.said.pop(key, None)

    def _record(self, account: str, key: int) -> Record:
        if key not in self.shared:
            return Record(1, account[2:10], 0, ())
        first = self.shared[key]
        return Record(len(self.order[key]), first[2:10] if first else "", *self.said.get(key, (0, ())))

    def held(self) -> dict[str, bytes]:
        return {
            account: edges.pack([edges.Edge(key, first, last % 256) for key, (first, last) in mine.items()])
            for account, mine in self.edges.items()
            if mine
        }


@pytest.fixture(params=["memory", "redis", "valkey", "fakeredis", "cluster"])
async def store(request: pytest.FixtureRequest, clock: FakeClock) -> AsyncIterator[Any]:
    if request.param == "memory":
        made: Any = MemoryStore(clock=clock)
    else:
        server: Server = request.getfixturevalue(f"guardrail_{request.param}")
        prefix = request.getfixturevalue("guardrail_prefix")
        made = RedisStore(server.url, deadline=PATIENT, prefix=prefix, clock=clock)
    yield made
    await made.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def held(store: Graph) -> dict[str, Held]:
    return {each.account: each async for batch in store.read(0) for each in batch}


@pytest.mark.parametrize("seed", [1, 2])
async def test_at_random(store: Any, clock: FakeClock, seed: int) -> None:
    rng = random.Random(seed)
    naive, day = Naive(), TODAY
    for number in range(160):
        account = rng.choice(ACCOUNTS)
        what = rng.random()
        if what < 0.6:
            keys = rng.sample(KEYS, rng.choice([1, 3, 12, 40]))
            assert list(await show(store, number, account, keys)) == naive.show(account, keys, day)
        elif what < 0.7:
            keys = rng.sample(KEYS, 30)
            await store.unlink(account, keys)
            naive.forget(account, [key for key in naive.edges[account] if key in keys])
        elif what < 0.8:
            keys = rng.sample(KEYS, 20)
            await store.link(account, keys)
            naive.show(account, keys, day)
            await store.drain()
        elif what < 0.9:
            clusters = {key: tuple((each, rng.randrange(9)) for each in CLUSTERS[: rng.randrange(3)]) for key in KEYS[::2]}
            established = {key: rng.randrange(3) for key in rng.sample(KEYS, 30)}
            clusters = {key: clusters[key] for key in rng.sample(sorted(clusters), 20)}
            await store.mark(clusters, established)
            naive.mark(clusters, established)
        elif what < 0.97:
            days = rng.choice([1, 9, 30])  # no edge is left for 256 days: then its age begins anew
            clock.advance(days * 86_400)
            day += days
        else:
            before = day - rng.choice([0, 30, 95])
            old = {name: [key for key, (_, last) in its.items() if last < before] for name, its in naive.edges.items()}
            assert await store.sweep(before) == sum(map(len, old.values()))
            for name, keys in old.items():
                naive.forget(name, keys)
    assert {account: each.edges for account, each in (await held(store)).items() if each.edges} == naive.held()


class TestMemory:
    """Bounds."""

    async def test_who_showed_something_longest_ago_makes_room(self, clock: FakeClock) -> None:
        store = MemoryStore(clock=clock, max_subjects=3)
        for number in range(3):
            await show(store, number, ACCOUNTS[number], [7, 100 + number])
        await store.note([Activity(ACCOUNTS[0], 9000, 1, 1)])
        assert await show(store, 9, ACCOUNTS[3], [7]) == (Record(3, "00000000", 0, ()),)
        assert sorted(await held(store)) == [ACCOUNTS[0], ACCOUNTS[2], ACCOUNTS[3]]
        assert await show(store, 10, ACCOUNTS[0], [7, 101]) == (Record(3, "00000000", 0, ()), Record(1, "00000000", 0, ()))

    async def test_what_is_dropped_leaves_nothing_behind(self, clock: FakeClock) -> None:
        store = MemoryStore(clock=clock)
        for number, account in enumerate(ACCOUNTS):
            await show(store, number, account, KEYS[:10] + KEYS[number + 10 : number + 12])
            await store.note([Activity(account, 9000, 1, 1)])
        await store.mark({KEYS[0]: ((CLUSTERS[0], 1),)}, {KEYS[1]: 3})
        for account in ACCOUNTS:
            assert await store.erase(account)
        linked = store._linked
        await store.mark({}, {})
        assert (linked._accounts, linked._buckets, linked._records, linked._marked) == ({}, {}, {}, set())

    async def test_an_account_of_which_nothing_is_left_goes(self, clock: FakeClock) -> None:
        store = MemoryStore(clock=clock)
        await show(store, 1, ACCOUNTS[0], [7])
        await store.note([Activity(ACCOUNTS[1], 24 * TODAY, 1, 1)])
        await store.unlink(ACCOUNTS[0], [7])
        assert list(store._linked._accounts) == [ACCOUNTS[1]]
        assert await store.sweep(TODAY + 1) == 0
        assert store._linked._accounts == {}

    async def test_bytes_are_what_redis_has(self, clock: FakeClock) -> None:
        store = MemoryStore(clock=clock)
        await show(store, 1, ACCOUNTS[0], [7])
        [each] = (await held(store)).values()
        assert (each.edges, each.activity) == (edges.pack([edges.Edge(7, 24 * TODAY, TODAY % 256)]), activity.EMPTY)
