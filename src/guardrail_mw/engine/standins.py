"""What stands in for a clock, a resolver and scorers where requests are replayed from their events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from guardrail_mw.limits.models import Models
from guardrail_mw.risk.base import Finding, RiskContext
from guardrail_mw.risk.settings import ScorerSettings
from guardrail_mw.values import Facts, Subject

if TYPE_CHECKING:
    from guardrail_mw.engine.past import Past
    from guardrail_mw.policy import Policy
    from guardrail_mw.risk.base import Family

__all__ = ["RECOMPUTED", "Keyed", "Recorded", "ReplayClock", "Subjects", "remembering"]

RECOMPUTED: Final = frozenset({"velocity", "cluster"})
"""Scorers that need nothing of a request but what its event holds."""
_KEPT: Final = 50_000
_NONE: Final[Mapping[str, Sequence[Finding]]] = {}


class ReplayClock:
    """A clock that is set, and never goes back."""

    __slots__ = ("_now", "_start")

    def __init__(self) -> None:
        self._now = self._start = 0

    def set(self, now: int) -> None:
        """Let it be `now`, µs since the epoch; the first time says when it all began."""
        self._start = self._start or now
        self._now = max(self._now, now)

    def now(self) -> int:
        """µs since the epoch."""
        return self._now

    def monotonic(self) -> int:
        """µs since it was first set."""
        return self._now - self._start


class Recorded(Facts):
    """A request of which only what scorers found is left."""

    __slots__ = ("findings",)

    def __init__(self, past: Past) -> None:
        super().__init__(past.method, "", [], kind="websocket" if past.turn else "http")
        self.findings = _found(past) if past.findings else _NONE


class _Remembers:
    """Stands for a scorer that would have to see the request: says what it said then."""

    def __init__(self, name: str) -> None:
        self._name = name

    def score(self, context: RiskContext, /) -> Sequence[Finding]:
        """What was recorded."""
        facts = context.facts
        return facts.findings.get(self._name, ()) if isinstance(facts, Recorded) else ()


class Keyed(Models):
    """Events name models by their keys, not as clients wrote them."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy.models)
        self._keys = frozenset(policy.models)

    def key(self, name: str) -> str:
        """The key itself."""
        return name if name in self._keys else "other"


class Subjects:
    """In the resolver's place: whom events are attributed to, made once for as long as they come often."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Subject] = {}

    def find(self, who: tuple[Any, ...]) -> Subject:
        """The subject of an event."""
        found = self._known.get(who)
        if found is None:
            if len(self._known) >= _KEPT:
                self._known.clear()
            account, candidate, network, organisation, device, kind, tier, acr, ial, authenticated, verified, source = who
            found = self._known[who] = Subject(
                account=account,
                candidate=candidate,
                network=network,
                organisation=organisation,
                device=device,
                device_kind=kind,
                tier=tier,
                acr=acr,
                ial=ial,
                authenticated=authenticated and account == candidate,
                verified=verified,
                source=source,
            )
        return found

    def forget(self) -> None:
        """Let go of all."""
        self._known.clear()


def remembering(policy: Policy) -> Policy:
    """The policy, with scorers that would need the request put in place of by what they said then."""
    scorers = [
        item
        if item.use in RECOMPUTED
        else ScorerSettings.holding(_Remembers(item.label), name=item.label, weight=item.weight, shadow=item.shadow)
        for item in policy.risk.scorers
    ]
    return policy.model_copy(update={"risk": policy.risk.model_copy(update={"scorers": scorers})})


def _found(past: Past) -> Mapping[str, Sequence[Finding]]:
    """What was found, by scorer."""
    findings: dict[str, list[Finding]] = {}
    for scorer, family, score, reason, _ in past.findings:
        findings.setdefault(scorer, []).append(Finding(cast("Family", family), cast("int", score), reason))
    return findings
