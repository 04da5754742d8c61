"""One engine: round trips, standings, what the app's answers teach, and the store's failures."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import Bill, Change, Receipt
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.values import Deny

from ..asgi.kit import JSON, KEY, OTHER_KEY, CountingStore, Guarded, Upstream, chat, policy  # noqa: TID252 - the kit of the pipeline's tests

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
REQUESTS = {"name": "requests", "rate": "9/minute"}
STRANGERS = {"name": "strangers", "per": ["network"], "when": {"authenticated": False}, "rate": "5/minute"}


async def test_one_round_trip_however_many_limits() -> None:
    limits = [
        REQUESTS,
        {"name": "tokens", "per": ["account", "model"], "unit": "tokens", "rate": "9000/minute"},
        {"name": "slots", "concurrency": 9},
        {"name": "window", "window": "9/hour"},
        {"name": "month", "budget": "9/month"},
        {"name": "net", "per": ["network"], "rate": "9/minute"},
        {"name": "org", "per": ["organisation"], "rate": "9/minute"},
        {"name": "all", "per": [], "rate": "9/second"},
    ]
    guarded = Guarded(Upstream(), policy(*limits))
    for _ in range(3):
        assert (await guarded.post(CHAT, chat())).status == 200
    assert len(guarded.bills) == 3
    assert [len(entry.steps) for entry in guarded.bills[0].entries] == [6, 1, 1]


async def test_a_change_in_standing_costs_exactly_one_more_round_trip() -> None:
    guarded = Guarded(Upstream(), policy({**REQUESTS, "when": {"tier": "gold"}}))
    await guarded.post(CHAT)
    account = guarded.bills[0].candidate
    assert guarded.bills[0].entries == ()
    for tier, steps in (("gold", 1), ("tin", 0)):
        await guarded.store.remember(account, [Change("set", "tier", tier)])
        before = len(guarded.bills)
        assert (await guarded.post(CHAT)).status == 200
        assert len(guarded.bills) == before + 2
        assert sum(len(entry.steps) for entry in guarded.bills[-1].entries) == steps
        assert (await guarded.post(CHAT)).status == 200
        assert len(guarded.bills) == before + 3
    await guarded.store.remember(account, [Change("set", "label", "what no plan depends on")])
    assert (await guarded.post(CHAT)).status == 200
    assert len(guarded.bills) == 8


async def test_a_stale_bill_is_charged_once() -> None:
    guarded = Guarded(Upstream(), policy(REQUESTS))
    await guarded.post(CHAT)
    await guarded.store.remember(guarded.bills[0].candidate, [Change("set", "verdict", "watched")])
    await guarded.post(CHAT)
    assert await guarded.left() == {"requests": 7}


class Restless(CountingStore):
    """Every charge meets another standing."""

    async def charge(self, bill: Bill) -> Receipt:
        if bill.candidate:
            await self.remember(bill.candidate, [Change("set", "tier", str(len(self.bills)))])
        return await super().charge(bill)


@pytest.mark.parametrize(("on_error", "status"), [("allow", 200), ("deny", 503), ("local", 503)])
async def test_stale_twice_is_on_error(on_error: str, status: int) -> None:
    """The embedded store has no other to fall back on, so that `local` denies there."""
    guarded = Guarded(Upstream(), policy(REQUESTS, store={"on_error": on_error}), store=Restless(FakeClock()))
    assert (await guarded.post(CHAT)).status == status
    assert len(guarded.bills) == 2
    assert guarded.guardrail.counts.read()["engine.undecided"] == 1


@pytest.mark.parametrize("dialect_path", [(CHAT, "error"), ("/v1/messages", "type"), ("/other", "status")])
@pytest.mark.parametrize("on_error", ["allow", "deny"])
async def test_a_store_that_fails(on_error: str, dialect_path: tuple[str, str]) -> None:
    path, key = dialect_path
    limits = [REQUESTS, {"name": "tokens", "unit": "tokens", "rate": "9000/minute"}, {"name": "slots", "concurrency": 1}]
    guarded = Guarded(Upstream(), policy(*limits, store={"on_error": on_error}))
    assert isinstance(guarded.store, CountingStore)
    guarded.store.failure = StoreError("The store failed.", "secret detail")
    answer = await guarded.post(path, chat())
    assert answer.decision
    if on_error == "allow":
        assert answer.status == 200
        assert answer.field("ratelimit") is None
        assert guarded.app.scopes[0]["state"]["guardrail"].readings == ()
        await guarded.app.scopes[0]["state"]["guardrail"].add("requests", 1)
    else:
        assert answer.status == 503
        assert key in answer.json
        assert b"secret" not in answer.body
        assert answer.field("retry-after") in {"1", "2"}
    assert guarded.store.settled == []
    guarded.store.failure = None
    assert (await guarded.post(path, chat())).status == 200


async def test_a_store_that_fails_refuses_nobody_in_shadow() -> None:
    guarded = Guarded(Upstream(), policy(REQUESTS, mode="shadow", store={"on_error": "deny"}))
    assert isinstance(guarded.store, CountingStore)
    guarded.store.failure = StoreError("The store failed.")
    assert (await guarded.post(CHAT)).status == 200
    assert guarded.app.scopes[0]["state"]["guardrail"].would.code == "unavailable"


class Late(CountingStore):
    """Answers after the deadline, as a store without a fallback of its own may."""

    async def charge(self, bill: Bill) -> Receipt:
        receipt = await super().charge(bill)
        return receipt._replace(code="late", readings=())


@pytest.mark.parametrize(("on_error", "status"), [("allow", 200), ("deny", 503)])
async def test_a_late_answer_is_none(on_error: str, status: int) -> None:
    guarded = Guarded(Upstream(), policy(REQUESTS, store={"on_error": on_error}), store=Late(FakeClock()))
    assert (await guarded.post(CHAT)).status == status


async def test_a_store_that_denies_without_a_reason_refuses_nobody() -> None:
    class Broken(CountingStore):
        async def charge(self, bill: Bill) -> Receipt:
            receipt = await super().charge(bill)
            return receipt._replace(code="denied")

    assert (await Guarded(Upstream(), policy(REQUESTS), store=Broken(FakeClock())).post(CHAT)).status == 200


class Remote:
    """A shared store of somebody's making, which is down."""

    def __getattr__(self, verb: str) -> Any:
        async def fail(*_: Any) -> Any:
            raise StoreError("The store failed.")

        return fail

    def settle(self, settlements: Any) -> None:
        raise AssertionError(f"what was decided locally settles locally: {settlements}")


async def test_a_shared_store_that_is_given_falls_back_as_the_policy_says() -> None:
    """Two processes share four requests, so that one alone has two."""
    limits = [
        {"name": "r", "rate": "4/hour"},
        {"name": "slots", "concurrency": 2},
        {"name": "t", "unit": "tokens", "rate": "3000/hour"},
    ]
    secrets = {"GUARDRAIL_ID_KEY": "k" * 32, "GUARDRAIL_KEYS": "s" * 32}
    statuses = {}
    for on_error in ("local", "allow", "deny"):
        document = policy(*limits, store={"on_error": on_error, "processes": 2})
        guarded = Guarded(Upstream(b"{}"), document, store=Remote(), clock=FakeClock(), environ=secrets)
        statuses[on_error] = [(await guarded.post(CHAT, {"max_tokens": 1})).status for _ in range(4)]
    assert statuses == {"local": [200, 200, 429, 429], "allow": [200] * 4, "deny": [503] * 4}


# Keys that only the app can prove


async def test_an_invented_key_pays_by_its_network_and_creates_nothing_of_its_own() -> None:
    app = Upstream(b'{"error": {}}', status=401)
    guarded = Guarded(app, policy(REQUESTS, STRANGERS, trust="app"))
    statuses = [
        (await guarded.post(CHAT, chat(), (b"authorization", b"Bearer invented-%d" % number), JSON)).status
        for number in range(8)
    ]
    assert statuses == [401] * 5 + [429] * 3
    assert isinstance(guarded.store, MemoryStore)
    assert {name[:2] for name in guarded.store._homes.known} == {"n:"}
    assert guarded.store._standings == {}
    assert {bill.payer for bill in guarded.bills} == {guarded.bills[0].payer}
    assert len({bill.candidate for bill in guarded.bills}) == 8


async def test_a_2xx_on_a_metered_route_proves_a_key_and_a_401_unproves_it() -> None:
    app = Upstream()
    guarded = Guarded(app, policy(REQUESTS, STRANGERS, trust="app"))
    await guarded.get("/v1/files")
    await guarded.post("/other")
    app.status = 404
    await guarded.post(CHAT)
    app.status = 302
    await guarded.post(CHAT)
    assert await guarded.left() == {"requests": 5, "strangers": 1}, (
        "a GET, a problem route, a 404 and a redirect prove nothing"
    )
    app.status = 200
    await guarded.post(CHAT)
    before = len(guarded.bills)
    assert (await guarded.post(CHAT)).status == 200
    assert len(guarded.bills) == before + 2, "the process meets the proof: one round trip more"
    assert guarded.bills[-1].proved
    assert guarded.bills[-1].payer == guarded.bills[-1].candidate
    assert await guarded.left() == {"requests": 8}
    assert (await guarded.left(OTHER_KEY))["strangers"] == 0
    assert (await guarded.post(CHAT)).status == 200
    assert len(guarded.bills) == before + 3
    app.status = 401
    assert (await guarded.post(CHAT)).status == 401
    assert (await guarded.post(CHAT)).status == 429, "unproved again: its network has nothing left"
    assert not guarded.bills[-1].proved


async def test_one_process_learns_of_a_proof_that_another_saw() -> None:
    clock = FakeClock()
    store = CountingStore(clock)
    secrets = {"GUARDRAIL_ID_KEY": "k" * 32, "GUARDRAIL_KEYS": "s" * 32}
    document = policy(REQUESTS, STRANGERS, trust="app")
    first, second = (Guarded(Upstream(), document, store=store, environ=secrets) for _ in range(2))
    await second.post(CHAT)
    await first.post(CHAT)
    before = len(store.bills)
    await second.post(CHAT)
    assert len(store.bills) == before + 2
    assert store.bills[-1].proved


async def test_a_stream_that_breaks_off_proves_as_its_status_says() -> None:
    app = Upstream(b"x", RuntimeError("broken"))
    guarded = Guarded(app, policy(REQUESTS, STRANGERS, trust="app"))
    with pytest.raises(RuntimeError):
        await guarded.post(CHAT)
    app.pieces = (b"x",)
    await guarded.post(CHAT)
    assert guarded.bills[-1].proved


async def test_a_failed_request_teaches_nothing() -> None:
    app = Upstream(b"{}", status=500)
    guarded = Guarded(app, policy(REQUESTS, trust="app"))
    await guarded.post(CHAT)
    assert isinstance(guarded.store, CountingStore)
    assert guarded.store._standings == {}
    assert [settlement.outcome for settlement in guarded.store.settled] == ["cancelled"]


async def test_a_proof_by_the_source_needs_no_answer() -> None:
    guarded = Guarded(Upstream(status=401), policy(REQUESTS))
    await guarded.post(CHAT)
    assert isinstance(guarded.store, CountingStore)
    assert guarded.store.settled == []
    assert guarded.bills[0].proved


# Settling


async def test_nothing_to_correct_and_nothing_to_tell_is_not_sent() -> None:
    guarded = Guarded(Upstream(), policy(REQUESTS, {"name": "w", "window": "9/hour"}))
    await guarded.post(CHAT)
    assert isinstance(guarded.store, CountingStore)
    assert guarded.store.settled == []


async def test_an_exchange_is_settled_once() -> None:
    guarded = Guarded(Upstream(b'{"usage": {"prompt_tokens": 1, "completion_tokens": 1}}'),
                      policy({"name": "tokens", "unit": "tokens", "rate": "9000/minute"}))  # fmt: skip
    await guarded.post(CHAT, chat())
    exchange = guarded.app.scopes[0]["state"]["guardrail"]
    exchange.engine.settle(exchange, "failed")
    exchange.engine.cancel(exchange)
    assert isinstance(guarded.store, CountingStore)
    assert len(guarded.store.settled) == 1
    assert await guarded.left() == {"tokens": 8998}


async def test_a_decision_is_a_value_that_cannot_change() -> None:
    guarded = Guarded(Upstream(), policy({"name": "r", "rate": "1/minute"}))
    await guarded.post(CHAT)
    decision = guarded.app.scopes[0]["state"]["guardrail"].decision
    with pytest.raises(AttributeError):
        decision.id = "other"
    answer = await guarded.post(CHAT)
    assert json.loads(answer.body)["error"]["decision"] != decision.id
    assert len(answer.decision) == 24
    int(answer.decision, 16)


async def test_the_callers_own_limit_speaks_before_everyones() -> None:
    """Both refuse: the caller is told of his own (429), although the other's wait is longer."""
    guarded = Guarded(Upstream(), policy({"name": "own", "rate": "1/minute"}, {"name": "all", "per": [], "rate": "1/hour"}))
    assert (await guarded.post(CHAT)).status == 200
    answer = await guarded.post(CHAT)
    assert (answer.status, answer.json["error"]["limit"]) == (429, "own")


async def test_of_several_limits_the_longest_wait_speaks() -> None:
    guarded = Guarded(Upstream(), policy({"name": "short", "rate": "1/second"}, {"name": "long", "rate": "1/minute"}))
    assert (await guarded.post(CHAT)).status == 200
    assert (await guarded.post(CHAT)).json["error"]["limit"] == "long"


def test_refusals_are_constant_words() -> None:
    from guardrail_mw.engine import refusals
    from guardrail_mw.errors import TokenError

    deny = refusals.bad_input("id", TokenError("Public.", "secret", status=401, code="bad"))
    assert deny == Deny("id", "bad", 401, "Public.", ("bad_input",))


async def test_a_long_path_is_not_kept() -> None:
    guarded = Guarded(Upstream(), policy(REQUESTS))
    router = guarded.guardrail.engine.router
    for number in range(3000):
        router.find(f"/v1/{number}", "GET")
    router.find("/v1/" + "x" * 5000, "GET")
    assert len(router._known) <= 2048
    assert all(len(path) <= 2048 for path, _ in router._known)


def _any(value: Any) -> Any:
    return value


async def test_the_cache_of_tariffs_is_bounded() -> None:
    """A client that invents methods makes one tariff of them all."""
    guarded = Guarded(Upstream(), policy(REQUESTS, {"name": "net", "per": ["network"], "rate": "900/minute"}))
    for number in range(200):
        await guarded.get("/v1/x", method=f"M{number}")
    subject = guarded.guardrail.engine.identify(
        _any(type("F", (), {"peer": "198.51.100.7", "headers": [KEY]})),
    )
    assert _any(subject).cache is None
    assert _any(subject).memo is not None
