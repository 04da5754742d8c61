"""Our scorers are held to the contract, and the contract finds what breaks it."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest

from guardrail_mw.risk.automation import AutomationScorer, AutomationSettings
from guardrail_mw.risk.base import Finding, RiskContext, Scorer
from guardrail_mw.risk.cluster import ClusterScorer, ClusterSettings
from guardrail_mw.risk.velocity import VelocityScorer, VelocitySettings
from guardrail_mw.testing.contract_scorer import CANARY, ScorerContract, contexts, found
from guardrail_mw.testing.requests import scope, velocity

from .kit import Says, finding

pytestmark = pytest.mark.anyio


class TestVelocity(ScorerContract):
    rules = ("devices-per-account", "attempts")
    ordinary = 2

    @pytest.fixture
    def scorer(self) -> Scorer:
        settings = VelocitySettings.model_validate({name: {"from": 5, "full": 20} for name in self.rules})
        return VelocityScorer(settings, scope("velocity", [velocity(name) for name in self.rules]))


class TestCluster(ScorerContract):
    ordinary = 2

    @pytest.fixture
    def scorer(self) -> Scorer:
        return ClusterScorer(ClusterSettings(), scope("cluster"))


class TestAutomation(ScorerContract):
    @pytest.fixture
    def scorer(self) -> Scorer:
        return AutomationScorer(AutomationSettings(), scope("automation"))


class Later:
    """Answers with an awaitable."""

    async def score(self, context: RiskContext, /) -> Iterable[Finding]:
        return [finding()]


class TestAwaitable(ScorerContract):
    @pytest.fixture
    def scorer(self) -> Scorer:
        return Later()


class Quoting:
    def score(self, context: RiskContext, /) -> Iterable[Finding]:
        agent = dict(context.facts.headers).get(b"user-agent", b"").decode("latin-1")
        return [Finding("client", 5, "agent", {"agent": agent})]


class Writing:
    def score(self, context: RiskContext, /) -> Iterable[Finding]:
        context.facts.headers.append((b"x-seen", b"1"))
        return ()


class Remembering:
    def __init__(self) -> None:
        self.calls = 0

    def score(self, context: RiskContext, /) -> Iterable[Finding]:
        self.calls += 1
        return [finding(score=self.calls)]


class Decoding:
    def score(self, context: RiskContext, /) -> Iterable[Finding]:
        return [finding() for _, value in context.facts.headers if value.decode() == "curl"]


class Slow:
    def score(self, context: RiskContext, /) -> Iterable[Finding]:
        return [finding() for each in range(2_000_000) if each < 0]


async def test_what_breaks_it_is_found() -> None:
    contract = ScorerContract()
    with pytest.raises(AssertionError, match="findings end in events and logs"):
        await contract.test_it_quotes_nobody(Quoting(), "ordinary")
    with pytest.raises(AssertionError, match="it changed what it was shown"):
        await contract.test_it_changes_nothing(Writing(), "ordinary")
    with pytest.raises(AssertionError, match="score=1"):
        await contract.test_it_says_the_same_of_the_same(Remembering(), "ordinary")
    with pytest.raises(UnicodeDecodeError):
        await contract.test_what_it_says_are_findings(Decoding(), "invalid utf-8")
    with pytest.raises(AssertionError, match="may be 20 times"):
        await contract.test_an_ordinary_request_costs_little(Slow())
    with pytest.raises(AssertionError, match="may be 200 times"):
        await contract.test_no_request_costs_much(Slow(), "no headers")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ([finding(reason="Because")], AssertionError),
        ([finding(score=101)], AssertionError),
        ([finding()] * 17, AssertionError),
        (["device"], AssertionError),
        (None, TypeError),
    ],
)
async def test_what_is_no_finding_breaks_it(answer: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        await ScorerContract().test_what_it_says_are_findings(Says(lambda: answer), "ordinary")


async def test_contexts_are_what_they_are_called() -> None:
    shown = contexts(["attempts"])
    assert len(dict(shown["8 KB values"].facts.headers)[b"user-agent"]) == 8192
    assert len(shown["400 headers"].facts.headers) == 401
    assert shown["much counted"].counts["attempts"].value == 2**53
    assert not shown["anonymous"].authenticated
    assert shown["body not read"].facts.body is None
    agents = [contexts(salt=salt)["ordinary"].facts.headers for salt in (1, 1, 2)]
    assert agents[0] == agents[1] != agents[2]
    with pytest.raises(UnicodeDecodeError):
        dict(shown["invalid utf-8"].facts.headers)[b"host"].decode()
    assert any(CANARY in str(value) for value in shown["odd standing"].standing.fields.values())


async def test_an_endless_answer_ends() -> None:
    assert len(await found(Says(lambda: iter(random.random, 2)), contexts()["ordinary"])) == 17


def test_without_a_scorer_it_says_what_is_missing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "from guardrail_mw.testing.contract_scorer import ScorerContract\nclass TestMine(ScorerContract): pass"
    )
    result = pytester.runpytest("-k", "ordinary_request")
    result.stdout.fnmatch_lines(["*give the subclass a fixture `scorer`*"])
