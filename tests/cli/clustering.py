"""A store with a campaign in it, worked out by a rebuild: what operators' commands are tried on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar

import pytest
import yaml

from guardrail_mw import Guardrail
from guardrail_mw.algorithms import edges, keys
from guardrail_mw.cli.clusters import command
from guardrail_mw.clusters.features import FEATURES
from guardrail_mw.clusters.state import State
from guardrail_mw.clusters.verdict import Judge, Worth
from guardrail_mw.policy import load
from guardrail_mw.stores.base import Activity, Graph
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.stores.redis import RedisStore
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.worker.worker import Worker

POLICY: Final = """\
version: 1
mode: enforce
identity: {sources: [{use: api_key, with: {trust: gateway}}]}
routes: [{path: /v1/**, dialect: openai}]
clusters: {kinds: {badge: {family: reputation, bound: true}}, verdict: {suspect: 0, confirmed: 900}, approval: {over: 30}}
limits:
  - {name: requests, per: [account], rate: 6000/minute}
  - {name: suspects, per: [cluster], when: {verdict: suspect}, window: 3/day}
"""
DAY: Final = 86_400
_T = TypeVar("_T")


def account(group: str, number: int) -> str:
    """An account's home."""
    return f"a:{group}{number:04d}".ljust(24, "_")


def key(code: int, digest: int) -> int:
    """A value's key."""
    return keys.join(code, digest)


def campaign(group: str, many: int, card: int) -> dict[str, list[int]]:
    """Accounts that share a card, a device in fours, and a system prompt."""
    return {
        account(group, number): [
            key(keys.PAYMENT, card),
            key(keys.DEVICE, 100 * card + number // 4),
            key(keys.SYSTEM, card),
        ]
        for number in range(many)
    }


def ordinary(many: int) -> dict[str, list[int]]:
    """Accounts that share nothing but their client, in tens."""
    return {
        account("o", number): [
            key(keys.PAYMENT, 10_000 + number),
            key(keys.DEVICE, 20_000 + number),
            key(keys.AGENT, 30 + number % 10),
        ]
        for number in range(many)
    }


async def show(store: Graph, shown: dict[str, list[int]], clock: FakeClock) -> None:
    """They show what they have, and do a request in each hour of the day before."""
    for each, values in shown.items():
        await store.link(each, values)
    hour = edges.hour_of(clock.now())
    await store.note([Activity(each, hour - ago, 1, 1_000) for each in shown for ago in range(24)])


class Played:
    """A guardrail on a store with a campaign, and the clock that both go by."""

    def __init__(self, store: Any, clock: FakeClock, policy: Any) -> None:
        self.store, self.clock, self.policy = store, clock, policy

    def guardrail(self) -> Guardrail:
        """A process of its own."""
        return Guardrail(
            self.policy,
            store=self.store,
            clock=self.clock,
            environ={"GUARDRAIL_ID_KEY": "i" * 32, "GUARDRAIL_KEYS": "k" * 32},
        )

    async def rebuild(self) -> State:
        """As the worker does."""
        settings = self.policy.clusters
        return await Worker(self.store, settings, clock=self.clock, observer=Nobody()).work()

    def run(self, ask: Callable[[Played], Awaitable[_T]]) -> _T:
        """In a loop of its own."""

        async def asking() -> _T:
            try:
                return await ask(self)
            finally:
                await self.store.close()

        return asyncio.run(asking())

    async def standings(self, accounts: Iterable[str]) -> dict[str, tuple[str, str, str]]:
        """Of each account what its standing says: cluster, verdict, brake."""
        found = {}
        for each in accounts:
            fields = (await self.store.export(each))["standing"]["fields"]
            found[each] = tuple(fields.get(name, "") for name in ("cluster", "verdict", "brake"))
        return found


class Nobody:
    """Hears nothing."""

    def count(self, event: str, by: int = 1) -> None:
        """Nothing."""


def judge() -> Judge:
    """1 nat, and as much as ln of the members lies above 3."""
    worth = {name: Worth(1.0 if name == "size" else 0.0, 3.0, 1.0, f"what {name} means") for name in FEATURES}
    return Judge(1.0, 0, 900_000, worth)


def play(monkeypatch: pytest.MonkeyPatch, url: str = "") -> Played:
    """Ordinary accounts for 40 days, then a campaign, and a rebuild; commands find the store instead of a shared one.

    Args:
        monkeypatch: of the test.
        url: of a Redis; the store is in memory unless given.
    """
    monkeypatch.setattr(Judge, "shipped", judge)
    clock = FakeClock()
    store: Any = MemoryStore(clock=clock)
    if url:
        store = RedisStore.from_url(url, deadline=10_000_000, max_subjects=10_000, clock=clock, observer=Nobody())
    found = Played(store, clock, load(yaml.safe_load(POLICY)))

    async def playing(each: Played) -> None:
        await show(each.store, ordinary(400), clock)
        clock.advance(40 * DAY)
        await show(each.store, campaign("c", 40, 5) | campaign("d", 20, 6), clock)
        clock.advance(3600)
        await each.rebuild()

    found.run(playing)
    monkeypatch.setattr("guardrail_mw.cli.sharing.opened", lambda *_, **__: found.guardrail())
    monkeypatch.setattr(command, "SystemClock", lambda: clock)
    return found


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    """The same, in memory."""
    return play(monkeypatch)
