"""Bodies that our own endpoints read count on the process's budget, as those of requests do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from .verifying import JSON, Answer, Guarded, guarded, scope

pytestmark = pytest.mark.anyio

KIB = 1024
WEBHOOK = "/.guardrail/webhooks/ids"
SMALL = {"max_body": "8KiB", "budget": "8KiB"}


class Slow:
    """A body whose first piece came, and whose end has not."""

    def __init__(self, site: Guarded, path: str, size: int, peer: str) -> None:
        self._site, self._size = site, size
        self._scope: Any = scope(path, "POST", JSON) | {"client": (peer, 50_000)}
        self.began, self.ends = asyncio.Event(), asyncio.Event()
        self._came = False

    async def receive(self) -> Any:
        if not self._came:
            self._came = True
            return {"type": "http.request", "body": b"x" * self._size, "more_body": True}
        self.began.set()
        await self.ends.wait()
        return {"type": "http.request", "body": b"", "more_body": False}

    async def ask(self) -> Answer:
        return await self._site.ask(self._scope, receive=self.receive)


async def finished(*slow: Slow, tasks: Any) -> list[int]:
    for each in slow:
        each.ends.set()
    return [(await each).status for each in tasks]


@pytest.mark.parametrize("path", [WEBHOOK, "/.guardrail/verify/abcd", "/.guardrail/appeal/abcd"])
async def test_whoever_sends_slowly_does_not_hold_more_than_the_process_may(path: str) -> None:
    site = guarded(inspect=SMALL)
    first = Slow(site, WEBHOOK, 5 * KIB, "203.0.113.1")
    task = asyncio.create_task(first.ask())
    await first.began.wait()
    answer = await site.ask(scope(WEBHOOK, "POST", JSON), b"y" * 4 * KIB)
    assert (answer.status, answer.json["code"], answer.field("retry-after")) == (503, "overloaded", "1")
    assert (await site.ask(scope(path, "POST", JSON), b"{}")).status in {400, 404}  # it has room, and is read: it is bad
    assert await finished(first, tasks=[task]) == [400]
    assert (await site.ask(scope(WEBHOOK, "POST", JSON), b"y" * 4 * KIB)).status == 400  # what was held was given back


async def test_a_client_that_goes_away_gives_back_what_it_held() -> None:
    site = guarded(inspect=SMALL)
    slow = Slow(site, WEBHOOK, 5 * KIB, "203.0.113.1")
    task = asyncio.create_task(slow.ask())
    await slow.began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await site.ask(scope(WEBHOOK, "POST", JSON), b"y" * 7 * KIB)).status == 400


async def test_one_network_holds_its_share_and_no_more() -> None:
    """Of 8 MiB a network may hold a quarter: 2 MiB are eight bodies of 255 KiB and their 400 bytes, and not a ninth."""
    site = guarded(inspect={"max_body": "1MiB", "budget": "8MiB"})
    slow = [Slow(site, WEBHOOK, 255 * KIB, "203.0.113.1") for _ in range(8)]
    tasks = [asyncio.create_task(each.ask()) for each in slow]
    for each in slow:
        await each.began.wait()
    ninth = scope(WEBHOOK, "POST", JSON) | {"client": ("203.0.113.1", 50_001)}
    assert (await site.ask(ninth, b"y" * 255 * KIB)).status == 503
    assert (await site.ask(scope(WEBHOOK, "POST", JSON), b"y" * 255 * KIB)).status == 400
    assert await finished(*slow, tasks=tasks) == [400] * 8


async def test_the_budget_of_a_new_policy_counts() -> None:
    site = guarded(inspect={"max_body": "1MiB", "budget": "1MiB"})
    assert (await site.ask(scope(WEBHOOK, "POST", JSON), b"y" * 200 * KIB)).status == 400
    site.guardrail.apply(guarded(inspect=SMALL).guardrail.policy)
    assert (await site.ask(scope(WEBHOOK, "POST", JSON), b"y" * 200 * KIB)).status == 503
