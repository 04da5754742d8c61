"""A world's traffic through its guard, in event time."""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from guardrail_mw.clusters.ordering import Judging
from guardrail_mw.simulate.ablation import without
from guardrail_mw.simulate.caller import VERDICTS, Callers
from guardrail_mw.simulate.clock import WorldClock
from guardrail_mw.simulate.guarding import Feeder, guard, policy_of
from guardrail_mw.simulate.judges import panel, suspected
from guardrail_mw.simulate.ledgers import Found
from guardrail_mw.simulate.world.arrays import DAY, HOUR, MINUTE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from guardrail_mw.clusters.state import State
    from guardrail_mw.simulate.caller import Seen
    from guardrail_mw.simulate.guarding import Feed
    from guardrail_mw.simulate.world.batch import Batch
    from guardrail_mw.simulate.world.world import World

__all__ = ["Book", "Pace", "Run", "Times", "looks"]


class Book(Protocol):
    """Who notes what happens. It sees labels, and nothing that it does reaches the run."""

    def calls(self, batch: Batch, seen: Seen) -> None:
        """A stretch of traffic was decided."""
        ...

    def rebuilt(self, at: int, clusters: list[Found]) -> None:
        """Clusters were worked out anew."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How often clusters are worked out anew, µs."""

    ordinary: int = DAY
    """In the ordinary days at the beginning."""
    usual: int = 3 * HOUR
    quick: int = 10 * MINUTE
    """In the windows."""
    windows: tuple[int, ...] = (0, 1, 2)
    """Which of the declared windows of 24 hours: from the campaigns' beginning, from the first release after it, and from the
    middle of their time."""


def looks(world: World, pace: Pace) -> list[int]:
    """The moments of a world's rebuilds, µs."""
    scenario = world.scenario
    begin = world.start + scenario.ordinary_days * DAY
    released = [each.released for each in world.models if each.released is not None and each.released > begin]
    middle = begin + (world.end - begin) // 2 // DAY * DAY
    opened = [begin, min(released, default=middle), middle]
    windows = [(opened[each], opened[each] + DAY) for each in pace.windows]
    found, at = [], world.start
    while at < world.end:
        found.append(at)
        if at < begin:
            at = min(at + pace.ordinary, begin)
            continue
        inside = any(first <= at < last for first, last in windows)
        step = at + (pace.quick if inside else pace.usual)
        nearest = min((first for first, _ in windows if first > at), default=world.end)
        at = min(step, nearest)
    return found[1:]


@dataclass(slots=True)
class Times:
    """Where a run's time went: seconds of this process's CPU."""

    calls: dict[str, float] = field(default_factory=lambda: {"ordinary": 0.0, "campaign": 0.0})
    """By the traffic: days before campaigns begin, and after."""
    many: dict[str, int] = field(default_factory=lambda: {"ordinary": 0, "campaign": 0})
    rebuilds: float = 0.0
    rebuilt: int = 0
    made: float = 0.0
    """Making up the traffic, noting what became of it, telling what is known of accounts."""

    def line(self) -> dict[str, float]:
        """Figures for a report."""
        return {
            f"us_a_call_{kind}": 1e6 * self.calls[kind] / many for kind, many in self.many.items() if many
        } | {
            "seconds_rebuilding": self.rebuilds,
            "rebuilds": self.rebuilt,
            "seconds_besides": self.made,
        }  # fmt: skip


class Run:
    """One run, or its twin. It can be pickled between two batches, and goes on from there as if nothing had been.

    Args:
        world: of its own; a twin's is made from the same scenario and seed.
        book: notes what happens.
        policy: a file's name, or a shipped one's.
        feed: what the guard is told.
        pace: of rebuilds.
        clusters: False for a twin.
        left_out: families of evidence that nobody shows.
    """

    def __init__(  # noqa: PLR0913 - what a run is made of
        self,
        world: World,
        book: Book,
        *,
        policy: str = "guardrail:campaign",
        feed: Feed = "links",
        pace: Pace | None = None,
        clusters: bool = True,
        exact: bool = False,
        left_out: frozenset[str] = frozenset(),
    ) -> None:
        self.world, self.book, self.clusters = world, book, clusters
        self.clock = WorldClock(world.start)
        self.policy = policy_of(policy, world, feed, left_out)
        self.clusters = clusters and self.policy.clusters is not None
        self.guardrail = guard(self.policy, self.clock, world.seed, clusters=self.clusters, twin=not clusters)
        self.callers = Callers(self.guardrail, world, self.clock, exact=exact, without=left_out)
        self.times = Times()
        self.state: State | None = None
        """What the last rebuild left."""
        self._feeder = (
            Feeder(self.guardrail, world, self.callers.rows, left_out) if feed == "links" and self.clusters else None
        )
        self._looks = looks(world, pace or Pace()) if self.clusters else []
        self._begun = False

    @property
    def done(self) -> bool:
        """Whether the world's time is over."""
        return self.world.at >= self.world.end

    def go(self, until: int, tick: Callable[[int], None] | None = None) -> None:
        """Run until the world's time is `until`, µs.

        Args:
            until: the last batch ends there or after it.
            tick: is told the time after each batch.
        """
        asyncio.run(self._go(until, tick))

    async def _go(self, until: int, tick: Callable[[int], None] | None) -> None:
        gc.collect()
        gc.disable()  # a store of a million objects is no garbage, and looking through it costs more than all decisions
        try:
            if not self._begun:
                await self._begin()
            for _ in self._batches(until):
                await self._step()
                gc.collect()  # of what has come since the last step
                gc.freeze()
                if tick is not None:
                    tick(self.world.at)
            if self.done:
                await self._rebuild()
        finally:
            gc.enable()
            gc.unfreeze()
            await self.guardrail.store.drain()

    def _batches(self, until: int) -> Iterator[None]:
        while not self.done and self.world.at < until:
            yield

    async def _begin(self) -> None:
        """What was known of accounts before anybody called."""
        self._begun = True
        if self._feeder is not None:
            await self._feeder.tell(0, self.world.at)

    async def _step(self) -> None:
        world, times, begun = self.world, self.times, time.process_time()
        start = world.at
        batch = next(world.batches())
        if self._feeder is not None:
            self.clock.move(start)
            await self._feeder.tell(start, world.at)
        times.made += time.process_time() - begun
        part, first = [], 0
        for at in self._looks[bisect_right(self._looks, start) :]:
            if at > world.at:
                break
            last = int(np.searchsorted(batch.at, at))
            part.append(await self._calls(batch.take(slice(first, last))))
            first = last
            await self.callers.wait(at)
            await self._rebuild()
        part.append(await self._calls(batch.take(slice(first, None))))
        await self.callers.wait(world.at)
        await self.callers.guardrail.report()
        begun = time.process_time()
        world.told(batch, np.concatenate([each.codes for each in part]))
        times.made += time.process_time() - begun

    async def _calls(self, batch: Batch) -> Seen:
        begun, writing = time.process_time(), self.callers.writing
        seen = await self.callers.batch(batch)
        ordinary = self.world.at <= self.world.start + self.world.scenario.ordinary_days * DAY
        kind = "ordinary" if ordinary else "campaign"
        noted = time.process_time()
        writing = self.callers.writing - writing
        self.times.calls[kind] += noted - begun - writing
        self.times.made += writing
        self.times.many[kind] += len(batch)
        self.book.calls(batch, seen)
        self.times.made += time.process_time() - noted
        return seen

    async def _rebuild(self) -> None:
        if not self.clusters:
            return
        begun = time.process_time()
        self.state = state = await self.guardrail.work()
        self.times.rebuilds += time.process_time() - begun
        self.times.rebuilt += 1
        self.book.rebuilt(self.clock.now(), self._found(state))

    def _found(self, state: State) -> list[Found]:
        rows = self.callers.rows
        return [
            Found(
                each.id,
                VERDICTS.index(each.verdict),
                np.array([rows[member] for member in each.members if member in rows], np.int64),
                opinion,
            )
            for each, opinion in zip(state.clusters, self._opinions(state), strict=True)
        ]

    def _opinions(self, state: State) -> Iterable[NDArray[np.bool_]]:
        settings = self.policy.clusters
        assert settings is not None  # noqa: S101 - there are clusters
        if state.rebuilt - state.first < settings.established.us:
            return [np.zeros(0, np.bool_)] * len(state.clusters)
        judging = Judging.of(settings)
        return suspected(panel(judging.judge), state.clusters, judging.floor)

    def without(self, family: str) -> list[Found]:
        """The clusters that would be found now without the evidence of a family."""
        settings = self.policy.clusters
        if settings is None:
            return []
        return self._found(asyncio.run(without(self.guardrail, settings, self.clock, family)))

    def figures(self) -> dict[str, Any]:
        """How fast it was, and how large it became."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {
            **self.times.line(),
            "exchanges": sum(self.times.many.values()),
            "peak_mib": peak // 1024,
            "max_subjects": self.policy.store.max_subjects,
        }
