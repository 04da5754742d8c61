"""Whoever walks out has paid for what was made for him, wherever he walks out; and his slot comes back."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest

from .kit import CHAT, JSON, KEY, CountingStore, Guarded, chat, events, never, policy, scope_of

pytestmark = pytest.mark.anyio

LIMITS = (
    {"name": "requests", "budget": "10/day"},
    {"name": "tokens", "unit": "tokens", "budget": "100000/day"},
    {"name": "slots", "concurrency": 1},
)
DELTA = {"choices": [{"index": 0, "delta": {"content": "x" * 40}}]}


class Leaving:
    """An app that is abandoned at its n-th step: told so, cancelled, or by an error from the server."""

    def __init__(self, at: int, how: str) -> None:
        self.at = at
        self.how = how
        self.reached = asyncio.Event()

    async def step(self, number: int, receive: Any) -> None:
        if number != self.at:
            return
        self.reached.set()
        if self.how == "told":
            while (await receive())["type"] != "http.disconnect":
                pass
            raise ConnectionResetError
        if self.how == "error":
            raise OSError("the client is gone")
        await asyncio.Event().wait()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.step(0, receive)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for number, piece in enumerate(events(DELTA, DELTA), 1):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await self.step(number, receive)


async def leave(app: Leaving, store: Any = None) -> Guarded:
    guarded = Guarded(app, policy(*LIMITS), store=store)
    task = asyncio.create_task(guarded.post(CHAT, chat(400)))
    await app.reached.wait()
    if app.how == "cancelled":
        task.cancel()
    with suppress(asyncio.CancelledError, OSError):
        await task
    return guarded


@pytest.mark.parametrize("how", ["told", "cancelled"])
async def test_before_the_first_byte_he_pays_his_prompt(how: str) -> None:
    guarded = await leave(Leaving(0, how))
    assert await guarded.left() == {"requests": 9, "tokens": 99_900, "slots": 1}


@pytest.mark.parametrize("how", ["told", "cancelled", "error"])
@pytest.mark.parametrize(("at", "tokens"), [(1, 10), (2, 20)])
async def test_in_the_middle_he_pays_what_was_made(how: str, at: int, tokens: int) -> None:
    guarded = await leave(Leaving(at, how))
    assert await guarded.left() == {"requests": 9, "tokens": 99_900 - tokens, "slots": 1}


@pytest.mark.parametrize("answers", [False, True])
async def test_a_server_may_say_so_by_an_error(*, answers: bool) -> None:
    """What an app makes of an error of `receive` is no failure of its own: Ray Serve raises one when a client has gone."""
    messages = [{"type": "http.request", "body": json.dumps(chat(400)).encode(), "more_body": False}]

    async def receive() -> Any:
        if messages:
            return messages.pop()
        raise ConnectionAbortedError("the request was cancelled")

    async def app(_: Any, receive: Any, send: Any) -> None:
        try:
            while True:
                await receive()
        except ConnectionAbortedError:
            if not answers:
                raise
            await send({"type": "http.response.start", "status": 500, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    guarded = Guarded(app, policy(*LIMITS))
    with suppress(ConnectionAbortedError):
        await guarded.ask(scope_of(CHAT, headers=(KEY, JSON)), receive=receive)
    assert await guarded.left() == {"requests": 9, "tokens": 99_900, "slots": 1}


async def test_half_a_body_is_a_request() -> None:
    """The server says that the client is gone: charged as one, with no tokens."""
    guarded = Guarded(Leaving(0, "told"), policy(*LIMITS))
    messages = [{"type": "http.request", "body": b'{"mess', "more_body": True}]

    async def receive() -> Any:
        return messages.pop() if messages else {"type": "http.disconnect"}

    with suppress(OSError):
        await guarded.ask(scope_of(CHAT, headers=(KEY, JSON)), receive=receive)
    assert await guarded.left() == {"requests": 9, "tokens": 100_000, "slots": 1}


async def test_a_request_that_is_cancelled_while_its_body_comes_holds_nothing() -> None:
    guarded = Guarded(Leaving(0, "told"), policy(*LIMITS))
    messages = [{"type": "http.request", "body": b"x" * 1000, "more_body": True}]
    halfway = asyncio.Event()

    async def receive() -> Any:
        if messages:
            return messages.pop()
        halfway.set()
        return await never()

    task = asyncio.create_task(guarded.ask(scope_of(CHAT, headers=(KEY, JSON)), receive=receive))
    await halfway.wait()
    assert guarded.middleware._budget.used == 1400
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert guarded.middleware._budget.used == 0
    assert guarded.middleware._budget._held == {}
    assert await guarded.left() == {"requests": 10, "tokens": 100_000, "slots": 1}


class Slow(CountingStore):
    """A store that answers, and whose answer is not waited for."""

    def __init__(self, clock: Any) -> None:
        super().__init__(clock)
        self.asked = asyncio.Event()
        self.may = asyncio.Event()

    async def charge(self, bill: Any) -> Any:
        self.asked.set()
        await self.may.wait()
        return await super().charge(bill)


async def test_cancelled_while_the_store_is_asked_nothing_stays() -> None:
    from guardrail_mw.testing.clock import FakeClock

    store = Slow(FakeClock())
    guarded = Guarded(Leaving(0, "told"), policy(*LIMITS), store=store)
    task = asyncio.create_task(guarded.post(CHAT, chat(400)))
    await store.asked.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    store.may.set()
    assert await guarded.left() == {"requests": 10, "tokens": 100_000, "slots": 1}
    assert not store._charges.open


async def test_errors_on_demand_buy_no_tokens() -> None:
    """An app that fails costs nothing; that a client can bring that about is why 4xx answers keep the request charged."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 422, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    guarded = Guarded(app, policy(*LIMITS))
    statuses = [(await guarded.post(CHAT, chat(400))).status for _ in range(11)]
    assert statuses == [422] * 10 + [429]
    assert await guarded.left() == {"requests": 0, "tokens": 100_000, "slots": 1}
