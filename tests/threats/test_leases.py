"""Slots cannot be used up for good, nor doubled."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from .kit import CHAT, KEY, OTHER_KEY, Guarded, never, policy, scope_of

pytestmark = pytest.mark.anyio

SLOTS = {"name": "slots", "concurrency": 2}


class Holding:
    """Answers when it may."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.inside = 0
        self.most = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.may.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self.inside -= 1


async def spin() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_never_more_than_there_are_slots_however_they_hang_up() -> None:
    app = Holding()
    guarded = Guarded(app, policy(SLOTS))
    for _ in range(50):
        tasks = [asyncio.create_task(guarded.post(CHAT, {})) for _ in range(10)]
        await spin()
        assert app.inside == 2
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert app.most == 2
    assert await guarded.left() == {"slots": 2}


async def test_refused_ones_do_not_hold_slots() -> None:
    guarded = Guarded(Holding(), policy(SLOTS, {"name": "one", "rate": "1/minute"}))
    task = asyncio.create_task(guarded.post(CHAT, {}))
    await spin()
    for _ in range(100):
        assert (await guarded.post(CHAT, {})).status == 429
    assert (await guarded.left())["slots"] == 1
    guarded.app.may.set()
    await task
    assert (await guarded.left())["slots"] == 2


async def test_a_process_that_died_frees_its_slots_in_thirty_seconds() -> None:
    guarded = Guarded(Holding(), policy(SLOTS))
    tasks = [asyncio.create_task(guarded.post(CHAT, {})) for _ in range(2)]
    await spin()
    guarded.clock.advance(29.999)
    assert await guarded.left() == {"slots": 0}
    guarded.clock.advance(0.001)  # nobody renewed them
    assert await guarded.left() == {"slots": 2}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_one_that_lives_keeps_its_slot_for_an_hour() -> None:
    guarded = Guarded(Holding(), policy(SLOTS))
    task = asyncio.create_task(guarded.post(CHAT, {}))
    await spin()
    for _ in range(360):
        guarded.clock.advance(10)
        await guarded.guardrail.renew()
    assert await guarded.left() == {"slots": 1}
    assert await guarded.left(OTHER_KEY) == {"slots": 2}
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await guarded.guardrail.renew()
    assert await guarded.left(KEY) == {"slots": 2}


async def test_a_client_that_never_sends_its_body_holds_no_slot() -> None:
    """It is charged when its body is there: half-open requests are not in flight."""
    tokens = {"name": "tokens", "unit": "tokens", "rate": "2000/minute"}
    guarded = Guarded(Holding(), policy(SLOTS, tokens))
    tasks = [asyncio.create_task(guarded.ask(scope_of(CHAT, headers=(KEY,)), receive=never)) for _ in range(20)]
    await spin()
    assert await guarded.left() == {"slots": 2, "tokens": 2000}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
