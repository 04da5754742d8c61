"""What clusters would be found, at the end of a run, without the evidence of a family.

The store is read as it is, edges of that family are left out, and a rebuild is made that writes nothing. It says which evidence
carries the clusters, not how the run would have gone: that takes a run with `without`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from guardrail_mw.algorithms import edges, keys
from guardrail_mw.clusters.kinds import BUILT_IN
from guardrail_mw.worker import Worker

if TYPE_CHECKING:
    from guardrail_mw.clusters.settings import ClustersSettings
    from guardrail_mw.clusters.state import State
    from guardrail_mw.engine import Guardrail
    from guardrail_mw.simulate.clock import WorldClock
    from guardrail_mw.stores.base import Change, Graph, Held

__all__ = ["FAMILIES", "spared", "without"]

FAMILIES: Final = tuple(dict.fromkeys(kind.family for kind in BUILT_IN))


def spared(settings: ClustersSettings, families: Collection[str]) -> ClustersSettings:
    """The settings with which nothing of these families is made from what accounts did: that is shown by no request."""
    made = frozenset(kind.family for kind in BUILT_IN if kind.code == keys.COACTIVE)
    return settings.model_copy(update={"hours": False}) if made & frozenset(families) else settings


class _Spared:
    """A graph without edges of some kinds, that keeps nothing it is told."""

    def __init__(self, store: Graph, codes: frozenset[int]) -> None:
        self._store = store
        self._codes = codes

    async def read(self, since_day: int) -> AsyncIterator[Sequence[Held]]:
        async for batch in self._store.read(since_day):
            yield [each._replace(edges=self._left(each.edges), cluster="", verdict="") for each in batch]

    def _left(self, packed: bytes) -> bytes:
        """A key's first byte has its kind's code in the upper seven bits."""
        size = edges.EDGE
        return b"".join([packed[at : at + size] for at in range(0, len(packed), size) if packed[at] >> 1 not in self._codes])

    async def recall(self, name: str) -> bytes | None:
        return None

    async def keep(self, name: str, blob: bytes) -> None:
        """Nothing."""

    async def mark(self, records: Mapping[int, Any], established: Mapping[int, int]) -> None:
        """Nothing."""

    async def assign(self, changes: Sequence[tuple[str, Sequence[Change]]]) -> None:
        """Nothing."""

    async def sweep(self, before_day: int) -> int:
        return 0


async def without(guardrail: Guardrail, settings: ClustersSettings, clock: WorldClock, family: str) -> State:
    """The clusters without a family; with all of them for an empty name."""
    codes = frozenset(kind.code for kind in BUILT_IN if kind.family == family)
    graph: Any = _Spared(guardrail.store, codes)  # type: ignore[arg-type]
    settings = spared(settings, (family,))
    state: State = await Worker(graph, settings, clock=clock, observer=guardrail.counts).work()
    return state
