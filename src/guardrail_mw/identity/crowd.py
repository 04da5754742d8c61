"""Which networks are told apart, so that one who owns many cannot make a stranger of himself with each.

A /48 holds 65,536 networks of /64 and costs next to nothing. At most 64 of them that have proved nothing are told apart at
a time; the others share the /48's home. IPv4 needs no such table: a /24 has only 256 addresses, an address cannot be forged
over TCP and costs money, and most are shared already (offices, carriers' NAT), so that merging neighbours would hit
strangers.
"""

from __future__ import annotations

from collections import OrderedDict

from guardrail_mw.clock import Clock
from guardrail_mw.identity.network import Place
from guardrail_mw.recent import Recent
from guardrail_mw.values import Observer

__all__ = ["Crowd"]

APART = 64
"""New unproved networks of a parent that are told apart."""
IDLE = 3_600_000_000
"""µs after which one that was not seen makes room."""
MOST_PARENTS = 16_384
MOST_NETWORKS = 65_536


class Crowd:
    """The homes of networks nobody has proved anything from. One for a process; bounded.

    Args:
        clock: read monotonically.
        observer: hears `identity.network_shared` when a network is not told apart.
    """

    __slots__ = ("_clock", "_count", "_observer", "_parents", "_proved")

    def __init__(self, clock: Clock, observer: Observer) -> None:
        self._clock = clock
        self._observer = observer
        self._parents: OrderedDict[str, dict[str, int]] = OrderedDict()
        self._count = 0
        self._proved: Recent[str, bool] = Recent(MOST_NETWORKS)

    def prove(self, place: Place) -> None:
        """Somebody proved a credential from there: this network stays apart, and takes none of the 64 places."""
        if place.plentiful:
            self._proved.put(place.home, True)  # noqa: FBT003 - a mark

    def home(self, place: Place) -> str:
        """The home that an unproved request from there is charged to: the network's own, or its parent's."""
        if not place.plentiful or self._proved.get(place.home):
            return place.home
        now = self._clock.monotonic()
        seen = self._parents.get(place.parent)
        if seen is not None and place.home in seen:
            seen[place.home] = now
            return place.home
        if self._room(place.parent, seen, now):
            self._parents.setdefault(place.parent, {})[place.home] = now
            self._parents.move_to_end(place.parent)
            self._count += 1
            return place.home
        self._observer.count("identity.network_shared")
        return place.parent

    def _room(self, parent: str, seen: dict[str, int] | None, now: int) -> bool:
        """Whether one more can be told apart; throws out what has been idle, and nobody else."""
        if seen is not None and len(seen) >= APART:
            self._sweep(parent, seen, now)
            seen = self._parents.get(parent)
            if seen is not None and len(seen) >= APART:
                return False
        if self._count < MOST_NETWORKS and (seen is not None or len(self._parents) < MOST_PARENTS):
            return True
        oldest, its = next(iter(self._parents.items()))
        self._sweep(oldest, its, now)
        return self._count < MOST_NETWORKS and (seen is not None or len(self._parents) < MOST_PARENTS)

    def _sweep(self, parent: str, seen: dict[str, int], now: int) -> None:
        idle = [home for home, at in seen.items() if now - at >= IDLE]
        for home in idle:
            del seen[home]
        self._count -= len(idle)
        if not seen:
            del self._parents[parent]
        else:
            self._parents.move_to_end(parent)
