"""One cannot keep the others out: of what belongs to everyone, of the process's memory, of the store's time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from guardrail_mw.asgi.body import OVERHEAD, BodyBudget

from .kit import CHAT, JSON, KEY, OTHER_KEY, Guarded, Upstream, chat, key, never, policy, scope_of

pytestmark = pytest.mark.anyio

CAPACITY = {"name": "capacity", "per": [], "rate": "10/minute"}
MINE = {"name": "mine", "rate": "2/minute"}
BUSY = {"name": "busy", "per": [], "unit": "tokens", "rate": "100000/minute"}


async def test_a_flood_of_denied_requests_leaves_the_shared_limit_alone() -> None:
    """A thousand and two ask, two are admitted: eight of ten are still there for the others."""
    guarded = Guarded(Upstream(), policy(CAPACITY, MINE))
    statuses = [(await guarded.post(CHAT, {})).status for _ in range(1002)]
    assert statuses == [200] * 2 + [429] * 1000
    assert await guarded.left(OTHER_KEY) == {"capacity": 8, "mine": 2}


async def test_what_the_shared_limit_denies_charges_nobody() -> None:
    guarded = Guarded(Upstream(), policy(CAPACITY, MINE))
    for number in range(5):
        for _ in range(2):
            assert (await guarded.post(CHAT, {}, key(number))).status == 200
    asked = len(guarded.bills)
    assert {(await guarded.post(CHAT, {}, OTHER_KEY)).status for _ in range(100)} == {503}
    assert len(guarded.bills) == asked + 1  # for a second it is known in the process
    assert await guarded.left(OTHER_KEY) == {"capacity": 0, "mine": 2}


async def test_strangers_cannot_use_up_what_is_kept() -> None:
    kept = {**CAPACITY, "keep": "30%"}
    app = Upstream()
    guarded = Guarded(app, policy(kept))
    assert [(await guarded.post(CHAT, {}, JSON)).status for _ in range(9)] == [200] * 7 + [503] * 2
    assert [(await guarded.post(CHAT, {}, KEY)).status for _ in range(4)] == [200] * 3 + [503]


@pytest.mark.parametrize("who", ["account", "strangers"])
async def test_open_reservations_hold_a_tenth_at_most(who: str) -> None:
    """9,900 reserved is the tenth less 100; the second is refused with 429, another account is not. All comes back at the end."""
    opened = asyncio.Event()

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await opened.wait()
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    mine = {"account": (KEY, KEY), "strangers": (key(1), key(2))}[who]
    guarded = Guarded(app, policy(BUSY, trust="app" if who == "strangers" else "gateway", reserve={"output": 9800}))
    task = asyncio.create_task(guarded.post(CHAT, chat(400), mine[0], JSON))
    await asyncio.sleep(0)
    answer = await guarded.post(CHAT, chat(400), mine[1], JSON)
    assert answer.status == 429
    other = asyncio.create_task(guarded.post(CHAT, chat(400), OTHER_KEY, JSON, client=("203.0.113.200", 1)))
    await asyncio.sleep(0)
    assert (await guarded.left())["busy"] == 100_000 - 2 * 9900
    opened.set()
    assert (await task).status == (await other).status == 500
    assert await guarded.left() == {"busy": 100_000}


# Bodies


def test_a_holder_has_its_share_of_the_budget() -> None:
    budget = BodyBudget(1000)
    assert budget.take(250, "a")
    assert not budget.take(1, "a")
    assert budget.take(250, "b")
    assert budget.take(400, "c", least=400)
    assert not budget.take(101, "d")
    budget.give(250, "a")
    assert budget.take(100, "a")
    budget.give(100, "a")
    budget.give(250, "b")
    budget.give(400, "c")
    assert (budget.used, budget._held) == (0, {})


async def test_slow_clients_of_one_owner_do_not_shut_the_others_out() -> None:
    """Each of 40 sends 100 kB of a body and waits. The budget is 4 MB: one owner's may hold a quarter, or one body."""
    tokens = {"name": "tokens", "unit": "tokens", "rate": "1000000/minute"}
    inspect = {"max_body": "100KB", "budget": "8MB"}
    guarded = Guarded(Upstream(), policy(tokens, inspect=inspect))
    statuses: list[int] = []

    async def stall() -> None:
        messages = [{"type": "http.request", "body": b" " * 99_000, "more_body": True}]

        async def receive() -> Any:
            return messages.pop() if messages else await never()

        statuses.append((await guarded.ask(scope_of(CHAT, headers=(KEY, JSON)), receive=receive)).status)

    tasks = [asyncio.create_task(stall()) for _ in range(100)]
    for _ in range(10):
        await asyncio.sleep(0)
    held = guarded.middleware._budget.used
    assert held == 20 * (99_000 + OVERHEAD)  # the quarter, 2 MB
    assert statuses == [503] * 80
    assert (await guarded.post(CHAT, chat(4), OTHER_KEY, JSON)).status == 200
    assert (await guarded.post(CHAT, chat(4), KEY, JSON)).status == 200  # a small one still fits
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
    assert guarded.middleware._budget.used == 0


async def test_bodies_in_tiny_pieces_weigh_what_they_cost() -> None:
    tokens = {"name": "tokens", "unit": "tokens", "rate": "1000000/minute"}
    guarded = Guarded(Upstream(), policy(tokens, inspect={"max_body": "100KB", "budget": "8MB"}))
    answer = await guarded.ask(scope_of(CHAT, headers=(KEY, JSON)), *[b" "] * 10_000)
    assert answer.status == 413
    assert guarded.middleware._budget.used == 0
