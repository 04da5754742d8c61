"""Each of our stores is held to the one contract."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from guardrail_mw.stores.base import Store
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.stores.redis.store import RedisStore
from guardrail_mw.testing.bills import budget, look, settled, share, shown, take
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.contract import StoreContract, SubjectsContract
from guardrail_mw.testing.servers import Server

PATIENT = 10_000_000
"""µs: these tests ask what a store answers, not how soon."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class TestMemory(StoreContract, SubjectsContract):
    @pytest.fixture
    async def store(self, clock: FakeClock) -> AsyncIterator[Store]:
        store = MemoryStore(clock=clock)
        yield store
        await store.close()

    async def subjects(self, store: Store) -> int:
        assert isinstance(store, MemoryStore)
        return store.subjects()


class OnServer(StoreContract):
    """Over one of the servers; a subclass says which."""

    @pytest.fixture
    def server(self) -> Server:
        raise NotImplementedError

    @pytest.fixture
    async def store(self, clock: FakeClock, server: Server, guardrail_prefix: str) -> AsyncIterator[Store]:
        store = RedisStore(server.url, deadline=PATIENT, prefix=guardrail_prefix, clock=clock)
        yield store
        await store.close()


class TestRedis(OnServer):
    @pytest.fixture
    def server(self, guardrail_redis: Server) -> Server:
        return guardrail_redis


class TestValkey(OnServer):
    @pytest.fixture
    def server(self, guardrail_valkey: Server) -> Server:
        return guardrail_valkey


class TestFakeredis(OnServer):
    @pytest.fixture
    def server(self, guardrail_fakeredis: Server) -> Server:
        return guardrail_fakeredis


class TestCluster(OnServer):
    exact = False

    @pytest.fixture
    def server(self, guardrail_cluster: Server) -> Server:
        return guardrail_cluster


@pytest.mark.anyio
async def test_a_share_comes_back_though_the_server_collected_its_receipts(
    guardrail_redis: Server, guardrail_prefix: str, clock: FakeClock
) -> None:
    """The receipts end 31 s after a process died; what else the account has spent keeps its hash for a year."""
    store = RedisStore(guardrail_redis.url, deadline=PATIENT, prefix=guardrail_prefix, clock=clock)
    lost = await take(store, share(70), budget(1, calendar="year"))
    clock.advance(31)
    guardrail_redis.client().delete(f"{guardrail_prefix}{{a:0001}}:r")
    assert await look(store, share(0)) == [(100, 0)]
    again = await take(store, share(60))
    assert shown(again) == [(True, 40, 0, 0)]
    [lost] = await store.renew([lost])
    assert await look(store, share(0)) == [(0, 0)]
    await settled(store, lost)
    assert await look(store, share(0)) == [(40, 0)]
    await settled(store, again)
    assert await look(store, share(0)) == [(100, 0)]
    await store.close()
