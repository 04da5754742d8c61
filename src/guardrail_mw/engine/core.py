"""The engine: identify, charge, score, decide, settle. Immutable; a reload compiles a new one.

A request's exchange keeps the engine that it began with, so it is settled on the plan that it was charged on.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

from guardrail_mw.clusters.binding import BINDS
from guardrail_mw.engine import refusals
from guardrail_mw.engine.budgets import Budgets
from guardrail_mw.engine.clearing import Clearing
from guardrail_mw.engine.exchange import NOTHING, Exchange
from guardrail_mw.engine.ground import Ground, Vouch
from guardrail_mw.engine.identifiers import identifiers
from guardrail_mw.engine.judgement import Judge, Judgement
from guardrail_mw.engine.missed import Missed
from guardrail_mw.engine.outline import is_plain, outlined
from guardrail_mw.engine.planning import Planning
from guardrail_mw.engine.recording import record
from guardrail_mw.engine.routes import Router
from guardrail_mw.engine.standings import Standings
from guardrail_mw.engine.verification import Verification
from guardrail_mw.errors import StoreError, StoreTimeout
from guardrail_mw.friction.budget import Spent
from guardrail_mw.friction.delays import Waiting
from guardrail_mw.stores.base import Bill, Change, Entry, Reading, Receipt, Settlement
from guardrail_mw.values import Allow, Decision, Deny, Facts, Standing, Subject, Trim, Usage

if TYPE_CHECKING:
    from guardrail_mw.clock import Clock
    from guardrail_mw.engine.appeals import Appeals
    from guardrail_mw.engine.cases import Cases
    from guardrail_mw.engine.gathering import Gathering
    from guardrail_mw.engine.notices import Notices
    from guardrail_mw.engine.reports import Reports
    from guardrail_mw.engine.routes import Route
    from guardrail_mw.identity.keys import Keyring
    from guardrail_mw.identity.resolver import Resolver
    from guardrail_mw.limits.settings import LimitSettings
    from guardrail_mw.limits.tariff import Tariff
    from guardrail_mw.policy import Policy
    from guardrail_mw.stores.base import Store
    from guardrail_mw.telemetry.event import Event
    from guardrail_mw.telemetry.recorder import Recorder
    from guardrail_mw.values import Mode, Observer

__all__ = ["Engine", "Lasting", "Outcome"]

logger = logging.getLogger("guardrail_mw")

Outcome = Literal["answered", "refused", "failed", "abandoned"]
"""How an exchange ended: with an answer (2xx, 3xx), with the app's 4xx, with a 5xx or an exception before the first byte (it
costs nothing), or because the client went away (it pays its prompt and what it was sent)."""

_UNITS = frozenset({"requests", "tokens", "input_tokens", "output_tokens", "usd"})
_UNPROVED = (Change("unset", "proved"),)
_DENIED_FOR = 1_000_000
_BRAKED = ("cluster-waits",)


class Lasting(NamedTuple):
    """What outlives engines: a reload, or a switch, must not make room for as many again."""

    waiting: Waiting
    """Delayed requests."""
    spent: Spent
    """Budgets of false positives that are known to be used up."""

    @classmethod
    def of(cls, policy: Policy, observer: Observer) -> Self:
        """That of a process which begins with this policy."""
        delays = policy.friction.delays
        return cls(Waiting(delays.at_once, delays.at_most.us, observer=observer), Spent())

    def resize(self, policy: Policy) -> None:
        """Another policy runs."""
        delays = policy.friction.delays
        self.waiting.resize(delays.at_once, delays.at_most.us)


class Engine:
    """One policy, compiled, on one store.

    Args:
        policy: what is decided.
        mode: enforce, shadow or off: the policy's unless the environment or a switch says otherwise.
        resolver: attributes requests to subjects.
        store: charged once a request.
        standings: what this process knows of accounts; outlives the engine.
        clock: for what is cached inside the process.
        observer: hears `engine.*`, `risk.*` and `friction.*`.
        key: what accounts' thresholds and rollouts are worked out with.
        recorder: takes the event of each decision.
        lasting: what a reload must not begin anew.
        shadowed: limits, scorers and rungs that a switch has turned to shadow.
        gathering: what is learned of accounts beside their requests; None where the policy has no clusters.
        keys: what challenges and clearances are signed with; needed where the policy's ladder asks for something.
        notices: hear of cases and appeals; needed where the policy has `verification`.
        vouch: tells of organisations that were verified; None where the policy has no clusters.
    """

    def __init__(  # noqa: PLR0913 - what an engine is made of
        self,
        policy: Policy,
        *,
        mode: Mode,
        resolver: Resolver,
        store: Store,
        standings: Standings,
        clock: Clock,
        observer: Observer,
        key: bytes,
        recorder: Recorder,
        lasting: Lasting,
        shadowed: frozenset[str] = frozenset(),
        gathering: Gathering | None = None,
        keys: Keyring | None = None,
        notices: Notices | None = None,
        vouch: Vouch | None = None,
    ) -> None:
        self.policy = policy
        self.mode = mode
        self.prefix = policy.endpoints.prefix
        """Of the paths of the middleware's own endpoints."""
        self.resolver = resolver
        self.shadowed = shadowed
        planning = Planning(policy, shadowed, resolver, standings, clock)
        self.plan = planning.plan
        """What holds for an exchange, as far as its subject's standing is known to this process."""
        self.planner = planning.planner
        self.terms = planning.terms
        """Which approvals count."""
        self.judge = Judge(
            policy, key=key, clock=clock, observer=observer, waiting=lasting.waiting, shadowed=shadowed, keys=keys
        )
        self.clearing: Clearing | None = None
        """Gives out challenges and takes answers; None where the policy's ladder has none."""
        if keys is not None and any(rung.do == "challenge" for rung in self.judge.ladder.rungs):
            self.clearing = Clearing(self.judge.ladder, store=store, keys=keys, clock=clock, observer=observer)
        self.verification: Verification | None = None
        """Who is to be verified by whom, what became of it, and who objects; None where the policy has no `verification`."""
        if policy.verification is not None and keys is not None and notices is not None:
            ground = Ground(policy.endpoints, store, standings, keys, key, clock, notices, vouch)
            self.verification = Verification.of(policy.verification, ground, policy.identity.assurance)
        self.freeing = frozenset(
            [each.name for each in policy.limits if each.when is not None and each.when.verified is False]
        )
        """Limits that hold for nobody who is verified: to be verified is the way out."""
        self.suspecting = frozenset([each.name for each in policy.limits if _suspects(each)])
        """Limits that hold for members of suspect clusters alone: who meets one may object."""
        self._recorder = recorder
        self._records = not self.judge.idle or bool({"telemetry", "console"} & policy.model_fields_set)
        """Whether every decision is recorded, not only what was refused."""
        self._packs = recorder.packable and not policy.telemetry.tracing
        """Whether nobody needs an event in any other form than packed."""
        self._budgets = Budgets(self.judge.ladder, store, observer, lasting.spent)
        self.router = Router(policy, self.planner.reads)
        self._store = store
        self._standings = standings
        self._clock = clock
        self._observer = observer
        self._missed = Missed(observer)
        self._gathering = gathering
        self.read_content = gathering.read if gathering is not None else None
        """Makes evidence of what a body says; None where the policy does not want it."""
        self._full: dict[tuple[str, bool], tuple[int, int]] = {}
        """Shared request limits that refused: until when, and when they will admit (monotonic µs)."""

    @property
    def cases(self) -> Cases | None:
        """Who is to be verified by whom; None where the policy has no `verification`."""
        return self.verification.cases if self.verification is not None else None

    @property
    def reports(self) -> Reports | None:
        """What became of it, likewise."""
        return self.verification.reports if self.verification is not None else None

    @property
    def appeals(self) -> Appeals | None:
        """Who objects, likewise."""
        return self.verification.appeals if self.verification is not None else None

    # Identify

    def begin(self, route: Route, facts: Facts) -> Exchange:
        """A new exchange, with its id."""
        exchange = Exchange(self, identifiers(), route, facts)
        if self._records:
            exchange.began = self._clock.monotonic()
        return exchange

    def identify(self, facts: Facts) -> Subject | Awaitable[Subject]:
        """Whom the request is attributed to. Raises `TokenError` as `Resolver.identify` does."""
        return self.resolver.identify(facts)

    # Charge

    async def charge(self, exchange: Exchange, tariff: Tariff) -> Deny | None:
        """Charge the exchange, in one round trip; two where this process first meets a change in the account's standing.

        Returns what to do where nothing was charged because the request or the store does not allow it; else None, and the
        receipt lies in the exchange.
        """
        subject = exchange.subject
        assert subject is not None  # noqa: S101 - planned before
        cost = self.planner.cost
        for _ in range(2):
            if exchange.estimate is not NOTHING:
                limit = tariff.shape.too_large(exchange.estimate, cost)
                if limit is not None:
                    return refusals.too_large(exchange.id, limit, cost(limit, exchange.estimate))
            bill = self._bill(exchange, subject, tariff)
            refused = self._refused_before(exchange, tariff)
            if refused is not None:
                self._missed.note(bill)
                return refused
            try:
                receipt = await (self._charge_missed(bill) if self._missed else self._store.charge(bill))
            except StoreError as error:
                return self._without_store(exchange, error)
            if receipt.code == "late":
                return self._without_store(exchange, StoreTimeout("The store answered too late."))
            if receipt.code != "stale":
                exchange.receipt = receipt
                if receipt.standing is not None:  # what rungs and clearances hang on has changed, not what was planned on
                    self._standings.put(subject.candidate, receipt.standing)
                    exchange.standing = receipt.standing
                if self._gathering is not None:
                    self._gathering.tried(exchange)
                    self._gathering.noted(exchange, receipt)
                self._note_refusal(exchange, tariff, receipt)
                return None
            self._standings.put(subject.candidate, receipt.standing or Standing())
            tariff = self.plan(exchange, subject)
        return await self._stale_twice(exchange, self._bill(exchange, subject, tariff))

    async def _charge_missed(self, bill: Bill) -> Receipt:
        """Charge, and count what was refused from memory before."""
        carrying, taken = self._missed.take(bill)
        carried = False
        try:
            receipt = await self._store.charge(carrying)
            carried = receipt.code in {"admitted", "denied"}
        finally:
            if not carried:
                self._missed.put_back(taken)
        if receipt.code == "denied":
            self._missed.refused(bill, taken)
        return receipt

    def _bill(self, exchange: Exchange, subject: Subject, tariff: Tariff) -> Bill:
        notes: Tariff | None = tariff
        entries = tariff.fixed
        if entries is None or exchange.estimate.items != 1:
            notes = None
            entries = tariff.entries(exchange.estimate, self.planner.cost)
        version, proved = exchange.standing.version, exchange.authenticated
        seen = exchange.standing.seen
        edges = () if self._gathering is None else self._gathering.edges(exchange)
        return Bill(exchange.id, entries, tariff.payer, subject.candidate, version, proved, None, notes, seen, edges)

    async def _stale_twice(self, exchange: Exchange, bill: Bill) -> Deny | None:
        """The standing changed again between two looks: the store's answers are of no use now."""
        error = StoreError("The account's standing keeps changing.")
        alone = getattr(self._store, "alone", None)
        if alone is None:
            return self._without_store(exchange, error)
        try:
            exchange.receipt = await alone(bill, error)
        except StoreError as failure:
            return self._without_store(exchange, failure)
        return None

    def _without_store(self, exchange: Exchange, error: StoreError) -> Deny | None:
        """`on_error`: allow lets the request pass uncharged; deny, and local where it fails too, refuses it."""
        self._observer.count("engine.undecided")
        logger.debug("charge %s: %s", exchange.id, error)
        exchange.receipt = None
        return None if self.policy.store.on_error == "allow" else refusals.unavailable(exchange.id)

    def _refused_before(self, exchange: Exchange, tariff: Tariff) -> Deny | None:
        """A refusal by a limit that belongs to everyone, from memory: for a second at most it is not asked for again.

        It comes without a receipt: how the caller's own limits stand was not asked.
        """
        if not self._full:
            return None
        now = self._clock.monotonic()
        waits = []
        for slot in tariff.slots:
            held = self._full.get((slot.limit.code, exchange.authenticated)) if not slot.share else None
            if held is not None and held[0] > now:
                waits.append((held[1] - now, slot.limit))
        if not waits:
            return None
        self._observer.count("engine.denied_from_memory")
        wait, limit = max(waits, key=lambda each: each[0])
        exchange.receipt = None
        return refusals.by_limit(exchange.id, limit.refusal(wait, share=False))

    def _note_refusal(self, exchange: Exchange, tariff: Tariff, receipt: Receipt) -> None:
        if receipt.code != "denied" or receipt.local or exchange.estimate.items != 1:
            return
        now = self._clock.monotonic()
        for slot, reading in tariff.shape.read(receipt.readings):
            limit = slot.limit
            if not (reading.ok or limit.shadow or slot.share) and limit.shared and limit.unit == "requests" and limit.window:
                until = now + min(reading.wait, _DENIED_FOR)
                self._full[limit.code, exchange.authenticated] = (until, now + reading.wait)

    # Score

    def score(self, exchange: Exchange) -> Awaitable[None] | None:
        """Judge an exchange that the limits admitted; an awaitable where a scorer, or a rung's budget, takes time."""
        receipt = exchange.receipt
        if receipt is None or receipt.code != "admitted":
            return None
        if self.judge.idle and "override" not in exchange.standing.fields:
            return None
        found = self.judge.judge(exchange)
        if not isinstance(found, Judgement):
            return self._score_later(exchange, found)
        exchange.judgement = found
        return self._enter(exchange, found) if found.step.entered or self._asks(found) else None

    async def _score_later(self, exchange: Exchange, waiting: Awaitable[Judgement]) -> None:
        exchange.judgement = found = await waiting
        if found.step.entered or self._asks(found):
            await self._enter(exchange, found)

    async def _enter(self, exchange: Exchange, found: Judgement) -> None:
        """An account comes onto a rung, if that rung's budget allows it; or must solve something, if the store can know of it."""
        if found.step.entered:
            step = await self._budgets.keep(self.judge.person(exchange), found.step)
            exchange.judgement = found = found._replace(step=step)
        if self.clearing is not None and self._asks(found):
            try:
                exchange.token = await self.clearing.token()
            except StoreError as error:
                logger.debug("challenge %s: %s", exchange.id, error)
                exchange.judgement = self.judge.unable(exchange)

    def _asks(self, found: Judgement) -> bool:
        """Whether its caller is to solve something."""
        rung = found.step.rung
        return rung is not None and rung.do == "challenge" and self.mode == "enforce"

    # Decide

    def decide(self, exchange: Exchange) -> Decision:
        """What receipt and risk come to. A store that could not be asked, where the policy allows that, is an Allow."""
        receipt = exchange.receipt
        if receipt is None or receipt.code == "admitted":
            judgement = exchange.judgement
            rung = judgement.step.rung if judgement is not None else None
            if (rung is None or rung.do == "delay") and self._braked(exchange):
                return Trim(exchange.id, (), _BRAKED)
            return Allow(exchange.id) if rung is None else self.judge.decision(exchange, rung)
        tariff, subject = exchange.tariff, exchange.subject
        assert tariff is not None  # noqa: S101 - charged
        refusal = tariff.shape.refusal(receipt.readings)
        if refusal is None:  # denied by nobody: a store that breaks its contract must not refuse people
            return Allow(exchange.id)
        unproved = subject is not None and bool(subject.candidate) and tariff.payer != subject.candidate
        return refusals.by_limit(exchange.id, refusal, unproved=unproved)

    def _braked(self, exchange: Exchange) -> bool:
        """Whether a verdict on the account's cluster waits for an operator: until then it is trimmed, where its caller may be."""
        return bool(exchange.standing.fields.get("brake")) and self.judge.permits(exchange, "trim")

    # Settle

    def settle(self, exchange: Exchange, outcome: Outcome, *, status: int = 0, usage: Usage | None = None) -> None:
        """Say how the exchange ended. Queues; never waits, never fails a request; once for an exchange."""
        if exchange.settled:
            return
        exchange.settled = True
        receipt = exchange.receipt
        if receipt is None or receipt.code != "admitted":
            return
        changes = self._learned(exchange, outcome, status)
        if exchange.judgement is not None:
            changes += exchange.judgement.step.changes
        if self._gathering is not None:
            changes += self._gathering.learned(exchange)
            if outcome == "answered":
                self._gathering.did(exchange, usage)
        if outcome == "failed":
            self._store.settle([Settlement(receipt, "cancelled", (), changes)])
        elif receipt.open or changes:
            self._store.settle([Settlement(receipt, "settled", self._used(exchange, outcome, usage), changes)])

    def cancel(self, exchange: Exchange) -> None:
        """Give everything back: the request was refused after it was charged, or never reached the app."""
        self.settle(exchange, "failed")

    def record(self, exchange: Exchange, outcome: str, *, status: int, usage: Usage | None = None) -> Event | None:
        """Record how the exchange went: every one where the policy judges or says where events go, else what was refused."""
        if not (self._records or type(exchange.decision) is not Allow or exchange.would is not None):
            return None
        took = self._clock.monotonic() - exchange.began if exchange.began else 0
        if self._packs and is_plain(exchange):
            self._recorder.emit_packed(outlined(exchange, outcome, status=status, usage=usage, took=took))
            return None
        event = record(exchange, outcome, status=status, usage=usage, now=self._clock.now(), took=took)
        self._recorder.emit(event)
        return event

    def _used(self, exchange: Exchange, outcome: Outcome, usage: Usage | None) -> tuple[int | None, ...]:
        assert exchange.tariff is not None  # noqa: S101 - charged
        assert exchange.receipt is not None  # noqa: S101 - charged
        if usage is None and outcome == "refused":
            usage = Usage()
        found: list[int | None] = [None] * len(exchange.receipt.readings)
        if usage is not None:
            used, shape = self.planner.used, exchange.tariff.shape
            for slot, place in zip(shape.slots, shape.places, strict=True):
                if not slot.share:
                    found[place] = used(slot.limit, usage, exchange.model)
        return tuple(found)

    def _learned(self, exchange: Exchange, outcome: Outcome, status: int) -> tuple[Change, ...]:
        """What the app's answer says of a key that only the app can prove: a 2xx proves it, a 401 unproves it."""
        subject = exchange.subject
        if subject is None or not subject.candidate or subject.authenticated or not exchange.route.proves:
            return ()
        if 200 <= status < 300 and outcome == "answered" and not exchange.authenticated:  # noqa: PLR2004
            self.resolver.vouch(exchange.facts)
            since = exchange.receipt.now if exchange.receipt is not None else self._clock.now()
            return (Change("set", "proved", "1"), Change("first", "since", str(since)))
        if status == 401 and exchange.authenticated:  # noqa: PLR2004
            return _UNPROVED
        return ()

    async def add(self, exchange: Exchange, unit: str, n: int) -> None:
        """See `Exchange.add`."""
        if unit not in _UNITS:
            raise ValueError(f"unknown unit {unit!r}; known are {', '.join(sorted(_UNITS))}")
        if type(n) is not int or n < 0:
            raise ValueError(f"expected a whole number of at least 0, got {n!r}")
        receipt, tariff = exchange.receipt, exchange.tariff
        if not n or receipt is None or receipt.code != "admitted" or tariff is None:
            return
        entries, readings, used = [], [], []
        limits = dict(zip(tariff.shape.places, [slot.limit for slot in tariff.slots], strict=True))
        place = -1
        for entry in receipt.bill.entries:
            steps = []
            for step in entry.steps:
                place += 1
                limit = limits.get(place)
                if limit is not None and limit.unit == unit and "cost" in step._fields and "cap" not in step._fields:
                    steps.append(step._replace(cost=0, reserved=False))  # type: ignore[call-arg]
                    readings.append(Reading(ok=True, remaining=0, reset=0, wait=0, mark=(0, 0, 0, 0)))
                    used.append(n)
            entries.append(Entry(entry.home, tuple(steps), entry.parent))
        if used:
            bill = receipt.bill._replace(entries=tuple(entries), notes=None)
            owed = Receipt(bill, "admitted", receipt.now, None, tuple(readings), local=receipt.local)
            self._store.settle([Settlement(owed, "settled", tuple(used))])


def _suspects(limit: LimitSettings) -> bool:
    """Whether a limit holds for nobody but members of clusters whose verdict binds."""
    wanted = limit.when.verdict if limit.when is not None else None
    return wanted is not None and BINDS.issuperset([wanted] if isinstance(wanted, str) else wanted)
