"""Words that others hold on to: loggers, methods, codes, what a limit prints as."""

from __future__ import annotations

import logging

import pytest

from guardrail_mw.engine import core, desk
from guardrail_mw.engine.accounts import MisuseError, home_of
from guardrail_mw.engine.exchange import Limited
from guardrail_mw.engine.explaining import explain
from guardrail_mw.engine.keeper import SWITCHES_EVERY
from guardrail_mw.engine.past import past
from guardrail_mw.engine.peeking import _example
from guardrail_mw.engine.replaying import Replay
from guardrail_mw.engine.routes import OTHER, Router
from guardrail_mw.policy import load
from guardrail_mw.stores.base import Change
from guardrail_mw.values import Facts

from ..asgi.kit import Guarded, Upstream, policy  # noqa: TID252 - the kit of the pipeline's tests
from ..telemetry.kit import denied, event  # noqa: TID252 - the kit of events
from .kit import VERIFIES, shown

pytestmark = pytest.mark.anyio


def test_loggers() -> None:
    assert core.logger is logging.getLogger("guardrail_mw")
    assert desk.logger is logging.getLogger("guardrail_mw.operators")


def test_switches_are_obeyed_within_a_second() -> None:
    assert 0 < SWITCHES_EVERY <= 0.5


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_methods_that_everybody_knows(method: str) -> None:
    router = Router(load({"version": 1}), lambda _: False)
    assert router.find("/x", method).method == method
    assert router.find("/x", method + "X").method == OTHER


@pytest.mark.parametrize(
    ("path", "same"),
    [
        ("/v1\\chat", True),
        ("/v1/./chat", True),
        ("//v1//chat", True),
        ("/v1/x/../chat", True),
        ("/v1%2fchat", True),
        ("/v1-chat", False),
    ],
)
def test_a_path_is_read_as_an_app_would_that_tidies_it_up(path: str, same: bool) -> None:
    document = {
        "version": 1,
        "routes": [{"path": "/v1/chat"}],
        "limits": [{"name": "a", "per": ["account"], "rate": "9/minute"}],
    }
    found = Router(load(document), lambda _: False).find(path, "POST")
    assert ("/v1/chat" in found.names) is same


@pytest.mark.parametrize(
    ("code", "action", "words"),
    [("challenge_required", "challenge", "challenged"), ("verification_required", "verify", "")],
)
def test_what_a_rung_asked_for(code: str, action: str, words: str) -> None:
    told = denied(
        code=code, decision=action, status=403, refusal=None, limits=[], rung="prove", rung_at=50.0, why=[], findings=[]
    )
    assert past(told).decided == (action, "rung", "prove")
    assert words in explain(told)[3]


def test_a_limit_as_it_prints() -> None:
    assert repr(Limited("tokens", "tokens", 7, 1_500_000)) == "<tokens: 7 tokens left, whole in 1.5 s>"
    assert repr(Limited("a", "requests", 0, 999_999_000_000)) == "<a: 0 requests left, whole in 999999 s>"


def test_what_holds_against_an_account() -> None:
    fields = {"override": "deny 0", "override.why": "seen", "verdict": "suspect", "families": "volume", "heat": "1"}
    assert desk._against(fields).keys() >= {"override", "override.why", "verdict"}
    assert desk._against({**fields, "override": "allow 0", "verdict": "none"}) == {}
    assert desk._against({"families": "volume", "override.why": "seen"}) == {}
    assert "override" not in desk._against({**fields, "override": "allow 0"})
    assert "verdict" not in desk._against({**fields, "verdict": "none"})


def test_what_is_near_a_name() -> None:
    assert desk._near("requsts", ["requests", "tokens"]) == "Did you mean `requests`?"
    assert desk._near("zzz", ["requests", "tokens"]) == "There are requests, tokens."
    assert desk._near("zzz", []) == "There is none."


def test_examples_of_globs() -> None:
    assert [_example(glob) for glob in ("/v1/**", "/v1/*/chat", "/v1")] == ["/v1/x", "/v1/x/chat", "/v1"]


def test_a_route_that_matches_nothing_is_not_exempt() -> None:
    document = load({"version": 1, "routes": [{"path": "/health", "exempt": True}]})
    replay = Replay(document, mode="enforce", key=b"k" * 32)
    assert replay._find("gone", "GET").exempt is False
    assert replay._find("/health", "GET").exempt is True
    assert replay._find("/health", "POST").exempt is False
    assert replay.shared == 0


@pytest.mark.parametrize("spoiled", [{"scorer": 7}, {"family": 7}, {"reason": 7}, {"score": "7"}, {"score": None}])
def test_a_finding_of_another_kind_is_no_event(spoiled: dict[str, object]) -> None:
    found = {**event()["findings"][0], **spoiled}
    with pytest.raises(ValueError, match=r"^its fields are not of the kinds that an event has$"):
        past(event(findings=[found]))


def test_a_limit_of_another_kind_is_no_event() -> None:
    would = {"decision": "deny", "code": "rate_limited", "limit": 7, "rung": ""}
    with pytest.raises(ValueError, match=r"^its fields are not of the kinds that an event has$"):
        past(event(mode="shadow", would=would))
    with pytest.raises(ValueError, match=r"^its fields are not of the kinds that an event has$"):
        past(event(rung=7))


async def test_an_exchange_that_has_just_begun() -> None:
    guarded = Guarded(Upstream(), policy({"name": "a", "rate": "9/minute"}))
    engine = guarded.guardrail.engine
    exchange = engine.begin(engine.router.find("/v1/x", "POST"), Facts("POST", "/v1/x", []))
    assert (exchange.turn, exchange.authenticated, exchange.readings) == (False, False, ())
    assert engine.judge.trimmer(exchange) is not None


async def test_a_home_as_it_is_known_by_nobody() -> None:
    for wrong in (7, None, "", "a:short", "b:longenoughtobeone", "a:with space in it"):
        with pytest.raises(MisuseError):
            home_of(wrong)
    assert home_of("a:longenoughtobeone") == "a:longenoughtobeone"


def test_limits_have_a_heading() -> None:
    assert "Limits" in explain(event())


async def test_an_event_says_what_the_standing_does() -> None:
    guarded = Guarded(
        Upstream(),
        policy({"name": "a", "rate": "9/minute"}, friction={"ladder": [{"at": 90, "do": "delay"}]}, **VERIFIES),
    )
    await guarded.post("/v1/x")
    await guarded.store.remember(guarded.bills[0].candidate, [Change("set", *each) for each in shown("2", "gold").items()])
    await guarded.post("/v1/x")
    found = guarded.guardrail.recorder.latest(1)[0]
    assert (found["ial"], found["acr"]) == ("2", "gold")


async def test_a_look_by_path_is_that_of_a_post() -> None:
    routes = [{"path": "/v1/**", "methods": ["POST"], "limits": ["a"]}, {"path": "/**", "limits": []}]
    document = {**policy({"name": "a", "rate": "9/minute"}), "routes": routes}
    peeked = await Guarded(Upstream(), document).guardrail.peek("a:longenoughtobeone", "/v1/x")
    assert [held.name for held in peeked.limits] == ["a"]
