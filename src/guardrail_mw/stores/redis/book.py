"""What one event loop has with a Redis: its lanes, what is owed, and what waits for what."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from time import monotonic
from typing import Any, NamedTuple

from guardrail_mw.clock import Clock
from guardrail_mw.errors import StoreError, StoreTimeout
from guardrail_mw.stores.base import Bill, Receipt, Settlement
from guardrail_mw.stores.redis import codec
from guardrail_mw.stores.redis.batches import Lane, Redirect
from guardrail_mw.stores.redis.calls import Charge, Renewal, Settle, Split, SplitCharge, padded
from guardrail_mw.stores.redis.cluster import Topology
from guardrail_mw.stores.redis.debts import Debts
from guardrail_mw.stores.redis.linking import Linking, Shown
from guardrail_mw.stores.redis.nodes import Address, Target, check_policy, dial
from guardrail_mw.stores.redis.pipes import Call, Link
from guardrail_mw.values import Observer

__all__ = ["PATIENCE", "Book", "Settings"]

PATIENCE = 1.0
"""Seconds, at least, for what no request waits for: renewals, changes of a standing, spending, reading. Or the deadline."""
_SOURCES = tuple(script.source for script in codec.SCRIPTS)
_LOADS = tuple(codec.command("SCRIPT", "LOAD", source) for source in _SOURCES)

_log = logging.getLogger(__name__)


class Settings(NamedTuple):
    """What a store's books share."""

    target: Target
    deadline: float
    """Seconds."""
    prefix: str
    clock: Clock | None
    observer: Observer
    checked: set[Address | None]
    """Whose eviction policy has been looked at."""


class Book:
    """One event loop's business with the store."""

    def __init__(self, settings: Settings) -> None:
        self.loop = asyncio.get_running_loop()
        self.observer = settings.observer
        self.debts = Debts()
        self._settings = settings
        self._prefix = settings.prefix
        self._clock = settings.clock
        self._deadline = settings.deadline
        self._patience = max(PATIENCE, settings.deadline)
        self._renewing: dict[str, list[Renewal]] = {}
        self._deferred: dict[str, list[Settlement]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._complained = 0.0
        self._topology: Topology | None = None
        self.linking = Linking(self, settings.prefix)
        if settings.target.kind == "cluster":
            self._topology = Topology(settings.target, self._lane)
        else:
            self._sole = self._lane(None, None, None)

    def _lane(self, address: Address | None, redirect: Redirect | None, on_down: Callable[[], None] | None) -> Lane:
        return Lane(
            partial(self._dial, address),
            deadline=self._deadline,
            observer=self.observer,
            loads=_LOADS,
            redirect=redirect,
            on_down=on_down,
        )

    async def _dial(self, address: Address | None) -> Link:
        target, checked = self._settings.target, self._settings.checked
        link = await dial(target, _SOURCES, address)
        if address not in checked:
            checked.add(address)
            self._later(check_policy(target, address))
        return link

    @property
    def spread(self) -> bool:
        """Whether homes lie on several servers, each in a slot of its own."""
        return self._topology is not None

    def now(self) -> int | None:
        """What the scripts are told of the time: nothing, unless a test gives it."""
        return None if self._clock is None else self._clock.now()

    def moment(self) -> int:
        """The store's µs, about."""
        if self._clock is not None:
            return self._clock.now()
        return next((lane.time.at(monotonic()) for lane in self._lanes() if lane.time.known), 0)

    def way(self, home: str) -> tuple[Lane, int]:
        """To a home's slot.

        Raises:
            StoreError: no server is known to have it.
        """
        if self._topology is None:
            return self._sole, 0
        slot = codec.key_slot(home)
        return self._topology.lane(slot), slot

    def _parts(self, bill: Bill) -> tuple[codec.Part, ...]:
        return (codec.whole(bill),) if self._topology is None else codec.parts(bill)

    # -- charge --

    def pack(self, bill: Bill, part: codec.Part, not_after: int) -> bytes:
        """The command that charges; a bill's own `not_after` goes before."""
        return codec.charge_command(bill, part, self._prefix, bill.not_after or not_after, self.now())

    def by(self, lane: Lane, deadline: float) -> int:
        """`deadline` in the store's time."""
        if self._clock is None:
            return lane.time.at(deadline)
        return self._clock.now() + round(self._deadline * 1e6)

    async def charge(self, bill: Bill) -> Receipt:
        """See `Store.charge`."""
        if bill.edges:
            return await self._charge_showing(bill)
        if self._topology is not None:
            return await self._charge_parts(bill, self._topology)
        lane = self._sole
        deadline = monotonic() + self._deadline
        if not lane.time.known:
            await lane.opened(self._deadline)
        part = codec.whole(bill)
        call = Charge(self, bill, part, self.pack(bill, part, self.by(lane, deadline)), deadline)
        lane.submit(call)
        try:
            return await call.future  # type: ignore[no-any-return]
        except BaseException:
            call.leave()
            raise

    async def _charge_parts(self, bill: Bill, topology: Topology) -> Receipt:
        deadline = monotonic() + self._deadline
        if not topology.known:
            await topology.learn(self._deadline)
        parts = codec.parts(bill)
        ways = [self.way(part.home) for part in parts]
        for lane, _ in ways:
            if not lane.time.known:
                await lane.opened(deadline - monotonic())
        split = Split(bill, len(parts), self.loop.create_future())
        try:
            for index, (part, (lane, _)) in enumerate(zip(parts, ways, strict=True)):
                call = SplitCharge(self, split, index, part, self.pack(bill, part, self.by(lane, deadline)), deadline)
                lane.submit(call)
                split.calls.append(call)
            return await split.future
        except BaseException:
            split.future.cancel()
            split.leave()
            raise

    async def _charge_showing(self, bill: Bill) -> Receipt:
        """Charge, and note in the same round trip what the bill shows; that this fails is no failure of the charge."""
        shown: Shown | None = None
        try:
            if bill.proved:
                shown = await self.linking.show(bill, monotonic() + self._deadline)
        except StoreError as error:
            self.lost_evidence(error)
        try:
            receipt = (await self.charge(bill._replace(edges=())))._replace(bill=bill)
        except BaseException:
            if shown is not None:
                shown.leave()
            raise
        if shown is None:
            return receipt
        try:
            return receipt._replace(records=await shown.records())
        except StoreError as error:
            self.lost_evidence(error)
            return receipt
        except BaseException:
            if receipt.code == "admitted":
                self.observer.count("store.given_back")
                self.settle(Settlement(receipt, "cancelled"))
            raise
        finally:
            shown.leave()

    def give_back(self, receipt: Receipt, part: codec.Part, became: codec.Became = "admitted") -> None:
        """Cancel an admission, or a part of one, that nobody took; `became` says what the whole was."""
        self.observer.count("store.given_back")
        settlement = Settlement(padded(receipt, part), "cancelled")
        self._send(settlement, part, repeatable=part.receipt, became=became)

    # -- settle --

    def settle(self, settlement: Settlement) -> None:
        """See `Store.settle`."""
        receipt = settlement.receipt
        if self._topology is not None and not self._topology.known:
            self.debts.add()
            self._later(self._settle_later(settlement, self._topology))
            return
        if receipt.bill.id in self._renewing:
            self.debts.add()
            self._deferred.setdefault(receipt.bill.id, []).append(settlement)
            return
        first, *others = self._parts(receipt.bill)
        if receipt.open:
            self._send(settlement, first, repeatable=True, followers=others)
            return
        for part in (first, *others):
            self._send(settlement, part, repeatable=False)

    async def _settle_later(self, settlement: Settlement, topology: Topology) -> None:
        """Charged in another event loop: this one must first learn where the slots are."""
        try:
            await topology.learn(self._patience)
            self.settle(settlement)
        except StoreError as error:
            self.lost_settlement(error)
        finally:
            self.debts.done()

    def lost_settlement(self, error: StoreError) -> None:
        """A charge stands as it was: counted, and logged once a second."""
        self.observer.count("store.lost_settlements")
        if monotonic() > self._complained + 1:
            self._complained = monotonic()
            _log.warning("a settlement failed: %s", error)

    def lost_evidence(self, error: StoreError) -> None:
        """What was shown was not noted, or its values do not know of it: counted."""
        self.observer.count("store.lost_evidence")
        _log.debug("evidence is lost: %s", error)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(work, name="guardrail_mw: redis store")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _send(
        self,
        settlement: Settlement,
        part: codec.Part,
        *,
        repeatable: bool,
        followers: Sequence[codec.Part] = (),
        follow: bool = False,
        became: codec.Became = "admitted",
    ) -> None:
        payload = codec.settle_command(settlement, part, self._prefix, self.now(), follow=follow, became=became)
        if payload is None:
            return
        try:
            lane, slot = self.way(part.home)
        except StoreError as error:
            self.lost_settlement(error)
            return
        call = Settle(self, settlement, payload, repeatable=repeatable, followers=followers)
        call.slot = slot
        lane.errand(call)

    def follow(self, settlement: Settlement, parts: Iterable[codec.Part]) -> None:
        """The payer's slot has settled for the first time: so do the others, once."""
        for part in parts:
            self._send(settlement, part, repeatable=False, follow=True)

    # -- renew --

    async def renew(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        """See `Store.renew`."""
        deadline = monotonic() + self._patience
        calls: list[tuple[int, codec.Part, Renewal]] = []
        for index, receipt in enumerate(receipts):
            for part in self._parts(receipt.bill) if receipt.open else ():
                payload = codec.renew_command(receipt, part, self._prefix, self.now())
                if payload is None:
                    continue
                try:
                    lane, slot = self.way(part.home)
                except StoreError:
                    continue
                call = Renewal(self, receipt.bill.id, payload, deadline)
                call.slot = slot
                lane.errand(call)
                calls.append((index, part, call))
        if calls:
            try:
                await asyncio.wait([call.future for _, _, call in calls], timeout=self._patience)
            finally:
                for _, _, call in calls:
                    call.future.cancel()
        renewed = list(receipts)
        for index, part, call in calls:
            if not call.future.cancelled() and call.future.exception() is None:
                renewed[index] = codec.parse_renew(call.future.result(), renewed[index], part)
        return renewed

    def renewing(self, call: Renewal) -> None:
        """A renewal is under way."""
        self._renewing.setdefault(call.id, []).append(call)

    def renewed(self, call: Renewal) -> None:
        """It is no more: what was settled meanwhile can go."""
        under_way = self._renewing.get(call.id, [])
        if call in under_way:
            under_way.remove(call)
        if not under_way:
            self._renewing.pop(call.id, None)
            for settlement in self._deferred.pop(call.id, ()):
                self.settle(settlement)
                self.debts.done()

    # -- the rest --

    async def learnt(self, deadline: float) -> None:
        """Know where homes lie, by `deadline` monotonic seconds.

        Raises:
            StoreTimeout, StoreError: it cannot be known.
        """
        if self._topology is not None and not self._topology.known:
            await self._topology.learn(deadline - monotonic())

    async def ask(self, home: str, payload: bytes) -> Any:
        """Send one command to a home's slot and wait, `PATIENCE` or the deadline at most, for its answer."""
        [answer] = await self.ask_all([(home, payload)])
        return answer

    async def ask_all(self, commands: Sequence[tuple[str, bytes]]) -> list[Any]:
        """Send commands together, each to a home's slot; their answers in order, `PATIENCE` or the deadline from now at most."""
        deadline = monotonic() + self._patience
        await self.learnt(deadline)
        return await self._answers([(self.way(home)[0], payload) for home, payload in commands], deadline)

    async def ask_lane(self, lane: Lane, payload: bytes) -> Any:
        """Send one command to a server, whatever it has."""
        [answer] = await self._answers([(lane, payload)], monotonic() + self._patience)
        return answer

    async def _answers(self, commands: Sequence[tuple[Lane, bytes]], deadline: float) -> list[Any]:
        calls: list[Call] = []
        try:
            async with asyncio.timeout(deadline - monotonic()):
                for lane, payload in commands:
                    call = Call(payload, deadline, self.loop.create_future())
                    lane.submit(call, patient=True)
                    calls.append(call)
                return await asyncio.gather(*[call.future for call in calls])
        except TimeoutError as error:
            raise StoreTimeout("The store did not answer in time.") from error
        finally:
            for call in calls:
                call.future.cancel()

    async def everywhere(self) -> list[Lane]:
        """To every server that has homes."""
        await self.learnt(monotonic() + self._patience)
        return [self._sole] if self._topology is None else self._topology.masters()

    async def peek(self, bill: Bill) -> Receipt:
        """See `Store.peek`."""
        now = self.now()
        if self._topology is not None and not self._topology.known:
            await self._topology.learn(self._patience)
        parts = self._parts(bill)
        commands = [codec.charge_command(bill, part, self._prefix, 0, now, peek=True) for part in parts]
        replies = await asyncio.gather(
            *(self.ask(part.home, payload) for part, payload in zip(parts, commands, strict=True))
        )
        receipts = [codec.parse_charge(reply, bill, part, peek=True) for part, reply in zip(parts, replies, strict=True)]
        return receipts[0] if self._topology is None else codec.merge(bill, receipts)._replace(open=False)

    async def open(self) -> None:
        """Connect, so that the first request need not."""
        if self._topology is not None:
            await self._topology.learn(self._patience)
            return
        await self._sole.opened(self._patience)

    async def drain(self) -> None:
        """See `Store.drain`."""
        for lane in self._lanes():
            lane.hurry()
        await self.debts.none()

    async def close(self) -> None:
        """Drain, then let go of every connection."""
        await self.drain()
        if self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
        if self._topology is not None:
            await self._topology.close()
        else:
            await self._sole.close()

    def _lanes(self) -> list[Lane]:
        return [self._sole] if self._topology is None else self._topology.lanes
