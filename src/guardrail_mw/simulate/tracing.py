"""A trace through the middleware: the same engine, the same way in as for a world that is made up."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from guardrail_mw.algorithms import keys
from guardrail_mw.asgi.body import BodyBudget
from guardrail_mw.asgi.http import Http
from guardrail_mw.clusters.kinds import BUILT_IN
from guardrail_mw.engine import Guardrail
from guardrail_mw.identity.network import parse_address
from guardrail_mw.policy import Policy, load
from guardrail_mw.simulate import words
from guardrail_mw.simulate.accounts import thoughts
from guardrail_mw.simulate.caller import CODES, code_of
from guardrail_mw.simulate.clock import WorldClock
from guardrail_mw.simulate.guarding import secrets_of
from guardrail_mw.simulate.world.arrays import DAY, HOUR
from guardrail_mw.stores.base import Graph
from guardrail_mw.values import Allow, Delay, Estimate, Facts, Subject, Trim, Usage

if TYPE_CHECKING:
    from guardrail_mw.clusters.state import State
    from guardrail_mw.simulate.traces import Row, Trace

__all__ = ["TEXTS", "Account", "Traced", "policy_for", "trace_kinds"]

TEXTS: Final = frozenset({"system", "prompt"})
"""Kinds whose value is a text, which is read as the edge reads it: a system prompt, the user's last message."""
_SHOWN: Final = frozenset({"shingle", "release", "coactive"})
"""Kinds that are never told: they are made from what is."""
_NOWHERE: Final = "192.0.2.1"
_SECOND: Final = 1_000_000


def trace_kinds(policy: Policy) -> frozenset[str]:
    """The kinds of evidence that a trace may show under a policy."""
    own = frozenset(policy.clusters.kinds) if policy.clusters is not None else frozenset[str]()
    return frozenset(kind.name for kind in BUILT_IN) - _SHOWN | TEXTS | own


def policy_for(name: str, trace: Trace) -> Policy:
    """The policy for a trace: its accounts are proved, and a model that comes a day after the beginning was released then."""
    released = {model: at for model, at in trace.models.items() if at > trace.start + DAY}
    document: dict[str, Any] = {
        "version": 1,
        "extends": name,
        "identity": {"sources": [{"use": "api_key", "with": {"trust": "gateway"}}], "device": {"cookie": True}},
        "store": {"max_subjects": max(200_000, 4 * len(trace))},
    }
    if released:
        document["models"] = {
            f"model-{place}": {"names": [model], "released": _text(at)}
            for place, (model, at) in enumerate(sorted(released.items()))
        }
    return load(document)


def _text(at: int) -> str:
    return dt.datetime.fromtimestamp(at // _SECOND, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True)
class Account:
    """What is noted of one."""

    name: str
    label: str = ""
    codes: list[int] = field(default_factory=lambda: [0] * len(CODES))


class Traced(Http):
    """A trace's run.

    Args:
        trace: of requests.
        policy: from `policy_for`.
        every: µs between rebuilds.
        seed: of secrets: names of clusters do not depend on it, which accounts sit where in a rollout does.
    """

    def __init__(self, trace: Trace, policy: Policy, *, every: int = 3 * HOUR, seed: int = 1) -> None:
        self.trace, self._every = trace, every
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
                self.state = await self.guardrail.work()
                look = max(look + self._every, row.at - row.at % self._every if row.at > look + DAY else 0)
            self.clock.move(row.at)
            await self._request(row)
            if tick is not None:
                tick(number)
        if self._has_clusters:
            self.state = await self.guardrail.work()

    async def _request(self, row: Row) -> None:
        engine = self.guardrail.engine
        facts = self._facts(row)
        exchange = engine.begin(engine.router.find(facts.path, "POST"), facts)
        content = None
        if engine.read_content is not None:
            shown = [row.evidence.get(name, ("",))[0] for name in ("system", "prompt")]
            content = engine.read_content(*shown)
        exchange.estimate = facts.body = Estimate(row.model, row.input, row.output, False, 1, row.output, content)  # noqa: FBT003 - a value
        exchange.model = engine.planner.models.key(row.model)
        subject = await self.identify(exchange)
        if not isinstance(subject, Subject):
            raise TypeError(f"the key made for {row.account!r} was refused: {subject.code}")
        await self._show(row, subject)
        account = self.accounts.setdefault(subject.candidate, Account(row.account))
        account.label = row.label or account.label
        account.codes[await self._decided(exchange, subject, row)] += 1

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
        return 1 if isinstance(decision, Trim) else 2 if isinstance(decision, Delay) else 0

    def _facts(self, row: Row) -> Facts:
        """An account's name may be anything; its key is made from it."""
        key = sha256(row.account.encode("utf-8", "surrogatepass")).hexdigest().encode()
        headers = [(b"authorization", b"Bearer " + key)]
        agent = row.evidence.get("agent")
        if agent:
            headers.append((b"user-agent", agent[0].encode("utf-8", "replace")))
        peer = row.evidence.get("network", (_NOWHERE,))[0]
        return Facts(
            "POST", "/v1/chat/completions", headers, peer=peer if parse_address(peer.encode()) is not None else _NOWHERE
        )

    async def _show(self, row: Row, subject: Subject) -> None:
        """Make the row's evidence the subject's: no more, no less."""
        resolver = self.guardrail.engine.resolver
        if resolver.evidence is None:
            return
        shown: list[int] = []
        for kind, values in row.evidence.items():
            if kind in TEXTS:
                continue
            for value in values:
                shown += self._keys(kind, value, subject.source)
        subject.evidence = tuple(dict.fromkeys(shown))
        subject.noted = -1
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
        }
        labels = sorted({each.label for each in self.accounts.values()} - {""})
        if labels:
            found["labels"] = self._against(labels)
        return found

    def _against(self, labels: list[str]) -> dict[str, Any]:
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
        } | {"pairs": words.pairs(cluster, owner)._asdict()}


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    """No app stands behind."""
