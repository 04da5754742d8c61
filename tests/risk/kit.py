"""Scorers that do as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from guardrail_mw.risk.base import Family, Finding, RiskContext, Scope
from guardrail_mw.risk.runner import Panel, Scored
from guardrail_mw.risk.settings import RiskSettings
from guardrail_mw.settings import Settings
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.requests import Recorder


class Says:
    """Answers what it was given, or what it was given answers."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked = 0

    def score(self, context: RiskContext, /) -> Any:
        self.asked += 1
        return self.answer() if callable(self.answer) else self.answer


class NoSettings(Settings):
    pass


class Unbuildable:
    Settings = NoSettings

    def __init__(self, settings: NoSettings, scope: Scope) -> None:
        raise RuntimeError("sk-secret")


def finding(family: Family = "device", score: int = 40, reason: str = "because") -> Finding:
    return Finding(family, score, reason)


def slowly(clock: FakeClock, seconds: float, answer: Iterable[Finding] = ()) -> Callable[[], Iterable[Finding]]:
    """Takes its time before it answers."""

    def answering() -> Iterable[Finding]:
        clock.advance(seconds)
        return answer

    return answering


class Seats:
    """A panel of such scorers, its clock and what it counted."""

    def __init__(self, *scorers: Any, clock: FakeClock | None = None, **settings: Any) -> None:
        self.clock = clock if clock is not None else FakeClock()
        self.observer = Recorder()
        self.panel = Panel(RiskSettings(scorers=list(scorers), **settings), {}, self.clock, self.observer)

    def at_once(self, context: RiskContext) -> Scored:
        """What they find, where it takes no waiting."""
        scored = self.panel.run(context)
        assert isinstance(scored, Scored)
        return scored

    async def later(self, context: RiskContext) -> Scored:
        """What they find, where it does."""
        scored = self.panel.run(context)
        assert isinstance(scored, Awaitable)
        return await scored


async def never() -> Iterable[Finding]:
    await asyncio.Event().wait()
    raise AssertionError
