"""Evidence on its way: with a bill's charge, and in bulk for workers.

Where one server has everything, one command notes what a bill shows and counts it at the values. On a cluster the account and
each value have slots of their own: the account's answers what is new to it, the values' what was known of them, all in the same
round trip; that there is one holder more is told to the values afterwards, for nobody who waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from guardrail_mw.algorithms import edges
from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import Activity, Bill, Change, Held, Record
from guardrail_mw.stores.redis import evidence
from guardrail_mw.stores.redis.pipes import Call
from guardrail_mw.stores.redis.scripts import command

if TYPE_CHECKING:
    from guardrail_mw.stores.redis.book import Book

__all__ = ["Linking", "Shown"]

FOLLOW = 5.0
"""Seconds that a value which cannot be reached is waited for, then it is counted as lost."""
TOGETHER = 25
"""Accounts in one command, where one may have several: it must not keep requests waiting."""
AHEAD = 4
"""Batches that are read before they are asked for."""
AT_ONCE = 8, 64
"""Commands of bulk work under way: at one server, at a cluster, where each has an account's."""
_T = TypeVar("_T")


class _Note(Call):
    """Notes what an account shows. What must follow does, whether or not anybody still waits."""

    __slots__ = ("account", "keys", "linking")

    def __init__(self, linking: Linking, bill: Bill, payload: bytes, deadline: float) -> None:
        super().__init__(payload, deadline, linking.book.loop.create_future())
        self.linking = linking
        self.account = bill.candidate
        self.keys = bill.edges

    def receive(self, reply: Any) -> int:
        """What is new goes to the values, and what made room leaves them."""
        noted = evidence.told(reply)
        if noted is not None:
            for home, payload in self.linking.following(self.account, self.keys, noted):
                self.linking.follow(home, payload)
        return super().receive(noted)


class _Follow(Call):
    """Tells values that they have a holder more, or one fewer. Never sent again where it may have run."""

    __slots__ = ("book",)

    def __init__(self, book: Book, payload: bytes) -> None:
        super().__init__(payload, monotonic() + FOLLOW, book.loop.create_future())
        self.book = book
        book.debts.add()

    def wanted(self) -> bool:
        """Always: nobody waits for it."""
        return True

    def receive(self, reply: Any) -> int:
        """Done."""
        self.book.debts.done()
        return 0

    def fail(self, error: StoreError) -> None:
        """A count stays wrong by one, until the edge goes."""
        self.book.lost_evidence(error)
        self.book.debts.done()


class Shown:
    """What was sent of a bill's edges."""

    __slots__ = ("_bill", "_looks", "_note")

    def __init__(self, bill: Bill, note: _Note, looks: list[tuple[list[int], Call]]) -> None:
        self._bill = bill
        self._note = note
        self._looks = looks

    async def records(self) -> tuple[Record, ...]:
        """What is known of the values; nothing where the bill was stale or late.

        Raises:
            StoreError: it cannot be told.
        """
        noted: evidence.Told | None = await self._note.future
        if noted is None:
            return ()
        if not self._looks:
            return evidence.records_together(noted)
        looked: dict[int, bytes] = {}
        for keys, look in self._looks:
            looked.update(zip(keys, await look.future, strict=True))
        return evidence.records_of(self._bill.edges, noted, looked, edges.short(self._bill.candidate))

    def leave(self) -> None:
        """Nobody waits any more. What was sent is carried out."""
        for call in (self._note, *[look for _, look in self._looks]):
            if call.future.done() and not call.future.cancelled():
                call.future.exception()
            else:
                call.future.cancel()


class Linking:
    """One event loop's business with evidence."""

    def __init__(self, book: Book, prefix: str) -> None:
        self.book = book
        self._prefix = prefix

    # -- with a charge --

    async def show(self, bill: Bill, deadline: float) -> Shown:
        """Send what a bill shows, in the same batch as its charge, which must be submitted in the same tick.

        Raises:
            StoreTimeout, StoreError: it cannot be sent.
        """
        book, spread = self.book, self.book.ways.spread
        parts = evidence.split_values(bill.edges) if spread else []
        await book.ways.learnt(deadline)
        ways = [book.ways.way(home) for home in (bill.candidate, *[home for home, _ in parts])]
        for lane, _ in ways:
            if not lane.time.known:
                await lane.opened(deadline - monotonic())
        not_after = bill.not_after or book.ways.by(ways[0][0], deadline)
        note = _Note(
            self, bill, evidence.note_command(bill, self._prefix, not_after, book.ways.now(), alone=spread), deadline
        )
        who = edges.short(bill.candidate)
        looks = [
            (keys, Call(evidence.value_command("look", keys, who, self._prefix), deadline, book.loop.create_future()))
            for _, keys in parts
        ]
        shown = Shown(bill, note, looks)
        try:
            for call, (lane, slot) in zip((note, *[look for _, look in looks]), ways, strict=True):
                call.slot = slot
                lane.submit(call)
        except StoreError:
            shown.leave()
            raise
        return shown

    def following(self, account: str, keys: Sequence[int], noted: evidence.Told) -> list[tuple[str, bytes]]:
        """The commands to values that noting edges asks for; each with its home."""
        who = edges.short(account)
        new = [] if noted.records else [key for key, each in zip(keys, noted.new, strict=True) if each]
        return self._values("hold", new, who) + self._values("drop", noted.gone, who)

    def _values(self, way: str, keys: Sequence[int], who: bytes) -> list[tuple[str, bytes]]:
        return [(home, evidence.value_command(way, its, who, self._prefix)) for home, its in evidence.split_values(keys)]

    def follow(self, home: str, payload: bytes) -> None:
        """Send a command for nobody who waits."""
        try:
            lane, slot = self.book.ways.way(home)
        except StoreError as error:
            self.book.lost_evidence(error)
            return
        call = _Follow(self.book, payload)
        call.slot = slot
        lane.errand(call)

    # -- one account --

    async def link(self, account: str, keys: Sequence[int], at: int | None = None) -> None:
        """Note edges from outside, as of now or of `at` µs."""
        spread = self.book.ways.spread
        payload = evidence.link_command(
            account, keys, self._prefix, self.book.ways.now() if at is None else at, alone=spread
        )
        noted = evidence.told(await self.book.ways.ask(account, payload))
        if noted is not None:
            await self._each(self.following(account, keys, noted))

    async def forget(self, account: str, keys: Sequence[int] = (), *, whole: bool = False) -> bool:
        """Take edges away; without keys, all of them. False where there was nothing."""
        payload = evidence.forget_command([account], self._prefix, self.book.ways.now(), keys, whole=whole)
        [(some, gone)] = evidence.parse_forgotten(await self.book.ways.ask(account, payload))
        await self._each(self._values("drop", gone, edges.short(account)))
        return some

    async def kept(self, account: str) -> bytes | None:
        """What is kept of it, as it is packed."""
        found: bytes | None = await self.book.ways.ask(account, command("GET", evidence.edges_key(account, self._prefix)))
        return found

    # -- many accounts --

    async def note(self, activities: Sequence[Activity]) -> None:
        """See `Graph.note`."""
        await self._each(
            (some[0].account, evidence.active_command(some, self._prefix)) for some in self._together(activities)
        )

    async def assign(self, changes: Sequence[tuple[str, Sequence[Change]]]) -> None:
        """See `Graph.assign`."""
        now = self.book.ways.now()
        await self._each((some[0][0], evidence.assign_command(some, self._prefix, now)) for some in self._together(changes))

    async def mark(self, records: Mapping[int, tuple[tuple[str, int], ...]], established: Mapping[int, int]) -> None:
        """See `Graph.mark`. What the last one said is looked for where it said anything: which tags these are is kept."""
        home, key = "v", f"{self._prefix}{{v}}"
        now = evidence.tags_of([*records, *established])
        before = await self.book.ways.ask(home, command("GET", key)) or now
        either = bytes(map(max, now, before))
        await self.book.ways.ask(home, command("SET", key, either))
        await self._each(evidence.mark_commands(records, established, either, self._prefix))
        await self.book.ways.ask(home, command("SET", key, now))

    async def read(self, since: int) -> AsyncIterator[Sequence[Held]]:
        """See `Graph.read`. The next are asked for while the last are looked at."""
        seen: set[str] = set()
        under_way: deque[asyncio.Task[list[Held]]] = deque()
        try:
            async for names in self._scan():
                fresh = [name for name in dict.fromkeys(names) if name not in seen]
                seen.update(fresh)
                under_way.append(self.book.loop.create_task(self._held(fresh, since), name="guardrail_mw: read evidence"))
                if len(under_way) >= AHEAD and (held := await under_way.popleft()):
                    yield held
            while under_way:
                if held := await under_way.popleft():
                    yield held
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _held(self, names: Sequence[str], since: int) -> list[Held]:
        now = self.book.ways.now()
        if not names:
            return []
        if self.book.ways.spread:
            commands = [(name, evidence.held_command([name], self._prefix, now, alone=True)) for name in names]
            replies = await self._each(commands, kept=True)
            standings, kept = [each[0] for each in replies], [each[1] for each in replies]
        else:
            asked = evidence.held_command(names, self._prefix, now, alone=False)
            together = [(names[0], asked), (names[0], evidence.shown_command(names, self._prefix))]
            standings, kept = await self.book.ways.ask_all(together)
        return evidence.parse_held(names, standings, kept, since, edges.day_of(self.book.ways.moment()))

    async def sweep(self, before: int) -> int:
        """See `Graph.sweep`."""
        count = 0
        async for names in self._scan():
            now = self.book.ways.now()
            parts = list(self._together(names))
            commands = [(some[0], evidence.forget_command(some, self._prefix, now, before=max(0, before))) for some in parts]
            drops: list[tuple[str, bytes]] = []
            for some, reply in zip(parts, await self._each(commands, kept=True), strict=True):
                for account, (_, gone) in zip(some, evidence.parse_forgotten(reply), strict=True):
                    count += len(gone)
                    drops += self._values("drop", gone, edges.short(account))
            await self._each(drops)
        return count

    async def _scan(self) -> AsyncIterator[list[str]]:
        """Names of accounts of which anything is kept; one may come again."""
        cut = slice(len(self._prefix) + 1, -len(evidence.EDGES) - 1)
        for lane in await self.book.ways.everywhere():
            cursor = b"0"
            while True:
                cursor, names = await self.book.ways.ask_lane(lane, evidence.scan_command(cursor, self._prefix))
                yield [name.decode()[cut] for name in names]
                if cursor == b"0":
                    break

    def _together(self, everything: Sequence[_T]) -> Iterable[Sequence[_T]]:
        """What one command may have: on a cluster, one account."""
        size = 1 if self.book.ways.spread else TOGETHER
        return (everything[start : start + size] for start in range(0, len(everything), size))

    async def _each(self, commands: Iterable[tuple[str, bytes]], *, kept: bool = False) -> list[Any]:
        """Carry out commands, each at its home; their answers in order, where they are `kept`."""
        left = iter(commands)
        at_once = AT_ONCE[self.book.ways.spread]
        answers: list[Any] = []
        while some := list(islice(left, at_once)):
            found = await self.book.ways.ask_all(some)
            if kept:
                answers += found
            await asyncio.sleep(0)
        return answers
