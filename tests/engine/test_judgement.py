"""From counts to a rung: a request that is judged, what becomes of it, and what is remembered and recorded."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from guardrail_mw.errors import StoreError
from guardrail_mw.policy import Policy, load
from guardrail_mw.risk.base import Finding, RiskContext
from guardrail_mw.stores.base import Change
from guardrail_mw.telemetry.event import validate
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.values import Allow, Delay, Deny

from ..asgi.kit import (  # noqa: TID252 - the kit of the pipeline's tests
    JSON,
    KEY,
    OTHER_KEY,
    CountingStore,
    Guarded,
    Upstream,
    chat,
    policy,
)

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


async def test_the_places_to_wait_follow_a_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    """None, then one, at first for half a second and then as long as its jitter makes it, then none again."""
    monkeypatch.setattr("guardrail_mw.engine.judgement.random", lambda: 1.0)
    rung = {**DELAY, "with": {"seconds": 0.5, "jitter": "50%"}}

    def places(at_once: int, at_most: str) -> Policy:
        return load(judged(rung, delays={"at_once": at_once, "at_most": at_most}))

    guarded = Guarded(Upstream(), judged(rung, delays={"at_once": 0, "at_most": "10s"}))
    await times(guarded, 3)
    guarded.guardrail.apply(places(1, "500ms"))
    await times(guarded, 1)
    guarded.guardrail.apply(places(1, "10s"))
    await times(guarded, 1)
    guarded.guardrail.apply(places(0, "10s"))
    await times(guarded, 1)
    found = [(event["decision"], event["delay_ms"]) for event in events(guarded)[2:]]
    assert found == [("trim", 0), ("delay", 500), ("delay", 750), ("trim", 0)]


async def test_a_reload_makes_no_room_for_as_many_again() -> None:
    """Who waits already counts among the places of the policy that runs now."""
    asleep, over = asyncio.Event(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        assert seconds == 0.5
        if not asleep.is_set():  # the first; whoever comes after it does not wait for long
            asleep.set()
            await over.wait()

    guarded = Guarded(Upstream(), judged(DELAY, delays={"at_once": 1}))
    await times(guarded, 2)
    guarded.guardrail.sleep = sleep  # type: ignore[method-assign]
    waiting = asyncio.create_task(guarded.post(CHAT, chat()))
    await asleep.wait()
    guarded.guardrail.apply(load(judged(DELAY, delays={"at_once": 1, "at_most": "9s"})))
    await times(guarded, 1)
    assert (events(guarded)[-1]["decision"], events(guarded)[-1]["why"]) == ("trim", ["delays-full"])
    over.set()
    assert (await waiting).status == 200
    await times(guarded, 1)
    assert events(guarded)[-1]["decision"] == "delay"


async def test_a_budget_that_cannot_be_asked_counts_as_spent() -> None:
    """Doubt is in the account's favour, and no alarm: once the store answers again the rung acts."""

    class Away(CountingStore):
        away = True

        async def take(self, budget: str, member: str, most: int, until: int) -> bool:
            if self.away:
                raise StoreError("The store is away.")
            return await super().take(budget, member, most, until)

    store = Away(FakeClock())
    trim = {"at": 50, "do": "trim", "false_positives": "20/day"}
    guarded = Guarded(Upstream(), judged(DELAY, trim), store=store)
    await times(guarded, 1)
    guarded.clock.advance(31 * 86_400)
    assert set(await times(guarded, 7)) == {200}
    last = events(guarded)[-1]
    assert (last["risk"], last["rung"], last["why"]) == (70.0, "delay", ["budget"])
    assert "friction.budget_spent" not in guarded.guardrail.counts.read()
    store.away = False
    await times(guarded, 1)
    last = events(guarded)[-1]
    assert (last["risk"], last["rung"], last["why"]) == (80.0, "trim", [])


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


async def test_what_is_found_in_shadow_is_no_reason() -> None:
    """A scorer that is tried out, and what it says of the caller, stand in the event; the app is told what acted."""
    crawler = (b"user-agent", b"Mozilla/5.0 (compatible; GPTBot/1.2; +https://openai.com/gptbot)")
    upstream = Upstream()
    risk = {"scorers": [{"use": "automation", "shadow": True}, *RISK["scorers"]]}
    guarded = Guarded(upstream, judged(DELAY, risk=risk))
    for _ in range(4):
        await guarded.post(CHAT, chat(), KEY, JSON, crawler)
    decision = upstream.scopes[-1]["state"]["guardrail"].decision
    assert (type(decision), decision.reasons) == (Delay, ("attempts",))
    assert [(each["reason"], each["shadow"]) for each in events(guarded)[-1]["findings"]] == [
        ("crawler", True),
        ("attempts", False),
    ]
    await guarded.store.write_switch("velocity", "shadow")
    await guarded.guardrail.read_switches()
    await guarded.post(CHAT, chat(), KEY, JSON, crawler)
    decision = upstream.scopes[-1]["state"]["guardrail"].decision
    assert (type(decision), decision.reasons) == (
        Delay,
        (),
    )  # what is remembered of the account acts still, and says nothing


async def test_what_is_found_has_the_strongest_reason_first() -> None:
    crawler = (b"user-agent", b"Mozilla/5.0 (compatible; GPTBot/1.2; +https://openai.com/gptbot)")
    upstream = Upstream()
    risk = {"scorers": [*RISK["scorers"], {"use": "automation"}]}
    guarded = Guarded(upstream, judged(DELAY, risk=risk))
    for _ in range(7):
        await guarded.post(CHAT, chat(), KEY, JSON, crawler)
    reasons = [scope["state"]["guardrail"].decision.reasons for scope in upstream.scopes]
    assert [reasons[0], reasons[-1]] == [("crawler", "attempts"), ("attempts", "crawler")]  # 60 beside 10, and beside 70


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


DENIED = {"name": "denied", "count": "denied", "per": "account", "over": "10m"}
EVERYONE = {"name": "everyone", "per": [], "rate": "3/minute", "burst": 3}


@pytest.mark.parametrize("after", [61, 0.5])
async def test_what_is_refused_from_memory_is_counted_with_the_next_charge(after: float) -> None:
    """3 of 20 are admitted. One refusal is the store's; 16 come from memory, within the second after it, and are owed.

    After 61 s the 21st is admitted: 21 attempts, 17 refusals. After half a second it is refused from memory once more, and the
    22nd, after another, asks the store, which refuses it: 22 attempts; of 19 refusals all but its own, which is owed again, are
    shown, and with that of the 23rd all are.
    """
    guarded = Guarded(Upstream(), policy(EVERYONE, velocity=[ATTEMPTS, DENIED], telemetry={}))
    statuses = await times(guarded, 20)
    assert (statuses.count(200), statuses.count(503)) == (3, 17)
    assert guarded.guardrail.counts.read()["engine.denied_from_memory"] == 16
    counted = [
        (each["velocity"]["attempts"][0], each["velocity"]["denied"][0]) for each in events(guarded) if each["velocity"]
    ]
    assert counted[-1] == (4, 1)
    guarded.clock.advance(after)
    await times(guarded, 1)
    if after > 1:
        assert events(guarded)[-1]["velocity"] == {"attempts": [21, False], "denied": [17, False]}
        await times(guarded, 1)
        assert events(guarded)[-1]["velocity"] == {"attempts": [22, False], "denied": [17, False]}
        return
    assert guarded.guardrail.counts.read()["engine.denied_from_memory"] == 17
    guarded.clock.advance(0.6)
    await times(guarded, 1)
    assert events(guarded)[-1]["velocity"] == {"attempts": [22, False], "denied": [18, False]}
    guarded.clock.advance(1.1)
    await times(guarded, 1)
    assert events(guarded)[-1]["velocity"] == {"attempts": [23, False], "denied": [19, False]}
    guarded.clock.advance(61)
    await times(guarded, 1)
    assert events(guarded)[-1]["velocity"] == {"attempts": [24, False], "denied": [20, False]}


async def test_what_a_store_did_not_take_is_owed_still() -> None:
    document = policy(EVERYONE, velocity=[ATTEMPTS, DENIED], telemetry={})
    guarded = Guarded(Upstream(), {**document, "store": {**document.get("store", {}), "on_error": "allow"}})
    await times(guarded, 10)
    guarded.clock.advance(61)
    charge = guarded.store.charge

    async def failing(_: Any) -> Any:
        raise StoreError("The store is away.")

    guarded.store.charge = failing
    assert await times(guarded, 1) == [200]
    guarded.store.charge = charge
    await times(guarded, 1)
    assert events(guarded)[-1]["velocity"] == {"attempts": [11, False], "denied": [7, False]}


async def test_a_browser_that_keeps_its_cookie_is_one_device() -> None:
    """It is seen first and signed from then on, and counted apart as either: five of them are five, never ten."""
    rule = {"name": "devices", "distinct": "device", "per": "account", "over": "24h"}
    document = policy(REQUESTS, velocity=[rule], telemetry={})
    document["identity"]["device"] = {}
    guarded = Guarded(Upstream(), document)
    counted = []
    for number in range(5):
        agent = (b"user-agent", b"Machine/%d" % number)
        answer = await guarded.post(CHAT, chat(), KEY, JSON, agent)
        [cookie] = [value.partition(b";")[0] for name, value in answer.headers if name == b"set-cookie"]
        counted.append(events(guarded)[-1]["velocity"]["devices"][0])
        await guarded.post(CHAT, chat(), KEY, JSON, agent, (b"cookie", cookie))
        counted.append(events(guarded)[-1]["velocity"]["devices"][0])
        assert events(guarded)[-1]["device_kind"] == "signed"
    assert counted == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


async def test_a_scorer_in_shadow_says_what_it_would_have_done() -> None:
    """With it the risk of the third attempt is 30 and would reach the delay; without it nothing speaks against anybody."""
    shadowed = {"scorers": [{**RISK["scorers"][0], "shadow": True}]}
    guarded = Guarded(Upstream(), judged(DELAY, DENY, risk=shadowed))
    await times(guarded, 3)
    first, _, third = events(guarded)
    assert (first["would"], first["risk"]) == (None, 0.0)
    assert third["would"] == {"decision": "delay", "code": "", "limit": "", "rung": "delay"}
    assert (third["decision"], third["risk"], third["rung"], third["why"]) == ("allow", 0.0, None, ["shadow"])
    assert third["rung_at"] is not None
    assert guarded.store.settled == [], "and nothing of it is remembered"


async def test_a_shadowed_scorer_under_a_shadowed_rung_says_so_too() -> None:
    shadowed = {"scorers": [{**RISK["scorers"][0], "shadow": True}]}
    guarded = Guarded(Upstream(), judged({**DELAY, "shadow": True}, risk=shadowed))
    await times(guarded, 3)
    assert events(guarded)[-1]["would"]["rung"] == "delay"


async def test_in_mode_shadow_the_rung_that_would_have_held_is_named() -> None:
    guarded = Guarded(Upstream(), judged(DELAY, mode="shadow", risk=None))
    await times(guarded, 3)
    last = events(guarded)[-1]
    assert (last["decision"], last["would"]["decision"], last["would"]["rung"]) == ("allow", "delay", "delay")


async def test_a_trim_for_want_of_places_to_wait_says_so() -> None:
    guarded = Guarded(Upstream(), judged(DELAY, delays={"at_once": 0}))
    await times(guarded, 3)
    assert (events(guarded)[-1]["decision"], events(guarded)[-1]["why"]) == ("trim", ["delays-full"])


async def test_a_label_reaches_scorers_until_it_runs_out() -> None:
    guarded = Guarded(Upstream(), judged(DELAY))
    await times(guarded, 1)
    [bill] = guarded.bills
    now = guarded.clock.now()
    changes = [("partner", f"{now + 60_000_000} said so"), ("kept", "0 for good"), ("odd", "soon")]
    await guarded.store.remember(bill.candidate, [Change("set", f"label.{name}", text) for name, text in changes])
    standing = (await guarded.store.peek(bill)).standing
    assert standing is not None
    assert standing.labels(now) == {"partner": "said so", "kept": "for good"}
    assert standing.labels(now + 60_000_000) == {"kept": "for good"}


async def test_a_scorer_sees_what_the_body_asks_for() -> None:
    seen: list[Any] = []

    class Looks:
        def score(self, context: RiskContext, /) -> tuple[Finding, ...]:
            seen.append(context.facts.body)
            return ()

    tokens = {"name": "tokens", "unit": "tokens", "rate": "1000000/minute"}
    guarded = Guarded(Upstream(), policy(tokens, risk={"scorers": [Looks()]}))
    await guarded.post(CHAT, {**chat(), "model": "large", "stream": True})
    assert [(body.model, body.stream) for body in seen] == [("large", True)]
