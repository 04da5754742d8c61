"""Score and decide: what a request's risk comes to, and which rung of the ladder it meets."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from random import random
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrail_mw.engine.callers import Callers
from guardrail_mw.friction.clearance import field, holds
from guardrail_mw.friction.delays import Waiting
from guardrail_mw.friction.ladder import Ladder, Person, Rung, Step
from guardrail_mw.friction.trim import Trimmer, TrimSettings
from guardrail_mw.friction.verification import Asking, Wanted
from guardrail_mw.risk.base import Count, RiskContext, Velocity
from guardrail_mw.risk.combination import Risk
from guardrail_mw.risk.runner import NOTHING, Panel, Scored
from guardrail_mw.values import CLEARED, Allow, Challenge, Decision, Delay, Deny, Trim, Verify

if TYPE_CHECKING:
    from guardrail_mw.clock import Clock
    from guardrail_mw.engine.exchange import Exchange
    from guardrail_mw.friction.verification import Verifier
    from guardrail_mw.identity.keys import Keyring
    from guardrail_mw.limits.tariff import Shape
    from guardrail_mw.policy import Policy
    from guardrail_mw.stores.base import Receipt
    from guardrail_mw.values import Facts, Observer, Standing

__all__ = ["EVIDENCE", "QUIET", "Judge", "Judgement"]

EVIDENCE: Final = 10
"""Points from which a family counts among the two that `verify` and `deny` ask for: a trace of a second is no second opinion."""
_NOTHING: dict[str, Count] = {}
_tuple = tuple.__new__
_USUAL = Trimmer(TrimSettings())


class Judgement(NamedTuple):
    """What was found of a request, and where it stands on the ladder."""

    scored: Scored
    step: Step


QUIET: Final = Judgement(NOTHING, Step(None, None, 0.0, None, (), entered=False, changes=()))
"""Of most requests: nothing was found, and nothing is remembered."""


class Judge:
    """A policy's `risk` and `friction`, compiled.

    Args:
        policy: what is judged by.
        key: makes thresholds and rollouts differ between accounts; of 16 bytes or more, for ever the same.
        clock: for deadlines.
        observer: hears `risk.*` and `friction.*`.
        waiting: where delayed requests wait; outlives the judge.
        shadowed: scorers and rungs that a switch has turned to shadow.
        keys: what callers without an account show their clearances by; needed where the ladder asks for something.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        key: bytes,
        clock: Clock,
        observer: Observer,
        waiting: Waiting,
        shadowed: frozenset[str] = frozenset(),
        keys: Keyring | None = None,
    ) -> None:
        rules = {each.name: Velocity(each.name, each.family, each.over.us) for each in policy.velocity}
        self.panel = Panel(policy.risk, rules, clock=clock, observer=observer, shadowed=shadowed)
        self._verifiers: dict[str, Verifier] = {}
        self.ladder = Ladder(
            policy.friction, assurance=policy.identity.assurance, key=key, shadowed=shadowed, cleared=self._passed
        )
        for rung in self.ladder.rungs:
            if rung.do == "verify":
                made, settings = rung.plugin("verifiers")
                self._verifiers[rung.code] = made(settings, policy.identity.assurance)
        ways = [(rung, wanted) for rung in self.ladder.rungs if (wanted := self.asks(rung)) is not None]
        self.way: tuple[Rung, Asking] | None = ways[0] if ways else None
        """The lowest rung that has a provider verify somebody, and what."""
        asks = any(rung.do in {"challenge", "verify"} for rung in self.ladder.rungs)
        self._callers = Callers(keys) if asks and keys is not None else None
        self._fields = frozenset([field(rung.code) for rung in self.ladder.rungs])
        """Of clearances that this ladder asks for."""
        self.waiting = waiting
        self.idle = not policy.risk.scorers and not policy.friction.ladder
        """Whether there is nothing to do for any request."""

    def permits(self, exchange: Exchange, do: str) -> bool:
        """Whether the policy's caps let a kind of rung act on the exchange's caller."""
        return self.ladder.permits(self.person(exchange), do)

    @staticmethod
    def trimmer(exchange: Exchange) -> Trimmer:
        """What takes things out of the exchange's body: the rung's own, or the usual where it was to wait and nobody can."""
        rung = exchange.judgement.step.rung if exchange.judgement is not None else None
        return rung.trim if rung is not None else _USUAL

    def judge(self, exchange: Exchange) -> Judgement | Awaitable[Judgement]:
        """Score the request and find its rung; at once, unless a scorer must wait for something."""
        receipt, tariff, subject = exchange.receipt, exchange.tariff, exchange.subject
        assert receipt is not None  # noqa: S101 - charged before
        assert tariff is not None  # noqa: S101 - likewise
        assert subject is not None  # noqa: S101 - likewise
        context = RiskContext(
            exchange.facts,
            subject,
            self._standing(exchange),
            _counts(tariff.shape, receipt),
            receipt.now,
            authenticated=exchange.authenticated,
            route=exchange.route.label,
            model=exchange.model,
        )
        scored = self.panel.run(context)
        if scored is NOTHING and self.ladder.forgets(exchange.standing.fields):
            return QUIET
        if isinstance(scored, Scored):
            return Judgement(scored, self._step(exchange, scored))
        return self._later(exchange, scored)

    async def _later(self, exchange: Exchange, waiting: Awaitable[Scored]) -> Judgement:
        scored = await waiting
        return Judgement(scored, self._step(exchange, scored))

    def unable(self, exchange: Exchange) -> Judgement:
        """What is found where nothing that is solved can be known to be solved: another rung, `otherwise` or the one below."""
        judgement = exchange.judgement
        assert judgement is not None  # noqa: S101 - a rung acts
        person, risk = self.person(exchange)._replace(solves=frozenset()), judgement.scored.risk
        step = self.ladder.step(person, risk.score, _families(risk))
        if step.rung is not None and step.rung.do == "challenge":
            fields = {name: value for name, value in person.fields.items() if name != "override"}
            step = self.ladder.lower(person._replace(fields=fields), step)
        return judgement._replace(step=step._replace(why=("store", *step.why)))

    def _standing(self, exchange: Exchange) -> Standing:
        """The account's; of who has none, what its cookie says that it has passed. Worked out once a request."""
        if exchange.shown is None:
            callers = self._callers
            exchange.shown = exchange.standing if callers is None else self._looked_at(exchange, callers)
        return exchange.shown

    def _looked_at(self, exchange: Exchange, callers: Callers) -> Standing:
        subject, tariff, receipt = exchange.subject, exchange.tariff, exchange.receipt
        assert subject is not None  # noqa: S101 - see `judge`
        assert tariff is not None  # noqa: S101 - likewise
        assert receipt is not None  # noqa: S101 - likewise
        if subject.candidate and tariff.payer == subject.candidate:
            return self._current(exchange.standing)
        fields = callers.cleared(exchange.facts, subject.network, receipt.now)
        return self._current(
            exchange.standing._replace(fields={**exchange.standing.fields, **fields}) if fields else exchange.standing
        )

    def _current(self, standing: Standing) -> Standing:
        """Without what was passed under settings that hold no longer: it would still ease what scorers find."""
        over = [name for name in standing.fields if name.startswith(CLEARED) and name not in self._fields]
        if not over:
            return standing
        return standing._replace(fields={name: value for name, value in standing.fields.items() if name not in over})

    def _step(self, exchange: Exchange, scored: Scored) -> Step:
        person, ladder = self.person(exchange), self.ladder
        step = ladder.step(person, scored.risk.score, _families(scored.risk))
        if scored.would.score <= scored.risk.score:
            return step
        other = ladder.step(person, scored.would.score, _families(scored.would))
        would = max([each for each in (other.rung, other.would) if each is not None], key=_place, default=None)
        if would is None or _place(would) <= max(_place(step.rung), _place(step.would)):
            return step
        why = step.why if "shadow" in step.why else (*step.why, "shadow")
        return step._replace(would=would, why=why, at=other.at if step.rung is None else step.at)

    def person(self, exchange: Exchange) -> Person:
        """Who stands before the ladder. What nobody has proved is remembered of nobody.

        What was proved once is: else whoever gets a 401 out of the app, for a model that his key may not use, is rid of his
        rung and of an operator's override for the request after it.
        """
        if exchange.person is None:
            exchange.person = self._person(exchange)
        return exchange.person

    def _person(self, exchange: Exchange) -> Person:
        subject, receipt, tariff = exchange.subject, exchange.receipt, exchange.tariff
        assert subject is not None  # noqa: S101 - see `judge`
        assert receipt is not None  # noqa: S101 - likewise
        assert tariff is not None  # noqa: S101 - likewise
        candidate = subject.candidate if tariff.payer == subject.candidate else ""
        callers = self._callers
        if callers is None:
            return Person(tariff.payer, candidate, exchange.traits, exchange.standing.fields, receipt.now)
        solves = callers.solves(exchange.facts, account=bool(candidate))
        fields = self._standing(exchange).fields
        return Person(tariff.payer, candidate, exchange.traits, fields, receipt.now, subject.signed_in or 0, solves)

    def cookies(self, facts: Facts, network: str, now: int) -> Mapping[str, str]:
        """What a caller without account has passed, by its cookie, as fields of a standing."""
        return self._callers.cleared(facts, network, now) if self._callers is not None else {}

    def asks(self, rung: Rung) -> Asking | None:
        """What a rung has a provider verify; None where it asks for something else."""
        return getattr(self._verifiers.get(rung.code), "asks", None)

    def _passed(self, person: Person, rung: Rung) -> bool:
        """Whether a person has passed what a rung asks for: before, or with this request."""
        verifier = self._verifiers.get(rung.code)
        return holds(person.fields, rung.code, person.now) or (verifier is not None and verifier.passed(person))

    def decision(self, exchange: Exchange, rung: Rung) -> Decision:
        """What a rung does to a request."""
        judgement = exchange.judgement
        reasons = _reasons(judgement)
        identity = exchange.id
        match rung.do:
            case "delay":
                return Delay(identity, rung.seconds(random()), reasons)  # noqa: S311 - jitter, no secret
            case "trim":
                return Trim(identity, (), reasons)
            case "deny":
                message = "The request was refused: it looks like part of an automated campaign."
                return Deny(identity, "denied", 403, message, reasons)
            case "challenge":
                return Challenge(identity, {}, reasons)
            case "verify":
                verifier = self._verifiers.get(rung.code)
                wanted = verifier.wanted(self.person(exchange)) if verifier is not None else Wanted()
                return Verify(identity, wanted.url, wanted.acr, wanted.max_age, reasons)
            case _:
                return Allow(identity, reasons)


def _families(risk: Risk) -> int:
    return sum([score >= EVIDENCE for _, score in risk.families])


def _place(rung: Rung | None) -> int:
    return -1 if rung is None else rung.index


def _counts(shape: Shape, receipt: Receipt) -> dict[str, Count]:
    """What velocity rules have counted, by their names."""
    if not shape.watches or not receipt.readings:
        return _NOTHING
    readings = receipt.readings
    found = {}
    for watch, place in shape.watches:
        ok, value, _, _, _ = readings[place]
        found[watch.name] = _tuple(Count, (value, not ok))
    return found


def _reasons(judgement: Judgement | None) -> tuple[str, ...]:
    """Reason codes, the strongest finding first."""
    if judgement is None:
        return ()
    found = sorted(judgement.scored.findings, key=lambda each: -each.finding.score * each.weight)
    return tuple(dict.fromkeys(each.finding.reason for each in found if not each.shadow and each.finding.score))
