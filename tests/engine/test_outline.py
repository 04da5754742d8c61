"""The short way to an event says what the long way says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardrail_mw.engine import core
from guardrail_mw.engine.outline import is_plain, outlined
from guardrail_mw.engine.recording import record
from guardrail_mw.stores.base import Change
from guardrail_mw.telemetry.event import validate

from ..asgi.kit import JSON, KEY, OTHER_KEY, Guarded, Upstream, chat, policy  # noqa: TID252 - the kit of the pipeline's tests
from .kit import VERIFIES, shown

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
ANSWER = json.dumps({"usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}).encode()
LIMITS: list[dict[str, Any]] = [
    {"name": "requests", "rate": "100/minute"},
    {"name": "percent", "per": ["network"], "window": "100/hour", "shadow": True},
    {"name": "everyone", "per": [], "rate": "1000/second"},
]
TOKENS: list[dict[str, Any]] = [
    {"name": "tokens", "unit": "tokens", "rate": "100000/minute"},
    {"name": "all-tokens", "per": [], "unit": "tokens", "rate": "100000000/minute"},
    {"name": "slots", "concurrency": 4},
]
JUDGING: dict[str, Any] = {
    "velocity": [
        {"name": "attempts", "count": "attempts", "per": "account", "over": "10m"},
        {"name": "networks", "distinct": "network", "per": "account", "over": "1h"},
    ],
    "risk": {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 50, "full": 100}}}]},
    "friction": {"ladder": [{"at": 30, "do": "delay"}]},
}


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Every plain event, the long way and the short way."""
    found: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def watching(exchange: Any, outcome: str, **rest: Any) -> bytes:
        packed = outlined(exchange, outcome, **rest)
        found.append((record(exchange, outcome, now=-1, **rest), json.loads(packed)))
        return packed

    monkeypatch.setattr(core, "outlined", watching)
    return found


@pytest.mark.parametrize("limits", [LIMITS, LIMITS + TOKENS], ids=["constant", "measured"])
@pytest.mark.parametrize(
    "more", [{"telemetry": {}}, JUDGING, {**JUDGING, "identity_device": True}], ids=["idle", "judged", "devices"]
)
async def test_both_ways_say_the_same(limits: list[Any], more: dict[str, Any], both: list[Any]) -> None:
    more = dict(more)
    document = policy(*limits, mode="enforce", **{name: value for name, value in more.items() if name != "identity_device"})
    if "identity_device" in more:
        document["identity"]["device"] = {}
    guarded = Guarded(Upstream(ANSWER), document)
    for number in range(4):
        guarded.clock.advance(0.3)
        await guarded.post(CHAT, chat(40 * number, max_tokens=9, n=number + 1), KEY, JSON, (b"user-agent", b'100% "agent"'))
    await guarded.post("/elsewhere%s", chat(), OTHER_KEY, JSON)
    await guarded.get("/v1/%d", method='BR"W')
    await guarded.post("/v1/messages", chat(), JSON)
    await guarded.post(CHAT, chat(), client=("203.0.113.9", 1))
    assert len(both) == 8
    for long, short in both:
        validate(short)
        assert short == long
        assert list(short) == list(long)
    assert guarded.guardrail.recorder.latest(1) == [both[-1][1]]


async def test_what_is_remembered_of_an_account_is_told(both: list[Any]) -> None:
    """A standing that changes is written down anew: its tier, a verdict, what a remembered risk still comes to."""
    guarded = Guarded(Upstream(), policy(*LIMITS, **JUDGING, **VERIFIES))
    await guarded.post(CHAT, chat())
    account = both[0][0]["account"]
    verified = [Change("set", *each) for each in shown(acr="urn:x").items()]
    for changes in ([Change("set", "tier", 'gold "%s"')], verified, [Change("unset", "tier")]):
        await guarded.store.remember(account, changes)
        await guarded.post(CHAT, chat())
    assert [short["tier"] for _, short in both] == ["", 'gold "%s"', 'gold "%s"', ""]
    assert [short["acr"] for _, short in both] == ["", "", "urn:x", "urn:x"]
    assert all(long == short for long, short in both)


async def test_a_risk_that_is_remembered_alone_is_told(both: list[Any]) -> None:
    """Nothing is found of the request, and what is remembered reaches no rung: plain, and yet not without risk."""
    guarded = Guarded(Upstream(), policy(*LIMITS, **JUDGING))
    await guarded.post(CHAT, chat())
    [bill] = guarded.bills
    half_hour = 1_800_000_000  # halved four times until it is one point, it is 16 now
    await guarded.store.remember(bill.candidate, [Change("max", "heat", str(guarded.clock.now() + 4 * half_hour))])
    await guarded.post(CHAT, chat())
    long, short = both[-1]
    assert (len(both), short["findings"], short["rung"]) == (2, [], None)
    assert short["effective"] == long["effective"] == 16.0


async def test_what_is_not_plain_goes_the_long_way(both: list[Any]) -> None:
    risk = {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 1, "full": 10}}}]}
    guarded = Guarded(Upstream(), policy(*LIMITS, **{**JUDGING, "risk": risk}))
    for _ in range(8):
        await guarded.post(CHAT, chat())
    assert len(both) == 1
    assert len(guarded.guardrail.recorder) == 8


async def test_a_sink_that_takes_events_gets_them_whole(both: list[Any]) -> None:
    taken: list[Any] = []

    class Sink:
        def emit(self, event: Any) -> None:
            taken.append(event)

        async def start(self) -> None: ...

        async def aclose(self) -> None: ...

    guarded = Guarded(Upstream(), policy(*LIMITS, telemetry={"events": [Sink()]}))
    await guarded.post(CHAT, chat())
    [event] = taken
    validate(event)
    assert both == []


def test_nothing_is_plain_that_was_not_charged() -> None:
    exchange: Any = type("E", (), {"receipt": None, "judgement": None, "decision": None, "would": None})
    assert not is_plain(exchange)
