"""What a policy would have decided about requests that were recorded: the real engine, fed with events instead of requests.

Time is the events': a clock is set to each event's `at`, and what a request reserved or learned is settled when the recorded
request ended. Limits, velocity, the scorers `velocity` and `cluster`, and the ladder with its memory are worked out anew; what
other scorers found is taken as recorded, for the requests themselves are gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from guardrail_mw.engine.core import Engine, Lasting
from guardrail_mw.engine.counts import Counts
from guardrail_mw.engine.exchange import NOTHING, Exchange
from guardrail_mw.engine.past import PLAIN, Decided, Past, Seed
from guardrail_mw.engine.routes import Route
from guardrail_mw.engine.standings import Standings
from guardrail_mw.engine.standins import Keyed, Recorded, ReplayClock, Subjects, remembering
from guardrail_mw.friction import clearance
from guardrail_mw.friction.budget import ESTABLISHED, established
from guardrail_mw.stores.base import Change
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.telemetry.recorder import Recorder
from guardrail_mw.values import Deny, Estimate, Usage

if TYPE_CHECKING:
    from guardrail_mw.engine.core import Outcome
    from guardrail_mw.identity.resolver import Resolver
    from guardrail_mw.policy import Policy
    from guardrail_mw.values import Mode, Subject

__all__ = ["MOST", "Replay", "Ruling"]

MOST: Final = 500_000
"""Subjects that are told apart at a time; beyond it newcomers share a home, which is counted."""
_RENEWED: Final = 10_000_000
_FOR_GOOD: Final = str(1 << 62)
_SAFE: Final = frozenset({"GET", "HEAD"})


class Ruling(NamedTuple):
    """What the policy makes of one recorded request."""

    decided: Decided
    effective: float
    """The risk, memory included; 0 where it was not judged."""
    scorers: tuple[str, ...]
    """Those that found something, and were not in shadow."""
    shadowed: tuple[tuple[str, str], ...]
    """Kind and name of the limits and rungs in shadow that would have acted."""
    established: bool
    """Whether the account has been known for 30 days, as far as the replay knows."""


_NOTHING: Final = PLAIN._replace(override="")
_PASSED: Final = Ruling(Decided(), 0.0, (), (), established=False)


class _Held:
    """A request that is under way in the replay."""

    __slots__ = ("end", "exchange", "outcome", "status", "usage")

    def __init__(self, exchange: Exchange, outcome: Outcome, status: int, usage: Usage | None, end: int) -> None:
        self.exchange = exchange
        self.outcome: Outcome = outcome
        self.status = status
        self.usage = usage
        self.end = end


class Replay:
    """One policy, deciding about recorded requests, the earliest first.

    Args:
        policy: what decides.
        mode: `enforce`: what it refuses uses nothing, as if it had run; `shadow`: every request goes on as it was recorded.
        key: what accounts' thresholds and rollouts are worked out with, as the guarded processes do.
        paths: a path for each label of the recorded policy's routes, by which routes are found that have another name here.
        most: subjects told apart at a time.
    """

    def __init__(
        self, policy: Policy, *, mode: Mode, key: bytes, paths: Mapping[str, str] | None = None, most: int = MOST
    ) -> None:
        self.policy = policy
        self.unknown_routes: dict[str, int] = {}
        """Labels that no route of the policy has, and how many requests came with them: counted as matching no route."""
        self._clock = ReplayClock()
        self._counts = Counts()
        self._store = MemoryStore(clock=self._clock, max_subjects=most, observer=self._counts)
        self._subjects = Subjects()
        self._acts = mode == "enforce"
        self.engine = Engine(
            remembering(policy),
            mode=mode,
            resolver=cast("Resolver", self._subjects),
            store=self._store,
            standings=Standings(),
            clock=self._clock,
            observer=self._counts,
            key=key,
            recorder=Recorder(clock=self._clock, observer=self._counts, ring=1),
            lasting=Lasting.of(policy, self._counts),
        )
        self.engine.planner.models = Keyed(policy)
        self._paths = paths or {}
        self._routes: dict[tuple[str, str], Route] = {}
        self._seeded: dict[str, Seed] = {}
        self._asked = [clearance.field(rung.code) for rung in self.engine.judge.ladder.rungs if rung.do == "challenge"]
        self._under_way: list[tuple[int, int, _Held]] = []
        self._serial = count()
        self._waiting: list[int] = []
        """When those who are made to wait go on."""
        self._delay = 0
        """µs that the present request is made to wait."""
        self._took: dict[str, tuple[int, int]] = {}
        """By route, how many were answered and how long that took together."""
        self._any_shadow = any(limit.shadow for limit in self.engine.planner.limits)

    @property
    def shared(self) -> int:
        """How often a subject could not be told apart from others, because there were too many."""
        return self._counts.read().get("store.shared_home", 0)

    async def decide(self, past: Past) -> Ruling | None:
        """What the policy makes of the next request; None where none has a say: its credential was bad, the store was down."""
        await self._until(past.at)
        self._clock.set(past.at)
        if past.undecided:
            return None
        route = self._route(past.route, past.method)
        if route.exempt:
            return _PASSED
        exchange = self._begin(past, route)
        self._delay = 0
        subject = self._subjects.find(past.who)
        if subject.candidate and (past.seed is not None or subject.candidate in self._seeded):
            await self._seed(past, subject.candidate)
        decided = await self._decided(exchange, subject, past)
        ruling = self._ruling(exchange, decided)
        self._go_on(exchange, past, decided)
        return ruling

    def _begin(self, past: Past, route: Route) -> Exchange:
        exchange = Exchange(self.engine, past.id, route, Recorded(past))
        exchange.turn = past.turn
        if route.measured:
            exchange.model = past.model if past.model in self.policy.models else "other"
            tokens, output, items = past.estimate
            if (tokens, output, items) != (0, 0, 1):
                exchange.estimate = Estimate(exchange.model, tokens, output, items=items, most=output)
        return exchange

    # Deciding, as the edge does

    async def _decided(self, exchange: Exchange, subject: Subject, past: Past) -> Decided:
        """What is done, or in shadow would be; and the exchange charged and judged."""
        engine = self.engine
        tariff = engine.plan(exchange, subject)
        deny = await engine.charge(exchange, tariff)
        wrong = past.wrong
        if deny is not None and deny.status < 500:  # noqa: PLR2004 - it can never fit
            wrong = wrong or deny.code
            estimate, exchange.estimate = exchange.estimate, NOTHING
            deny = await engine.charge(exchange, exchange.tariff or tariff)
            exchange.estimate = estimate
        if deny is None and not (wrong and self._acts):
            waiting = engine.score(exchange)
            if waiting is not None:
                await waiting
        decision = deny if deny is not None else engine.decide(exchange)
        refusal = decision.refusal if isinstance(decision, Deny) else None
        if refusal is not None and (self._acts or not wrong):
            return Decided("deny", "limit", refusal.limit)
        if wrong:
            return Decided("deny", "other", wrong)
        judgement = exchange.judgement
        if judgement is None or judgement.step.rung is None:
            return Decided()
        rung = judgement.step.rung
        action = "trim" if rung.do == "delay" and not self._may_wait(rung.seconds(0.5), past) else rung.do
        return Decided() if action == "allow" else Decided(action, "rung", rung.name)

    def _may_wait(self, seconds: float, past: Past) -> bool:
        """Whether a delayed request finds a place to wait in, and takes it."""
        delays, now = self.policy.friction.delays, self._clock.now()
        if not self._acts:
            return True
        while self._waiting and self._waiting[0] <= now:
            heappop(self._waiting)
        if len(self._waiting) >= delays.at_once:
            return False
        self._delay = past.waited or min(round(seconds * 1_000_000), delays.at_most.us)
        heappush(self._waiting, now + self._delay)
        return True

    def _ruling(self, exchange: Exchange, decided: Decided) -> Ruling:
        judgement, receipt, tariff = exchange.judgement, exchange.receipt, exchange.tariff
        shadowed: list[tuple[str, str]] = []
        if self._any_shadow and receipt is not None and tariff is not None and receipt.readings:
            shadowed += [
                ("limit", slot.limit.name)
                for slot, reading in tariff.shape.read(receipt.readings)
                if slot.limit.shadow and not reading.ok and not slot.share
            ]
        known = decided.kind != "" and established(exchange.standing.fields, self._clock.now())
        if judgement is None:
            return Ruling(decided, 0.0, (), tuple(shadowed), known) if decided.kind or shadowed else _PASSED
        scored, step = judgement
        if step.would is not None:
            shadowed.append(("rung", step.would.name))
        scorers = tuple(
            dict.fromkeys(each.scorer for each in scored.findings if each.finding.score and each.weight and not each.shadow)
        )
        return Ruling(decided, step.effective, scorers, tuple(shadowed), known)

    # What comes of it

    def _go_on(self, exchange: Exchange, past: Past, decided: Decided) -> None:
        """Give back what was refused; what passes is settled when the recorded request ended."""
        passed = past.outcome != "denied"
        if self._acts and decided.action in {"deny", "challenge", "verify"}:
            if decided.kind == "other":
                self.engine.settle(exchange, "refused")
            else:
                self.engine.cancel(exchange)
            return
        refused_by_trim = not passed and past.status and decided.action == "trim" and past.decided[0] == "trim"
        gave_up = past.outcome == "abandoned" and past.decided[0] == "delay" and not past.waited and not past.status
        if self._acts and (refused_by_trim or gave_up):
            self.engine.cancel(exchange)
            return
        receipt, judgement = exchange.receipt, exchange.judgement
        outcome, status = (past.outcome, past.status) if passed else ("answered", 200 if past.status else 0)
        took = self._duration(past, passed=passed)
        if receipt is None or receipt.code != "admitted":
            return
        held = _Held(exchange, cast("Outcome", outcome), status, _usage(past), past.at + took)
        learns = judgement is not None and judgement.step.changes
        if receipt.open or learns or outcome == "failed":
            self._later(held)

    def _duration(self, past: Past, *, passed: bool) -> int:
        """How long it is under way, µs: one that was refused then is taken to need what others on its route did."""
        times, together = self._took.get(past.route, (0, 0))
        if passed:
            took = past.took - past.waited  # which is rounded to ms, and so can be the longer
            self._took[past.route] = (times + 1, together + max(took, 0))
        else:
            took = together // times if times and not past.turn else 0
        return max(took + self._delay, 0)

    def _later(self, held: _Held) -> None:
        now = self._clock.now()
        receipt = held.exchange.receipt
        is_open = receipt is not None and receipt.open
        due = min(held.end, now + _RENEWED) if is_open else held.end
        heappush(self._under_way, (due, next(self._serial), held))

    async def _until(self, now: int) -> None:
        """Settle what has ended by now, and renew what is still under way every 10 s, as a live process does."""
        while self._under_way and self._under_way[0][0] <= now:
            due, _, held = heappop(self._under_way)
            self._clock.set(due)
            exchange = held.exchange
            if due >= held.end:
                self.engine.settle(exchange, held.outcome, status=held.status, usage=held.usage)
                continue
            if exchange.receipt is not None:
                [exchange.receipt] = await self._store.renew([exchange.receipt])
            self._later(held)

    # What the policy does not say

    async def _seed(self, past: Past, candidate: str) -> None:
        """See that the replay remembers of an account what was known of it then.

        Its verdict, an operator's override, and that it had passed what a rung asked for: what it would solve now, nobody knows.
        """
        unjudged = past.decided[1] in {"limit", "other"}
        seed = Seed(*past.seed) if past.seed is not None else PLAIN if unjudged else _NOTHING
        before = self._seeded.get(candidate, _NOTHING)
        if seed.override is None:
            seed = seed._replace(override=before.override)
        override = f"{seed.override} 0" if seed.override else ""
        changes = [
            Change("set", field, value) if value else Change("unset", field)
            for field, value, other in (
                ("verdict", seed.verdict if seed.verdict != "none" else "", seed.verdict != before.verdict),
                ("families", seed.families, seed.families != before.families and bool(seed.families)),
                ("cluster", seed.cluster, seed.cluster != before.cluster),
                ("override", override, seed.override != before.override),
                ("proved", "1" if seed.proved else "", seed.proved != before.proved),
            )
            if other
        ]
        if seed.passed != before.passed:
            changes += [Change("set", field, _FOR_GOOD) if seed.passed else Change("unset", field) for field in self._asked]
        if seed.established and not before.established:
            changes.append(Change("first", "since", str(max(past.at - ESTABLISHED, 1))))
        if changes:
            await self._store.remember(candidate, changes)
            self._seeded[candidate] = seed

    def _route(self, label: str, method: str) -> Route:
        """The policy's route of that name; else the one that the recorded route's path leads to; else none."""
        found = self._routes.get((label, method))
        if found is None:
            found = self._routes[label, method] = self._find(label, method)
            found.proves = False  # whether a credential was proved by then, each event says itself
        if label and found.index == -1:
            self.unknown_routes[label] = self.unknown_routes.get(label, 0) + 1
        return found

    def _find(self, label: str, method: str) -> Route:
        policy, planner = self.policy, self.engine.planner
        if label:
            for index, settings in enumerate(policy.routes):
                if settings.label == label and (settings.methods is None or method in settings.methods):
                    limits = frozenset(limit.name for limit in policy.limits_of(settings))
                    route = Route(index, settings, limits, method, exempt=settings.exempt and method in _SAFE)
                    route.measured = route.metered and planner.reads(limits)
                    return route
            path = self._paths.get(label, label)
            if path.startswith("/"):
                return self.engine.router.find(path, method)
        limits = frozenset(limit.name for limit in policy.limits_of(None))
        return Route(-1, None, limits, method, exempt=False)


def _usage(past: Past) -> Usage | None:
    used = past.used
    return None if used is None else Usage(used[0], used[1], used[2], used[3], complete=used[4])
