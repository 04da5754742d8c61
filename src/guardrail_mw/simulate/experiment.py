"""A run beside its twin, interrupted where somebody wants it to be, and what they come to."""

from __future__ import annotations

import hashlib
import json
import logging
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from guardrail_mw.simulate import checkpoints
from guardrail_mw.simulate.ablation import FAMILIES
from guardrail_mw.simulate.guarding import secrets_of
from guardrail_mw.simulate.run import Pace, Run
from guardrail_mw.simulate.table import Table, Twin
from guardrail_mw.simulate.verified import verified
from guardrail_mw.simulate.world.arrays import DAY
from guardrail_mw.simulate.world.controls import permute
from guardrail_mw.simulate.world.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.sharedctypes import Synchronized

    from guardrail_mw.simulate.guarding import Feed
    from guardrail_mw.simulate.world.scenario import Scenario

__all__ = ["Experiment", "Plan", "TwinError", "through"]

_EVERY: Final = 5 * DAY
"""Of the world's time, between two checkpoints."""
_UNUSED: Final[Any] = {"verification": True, "campaigns": {"__all__": {"papers"}}}
"""What says nothing of a scenario in which nobody is verified."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run."""

    scenario: Scenario
    seed: int = 1
    policy: str = "guardrail:campaign"
    feed: Feed = "links"
    pace: Pace = field(default_factory=Pace)
    without: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """What tells it from others."""
        scenario = self.scenario.model_dump(mode="json", exclude=_UNUSED if self.scenario.verification is None else None)
        said = json.dumps([scenario, sorted(self.without), repr(self.pace)], sort_keys=True)
        digest = hashlib.sha256(said.encode()).hexdigest()[:12]
        return f"{self.scenario.name} ({digest}), seed {self.seed}, {self.policy}, feed {self.feed}"

    def go_on(self, folder: Path | None, *, twin: bool) -> Run | None:
        """The run, or its twin, as it was written down last; None where it was not.

        Raises:
            CheckpointError: what lies there is of another plan.
        """
        if folder is None:
            return None
        found: Run | None = checkpoints.load(folder, "twin" if twin else "run", self.name)
        return found

    def begin(self, *, twin: bool) -> Run:
        """The run, or its twin, at its beginning."""
        world = World(self.scenario, self.seed)
        if self.scenario.permuted:
            permute(world, self.seed)
        book = Twin(world) if twin else Table(world)
        return Run(
            world,
            book,
            policy=self.policy,
            feed=self.feed,
            pace=self.pace,
            clusters=not twin,
            left_out=self.without,
        )


class TwinError(Exception):
    """The twin's process ended before its run did."""


class Experiment:
    """Both runs.

    Args:
        plan: of the run.
        folder: where checkpoints are kept; None for none. What lies there is gone on with.
        apart: let the twin run in a process of its own, beside the run. What comes of it is the same.

    Raises:
        CheckpointError: what lies there is of another run.
    """

    def __init__(self, plan: Plan, folder: Path | None = None, *, apart: bool = False) -> None:
        self.plan = plan
        self._folder = folder
        self._apart = apart
        found = [plan.go_on(folder, twin=twin) for twin in (True, False)]
        self.resumed = any(each is not None for each in found)
        self.twin, self.run = (each or plan.begin(twin=twin) for each, twin in zip(found, (True, False), strict=True))

    @property
    def length(self) -> int:
        """µs of worlds' time, both together."""
        return 2 * (self.run.world.end - self.run.world.start)

    @property
    def passed(self) -> int:
        """Of `length`."""
        return sum(_passed(each) for each in (self.twin, self.run))

    def go(self, tick: Callable[[int], None] | None = None) -> dict[str, Any]:
        """Run both to the end; returns the figures.

        Args:
            tick: is told what of `length` has passed, after each batch.

        Raises:
            TwinError: the twin's process was ended, for want of memory, say.
        """
        with self._beside() as twins:

            def ticking(_at: int) -> None:
                if tick is not None:
                    tick(_passed(self.run) + twins())

            through(self.run, self.plan, self._folder, "run", ticking)
        through(self.twin, self.plan, self._folder, "twin", ticking)
        return self.figures()

    @contextmanager
    def _beside(self) -> Iterator[Callable[[], int]]:
        """Have the twin run in another process meanwhile, where that is wanted; what has passed of it."""
        if not self._apart or self.twin.done:
            yield lambda: _passed(self.twin)
            return
        context = get_context("spawn")
        passed = context.Value("q", _passed(self.twin))
        with TemporaryDirectory(prefix="guardrail-twin-") as made:
            folder = self._folder or Path(made)
            child = context.Process(target=_twin, args=(self.plan, folder, passed), daemon=True)
            child.start()
            try:
                yield lambda: int(passed.value)
                child.join()
            finally:
                child.kill()
                child.join()
            if child.exitcode:
                raise TwinError(f"The twin run ended early, with exit code {child.exitcode}. What it said stands above.")
            self.twin = self.plan.go_on(folder, twin=True) or self.twin

    def figures(self) -> dict[str, Any]:
        """What the two came to."""
        book, other = self.run.book, self.twin.book
        assert isinstance(book, Table)  # noqa: S101 - as `Plan.begin` made them
        assert isinstance(other, Twin)  # noqa: S101 - likewise
        scenario = self.plan.scenario
        return {
            "policy": self.plan.policy,
            "policy_hash": self.run.policy.hash,
            "feed": self.plan.feed,
            "without": sorted(self.plan.without),
            "ratio": scenario.ratio if scenario.accounts is None else None,
            "scale": scenario.scale,
            **book.figures(other),
            "ablation": {family: book.scored(self.run.without(family)) for family in ("", *FAMILIES)}
            if self.run.clusters
            else {},
            "speed": {"run": self.run.figures(), "twin": self.twin.figures()},
            "bytes_an_account": self.run.callers.bytes_an_account(),
            **({} if (visits := self.run.callers.visits) is None else {"verification": verified(self.run.world, visits)}),
        }


def through(run: Run, plan: Plan, folder: Path | None, name: str, tick: Callable[[int], None]) -> None:
    """Run to the end, and write it down in between.

    Args:
        run: of the plan, or its twin.
        plan: what it was made by.
        folder: None for nowhere.
        name: of the checkpoint.
        tick: is told the world's time after each batch.
    """
    while not run.done:
        run.go(run.world.at + _EVERY, tick)
        if folder is not None:
            checkpoints.save(folder, name, plan.name, run, secrets_of(plan.seed))


def _passed(run: Run) -> int:
    return run.world.at - run.world.start


def _twin(plan: Plan, folder: Path, passed: Synchronized[int]) -> None:
    """What the other process does; its run is found in the folder when it is over."""

    def tick(_at: int) -> None:
        passed.value = _passed(run)

    logging.getLogger("guardrail_mw").setLevel(logging.ERROR)  # that it is one of two processes is no news
    run = plan.go_on(folder, twin=True) or plan.begin(twin=True)
    through(run, plan, folder, "twin", tick)
