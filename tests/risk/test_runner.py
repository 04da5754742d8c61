"""Asking scorers: what they find, and what becomes of those that are late, slow, broken or talk nonsense."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail_mw.risk.base import FAMILIES, Finding
from guardrail_mw.risk.combination import NO_RISK, Risk, Weighed
from guardrail_mw.risk.runner import Scored
from guardrail_mw.risk.settings import ScorerSettings
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.requests import context

from .kit import Says, Seats, finding, never, slowly

pytestmark = pytest.mark.anyio

held = ScorerSettings.holding
DEVICE, NETWORK = finding("device", 40), finding("network", 30)


def test_nothing_found_is_no_risk() -> None:
    assert Seats().at_once(context()) == Scored(NO_RISK, (), NO_RISK)
    assert Seats(held(Says([]), name="a"), held(Says(()), name="b")).at_once(context()) == Scored(NO_RISK, (), NO_RISK)


def test_findings_are_weighed_and_combined() -> None:
    seats = Seats(
        held(Says([DEVICE]), name="a"),
        held(Says(iter([NETWORK._replace(score=60)])), name="b", weight=0.5),
        held(Says([finding("client", 100)]), name="c"),
        weights={"client": 0},
    )
    risk = Risk(58, (("device", 40), ("network", 30)))
    found = (
        Weighed("a", DEVICE, 1, shadow=False),
        Weighed("b", NETWORK._replace(score=60), 0.5, shadow=False),
        Weighed("c", finding("client", 100), 1, shadow=False),
    )
    assert seats.at_once(context()) == Scored(risk, found, risk)
    assert seats.observer.events == {}


def test_shadow_is_recorded_and_adds_nothing() -> None:
    seats = Seats(held(Says([DEVICE]), name="a"), held(Says([NETWORK]), name="b", shadow=True))
    assert seats.panel.names == ("a", "b")
    scored = seats.at_once(context())
    assert (scored.risk.score, scored.would.score) == (40, 58)
    assert [each.shadow for each in scored.findings] == [False, True]
    seats.panel.shadow(frozenset({"a", "unheard-of"}))
    assert seats.at_once(context()).risk == NO_RISK
    assert seats.at_once(context()).would.score == 58
    seats.panel.shadow(frozenset())
    assert seats.at_once(context()).risk.score == 40


def generator() -> Iterator[Finding]:
    yield DEVICE
    raise RuntimeError


async def failing() -> Iterable[Finding]:
    raise RuntimeError


async def none() -> Any:
    return None


async def cancelling() -> Iterable[Finding]:
    raise asyncio.CancelledError


async def asynchronous() -> AsyncIterator[Finding]:
    yield DEVICE


def raising() -> Iterable[Finding]:
    raise RecursionError


@pytest.mark.parametrize("answer", [raising, None, 5, asynchronous, lambda: 1 // 0])
def test_a_failure_is_counted_and_the_others_are_heard(answer: Any) -> None:
    broken = Says(answer if callable(answer) else lambda: answer)
    seats = Seats(held(broken, name="a"), held(Says([DEVICE]), name="b"))
    assert seats.at_once(context()).risk.score == 40
    assert seats.observer.events == {"risk.failed": 1}


def test_what_was_said_before_a_failure_counts() -> None:
    seats = Seats(Says(generator))
    assert seats.at_once(context()).risk.score == 40
    assert seats.observer.events == {"risk.failed": 1}


@pytest.mark.parametrize("answer", [failing, none, cancelling])
async def test_an_awaitable_that_fails(answer: Any) -> None:
    seats = Seats(held(Says(answer), name="a"), held(Says([DEVICE]), name="b"), deadline="1s")
    assert (await seats.later(context())).risk.score == 40
    assert seats.observer.events == {"risk.failed": 1}


def test_the_log_has_the_place_and_nothing_of_the_request(caplog: pytest.LogCaptureFixture) -> None:
    def quoting() -> Iterable[Finding]:
        raise KeyError("sk-secret\nforged")

    seats = Seats(Says(quoting))
    for _ in range(100):
        seats.at_once(context())
        seats.clock.advance(0.0199)
    assert seats.observer.events == {"risk.failed": 100}
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(lines) == 2, "1.99 s of failures"
    assert lines[0].startswith("the scorer says failed: KeyError at test_runner.py:")


def test_what_is_no_finding_is_counted() -> None:
    nonsense = [finding(family="karma"), finding(score=500), "device", None]  # type: ignore[arg-type]
    seats = Seats(Says(nonsense))
    assert seats.at_once(context()).risk.score == 100
    assert seats.observer.events == {"risk.bad_finding": 3}


def test_figures_that_cannot_be_written_cost_no_finding() -> None:
    seats = Seats(Says([DEVICE._replace(figures={"agent": "x" * 65})]))
    assert seats.at_once(context()).findings[0].finding == DEVICE
    assert seats.observer.events == {"risk.bad_finding": 1}


def test_sixteen_findings_are_read() -> None:
    seats = Seats(Says(lambda: itertools.repeat(DEVICE)))
    assert len(seats.at_once(context()).findings) == 16


async def test_awaitables_are_waited_for() -> None:
    async def soon() -> Iterable[Finding]:
        await asyncio.sleep(0)
        return [NETWORK]

    future: asyncio.Future[Iterable[Finding]] = asyncio.get_running_loop().create_future()
    future.set_result([finding("payment", 50)])
    seats = Seats(held(Says(soon), name="a"), held(Says([DEVICE]), name="b"), held(Says(future), name="c"), deadline="1s")
    # 1 - .6 × .7 × .5
    assert (await seats.later(context())).risk.score == 79


async def test_a_future_of_a_loop_that_is_gone() -> None:
    loop = asyncio.new_event_loop()
    future: asyncio.Future[Iterable[Finding]] = loop.create_future()
    loop.close()
    seats = Seats(held(Says(future), name="a"), held(Says([DEVICE]), name="b"), deadline="1s")
    assert (await seats.later(context())).risk.score == 40
    assert seats.observer.events == {"risk.failed": 1}


async def test_they_are_waited_for_together() -> None:
    """Each lets the other go on; one after the other neither would ever end."""
    first, second = asyncio.Event(), asyncio.Event()

    async def one() -> Iterable[Finding]:
        first.set()
        await second.wait()
        return [DEVICE]

    async def other() -> Iterable[Finding]:
        await first.wait()
        second.set()
        return [NETWORK]

    seats = Seats(held(Says(one), name="a"), held(Says(other), name="b"), deadline="1s")
    assert (await seats.later(context())).risk.score == 58


async def test_late_is_cancelled_counted_and_silent() -> None:
    ended = asyncio.Event()

    async def late() -> Iterable[Finding]:
        try:
            return await never()
        finally:
            ended.set()

    seats = Seats(held(Says(late), name="a"), held(Says([DEVICE]), name="b"), deadline="1ms")
    assert (await seats.later(context())).risk.score == 40
    assert seats.observer.events == {"risk.late": 1}
    await ended.wait()


async def test_late_and_deaf_to_being_cancelled_is_not_waited_for() -> None:
    release, ended = asyncio.Event(), asyncio.Event()

    async def stubborn() -> Iterable[Finding]:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        ended.set()
        raise RuntimeError

    seats = Seats(Says(stubborn), deadline="1ms")
    assert (await seats.later(context())).risk == NO_RISK
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
    release.set()
    await ended.wait()
    await asyncio.sleep(0)
    gc.collect()
    assert complaints == [], "its exception was read"


async def test_a_request_that_goes_away_takes_its_scorers_along() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def waiting() -> Iterable[Finding]:
        started.set()
        try:
            return await never()
        finally:
            ended.set()

    seats = Seats(Says(waiting), deadline="1s")
    asked = asyncio.create_task(seats.later(context()))
    await started.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await ended.wait()
    assert seats.observer.events == {}


def test_a_slow_one_is_heard_until_it_keeps_being_slow(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    slow = Says(slowly(clock, 0.020001, [DEVICE]))
    seats = Seats(held(slow, name="slow"), held(Says([NETWORK]), name="b"), clock=clock)
    # The 14th ends 13 × 20.001 ms after the first did.
    assert [seats.at_once(context()).risk.score for _ in range(16)] == [58] * 14 + [30] * 2
    assert seats.observer.events == {"risk.late": 14, "risk.tripped": 1}
    assert [record.getMessage() for record in caplog.records] == ["the scorer slow keeps being slow: left alone for 30 s"]
    clock.advance(30)
    assert [seats.at_once(context()).risk.score for _ in range(2)] == [58, 30], "one asks, and finds it as slow as ever"
    assert slow.asked == 15
    clock.advance(30)
    slow.answer = [DEVICE]
    assert [seats.at_once(context()).risk.score for _ in range(2)] == [58, 58]


def test_the_deadline_itself_is_in_time_and_a_quick_answer_forgives() -> None:
    clock = FakeClock()
    slow, exact = slowly(clock, 0.5), slowly(clock, 0.02)
    scorer = Says(exact)
    seats = Seats(scorer, clock=clock)
    for _ in range(10):
        seats.at_once(context())
    assert seats.observer.events == {}
    for scorer.answer in [slow, slow, slow, slow, exact] * 3:
        seats.at_once(context())
    assert seats.observer.events == {"risk.late": 12}


def test_who_is_slow_costs_the_next_nothing() -> None:
    clock = FakeClock()
    seats = Seats(held(Says(slowly(clock, 1)), name="a"), held(Says([DEVICE]), name="b"), clock=clock)
    for _ in range(5):
        seats.at_once(context())
    assert seats.at_once(context()).risk.score == 40


async def test_one_that_is_always_late_trips_too() -> None:
    scorer = Says(never)
    seats = Seats(scorer, deadline="1ms")
    for _ in range(5):
        await seats.later(context())
        seats.clock.advance(0.1)
    assert seats.at_once(context()).risk == NO_RISK, "nobody is waited for"
    assert seats.observer.events == {"risk.late": 5, "risk.tripped": 1}
    seats.clock.advance(30)
    scorer.answer = failing
    await seats.later(context())
    await seats.later(context())
    assert scorer.asked == 7, "that it fails is another matter: it is asked again"


async def test_the_work_before_an_awaitable_is_watched_too() -> None:
    clock = FakeClock()

    def at_length() -> Any:
        clock.advance(1)
        return none_found()

    async def none_found() -> Iterable[Finding]:
        return ()

    seats = Seats(Says(at_length), clock=clock, deadline="1s")
    await seats.later(context())
    assert seats.observer.events == {}
    seats = Seats(Says(at_length), clock=clock)
    await seats.later(context())
    assert seats.observer.events == {"risk.late": 1}


class Hostile:
    """Fails when it is looked at closely."""

    def __iter__(self) -> Iterator[Finding]:
        raise RuntimeError

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __hash__(self) -> int:
        raise RuntimeError


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
anything = (
    scalars | st.builds(Hostile) | st.sampled_from([*FAMILIES, "because", Hostile, len]) | st.lists(scalars, max_size=3)
)
figures = anything | st.dictionaries(st.text(max_size=3) | st.integers(), anything, max_size=3)
nearly = st.builds(Finding, st.sampled_from(FAMILIES), st.floats() | st.integers(), st.just("because"), figures)
findings = nearly | st.builds(Finding, anything, anything, anything, figures)


@given(anything | st.lists(anything | findings, max_size=4))
def test_whatever_a_scorer_says_the_risk_is_sound(answer: Any) -> None:
    seats = Seats(Says(lambda: answer))
    scored = seats.at_once(context())
    assert 0 <= scored.risk.score <= 100
    assert {each.finding.family for each in scored.findings} <= set(FAMILIES)
    json.dumps([each.finding for each in scored.findings], allow_nan=False)
