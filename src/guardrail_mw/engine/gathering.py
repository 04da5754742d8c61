"""What is learned of accounts beside the requests themselves: what they show, what they do, and whom they belong to."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Final, cast

from guardrail_mw.algorithms import edges
from guardrail_mw.algorithms.keys import RELEASE
from guardrail_mw.clusters.binding import FREE, changes, kept_apart
from guardrail_mw.clusters.collecting import Collector
from guardrail_mw.clusters.placing import Placer
from guardrail_mw.clusters.state import BINDING, EDITION, edition
from guardrail_mw.engine.standings import seen
from guardrail_mw.stores.base import Activity, Change, Graph

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrail_mw.clock import Clock
    from guardrail_mw.clusters.settings import ClustersSettings
    from guardrail_mw.clusters.shingles import Keys
    from guardrail_mw.engine.exchange import Exchange
    from guardrail_mw.stores.base import Receipt, Store
    from guardrail_mw.values import Observer, Subject, Usage

__all__ = ["MOST", "Gathering", "Releases"]

logger = logging.getLogger("guardrail_mw")

MOST: Final = 50_000
"""Accounts with something to report; beyond it what comes is lost until the next report, and counted."""
_WEEK: Final = 7 * 86_400_000_000
_MOVES: Final = 2 * 86_400_000_000
_SETTLING: Final = 5_000_000
"""µs after which a settlement has surely reached the store."""
_TOLD: Final = ("cluster", "verdict", "brake")
_NOTHING: Final[tuple[Change, ...]] = ()


class Releases:
    """Which models are new at a time: in the week after they were released, as the policy says.

    Args:
        released: by the model's key in `models`, µs.
    """

    __slots__ = ("_released",)

    def __init__(self, released: Mapping[str, int]) -> None:
        self._released = dict(released)

    def at(self, now: int, model: str) -> tuple[int, int]:
        """Whether `model` is new, and whether any is: 0 or 1 each."""
        if not self._released:
            return 0, 0
        new = [key for key, begun in self._released.items() if begun <= now < begun + _WEEK]
        return int(model in new), int(bool(new))

    def moved(self, now: int, model: str) -> str:
        """What to call it where somebody uses a model in the two days after its release; empty at any other time."""
        begun = self._released.get(model)
        return f"{model} {begun}" if begun is not None and begun <= now < begun + _MOVES else ""


class Gathering:
    """One process's part of it. Outlives engines.

    Args:
        settings: the policy's `clusters`.
        releases: when models came.
        keys: makes keys of evidence: the resolver's digester.
        clock: for the day that evidence is noted on.
        observer: hears `clusters.placed`, `clusters.activity_lost`.
    """

    def __init__(
        self, settings: ClustersSettings, releases: Releases, *, keys: Keys, clock: Clock, observer: Observer
    ) -> None:
        self._clock = clock
        self._observer = observer
        self._releases = releases
        self._keys = keys
        self._collector = Collector(content=settings.content, keys=keys, clock=clock)
        self.read = self._collector.read
        """Makes evidence of what a body says; None where the policy does not want it."""
        self._established = settings.established.us
        self._placer = Placer(settings.known())
        self._done: dict[tuple[str, int], list[int]] = {}
        self._pending: dict[str, tuple[str, int]] = {}
        self._verdicts: dict[str, dict[str, str]] = {}
        self._edition = b""
        self._told: dict[str, tuple[str, dict[str, str], int]] = {}

    # A request

    def edges(self, exchange: Exchange) -> tuple[int, ...]:
        """What the account shows with this request and this process has not noted today. Only of whom is proved."""
        subject = _proved(exchange)
        if subject is None:
            return ()
        moved = self._releases.moved(self._clock.now(), exchange.model)
        more = (self._keys.key(RELEASE, moved),) if moved else ()
        return self._collector.edges(subject, exchange.estimate.content, more)

    def noted(self, exchange: Exchange, receipt: Receipt) -> None:
        """The store has noted what was shown; see whether it says where the account belongs."""
        subject, bill = exchange.subject, receipt.bill
        if not receipt.records or subject is None:
            return
        self._collector.noted(subject, bill.edges)
        fields = exchange.standing.fields
        if fields.get("cluster") or kept_apart(fields, receipt.now) or not self._is_new(exchange, receipt.now):
            return
        placed = self._placer.place(bill.candidate, bill.edges, receipt.records)
        if placed is None:
            return
        self._observer.count("clusters.placed")
        self._pending[bill.candidate] = (placed.cluster, receipt.now)

    def _is_new(self, exchange: Exchange, now: int) -> bool:
        """Whether the account is not established: who is, is not drawn in by what comes from others between rebuilds."""
        fields, subject = exchange.standing.fields, exchange.subject
        opened = [int(fields[name]) for name in ("since", "created") if name in fields]
        if subject is not None and subject.created is not None:
            opened.append(subject.created)
        return now - min(opened, default=now) < self._established

    def learned(self, exchange: Exchange) -> tuple[Change, ...]:
        """What its standing learns of where the account belongs; goes with the settlement."""
        if not self._pending or exchange.subject is None:
            return _NOTHING
        account = exchange.subject.candidate
        cluster, joined = self._pending.pop(account, ("", 0))
        if not cluster:
            return _NOTHING
        given = self._given(cluster)
        self._told[account] = (cluster, given, self._clock.now())
        return (
            *[Change("set", name, value) for name, value in given.items() if value],
            Change("first", "joined", str(joined)),
        )

    def _given(self, cluster: str) -> dict[str, str]:
        """What the standing of somebody who is placed there gets, as far as this process knows."""
        return {**FREE, "cluster": cluster, "verdict": "watched", **self._verdicts.get(cluster, {})}

    def tried(self, exchange: Exchange) -> None:
        """The account asked for something, whatever it got: what it wants is known by what it asks for."""
        subject = _proved(exchange)
        if subject is None:
            return
        now = self._clock.now()
        fresh, windowed = self._releases.at(now, exchange.model)
        self._add(subject.candidate, now, exchange.estimate.items, 0, fresh, windowed)

    def did(self, exchange: Exchange, usage: Usage | None) -> None:
        """It was answered. Tokens are those that were used where a limit has them counted, else the prompt's by estimate."""
        subject = _proved(exchange)
        if subject is None:
            return
        tokens = usage.tokens if usage is not None else exchange.estimate.input
        self._add(subject.candidate, self._clock.now(), 0, tokens, 0, 0)

    def _add(self, account: str, now: int, requests: int, tokens: int, fresh: int, windowed: int) -> None:
        key = (account, edges.hour_of(now))
        done = self._done.get(key)
        if done is not None:
            done[0] += requests
            done[1] += tokens
            done[2] += fresh
            done[3] += windowed
        elif len(self._done) < MOST:
            self._done[key] = [requests, tokens, fresh, windowed]
        else:
            self._observer.count("clusters.activity_lost")

    # Beside requests

    async def flush(self, store: Graph) -> None:
        """Report what accounts did. Every 10 s.

        Raises:
            StoreError: the store failed; what was to be reported is lost, and counted.
        """
        done, self._done = self._done, {}
        if done:
            activities = [Activity(account, hour, *figures) for (account, hour), figures in done.items()]
            try:
                await store.note(activities)
            except Exception:
                self._observer.count("clusters.activity_lost", len(activities))
                raise

    async def see(self, store: Graph, *, whole: bool = False) -> None:
        """See which verdicts are in force, where that changed; who was placed here meanwhile, by what held before, is set right.

        Twice a second: a cluster that was released is so for its newcomers, too, within a second. `whole` reads it in any case.

        Raises:
            StoreError: the store failed; it is seen the next time.
        """
        if whole or not self._edition or await store.recall(EDITION) != self._edition:
            kept = await store.recall(BINDING) or b""
            self._edition = edition(kept)
            self._verdicts = json.loads(kept) if kept else {}
        if self._told:
            await self._set_right(store)

    async def _set_right(self, store: Graph) -> None:
        """Whose standing still says what this process told, and what holds no more.

        Whatever else wrote it (a rebuild, an operator, an erasure) knows better and is left alone.
        """
        now = self._clock.now()
        self._told = {account: told for account, told in self._told.items() if now - told[2] < _SETTLING}
        for account, (cluster, told, at) in list(self._told.items()):
            given = self._given(cluster)
            if cluster not in self._verdicts or given == told:
                continue
            receipt = await seen(cast("Store", store), account, account)  # a graph is kept by the store that charges
            fields = receipt.standing.fields if receipt.standing is not None else {}
            if not fields.get("cluster"):  # it has not reached the store yet, or was taken away
                continue
            if kept_apart(fields, now) or any(fields.get(name, "") != told[name] for name in _TOLD):
                del self._told[account]
                continue
            await store.assign([(account, changes(given))])
            self._told[account] = (cluster, given, at)


def _proved(exchange: Exchange) -> Subject | None:
    """Whose the exchange is, where that is an account and was proved."""
    subject = exchange.subject
    return subject if subject is not None and subject.candidate and exchange.authenticated else None
