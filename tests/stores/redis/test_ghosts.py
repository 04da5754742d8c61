"""What the store has charged is what callers were told: whoever leaves, whenever, and however the server stalls."""

from __future__ import annotations

import asyncio
import random
import threading
from time import monotonic

import pytest

from guardrail_mw.errors import StoreError, StoreTimeout
from guardrail_mw.stores.base import Bill, Gcra
from guardrail_mw.stores.redis import RedisStore, codec
from guardrail_mw.stores.redis.pipes import Pipe
from guardrail_mw.testing.servers import Server

from .transport import Counts, Start, bill, left, until

pytestmark = pytest.mark.anyio
HOUR = 3_600_000_000
PATIENT = 5_000_000
STEP = Gcra("k", 1, 1, HOUR, 100_000)
BASE = 10_000
"""Units charged beforehand: a bucket so far from full owes back whatever is cancelled, in whatever order."""
OPEN = STEP._replace(reserved=True)
KINDS = ["redis", "valkey", "cluster"]


@pytest.fixture(params=KINDS)
def real(request: pytest.FixtureRequest) -> Server:
    """Each server that is no imitation."""
    server: Server = request.getfixturevalue(f"guardrail_{request.param}")
    return server


def hit(*, receipt: bool = False) -> Bill:
    return bill("a:1", "n:2", "e", steps=(OPEN if receipt else STEP,))


async def begun(store: RedisStore, url: str, prefix: str = "gr:") -> None:
    """Charge the store's homes `BASE`, by a store of one's own, and make this one's connections: neither has a deadline of ms."""
    patient = RedisStore(url, deadline=PATIENT, prefix=prefix)
    receipt = await patient.charge(bill("a:1", "n:2", "e", steps=(STEP._replace(cost=BASE),)))
    assert receipt.code == "admitted"
    await patient.close()
    await store._book().ways.ask_all([(home, codec.command("PING")) for home in ("a:1", "n:2", "e")])


async def charged(store: RedisStore) -> list[int]:
    """Units that each home was charged since."""
    await store.drain()
    return [STEP.burst - BASE - await left(store, home, STEP) for home in ("a:1", "n:2", "e")]


class Crowd:
    """Callers, and how many of them were told that they are admitted."""

    def __init__(self, store: RedisStore) -> None:
        self.store = store
        self.told = 0
        self.failed: list[StoreError] = []

    async def __call__(self, *, receipt: bool = False) -> None:
        try:
            answer = await self.store.charge(hit(receipt=receipt))
        except StoreError as error:
            self.failed.append(error)
        else:
            self.told += answer.code == "admitted"


@pytest.mark.parametrize("receipt", [False, True])
async def test_a_waiter_cancelled_at_any_turn_of_the_loop(real: Server, guardrail_prefix: str, receipt: bool) -> None:
    store = RedisStore(real.url, deadline=PATIENT, prefix=guardrail_prefix)
    await begun(store, real.url, guardrail_prefix)
    crowd = Crowd(store)
    for turns in range(60):
        tasks = [asyncio.create_task(crowd(receipt=receipt)) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks[:2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert crowd.told >= 60
    assert await charged(store) == [crowd.told] * 3
    await store.close()


@pytest.mark.parametrize("receipt", [False, True])
async def test_a_waiter_cancelled_between_the_answer_and_its_waking(
    real: Server,
    guardrail_prefix: str,
    receipt: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = Counts()
    store = RedisStore(real.url, deadline=PATIENT, prefix=guardrail_prefix, observer=counts)
    await begun(store, real.url, guardrail_prefix)
    crowd = Crowd(store)
    tasks: list[asyncio.Task[None]] = []
    heard = Pipe.data_received

    def cancel_after(self: Pipe, data: bytes) -> None:
        heard(self, data)
        for task in tasks:
            task.cancel()

    monkeypatch.setattr(Pipe, "data_received", cancel_after)
    tasks += [asyncio.create_task(crowd(receipt=receipt)) for _ in range(5)]
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    monkeypatch.undo()
    assert [type(end) for end in ends] == [asyncio.CancelledError] * 5
    assert await charged(store) == [0] * 3
    assert counts.of["store.given_back"] >= 5
    await store.close()


async def test_a_waiter_whose_coroutine_is_closed(guardrail_redis: Server, guardrail_prefix: str) -> None:
    store = RedisStore(guardrail_redis.url, deadline=PATIENT, prefix=guardrail_prefix)
    await begun(store, guardrail_redis.url, guardrail_prefix)
    charge = store.charge(hit())
    charge.send(None)
    await asyncio.sleep(0)
    charge.close()
    assert await charged(store) == [0] * 3
    await store.close()


async def test_who_is_late_is_told_so_and_what_comes_of_it_is_given_back(real: Server, guardrail_prefix: str) -> None:
    counts = Counts()
    store = RedisStore(real.url, prefix=guardrail_prefix, observer=counts)
    await begun(store, real.url, guardrail_prefix)
    # A clock that is believed to be an hour ahead lets commands run that should have been too late.
    book = store._book()
    for lane in book.ways.lanes():
        lane.time._high = lane.time._low = lane.time._high + HOUR
    crowd = Crowd(store)
    real.freeze()
    await asyncio.gather(*[crowd() for _ in range(20)])
    real.thaw()
    assert crowd.told == 0
    assert {type(error) for error in crowd.failed} == {StoreTimeout}
    assert len(crowd.failed) == 20
    assert await charged(store) == [0] * 3
    assert counts.of["store.given_back"] >= 20
    assert "store.lost_charges" not in counts.of
    await store.close()


async def test_a_command_that_arrives_late_charges_nothing(real: Server, guardrail_prefix: str) -> None:
    counts = Counts()
    store = RedisStore(real.url, prefix=guardrail_prefix, observer=counts)
    await begun(store, real.url, guardrail_prefix)
    crowd = Crowd(store)
    real.freeze()
    frozen = monotonic()
    await asyncio.gather(*[crowd() for _ in range(20)])
    await until(lambda: monotonic() > frozen + 0.2)  # by more than the store's time is known to
    real.thaw()
    assert len(crowd.failed) == 20
    assert await charged(store) == [0] * 3
    assert "store.given_back" not in counts.of
    await store.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_deadlines_of_milliseconds_over_a_server_that_stalls(kind: str, guardrail_start: Start) -> None:
    server = guardrail_start(kind)
    dice = random.Random(20260224)
    counts = Counts()
    stores = [RedisStore(server.url, deadline=each * 1000, observer=counts) for each in (1, 3, 8, 25)]
    for store in stores:
        await store.open()
    await begun(stores[3], server.url)
    over = threading.Event()

    def stall() -> None:
        while not over.is_set():
            server.freeze()
            over.wait(dice.uniform(0.001, 0.06))
            thaw(server)
            over.wait(dice.uniform(0.001, 0.06))

    stalling = threading.Thread(target=stall)
    stalling.start()
    told = 0
    leavers = random.Random(7)
    try:
        for _ in range(20):
            crowds = [Crowd(store) for store in stores]
            tasks = [asyncio.create_task(crowds[each % 4](receipt=each % 8 < 4)) for each in range(100)]
            for task in tasks:
                if leavers.random() < 0.3:
                    asyncio.get_running_loop().call_later(leavers.uniform(0, 0.02), task.cancel)
            await asyncio.wait(tasks)
            await asyncio.sleep(leavers.uniform(0, 0.02))
            told += sum(crowd.told for crowd in crowds)
    finally:
        over.set()
        stalling.join()
    for store in stores:
        await store.drain()
    assert told > 0
    after = await charged(stores[3])
    lost = counts.of["store.lost_charges"] + counts.of["store.lost_settlements"]
    assert all(told <= each <= told + lost for each in after), (told, lost, after, counts.of)
    for store in stores:
        await store.close()


def thaw(server: Server) -> None:
    """A cluster's own `thaw` waits until its nodes agree; here nobody waits."""
    for process in getattr(server, "nodes", [server]):
        process.thaw()
