"""Waiting: places, jitter, and what gives a place back."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from guardrail_mw.friction.delays import Waiting, jittered

pytestmark = pytest.mark.anyio

SECOND = 1_000_000


class Counts(Counter[str]):
    def count(self, event: str, by: int = 1) -> None:
        self[event] += by


class Sleeper:
    """Sleeps until it is told to wake."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.wake = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self.wake.wait()


@pytest.mark.parametrize(("draw", "seconds"), [(0.0, 0.4), (0.5, 0.5), (1.0, 0.6)])
def test_jitter_is_so_much_more_or_less(draw: float, seconds: float) -> None:
    assert jittered(0.5, 0.2, draw) == pytest.approx(seconds)


async def test_so_many_wait_and_no_more() -> None:
    counts, sleep = Counts(), Sleeper()
    waiting = Waiting(2, 10 * SECOND, observer=counts)
    assert [waiting.admit() for _ in range(3)] == [True, True, False]
    tasks = [asyncio.create_task(waiting.wait(0.5, sleep)) for _ in range(2)]
    await asyncio.sleep(0)
    assert (waiting.taken, waiting.admit()) == (2, False)
    sleep.wake.set()
    assert await asyncio.gather(*tasks) == [0.5, 0.5]
    assert (waiting.taken, waiting.admit()) == (0, True)
    assert counts == {"friction.delays_full": 2, "friction.delayed": 2}


async def test_nobody_waits_longer_than_the_most() -> None:
    sleep = Sleeper()
    sleep.wake.set()
    waiting = Waiting(1, 2 * SECOND)
    assert waiting.admit()
    assert await waiting.wait(2.4, sleep) == 2.0
    assert sleep.asked == [2.0]


async def test_whoever_hangs_up_gives_the_place_back() -> None:
    counts, sleep = Counts(), Sleeper()
    waiting = Waiting(1, 10 * SECOND, observer=counts)
    assert waiting.admit()
    task = asyncio.create_task(waiting.wait(5, sleep))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert waiting.taken == 0
    assert counts == {"friction.delay_abandoned": 1}


async def test_a_sleep_that_fails_gives_the_place_back() -> None:
    async def broken(seconds: float) -> None:
        raise OSError(seconds)

    waiting = Waiting(1, 10 * SECOND)
    assert waiting.admit()
    with pytest.raises(OSError, match=r"0\.5"):
        await waiting.wait(0.5, broken)
    assert waiting.taken == 0


def test_no_places_is_never() -> None:
    assert not Waiting(0, SECOND).admit()


def test_a_place_can_be_left_without_waiting() -> None:
    waiting = Waiting(1, SECOND)
    assert waiting.admit()
    waiting.leave()
    assert waiting.admit()


async def test_places_follow_what_they_are_set_to_and_who_waits_counts() -> None:
    sleep = Sleeper()
    waiting = Waiting(1, 10 * SECOND)
    assert [waiting.admit() for _ in range(2)] == [True, False]
    first = asyncio.create_task(waiting.wait(5, sleep))
    await asyncio.sleep(0)
    waiting.resize(2, 2 * SECOND)
    assert [waiting.admit() for _ in range(2)] == [True, False]
    second = asyncio.create_task(waiting.wait(5, sleep))
    await asyncio.sleep(0)
    waiting.resize(1, 2 * SECOND)
    assert (waiting.taken, waiting.admit()) == (2, False)
    sleep.wake.set()
    assert [await first, await second] == [5, 2]
    assert [waiting.admit() for _ in range(2)] == [True, False]


async def test_another_longest_wait_holds_from_then_on() -> None:
    sleep = Sleeper()
    sleep.wake.set()
    waiting = Waiting(1, 2 * SECOND)
    assert waiting.admit()
    assert await waiting.wait(5, sleep) == 2
    waiting.resize(1, 3_500_000)
    assert waiting.admit()
    assert await waiting.wait(5, sleep) == 3.5
