"""What was decided then, and what would be decided now: counted by rule, by account and over time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guardrail_mw.friction.rung import SEVERITY

if TYPE_CHECKING:
    from guardrail_mw.engine.past import Past
    from guardrail_mw.engine.replaying import Ruling
    from guardrail_mw.policy import Policy

__all__ = ["BINS", "MOST", "SPANS", "Comparison", "Line", "Span", "Touched"]

SPANS: Final = 60
"""Parts that the time is divided into."""
BINS: Final = 20
"""Parts that the risk is divided into, 5 points each."""
MOST: Final = 10
"""Accounts that are named."""
_MILLION: Final = 1_000_000
REFUSING: Final = frozenset({"deny", "challenge", "verify"})


@dataclass(slots=True)
class Span:
    """A part of the time."""

    requests: int = 0
    refused: list[int] = field(default_factory=lambda: [0, 0])
    """Then and now."""
    slowed: list[int] = field(default_factory=lambda: [0, 0])
    """Delayed or trimmed, then and now."""


@dataclass(slots=True)
class _Rule:
    before: int = 0
    after: int = 0
    more: int = 0
    fewer: int = 0
    shadow_before: int = 0
    shadow_after: int = 0
    accounts_before: set[int] = field(default_factory=set)
    accounts: set[int] = field(default_factory=set)


class Line(NamedTuple):
    """One rule, in figures."""

    kind: str
    """limit, rung, scorer, or other."""
    name: str
    does: str
    """Words of the policy: what the limit allows, where the rung begins; empty where the policy has no such rule."""
    before: int
    """Requests that it touched as they were recorded. A scorer's are those that a rung touched and it had found something in."""
    after: int
    """Requests that it would touch."""
    more: int
    """Of those after, requests with which less was done then."""
    fewer: int
    """Of those before, requests with which less would be done."""
    per_million: float
    """`more`, in a million of all requests."""
    shadow_before: int
    """Requests that it would have touched were it not in shadow or still rolling out."""
    shadow_after: int
    accounts: int
    """Accounts that it would touch."""
    new_accounts: int
    """Of those, accounts to which nothing at all was done then."""
    established: int
    """Of the new, those that had been known for 30 days; a floor: what is older than the events may not be known."""


class Touched(NamedTuple):
    """An account, or a network that paid for those without one, and what would be done to it."""

    account: str
    """Its digest, as events have it."""
    requests: int
    """That would be touched."""
    before: int
    """That were, as they were recorded."""
    rules: tuple[tuple[str, int], ...]
    """Names of the limits and rungs, and how often each; the one that acts most first."""


class Comparison:
    """Counts decisions as they come.

    Args:
        policy: the new one.
        first: µs of the earliest event.
        last: of the latest.
        warm: µs since `first` in which counters fill and nothing is counted.
    """

    def __init__(self, policy: Policy, *, first: int, last: int, warm: int = 0) -> None:
        self.policy = policy
        self.start = first + warm
        self.end = max(last, self.start)
        self.requests = 0
        """Compared."""
        self.warming = 0
        """Left out, because they came while counters filled."""
        self.undecided: dict[str, int] = {}
        """Left out, because no policy had a say, by code."""
        self.same = 0
        """Requests with which the same would be done, by the same rule."""
        self.moved: dict[tuple[str, str], int] = {}
        """Action then and now, and how many requests."""
        self.spans = [Span() for _ in range(SPANS)]
        self.risks = ([0] * BINS, [0] * BINS)
        """Requests by risk, then and now; without those at 0."""
        self._rules: dict[tuple[str, str], _Rule] = {}
        self._accounts: set[int] = set()
        self._networks: set[int] = set()
        """Those among them that are networks, which paid for callers without an account."""
        self._whom: dict[str, dict[str, int]] = {}
        """Whom something would be done to: how often, by the rule's name."""
        self._whom_before: dict[str, int] = {}
        self._touched: tuple[set[int], set[int]] = (set(), set())
        self._established: set[int] = set()

    def add(self, past: Past, ruling: Ruling | None) -> None:
        """Count one request."""
        if past.at < self.start:
            self.warming += 1
            return
        if ruling is None:
            self.undecided[past.undecided] = self.undecided.get(past.undecided, 0) + 1
            return
        self.requests += 1
        account = hash(past.payer)
        self._accounts.add(account)
        if past.payer.startswith("n:"):
            self._networks.add(account)
        then, now = past.decided, ruling.decided
        span = self.spans[min((past.at - self.start) * SPANS // (self.end - self.start + 1), SPANS - 1)]
        span.requests += 1
        if then == now:
            self.same += 1
        if past.effective >= 1:
            self.risks[0][min(int(past.effective * BINS / 100), BINS - 1)] += 1
        if ruling.effective >= 1:
            self.risks[1][min(int(ruling.effective * BINS / 100), BINS - 1)] += 1
        for kind, name in past.shadowed:
            self._rule(kind, name).shadow_before += 1
        for kind, name in ruling.shadowed:
            self._rule(kind, name).shadow_after += 1
        if then[1] or now.kind:
            self._touches(past, ruling, span, account)

    def _touches(self, past: Past, ruling: Ruling, span: Span, account: int) -> None:
        (action, kind, name), now = past.decided, ruling.decided
        self.moved[action, now.action] = self.moved.get((action, now.action), 0) + 1
        gain = SEVERITY[now.action] - SEVERITY[action]
        if kind:
            (span.refused if action in REFUSING else span.slowed)[0] += 1
            self._touched[0].add(account)
            self._whom_before[past.payer] = self._whom_before.get(past.payer, 0) + 1
            for rule in self._involved(kind, name, [each[0] for each in past.findings if each[2] and not each[4]]):
                rule.before += 1
                rule.fewer += gain < 0
                rule.accounts_before.add(account)
        if now.kind:
            (span.refused if now.action in REFUSING else span.slowed)[1] += 1
            self._touched[1].add(account)
            rules = self._whom.setdefault(past.payer, {})
            rules[now.rule] = rules.get(now.rule, 0) + 1
            if ruling.established:
                self._established.add(account)
            for rule in self._involved(now.kind, now.rule, ruling.scorers):
                rule.after += 1
                rule.more += gain > 0
                rule.accounts.add(account)

    def _involved(self, kind: str, name: str, scorers: Any) -> list[_Rule]:
        """The rule that acted; and where that was a rung, the scorers that had found something."""
        rules = [self._rule(kind, name)]
        if kind == "rung":
            rules += [self._rule("scorer", scorer) for scorer in dict.fromkeys(scorers)]
        return rules

    def _rule(self, kind: str, name: str) -> _Rule:
        found = self._rules.get((kind, name))
        if found is None:
            found = self._rules[kind, name] = _Rule()
        return found

    # What came out

    def lines(self) -> list[Line]:
        """Every rule of the policy, in its order, then those that only the events know."""
        does = dict(_does(self.policy))
        keys = [*does, *sorted(self._rules.keys() - does.keys())]
        return [self._line(key, does.get(key, ""), self._rules.get(key) or _Rule()) for key in keys]

    def _line(self, key: tuple[str, str], does: str, rule: _Rule) -> Line:
        new = rule.accounts - self._touched[0]
        return Line(
            *key,
            does,
            rule.before,
            rule.after,
            rule.more,
            rule.fewer,
            self.per_million(rule.more),
            rule.shadow_before,
            rule.shadow_after,
            len(rule.accounts),
            len(new),
            len(new & self._established),
        )

    def per_million(self, requests: int) -> float:
        """In a million of all that were compared."""
        return round(requests * _MILLION / self.requests, 1) if self.requests else 0.0

    def most(self) -> list[Touched]:
        """The accounts to which most would be done, and what; those to which nothing was done then come first."""
        found = [
            Touched(
                account,
                sum(rules.values()),
                self._whom_before.get(account, 0),
                tuple(sorted(rules.items(), key=lambda each: (-each[1], each[0]))),
            )
            for account, rules in self._whom.items()
        ]
        return nsmallest(MOST, found, key=lambda each: (each.before > 0, -each.requests, each.account))

    @property
    def totals(self) -> Mapping[str, int]:
        """Requests and accounts, all rules together."""
        moved = self.moved.items()
        gains = [(SEVERITY[now] - SEVERITY[then], now, times) for (then, now), times in moved]
        new = self._touched[1] - self._touched[0]
        return {
            "requests": self.requests,
            "same": self.same,
            "touched_before": sum(times for (then, _), times in moved if then != "allow"),
            "touched_after": sum(times for (_, now), times in moved if now != "allow"),
            "newly_refused": sum(times for (then, now), times in moved if now in REFUSING and then not in REFUSING),
            "newly_slowed": sum(times for gain, now, times in gains if gain > 0 and now not in REFUSING),
            "milder": sum(times for gain, _, times in gains if gain < 0),
            "accounts": len(self._accounts),
            "networks": len(self._networks),
            "accounts_touched_before": len(self._touched[0]),
            "accounts_touched_after": len(self._touched[1]),
            "accounts_newly_touched": len(new),
            "established_newly_touched": len(new & self._established),
            "accounts_no_longer_touched": len(self._touched[0] - self._touched[1]),
        }

    def written(self) -> dict[str, Any]:
        """All of it, to be written as JSON."""
        return {
            "from": self.start,
            "to": self.end,
            "totals": dict(self.totals),
            "left_out": {"warming": self.warming, **self.undecided},
            "moved": [{"then": then, "now": now, "requests": times} for (then, now), times in sorted(self.moved.items())],
            "rules": [line._asdict() for line in self.lines()],
            "most_touched": [{**each._asdict(), "rules": dict(each.rules)} for each in self.most()],
            "spans": [{"requests": span.requests, "refused": span.refused, "slowed": span.slowed} for span in self.spans],
            "risks": {"then": self.risks[0], "now": self.risks[1]},
        }


def _does(policy: Policy) -> Iterator[tuple[tuple[str, str], str]]:
    """The policy's rules, each in a few words."""
    for limit in policy.limits:
        whose = ", ".join(limit.per) or "everyone"
        yield ("limit", limit.name), f"{limit.figure} {limit.unit} per {whose}{', shadow' if limit.shadow else ''}"
    for rung in policy.friction.ladder:
        yield ("rung", rung.label), f"{rung.do} from {rung.at}{', shadow' if rung.shadow else ''}"
    for scorer in policy.risk.scorers:
        yield ("scorer", scorer.label), f"{scorer.use}{', shadow' if scorer.shadow else ''}"
