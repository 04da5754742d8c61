"""Waiting costs the server something too: however many are made to wait, by whatever means, it stays bounded."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest

from guardrail_mw.errors import StoreError
from guardrail_mw.values import Facts, Subject

from .kit import CHAT, JSON, KEY, Guarded, Upstream, chat, key, policy

pytestmark = pytest.mark.anyio

ATTEMPTS = [{"name": "attempts", "count": "attempts", "per": "account", "over": "1h"}]
RISK = {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 0, "full": 2}}}]}
"""The first request is a risk of 50, the second of 100: of volume alone."""
DELAY = {"at": 30, "do": "delay", "with": {"seconds": 5}}
LIMITS = (
    {"name": "requests", "budget": "1000/day"},
    {"name": "tokens", "unit": "tokens", "budget": "100000/day"},
    {"name": "slots", "concurrency": 2},
)
WANTED = {**chat(400), "n": 4, "logprobs": True}


class Tarpit(Guarded):
    """Where whoever is delayed waits until `over`."""

    def __init__(self, *ladder: dict[str, Any], at_once: int = 3, limits: Any = LIMITS, **friction: Any) -> None:
        rules = {"ladder": list(ladder), "delays": {"at_once": at_once}, **friction}
        super().__init__(Upstream(), policy(*limits, velocity=ATTEMPTS, risk=RISK, friction=rules))
        self.over = asyncio.Event()
        self.waiting = 0
        self.changed = asyncio.Condition()
        self.guardrail.sleep = self.sleep  # type: ignore[method-assign]

    async def sleep(self, seconds: float) -> None:
        """Instead of the guardrail's."""
        async with self.changed:
            self.waiting += 1
            self.changed.notify_all()
        await self.over.wait()

    async def begin(self, count: int, *, name: object = None) -> list[asyncio.Task[Any]]:
        """So many requests, each of another account unless named, that wait now."""
        tasks = [
            asyncio.create_task(self.post(CHAT, WANTED, key(name or f"slow-{number}"), JSON)) for number in range(count)
        ]
        await self.waits(count)
        return tasks

    async def waits(self, count: int) -> None:
        """Until so many have begun to wait."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.waiting == count)

    @property
    def taken(self) -> int:
        """Places of the process that are taken."""
        return self.guardrail.engine.judge.waiting.taken

    async def remains(self, name: object = None) -> dict[str, Any]:
        """What is left of each limit of somebody's; charges nothing."""
        facts = Facts("POST", CHAT, [KEY if name is None else key(name)], peer="198.51.100.7")
        subject = self.guardrail.engine.identify(facts)
        assert isinstance(subject, Subject)
        return {each.name: each.remaining for each in (await self.guardrail.peek(subject.account, CHAT)).limits}

    @property
    def last(self) -> dict[str, Any]:
        """The latest decision's event."""
        [event] = self.guardrail.recorder.latest(1)
        return event


HIGHER = [
    [DELAY, {"at": 60, "do": "trim", "with": {"refuse": ["n"]}}, {"at": 90, "do": "deny"}],
    [DELAY, {"at": 60, "do": "deny"}],
    [DELAY],
]


@pytest.mark.parametrize("ladder", HIGHER)
async def test_where_all_places_are_taken_the_next_is_trimmed_and_nothing_worse(ladder: list[dict[str, Any]]) -> None:
    """Whoever fills the tarpit gets nobody refused: not by the rungs above, nor by what a higher trim refuses."""
    site = Tarpit(*ladder)
    tasks = await site.begin(3)
    for number in range(5):
        answer = await site.post(CHAT, WANTED, key(f"next-{number}"), JSON)
        assert (answer.status, answer.field("x-guardrail-trimmed")) == (200, "logprobs, n")
        assert (site.last["decision"], site.last["rung"], site.last["risk"]) == ("trim", "delay", 50)
    assert (site.taken, site.guardrail.counts.read()["friction.delays_full"]) == (3, 5)
    site.over.set()
    assert [(await task).status for task in tasks] == [200] * 3
    assert site.taken == 0


async def test_who_may_only_be_delayed_passes_where_he_cannot_wait() -> None:
    site = Tarpit(DELAY, at_once=0, caps=[{"when": {"source": "api_key"}, "most": "delay"}])
    answer = await site.post(CHAT, WANTED)
    assert (answer.status, answer.field("x-guardrail-trimmed")) == (200, None)


async def test_hanging_up_gives_back_the_place_the_slot_and_the_charge() -> None:
    """And not what was counted of it: attempts, and the risk that is remembered."""
    site = Tarpit(DELAY)
    for round_ in range(1, 11):
        tasks = await site.begin(2, name="sk-mine")
        assert (site.taken, (await site.remains("sk-mine"))["slots"]) == (2, 0)
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        assert site.taken == 0
        assert await site.remains("sk-mine") == {"requests": 1000, "tokens": 100_000, "slots": 2}
        assert (site.last["outcome"], site.last["status"], site.last["decision"]) == ("abandoned", 0, "delay")
        assert site.last["velocity"]["attempts"] == [2 * round_, False]
        site.waiting = 0
    assert site.app.calls == 0
    peeked = await site.guardrail.peek(site.last["account"])
    assert (peeked.risk, peeked.rung) == (100, "delay")


async def test_a_place_comes_back_whatever_breaks() -> None:
    site = Tarpit(DELAY)

    async def breaking(seconds: float) -> None:
        raise OSError(f"the loop is going, and {seconds} s are not over")

    site.guardrail.sleep = breaking  # type: ignore[method-assign]
    for _ in range(5):
        with pytest.raises(OSError, match="the loop"):
            await site.post(CHAT, WANTED)
    assert site.taken == 0
    assert await site.remains() == {"requests": 1000, "tokens": 100_000, "slots": 2}


async def test_who_waits_keeps_his_slots() -> None:
    """Else an account had as many requests under way as it liked, by being slowed."""
    site = Tarpit(DELAY)
    tasks = await site.begin(2, name="mine")
    answer = await site.post(CHAT, WANTED, key("mine"), JSON)
    assert (answer.status, site.last["refusal"]["limit"]) == (429, "slots")
    site.over.set()
    assert [(await task).status for task in tasks] == [200, 200]
    assert (await site.remains("mine"))["slots"] == 2


async def test_a_long_wait_loses_no_slot() -> None:
    """A lease lives 30 s unless it is renewed; a minute's wait is four renewals long."""
    site = Tarpit(DELAY)
    tasks = await site.begin(2, name="mine")
    for _ in range(6):
        site.clock.advance(10)
        await site.guardrail.renew()
    assert (await site.remains("mine"))["slots"] == 0
    site.over.set()
    assert [(await task).status for task in tasks] == [200, 200]
    assert (await site.remains("mine"))["slots"] == 2
    assert site.guardrail.keeper()._open == {}


async def test_the_ones_that_wait_are_charged_once_and_settled_once() -> None:
    site = Tarpit(DELAY)
    [task] = await site.begin(1, name="mine")
    assert (await site.remains("mine"))["tokens"] == 100_000 - 100 - 4 * 1024
    site.over.set()
    await task
    left = await site.remains("mine")
    assert left["requests"] == 999
    assert len([each for each in site.store.settled if each.receipt.bill.id == site.bills[0].id]) == 1
    assert json.loads(site.app.bodies[0])["n"] == 4  # slowed, and otherwise as it came


async def test_where_nothing_is_charged_nobody_waits_for_ever() -> None:
    """A store that is gone leaves no risk to slow anybody by."""
    site = Tarpit(DELAY)
    site.store.failure = StoreError("gone")
    assert (await site.post(CHAT, WANTED, KEY, JSON)).status == 503
    assert site.taken == 0


async def test_a_switch_thrown_meanwhile_makes_no_second_tarpit() -> None:
    """Operators throw switches in the middle of an attack: who waits still waits, and takes up a place."""
    site = Tarpit(DELAY)
    tasks = await site.begin(3)
    await site.store.write_switch("tokens", "shadow")
    await site.guardrail.read_switches()
    one_more = asyncio.create_task(site.post(CHAT, WANTED, key("next"), JSON))
    more = asyncio.create_task(site.waits(4))
    await asyncio.wait([one_more, more], return_when=asyncio.FIRST_COMPLETED)
    trimmed = one_more.done()
    site.over.set()
    more.cancel()
    answers = [await task for task in (*tasks, one_more)]
    assert trimmed
    assert [each.field("x-guardrail-trimmed") for each in answers] == [None] * 3 + ["logprobs, n"]
