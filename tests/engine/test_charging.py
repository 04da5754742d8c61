"""What an engine asks the store for and keeps of its answers, and whom it tells what of them."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.conditions import Traits
from guardrail_mw.engine import planning
from guardrail_mw.engine.exchange import Exchange
from guardrail_mw.engine.judgement import QUIET
from guardrail_mw.errors import StoreError
from guardrail_mw.risk.base import Finding, RiskContext
from guardrail_mw.stores.base import Bill, Change, Receipt
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.values import Estimate, Facts, Standing, Subject

from ..asgi.kit import KEY, CountingStore, Guarded, Upstream, chat, policy  # noqa: TID252 - the kit of the pipeline's tests
from .kit import VERIFIES, shown

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
REQUESTS = {"name": "requests", "rate": "9/minute"}
SECRETS = {"GUARDRAIL_ID_KEY": "k" * 44, "GUARDRAIL_KEYS": "s" * 44}


class Down:
    """A shared store that is down."""

    def __getattr__(self, verb: str) -> Any:
        async def fail(*_: Any) -> Any:
            raise StoreError("The store failed.")

        return fail


async def test_a_401_takes_a_proof_away_and_nothing_else() -> None:
    app = Upstream()
    guarded = Guarded(app, policy(REQUESTS, trust="app"))
    for app.status in (200, 404, 401, 401):
        await guarded.post(CHAT)
    now = str(guarded.clock.now())
    assert [each.changes for each in guarded.store.settled] == [
        (Change("set", "proved", "1"), Change("first", "since", now)),
        (Change("unset", "proved"),),
    ]
    assert [each.outcome for each in guarded.store.settled] == ["settled", "settled"]


async def test_all_that_was_planned_is_forgotten_once_it_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three are kept; with the next, which begins the count anew, the others go."""
    monkeypatch.setattr(planning, "_KEPT_IN_ALL", 3)
    guarded = Guarded(Upstream(), policy(REQUESTS))
    resolver = guarded.guardrail.engine.resolver
    forgotten: list[int] = []
    number = 0
    monkeypatch.setattr(resolver, "forget", lambda: forgotten.append(number))
    for number in range(1, 10):
        await guarded.post(CHAT, None, (b"authorization", b"Bearer sk-%d" % number))
        await guarded.post(CHAT, None, (b"authorization", b"Bearer sk-%d" % number))
    assert forgotten == [4, 8]


async def test_what_rules_may_ask_of_a_request() -> None:
    """What the credential says, unless what is remembered of the account says otherwise."""
    guarded = Guarded(Upstream(), policy(REQUESTS, **VERIFIES))
    engine = guarded.guardrail.engine
    said = {"tier": "tin", "acr": "1", "ial": "2", "organisation_name": "acme", "source": "jwt", "organisation": "o:acme"}
    subject = Subject(account="n:one", candidate="a:one", network="n:one", **said)  # type: ignore[arg-type]
    usual = Traits(
        route=("/v1/**", "/v1/**"), method="POST", model="large", tier="tin", organisation="acme", acr="1", ial="2",
        source="jwt",
    )  # fmt: skip
    remembered = {"proved": "1", "tier": "gold 0", "verdict": "suspect", **shown("4", "3")}
    known = usual._replace(authenticated=True, verified=True, tier="gold", verdict="suspect", acr="3", ial="4")
    for fields, expected in (({}, usual), (remembered, known), ({**shown("4", "3", until=1), "proved": "0"}, usual)):
        engine._standings.put("a:one", Standing(len(fields) + 1, fields))
        exchange = engine.begin(engine.router.find(CHAT, "POST"), Facts("POST", CHAT, []))
        exchange.model = "large"
        engine.plan(exchange, subject)
        assert exchange.traits == expected
        assert exchange.authenticated is expected.authenticated


async def test_a_request_of_no_risk_is_judged_at_once() -> None:
    """Nothing is awaited, and no budget asked."""
    guarded = Guarded(Upstream(), policy(REQUESTS, friction={"ladder": [{"at": 50, "do": "delay"}]}))
    engine = guarded.guardrail.engine
    exchange = engine.begin(engine.router.find(CHAT, "POST"), Facts("POST", CHAT, [KEY]))
    subject = engine.identify(exchange.facts)
    assert isinstance(subject, Subject)
    assert await engine.charge(exchange, engine.plan(exchange, subject)) is None
    assert engine.score(exchange) is None
    assert exchange.judgement is QUIET


async def test_what_was_planned_for_a_subject_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thing alone lies beside it; of more it has two here, and then begins anew. Another route, method or version is more."""
    monkeypatch.setattr(planning, "_KEPT_TARIFFS", 2)
    guarded = Guarded(Upstream(), policy({"name": "each", "per": ["account", "model"], "rate": "9/minute"}))
    engine = guarded.guardrail.engine
    subject = Subject(account="a:one", candidate="a:one", network="n:one", authenticated=True)

    def plan(model: str, path: str = CHAT, method: str = "POST") -> Any:
        exchange = engine.begin(engine.router.find(path, method), Facts(method, path, []))
        exchange.model = model
        tariff = engine.plan(exchange, subject)
        assert (exchange.tariff, exchange.subject, exchange.authenticated) == (tariff, subject, True)
        assert (exchange.traits.model, exchange.traits.method) == (model, method)
        return tariff

    small = plan("small")
    assert plan("small") is small
    assert subject.cache is None
    large = plan("large")
    assert (plan("small"), plan("large"), plan("large")) == (small, large, large)
    assert subject.cache is not None
    assert len(subject.cache) == 2
    assert plan("small", method="PUT") is not small
    assert len(subject.cache) == 1
    assert plan("small") is not small
    for differing in ({"path": "/elsewhere"}, {"method": "PUT"}, {"path": "/v1/messages"}):
        before = plan("small")
        assert plan("small", **differing) is not before
    before = plan("small")
    engine._standings.put("a:one", Standing(7))
    assert plan("small") is not before


@pytest.mark.parametrize(("parent", "said"), [("", "e"), ("n:parent", "n:parent")])
async def test_where_a_network_is_counted_that_cannot_be_told_apart(parent: str, said: str) -> None:
    guarded = Guarded(Upstream(), policy({"name": "net", "per": ["network"], "rate": "9/minute"}))
    engine = guarded.guardrail.engine
    exchange = engine.begin(engine.router.find(CHAT, "POST"), Facts("POST", CHAT, []))
    tariff = engine.plan(exchange, Subject(account="n:mine", network="n:mine", network_parent=parent))
    entries = tariff.entries(Estimate(), lambda _limit, _estimate: 1)
    assert [(entry.home, entry.parent) for entry in entries] == [("n:mine", said)]


async def test_a_refusal_by_the_fallback_is_not_remembered_for_the_store() -> None:
    """The limit is everyone's: another process may have room, and the next request asks."""

    class Once(CountingStore):
        async def charge(self, bill: Bill) -> Receipt:
            receipt = await super().charge(bill)
            if len(self.bills) > 1:
                return receipt
            full = receipt.readings[0]._replace(ok=False, remaining=0, wait=900_000)
            return receipt._replace(code="denied", readings=(full,), local=True)

    guarded = Guarded(Upstream(), policy({"name": "all", "per": [], "rate": "9/minute"}), store=Once(FakeClock()))
    assert [(await guarded.post(CHAT)).status for _ in range(2)] == [503, 200]
    assert len(guarded.bills) == 2


async def test_what_is_recorded_of_refusals_alone_says_of_no_time() -> None:
    """Nobody looked at the clock when it began."""
    guarded = Guarded(Upstream(), policy({"name": "requests", "rate": "1/minute"}))
    guarded.clock.advance(5)
    for _ in range(2):
        await guarded.post(CHAT)
    [event] = guarded.guardrail.recorder.latest(9)
    assert event["duration_ms"] == 0.0


async def test_a_scorer_sees_no_counts_where_nothing_is_counted() -> None:
    seen: list[RiskContext] = []

    class Looks:
        def score(self, context: RiskContext, /) -> tuple[Finding, ...]:
            seen.append(context)
            return ()

    guarded = Guarded(Upstream(), policy(REQUESTS, risk={"scorers": [Looks()]}))
    await guarded.post(CHAT, chat())
    assert [context.counts for context in seen] == [{}]


async def test_what_passed_without_being_counted_has_no_readings() -> None:
    guarded = Guarded(
        Upstream(), policy(REQUESTS, store={"on_error": "allow"}), store=Down(), clock=FakeClock(), environ=SECRETS
    )
    assert (await guarded.post(CHAT)).status == 200
    exchange: Exchange = guarded.app.scopes[0]["state"]["guardrail"]
    assert exchange.readings == ()
    exchange.tariff = None
    assert exchange.readings == ()
    guarded = Guarded(Upstream(), policy(REQUESTS))
    await guarded.post(CHAT)
    exchange = guarded.app.scopes[0]["state"]["guardrail"]
    assert exchange.receipt is not None
    exchange.receipt = exchange.receipt._replace(readings=())
    assert exchange.readings == ()


async def test_how_limits_stand_after_a_request() -> None:
    limits = [REQUESTS, {"name": "tokens", "unit": "tokens", "rate": "9000/minute"}]
    everyone = {"name": "all", "per": [], "unit": "tokens", "rate": "90000/minute"}
    guarded = Guarded(Upstream(), policy(*limits, everyone, reserve={"output": 50}))
    await guarded.post(CHAT, chat(400))
    exchange: Exchange = guarded.app.scopes[0]["state"]["guardrail"]
    assert [(each.name, each.unit, each.remaining, each.reset) for each in exchange.readings] == [
        ("requests", "requests", 8, 6_666_667),
        ("tokens", "tokens", 8850, 1_000_000),
        ("all", "tokens", 89_850, 100_000),
    ]


# What is answered to whom


@pytest.mark.parametrize(
    ("trust", "headers", "unproved"),
    [("app", (KEY,), True), ("gateway", (KEY,), False), ("app", ((b"x-nothing", b"1"),), False)],
)
async def test_who_pays_for_its_network_is_told_so(trust: str, headers: Any, unproved: bool) -> None:
    limits = [{"name": "net", "per": ["network"], "rate": "1/minute"}]
    guarded = Guarded(Upstream(status=404), policy(*limits, trust=trust))
    await guarded.get(CHAT, *headers, method="POST")
    answer = await guarded.get(CHAT, *headers, method="POST")
    message = "Rate limit reached: requests 1/minute."
    also = " It is your network's, for this key has not been accepted yet." if unproved else ""
    assert (answer.status, answer.json["error"]["message"]) == (429, f"{message}{also} Limit: net. Try again in 60 s.")


async def test_who_is_refused_from_memory_is_told_what_the_store_would_have() -> None:
    """For a second at most; by the limit whose wait is the longest."""
    limits = [{"name": "all", "per": [], "rate": "2/minute", "burst": 1}, {"name": "more", "per": [], "rate": "1/minute"}]
    guarded = Guarded(Upstream(), policy(*limits, telemetry={}))
    answers = [await guarded.post(CHAT) for _ in range(2)]
    guarded.clock.advance(0.5)
    answers.append(await guarded.post(CHAT))
    guarded.clock.advance(0.5)
    answers.append(await guarded.post(CHAT))
    assert [answer.status for answer in answers] == [200, 503, 503, 503]
    assert len(guarded.bills) == 3, "the third was not asked for"
    told = [(each["refusal"], each["limits"] != []) for each in guarded.guardrail.recorder.latest(3)[::-1]]
    refusal = {"limit": "more", "kind": "token_bucket", "unit": "requests"}
    assert told == [
        ({**refusal, "wait_ms": 60_000}, True),
        ({**refusal, "wait_ms": 59_500}, False),
        ({**refusal, "wait_ms": 59_000}, True),
    ]
    assert guarded.guardrail.counts.read()["engine.denied_from_memory"] == 1


async def test_what_is_added_that_cannot_be() -> None:
    guarded = Guarded(Upstream(), policy(REQUESTS))
    await guarded.post(CHAT)
    exchange: Exchange = guarded.app.scopes[0]["state"]["guardrail"]
    wrong: Any
    with pytest.raises(
        ValueError, match=r"^unknown unit 'miles'; known are input_tokens, output_tokens, requests, tokens, usd$"
    ):
        await exchange.add("miles", 1)
    for wrong in (-1, 1.0, True, "1", None):
        with pytest.raises(ValueError, match=r"^expected a whole number of at least 0, got "):
            await exchange.add("requests", wrong)
    await exchange.add("requests", 0)
    assert guarded.store.settled == []
    await exchange.add("tokens", 5)
    assert guarded.store.settled == [], "nothing is counted in tokens"
    await exchange.add("requests", 3)
    assert await guarded.left() == {"requests": 5}


async def test_what_the_app_adds_is_no_reservation() -> None:
    """Neither of an account's share of what is everyone's, nor of slots; the rest is owed where it was charged."""
    tokens = {"unit": "tokens", "rate": "9000/minute"}
    limits = [REQUESTS, {"name": "own", **tokens}, {"name": "slots", "concurrency": 3}, {"name": "all", "per": [], **tokens}]
    velocity = [{"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}]
    guarded = Guarded(Upstream(), policy(*limits, velocity=velocity))
    await guarded.post(CHAT, chat())
    exchange: Exchange = guarded.app.scopes[0]["state"]["guardrail"]
    for unit, fields in (("tokens", 2), ("requests", 1), ("usd", 0)):
        guarded.store.settled.clear()
        await exchange.add(unit, 7)
        added = [(each.outcome, each.used, each.changes) for each in guarded.store.settled]
        assert added == ([("settled", (7,) * fields, ())] if fields else [])
        for each in guarded.store.settled:
            steps = [step for entry in each.receipt.bill.entries for step in entry.steps]
            assert [(step.cost, step.reserved) for step in steps] == [(0, False)] * fields
            assert (each.receipt.code, each.receipt.local, each.receipt.open) == ("admitted", False, False)
            assert each.receipt.bill.notes is None
            assert each.receipt.bill.id == exchange.id


async def test_what_is_asked_of_the_store() -> None:
    """Whole bills: of a constant cost, which the store may keep notes on, and of an estimate, on which it may not."""
    tokens = {"name": "tokens", "unit": "tokens", "rate": "9000/minute"}
    for limits, noted in (([REQUESTS], True), ([REQUESTS, tokens], False)):
        guarded = Guarded(Upstream(), policy(*limits))
        await guarded.post(CHAT, chat())
        guarded.clock.advance(1)
        await guarded.post(CHAT, chat())
        first, second = guarded.bills
        known = await guarded.guardrail.peek(first.candidate)
        for bill, seen in ((first, 0), (second, known.standing.seen)):
            assert (bill.payer, bill.version, bill.proved, bill.not_after) == (first.candidate, 0, True, None)
            assert len(bill.id) == 24
            assert (bill.notes is not None) is noted
            assert bill.seen in {0, seen}
        assert (first.notes is second.notes, first.entries is second.entries) == (True, noted)


async def test_what_is_lost_of_attempts_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardrail_mw.engine.missed.MOST", 0)
    velocity = [{"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}]
    guarded = Guarded(Upstream(), policy({"name": "all", "per": [], "rate": "1/minute"}, velocity=velocity))
    for _ in range(4):
        await guarded.post(CHAT)
    counts = guarded.guardrail.counts.read()
    assert (counts["engine.attempts_lost"], counts["engine.denied_from_memory"]) == (2, 2)
