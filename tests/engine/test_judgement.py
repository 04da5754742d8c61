"""From counts to a rung: a request that is judged, what becomes of it, and what is remembered and recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardrail_mw.stores.base import Change
from guardrail_mw.telemetry.event import validate
from guardrail_mw.values import Allow, Delay, Deny

from ..asgi.kit import JSON, KEY, OTHER_KEY, Guarded, Upstream, chat, policy  # noqa: TID252 - the kit of the pipeline's tests

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
REQUESTS = {"name": "requests", "rate": "1000/minute"}
ATTEMPTS = {"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}
NETWORKS = {"name": "networks", "distinct": "network", "per": "account", "over": "1h"}
RISK = {
    "scorers": [
        {"use": "velocity", "with": {"attempts": {"from": 0, "full": 10}, "networks": {"from": 1, "full": 3}}},
    ]
}
"""The tenth attempt is a risk of 100 by itself. A rung at 25 begins between 22.5 and 27.5: with the third attempt."""
DELAY = {"at": 25, "do": "delay", "with": {"seconds": 0.5}}
DENY = {"at": 90, "do": "deny"}


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The middle of a jitter is what the policy says."""
    monkeypatch.setattr("guardrail_mw.engine.judgement.random", lambda: 0.5)


def judged(*ladder: dict[str, Any], mode: str = "enforce", risk: Any = None, **rest: Any) -> dict[str, Any]:
    friction = {"ladder": list(ladder), **rest}
    rules = [ATTEMPTS, NETWORKS]
    return policy(REQUESTS, mode=mode, velocity=rules, risk=risk or RISK, friction=friction)


async def times(guarded: Guarded, count: int, **scope: Any) -> list[int]:
    return [(await guarded.post(CHAT, chat(), **scope)).status for _ in range(count)]


def events(guarded: Guarded) -> list[dict[str, Any]]:
    """The oldest first; each is whole."""
    found = guarded.guardrail.recorder.latest(100)[::-1]
    for event in found:
        validate(event)
    return found


async def test_a_risk_below_the_ladder_changes_nothing() -> None:
    guarded = Guarded(Upstream(), judged(DELAY, DENY))
    assert await times(guarded, 1) == [200]
    [event] = events(guarded)
    assert (event["decision"], event["risk"], event["velocity"]) == (
        "allow",
        10.0,
        {"attempts": [1, False], "networks": [1, False]},
    )
    assert [each["reason"] for each in event["findings"]] == ["attempts"]
    assert guarded.store.settled == []


async def test_a_rung_delays_and_the_answer_is_the_apps() -> None:
    upstream = Upstream(b"hello")
    guarded = Guarded(upstream, judged(DELAY, DENY))
    began = guarded.clock.monotonic()
    assert await times(guarded, 3) == [200, 200, 200]
    assert (upstream.calls, guarded.clock.monotonic() - began) == (3, 500_000)
    assert [event["decision"] for event in events(guarded)] == ["allow", "allow", "delay"]
    assert events(guarded)[-1]["delay_ms"] == 500


async def test_evidence_of_one_family_does_not_deny() -> None:
    guarded = Guarded(Upstream(), judged(DELAY, DENY))
    assert set(await times(guarded, 12)) == {200}
    last = events(guarded)[-1]
    assert (last["risk"], last["rung"], last["why"]) == (100.0, "delay", ["one-family"])


async def test_a_trace_of_a_second_family_is_no_second_opinion() -> None:
    """Two networks of at most twenty make 5 points: with a hundred for attempts the risk is all of it, and still one family's."""
    scorer = {"attempts": {"from": 0, "full": 5}, "networks": {"from": 1, "full": 21}}
    guarded = Guarded(Upstream(), judged(DENY, risk={"scorers": [{"use": "velocity", "with": scorer}]}))
    for number in range(8):
        answer = await guarded.post(CHAT, chat(), client=(f"203.0.113.{number % 2}", 1))
        assert answer.status == 200
    last = events(guarded)[-1]
    assert ([each["score"] for each in last["findings"]], last["why"]) == ([100, 5], ["one-family"])
    await guarded.post(CHAT, chat(), client=("203.0.113.7", 1))
    assert (await guarded.post(CHAT, chat(), client=("203.0.113.7", 1))).status == 403


async def test_evidence_of_two_families_denies_and_takes_nothing() -> None:
    """The refusal gives its charge back; the attempt stays counted, and the app never hears of it."""
    upstream = Upstream()
    guarded = Guarded(upstream, judged(DENY))
    for number in range(3):
        await guarded.post(CHAT, chat(), client=(f"203.0.113.{number}", 1))
    answer = await guarded.post(CHAT, chat(), client=("203.0.113.9", 1))
    assert (answer.status, answer.json["error"]["code"]) == (403, "denied")
    assert answer.field("x-should-retry") == "false"
    assert upstream.calls == 2
    denied = events(guarded)[-1]
    assert (denied["decision"], denied["outcome"], denied["status"], denied["code"]) == ("deny", "denied", 403, "denied")
    assert denied["velocity"] == {"attempts": [4, False], "networks": [4, False]}
    assert denied["limits"][0]["remaining"] == 997
    peeked = await guarded.store.peek(guarded.bills[-1])
    assert peeked.readings[0].remaining == 998  # two were admitted


async def test_who_was_refused_by_a_limit_is_not_judged_and_counts_as_an_attempt() -> None:
    guarded = Guarded(
        Upstream(), {**judged(DELAY), "limits": [{"name": "requests", "per": ["account"], "rate": "1/minute"}]}
    )
    assert await times(guarded, 3) == [200, 429, 429]
    assert [event["risk"] for event in events(guarded)] == [10.0, 0.0, 0.0]
    assert [event["velocity"]["attempts"][0] for event in events(guarded)] == [1, 2, 3]
    assert events(guarded)[-1]["refusal"]["limit"] == "requests"


async def test_a_risk_is_remembered_until_it_has_decayed() -> None:
    """Attempts of ten minutes are forgotten after ten; the risk of 100 they came to halves in 30 minutes."""
    guarded = Guarded(Upstream(), judged(DELAY, DENY))
    await times(guarded, 10)
    assert events(guarded)[-1]["effective"] == 100.0
    guarded.clock.advance(1800)
    await times(guarded, 1)
    last = events(guarded)[-1]
    assert (last["risk"], last["rung"]) == (10.0, "delay")
    assert last["effective"] == pytest.approx(50, abs=0.1)
    guarded.clock.advance(7200)
    await times(guarded, 1)
    assert (events(guarded)[-1]["decision"], events(guarded)[-1]["rung"]) == ("allow", None)


async def test_another_process_knows_on_the_very_next_call() -> None:
    """What one process learned of an account comes along with the other's charge: no second round trip."""
    environ = {"GUARDRAIL_ID_KEY": "a key of both processes, long enough"}
    one = Guarded(Upstream(), judged(DELAY), environ=environ)
    other = Guarded(Upstream(), judged(DELAY), store=one.store, environ=environ)
    await other.post(CHAT, chat())
    await times(one, 10)
    one.clock.advance(1200)
    asked = len(other.bills)
    assert (await other.post(CHAT, chat())).status == 200
    assert len(other.bills) == asked + 1
    last = events(other)[-1]
    assert (last["risk"], last["rung"]) == (10.0, "delay")


async def test_an_override_acts_at_once_and_says_so() -> None:
    guarded = Guarded(Upstream(), judged(DELAY))
    await times(guarded, 1)
    account = events(guarded)[-1]["account"]
    await guarded.store.remember(account, [Change("set", "override", "deny 0")])
    assert await times(guarded, 1) == [403]
    assert events(guarded)[-1]["why"] == ["override"]
    await guarded.store.remember(account, [Change("set", "override", "allow 0")])
    assert await times(guarded, 20) == [200] * 20
    assert {event["decision"] for event in events(guarded)[-20:]} == {"allow"}


async def test_shadow_records_what_it_would_have_done_and_does_nothing() -> None:
    guarded = Guarded(Upstream(), judged(DELAY, mode="shadow"))
    began = guarded.clock.monotonic()
    await times(guarded, 3)
    assert guarded.clock.monotonic() == began
    last = events(guarded)[-1]
    assert (last["decision"], last["would"]["decision"], last["rung"]) == ("allow", "delay", "delay")


async def test_a_rung_in_shadow_records_and_the_one_below_acts() -> None:
    guarded = Guarded(Upstream(), judged(DELAY, {"at": 40, "do": "trim", "shadow": True}))
    await times(guarded, 5)
    last = events(guarded)[-1]
    assert (last["decision"], last["rung"], last["would"]["rung"], last["why"]) == ("delay", "delay", "trim", ["shadow"])


async def test_a_switch_turns_one_rung_or_one_scorer_to_shadow() -> None:
    guarded = Guarded(Upstream(), judged(DELAY))
    await times(guarded, 4)
    assert events(guarded)[-1]["decision"] == "delay"
    await guarded.store.write_switch("delay", "shadow")
    await guarded.guardrail.read_switches()
    await times(guarded, 1)
    assert (events(guarded)[-1]["decision"], events(guarded)[-1]["would"]["rung"]) == ("allow", "delay")
    await guarded.store.write_switch("delay", None)
    await guarded.store.write_switch("velocity", "shadow")
    await guarded.guardrail.read_switches()
    guarded.clock.advance(7200)
    await times(guarded, 8)
    last = events(guarded)[-1]
    assert (last["decision"], last["risk"], last["findings"][0]["shadow"]) == ("allow", 0.0, True)


async def test_trim_rewrites_the_request_and_says_so() -> None:
    upstream = Upstream()
    guarded = Guarded(upstream, judged({"at": 15, "do": "trim"}))
    answer = await guarded.post(CHAT, {**chat(), "n": 4, "logprobs": True, "top_logprobs": 5})
    assert answer.field("x-guardrail-trimmed") is None
    answer = await guarded.post(CHAT, {**chat(), "n": 4, "logprobs": True, "top_logprobs": 5})
    assert answer.status == 200
    assert answer.field("x-guardrail-trimmed") == "logprobs, n"
    body = json.loads(upstream.bodies[-1])
    assert body["n"] == 1
    assert not {"logprobs", "top_logprobs"} & {key for key, value in body.items() if value}
    [length] = [value for name, value in upstream.scopes[-1]["headers"] if name == b"content-length"]
    assert int(length) == len(upstream.bodies[-1])
    assert events(guarded)[-1]["trimmed"] == ["logprobs", "n"]


async def test_trim_lets_pass_what_asks_for_nothing() -> None:
    upstream = Upstream()
    guarded = Guarded(upstream, judged({"at": 15, "do": "trim"}))
    body = json.dumps(chat(), indent=3).encode()
    for _ in range(3):
        answer = await guarded.post(CHAT, body)
        assert (answer.status, answer.field("x-guardrail-trimmed")) == (200, None)
        assert upstream.bodies[-1] == body


async def test_trim_refuses_where_the_rung_says_so() -> None:
    guarded = Guarded(Upstream(), judged({"at": 15, "do": "trim", "with": {"refuse": ["n"]}}))
    await times(guarded, 2)
    answer = await guarded.post(CHAT, {**chat(), "n": 2})
    assert (answer.status, answer.json["error"]["code"]) == (403, "parameters_refused")
    assert "n." in answer.json["error"]["message"]
    assert await times(guarded, 1) == [200]


@pytest.mark.parametrize("body", [b"", b"not json", b"[1]", b"\xff\xfe", b"--form\r\n"])
async def test_what_is_no_object_is_not_trimmed(body: bytes) -> None:
    """On a route that is not read for tokens; where it is, such a body was refused before."""
    upstream = Upstream()
    guarded = Guarded(upstream, judged({"at": 15, "do": "trim"}))
    for _ in range(3):
        answer = await guarded.post("/other", body)
        assert (answer.status, upstream.bodies[-1]) == (200, body)


async def test_where_too_many_wait_requests_are_trimmed_instead() -> None:
    upstream = Upstream()
    guarded = Guarded(upstream, judged(DELAY, delays={"at_once": 0}))
    for _ in range(3):
        answer = await guarded.post(CHAT, {**chat(), "n": 4})
    assert answer.field("x-guardrail-trimmed") == "n"
    assert (events(guarded)[-1]["decision"], events(guarded)[-1]["delay_ms"]) == ("trim", 0)


async def test_who_may_meet_a_delay_at_most_is_not_trimmed_either() -> None:
    caps = [{"when": {"source": "api_key"}, "most": "delay"}]
    guarded = Guarded(Upstream(), judged(DELAY, delays={"at_once": 0}, caps=caps))
    for _ in range(3):
        answer = await guarded.post(CHAT, {**chat(), "n": 4})
    assert answer.field("x-guardrail-trimmed") is None
    assert events(guarded)[-1]["rung"] == "delay"


async def test_an_operator_refuses_somebody_under_a_policy_without_a_ladder() -> None:
    guarded = Guarded(Upstream(), policy(REQUESTS))
    await times(guarded, 1)
    [bill] = guarded.bills
    await guarded.store.remember(bill.candidate, [Change("set", "override", "deny 0")])
    assert await times(guarded, 2) == [403, 403]


async def test_strangers_are_judged_and_nothing_is_remembered_of_them() -> None:
    per = {**ATTEMPTS, "per": "network"}
    risk = {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 0, "full": 10}}}]}
    guarded = Guarded(Upstream(), policy(REQUESTS, velocity=[per], risk=risk, friction={"ladder": [DELAY]}))
    for _ in range(4):
        await guarded.get("/v1/x", JSON)
    assert events(guarded)[-1]["decision"] == "delay"
    assert guarded.store.settled == []


async def test_the_app_finds_what_was_decided() -> None:
    upstream = Upstream()
    guarded = Guarded(upstream, judged(DELAY))
    await times(guarded, 4)
    decisions = [scope["state"]["guardrail"].decision for scope in upstream.scopes]
    assert [type(each) for each in decisions] == [Allow, Allow, Delay, Delay]
    assert decisions[-1].reasons == ("attempts",)
    assert not isinstance(decisions[-1], Deny)


async def test_what_anybody_can_show_joins_no_two_accounts() -> None:
    """A device that is seen is its account's: another's use of the same SDK neither fills its limit nor counts as its friends."""
    limit = {"name": "device", "per": ["device"], "rate": "3/hour"}
    farm = {"name": "farm", "distinct": "account", "per": "device", "over": "1h"}
    guarded = Guarded(Upstream(), policy(limit, velocity=[farm], telemetry={}))
    agent = (b"user-agent", b"OpenAI/Python 3.0.0")
    for number in range(7):
        answer = await guarded.post(CHAT, chat(), (b"authorization", b"Bearer sk-%d" % number), JSON, agent)
        assert answer.status == 200
    assert events(guarded)[-1]["velocity"]["farm"] == [1, False]
    statuses = [(await guarded.post(CHAT, chat(), KEY, JSON, agent)).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    assert (await guarded.post(CHAT, chat(), KEY, JSON, (b"user-agent", b"curl/8"))).status == 200


async def test_an_apps_cookies_stand_beside_the_devices() -> None:
    """Also where the app sends a field of ours, which ours takes the place of."""
    document = judged(DELAY)
    document["identity"]["device"] = {}
    theirs = [(b"set-cookie", b"session=1"), (b"x-guardrail-decision", b"another")]
    guarded = Guarded(Upstream(headers=[JSON, *theirs]), document)
    answer = await guarded.post(CHAT, chat(), KEY, JSON, (b"user-agent", b"curl/8"))
    cookies = [value for name, value in answer.headers if name == b"set-cookie"]
    assert cookies[0] == b"session=1"
    assert cookies[1].startswith(b"__Host-guardrail-device=")
    assert answer.decision != "another"


async def test_accounts_are_judged_apart() -> None:
    guarded = Guarded(Upstream(), judged(DELAY))
    await times(guarded, 8)
    await guarded.post(CHAT, chat(), OTHER_KEY, JSON)
    assert [event["decision"] for event in events(guarded)[-2:]] == ["delay", "allow"]


async def test_a_policy_that_judges_nothing_records_refusals_only() -> None:
    guarded = Guarded(Upstream(), policy({"name": "requests", "rate": "1/minute"}))
    await times(guarded, 2)
    [event] = events(guarded)
    assert (event["decision"], event["code"], event["status"]) == ("deny", "rate_limited", 429)
    assert event["refusal"] == {"limit": "requests", "kind": "token_bucket", "unit": "requests", "wait_ms": 60000}


async def test_a_bad_credential_is_recorded_without_a_subject() -> None:
    guarded = Guarded(Upstream(), judged(DELAY))
    answer = await guarded.post(CHAT, chat(), KEY, (b"x-api-key", b"sk-other"), JSON)
    assert answer.status == 400
    [event] = events(guarded)
    assert (event["account"], event["code"], event["source"]) == ("", "ambiguous_credential", "")
