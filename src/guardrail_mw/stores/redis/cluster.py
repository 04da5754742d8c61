"""Which lane leads to which slot of a Redis Cluster, as CLUSTER SLOTS and MOVED tell it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from time import monotonic

from guardrail_mw.errors import StoreError, StoreTimeout
from guardrail_mw.stores.redis.batches import Lane, Redirect
from guardrail_mw.stores.redis.nodes import Address, Target, slots
from guardrail_mw.stores.redis.pipes import Call
from guardrail_mw.stores.redis.pool import RETRY

__all__ = ["SLOTS", "Topology"]

SLOTS = 16_384
_log = logging.getLogger(__name__)


class Topology:
    """One event loop's lanes to the masters of a cluster.

    Args:
        make_lane: makes the lane to a master, given what to do about its redirections and when it cannot be reached.
    """

    def __init__(self, target: Target, make_lane: Callable[[Address, Redirect, Callable[[], None]], Lane]) -> None:
        self._target = target
        self._make_lane = make_lane
        self._lanes: dict[Address, Lane] = {}
        self._owners: list[Address | None] = [None] * SLOTS
        self._refreshing: asyncio.Task[None] | None = None
        self._again: asyncio.TimerHandle | None = None
        self._refreshed = 0.0
        self._closed = False
        self._failure: StoreError | None = None
        self.known = False
        """Whether lanes can be told; until then `learn` must be awaited."""

    @property
    def lanes(self) -> list[Lane]:
        """Every lane in use."""
        return list(self._lanes.values())

    def masters(self) -> list[Lane]:
        """To every master that serves a slot.

        Raises:
            StoreError: some slots are served by none.
        """
        owners = dict.fromkeys(self._owners)
        if None in owners:
            self.refresh()
            raise StoreError("The store's cluster serves only some of its slots.")
        return [self._to(owner) for owner in owners if owner is not None]

    def lane(self, slot: int) -> Lane:
        """To the master that serves `slot`.

        Raises:
            StoreError: no master does, as far as is known.
        """
        owner = self._owners[slot]
        if owner is None:
            self.refresh()
            raise StoreError("The store's cluster serves only some of its slots.", f"slot {slot}")
        return self._lanes.get(owner) or self._to(owner)

    async def learn(self, patience: float) -> None:
        """Wait for at most `patience` seconds until the cluster's layout is known.

        Raises:
            StoreTimeout: it was not by then; the attempt goes on.
            StoreError: no node tells it.
        """
        if monotonic() < self._refreshed + RETRY and self._failure is not None:
            raise StoreError("The store's cluster cannot be reached.", str(self._failure)) from self._failure
        task = self.refresh()
        if task is None:
            return
        done, _ = await asyncio.wait([task], timeout=patience)
        if not done:
            raise StoreTimeout("The store's cluster did not tell its layout by the deadline.")
        if not self.known:
            raise StoreError("The store's cluster cannot be reached.", str(self._failure)) from self._failure

    def refresh(self) -> asyncio.Task[None] | None:
        """Ask for the layout anew: one question at a time, and at most one in `RETRY` seconds."""
        if self._refreshing is not None or self._closed:
            return self._refreshing
        loop = asyncio.get_running_loop()
        wait = self._refreshed + RETRY - monotonic()
        if wait > 0 and self.known:
            if self._again is None:
                self._again = loop.call_later(wait, self.refresh)
            return None
        self._again = None
        self._refreshing = loop.create_task(self._refresh(), name="guardrail_mw: learn the cluster's layout")
        return self._refreshing

    async def _refresh(self) -> None:
        try:
            for address in dict.fromkeys([*self._lanes, *self._target.seeds]):
                try:
                    ranges = await slots(self._target, address)
                except StoreError as error:
                    self._failure = error
                    continue
                if ranges:
                    self._adopt(ranges)
                    return
                self._failure = StoreError("The store's cluster serves no slots.", str(address))
            _log.warning("no node of the store's cluster tells its layout: %s", self._failure)
        finally:
            self._refreshed = monotonic()
            self._refreshing = None

    def _adopt(self, ranges: list[tuple[int, int, Address]]) -> None:
        owners: list[Address | None] = [None] * SLOTS
        for first, last, owner in ranges:
            owners[first : last + 1] = [owner] * (last + 1 - first)
        self._owners = owners
        self._failure = None
        self.known = True
        serving = set(owners)
        for address, lane in list(self._lanes.items()):
            if address not in serving:
                for call in lane.take_errands():
                    self._resend(call)

    def _resend(self, call: Call) -> None:
        try:
            self.lane(call.slot).errand(call)
        except StoreError as error:
            call.fail(error)

    def _to(self, address: Address) -> Lane:
        lane = self._lanes.get(address)
        if lane is None:
            lane = self._lanes[address] = self._make_lane(address, partial(self._redirect, address), self._down)
        return lane

    def _down(self) -> None:
        """A master cannot be reached: another may serve its slots by now."""
        self.refresh()

    def _redirect(self, source: Address, call: Call, ask: bool, slot: int, address: str) -> None:  # noqa: FBT001
        if self._closed:
            call.fail(StoreError("The store was closed."))
            return
        host, _, port = address.rpartition(":")
        owner = Address(host or source.host, int(port))
        if not ask:
            self._owners[slot] = owner
            self.refresh()
        self._to(owner).replay(call, "asking" if ask else "")

    async def close(self) -> None:
        """Close every lane."""
        self._closed = True
        if self._again is not None:
            self._again.cancel()
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])
        for lane in self._lanes.values():
            await lane.close()
        self._lanes.clear()
