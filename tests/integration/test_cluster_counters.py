"""What a cluster has consumed outlives rebuilds: parts share it until it counts no more, merged ones are charged the sum."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from guardrail_mw.algorithms import keys
from guardrail_mw.clusters.state import STATE, Cluster, Merged, State
from guardrail_mw.stores.base import Bill, Budget, Entry, Gcra, Step, Window
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.stores.redis import RedisStore
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.upstream import Upstream
from guardrail_mw.values import Facts, Subject
from guardrail_mw.worker.desk import Desk

from ..asgi.kit import JSON, Guarded, policy  # noqa: TID252 - the kit of the pipeline's tests

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
DAY = 86_400
SECRETS = {"GUARDRAIL_ID_KEY": "i" * 32, "GUARDRAIL_KEYS": "k" * 32}
POOL = {"name": "pool", "per": ["cluster"], "unit": "tokens", "budget": "100/day"}
KINDS = [
    POOL,
    {"name": "sliding", "per": ["cluster", "model"], "unit": "tokens", "window": "100/day"},
    {"name": "bucket", "per": ["cluster"], "unit": "tokens", "rate": "100/day"},
]
C, D = [f"c{number:02}" for number in range(40)], [f"d{number:02}" for number in range(20)]
Make = Callable[..., Guarded]


@pytest.fixture(params=["memory", "redis", "fakeredis", "cluster"])
async def make(request: pytest.FixtureRequest, guardrail_prefix: str) -> AsyncIterator[Make]:
    """A process on each kind of store, with limits that are given, at 9 in the morning."""
    made: list[Guarded] = []

    def making(*limits: Any) -> Guarded:
        clock = FakeClock()
        clock.advance(DAY - clock.now() // 1_000_000 % DAY + 9 * 3_600)
        store: Any = MemoryStore(clock=clock)
        if request.param != "memory":
            url = request.getfixturevalue(f"guardrail_{request.param}").url
            store = RedisStore(url, deadline=10_000_000, prefix=guardrail_prefix, clock=clock)
        document = policy(*limits, clusters={"rebuild": "apart", "content": False}, telemetry={}, reserve={"output": 40})
        made.append(Guarded(Upstream(used=(20, 40)), document, store=store, clock=clock, environ=SECRETS))
        return made[-1]

    yield making
    for each in made:
        await each.guardrail.close()


def home(site: Guarded, name: str) -> str:
    """The account of a key."""
    found = site.guardrail.engine.identify(Facts("POST", CHAT, [(b"authorization", b"Bearer " + name.encode())]))
    assert isinstance(found, Subject)
    return found.candidate


async def show(site: Guarded, names: Iterable[str], *values: tuple[int, int]) -> None:
    await asyncio.gather(
        *[site.store.link(home(site, name), [code << keys.BITS | number for code, number in values]) for name in names]
    )


async def settle_down(site: Guarded, *groups: list[str]) -> None:
    """Ordinary accounts that share nothing, and groups on a card and a prompt each."""
    for place in range(0, 400, 100):
        await asyncio.gather(
            *[
                site.store.link(f"a:o{number:03}", [keys.PAYMENT << keys.BITS | 1000 + number])
                for number in range(place, place + 100)
            ]
        )
    for number, names in enumerate(groups):
        await show(site, names, (keys.PAYMENT, number), (keys.SYSTEM, number))


async def rebuild(site: Guarded) -> dict[int, Cluster]:
    """All clusters, by size."""
    site.clock.advance(60)
    state: State = await site.guardrail.work()
    assert state.merged == ()
    return {len(each.members): each for each in state.clusters}


async def ask(site: Guarded, name: str, tokens: int = 60) -> int:
    """The status of a request that uses 60 tokens, or as many of them as are asked for of input."""
    body = {"model": "small", "messages": [{"role": "user", "content": "x" * 80}], "max_tokens": tokens - 20}
    answer = await site.post(CHAT, body, (b"authorization", b"Bearer " + name.encode()), JSON)
    await site.guardrail.drain()
    return answer.status


async def used(site: Guarded, cluster: str) -> list[int]:
    """What was consumed at a cluster's counters, by limit in the policy's order."""
    most, steps = 10**6, []
    kept = (await site.store.export(f"c:{cluster}"))["counters"]
    for limit in site.guardrail.engine.planner.limits:
        field = next((name.partition(":")[0] for name in kept if name.startswith(limit.code)), limit.code)
        deep: dict[str, Step] = {
            "budget": Budget(field, 0, most, "day"),
            "sliding_window": Window(field, 0, most, limit.window),
            "token_bucket": Gcra(field, 0, limit.rated, limit.period, most),
        }
        steps.append(deep[limit.kind])
    stands = await site.store.peek(Bill("0" * 24, (Entry(f"c:{cluster}", tuple(steps)),)))
    return [most - each.remaining for each in stands.readings]


def desk(site: Guarded) -> Desk:
    settings = site.guardrail.policy.clusters
    assert settings is not None
    return Desk(site.store, settings, clock=site.clock)


async def split(site: Guarded, cluster: str, names: list[str]) -> None:
    """Let these fall off from their cluster: it is the others whom an operator takes out."""
    whole = desk(site).find(await desk(site).state(), cluster)
    others = set(whole.members).difference([home(site, name) for name in names])
    await desk(site).split(cluster, sorted(others), "two customers")


async def field(site: Guarded, name: str, field: str) -> str | None:
    fields: dict[str, str] = (await site.store.export(home(site, name)))["standing"]["fields"]
    return fields.get(field)


async def test_a_split_is_no_fresh_budget(make: Make) -> None:
    """60 of 100 are gone: a part cannot use 60 more that day; from midnight on each has 100, before any rebuild says so."""
    site = make(POOL)
    await settle_down(site, C)
    whole = (await rebuild(site))[40]
    assert await ask(site, C[0]) == 200
    await split(site, whole.id, C[24:])
    found = await rebuild(site)
    kept, part = found[24], found[16]
    midnight = (site.clock.now() // 1_000_000 // DAY + 1) * DAY * 1_000_000
    assert (kept.id, kept.counters) == (whole.id, "")
    assert (part.counters, part.until) == (whole.id, midnight)
    assert await ask(site, C[30]) == 429
    assert await ask(site, C[0]) == 429
    assert await ask(site, C[30], 40) == 200  # and used 60
    assert await used(site, whole.id) == [120]
    assert await used(site, part.id) == [0]
    assert await ask(site, C[0], 21) == 429
    again = await rebuild(site)
    assert (again[16].id, again[16].counters, again[16].until) == (part.id, whole.id, midnight)
    site.clock.advance(midnight / 1_000_000 - site.clock.now() / 1_000_000 - 1)
    assert await ask(site, C[30], 21) == 429
    site.clock.advance(1)
    assert await ask(site, C[30]) == 200
    assert await ask(site, C[0]) == 200
    assert (await used(site, whole.id), await used(site, part.id)) == ([60], [60])
    assert await field(site, C[30], "counters") is not None
    assert (await rebuild(site))[16].counters == ""
    assert await field(site, C[30], "counters") is None
    assert await ask(site, C[31]) == 429
    assert await used(site, part.id) == [60]


async def test_parts_of_parts_share_it_too_for_as_long_as_any_limit_remembers(make: Make) -> None:
    site = make(*KINDS)
    await settle_down(site, C)
    whole = (await rebuild(site))[40]
    assert await ask(site, C[0]) == 200
    await split(site, whole.id, C[24:])
    part = (await rebuild(site))[16]
    ends = site.clock.now() + DAY * 1_000_000
    assert (part.counters, part.until) == (whole.id, ends)
    await split(site, part.id, C[34:])
    found = await rebuild(site)
    assert [(found[size].counters, found[size].until) for size in (24, 6)] == [("", 0), (whole.id, ends)]
    assert [await ask(site, name) for name in (C[0], C[39])] == [429] * 2
    site.clock.advance(1.1 * DAY)
    assert [await ask(site, name) for name in (C[0], C[39])] == [200] * 2
    assert [await ask(site, name) for name in (C[0], C[39])] == [429] * 2


async def test_who_is_taken_out_by_an_operator_begins_with_counters_of_their_own(make: Make) -> None:
    """What the others have used is not theirs, also where they fell off with others before."""
    site = make({**POOL, "budget": "100/month"})
    await settle_down(site, C)
    whole = (await rebuild(site))[40]
    assert await ask(site, C[0]) == 200
    await split(site, whole.id, C[24:])
    part = (await rebuild(site))[16]
    assert part.counters == whole.id
    assert await ask(site, C[39]) == 429
    await desk(site).split(part.id, [home(site, name) for name in C[34:]], "a class")
    found = await rebuild(site)
    assert (found[6].counters, found[10].counters) == ("", whole.id)
    assert [await ask(site, name) for name in (C[39], C[30])] == [200, 429]
    assert await ask(site, C[39]) == 429


async def test_a_merger_is_no_amnesty(make: Make) -> None:
    """60 of 100 each are 120 together, however often it is rebuilt, in a bucket less what ran back in since."""
    site = make(*KINDS)
    await settle_down(site, C, D)
    before = await rebuild(site)
    large, small = before[40], before[20]
    assert [await ask(site, name) for name in (C[0], D[0])] == [200, 200]
    await show(site, C + D, (keys.PAYMENT, 77), (keys.SYSTEM, 77))
    together = (await rebuild(site))[60]
    assert (together.id, together.counters) == (large.id, "")
    assert await used(site, large.id) == [120, 120, 120]
    assert [await ask(site, name, 21) for name in (C[0], D[0])] == [429, 429]
    for _ in range(2):
        await rebuild(site)
    assert (await used(site, large.id))[:2] == [120, 120]
    # somebody did it, and died before that was noted
    state = State.unpack(await site.store.recall(STATE))
    now = site.clock.now()
    pending = Merged(small.id, large.id, now, now + DAY * 1_000_000)
    await site.store.keep(STATE, replace(state, merged=(pending,)).pack())
    await rebuild(site)
    assert (await used(site, large.id))[:2] == [120, 120]
    site.clock.advance(1.25 * DAY)  # the bucket had 120 to run out, at 100 a day
    assert await ask(site, D[0]) == 200
    assert await used(site, large.id) == [60, 60, 60]


async def test_what_is_merged_into_a_part_is_charged_where_the_part_is(make: Make) -> None:
    """A part of 16 shares the whole's counters: what ten others have used is added there, so that nobody has anything left."""
    site = make(POOL)
    few = D[:10]
    await settle_down(site, C, few)
    before = await rebuild(site)
    whole = before[40]
    await split(site, whole.id, C[24:])
    part = (await rebuild(site))[16]
    assert [await ask(site, name) for name in (C[0], few[0])] == [200, 200]
    await show(site, C[24:] + few, (keys.PAYMENT, 77), (keys.SYSTEM, 77))
    together = (await rebuild(site))[26]
    assert (together.id, together.counters) == (part.id, whole.id)
    assert await used(site, whole.id) == [120]
    assert [await ask(site, name, 21) for name in (C[0], C[24], few[0])] == [429] * 3


async def test_what_a_part_has_used_stays_with_the_whole(make: Make) -> None:
    """A part that goes into a larger cluster brings nothing along: it was never charged at counters of its own."""
    site = make(POOL)
    await settle_down(site, C, D)
    before = await rebuild(site)
    large, small = before[40], before[20]
    await split(site, large.id, C[:16])
    await rebuild(site)
    assert [await ask(site, name) for name in (C[0], D[0])] == [200, 200]
    await show(site, C[:16] + D, (keys.PAYMENT, 77), (keys.SYSTEM, 77))
    together = (await rebuild(site))[36]
    assert (together.id, together.counters) == (small.id, "")
    assert (await used(site, small.id), await used(site, large.id)) == ([60], [60])


async def test_the_budget_of_a_material_cluster_is_shared_by_its_parts(make: Make) -> None:
    """What an operator gave the whole, 100 a day, is counted once for both parts; in shadow, so nobody is refused."""
    site = make({"name": "tokens", "unit": "tokens", "rate": "1000000/minute"})
    await settle_down(site, C)
    whole = (await rebuild(site))[40]
    assert await ask(site, C[0]) == 200
    whole = (await rebuild(site))[40]  # all the tokens there were are its own, so it is material: 1.2 times 60
    assert (whole.budget, whole.counters) == (72, "")
    await split(site, whole.id, C[24:])
    found = await rebuild(site)
    assert (found[16].budget, found[24].budget) == (28, 44)  # 72 as before, by members: a split makes no more of it
    assert (found[16].counters, found[16].shared) == (whole.id, 44)
    await desk(site).order(whole.id, "budget", "100", "their contract")
    part = (await rebuild(site))[16]
    assert (part.counters, part.shared) == (whole.id, 100)

    async def stands(name: str) -> tuple[str, int, bool]:
        assert await ask(site, name) == 200
        _, limit = site.guardrail.recorder.latest(1)[0]["limits"]
        return limit["name"], limit["remaining"], limit["ok"]

    assert await stands(C[30]) == ("cluster-budget", 40, True)
    assert await stands(C[0]) == ("cluster-budget", 40, False)
    assert await stands(C[31]) == ("cluster-budget", 40, False)
    site.clock.advance(DAY)
    assert (await stands(C[0]))[1] == 40
