"""`clusters import --history`: what accounts showed before anybody looked, with its times."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from guardrail_mw.algorithms import edges
from guardrail_mw.cli.feeding import Facts, Fed, feed, look_through
from guardrail_mw.clock import SystemClock
from guardrail_mw.clusters.history import Showing, backfill, dated
from guardrail_mw.engine.linking import graph_of

if TYPE_CHECKING:
    from guardrail_mw.clock import Clock
    from guardrail_mw.engine import Guardrail

__all__ = ["import_history"]


async def import_history(guardrail: Guardrail, path: Path, *, skip: bool, clock: Clock | None = None) -> Fed:
    """Write a file's evidence as of the times that it tells; what tells none is of now, and what is too old is left out.

    Args:
        guardrail: whose store it is written to.
        path: of the file.
        skip: whether bad lines are passed over.
        clock: the guardrail's, where that is not the machine's.

    Raises:
        Cannot: a line is bad, or the store failed.
        StoreError: the store cannot note evidence of the past.
    """
    graph = graph_of(guardrail)
    dated(graph)
    now = (clock or SystemClock()).now()
    found = await look_through(path, guardrail, history=True, skip=skip, now=now)
    known: dict[str, bytes] = {}
    async for batch in graph.read(0):
        known |= {each.account: each.edges for each in batch if each.account in found}

    async def write(account: str, facts: Facts) -> None:
        await backfill(graph, account, _showings(facts, now), known.get(account, b""), now)
        if facts.created is not None:
            await graph.link(account, (), facts.created)

    return await feed(found, write)


def _showings(facts: Facts, now: int) -> list[Showing]:
    """A line that tells one time tells both."""
    oldest = edges.day_of(now) - edges.KEPT
    every = [
        Showing(key, since or last or now, last or since or now)
        for key, since, last in zip(facts.keys, facts.since, facts.last, strict=True)
    ]
    return [each for each in every if edges.day_of(each.last) >= oldest]
