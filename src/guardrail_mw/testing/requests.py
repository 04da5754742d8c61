"""Requests and what surrounds them, made up for tests of scorers and policies: say what matters, the rest is ordinary.

from guardrail_mw.testing.requests import context, request

facts = request(headers={"User-Agent": "curl/8.5.0"}, model="large-1", input=2000)
looked_at = context(facts, counts={"devices-per-account": 12}, standing={"verdict": "watched"})
assert not MyScorer(settings, scope()).score(looked_at)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final, Literal, TypeAlias

from guardrail_mw.clock import Clock
from guardrail_mw.risk.base import Count, Family, RiskContext, Scope, Velocity
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.values import Estimate, Facts, Observer, Standing, Subject

__all__ = ["ORDINARY", "Recorder", "context", "request", "scope", "subject", "velocity"]

HeadersGiven: TypeAlias = Mapping[str, str | bytes] | Iterable[tuple[str | bytes, str | bytes]]

ORDINARY: Final[Mapping[str, str]] = {
    "Host": "api.example",
    "User-Agent": "OpenAI/Python 1.109.1",
    "Accept": "application/json",
    "Content-Type": "application/json",
}
"""The headers of a request that says nothing about them: an SDK's."""

_NOW: Final = 1_767_225_600_000_000


class Recorder:
    """An observer that remembers: `events` has how often each happened."""

    def __init__(self) -> None:
        self.events: dict[str, int] = {}

    def count(self, event: str, by: int = 1) -> None:
        """Remember it."""
        self.events[event] = self.events.get(event, 0) + by


def request(
    method: str = "POST",
    path: str = "/v1/chat/completions",
    headers: HeadersGiven = ORDINARY,
    *,
    peer: str = "192.0.2.1",
    kind: Literal["http", "websocket"] = "http",
    read: bool = True,
    **estimate: Any,
) -> Facts:
    """What the edge would have read.

    Args:
        method: in capitals.
        path: less the root path.
        headers: a mapping, or pairs where order or doubles matter; names are lower-cased, as servers do.
        peer: the peer's address.
        kind: http, or websocket.
        read: whether the body was read, as it is where a rule needs it.
        estimate: fields of `Estimate`: model, input, output, stream, items, most.

    Raises:
        TypeError: `estimate` for a body that was not read, or with a field that an `Estimate` has not.
    """
    if estimate and not read:
        raise TypeError(f"a body that was not read tells nothing: leave out {', '.join(sorted(estimate))}, or read=False")
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    raw = [(_bytes(name).lower(), _bytes(value)) for name, value in pairs]
    given: dict[str, Any] = {"model": "large-1", "input": 100, "output": 1024, **estimate}
    body = Estimate(**given) if read else None
    return Facts(method, path, raw, peer=peer, kind=kind, body=body)


def subject(name: str = "ada", *, network: str = "office", authenticated: bool = True, **more: Any) -> Subject:
    """Whom a request is attributed to. Names become homes, as digests of fixed length; `more` is any field of `Subject`."""
    account = _home("a", name) if authenticated else _home("n", network)
    given: dict[str, Any] = {
        "account": account,
        "candidate": account if authenticated else "",
        "network": _home("n", network),
        **more,
    }
    return Subject(authenticated=authenticated, **given)


def context(
    facts: Facts | None = None,
    *,
    who: Subject | None = None,
    counts: Mapping[str, int | Count] | None = None,
    standing: Mapping[str, str] | None = None,
    now: int = _NOW,
    route: str = "/v1/**",
    model: str = "large",
) -> RiskContext:
    """What a scorer looks at.

    Args:
        facts: an ordinary request unless given.
        who: an authenticated account unless given.
        counts: by velocity rule; a plain number is exact.
        standing: the fields of the account's standing: verdict, since, label.*.
        now: the store's µs; 2026-01-01T00:00:00Z unless given.
        route: the route's label.
        model: a key of the policy's `models`, or `other`.
    """
    who = who if who is not None else subject()
    return RiskContext(
        facts if facts is not None else request(),
        who,
        Standing(now, dict(standing)) if standing else Standing(),
        {name: count if isinstance(count, Count) else Count(count) for name, count in (counts or {}).items()},
        now,
        authenticated=who.authenticated,
        route=route,
        model=model,
    )


def velocity(name: str, family: Family = "volume", hours: float = 24) -> Velocity:
    """A velocity rule, as scorers see it."""
    return Velocity(name, family, round(hours * 3_600_000_000))


def scope(
    name: str = "scorer",
    rules: Iterable[Velocity] = (),
    *,
    clock: Clock | None = None,
    observer: Observer | None = None,
) -> Scope:
    """What a scorer is built with besides its settings."""
    by_name = {rule.name: rule for rule in rules}
    return Scope(
        name, by_name, clock if clock is not None else FakeClock(), observer if observer is not None else Recorder()
    )


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def _home(letter: str, name: str) -> str:
    return f"{letter}:{sha256(name.encode()).hexdigest()[:22]}"
