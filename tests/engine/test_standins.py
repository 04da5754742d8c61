"""What stands in for a live process while a replay runs, and which routes its requests are counted on."""

from __future__ import annotations

import pytest

from guardrail_mw.engine.standins import Keyed, Recorded, ReplayClock, Subjects, remembering
from guardrail_mw.policy import load
from guardrail_mw.risk.base import Finding

from ..telemetry.kit import ACCOUNT, AT, denied  # noqa: TID252 - the kit of events
from .kit import came, replay, ruled

pytestmark = pytest.mark.anyio

NETWORK = "n:Zl2hO0eYqf3rG4mSPc9xUw"


def test_a_clock_that_is_set_and_never_goes_back() -> None:
    clock = ReplayClock()
    assert (clock.now(), clock.monotonic()) == (0, 0)
    clock.set(AT)
    assert (clock.now(), clock.monotonic()) == (AT, 0)
    clock.set(AT + 5)
    clock.set(AT + 3)
    assert (clock.now(), clock.monotonic()) == (AT + 5, 5)


def test_subjects_are_made_once() -> None:
    subjects = Subjects()
    one, two = came().who, came(account=NETWORK).who
    assert subjects.find(one) is subjects.find(one)
    assert subjects.find(one) is not subjects.find(two)
    assert (subjects.find(one).authenticated, subjects.find(two).authenticated) == (True, False), "its network paid"
    assert subjects.find(came(authenticated=False).who).authenticated is False
    assert (subjects.find(one).account, subjects.find(one).tier, subjects.find(one).source) == (ACCOUNT, "pro", "api_key")
    before = subjects.find(one)
    subjects.forget()
    assert subjects.find(one) is not before


def test_whom_an_event_is_attributed_to() -> None:
    who = came(
        organisation="o:1", device_kind="signed", acr="gold", ial="2", verified=True, source="jwt", candidate="a:other"
    ).who
    found = Subjects().find(who)
    expected = {
        "account": ACCOUNT, "candidate": "a:other", "network": NETWORK, "network_parent": "", "organisation": "o:1",
        "organisation_name": "", "device": "d:XyO4vS0kC2u1mE7bJ5aTqg", "device_kind": "signed", "device_due": False,
        "tier": "pro", "acr": "gold", "ial": "2", "payment": "", "authenticated": False, "verified": True, "source": "jwt",
        "until": None, "memo": None, "cache": None,
    }  # fmt: skip
    assert {name: getattr(found, name) for name in expected} == expected


def test_subjects_are_kept_as_long_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardrail_mw.engine.standins._KEPT", 2)
    subjects = Subjects()
    one, two, three = (came(account=f"n:{number}").who for number in range(3))
    first, second = subjects.find(one), subjects.find(two)
    assert (subjects.find(one), subjects.find(two)) == (first, second)
    third = subjects.find(three)
    assert subjects.find(three) is third
    assert subjects.find(one) is not first


def test_a_request_of_which_only_findings_are_left() -> None:
    of_all = [("a", "volume", 5, "x"), ("b", "timing", 7.5, "y"), ("a", "device", 9, "z")]
    names = ("scorer", "family", "score", "reason")
    findings = [{**dict(zip(names, each, strict=True)), "figures": {}, "shadow": False} for each in of_all]
    found = Recorded(came(findings=findings, method="PUT"))
    assert (found.method, found.path, found.headers, found.kind, found.peer) == ("PUT", "", [], "http", "")
    assert found.findings == {
        "a": [Finding("volume", 5, "x"), Finding("device", 9, "z")],
        "b": [Finding("timing", 7.5, "y")],  # type: ignore[arg-type]
    }
    assert Recorded(came(status=0)).kind == "websocket"
    assert Recorded(came()).findings == {}


def test_a_policy_whose_scorers_say_what_they_said() -> None:
    velocity = [{"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}]
    scorers = [
        {"use": "velocity", "with": {"attempts": {"from": 0, "full": 10}}},
        {"use": "automation", "name": "robots", "weight": 0.5, "shadow": True},
        {"use": "cluster"},
    ]
    given = load({"version": 1, "velocity": velocity, "risk": {"scorers": scorers}})
    found = remembering(given).risk.scorers
    assert [(each.label, each.weight, each.shadow) for each in found] == [
        ("velocity", 1.0, False), ("robots", 0.5, True), ("cluster", 1.0, False),
    ]  # fmt: skip
    assert [each is before for each, before in zip(found, given.risk.scorers, strict=True)] == [True, False, True]
    assert remembering(given).velocity == given.velocity


async def test_a_scorer_that_said_nothing_then_says_nothing() -> None:
    of = replay(risk={"scorers": [{"use": "automation"}]}, friction={"ladder": [{"at": 50, "do": "delay"}]})
    ruling = await of.decide(came())
    assert ruling is not None
    assert (ruling.decided.action, ruling.effective, ruling.scorers) == ("allow", 0.0, ())


def test_models_are_named_by_their_keys() -> None:
    keyed = Keyed(load({"version": 1, "models": {"large": {"names": ["gpt-*"]}}}))
    assert [keyed.key(name) for name in ("large", "gpt-5", "other")] == ["large", "other", "other"]


async def test_two_an_hour() -> None:
    assert await ruled(replay(), *[came(at) for at in (0, 1, 2, 1801)]) == ["allow", "allow", "requests", "allow"]


async def test_a_route_that_the_policy_lets_through() -> None:
    of = replay()
    health = [came(at, route="/health", method="GET") for at in range(4)]
    assert await ruled(of, *health) == ["allow"] * 4
    assert await ruled(of, *[came(4 + at, route="/health", method="POST") for at in range(3)]) == [
        "allow", "allow", "requests",
    ]  # fmt: skip
    assert of.unknown_routes == {}


async def test_a_route_is_looked_up_for_its_method_and_by_its_path() -> None:
    of = replay(paths={"chat": "/v1/chat/completions"})
    models = [came(at, route="/v1/models", method="GET") for at in range(4)]
    assert await ruled(of, *models) == ["allow"] * 4, "no limits there"
    posts = [came(4 + at, route="/v1/models", method="POST") for at in range(3)]
    assert await ruled(of, *posts) == ["allow", "allow", "requests"], "as `/v1/**`, which its path leads to"
    assert of.unknown_routes == {}
    await ruled(of, came(10, route="chat"), came(11, route="gone"), came(12, route="gone"))
    assert of.unknown_routes == {"gone": 2}


async def test_what_nothing_was_decided_about_has_no_ruling() -> None:
    of = replay()
    bad = came(0, account="", candidate="", code="invalid_api_key", decision="deny", status=401, outcome="denied")
    assert await ruled(of, bad, came(1), came(2), came(3)) == ["-", "allow", "allow", "requests"]


async def test_tokens_are_reserved_and_settled_when_the_request_ended() -> None:
    """1060 are reserved at 0 and 448 used by 10: at 5 there is no room for another 1060 of 1600, at 10 there is."""
    tokens = [{"name": "tokens", "per": ["account"], "unit": "tokens", "window": "1600/day"}]
    long = came(0, duration_ms=10_000.0)
    assert await ruled(replay(tokens), long, came(5)) == ["allow", "tokens"]
    assert await ruled(replay(tokens), long, came(10)) == ["allow", "allow"]


async def test_who_failed_gets_all_back() -> None:
    tokens = [{"name": "tokens", "per": ["account"], "unit": "tokens", "window": "1600/day"}]
    failed = came(0, status=500, outcome="failed")
    assert await ruled(replay(tokens), failed, came(1), came(2)) == ["allow", "allow", "allow"]


async def test_who_was_refused_then_takes_as_long_as_others_did() -> None:
    """Of two slots one is held for 10 s, then, by somebody refused at the time, for as long as that one."""
    slots = [{"name": "slots", "per": ["account"], "concurrency": 1}]
    of = replay(slots)
    assert await ruled(of, came(0, duration_ms=10_000.0)) == ["allow"]
    assert await ruled(of, came(11, like=denied), came(20), came(21)) == ["allow", "slots", "allow"]


async def test_models_that_are_told_apart() -> None:
    each = [{"name": "each", "per": ["account", "model"], "rate": "1/hour"}]
    of = replay(each, models={"large": {}, "small": {}})
    found = await ruled(of, came(0), came(1, model="small"), came(2, model="huge"), came(3, model="vast"), came(4))
    assert found == ["allow", "allow", "allow", "each", "each"], "those that the policy does not know are one"


async def test_an_override_that_held_then_holds() -> None:
    friction = {"ladder": [{"at": 50, "do": "deny", "name": "stop"}]}
    of = replay([{"name": "all", "per": [], "rate": "90/minute"}], friction=friction)
    stopped = came(
        1, why=["override"], rung="stop", rung_at=50.0, decision="deny", code="denied", status=403, outcome="denied"
    )
    assert await ruled(of, came(0), stopped, came(2)) == ["allow", "stop", "allow"]
