"""A run beside its twin, interrupted where somebody wants it to be, and what they come to."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from guardrail_mw.simulate import checkpoints
from guardrail_mw.simulate.ablation import FAMILIES
from guardrail_mw.simulate.guarding import secrets_of
from guardrail_mw.simulate.run import Pace, Run
from guardrail_mw.simulate.table import Table, Twin
from guardrail_mw.simulate.world.arrays import DAY
from guardrail_mw.simulate.world.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrail_mw.simulate.guarding import Feed
    from guardrail_mw.simulate.world.scenario import Scenario

__all__ = ["Experiment", "Plan"]

_EVERY: Final = 5 * DAY
"""Of the world's time, between two checkpoints."""


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
        said = json.dumps([self.scenario.model_dump(mode="json"), sorted(self.without), repr(self.pace)], sort_keys=True)
        digest = hashlib.sha256(said.encode()).hexdigest()[:12]
        return f"{self.scenario.name} ({digest}), seed {self.seed}, {self.policy}, feed {self.feed}"

    def begin(self, *, twin: bool) -> Run:
        """The run, or its twin, at its beginning."""
        world = World(self.scenario, self.seed)
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


class Experiment:
    """Both runs.

    Args:
        plan: of the run.
        folder: where checkpoints are kept; None for none. What lies there is gone on with.

    Raises:
        CheckpointError: what lies there is of another run.
    """

    def __init__(self, plan: Plan, folder: Path | None = None) -> None:
        self.plan = plan
        self._folder = folder
        kept: tuple[Run, Run] | None = checkpoints.load(folder, plan.name) if folder is not None else None
        self.resumed = kept is not None
        self.twin, self.run = kept or (plan.begin(twin=True), plan.begin(twin=False))

    @property
    def length(self) -> int:
        """µs of worlds' time, both together."""
        return 2 * (self.run.world.end - self.run.world.start)

    @property
    def passed(self) -> int:
        """Of `length`."""
        return sum(each.world.at - each.world.start for each in (self.twin, self.run))

    def go(self, tick: Callable[[int], None] | None = None) -> dict[str, Any]:
        """Run both to the end; returns the figures.

        Args:
            tick: is told what of `length` has passed, after each batch.
        """

        def ticking(_at: int) -> None:
            if tick is not None:
                tick(self.passed)

        for each in (self.run, self.twin):
            while not each.done:
                each.go(each.world.at + _EVERY, ticking)
                self._keep()
        return self.figures()

    def _keep(self) -> None:
        if self._folder is not None:
            checkpoints.save(self._folder, self.plan.name, (self.twin, self.run), secrets_of(self.plan.seed))

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
        }
