"""One rebuild after another."""

from __future__ import annotations

import asyncio
import logging
import secrets
from asyncio import sleep
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from guardrail_mw.algorithms import edges
from guardrail_mw.clusters.binding import FREE, changes, in_force, standing
from guardrail_mw.clusters.material import Materiality
from guardrail_mw.clusters.ordering import Judging
from guardrail_mw.clusters.reading import Read, Reader, table
from guardrail_mw.clusters.rebuild import HOUR, Rebuilt, Rules, rebuild
from guardrail_mw.clusters.splitting import read_splits
from guardrail_mw.clusters.state import ORDERS, SPLITS, STATE, Given, State
from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import Change
from guardrail_mw.worker.alerts import alerts
from guardrail_mw.worker.carrying import Carrying
from guardrail_mw.worker.desk import Desk, OrderError, published
from guardrail_mw.worker.orders import read_orders

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardrail_mw.clock import Clock
    from guardrail_mw.clusters.kinds import Declared
    from guardrail_mw.clusters.settings import ClustersSettings
    from guardrail_mw.limits.settings import LimitSettings
    from guardrail_mw.stores.base import Graph
    from guardrail_mw.values import Observer

__all__ = ["POST", "Worker", "binding"]

logger = logging.getLogger("guardrail_mw")

POST: Final = "rebuild"
"""What the elected process is elected to."""
_DAY: Final = 24 * HOUR
_NAMED: Final = ("cluster", "verdict", "budget", "counters")
_NOWHERE: Final = ("", "none", "", "")


class Worker:
    """Rebuilds clusters.

    Args:
        store: where evidence lies.
        settings: the policy's `clusters`.
        clock: the time that edges are compared with.
        observer: hears `clusters.*`.
        who: this process's name in the election; made up unless given.
        limits: the policy's: what was counted by those `per: [cluster]` outlives a rebuild. They may be set anew.
        organisations: those that the policy knows, by the keys of the evidence of belonging to them.
    """

    def __init__(
        self,
        store: Graph,
        settings: ClustersSettings,
        *,
        clock: Clock,
        observer: Observer,
        who: str | None = None,
        limits: Sequence[LimitSettings] = (),
        organisations: Mapping[int, Declared] | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._observer = observer
        self._who = who or secrets.token_hex(8)
        self.limits = limits
        judging = Judging.of(settings)
        self._rules = Rules(
            table(settings.known()),
            established=settings.established.us // HOUR,
            floor=judging.floor,
            approval=judging.approval,
            material=Materiality(settings.material.accounts, settings.material.tokens.of(1_000_000) / 1_000_000),
            organisations=organisations or {},
            judge=judging.judge,
        )
        self._swept = 0

    @property
    def every(self) -> float:
        """Seconds between two rebuilds."""
        return self._settings.every.us / 1_000_000

    async def turn(self) -> State | None:
        """Rebuild, if this process has the post; None where another has it.

        Raises:
            StoreError: the store failed; what was written stays, and the next turn puts it right.
        """
        if not await self._store.elect(POST, self._who, 2 * self._settings.every.us):
            return None
        return await self.work()

    async def release(self, cluster: str, why: str, until: int) -> tuple[str, ...] | None:
        """Release a cluster, as an operator's order does (see `Desk.order`); who was touched. None: there is no such cluster.

        Raises:
            StoreError: the store failed; the order may be kept without having acted yet: then the next rebuild sees to it.
        """
        try:
            done = await Desk(self._store, self._settings, clock=self._clock).order(cluster, "release", "", why, until)
        except OrderError:
            return None
        return done.touched

    async def work(self) -> State:
        """Rebuild now, whoever has the post.

        Raises:
            StoreError: as `turn`.
        """
        now = self._clock.now()
        before = State.unpack(await self._store.recall(STATE))
        splits = read_splits(await self._store.recall(SPLITS))
        given = replace(read_orders(await self._store.recall(ORDERS)), splits=splits)
        lookback = self._settings.lookback_days
        reader = await Reader.collected(self._store, now, lookback, hours=self._settings.hours)
        carrying = Carrying(self.limits)
        rules = replace(self._rules, ends=carrying.ends)
        read, done = await asyncio.to_thread(_rebuilt, reader, before, given, rules, now)
        await self._store.keep(STATE, await asyncio.to_thread(done.state.pack))
        self._alert(before, done.state, given)  # at once: the next rebuild compares with what is kept now
        await published(self._store, in_force(done.state.clusters))
        await self._store.mark(done.marks, done.established)
        parted = {each.id for each in splits}
        late = [each for each in read_splits(await self._store.recall(SPLITS)) if each.id not in parted]
        freed = {account for each in late for account in each.side}  # meanwhile: the next rebuild says where they belong
        changed = [each for each in binding(read, before, done.state) if each[0] not in freed]
        await self._store.assign(changed)
        await Desk(self._store, self._settings, clock=self._clock).uphold(given, splits)
        self._observer.count("clusters.rebuilt")
        logger.info(
            "Clusters rebuilt: %d accounts, %d edges, %d clusters, %d standings changed.",
            len(read.held.accounts),
            len(read.held.key),
            len(done.state.clusters),
            len(changed),
        )
        if now - self._swept >= _DAY:
            self._swept = now
            await self._store.sweep(edges.horizon(now, lookback))
        return await self._carry(carrying, done.state)

    async def _carry(self, carrying: Carrying, state: State) -> State:
        """Add what merged clusters consumed to the others' counters. Until it is noted that it was done it is done again."""
        if not state.merged:
            return state
        await carrying.carry(self._store, state.merged)
        carried = replace(state, merged=())
        if State.unpack(await self._store.recall(STATE)).rebuilt == state.rebuilt:  # else another has rebuilt meanwhile
            await self._store.keep(STATE, await asyncio.to_thread(carried.pack))
        return carried

    def _alert(self, before: State, after: State, given: Given) -> None:
        """Say what somebody should look at: a line of the log each, and counted."""
        for each in alerts(before, after, given, self._settings.approval):
            if each.what == "asks":
                self._observer.count("clusters.asks")
            else:
                self._observer.count("clusters.turned")
            logger.warning("%s", each.text)

    async def run(self) -> None:
        """Rebuild for ever, whatever goes wrong with one of them."""
        while True:
            try:
                await self.turn()
            except StoreError as error:
                self._observer.count("clusters.failed")
                logger.warning("Clusters could not be rebuilt: %s", error)
            except Exception:
                self._observer.count("clusters.failed")
                logger.exception("Clusters could not be rebuilt; it is tried again.")
            await sleep(self.every)


def _rebuilt(reader: Reader, before: State, given: Given, rules: Rules, now: int) -> tuple[Read, Rebuilt]:
    read = reader.read()
    return read, rebuild(read.held, read.activity, before, given, rules, now)


def binding(read: Read, before: State, after: State) -> list[tuple[str, tuple[Change, ...]]]:
    """What must change in accounts' standings."""
    braked = {member for each in before.clusters if each.asked is not None for member in each.members}
    known = read.standings
    found = []
    members = set()
    for cluster in after.clusters:
        for account in cluster.members:
            members.add(account)
            was = known.get(account, _NOWHERE)
            fields = standing(cluster, was[1])
            changed = was != tuple(fields[name] for name in _NAMED)
            if changed or (account in braked) != bool(fields["brake"]):
                found.append((account, fields))
    found += [(account, FREE) for account in known if account not in members]
    return [(account, changes(fields)) for account, fields in found]
