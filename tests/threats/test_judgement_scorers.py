"""Scorers are other people's code: whatever one does, no request fails, and none waits for it longer than the policy says."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from guardrail_mw import plugins
from guardrail_mw.risk.base import Finding
from guardrail_mw.telemetry.event import validate

from .kit import CHAT, KEY, Guarded, Upstream, chat, policy

pytestmark = pytest.mark.anyio

SOUND = Finding("content", 40, "sound")


class Settings(BaseModel):
    """None."""


def raising(_: Any) -> Any:
    raise RuntimeError("sk-what-the-client-sent")


def interrupting(_: Any) -> Any:
    raise asyncio.CancelledError


def endless(_: Any) -> Iterator[Finding]:
    while True:
        yield SOUND._replace(score=1)


def breaking(_: Any) -> Iterator[Finding]:
    yield SOUND._replace(score=1)
    raise ValueError


async def failing(_: Any) -> Any:
    raise RuntimeError


async def hanging(_: Any) -> Any:
    await asyncio.Event().wait()


async def stubborn(_: Any) -> Any:
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            return [SOUND]


async def cancelling(_: Any) -> Any:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


def writing(context: Any) -> Any:
    """One that would change what others look at."""
    context.subject.account = "a:somebody-else"
    return []


def said(*answers: Any) -> Any:
    return lambda _: answers[0] if len(answers) == 1 else list(answers)


NONSENSE: dict[str, Any] = {
    "none": said(None),
    "number": said(7),
    "text": said("high"),
    "true": said(True),
    "mapping": said({"score": 100}),
    "tuple": said(("content", 40, "tuple"), ("content", 40, "tuple")),
    "nan": said([Finding("content", math.nan, "nan")]),  # type: ignore[arg-type]
    "infinite": said([Finding("content", math.inf, "inf")]),  # type: ignore[arg-type]
    "text score": said([Finding("content", "100", "text")]),  # type: ignore[arg-type]
    "no family": said([Finding("evil", 100, "family")]),  # type: ignore[arg-type]
    "unhashable": said([Finding([], 100, "family")]),  # type: ignore[arg-type]
    "no code": said([Finding("content", 100, "A reason\n with lines")]),
    "huge code": said([Finding("content", 100, "x" * 10_000)]),
    "figures": said([Finding("content", 0, "figures", {"x": object()})]),  # type: ignore[dict-item]
    "figures that nest": said([Finding("content", 0, "figures", {"x": {"y": "z" * 100_000}})]),  # type: ignore[dict-item]
    "exception": said(RuntimeError("returned")),
    "type": said(Finding),
}
WRONG: dict[str, Any] = {
    "raising": raising,
    "breaking": breaking,
    "endless": endless,
    "failing": failing,
    "cancelling": cancelling,
    **NONSENSE,
}
SLOW = {"hanging": hanging, "stubborn": stubborn}


def guarded(monkeypatch: pytest.MonkeyPatch, score: Any, **risk: Any) -> Guarded:
    """An app whose policy names this scorer, and one that finds what there is."""

    class Bad:
        Settings = Settings

        def __init__(self, settings: Any, scope: Any) -> None:
            pass

        def score(self, context: Any) -> Any:
            return score(context)

    class Good(Bad):
        def score(self, context: Any) -> Any:
            return [SOUND]

    theirs = {"bad": Bad, "good": Good}
    installed, load = plugins.installed, plugins.load
    monkeypatch.setattr(plugins, "installed", lambda kind: {**installed(kind), **(theirs if kind == "scorers" else {})})
    monkeypatch.setattr(
        plugins, "load", lambda kind, name: theirs[name] if kind == "scorers" and name in theirs else load(kind, name)
    )
    scorers = {"scorers": [{"use": "bad"}, {"use": "good"}], **risk}
    limits = ({"name": "requests", "rate": "1000/minute"}, {"name": "slots", "concurrency": 1})
    return Guarded(Upstream(), policy(*limits, risk=scorers, friction={"ladder": [{"at": 30, "do": "trim"}]}))


def last(site: Guarded) -> dict[str, Any]:
    [event] = site.guardrail.recorder.latest(1)
    validate(event)
    return event


@pytest.mark.parametrize("how", WRONG)
async def test_what_one_does_wrong_fails_no_request(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And takes nothing from what another has found."""
    site = guarded(monkeypatch, WRONG[how])
    for _ in range(3):
        assert (await site.post(CHAT, chat(), KEY)).status == 200
    assert last(site)["risk"] == 40
    assert last(site)["decision"] == "trim"
    assert (await site.left())["slots"] == 1
    counts = site.guardrail.counts.read()
    assert how in {"endless", "mapping"} or counts.get("risk.failed", 0) + counts.get("risk.bad_finding", 0) >= 3


@pytest.mark.parametrize("how", SLOW)
async def test_who_does_not_answer_is_not_waited_for(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deadline of a millisecond passes; after five of those it is left alone."""
    asked = 0

    def score(context: Any) -> Any:
        nonlocal asked
        asked += 1
        return SLOW[how](context)

    site = guarded(monkeypatch, score, deadline="1ms")
    for _ in range(20):
        assert (await site.post(CHAT, chat(), KEY)).status == 200
        site.clock.advance(0.1)
    assert (last(site)["risk"], last(site)["decision"]) == (40, "trim")
    counts = site.guardrail.counts.read()
    assert counts["risk.tripped"] == 1
    assert counts["risk.late"] == asked == 5


async def test_one_that_keeps_the_loop_busy_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can interrupt it; but it is not asked for ever."""
    asked = 0

    def busy(_: Any) -> Any:
        nonlocal asked
        asked += 1
        site.clock.advance(0.1)
        return []

    site = guarded(monkeypatch, busy)
    for _ in range(20):
        assert (await site.post(CHAT, chat(), KEY)).status == 200
    assert site.guardrail.counts.read()["risk.tripped"] == 1
    assert asked == 5


async def test_a_request_that_is_cancelled_meanwhile_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    began = asyncio.Event()

    async def waiting(_: Any) -> Any:
        began.set()
        await asyncio.Event().wait()

    site = guarded(monkeypatch, waiting, deadline="1s")
    task = asyncio.create_task(site.post(CHAT, chat(), KEY))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await site.left() == {"requests": 1000, "slots": 1}


async def test_what_it_raises_is_not_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    site = guarded(monkeypatch, raising)
    await site.post(CHAT, chat(), KEY)
    text = "\n".join(record.getMessage() + str(record.exc_info) for record in caplog.records)
    assert "RuntimeError" in text
    assert "sk-what" not in text
