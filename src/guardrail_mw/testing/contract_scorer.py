# ruff: noqa: D102, S101 - tests: a name says what it shows, assert is how they speak
"""The contract of `guardrail_mw.risk.base.Scorer`, as a suite that any scorer can be held to. Needs pytest and anyio.

A scorer's whole test:

    from guardrail_mw.testing.contract_scorer import ScorerContract
    from guardrail_mw.testing.requests import scope

    class TestNightOwl(ScorerContract):
        @pytest.fixture
        def scorer(self):
            return NightOwl(NightOwl.Settings(), scope())

It is shown what clients may send and stores may remember, the worst of it too. What it finds there is its own affair; that it
says it in order, in time and about nobody by name is not. `contexts` gives what it is shown, for tests of one's own.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, ClassVar, Final

import pytest

from guardrail_mw.risk.base import Count, Finding, RiskContext, Scorer
from guardrail_mw.risk.findings import MOST, sound
from guardrail_mw.testing.requests import ORDINARY, context, request, subject

__all__ = ["CANARY", "ScorerContract", "contexts", "found", "reference"]

CANARY: Final = "c4n4ry"
"""Stands in whatever a client or an identity provider chose, and may stand in no finding."""
ROUNDS: Final = 20

_NASTY: Final = f"{CANARY}\x00\r\nx-forged: 1\x1b[2K\u202e".encode()
_KEY: Final = (b"authorization", f"Bearer sk-{CANARY}".encode())


def contexts(rules: Sequence[str] = (), salt: int = 0) -> dict[str, RiskContext]:
    """What a scorer may be shown, by name: made anew, and equal for equal arguments.

    Args:
        rules: velocity rules that have counted something.
        salt: two with different salts differ in their user agent, so that nothing remembered of one serves the other.
    """
    agent = (b"user-agent", f"{CANARY}/{salt}".encode())
    ordinary = [*((name.encode().lower(), value.encode()) for name, value in ORDINARY.items()), agent, _KEY]
    return {
        **_requests(ordinary, agent, salt),
        **_subjects(ordinary),
        **_memories(ordinary, rules),
    }


def _requests(ordinary: Any, agent: tuple[bytes, bytes], salt: int) -> dict[str, RiskContext]:
    long = f"{salt}{CANARY}".encode() * 1200
    return {
        "ordinary": context(request(headers=ordinary)),
        "no headers": context(request(headers=())),
        "empty values": context(request(headers=[(name, b"") for name, _ in ordinary])),
        "every header twice": context(request(headers=[*ordinary, *ordinary])),
        "invalid utf-8": context(request(headers=[agent, *((name, b"\xff\xfe\xc3(" + long[:50]) for name, _ in ordinary)])),
        "control characters": context(request(path=f"/{CANARY}\r\n", headers=[(name, _NASTY) for name, _ in ordinary])),
        "8 KB values": context(request(headers=[(name, long[:8192]) for name, _ in ordinary])),
        "8 KB of brackets": context(request(headers=[(name, b"(" * 8192 + long[:8]) for name, _ in ordinary])),
        "400 headers": context(request(headers=[agent, *((f"x-{CANARY}-{n}".encode(), b"1") for n in range(400))])),
        "odd path": context(request(path=f"/v1/../%2e%2e//{CANARY}\u202e\ud800?" + "a/" * 2000, headers=ordinary)),
        "odd method": context(request(f"{CANARY}\u00e9", headers=ordinary)),
        "websocket": context(request("GET", headers=ordinary, kind="websocket", read=False)),
        "body not read": context(request(headers=ordinary, read=False)),
        "giant body": context(
            request(headers=ordinary, model=CANARY * 1000, input=2**53, output=2**53, most=2**53, items=10**6)
        ),
        "empty body": context(request(headers=ordinary, model="", input=0, output=0, items=0)),
    }


def _subjects(ordinary: Any) -> dict[str, RiskContext]:
    claims: dict[str, Any] = {
        "organisation_name": CANARY,
        "tier": CANARY,
        "acr": CANARY,
        "ial": CANARY,
        "payment": f"p:{CANARY}",
    }
    return {
        "anonymous": context(request(headers=ordinary, peer="unix"), who=subject(authenticated=False)),
        "odd claims": context(request(headers=ordinary), who=subject(CANARY, **claims)),
        "no route, no model": context(request(headers=ordinary), route="", model="other"),
    }


def _memories(ordinary: Any, rules: Sequence[str]) -> dict[str, RiskContext]:
    facts = request(headers=ordinary)
    odd = {"verdict": CANARY, "since": CANARY, f"label.{CANARY}": CANARY, "heat": "-1", "families": f",{CANARY},"}
    names = [*rules, f"no-such-{CANARY}"]
    return {
        "nothing counted": context(facts, counts=dict.fromkeys(names, 0)),
        "much counted": context(facts, counts=dict.fromkeys(names, 2**53)),
        "at least so much counted": context(facts, counts=dict.fromkeys(names, Count(64, floor=True))),
        "odd standing": context(facts, standing=odd),
        "suspect": context(facts, standing={"verdict": "suspect", "since": "1767225600000000"}),
        "the beginning of time": context(facts, now=0),
        "the end of time": context(facts, now=2**53),
    }


async def found(scorer: Scorer, looked_at: RiskContext) -> list[Finding]:
    """What a scorer finds, whichever way it answers."""
    answer: Any = scorer.score(looked_at)
    if hasattr(answer, "__await__"):
        answer = await answer
    return list(islice(answer, MOST + 1))


def reference() -> dict[bytes, bytes]:
    """What scorers' time is compared with: the headers of a browser put into a dict, in plain Python. Some 7 µs."""
    headers = {}
    for number in range(24):
        name, _, value = f"X-Header-{number}: {number}".encode().partition(b": ")
        headers[name.lower()] = value.strip()
    return headers


_NAMES: Final = list(contexts())


class ScorerContract:
    """Subclass it and give it a fixture `scorer`, as it is before the first request."""

    pytestmark = pytest.mark.anyio

    rules: ClassVar[tuple[str, ...]] = ()
    """Names of velocity rules that the scorer looks at: it is shown counts of theirs."""
    ordinary: ClassVar[float] = 20
    """CPU time of an ordinary request that came before, in times of `reference`: the default is some 140 µs."""
    worst: ClassVar[float] = 200
    """CPU time of any request that never came before, likewise: some 1.4 ms."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        """The tests run on asyncio."""
        return "asyncio"

    @pytest.fixture
    def scorer(self) -> Scorer:
        """The scorer to be held to the contract."""
        raise NotImplementedError("give the subclass a fixture `scorer` that returns one fresh scorer")

    @pytest.mark.parametrize("name", _NAMES)
    async def test_what_it_says_are_findings(self, scorer: Scorer, name: str) -> None:
        said = await found(scorer, contexts(self.rules)[name])
        assert len(said) <= MOST, "what comes after is not read"
        for each in said:
            assert sound(each) == (each, True), "not a finding: family, whole score 0-100, reason as a code, plain figures"

    @pytest.mark.parametrize("name", _NAMES)
    async def test_it_says_the_same_of_the_same(self, scorer: Scorer, name: str) -> None:
        first = await found(scorer, contexts(self.rules)[name])
        for other in contexts(self.rules, salt=1).values():
            await found(scorer, other)
        assert await found(scorer, contexts(self.rules)[name]) == first

    @pytest.mark.parametrize("name", _NAMES)
    async def test_it_changes_nothing(self, scorer: Scorer, name: str) -> None:
        looked_at = contexts(self.rules)[name]
        await found(scorer, looked_at)
        after, before = _inside(looked_at), _inside(contexts(self.rules)[name])
        assert [part for part in before if after[part] != before[part]] == [], "it changed what it was shown"

    @pytest.mark.parametrize("name", _NAMES)
    async def test_it_quotes_nobody(self, scorer: Scorer, name: str) -> None:
        said = await found(scorer, contexts(self.rules)[name])
        assert [each for each in said if CANARY in repr(each).lower()] == [], "findings end in events and logs"

    async def test_an_ordinary_request_costs_little(self, scorer: Scorer) -> None:
        looked_at = contexts(self.rules)["ordinary"]
        await found(scorer, looked_at)
        taken = await _fastest(scorer, [looked_at] * ROUNDS)
        assert taken <= self.ordinary, f"{taken:.1f} times the reference, which may be {self.ordinary:g} times"

    @pytest.mark.parametrize("name", _NAMES)
    async def test_no_request_costs_much(self, scorer: Scorer, name: str) -> None:
        await found(scorer, contexts(self.rules)["ordinary"])
        taken = await _fastest(scorer, [contexts(self.rules, salt)[name] for salt in range(2, ROUNDS + 2)])
        assert taken <= self.worst, f"{taken:.1f} times the reference, which may be {self.worst:g} times"


async def _fastest(scorer: Scorer, shown: Iterable[RiskContext]) -> float:
    """The least CPU time of all, in times of the reference's least: what else the machine does has no part in it."""
    mine, other = [], []
    for looked_at in shown:
        start = time.thread_time_ns()
        reference()
        between = time.thread_time_ns()
        await found(scorer, looked_at)
        mine.append(time.thread_time_ns() - between)
        other.append(between - start)
    return min(mine) / max(min(other), 1)


def _inside(value: Any) -> Any:
    """All that a context holds, deep down."""
    slots = getattr(type(value), "__slots__", None)
    if slots and not isinstance(value, tuple):
        return {name: _inside(getattr(value, name, None)) for name in slots}
    if isinstance(value, list):
        return [*value]
    return dict(value) if isinstance(value, dict) else value
