"""The time itself: everybody's calls in order, clusters worked out anew as often as the policy says."""

from __future__ import annotations

import json
from collections import Counter
from importlib.resources import files
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from guardrail_mw.asgi.middleware import GuardrailMiddleware
from guardrail_mw.cli.clusters.history import import_history
from guardrail_mw.cli.demo.app import model_server
from guardrail_mw.cli.demo.walk.calling import Clients
from guardrail_mw.cli.demo.walk.scene import SIDES
from guardrail_mw.cli.demo.walk.sides import Tale
from guardrail_mw.cli.demo.walk.story import Story
from guardrail_mw.cli.feeding import Fed
from guardrail_mw.engine import Guardrail
from guardrail_mw.engine.linking import graph_of
from guardrail_mw.policy import Policy, loads
from guardrail_mw.simulate.guarding import secrets_of
from guardrail_mw.worker.desk import Desk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guardrail_mw.cli.demo.walk.pacing import Pacer
    from guardrail_mw.cli.demo.walk.scene import Scene, Side
    from guardrail_mw.cli.demo.walk.story import Moment
    from guardrail_mw.clusters.state import Cluster, State

__all__ = ["Walk", "policy"]

_OFTEN: Final = 10_000_000
"""µs between two reports of what accounts did, as a server has it."""


def policy() -> Policy:
    """What it runs under."""
    text = (files("guardrail_mw.cli.demo") / "policy.yaml").read_bytes()
    return loads(text, source="guardrail-mw demo", environ={})


class Walk:
    """All of it.

    Args:
        scene: who is there, fresh.
        pacer: of the demo's clock, which stands at the scene's beginning.
        tell: is told what happens as it does.
        look: is called after each rebuild: a moment to look at the figures.
        under: the policy, in place of the demo's.
    """

    def __init__(
        self,
        scene: Scene,
        pacer: Pacer,
        tell: Callable[[Moment], None] = lambda _: None,
        look: Callable[[], None] = lambda: None,
        *,
        under: Policy | None = None,
    ) -> None:
        self.scene, self.pacer, self._look = scene, pacer, look
        self.guardrail = Guardrail(under or policy(), clock=pacer.clock, environ=secrets_of(scene.world.seed))
        settings = self.guardrail.policy.clusters
        assert settings is not None  # noqa: S101 - the policy has some
        self.desk = Desk(graph_of(self.guardrail), settings, clock=pacer.clock)
        self.tales: dict[Side, Tale] = {name: Tale(name, scene.begin) for name in SIDES}
        self.story = Story(self.tales, self.desk, self.guardrail.policy.limits, pacer, tell)
        self.sides: dict[str, Side] = {}
        """Accounts' homes, and whose they are: for the story, not for the guard."""
        self.clusters: dict[Side, Cluster] = {}
        """Each side's, as the last rebuild left it."""
        self._fed = Fed(0, 0)
        self._every = settings.every.us
        self._clients = Clients(GuardrailMiddleware(model_server(pace=0), self.guardrail), scene, pacer.clock)

    async def remember(self) -> None:
        """Take in the history, before anything else: what `guardrail-mw clusters import --history` does with such a file."""
        resolver = self.guardrail.engine.resolver
        for name, side in self.scene.accounts():
            self.sides[resolver.digester.account(resolver.sources[0].name, "", name)] = side
        with TemporaryDirectory(prefix="guardrail-demo-") as folder:
            path = Path(folder) / "history.jsonl"
            path.write_text("".join(f"{json.dumps(row)}\n" for row in self.scene.history()), encoding="utf-8")
            self._fed = await import_history(self.guardrail, path, skip=False, clock=self.pacer.clock)

    async def run(self) -> None:
        """Live through it."""
        self.pacer.start()
        self.story.begin(self._fed)
        try:
            await self._rebuild()
            for at, do, number in self._agenda():
                await self.pacer.until(at)
                await self._do(do, number)
            self.story.end()
        finally:
            await self._clients.close()

    async def close(self) -> None:
        """Give back what was taken."""
        await self.guardrail.close()

    def _agenda(self) -> Iterator[tuple[int, str, int]]:
        """What is to be done when, in order."""
        self._batch = self.scene.calls()
        due = [(at, "call", number) for number, at in enumerate(self._batch.at.tolist())]
        due += self._regular("report", _OFTEN)
        due += self._regular("rebuild", self._every)
        yield from sorted(due, key=lambda each: each[0])

    def _regular(self, what: str, every: int) -> Iterator[tuple[int, str, int]]:
        for number in count(1):
            at = self.scene.begin + number * every
            if at > self.scene.end:
                return
            yield at, what, number

    async def _do(self, what: str, number: int) -> None:
        if what == "call":
            await self._call(number)
        elif what == "report":
            await self.guardrail.report()
        else:
            await self._rebuild()

    async def _call(self, number: int) -> None:
        account = int(self._batch.account[number])
        answers = await self._clients.call(self._batch, number)
        tale = self.tales[self.scene.side(account)]
        tale.note(int(self._batch.at[number]), account, answers)
        self.story.called(tale, answers)

    async def _rebuild(self) -> None:
        state: State = await self.guardrail.work()
        self.clusters = {}
        for cluster in state.clusters:
            side = self._mostly(cluster)
            known = self.clusters.get(side)
            if known is None or len(known.members) < len(cluster.members):
                self.clusters[side] = cluster
        for side, cluster in self.clusters.items():
            self.story.judged(self.tales[side], cluster)
        self._look()

    def _mostly(self, cluster: Cluster) -> Side:
        """Whose accounts most of its members are."""
        many = Counter(self.sides.get(member, "others") for member in cluster.members)
        return many.most_common(1)[0][0]
