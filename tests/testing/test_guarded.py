"""What the fixture `guarded` makes: a policy under test, in as many lines as it needs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guardrail_mw import PolicyError
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.telemetry.event import validate
from guardrail_mw.testing.calls import call, chat, messages
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.guarded import Guarded
from guardrail_mw.testing.servers import Server
from guardrail_mw.testing.upstream import Upstream

Make = Callable[..., Guarded]

POLICY: dict[str, Any] = {
    "version": 1,
    "mode": "enforce",
    "identity": {"sources": [{"use": "api_key", "with": {"headers": ["authorization", "x-api-key"], "trust": "gateway"}}]},
    "routes": [
        {"path": "/health", "exempt": True},
        {"path": "/v1/messages", "dialect": "anthropic"},
        {"path": "/v1/**", "dialect": "openai"},
    ],
    "limits": [
        {"name": "requests", "per": ["account"], "rate": "60/minute", "burst": 3},
        {"name": "tokens", "unit": "tokens", "per": ["account"], "window": "100000/hour"},
    ],
}
JUDGED: dict[str, Any] = {
    **POLICY,
    "limits": [],
    "velocity": [{"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}],
    "risk": {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 0, "full": 10}}}]},
    "friction": {"ladder": [{"at": 50, "do": "delay", "with": {"seconds": 2, "jitter": "10%"}}]},
}
"""The n-th attempt is a risk of 10 n; the rung begins between 45 and 55: with the fifth or the sixth."""

FIVE_LINES = """\
def test_the_fourth_at_once_waits(guarded):
    api = guarded("policy.yaml")
    assert [api.chat().status for _ in range(4)] == [200, 200, 200, 429]
    api.clock.advance(1)
    assert api.chat().status == 200
"""
POLICY_FILE = """\
version: 1
mode: enforce
identity: {sources: [{use: api_key, with: {headers: [authorization], trust: gateway}}]}
routes: [{path: /v1/**, dialect: openai}]
limits: [{name: requests, per: [account], rate: 60/minute, burst: 3}]
"""
OPTIONS = ("-p", "no:guardrail_mw", "-p", "guardrail_mw.testing.plugin", "-p", "no:valkey", "-p", "no:cacheprovider")


@pytest.mark.parametrize(("burst", "outcome"), [(3, {"passed": 1}), (4, {"failed": 1})])
def test_a_policy_test_is_five_lines(pytester: pytest.Pytester, burst: int, outcome: dict[str, int]) -> None:
    """The whole file; and it tells one policy from another."""
    assert len(FIVE_LINES.splitlines()) == 5
    pytester.path.joinpath("policy.yaml").write_text(POLICY_FILE.replace("burst: 3", f"burst: {burst}"))
    pytester.makepyfile(FIVE_LINES)
    pytester.runpytest_inprocess(*OPTIONS).assert_outcomes(**outcome)


def test_what_is_left_and_what_comes_back(guarded: Make) -> None:
    """A prompt of 100 tokens and a cap of 50: 150 are reserved, of which the app says it used 30."""
    api = guarded(POLICY)
    answer = api.chat(100, max_tokens=50)
    assert answer.left == {"requests": 2, "tokens": 100_000 - 150}
    assert {held.name: held.remaining for held in api.peek(answer).limits} == {"requests": 2, "tokens": 100_000 - 30}
    api.clock.advance(1)
    assert {held.name: held.remaining for held in api.peek(answer).limits}["requests"] == 3


@pytest.mark.parametrize(
    ("ask", "stream", "total"),
    [("chat", False, 30), ("chat", True, 30), ("messages", False, 30), ("messages", True, 30), ("embeddings", False, 10)],
)
def test_each_shape_says_what_it_used(guarded: Make, ask: str, stream: bool, total: int) -> None:
    api = guarded(POLICY)
    more: dict[str, Any] = {"stream": True} if stream else {}
    if stream and ask == "chat":
        more["stream_options"] = {"include_usage": True}
    answer = getattr(api, ask)(**more)
    assert (answer.status, answer.decision) == (200, "allow")
    used = answer.event["used"]
    assert used["input"] + used["output"] == total
    assert used["complete"]
    validate(answer.event)


def test_each_dialect_refuses_in_its_own_shape(guarded: Make) -> None:
    api = guarded(POLICY)
    refused = [[api.ask(made) for _ in range(4)][-1] for made in (chat(), messages(key="sk-two"))]
    assert [answer.status for answer in refused] == [429, 429]
    assert (refused[0].json["error"]["limit"], refused[1].json["type"]) == ("requests", "error")
    assert [answer.header("Retry-After") is not None for answer in refused] == [True, True]
    assert [event["status"] for event in api.events] == [200, 200, 200, 429] * 2


def test_who_calls(guarded: Make) -> None:
    """Keys are accounts, a key in either header is one, and without one it is the network."""
    api = guarded(POLICY)
    own = api.chat().event["account"]
    assert api.messages().event["account"] == own
    assert api.chat(key="sk-two").event["account"] not in {own, ""}
    assert api.chat(key=None).event["account"].startswith("n:")
    here, there = (api.chat(key=None, peer=peer).event["network"] for peer in ("192.0.2.1", "203.0.113.9"))
    assert here != there


def test_headers_of_every_call_and_of_one(guarded: Make) -> None:
    """A call's own go before those of every call, and those before an SDK's."""
    api = guarded(POLICY, headers={"Authorization": "Bearer sk-two", "X-Team": "vision"}, peer="203.0.113.9")
    api.chat()
    api.chat(headers={"authorization": "Bearer sk-three", "User-Agent": "curl/8.5.0"})
    every, one = (reached.headers for reached in api.app.reached)
    assert (every["authorization"], every["x-team"]) == ("Bearer sk-two", "vision")
    assert (one["authorization"], one["x-team"], one["user-agent"]) == ("Bearer sk-three", "vision", "curl/8.5.0")
    assert api.events[0]["network"] != guarded(POLICY).chat().event["network"]


def test_a_rung_waits_on_the_clock(guarded: Make) -> None:
    api = guarded(JUDGED)
    answers = [api.chat() for _ in range(8)]
    assert [answer.waited for answer in answers[:4]] == [0] * 4
    assert [answer.waited for answer in answers[6:]] == pytest.approx([2, 2], abs=0.2)
    assert (answers[-1].decision, answers[-1].event["rung"], answers[-1].event["risk"]) == ("delay", "delay", 80)
    assert api.peek(answers[-1]).rung == "delay"


def test_thresholds_are_the_same_in_every_test(guarded: Make) -> None:
    """And others under another key."""
    environs: list[dict[str, str]] = [{}, {}, {"GUARDRAIL_ID_KEY": "another key, as long as keys have to be"}]
    mine, again, other = [
        guarded(JUDGED, environ=environ).together(*[chat()] * 7)[-1].event["rung_at"] for environ in environs
    ]
    assert mine == again != other
    assert all(45 <= threshold <= 55 for threshold in (mine, other))


def test_several_at_once(guarded: Make) -> None:
    """One slot; the second is refused while the first is held."""
    api = guarded({**POLICY, "limits": [{"name": "slots", "per": ["account"], "concurrency": 1}]})
    first, second, other = api.together(chat(), chat(), chat(key="sk-two"))
    assert (first.status, second.status, other.status) == (200, 429, 200)
    assert api.chat().status == 200


@pytest.mark.anyio
async def test_it_may_be_called_where_a_loop_runs(guarded: Make) -> None:
    assert guarded(POLICY).chat().status == 200


def test_another_mode(guarded: Make) -> None:
    shadow = guarded(POLICY, environ={"GUARDRAIL_MODE": "shadow"})
    assert [shadow.chat().status for _ in range(4)] == [200] * 4
    assert shadow.events[-1]["would"]["limit"] == "requests"
    assert guarded(POLICY, environ={"GUARDRAIL_MODE": "off"}).chat().recorded is None


def test_where_nothing_is_decided_nothing_is_told(guarded: Make) -> None:
    answer = guarded(POLICY).get("/health")
    assert (answer.status, answer.json, answer.recorded) == (200, {}, None)
    with pytest.raises(LookupError, match="exempt"):
        _ = answer.decision


def test_an_app_of_ones_own_and_what_it_raises(guarded: Make) -> None:
    api = guarded(POLICY, Upstream(fails=RuntimeError("out of memory")))
    with pytest.raises(RuntimeError, match="out of memory"):
        api.chat()
    api.app.fails, api.app.status = None, 503
    assert api.chat().status == 503
    assert [event["outcome"] for event in api.events] == ["failed", "failed"]
    assert api.chat().left["requests"] == 2  # neither of them cost anything


def test_what_reaches_the_app(guarded: Make) -> None:
    api = guarded(POLICY)
    api.ask(call("PUT", "/v1/files/7?part=2", b"\x00", headers={"content-type": "application/octet-stream"}))
    api.chat("What is a heron?", n=2)
    put, posted = api.app.reached
    assert (put.method, put.path, put.body) == ("PUT", "/v1/files/7", b"\x00")
    assert posted.json == {"model": "large-1", "messages": [{"role": "user", "content": "What is a heron?"}], "n": 2}


def test_nothing_of_the_policys_surroundings_is_touched(
    guarded: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file is written, no port opened, no server asked, nothing read from the machine's environment."""
    monkeypatch.setenv("GUARDRAIL_MODE", "off")
    monkeypatch.setenv("GUARDRAIL_STORE", "redis://192.0.2.9:1")
    around = {"events": [{"use": "jsonl", "with": {"path": str(tmp_path / "events.jsonl")}}]}
    console = {"token": "Xb2-operators-token-for-this-test-0q9"}
    url = {"url": "redis://192.0.2.9:1"}
    api = guarded({**POLICY, "store": url, "telemetry": around, "console": console})
    assert [api.chat().status for _ in range(4)] == [200, 200, 200, 429]
    assert isinstance(api.guardrail.store, MemoryStore)
    assert api.guardrail.policy.console is None
    api.close()
    assert list(tmp_path.iterdir()) == []


def test_what_was_counted(guarded: Make) -> None:
    api = guarded(POLICY)
    api.chat(headers={"x-guardrail-decision": "mine"})
    assert "x-guardrail-decision" not in api.app.reached[0].headers
    assert set(api.counts) <= set(listed())


def listed() -> list[str]:
    """docs/reference/counts.md."""
    page = (Path(__file__).parents[2] / "docs/reference/counts.md").read_text()
    return re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)


def test_a_bad_policy(guarded: Make) -> None:
    with pytest.raises(PolicyError, match="limitz"):
        guarded({"version": 1, "limitz": []})


def test_the_operators_token_is_not_asked_for(guarded: Make) -> None:
    """The port is left out, so its secret need not be there. Whatever else is missing is said with the cure."""
    assert guarded({**POLICY, "console": {"token": "${GUARDRAIL_OPERATOR_TOKEN}"}}).chat().status == 200
    with pytest.raises(PolicyError) as caught:
        guarded({**POLICY, "reserve": {"output": "${OUTPUT}"}, "mode": "no"})
    assert [problem.hint for problem in caught.value.problems] == ["", "In a test: guarded(…, environ={'OUTPUT': …})."]
    assert guarded({**POLICY, "reserve": {"output": "${OUTPUT}"}}, environ={"OUTPUT": "7"}).chat().status == 200


def test_a_clock_of_ones_own(guarded: Make, guardrail_clock: FakeClock) -> None:
    api = guarded(POLICY, clock=guardrail_clock)
    api.chat()
    guardrail_clock.advance(1)
    assert api.events[0]["at"] == guardrail_clock.now() - 1_000_000


def test_two_processes_share_a_server(guarded: Make, guardrail_fakeredis: Server, guardrail_clock: FakeClock) -> None:
    """What a policy does on Redis: two of them stand for two workers."""
    guardrail_fakeredis.flush()
    one, two = (guarded(POLICY, store=guardrail_fakeredis.url, clock=guardrail_clock) for _ in range(2))
    assert [api.chat().status for api in (one, two, one, two)] == [200, 200, 200, 429]
    answer = one.chat(100, key="sk-two", max_tokens=50)
    assert [held.remaining for held in two.peek(answer).limits] == [2, 100_000 - 30]  # what came back has arrived
