"""The store on a Redis or Valkey: standalone, behind Sentinels, or a cluster."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from secrets import token_urlsafe
from typing import Any

from guardrail_mw.clock import Clock
from guardrail_mw.stores.base import Activity, Bill, Change, Held, Receipt, Settlement
from guardrail_mw.stores.filing import check, fits
from guardrail_mw.stores.linking import exported
from guardrail_mw.stores.redis import codec, desk, evidence, filing
from guardrail_mw.stores.redis.book import Book
from guardrail_mw.stores.redis.nodes import parse
from guardrail_mw.stores.redis.ways import Settings
from guardrail_mw.values import Observer

__all__ = ["RedisStore"]

_log = logging.getLogger(__name__)


class _Nobody:
    """Observes nothing."""

    def count(self, event: str, by: int = 1) -> None:
        """Ignore it."""


class RedisStore:
    """Counters, leases and standings in Redis 7.0, Valkey 9 or later; see `guardrail_mw.stores.base.Store`.

    Every event loop that uses it has connections of its own, opened when it first needs them and closed when it ends.

    Args:
        url: `redis://`, `rediss://`, `unix://`, `redis+sentinel://`, `redis+cluster://`; see `nodes.py`.
        deadline: µs that a request waits for the store's answer.
        prefix: before every key.
        clock: for tests, which give the scripts their time; None (production) lets them take the store's.
        observer: told of `store.timeout`, `store.overdue`, `store.unreachable`, `store.given_back`,
            `store.lost_connections`, `store.lost_charges`, `store.lost_settlements`, `store.lost_evidence`, and of
            replays by their reason, `store.noscript`, `store.moved`.

    Raises:
        ValueError: the URL cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        deadline: int = 25_000,
        prefix: str = "gr:",
        clock: Clock | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._settings = Settings(
            parse(url).waiting(deadline / 1e6),
            deadline / 1e6,
            prefix,
            clock,
            _Nobody() if observer is None else observer,
            set(),
        )
        self._books: dict[asyncio.AbstractEventLoop, Book] = {}
        self._guards: dict[asyncio.AbstractEventLoop, AsyncIterator[None]] = {}
        self._opening = threading.Lock()

    @classmethod
    def from_url(
        cls, url: str, *, deadline: int, max_subjects: int, clock: Clock | None, observer: Observer | None
    ) -> RedisStore:
        """The store that `url` names, as a policy opens it. A server keeps any number of subjects, within its memory.

        Raises:
            ValueError: the URL is not one.
        """
        del max_subjects
        return cls(url, deadline=deadline, clock=clock, observer=observer)

    def _book(self) -> Book:
        loop = asyncio.get_running_loop()
        return self._books.get(loop) or self._begin(loop)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> Book:
        with self._opening:
            for other in [other for other in self._books if other.is_closed()]:
                del self._books[other], self._guards[other]
            self._books[loop] = book = Book(self._settings)
            self._guards[loop] = guard = self._guard(loop, book)
        with suppress(StopIteration):
            anext(guard).__await__().send(None)  # runs to its yield, where the loop's end will find it
        return book

    async def _guard(self, loop: asyncio.AbstractEventLoop, book: Book) -> AsyncIterator[None]:
        """An event loop ends its asynchronous generators before it closes, and with this one our connections."""
        try:
            yield
        finally:
            with self._opening:
                self._books.pop(loop, None)
                self._guards.pop(loop, None)
            await book.close()

    async def open(self) -> None:
        """Connect now, so that the first request need not wait for it; may be left out.

        Raises:
            StoreError: the store cannot be reached. It is tried again with every request.
        """
        await self._book().ways.open()

    def charge(self, bill: Bill) -> Coroutine[Any, Any, Receipt]:
        """Charge all of a bill or none of it; see `Store.charge`."""
        return self._book().charge(bill)

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Accept settlements; see `Store.settle`."""
        try:
            book = self._book()
        except RuntimeError:
            self._settings.observer.count("store.lost_settlements", len(settlements))
            _log.warning("%d settlements outside an event loop are lost", len(settlements))
            return
        for settlement in settlements:
            try:
                book.settle(settlement)
            except Exception:  # noqa: BLE001 - settling never fails a request
                self._settings.observer.count("store.lost_settlements")
                _log.exception("a settlement cannot be sent")

    async def renew(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        """Keep open receipts alive; see `Store.renew`."""
        return await self._book().renewals.renew(receipts)

    async def remember(self, account: str, changes: Sequence[Change]) -> int:
        """Change an account's standing; see `Store.remember`."""
        book = self._book()
        command = codec.remember_command(account, changes, self._settings.prefix, self._now())
        return codec.parse_remember(await book.ways.ask(account, command))

    async def epoch(self, token: str) -> str:
        """Of the place where a token would be kept; see `Store.epoch`.

        Raises:
            StoreError: also where scripts may not read INFO (`NOEPOCH`).
        """
        command = codec.epoch_command(token, token_urlsafe(16), self._settings.prefix)
        return codec.parse_epoch(await self._book().ways.ask(codec.shard_of(token), command))

    async def spend(self, token: str, ttl: int, epoch: str) -> bool:
        """True the first time in its epoch; see `Store.spend`."""
        command = codec.spend_command(token, ttl, epoch, self._settings.prefix, self._now())
        return codec.parse_spend(await self._book().ways.ask(codec.shard_of(token), command))

    async def take(self, budget: str, member: str, most: int, until: int) -> bool:
        """Whether a member is in a budget, or fits into it; see `Tally.take`."""
        command = codec.tally_command(budget, member, most, until, self._settings.prefix, self._now())
        return codec.parse_spend(await self._book().ways.ask(f"t:{budget}", command))

    async def file(self, drawer: str, name: str, changes: Sequence[Change], until: int) -> dict[str, str]:
        """Merge changes into a record; see `Files.file`."""
        check(drawer, name, changes)
        command = filing.filing_command("file", drawer, name, self._settings.prefix, self._now(), changes, until)
        return filing.parse_record(await self._book().ways.ask(filing.home_of(drawer), command)) or {}

    async def pull(self, drawer: str, name: str) -> dict[str, str] | None:
        """The fields of a record; see `Files.pull`."""
        if not fits(drawer, name):
            return None
        command = filing.filing_command("pull", drawer, name, self._settings.prefix, self._now())
        return filing.parse_record(await self._book().ways.ask(filing.home_of(drawer), command))

    async def listed(self, drawer: str, most: int, after: str = "") -> list[str]:
        """Names of records; see `Files.listed`."""
        if most <= 0 or not fits(drawer, "any"):
            return []
        after = after if fits(drawer, after) else ""
        command = filing.listing_command(drawer, most, after, self._settings.prefix, self._now())
        names = None
        while names is None:
            names = filing.parse_listing(await self._book().ways.ask(filing.home_of(drawer), command))
        return names

    async def shred(self, drawer: str, name: str) -> bool:
        """Forget a record; see `Files.shred`."""
        if not fits(drawer, name):
            return False
        command = filing.filing_command("shred", drawer, name, self._settings.prefix, self._now())
        return codec.parse_spend(await self._book().ways.ask(filing.home_of(drawer), command))

    async def reset(self, home: str, fields: Sequence[str] | None = None) -> int:
        """Make counters as new; see `Desk.reset`."""
        return await desk.reset(partial(self._book().ways.ask, home), self._settings.prefix, home, fields)

    async def export(self, account: str) -> dict[str, Any]:
        """All that is kept of an account; see `Desk.export`."""
        found = await desk.export(partial(self._book().ways.ask, account), self._settings.prefix, account)
        kept = await self._book().linking.kept(account)
        return found if kept is None else found | {"evidence": exported(kept)}

    async def erase(self, account: str) -> bool:
        """Forget an account; see `Desk.erase`."""
        some = await self._book().linking.forget(account, whole=True)
        return await desk.erase(partial(self._book().ways.ask, account), self._settings.prefix, account) or some

    async def note(self, activities: Sequence[Activity]) -> None:
        """Add up what accounts did; see `Graph.note`."""
        await self._book().linking.note(activities)

    def read(self, since_day: int) -> AsyncIterator[Sequence[Held]]:
        """What is kept of accounts; see `Graph.read`."""
        return self._book().linking.read(since_day)

    async def assign(self, changes: Sequence[tuple[str, Sequence[Change]]]) -> None:
        """Change many standings; see `Graph.assign`."""
        await self._book().linking.assign(changes)

    async def mark(self, records: Mapping[int, tuple[tuple[str, int], ...]], established: Mapping[int, int]) -> None:
        """What a rebuild says of values; see `Graph.mark`."""
        await self._book().linking.mark(records, established)

    async def link(self, account: str, keys: Sequence[int], created: int | None = None, *, at: int | None = None) -> None:
        """Evidence from outside; see `Graph.link`."""
        if keys:
            await self._book().linking.link(account, keys, at)
        if created is not None:
            await self.remember(account, [Change("first", "created", str(created))])

    async def unlink(self, account: str, keys: Sequence[int]) -> None:
        """Take evidence away; see `Graph.unlink`."""
        if keys:
            await self._book().linking.forget(account, keys)

    async def elect(self, name: str, who: str, ttl: int) -> bool:
        """Whether `who` has a post; see `Graph.elect`."""
        command = evidence.elect_command(name, who, ttl, self._settings.prefix, self._now())
        return codec.parse_spend(await self._book().ways.ask(f"w:{name}", command))

    async def keep(self, name: str, blob: bytes) -> None:
        """Keep a worker's notes; see `Graph.keep`."""
        await self._book().ways.ask(f"k:{name}", evidence.keep_command(name, blob, self._settings.prefix))

    async def recall(self, name: str) -> bytes | None:
        """What was kept; see `Graph.recall`."""
        prefix = self._settings.prefix
        found: bytes | None = await self._book().ways.ask(f"k:{name}", codec.command("GET", evidence.shelf(prefix, name)))
        return found

    async def sweep(self, before_day: int) -> int:
        """Forget what was last seen before a day; see `Graph.sweep`."""
        return await self._book().linking.sweep(before_day)

    async def peek(self, bill: Bill) -> Receipt:
        """What `charge` would answer; see `Store.peek`."""
        return await self._book().peek(bill)

    async def drain(self) -> None:
        """Wait until what was settled from this event loop has been carried out, or has failed and was counted."""
        await self._book().drain()

    async def close(self) -> None:
        """Drain, then let go of this event loop's connections; other loops' are closed when those end."""
        guard = self._guards.get(asyncio.get_running_loop())
        if guard is not None:
            await guard.aclose()  # type: ignore[attr-defined]

    async def read_switches(self) -> dict[str, str]:
        """Rule name (empty for everything) to mode."""
        prefix = self._settings.prefix
        return codec.parse_switches(await self._book().ways.ask(f"{prefix}switches", codec.switches_command(prefix)))

    async def write_switch(self, rule: str, mode: str | None) -> None:
        """Set the mode of a rule (empty for everything); None takes the switch away."""
        prefix = self._settings.prefix
        await self._book().ways.ask(f"{prefix}switches", codec.switch_command(rule, mode, prefix))

    def _now(self) -> int | None:
        return None if self._settings.clock is None else self._settings.clock.now()
