"""Sockets: refused before they are accepted, charged by the turn, closed over a refused one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from guardrail_mw.engine import Engine
from guardrail_mw.policy import load
from guardrail_mw.stores.base import Change
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.values import Deny

from .kit import KEY, CountingStore, Guarded, policy, scope_of

pytestmark = pytest.mark.anyio

PATH = "/v1/realtime"
TWO_KEYS = ((b"authorization", b"Bearer one"), (b"x-api-key", b"two"))
CLOSED = {"type": "websocket.disconnect", "code": 1005, "reason": ""}


class Echo:
    """An app that accepts and answers each turn."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.scope: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        self.heard.append(await receive())
        await send({"type": "websocket.accept", "headers": [(b"theirs", b"1")], "subprotocol": "realtime"})
        while True:
            message = await receive()
            self.heard.append(message)
            if message["type"] == "websocket.disconnect":
                break
            await send({"type": "websocket.send", "text": message["text"].upper()})
        await send({"type": "websocket.send", "text": "too late"})


def socket_scope(*headers: tuple[bytes, bytes], answers: bool = False, path: str = PATH) -> dict[str, Any]:
    """A websocket scope; `answers` where the server offers `websocket.http.response`."""
    scope = scope_of(path, headers=headers or (KEY,)) | {"type": "websocket", "scheme": "ws", "subprotocols": []}
    del scope["method"]
    if answers:
        scope["extensions"] = {"websocket.http.response": {}}
    return scope


async def converse(guarded: Guarded, *turns: str, scope: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Open a socket, say the turns, leave; what the server was told to send."""
    coming = [{"type": "websocket.connect"}, *({"type": "websocket.receive", "text": turn} for turn in turns), CLOSED]
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        return coming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await guarded.middleware(scope or socket_scope(), receive, send)
    return sent


async def test_accepts_and_messages_pass_untouched() -> None:
    app = Echo()
    sent = await converse(Guarded(app, policy({"name": "requests", "rate": "9/minute"})), "a", "b")
    assert sent == [
        {"type": "websocket.accept", "headers": [(b"theirs", b"1")], "subprotocol": "realtime"},
        {"type": "websocket.send", "text": "A"},
        {"type": "websocket.send", "text": "B"},
        {"type": "websocket.send", "text": "too late"},
    ]
    assert [message["type"] for message in app.heard] == [
        "websocket.connect", "websocket.receive", "websocket.receive", "websocket.disconnect",
    ]  # fmt: skip


async def test_the_opening_and_each_turn_are_charged() -> None:
    guarded = Guarded(Echo(), policy({"name": "requests", "rate": "9/minute"}))
    await converse(guarded, "a", "b", "c")
    assert await guarded.left() == {"requests": 5}
    assert len(guarded.bills) == 4


async def test_a_refused_turn_closes_with_1013_and_the_decision() -> None:
    """3 a minute: the opening and two turns; the app hears of the third as the end, and what it still says goes nowhere."""
    app = Echo()
    guarded = Guarded(app, policy({"name": "requests", "rate": "3/minute"}))
    sent = await converse(guarded, "a", "b", "c", "d")
    assert [message["type"] for message in sent] == ["websocket.accept", *["websocket.send"] * 2, "websocket.close"]
    assert sent[-1]["code"] == 1013
    assert sent[-1]["reason"] == guarded.bills[-1].id
    assert app.heard[-1] == {"type": "websocket.disconnect", "code": 1013, "reason": guarded.bills[-1].id}
    assert len(guarded.bills) == 4


async def test_a_turn_refused_by_risk_closes_with_1008_and_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Echo()
    guarded = Guarded(app, policy({"name": "requests", "rate": "9/minute"}))
    decide = Engine.decide

    def denying(engine: Engine, exchange: Any) -> Any:
        return Deny(exchange.id, "denied", 403, "The request was refused.") if exchange.turn else decide(engine, exchange)

    monkeypatch.setattr(Engine, "decide", denying)
    sent = await converse(guarded, "a")
    assert (sent[-1]["type"], sent[-1]["code"]) == ("websocket.close", 1008)
    assert app.heard[-1]["code"] == 1008
    assert await guarded.left() == {"requests": 8}


@pytest.mark.parametrize(("path", "kind"), [(PATH, b"application/json"), ("/other", b"application/problem+json")])
async def test_a_refused_socket_is_answered_where_the_server_can(path: str, kind: bytes) -> None:
    guarded = Guarded(Echo(), policy({"name": "requests", "rate": "1/minute"}))
    await converse(guarded)
    sent = await converse(guarded, scope=socket_scope(answers=True, path=path))
    assert [message["type"] for message in sent] == ["websocket.http.response.start", "websocket.http.response.body"]
    assert sent[0]["status"] == 429
    headers = dict(sent[0]["headers"])
    assert headers[b"x-guardrail-decision"] == guarded.bills[-1].id.encode()
    assert headers[b"content-type"] == kind
    assert b"retry-after" in headers
    assert guarded.bills[-1].id in json.dumps(json.loads(sent[1]["body"]))


async def test_a_refused_socket_is_else_closed_before_it_is_accepted() -> None:
    app = Echo()
    guarded = Guarded(app, policy({"name": "requests", "rate": "1/minute"}))
    await converse(guarded)
    app.scope = None
    assert await converse(guarded) == [{"type": "websocket.close", "code": 1013, "reason": guarded.bills[-1].id}]
    assert app.scope is None


async def test_bad_credentials_refuse_a_socket_and_pass_in_shadow() -> None:
    for answers in (True, False):
        scope = socket_scope(*TWO_KEYS, answers=answers)
        sent = await converse(Guarded(Echo(), policy()), scope=scope)
        assert sent[0].get("status", sent[0].get("code")) == (400 if answers else 1008)
    app = Echo()
    sent = await converse(Guarded(app, policy(mode="shadow")), "a", scope=socket_scope(*TWO_KEYS))
    assert sent[0]["type"] == "websocket.accept"


async def test_shadow_refuses_no_turn() -> None:
    guarded = Guarded(Echo(), policy({"name": "requests", "rate": "1/minute"}, mode="shadow"))
    sent = await converse(guarded, "a", "b")
    assert [message["type"] for message in sent] == ["websocket.accept", *["websocket.send"] * 3]
    assert len(guarded.bills) == 3


async def test_what_pretends_to_come_from_us_is_stripped() -> None:
    app = Echo()
    await converse(Guarded(app, policy()), scope=socket_scope(KEY, (b"x-guardrail-decision", b"1")))
    assert app.scope["headers"] == [KEY]
    assert app.scope["state"]["guardrail"].subject.account.startswith("a:")


async def test_the_socket_holds_its_slot_and_turns_take_none() -> None:
    slots = {"name": "slots", "concurrency": 1}
    held: list[int] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] == "websocket.receive":
            held.append((await guarded.left())["slots"])

    guarded = Guarded(app, policy({"name": "requests", "rate": "9/minute"}, slots))
    sent = await converse(guarded, "a", "b")
    assert [message["type"] for message in sent] == ["websocket.accept"]
    assert held == [0, 0]
    assert await guarded.left() == {"requests": 6, "slots": 1}


async def test_a_turn_that_meets_a_change_in_standing_takes_no_slot() -> None:
    """The plan is made anew in mid-turn; the slot that it would have taken would never be given back."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        account = scope["state"]["guardrail"].subject.account
        await guarded.store.remember(account, [Change("set", "tier", "gold")])
        await receive()
        assert (await guarded.left())["slots"] == 1

    guarded = Guarded(app, policy({"name": "slots", "concurrency": 2}))
    await converse(guarded, "a")
    assert (await guarded.left())["slots"] == 2


async def test_turns_are_charged_on_the_policy_that_runs_and_leave_its_plans_alone() -> None:
    """The socket began under a policy whose route 0 has no limits; under the new one route 0 is another."""
    old = policy({"name": "few", "rate": "2/minute"}, routes=[{"path": "/v1/**", "limits": []}])
    new = policy({"name": "few", "rate": "2/minute"}, routes=[{"path": "/x/**"}, {"path": "/v1/**"}])

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        guarded.guardrail.apply(load(new))
        while (await receive())["type"] == "websocket.receive":
            pass

    guarded = Guarded(app, old)
    sent = await converse(guarded, "a", "b", "c")
    assert [len(bill.entries) for bill in guarded.bills] == [0, 1, 1, 1]
    assert sent[-1]["code"] == 1013
    assert (await guarded.get("/x/y")).status == 429


@pytest.mark.parametrize(("accepts", "kept"), [(False, 9), (True, 8)])
async def test_a_crash_before_the_accept_costs_nothing_and_after_it_stays(accepts: bool, kept: int) -> None:
    async def crashing(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if accepts:
            await send({"type": "websocket.accept"})
        raise RuntimeError("broken")

    guarded = Guarded(crashing, policy({"name": "requests", "rate": "9/minute"}, {"name": "slots", "concurrency": 1}))
    with pytest.raises(RuntimeError, match="broken"):
        await converse(guarded)
    assert await guarded.left() == {"requests": kept, "slots": 1}


async def test_an_hour_long_socket_keeps_its_slot() -> None:
    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(360):
            guarded.clock.advance(10)
            await guarded.guardrail.renew()
        assert (await guarded.left())["slots"] == 0

    guarded = Guarded(app, policy({"name": "slots", "concurrency": 1}), store=CountingStore(FakeClock()))
    await converse(guarded)
    assert (await guarded.left())["slots"] == 1


async def test_turns_are_free_once_it_is_switched_off() -> None:
    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        guarded.guardrail.apply(load(policy({"name": "few", "rate": "1/minute"}, mode="off")))
        while (await receive())["type"] == "websocket.receive":
            pass

    guarded = Guarded(app, policy({"name": "few", "rate": "1/minute"}))
    sent = await converse(guarded, "a", "b", "c")
    assert [message["type"] for message in sent] == ["websocket.accept"]
    assert len(guarded.bills) == 1


async def test_a_turn_is_not_lost_by_who_gives_up_waiting_for_it() -> None:
    """The store takes its time; an app that waits with a timeout gets the message with its next call."""
    charging = asyncio.Event()

    class Slow(CountingStore):
        async def charge(self, bill: Any) -> Any:
            if len(self.bills) == 1:
                self.bills.append(bill)
                charging.set()
                await asyncio.Event().wait()
            return await super().charge(bill)

    got: list[Any] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        first = asyncio.ensure_future(receive())
        await charging.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        got.append(await receive())
        got.append(await receive())

    guarded = Guarded(app, policy({"name": "few", "rate": "9/minute"}), store=Slow(FakeClock()))
    await converse(guarded, "a")
    assert [message.get("text") for message in got] == ["a", None]


# Judged, and made to wait


def slowed(*limits: Any, at: int = 25) -> dict[str, Any]:
    """Ten points of risk an attempt; who reaches the rung waits for half a second. At 25 it begins with the third."""
    attempts = {"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}
    scorers = [{"use": "velocity", "with": {"attempts": {"from": 0, "full": 10}}}]
    rung = {"at": at, "do": "delay", "with": {"seconds": 0.5}}
    return policy(*limits, velocity=[attempts], risk={"scorers": scorers}, friction={"ladder": [rung]})


async def test_the_slot_is_renewed_while_the_opening_waits() -> None:
    """A lease lasts 30 s. Whoever waits for longer, for want of places or of time, keeps it, and the next finds none."""
    left: list[int] = []

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        await receive()
        left.append((await guarded.left())["slots"])

    async def sleep(seconds: float) -> None:
        assert seconds < 1
        for _ in range(6):
            guarded.clock.advance(10)
            await guarded.guardrail.renew()
        left.append((await guarded.left())["slots"])

    guarded = Guarded(app, slowed({"name": "slots", "concurrency": 1}, at=5))
    guarded.guardrail.sleep = sleep  # type: ignore[method-assign]
    await converse(guarded)
    assert left == [0, 0]
    assert (await guarded.left())["slots"] == 1
    await guarded.guardrail.renew()
    assert (await guarded.left())["slots"] == 1  # what is over is renewed no more


async def test_a_turn_that_meets_a_delay_waits_before_the_app_hears_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The opening is the first attempt, so the second turn is the third."""
    monkeypatch.setattr("guardrail_mw.engine.judgement.random", lambda: 0.5)
    order: list[Any] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            order.append(message["text"])

    async def sleep(seconds: float) -> None:
        order.append(seconds)

    guarded = Guarded(app, slowed())
    guarded.guardrail.sleep = sleep  # type: ignore[method-assign]
    await converse(guarded, "a", "b", "c")
    assert order == ["a", 0.5, "b", 0.5, "c"]
    turns = guarded.guardrail.recorder.latest(4)[:0:-1]  # the opening is written down when the socket ends
    assert [(event["decision"], event["delay_ms"]) for event in turns] == [("allow", 0), ("delay", 500), ("delay", 500)]
    assert guarded.guardrail.engine.judge.waiting.taken == 0
