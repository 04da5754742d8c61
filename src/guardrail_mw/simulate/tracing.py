"""A trace through the middleware: the same engine, the same way in as for a world that is made up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from guardrail_mw.algorithms import keys
from guardrail_mw.asgi.body import BodyBudget
from guardrail_mw.asgi.http import Http
from guardrail_mw.engine import Guardrail
from guardrail_mw.identity.network import parse_address
from guardrail_mw.simulate import words
from guardrail_mw.simulate.accounts import thoughts
from guardrail_mw.simulate.clock import WorldClock
from guardrail_mw.simulate.codes import CODES, DELAYED, SERVED, TRIMMED, code_of
from guardrail_mw.simulate.guarding import secrets_of
from guardrail_mw.simulate.timeline import Timeline
from guardrail_mw.simulate.told import TEXTS, withheld
from guardrail_mw.simulate.world.arrays import DAY, HOUR
from guardrail_mw.stores.base import Graph
from guardrail_mw.values import Allow, Delay, Estimate, Facts, Subject, Trim, Usage

if TYPE_CHECKING:
    from guardrail_mw.clusters.state import State
    from guardrail_mw.policy import Policy
    from guardrail_mw.simulate.guarding import Feed
    from guardrail_mw.simulate.traces import Row, Trace

__all__ = ["Account", "Look", "Traced"]

_NOWHERE: Final = "192.0.2.1"
_SUSPECT: Final = frozenset({"suspect", "confirmed"})
_PATH: Final = "/v1/chat/completions"


@dataclass(slots=True)
class Account:
    """What is noted of one."""

    name: str
    label: str = ""
    codes: list[int] = field(default_factory=lambda: [0] * len(CODES))


class Look(NamedTuple):
    """What a rebuild found."""

    at: int
    """µs."""
    clusters: int
    suspect: int
    """Accounts in clusters that are suspect or confirmed."""


class Traced(Http):
    """A trace's run.

    Args:
        trace: of requests.
        policy: from `policy_for`.
        every: µs between rebuilds.
        seed: of secrets: names of clusters do not depend on it, which accounts sit where in a rollout does.
        feed: what of the trace's evidence the guard is told; see `told.withheld`.
        without: families of evidence that are left out.
    """

    def __init__(
        self,
        trace: Trace,
        policy: Policy,
        *,
        every: int = 3 * HOUR,
        seed: int = 1,
        feed: Feed = "links",
        without: frozenset[str] = frozenset(),
    ) -> None:
        self.trace, self.policy, self._every = trace, policy, every
        self.looks: list[Look] = []
        """Of each rebuild."""
        self.timeline = Timeline(trace.start, trace.end)
        self._feed, self._without = feed, without
        self._withheld = withheld(policy, feed, without)
        self.clock = WorldClock(trace.start)
        self.accounts: dict[str, Account] = {}
        """By home."""
        self.state: State | None = None
        guardrail = Guardrail(policy, clock=self.clock, environ=secrets_of(seed))
        super().__init__(_nothing, guardrail, {}, BodyBudget(policy.inspect.budget.bytes))
        self._has_clusters = policy.clusters is not None
        self._codes = (
            {} if policy.clusters is None else {name: kind.code for name, kind in policy.clusters.known().by_name.items()}
        )
        self._told: dict[str, int] = {}

    def go(self, tick: Callable[[int], None] | None = None) -> None:
        """Run it all; `tick` is told how many requests were made."""
        asyncio.run(self._go(tick))

    async def _go(self, tick: Callable[[int], None] | None) -> None:
        look = self.trace.start + self._every
        for number, row in enumerate(self.trace, 1):
            while self._has_clusters and row.at >= look:
                self.clock.move(look)
                await self._rebuild()
                look = max(look + self._every, row.at - row.at % self._every if row.at > look + DAY else 0)
            self.clock.move(row.at)
            await self._request(row)
            if tick is not None:
                tick(number)
        if self._has_clusters:
            await self._rebuild()

    async def _rebuild(self) -> None:
        self.state = await self.guardrail.work()
        suspect = sum(len(each.members) for each in self.state.clusters if each.verdict in _SUSPECT)
        self.looks.append(Look(self.clock.now(), len(self.state.clusters), suspect))

    async def _request(self, row: Row) -> None:
        engine = self.guardrail.engine
        facts = self._facts(row)
        exchange = engine.begin(engine.router.find(facts.path, "POST"), facts)
        told = {kind: values for kind, values in row.evidence.items() if kind not in self._withheld}
        content = None
        if engine.read_content is not None:
            shown = [told.get(name, ("",))[0] for name in ("system", "prompt")]
            content = engine.read_content(*shown)
        exchange.estimate = facts.body = Estimate(row.model, row.input, row.output, False, 1, row.output, content)  # noqa: FBT003 - a value
        exchange.model = engine.planner.models.key(row.model)
        subject = await self.identify(exchange)
        if not isinstance(subject, Subject):
            raise TypeError(f"the key made for {row.account!r} was refused: {subject.code}")
        await self._show(row, told, subject)
        account = self.accounts.setdefault(subject.candidate, Account(row.account))
        account.label = row.label or account.label
        code = await self._decided(exchange, subject, row)
        account.codes[code] += 1
        self.timeline.add(row.at, code, account.label)

    async def _decided(self, exchange: Any, subject: Subject, row: Row) -> int:
        engine = exchange.engine
        deny = await self._bill(exchange, engine.plan(exchange, subject), None)
        if deny is not None:
            engine.cancel(exchange)
            return code_of(deny)
        if type(exchange.decision) is not Allow:
            await self.slow(exchange)
        engine.settle(exchange, "answered", status=HTTPStatus.OK, usage=Usage(row.input, 0, 0, row.output))
        decision = exchange.decision
        return TRIMMED if isinstance(decision, Trim) else DELAYED if isinstance(decision, Delay) else SERVED

    def _facts(self, row: Row) -> Facts:
        """An account's name may be anything; its key is made from it."""
        key = sha256(row.account.encode("utf-8", "surrogatepass")).hexdigest().encode()
        headers = [(b"authorization", b"Bearer " + key)]
        agent = row.evidence.get("agent")
        if agent:
            headers.append((b"user-agent", agent[0].encode("utf-8", "replace")))
        peer = row.evidence.get("network", (_NOWHERE,))[0]
        return Facts("POST", _PATH, headers, peer=peer if parse_address(peer.encode()) is not None else _NOWHERE)

    async def _show(self, row: Row, told: Mapping[str, tuple[str, ...]], subject: Subject) -> None:
        """Make what is told of the row's evidence the subject's: no more, no less."""
        resolver = self.guardrail.engine.resolver
        if resolver.evidence is None:
            return
        shown: list[int] = []
        for kind, values in told.items():
            if kind in TEXTS:
                continue
            for value in values:
                shown += self._keys(kind, value, subject.source)
        subject.evidence = tuple(dict.fromkeys(shown))
        subject.noted = -1
        if self._feed == "none":
            return
        store = self.guardrail.store
        if row.created is not None and self._told.get(subject.candidate) != row.created and isinstance(store, Graph):
            self._told[subject.candidate] = row.created
            await store.link(subject.candidate, (), row.created)

    def _keys(self, kind: str, value: str, source: str) -> list[int]:
        """The keys of a value; none where it can be no evidence (a domain where anybody can have an address)."""
        resolver, code = self.guardrail.engine.resolver, self._codes[kind]
        evidence, digester = resolver.evidence, resolver.digester
        assert evidence is not None  # noqa: S101 - asked before
        if code == keys.ORGANISATION:
            value = digester.organisation(source, "", value)
        elif code in {keys.DEVICE, keys.DEVICE_SEEN}:
            value = f"d:{value}"
        elif code == keys.NETWORK:
            address = parse_address(value.encode("utf-8", "replace"))
            return [digester.key(code, value)] if address is None else list(evidence.networks(address))
        elif code == keys.NETWORK_WIDE:
            return [digester.key(code, value)]
        try:
            return [evidence.linked(code, value)]
        except ValueError:
            return []

    # What it came to

    async def _thoughts(self) -> list[dict[str, Any]]:
        names = {home: account.name for home, account in self.accounts.items()}
        told = thoughts(self.guardrail, self.state, names)
        found = [{**each._asdict(), "reasons": list(each.reasons)} async for each in told]
        for row, account in zip(found, self.accounts.values(), strict=True):
            row |= {"requests": sum(account.codes), "refused": sum(account.codes[3:]), "label": account.label}
        return found

    def thoughts(self) -> list[dict[str, Any]]:
        """A row an account, in the order in which they came."""
        return asyncio.run(self._thoughts())

    def figures(self) -> dict[str, Any]:
        """What it came to; against the labels, where there are any."""
        clusters = () if self.state is None else self.state.clusters
        found: dict[str, Any] = {
            "policy_hash": self.policy.hash,
            "feed": self._feed,
            "without": sorted(self._without),
            "linked": self._has_clusters,
            "start": self.trace.start,
            "end": self.trace.end,
            "requests": len(self.trace),
            "bad": len(self.trace.bad),
            "accounts": len(self.accounts),
            "codes": dict(
                zip(
                    CODES,
                    np.sum([each.codes for each in self.accounts.values()] or [[0] * len(CODES)], axis=0).tolist(),
                    strict=True,
                )
            ),
            "clusters": [
                {"cluster": each.id, "verdict": each.verdict, "accounts": len(each.members), "families": list(each.families)}
                for each in sorted(clusters, key=lambda each: -len(each.members))
            ],
            "short": self._is_short(),
            "timeline": self.timeline.figures(),
            "looks": [list(each) for each in self.looks],
        }
        labels = sorted({each.label for each in self.accounts.values()} - {""})
        if labels:
            found["labels"], found["pairs"] = self._against(labels)
        return found

    def _is_short(self) -> bool:
        """Whether it takes longer until accounts are established than the trace is long."""
        settings = self.policy.clusters
        return settings is not None and self.trace.end - self.trace.start < settings.established.us

    def _against(self, labels: list[str]) -> tuple[dict[str, Any], dict[str, int]]:
        row = {home: place for place, home in enumerate(self.accounts)}
        owner = np.array([labels.index(each.label) if each.label else -1 for each in self.accounts.values()])
        cluster = np.full(len(row), -1)
        for number, each in enumerate(() if self.state is None else self.state.clusters):
            cluster[[row[member] for member in each.members if member in row]] = number
        precision, recall, _ = words.b_cubed(cluster, owner, len(labels))
        held = words.held(cluster, owner, np.array([sum(each.codes) for each in self.accounts.values()]), len(labels))
        return {
            label: {
                "accounts": int((owner == place).sum()),
                "held": float(held[place]),
                "precision": None if np.isnan(precision[place]) else float(precision[place]),
                "recall": float(recall[place]),
            }
            for place, label in enumerate(labels)
        }, words.pairs(cluster, owner)._asdict()


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    """No app stands behind."""
