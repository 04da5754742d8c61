"""One event loop's business with a Redis: bills are charged, settled and renewed, over one slot or several."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from time import monotonic

from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import Bill, Receipt, Settlement
from guardrail_mw.stores.redis import codec
from guardrail_mw.stores.redis.calls import Charge, Settle, Split, SplitCharge, padded
from guardrail_mw.stores.redis.debts import Debts
from guardrail_mw.stores.redis.linking import Linking, Shown
from guardrail_mw.stores.redis.renewals import Renewals
from guardrail_mw.stores.redis.ways import Settings, Ways

__all__ = ["Book"]

_log = logging.getLogger(__name__)


class Book:
    """One event loop's business with the store."""

    def __init__(self, settings: Settings) -> None:
        self.loop = asyncio.get_running_loop()
        self.observer = settings.observer
        self.debts = Debts()
        self.ways = Ways(settings)
        self._prefix = settings.prefix
        self._deadline = settings.deadline
        self._complained = 0.0
        self.linking = Linking(self, settings.prefix)
        self.renewals = Renewals(self, settings.prefix)

    def parts(self, bill: Bill) -> tuple[codec.Part, ...]:
        """What goes to each slot: all of it, where there is but one."""
        return codec.parts(bill) if self.ways.spread else (codec.whole(bill),)

    # -- charge --

    def pack(self, bill: Bill, part: codec.Part, not_after: int) -> bytes:
        """The command that charges; a bill's own `not_after` goes before."""
        return codec.charge_command(bill, part, self._prefix, bill.not_after or not_after, self.ways.now())

    async def charge(self, bill: Bill) -> Receipt:
        """See `Store.charge`."""
        if bill.edges:
            return await self._charge_showing(bill)
        if self.ways.spread:
            return await self._charge_parts(bill)
        lane = self.ways.sole
        deadline = monotonic() + self._deadline
        if not lane.time.known:
            await lane.opened(self._deadline)
        part = codec.whole(bill)
        call = Charge(self, bill, part, self.pack(bill, part, self.ways.by(lane, deadline)), deadline)
        lane.submit(call)
        try:
            return await call.future  # type: ignore[no-any-return]
        except BaseException:
            call.leave()
            raise

    async def _charge_parts(self, bill: Bill) -> Receipt:
        deadline = monotonic() + self._deadline
        await self.ways.learnt(deadline)
        parts = codec.parts(bill)
        ways = [self.ways.way(part.home) for part in parts]
        for lane, _ in ways:
            if not lane.time.known:
                await lane.opened(deadline - monotonic())
        split = Split(bill, len(parts), self.loop.create_future())
        try:
            for index, (part, (lane, _)) in enumerate(zip(parts, ways, strict=True)):
                call = SplitCharge(self, split, index, part, self.pack(bill, part, self.ways.by(lane, deadline)), deadline)
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
        if not self.ways.known:
            self.debts.add()
            self.ways.later(self._settle_later(settlement))
            return
        if self.renewals.defer(settlement):
            return
        first, *others = self.parts(receipt.bill)
        if receipt.open:
            self._send(settlement, first, repeatable=True, followers=others)
            return
        for part in (first, *others):
            self._send(settlement, part, repeatable=False)

    async def _settle_later(self, settlement: Settlement) -> None:
        """Charged in another event loop: this one must first learn where the slots are."""
        try:
            await self.ways.learnt(monotonic() + self.ways.patience)
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
        payload = codec.settle_command(settlement, part, self._prefix, self.ways.now(), follow=follow, became=became)
        if payload is None:
            return
        try:
            lane, slot = self.ways.way(part.home)
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

    # -- the rest --

    async def peek(self, bill: Bill) -> Receipt:
        """See `Store.peek`."""
        now = self.ways.now()
        await self.ways.learnt(monotonic() + self.ways.patience)
        parts = self.parts(bill)
        commands = [codec.charge_command(bill, part, self._prefix, 0, now, peek=True) for part in parts]
        replies = await asyncio.gather(
            *(self.ways.ask(part.home, payload) for part, payload in zip(parts, commands, strict=True))
        )
        receipts = [codec.parse_charge(reply, bill, part, peek=True) for part, reply in zip(parts, replies, strict=True)]
        return codec.merge(bill, receipts)._replace(open=False) if self.ways.spread else receipts[0]

    async def drain(self) -> None:
        """See `Store.drain`."""
        for lane in self.ways.lanes():
            lane.hurry()
        await self.debts.none()

    async def close(self) -> None:
        """Drain, then let go of every connection."""
        await self.drain()
        await self.ways.close()
