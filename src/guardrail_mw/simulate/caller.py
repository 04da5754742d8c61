"""Calls of a world through the middleware: straight into its engine, or all the way through ASGI.

Both make the same decisions, which a test holds them to. The short way leaves out what decides nothing: reading a scope,
answering it, recording the event.
"""

from __future__ import annotations

import time
from hashlib import blake2b
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from guardrail_mw.algorithms import keys
from guardrail_mw.asgi.body import BodyBudget
from guardrail_mw.asgi.http import Http
from guardrail_mw.asgi.inspect import inspect, parse
from guardrail_mw.clusters.kinds import BUILT_IN
from guardrail_mw.identity.device_cookie import Signer
from guardrail_mw.simulate.codes import (
    ASKED,
    CHALLENGED,
    CODES,
    DELAYED,
    DENIED,
    LIMITED,
    SERVED,
    TRIMMED,
    VERDICTS,
    Seen,
    code_of,
)  # fmt: skip
from guardrail_mw.simulate.contents import Contents
from guardrail_mw.simulate.visits import Visits
from guardrail_mw.simulate.world.batch import Batch
from guardrail_mw.values import Allow, Content, Delay, Deny, Estimate, Facts, Headers, Subject, Trim, Usage

if TYPE_CHECKING:
    from guardrail_mw.engine import Exchange, Guardrail
    from guardrail_mw.simulate.clock import WorldClock
    from guardrail_mw.simulate.world.world import World

__all__ = [
    "ASKED", "CHALLENGED", "CODES", "DELAYED", "DENIED", "LIMITED", "SERVED", "TRIMMED", "VERDICTS", "Callers", "Seen",
    "code_of", "standing_of",
]  # fmt: skip

_VERDICT: Final = {name: code for code, name in enumerate(VERDICTS)}
_COOKIES: Final = 500_000
"""Cookies, and addresses in words, that are kept."""
_NOBODY: Final = ("", "none")


class Callers(Http):
    """Everybody who calls, and the short way in.

    Args:
        guardrail: theirs.
        world: who they are.
        clock: moved to each call's time.
        exact: write and read every body, as the edge does; else see `contents`.
        without: families of evidence that nobody shows.
    """

    def __init__(
        self,
        guardrail: Guardrail,
        world: World,
        clock: WorldClock,
        *,
        exact: bool = False,
        without: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(_nothing, guardrail, {}, BodyBudget(guardrail.policy.inspect.budget.bytes))
        self.world = world
        self.clusters: list[str] = []
        """Ids of clusters that callers were in."""
        self.rows: dict[str, int] = {}
        """Accounts' rows by their homes; of those who have called, or of whom something was told."""
        self.writing = 0.0
        """Seconds of CPU for making up what the edge would have read."""
        self._clock = clock
        self._exact = exact
        self._without = frozenset(kind.code for kind in BUILT_IN if kind.family in without)
        self._numbers: dict[str, int] = {}
        read = guardrail.engine.read_content
        self._contents = Contents(world.town.texts, read) if read is not None and not exact else None
        cookies = guardrail.policy.identity.device
        self._signer = Signer(guardrail.secrets.keys) if cookies is not None and cookies.cookie else None
        self._cookies: dict[int, tuple[bytes, bytes]] = {}
        self.visits = Visits(self) if guardrail.policy.verification is not None else None
        """What callers do about being asked for something; None where nobody is."""
        self._kept: dict[int, bytes] = {}
        self._peers: dict[int, str] = {}
        self._programs: dict[int, tuple[str, Headers]] = {}
        self._keys: dict[int, tuple[bytes, bytes]] = {}

    # What calls are made of

    def facts(self, batch: Batch, i: int) -> Facts:
        """A call's, as the edge would read them."""
        return self._facts(
            int(batch.account[i]), int(batch.address[i]), int(batch.device[i]), int(batch.client[i]), int(batch.at[i])
        )

    def _facts(self, account: int, address: int, device: int, client: int, at: int) -> Facts:
        known = self._programs.get(client)
        if known is None:
            known = self._programs[client] = _program(self.world, client)
        path, base = known
        key = self._keys.get(account)
        if key is None:
            key = self._keys[account] = self._key(account)
        anthropic = path.endswith("messages")
        headers = [*base, (b"x-api-key", key[0]) if anthropic else (b"authorization", key[1])]
        if device >= 0 and self._signer is not None:
            headers.append(self._cookies.get(device) or self._cookie(device, at))
        if account in self._kept:
            headers.append((b"cookie", self._kept[account]))
        peer = self._peers.get(address)
        if peer is None:
            if len(self._peers) >= _COOKIES:
                self._peers.clear()
            peer = self._peers[address] = self.world.addresses[address]
        return Facts("POST", path, headers, peer=peer)

    def _key(self, account: int) -> tuple[bytes, bytes]:
        name = self.world.accounts.name(account)
        resolver = self.guardrail.engine.resolver
        self.rows[resolver.digester.account(resolver.sources[0].name, "", name)] = account
        return name.encode(), b"Bearer " + name.encode()

    def _cookie(self, device: int, at: int) -> tuple[bytes, bytes]:
        """What a device was given with the answer to a call of before."""
        assert self._signer is not None  # noqa: S101 - asked before
        if len(self._cookies) >= _COOKIES:
            self._cookies.clear()
        made = blake2b(self.world.device(device).encode(), digest_size=16).digest()
        value = self._signer.issue(at // 1_000_000, made).partition(b";")[0]
        found = self._cookies[device] = (b"cookie", value)
        return found

    # The short way

    async def batch(self, batch: Batch) -> Seen:
        """Make a batch's calls."""
        columns = [
            getattr(batch, name).tolist()
            for name in ("at", "account", "address", "device", "client", "model", "input", "output")
        ]
        begun = time.process_time()
        contents = self._contents.of(batch) if self._contents is not None else [None] * len(batch)
        self.writing += time.process_time() - begun
        names = [each.name for each in self.world.models]
        move, seen, visits = self._clock.move, [], self.visits
        for row, (at, account, address, device, client, model, given, made, content) in enumerate(
            zip(*columns, contents, strict=True)
        ):
            if visits is not None:
                await visits.until(at)
            move(at)
            exchange = self._exchange(
                batch, row, (account, address, device, client, at), content, (names[model], given, made)
            )
            code = await self._call(exchange, batch, row, given, made)
            if visits is not None:
                code = await visits.seen(exchange, batch, row, code)
            seen.append((code, *standing_of(exchange)))
        found = self.seen(seen)
        if visits is not None:
            visits.note(batch, found)
        return found

    def _exchange(
        self, batch: Batch, row: int, who: tuple[int, int, int, int, int], content: Any, asks: tuple[str, int, int]
    ) -> Exchange:
        """Of one call."""
        engine = self.guardrail.engine
        model, given, made = asks
        facts = self._facts(*who)
        exchange = engine.begin(engine.router.find(facts.path, "POST"), facts)
        if self._exact:
            estimate = self.read(batch, row, facts)
        else:
            reserved = min(made, engine.policy.reserve.output)
            estimate = Estimate(model, given, reserved, False, 1, made, content)  # noqa: FBT003 - a value
        exchange.estimate = facts.body = estimate
        exchange.model = engine.planner.models.key(estimate.model)
        return exchange

    async def again(self, batch: Batch, i: int) -> tuple[int, Exchange]:
        """Send a call again, now; its code, and what it was decided in."""
        one = batch.take(np.array([i]))
        given, made = int(one.input[0]), int(one.output[0])
        content = self._contents.of(one)[0] if self._contents is not None else None
        name = self.world.models[int(one.model[0])].name
        who = (int(one.account[0]), int(one.address[0]), int(one.device[0]), int(one.client[0]), self._clock.now())
        exchange = self._exchange(one, 0, who, content, (name, given, made))
        return await self._call(exchange, one, 0, given, made), exchange

    async def who(self, batch: Batch) -> tuple[Facts, Subject]:
        """Who makes a batch's first call."""
        facts, engine = self.facts(batch, 0), self.guardrail.engine
        subject = await self.identify(engine.begin(engine.router.find(facts.path, "POST"), facts))
        assert isinstance(subject, Subject)  # noqa: S101 - it was known when it was refused
        return facts, subject

    async def wait(self, at: int) -> None:
        """Let happen what callers do until `at`, µs, and time pass."""
        if self.visits is not None:
            await self.visits.until(at)
        self._clock.move(at)

    def keep(self, account: int, cookie: bytes) -> None:
        """Have a caller send a cookie from now on that it was given."""
        self._kept[account] = cookie.partition(b";")[0]

    def move(self, at: int) -> None:
        """Let time pass until `at`, µs."""
        self._clock.move(at)

    def browses(self, batch: Batch) -> bool:
        """Whether a batch's first call is a browser's."""
        return self.world.programs[int(batch.client[0])].family == "browser"

    def read(self, batch: Batch, i: int, facts: Facts) -> Estimate:
        """What the edge reads of a body."""
        engine = self.guardrail.engine
        body = self.world.body(batch, i)
        return inspect(facts.headers, body, engine.policy.reserve, path=facts.path, content=engine.read_content)

    def seen(self, seen: list[tuple[int, str, str]]) -> Seen:
        """Code, cluster and verdict of each call, in columns."""
        numbers, known = self._numbers, []
        for _, cluster, _ in seen:
            number = numbers.get(cluster, -1) if cluster else -1
            if cluster and number < 0:
                number = numbers[cluster] = len(self.clusters)
                self.clusters.append(cluster)
            known.append(number)
        return Seen(
            np.array([each[0] for each in seen], np.uint8),
            np.array(known, np.int32),
            np.array([_VERDICT[each[2]] for each in seen], np.uint8),
        )

    async def _call(self, exchange: Exchange, batch: Batch, i: int, given: int, made: int) -> int:
        engine = exchange.engine
        subject = await self.identify(exchange)
        if not isinstance(subject, Subject):
            return code_of(subject)
        if self._without:
            self._leave_out(exchange, subject)
        tariff = engine.plan(exchange, subject)
        deny = await self._bill(exchange, tariff, None)
        decision = exchange.decision
        code = SERVED
        if deny is None and type(decision) is not Allow:
            await self.slow(exchange)
            decision = exchange.decision
            code = DELAYED if isinstance(decision, Delay) else SERVED
            if isinstance(decision, Trim):
                code = TRIMMED
                body = parse(self.world.body(batch, i))
                if engine.judge.trimmer(exchange).trim(body, exchange.facts.path).refused:
                    deny, code = _REFUSED, DENIED
        if deny is not None:
            code = code_of(deny)
            engine.cancel(exchange)
        else:
            engine.settle(exchange, "answered", status=HTTPStatus.OK, usage=Usage(given, 0, 0, made))
        return code

    def _leave_out(self, exchange: Exchange, subject: Subject) -> None:
        """Take from an exchange what shows evidence of some families."""
        subject.evidence = tuple(key for key in subject.evidence if key >> keys.BITS not in self._without)
        found = exchange.estimate.content
        if found is not None:
            system = 0 if keys.SYSTEM in self._without else found.system
            shingles = () if keys.SHINGLE in self._without else found.shingles
            exchange.estimate = exchange.estimate._replace(content=Content(system, shingles, found.message))

    def bytes_an_account(self) -> float | None:
        """Of evidence and activity that the store keeps, packed; what is kept of values is besides."""
        linked = getattr(self.guardrail.store, "_linked", None)
        kept = [] if linked is None else [len(each) for each in linked._accounts.values()]  # noqa: SLF001 - a measurement
        return sum(kept) / len(kept) if kept else None


def standing_of(exchange: Exchange) -> tuple[str, str]:
    """The cluster and verdict that an exchange was decided with."""
    fields = exchange.standing.fields
    return (fields["cluster"], fields.get("verdict", "none")) if fields.get("cluster") else _NOBODY


_REFUSED: Final = Deny("", "parameters_refused", 403, "")


def _program(world: World, client: int) -> tuple[str, Headers]:
    """A program's path and headers."""
    one = Batch(**{name: np.array([client if name == "client" else 0]) for name in Batch.__dataclass_fields__})
    return world.path(one, 0), world.headers(one, 0)


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    """No app stands behind the short way."""
