"""The same pipeline over a real Redis, on the same clock: the figures are those of the embedded store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest

from guardrail_mw.engine import Engine
from guardrail_mw.stores.redis import RedisStore
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.servers import Server
from guardrail_mw.values import Deny

from ..asgi.kit import JSON, KEY, OTHER_KEY, Guarded, Upstream, chat, events, policy  # noqa: TID252 - the kit of the pipeline's tests
from .test_limits import FOUR_UNITS, PRICES, SHAPES, SSE, TOKENS, USED, answering, chat_usage, since

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
SECRETS = {"GUARDRAIL_ID_KEY": "i" * 32, "GUARDRAIL_KEYS": "k" * 32}
ALL_KINDS = [
    TOKENS,
    {"name": "requests", "rate": "5/minute"},
    {"name": "w", "window": "6/hour"},
    {"name": "b", "budget": "7/day"},
    {"name": "slots", "concurrency": 3},
    {"name": "all", "per": [], "unit": "tokens", "rate": "60000/minute"},
]
ALL_LEFT = {"tokens": 6000, "requests": 5, "w": 6, "b": 7, "slots": 3, "all": 60_000}
Guard = Callable[..., Guarded]


@pytest.fixture
async def guard(guardrail_redis: Server, guardrail_prefix: str) -> AsyncIterator[Guard]:
    """Puts an app behind a policy on a Redis that is given all the time it needs."""
    guarded: list[Guarded] = []

    def make(app: Any, document: Any) -> Guarded:
        clock = FakeClock()
        store = RedisStore(guardrail_redis.url, deadline=10_000_000, prefix=guardrail_prefix, clock=clock)
        found = Guarded(app, document, store=store, clock=clock, environ=SECRETS)
        guarded.append(found)
        return found

    yield make
    for each in guarded:
        await each.guardrail.close()


async def settled(guarded: Guarded, path: str = CHAT) -> dict[str, int]:
    """What is left once all that was settled has arrived."""
    await guarded.guardrail.drain()
    return await guarded.left(path=path)


@pytest.mark.parametrize("shape", SHAPES)
async def test_what_was_reserved_becomes_what_was_used(shape: str, guard: Guard) -> None:
    path, document = SHAPES[shape]
    streamed = isinstance(document, list)
    app = Upstream(*events(*document), headers=SSE) if streamed else answering(document)
    guarded = guard(app, policy(*FOUR_UNITS, models=PRICES))
    assert (await guarded.post(path, chat(400, max_tokens=50, stream=streamed))).status == 200
    assert since(await settled(guarded, path)) == USED


@pytest.mark.parametrize(
    ("app", "kept"),
    [
        (answering({}, status=500), {}),
        (Upstream(RuntimeError("broken")), {}),
        (answering({}, status=404), {"requests": 4, "w": 5, "b": 6}),
        (Upstream(asyncio.CancelledError()), {"tokens": 5900, "requests": 4, "w": 5, "b": 6, "all": 59_900}),
        (answering({"usage": chat_usage(7, 3)}), {"tokens": 5990, "requests": 4, "w": 5, "b": 6, "all": 59_990}),
    ],
    ids=["5xx", "exception", "4xx", "hang-up", "success"],
)
async def test_each_ending(app: Upstream, kept: dict[str, int], guard: Guard) -> None:
    guarded = guard(app, policy(*ALL_KINDS))
    with suppress(RuntimeError, asyncio.CancelledError):
        await guarded.post(CHAT, chat(400))
    assert await settled(guarded) == {**ALL_LEFT, **kept}


async def test_a_deny_gives_everything_back(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    guarded = guard(Upstream(), policy(*ALL_KINDS))
    monkeypatch.setattr(Engine, "decide", lambda _, exchange: Deny(exchange.id, "denied", 403, "The request was refused."))
    assert (await guarded.post(CHAT, chat(400))).status == 403
    assert await settled(guarded) == ALL_LEFT


@pytest.mark.parametrize("metered", [True, False])
async def test_the_app_adds_what_only_it_knows(metered: bool, guard: Guard) -> None:
    async def add(scope: Any) -> None:
        await scope["state"]["guardrail"].add("requests", 2)
        await scope["state"]["guardrail"].add("tokens", 500)

    app = answering({"usage": chat_usage(7, 3)})
    app.before = add
    guarded = guard(app, policy(*ALL_KINDS))
    assert (await guarded.post(CHAT if metered else "/other", chat(400))).status == 200
    used = 510 if metered else 500
    assert await settled(guarded) == {"tokens": 6000 - used, "requests": 2, "w": 3, "b": 4, "slots": 3, "all": 60_000 - used}


async def test_keys_are_proved_and_unproved(guard: Guard) -> None:
    strangers = {"name": "strangers", "per": ["network"], "when": {"authenticated": False}, "rate": "5/minute"}
    app = Upstream()
    guarded = guard(app, policy({"name": "requests", "rate": "9/minute"}, strangers, trust="app"))
    await guarded.post(CHAT)
    assert await settled(guarded) == {"requests": 9}
    app.status = 401
    await guarded.post(CHAT)
    assert await settled(guarded) == {"requests": 8, "strangers": 4}
    assert (await guarded.left(OTHER_KEY)) == {"requests": 8, "strangers": 4}


async def test_one_account_holds_a_tenth_of_what_is_everyones(guard: Guard) -> None:
    started, going_on = asyncio.Semaphore(0), asyncio.Event()

    async def wait() -> None:
        started.release()
        await going_on.wait()

    capacity = {"name": "capacity", "per": [], "unit": "tokens", "rate": "100000/minute"}
    guarded = guard(Upstream(wait, json.dumps({"usage": chat_usage(1, 1)}).encode()), policy(capacity))
    tasks = [asyncio.create_task(guarded.post(CHAT, chat(400))) for _ in range(8)]
    for _ in range(8):
        await started.acquire()
    assert (await guarded.post(CHAT, chat(4000))).status == 429
    others = asyncio.create_task(guarded.post(CHAT, chat(4000), OTHER_KEY, JSON))
    await started.acquire()
    going_on.set()
    assert [answer.status for answer in await asyncio.gather(*tasks, others)] == [200] * 9
    assert await settled(guarded) == {"capacity": 100_000 - 18}


async def test_an_hour_long_stream_keeps_its_lease(guard: Guard) -> None:
    seen: list[int] = []

    async def an_hour() -> None:
        for _ in range(360):
            guarded.clock.advance(10)
            await guarded.guardrail.renew()
        seen.append((await guarded.left())["slots"])

    guarded = guard(Upstream(b"a", an_hour, b"b"), policy({"name": "slots", "concurrency": 1}))
    assert (await guarded.post(CHAT, None, KEY)).status == 200
    assert seen == [0]
    assert await settled(guarded) == {"slots": 1}
