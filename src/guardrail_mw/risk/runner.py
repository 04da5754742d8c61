"""Asking scorers: within their time, whatever they do, and at once where all of them answer at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import PurePath
from traceback import walk_tb
from typing import Any, Final, NamedTuple

from guardrail_mw.clock import Clock, SystemClock
from guardrail_mw.risk.base import Finding, RiskContext, Scope, Scorer, Velocity
from guardrail_mw.risk.combination import NO_RISK, Risk, Weighed, combine
from guardrail_mw.risk.findings import MOST, sound
from guardrail_mw.risk.fuse import OFF, Fuse
from guardrail_mw.risk.settings import RiskSettings
from guardrail_mw.values import Observer

__all__ = ["NOTHING", "Panel", "Scored", "misfits"]


logger = logging.getLogger("guardrail_mw")

LOG_EVERY: Final = 1_000_000
"""µs between two lines about one scorer."""


class Scored(NamedTuple):
    """What the scorers found in one request."""

    risk: Risk
    """Of what is not in shadow."""
    findings: tuple[Weighed, ...]
    """All, those in shadow too, in the order of the policy."""
    would: Risk
    """With what is in shadow."""


NOTHING: Final = Scored(NO_RISK, (), NO_RISK)
"""What the scorers found where they found nothing: always this one."""


class _Seat:
    """A scorer with what the policy says of it and how it has done."""

    __slots__ = ("fuse", "logged", "name", "score", "weight")

    def __init__(self, name: str, scorer: Scorer, weight: float) -> None:
        self.name = name
        self.score = scorer.score
        self.weight = weight
        self.fuse = Fuse()
        self.logged: int | None = None


class Panel:
    """The scorers of a policy. One for a policy; may be used from several event loops.

    What a scorer finds is weighed; what it does wrong (it is late, it fails, it says what is no finding) is counted, and never
    fails a request.

    Args:
        settings: the policy's `risk:`.
        velocity: the policy's velocity rules, by name.
        clock: its monotonic time tells who is slow.
        observer: hears `risk.late`, `risk.failed`, `risk.tripped`, `risk.bad_finding`.
        shadowed: names of scorers that are in shadow whatever the policy says.

    Raises:
        ValueError: a scorer's settings do not fit the policy; `misfits` has said so before, with the place.
    """

    def __init__(
        self,
        settings: RiskSettings,
        velocity: Mapping[str, Velocity],
        clock: Clock,
        observer: Observer,
        shadowed: frozenset[str] = frozenset(),
    ) -> None:
        self._clock = clock
        self._observer = observer
        self._deadline = settings.deadline.us
        self._weights = settings.weighing()
        self._seats = [
            _Seat(item.label, item.build(Scope(item.label, velocity, clock, observer)), item.weight)
            for item in settings.scorers
        ]
        self._quiet = frozenset(item.label for item in settings.scorers if item.shadow)
        self._shadowed = self._quiet | shadowed
        self._dropped: set[asyncio.Future[Any]] = set()

    @property
    def names(self) -> tuple[str, ...]:
        """The scorers' names, in the order of the policy."""
        return tuple(seat.name for seat in self._seats)

    def shadow(self, names: frozenset[str]) -> None:
        """Put these in shadow beside those that the policy has there, from the next request on; none takes that back."""
        self._shadowed = self._quiet | names

    def run(self, context: RiskContext) -> Scored | Awaitable[Scored]:  # noqa: C901 - one loop, on every request's way
        """What the scorers find; an awaitable only where one of them answers with one, and to be awaited at once."""
        found: list[Weighed] = []
        waiting: list[tuple[_Seat, Awaitable[Iterable[Finding]]]] = []
        monotonic, deadline = self._clock.monotonic, self._deadline
        then = monotonic()
        for seat in self._seats:
            fuse = seat.fuse
            if fuse.until and not fuse.probe(then):
                continue
            later: Awaitable[Iterable[Finding]] | None = None
            try:
                answer = seat.score(context)
                if type(answer) is tuple or type(answer) is list:
                    if answer:  # mostly there is nothing to say
                        self._take(seat, answer, found)
                elif isinstance(answer, Awaitable):
                    later = answer
                else:
                    self._take(seat, answer, found)
            except Exception as error:  # noqa: BLE001 - whatever other people's code raises
                self._failed(seat, error)
            now = monotonic()
            if now - then > deadline:
                self._late(seat, now)
            elif later is None and fuse.burns:
                fuse.quick()
            if later is not None:
                waiting.append((seat, later))
            then = now
        if waiting:
            return self._wait(found, waiting)
        return self._scored(found) if found else NOTHING

    def _take(self, seat: _Seat, answer: Iterable[Finding], found: list[Weighed]) -> None:
        for said in islice(answer, MOST):
            finding, as_it_stood = sound(said)
            if not as_it_stood:
                self._observer.count("risk.bad_finding")
            if finding is not None:
                found.append(Weighed(seat.name, finding, seat.weight, seat.name in self._shadowed))

    def _scored(self, found: list[Weighed]) -> Scored:
        if not found:
            return NOTHING
        would = combine(found, self._weights)
        counted = [each for each in found if not each.shadow]
        risk = would if len(counted) == len(found) else combine(counted, self._weights)
        return Scored(risk, tuple(found), would)

    async def _wait(self, found: list[Weighed], waiting: list[tuple[_Seat, Awaitable[Iterable[Finding]]]]) -> Scored:
        """All at once, until the deadline: whoever is late is cancelled, and not waited for even if he resists."""
        asked = [(seat, _task(later)) for seat, later in waiting]
        try:
            await asyncio.wait([task for _, task in asked], timeout=self._deadline / 1_000_000)
        finally:
            for _, task in asked:
                if not task.done():
                    self._drop(task)
        now = self._clock.monotonic()
        for seat, task in asked:
            if task.done():
                self._answered(seat, task, found)
                seat.fuse.quick()
            else:
                self._late(seat, now)
        return self._scored(found)

    def _answered(self, seat: _Seat, task: asyncio.Future[Iterable[Finding]], found: list[Weighed]) -> None:
        try:
            self._take(seat, task.result(), found)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it may have cancelled itself
            self._failed(seat, error)

    def _drop(self, task: asyncio.Future[Any]) -> None:
        """Cancelled, kept until it has ended, and what it ends with is read: nobody else would."""
        task.cancel()
        self._dropped.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Future[Any]) -> None:
        self._dropped.discard(task)
        if not task.cancelled():
            task.exception()

    def _late(self, seat: _Seat, now: int) -> None:
        self._observer.count("risk.late")
        if seat.fuse.slow(now):
            self._observer.count("risk.tripped")
            logger.warning("the scorer %s keeps being slow: left alone for %d s", seat.name, OFF // 1_000_000)

    def _failed(self, seat: _Seat, error: BaseException) -> None:
        """Counted; the log has the kind and the place, never the error's text, which may quote a request."""
        self._observer.count("risk.failed")
        now = self._clock.monotonic()
        if seat.logged is None or now - seat.logged >= LOG_EVERY:
            seat.logged = now
            logger.warning("the scorer %s failed: %s at %s", seat.name, type(error).__name__, _place(error))


def _task(later: Awaitable[Iterable[Finding]]) -> asyncio.Task[Iterable[Finding]]:
    """One of our own, in this loop: a future may be shared, or belong to a loop that is gone."""
    return asyncio.create_task(later if isinstance(later, Coroutine) else _awaited(later))


async def _awaited(later: Awaitable[Iterable[Finding]]) -> Iterable[Finding]:
    return await later


def _place(error: BaseException) -> str:
    frame, line = list(walk_tb(error.__traceback__))[-1]
    return f"{PurePath(frame.f_code.co_filename).name}:{line}"


class _Silent:
    """For scorers that are built to see whether they can be."""

    def count(self, event: str, by: int = 1) -> None:
        """Nothing."""


def misfits(settings: RiskSettings, velocity: Mapping[str, Velocity]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """For the loader: scorers whose settings do not fit the rest of the policy, by place below `risk`, and why."""
    clock, observer = SystemClock(), _Silent()
    for index, item in enumerate(settings.scorers):
        try:
            item.build(Scope(item.label, velocity, clock, observer))
        except ValueError as error:
            yield ("scorers", index, "with"), str(error)
        except Exception as error:  # noqa: BLE001 - whatever other people's code raises
            yield ("scorers", index), f"cannot be built: {type(error).__name__} at {_place(error)}."
