"""What the server's own expiry does: nothing lives for ever, and nothing that counts goes before its time.

On the server's clock, so times are bounds: a test may take seconds. The contract's tests cannot see this, for the scripts keep
everything for an hour where a test gives them their time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from guardrail_mw.algorithms.window import calendar
from guardrail_mw.clock import SystemClock
from guardrail_mw.stores.base import Change
from guardrail_mw.stores.redis.store import RedisStore
from guardrail_mw.testing.bills import (
    HOUR,
    SECOND,
    bucket,
    budget,
    counted,
    distinct,
    lease,
    settled,
    share,
    sketch,
    take,
    window,
)
from guardrail_mw.testing.servers import Server

pytestmark = pytest.mark.anyio

PATIENT = 10_000_000
LATE = 20
"""Seconds that a test may take."""
HOME = "{a:0001}"
Left = Callable[[], dict[str, float]]


@pytest.fixture
async def store(guardrail_redis: Server, guardrail_prefix: str) -> AsyncIterator[RedisStore]:
    store = RedisStore(guardrail_redis.url, deadline=PATIENT, prefix=guardrail_prefix)
    yield store
    await store.close()


@pytest.fixture
def left(guardrail_redis: Server, guardrail_prefix: str) -> Left:
    """Seconds that each key has left, without the prefix."""

    def left() -> dict[str, float]:
        client = guardrail_redis.client()
        keys = client.keys(f"{guardrail_prefix}*")
        return {key.decode().removeprefix(guardrail_prefix): client.pttl(key) / 1000 for key in keys}

    return left


def lasts(seconds: float, at_least: float) -> bool:
    """As long as it counts, and not much longer: a quarter, and what the next charges would else have to write again."""
    return at_least - LATE < seconds < at_least * 1.25 + LATE


async def test_a_bucket(store: RedisStore, left: Left) -> None:
    await take(store, bucket(100, 100))
    assert list(left()) == [HOME]
    assert lasts(left()[HOME], 100)


async def test_a_debt(store: RedisStore, left: Left) -> None:
    await settled(store, await take(store, bucket(1, 100, reserved=True)), 5000)
    assert lasts(left()[HOME], 5000)


async def test_a_window(store: RedisStore, left: Left) -> None:
    await take(store, bucket(1), window(1, length=2 * HOUR))
    assert lasts(left()[HOME], 7200 * 21 / 20)


async def test_a_window_s_debt(store: RedisStore, left: Left, guardrail_redis: Server, guardrail_prefix: str) -> None:
    """Its pane is the running one: it counts longer than what was charged."""
    receipt = await take(store, window(1, length=2 * HOUR, reserved=True))
    guardrail_redis.client().hset(f"{guardrail_prefix}{HOME}", "t", f"{receipt.now} 0 {receipt.now + SECOND}")
    guardrail_redis.client().pexpire(f"{guardrail_prefix}{HOME}", 60_000)
    await settled(store, receipt, 5)
    assert lasts(left()[HOME], 7200 * 21 / 20)


async def test_a_budget(store: RedisStore, left: Left) -> None:
    now = SystemClock().now()
    await take(store, budget(1, calendar="year"))
    assert lasts(left()[HOME], (calendar(now, "year")[1] - now) / SECOND)


async def test_a_lease_and_a_share(store: RedisStore, left: Left) -> None:
    await take(store, lease(), share(1))
    assert sorted(left()) == [HOME, f"{HOME}:l:lease", f"{HOME}:r"]
    assert all(lasts(seconds, 30) for seconds in left().values())


async def test_a_renewal_prolongs(store: RedisStore, left: Left, guardrail_redis: Server, guardrail_prefix: str) -> None:
    receipt = await take(store, lease(), share(1), bucket(1, reserved=True))
    for key in left():
        guardrail_redis.client().pexpire(f"{guardrail_prefix}{key}", 25_000)
    guardrail_redis.client().hset(f"{guardrail_prefix}{HOME}", "t", f"{receipt.now} 0 {receipt.now + 25 * SECOND}")
    await store.renew([receipt])
    assert sorted(left()) == [HOME, f"{HOME}:l:lease", f"{HOME}:r"]
    assert all(25 < seconds < 60 for seconds in left().values())


async def test_distinct_values(store: RedisStore, left: Left) -> None:
    for number in range(65):
        await take(store, distinct(number, 2 * HOUR))
    assert lasts(left()[f"{HOME}:d:distinct"], 7200 * 61 / 60)
    assert lasts(left()[HOME], 7200 * 61 / 60)  # the pane of what was pushed out


async def test_a_value_of_a_refused_bill(
    store: RedisStore, left: Left, guardrail_redis: Server, guardrail_prefix: str
) -> None:
    """The hash tells an operator of the values' key, for as long as there is one."""
    receipt = await take(store, bucket(11), distinct(1, 2 * HOUR))
    assert sorted(left()) == [HOME, f"{HOME}:d:distinct"]
    assert all(lasts(seconds, 7200 * 61 / 60) for seconds in left().values())
    guardrail_redis.client().hset(f"{guardrail_prefix}{HOME}", "t", f"{receipt.now} 0 {receipt.now + SECOND}")
    for key in left():
        guardrail_redis.client().pexpire(f"{guardrail_prefix}{key}", 60_000)
    await take(store, bucket(11), distinct(2, 2 * HOUR))
    assert all(lasts(seconds, 7200 * 61 / 60) for seconds in left().values())


async def test_a_count(store: RedisStore, left: Left) -> None:
    """Of a bill that is refused, too; twenty-one panes from the beginning of the running one."""
    await take(store, bucket(11), counted("denied", length=2 * HOUR))
    assert list(left()) == [HOME]
    assert 7200 - LATE < left()[HOME] < 7200 * 21 / 20 * 1.25 + LATE


async def test_a_sketch(store: RedisStore, left: Left) -> None:
    await take(store, bucket(11), sketch(1, 2 * HOUR))
    [key] = [key for key in left() if key != HOME]
    assert key in {f"{HOME}:h:sketch:0", f"{HOME}:h:sketch:1"}
    assert lasts(left()[key], 2 * 7200)
    assert 7200 - LATE < left()[HOME] < 2 * 7200 * 1.25 + LATE


async def test_a_budget_of_members(store: RedisStore, left: Left) -> None:
    now = SystemClock().now()
    await store.take("deny", "a:1", 2, now + 2 * HOUR)
    await store.take("deny", "a:2", 2, now + HOUR)
    assert list(left()) == ["{t:deny}"]
    assert lasts(left()["{t:deny}"], 7200)


async def test_a_record(store: RedisStore, left: Left) -> None:
    """As long as it was said; what lists its drawer as long as the last of them."""
    now = SystemClock().now()
    await store.file("cases", "c1", [], now + 3 * HOUR)
    await store.file("cases", "c2", [Change("set", "state", "asked")], now + 2 * HOUR)
    await store.file("cases", "c2", [], now + HOUR)
    home = "{f:cases}"
    assert sorted(left()) == [home, f"{home}:r:c1", f"{home}:r:c2", f"{home}:u"]
    assert 7200 - LATE < left()[f"{home}:r:c2"] <= 7201
    assert all(10_800 - LATE < left()[key] <= 10_801 for key in (home, f"{home}:u", f"{home}:r:c1"))
    for name in ("c1", "c2"):
        assert await store.shred("cases", name)
    assert left() == {}


async def test_a_record_whose_time_is_over_leaves_nothing(store: RedisStore, left: Left) -> None:
    await store.file("cases", "c1", [Change("set", "state", "asked")], SystemClock().now() - SECOND)
    assert left() == {}


async def test_nothing_is_left_of_whom_an_operator_erased(store: RedisStore, left: Left) -> None:
    steps = (bucket(1), window(1), budget(1), lease(), share(1), distinct(1), sketch(1), counted("attempts"))
    await take(store, *steps, candidate="a:0001", proved=True)
    assert len(left()) == 6
    assert await store.erase("a:0001")
    assert left() == {}


async def test_a_standing(store: RedisStore, left: Left) -> None:
    await take(store, bucket(1), home="n:0001", candidate="a:0001", proved=True)
    assert 90 * 86_400 - LATE < left()[f"{HOME}:s"] < 91 * 86_400


async def test_what_is_refused_or_looked_at_leaves_nothing(store: RedisStore, left: Left) -> None:
    await take(store, bucket(11), window(11), budget(11))
    assert left() == {}
