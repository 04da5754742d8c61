"""What operators do to clusters, and what they may see of them. It acts at once, and every rebuild after it does the same."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from guardrail_mw.algorithms import edges
from guardrail_mw.clusters.binding import APART, BINDS, FREE, changes, in_force, standing
from guardrail_mw.clusters.ordering import Judging, decided, orders_of
from guardrail_mw.clusters.reading import Read, Reader
from guardrail_mw.clusters.settings import MOST_TOKENS
from guardrail_mw.clusters.splitting import Split, holding, read_splits, until_when, write_splits
from guardrail_mw.clusters.state import BINDING, EDITION, ORDERS, SPLITS, STATE, Cluster, Given, Order, State, edition
from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import Change
from guardrail_mw.worker.orders import read_orders, write_orders

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from guardrail_mw.clock import Clock
    from guardrail_mw.clusters.settings import ClustersSettings
    from guardrail_mw.stores.base import Graph, Held

__all__ = ["Desk", "Done", "OrderError", "UnknownError", "published"]

logger = logging.getLogger("guardrail_mw.operators")

_POST: Final = "orders"
_TURN: Final = 2_000_000
"""µs that one may take to write an order."""
_PAUSE: Final = 0.05
_TRIES: Final = 100
_KEPT: Final = "It is kept, and has not reached everybody: say it again, or the next rebuild sees to it."


class OrderError(ValueError):
    """Something cannot be ordered; nothing was changed.

    Args:
        argument: what is wrong: `cluster`, `account`, `verdict`, `tokens`.
        text: why.
    """

    def __init__(self, argument: str, text: str) -> None:
        super().__init__(f"{argument}: {text}")
        self.argument = argument
        self.text = text


class UnknownError(OrderError):
    """No cluster is called that, or several are."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of an order."""

    before: Cluster
    after: Cluster
    touched: tuple[str, ...]
    """Accounts whose standing was set: the cluster's members, and those who were placed in it since the last rebuild."""


class Desk:
    """Clusters in an operator's hands.

    Orders are kept as one note in the store, which is read, merged and written; so that two operators at once lose nothing, that
    is done by whoever holds the store's post `orders`, for 2 s at most. What can be lost: the order of somebody whose process or
    store stood still for longer than that between reading and writing, while another's was written. Each writer looks whether its
    order is there afterwards, and fails if not, so it is never lost unnoticed by both.

    Args:
        store: where evidence lies.
        settings: the policy's `clusters`.
        clock: the time of orders.
    """

    def __init__(self, store: Graph, settings: ClustersSettings, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.settings = settings
        self.judging = Judging.of(settings)
        self.judge = self.judging.judge
        """The model, with the policy's thresholds."""

    # Seeing

    def now(self) -> int:
        """µs."""
        return self._clock.now()

    async def state(self) -> State:
        """What the last rebuild left, with what was ordered since. See `look`."""
        return (await self.look())[0]

    async def look(self) -> tuple[State, Given, tuple[Split, ...]]:
        """What the last rebuild left, with what was ordered since; all orders; and the splits that hold.

        Raises:
            StoreError: the store does not answer, or another version wrote it.
        """
        kept, given, splits, now = await self._store.recall(STATE), await self.given(), await self.splits(), self.now()

        def read() -> State:  # beside the loop, whose requests go on: there may be many
            state = State.unpack(kept)
            cold = self.cold(state, now)
            found = []
            for each in state.clusters:
                orders = orders_of(given, each, splits, now)
                found.append(decided(each, orders, self.judging, now, looked=state.rebuilt, cold=cold) if orders else each)
            return replace(state, clusters=tuple(found))

        try:
            return await asyncio.to_thread(read), given, splits
        except ValueError as error:
            raise StoreError("What is kept of clusters cannot be read.", str(error)) from error

    def cold(self, state: State, now: int) -> bool:
        """Whether there is too little history yet for the model to say more than `watched`."""
        return not state.first or now - state.first < self.settings.established.us

    async def given(self) -> Given:
        """All orders, those whose time is over included."""
        return read_orders(await self._store.recall(ORDERS))

    async def splits(self) -> tuple[Split, ...]:
        """The splits that hold."""
        return holding(read_splits(await self._store.recall(SPLITS)), self.now())

    def orders(self, cluster: Cluster, given: Given, splits: Sequence[Split]) -> tuple[Order, ...]:
        """What holds for a cluster, the latest last."""
        return orders_of(given, cluster, splits, self.now())

    @staticmethod
    def find(state: State, cluster: str) -> Cluster:
        """A cluster by its id, or by as much of it as no other begins with.

        Raises:
            UnknownError: there is none, or several.
        """
        wanted = cluster.strip().lower()
        found = [each for each in state.clusters if each.id.startswith(wanted)] if wanted else []
        exact = [each for each in found if each.id == wanted]
        if len(exact or found) == 1:
            return (exact or found)[0]
        if found:
            raise UnknownError(
                "cluster", f"{cluster!r} is how several begin: {', '.join(each.id for each in found[:5])}. Write more."
            )
        when = "No rebuild has been kept yet." if not state.rebuilt else "`guardrail-mw clusters list` has them all."
        raise UnknownError("cluster", f"{cluster[:32]!r} is no cluster of the last rebuild. {when}")

    async def read(self) -> Read:
        """All evidence there is, as the next rebuild reads it, which then has splits hold (`splitting.apart`)."""
        settings = self.settings
        reader = await Reader.collected(self._store, self.now(), settings.lookback_days, hours=settings.hours)
        return await asyncio.to_thread(reader.read)

    # Doing

    async def order(self, cluster: str, what: str, value: str, why: str, until: int = 0) -> Done:
        """Say something of a cluster, and of all that descends from it; it acts before this returns.

        Who was split off from it since the last rebuild is not touched: the order is about the others.

        Args:
            cluster: its id.
            what: `verdict` (`value` says which), `release` (none), `reject` (watched), `judge` (the model's again), `approve`,
                `budget`, or `vouch`: its organisation was verified.
            value: of `verdict`; of `budget` the tokens a UTC day that all members share, or empty for the figure that was worked
                out; of `vouch` see `Order`; else empty.
            why: a line.
            until: µs at which it is over; 0 is for good.

        Raises:
            OrderError: it cannot be; nothing was changed.
            StoreError: the store failed; the order may be kept without having acted yet: then the next rebuild sees to it.
        """
        async with self._turn():
            given = await self.given()
            before = self.find(await self.state(), cluster)
            if what in {"approve", "reject"}:
                _asked(before, what)
            if what == "budget":
                _budgeted(before, value)
            order = Order(what, value, until, why, self._moment(given))
            orders = {**given.orders, before.id: (*given.orders.get(before.id, ()), order)}
            await self._keep(ORDERS, write_orders(Given(orders), self.now()))
        logger.warning("cluster %s %s %s: %s", before.id, what, value or "-", why)
        try:
            state = await self.state()
            after = self.find(state, before.id)
            return Done(before, after, await self._act([after], {after.id}, await self._gone(state)))
        except StoreError as error:
            raise StoreError(_KEPT, error.detail or error.public) from error

    async def split(self, cluster: str, accounts: Sequence[str], why: str, until: int = 0) -> Split:
        """Split accounts off from the rest of their cluster, as of the next rebuild.

        Raises:
            OrderError: they are not members, or all of them are.
        """
        async with self._turn():
            found = self.find(await self.state(), cluster)
            side = tuple(sorted(set(accounts)))
            strangers = sorted(set(side).difference(found.members))
            if strangers:
                are = f"{', '.join(strangers[:3])} {'is' if len(strangers) == 1 else 'are'}"
                raise OrderError("account", f"{are} not in {found.id}: only members can be split off.")
            rest = tuple(sorted(set(found.members).difference(side)))
            if not side or not rest:
                raise OrderError(
                    "account", f"{'nobody' if not side else 'everybody'} would be split off. Name some members."
                )
            known = read_splits(await self._store.recall(SPLITS))
            at = max([self.now(), *[each.at + 1 for each in known]])
            known = tuple(each for each in known if (each.cluster, each.side) != (found.id, side))  # said again, it is one
            made = Split(secrets.token_hex(6), found.id, side, rest, until, why, at)
            await self._keep(SPLITS, write_splits((*known, made), self.now()))
            try:
                await self._part((*known, made), side)
            except StoreError as error:
                raise StoreError(_KEPT, error.detail or error.public) from error
        logger.warning("cluster %s split %d accounts off: %s", found.id, len(side), why)
        return made

    async def join(self, cluster: str, why: str) -> tuple[Split, ...]:
        """Take back every split that was given of a cluster, as of the next rebuild. Returns those.

        Args:
            cluster: its id, or as much of it as no other that was split begins with; or a split's own.
            why: a line.

        Raises:
            UnknownError: none was given of it, or several begin so; nothing was changed.
        """
        wanted = cluster.strip().lower()
        async with self._turn():
            known = await self.splits()
            begin = {each.cluster for each in known if wanted and each.cluster.startswith(wanted)}
            whose = {wanted} if wanted in begin else begin
            if len(whose) > 1:
                several = ", ".join(sorted(whose)[:5])
                raise UnknownError("cluster", f"{cluster[:32]!r} is how several begin: {several}. Write more.")
            gone = tuple(each for each in known if each.cluster in whose or each.id == wanted)
            if not gone:
                raise UnknownError("cluster", f"{cluster[:32]!r} has no split that holds.")
            left = [each for each in known if each not in gone]
            await self._keep(SPLITS, write_splits(left, self.now()))
            await self._part(left, {account for each in gone for account in each.side})
        logger.warning("cluster %s splits taken back: %s", cluster, why)
        return gone

    async def free(self, accounts: Collection[str]) -> None:
        """Take accounts out of their clusters, until the next rebuild says where they belong."""
        gone = changes(FREE)
        await self._store.assign([(account, gone) for account in accounts])

    async def uphold(self, given: Given, splits: Sequence[Split]) -> bool:
        """For the worker, after it has written what a rebuild found under these orders: what was ordered meanwhile acts again.

        Returns whether something was.
        """
        latest = await self.given()
        if latest.orders == given.orders:
            return False
        state = await self.state()
        changed = [
            each for each in state.clusters if orders_of(latest, each, splits, 0) != orders_of(given, each, splits, 0)
        ]
        await self._act(changed, set(), await self._gone(state))
        return True

    # What these share

    async def _part(self, splits: Sequence[Split], accounts: Collection[str]) -> None:
        """Note with accounts whether one of these splits keeps them apart, so that nobody places them before a rebuild does."""
        ends = until_when(splits)
        await self._store.assign([(name, changes({APART: str(ends.get(name, ""))})) for name in accounts])

    async def _gone(self, state: State) -> set[str]:
        """Who was split off since the rebuild that left this."""
        return {account for each in await self.splits() if each.at >= state.rebuilt for account in each.side}

    async def _act(self, clusters: Sequence[Cluster], swept: Collection[str], gone: Collection[str]) -> tuple[str, ...]:
        """Set the standings of members; of clusters in `swept` also of who was placed in them since the last rebuild.

        Whoever is in `gone` is passed over.
        """
        members = {member: each for each in clusters for member in each.members if member not in gone}
        waits = any(each.asked is not None for each in clusters)
        was = {each.account: each.verdict async for each in self._held()} if waits else {}  # whoever was bound stays bound
        await self._bind(clusters)
        await self._store.assign([(name, changes(standing(each, was.get(name, "none")))) for name, each in members.items()])
        found = {each.id: each for each in clusters if each.id in swept}
        late: dict[str, tuple[Change, ...]] = {}
        if found:
            async for held in self._held():
                if held.cluster in found and held.account not in members and held.account not in gone:
                    late[held.account] = changes(standing(found[held.cluster], held.verdict))
            await self._store.assign(list(late.items()))
        return (*members, *sorted(late))

    async def _held(self) -> AsyncIterator[Held]:
        """Everybody of whom evidence is kept that still counts."""
        async for batch in self._store.read(edges.horizon(self.now(), self.settings.lookback_days)):
            for each in batch:
                yield each

    async def _bind(self, clusters: Sequence[Cluster]) -> None:
        """Tell processes what newcomers are to have."""
        kept = await self._store.recall(BINDING)
        known = json.loads(kept) if kept is not None else {}
        await published(self._store, {**known, **in_force(clusters)})

    def _moment(self, given: Given) -> int:
        """Now, and later than whatever was said before: the latest word counts."""
        return max([self.now(), *[each.at + 1 for orders in given.orders.values() for each in orders]])

    async def _keep(self, name: str, blob: bytes) -> None:
        await self._store.keep(name, blob)
        if await self._store.recall(name) != blob:
            raise StoreError("Somebody else wrote at the same moment.", "Look what holds now, and say it again.")

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Nobody else writes meanwhile.

        Raises:
            StoreError: somebody else did not come to an end.
        """
        who = secrets.token_hex(8)
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(_PAUSE)
            if await self._store.elect(_POST, who, _TURN):
                break
        else:
            raise StoreError("Another operator's order is being written.", "It does not come to an end. Try again.")
        try:
            yield
        finally:
            await self._store.elect(_POST, who, 0)


async def published(store: Graph, verdicts: Mapping[str, Mapping[str, str]]) -> None:
    """Tell every process what the standing of a newcomer gets, by cluster.

    They see it within a second, and set right whom they have placed meanwhile.
    """
    blob = json.dumps(verdicts, sort_keys=True).encode()
    await store.keep(BINDING, blob)
    await store.keep(EDITION, edition(blob))  # after it: whoever sees this reads that


def _budgeted(cluster: Cluster, tokens: str) -> None:
    """Whether it can be given that budget."""
    if not cluster.shares:
        raise OrderError("cluster", f"{cluster.id} is not material (`clusters.material`): it has no budget.")
    digits = tokens.isascii() and tokens.isdigit() and len(tokens) <= len(str(MOST_TOKENS))
    if tokens and not (digits and 1 <= int(tokens) <= MOST_TOKENS):
        raise OrderError("tokens", f"{tokens[:32]!r} is no whole number from 1 to {MOST_TOKENS:,}.")


def _asked(cluster: Cluster, what: str) -> None:
    """Whether there is something to approve or to reject."""
    if cluster.verdict not in BINDS:
        raise OrderError("cluster", f"{cluster.id} is {cluster.verdict}: there is nothing to {what}.")
