"""The ladder: which rung a risk reaches, which of those acts, and what is remembered of it.

Pure: no clock, no store, no randomness. What it wants remembered it gives back as changes of the account's standing (`heat`,
`rung`, `met`; see `friction.memory`), which merge, so that it never has to read before it writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf, log2
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrail_mw.conditions import compile_when
from guardrail_mw.friction import memory
from guardrail_mw.friction.rung import SEVERITY, Rung, margin, operators
from guardrail_mw.friction.step import Person, Step
from guardrail_mw.stores.base import Change

if TYPE_CHECKING:
    from guardrail_mw.friction.settings import FrictionSettings

__all__ = ["Ladder", "Person", "Rung", "Step"]

_NOTHING: Final[Mapping[str, str]] = {}
_STEP: Final = 1.0
"""Points that a risk must be above what is remembered before it is written anew."""
_STRICTEST: Final = max(SEVERITY.values())


class _Case(NamedTuple):
    """One person's way up, as far as it is the same for every rung. Places are -1 for none."""

    person: Person
    families: int
    met: int
    """Requests that the rung it is on has met."""
    held: int
    """The place of the rung that it is on."""
    touched: int
    """The highest place where it has been since: `held`, or where `up` led."""
    raised: int
    """The place that the requests met lead up to: `held`, unless there is `up`."""
    cap: int
    """The most severe kind of rung it may meet."""
    satisfied: int
    """The place of the highest rung whose verification it has passed, which satisfies all below too."""


class _Found(NamedTuple):
    acting: Rung | None
    would: Rung | None
    why: tuple[str, ...]


def _never(_person: Person, _rung: Rung) -> bool:
    return False


class Ladder:
    """A policy's ladder, compiled.

    Args:
        settings: the policy's `friction`.
        assurance: the order of `acr` values, for conditions.
        key: secret, 16 to 64 bytes, for ever the same: thresholds and rollouts hang on it.
        shadowed: names of rungs that a switch has turned to shadow.
        cleared: whether a person has passed what a rung asks for (`Rung.code` tells its settings).
    """

    __slots__ = (
        "_allow", "_caps", "_cleared", "_cool", "_deny", "_half_life", "_hysteresis", "_least", "_lowest", "_places", "rungs",
    )  # fmt: skip

    def __init__(
        self,
        settings: FrictionSettings,
        *,
        assurance: Sequence[str] = (),
        key: bytes,
        shadowed: frozenset[str] = frozenset(),
        cleared: Callable[[Person, Rung], bool] = _never,
    ) -> None:
        self.rungs = _compile(settings, key, shadowed)
        """Lowest first."""
        self._places = {rung.name: rung.index for rung in self.rungs}
        self._deny = next((rung for rung in self.rungs if rung.do == "deny"), None) or operators("deny", key)
        self._allow = [compile_when(when, assurance) for when in settings.allow]
        self._caps = [(compile_when(cap.when, assurance), SEVERITY[cap.most]) for cap in settings.caps]
        self._cleared = cleared
        self._hysteresis = float(settings.hysteresis)
        self._half_life = settings.decay.us
        self._lowest = self.rungs[0].at - margin(self.rungs[0].at) if self.rungs else inf
        """The lowest threshold that any account can have."""
        self._least = self._leave(self._lowest)
        """The lowest risk that can matter: what is below is not remembered."""
        self._cool = self._half_life * log2(self._lowest) if self.rungs and self._lowest > 1 else 0.0
        """µs before which a memory that fades out reaches no rung."""

    def thresholds(self, account: str) -> tuple[float, ...]:
        """The risks that reach each rung, for one account. A rung's is never below that of the rung before it."""
        found: list[float] = []
        last = 0.0
        for rung in self.rungs:
            last = max(last, rung.threshold(account))
            found.append(last)
        return tuple(found)

    def permits(self, person: Person, do: str) -> bool:
        """Whether the caps let a kind of rung act on a person."""
        return SEVERITY[do] <= self._most(person)

    def _most(self, person: Person) -> int:
        return min([most for test, most in self._caps if test(person.traits)], default=_STRICTEST)

    def remembered(self, fields: Mapping[str, str], now: int) -> float:
        """What is left of the risk that a standing remembers."""
        return memory.remembered(memory.whole(fields.get("heat")), now, self._half_life)

    def forgets(self, fields: Mapping[str, str]) -> bool:
        """Whether a standing holds nothing that matters to a request of no risk: it passes, and the ladder need not be asked."""
        return self._lowest > 0 and not ("heat" in fields or "rung" in fields or "override" in fields)

    def step(self, person: Person, risk: float, families: int) -> Step:
        """Where a request stands.

        Nothing is remembered of who has no candidate: there the present risk alone decides, without hysteresis or `up`.

        Args:
            person: who asks.
            risk: 0 to 100, of this request alone.
            families: of evidence that the risk rests on.
        """
        fields = person.fields if person.candidate else _NOTHING
        heat = fields.get("heat")
        if risk < self._lowest and "rung" not in fields and "override" not in fields:
            if heat is None:
                return Step(None, None, risk, None, (), False, (), families)  # noqa: FBT003 - a value
            if memory.whole(heat) - person.now < self._cool:
                effective = max(risk, self.remembered(fields, person.now))
                return Step(None, None, effective, None, (), False, (), families)  # noqa: FBT003 - likewise
        return self._step(person, fields, risk, families, len(self.rungs))

    def lower(self, person: Person, step: Step) -> Step:
        """The step that is taken instead where the budget of the rung that was entered is spent: at most the rung below."""
        if step.rung is None or step.rung.index < 0:
            return step
        fields = person.fields if person.candidate else _NOTHING
        found = self._step(person, fields, step.effective, step.families, step.rung.index)
        return found._replace(why=("budget", *found.why))

    def _step(self, person: Person, fields: Mapping[str, str], risk: float, families: int, below: int) -> Step:
        """As `step`, the long way; only rungs `below` a place act."""
        left = self.remembered(fields, person.now)
        effective = max(risk, left)
        ruled, why = self._ruled(person, fields)
        if ruled is not None:
            return Step(*ruled, effective, None, why, False, (), families)  # noqa: FBT003 - a value
        case = self._case(person, fields, families)
        thresholds = self.thresholds(person.account)
        base = self._walk(case, min(self._reached(thresholds, effective, case.held), below - 1), 0)
        place = base.acting.index if base.acting is not None else -1
        if base.acting is not None and place > self._reached(thresholds, effective, -1):
            why = (*why, "hysteresis")
        found = base
        if place >= case.held >= 0:
            found = self._raise(case, base, min(case.raised, below - 1))
            if place <= case.raised:
                place = case.held  # however high `up` has led, this is the rung it is on
        shown = found.acting or found.would
        acting = found.acting.index if found.acting is not None else -1
        changes = self._warmed(risk, left, person.now, moved=place != case.held)
        if below == len(self.rungs) or place != case.held:
            changes += self._noted(case, fields, place, acting)
        return Step(
            found.acting,
            found.would,
            effective,
            None if shown is None else thresholds[shown.index],
            tuple(dict.fromkeys((*why, *found.why))),
            acting > case.touched,
            changes if person.candidate else (),
            families,
        )

    def _ruled(
        self, person: Person, fields: Mapping[str, str]
    ) -> tuple[tuple[Rung | None, Rung | None] | None, tuple[str, ...]]:
        """What is decided without the risk: what acts and what would, if anything is, and why.

        An override asks for no evidence, is not rolled out and writes nothing; in shadow it still does not act. Who has passed
        what its rung asks for stands before the ladder as anybody does: else nobody could ever get past it.
        """
        ruled = memory.override(fields, person.now)
        passed_over: tuple[str, ...] = ()
        if ruled is not None:
            place = self._places.get(ruled.what)
            rung = self.rungs[place] if place is not None else self._deny if ruled.what == "deny" else None
            if rung is not None and rung.shadow:
                return (None, rung), ("override", "shadow")
            if rung is not None and not self._passed(person, rung):
                able = rung.otherwise is None or person.can(rung)
                acting, said = (rung, ("override",)) if able else (rung.otherwise, ("override", "otherwise"))
                return (None if acting is None or acting.do == "allow" else acting, None), said
            if ruled.what == "allow":
                return (None, None), ("override",)
            passed_over = ("override", "cleared") if rung is not None else ("unknown-override",)
        if any([test(person.traits) for test in self._allow]):
            return (None, None), (*passed_over, "allow-lane")
        return None, passed_over

    def _passed(self, person: Person, rung: Rung) -> bool:
        """Whether a person has passed what a rung asks for, or a verification at or above it."""
        asks = rung.do in {"challenge", "verify"}
        return asks and (self._cleared(person, rung) or rung.index <= self._satisfied(person))

    def _satisfied(self, person: Person) -> int:
        """The place of the highest rung whose verification a person has passed; -1 for none."""
        return max([each.index for each in self.rungs if each.do == "verify" and self._cleared(person, each)], default=-1)

    def _case(self, person: Person, fields: Mapping[str, str], families: int) -> _Case:
        on = memory.rung(fields)
        held = self._places.get(on.name, -1)
        met = memory.whole(fields.get("met"))
        return _Case(
            person,
            families,
            met,
            held,
            max(held, self._places.get(on.up, -1)) if held >= 0 else -1,
            self._raised(held, met) if held >= 0 else -1,
            self._most(person),
            self._satisfied(person),
        )

    def _leave(self, threshold: float) -> float:
        """The risk below which a rung is left. Never nothing: a rung so low that hysteresis covers it is left at half."""
        return max(threshold - self._hysteresis, threshold / 2)

    def _reached(self, thresholds: Sequence[float], effective: float, held: int) -> int:
        """The place of the highest rung reached; up to the one that is held, leaving takes less risk than coming did."""
        for index in range(len(thresholds) - 1, -1, -1):
            threshold = thresholds[index]
            if effective >= (self._leave(threshold) if index <= held else threshold):
                return index
        return -1

    def _raised(self, held: int, met: int) -> int:
        """The place that requests met lead up to, from the rung that is held."""
        needed = 0
        place = held
        while place + 1 < len(self.rungs) and self.rungs[place].up:
            needed += self.rungs[place].up
            if met < needed:
                break
            place += 1
        return place

    def _counts(self, held: int, met: int) -> bool:
        """Whether requests met by the rung that is held still lead anywhere."""
        place = self._raised(held, met)
        return self.rungs[place].up > 0 and place + 1 < len(self.rungs)

    def _walk(self, case: _Case, top: int, bottom: int) -> _Found:
        """From the rung at `top` down to that at `bottom`: the first that acts, and the first that would."""
        would: Rung | None = None
        why: list[str] = []
        for index in range(top, bottom - 1, -1):
            rung = self.rungs[index]
            if index <= case.satisfied:
                why.append("cleared")
                break
            stop = self._barred(rung, case)
            if not stop and rung.otherwise is not None and not case.person.can(rung):
                rung = rung.otherwise
                why.append("otherwise")
                stop = self._barred(rung, case)
                if rung.do == "allow":
                    break
            if not stop:
                would = would or rung
                stop = _resting(rung, case.person.account)
                if not stop:
                    return _Found(rung, None if would is rung else would, tuple(dict.fromkeys(why)))
            why.append(stop)
        return _Found(None, would, tuple(dict.fromkeys(why)))

    def _barred(self, rung: Rung, case: _Case) -> str:
        """Why a rung is not for this person; empty where it is. Who came onto a rung with enough evidence stays on it."""
        if SEVERITY[rung.do] > case.cap:
            return "capped"
        if case.families < rung.needs and not (rung.index <= case.held and self.rungs[case.held].needs >= rung.needs):
            return "one-family"
        return "cleared" if rung.do == "challenge" and self._cleared(case.person, rung) else ""

    def _raise(self, case: _Case, base: _Found, top: int) -> _Found:
        """What acts once requests met have led up to the rung at `top`."""
        place = base.acting.index if base.acting is not None else -1
        if top <= place:
            return base
        higher = self._walk(case, top, place + 1)
        acting = higher.acting or base.acting
        would = max(
            [each for each in (higher.would, base.would) if each is not None], key=lambda each: each.index, default=None
        )
        if would is not None and acting is not None and would.index <= acting.index:
            would = None
        return _Found(acting, would, ("up", *higher.why) if higher.acting is not None else (*higher.why, *base.why))

    def _warmed(self, risk: float, left: float, now: int, *, moved: bool) -> tuple[Change, ...]:
        """The risk, where it has grown above what is remembered, and can matter."""
        if risk < max(self._least, 1.0) or risk - left <= (0.0 if moved else _STEP):
            return ()
        return (Change("max", "heat", str(memory.heat(risk, now, self._half_life))),)

    def _noted(self, case: _Case, fields: Mapping[str, str], place: int, acting: int) -> tuple[Change, ...]:
        """A rung come onto or left, a place that `up` led to for the first time, one request more that the rung met."""
        now = case.person.now
        changes: list[Change] = []
        met = case.met
        if place < 0:
            return tuple([Change("unset", field) for field in ("rung", "met") if field in fields])
        if place != case.held:
            changes.append(Change("set", "rung", f"{self.rungs[place].name} {now}"))
            if "met" in fields:
                changes.append(Change("unset", "met"))
            met = 0
        elif acting > case.touched:
            since = memory.rung(fields).since
            changes.append(Change("set", "rung", f"{self.rungs[place].name} {since} {self.rungs[acting].name}"))
        if self._counts(place, met):
            changes.append(Change("add", "met", "1"))
        return tuple(changes)


def _resting(rung: Rung, account: str) -> str:
    """Why a rung does not act yet; empty where it does."""
    if rung.shadow:
        return "shadow"
    return "" if rung.rolled_out(account) else "not-rolled-out"


def _compile(settings: FrictionSettings, key: bytes, shadowed: frozenset[str]) -> tuple[Rung, ...]:
    rungs = [
        Rung(each, index, key=key, rollout=settings.rollout, budget=settings.false_positives, shadowed=shadowed)
        for index, each in enumerate(settings.ladder)
    ]
    for rung, each in zip(rungs, settings.ladder, strict=True):
        if each.otherwise is not None:
            do = each.otherwise
            rung.otherwise = rung.instead(do, next((other for other in rungs if other.do == do), None))
    return tuple(rungs)
