"""Limits through the middleware on the embedded store, on a clock that stands still: figures worked out by hand."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from guardrail_mw.policy import load
from guardrail_mw.testing.clock import FakeClock

from ..asgi.kit import JSON, KEY, OTHER_KEY, CountingStore, Guarded, Upstream, chat, events, policy  # noqa: TID252 - the kit of the pipeline's tests

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
SSE = [(b"content-type", b"text/event-stream")]
TOKENS = {"name": "tokens", "unit": "tokens", "rate": "6000/minute"}
"""100 a second."""
FOUR_UNITS = [
    {"name": "tokens", "unit": "tokens", "rate": "60000/minute"},
    {"name": "input", "unit": "input_tokens", "rate": "60000/minute"},
    {"name": "output", "unit": "output_tokens", "rate": "60000/minute"},
    {"name": "spend", "unit": "usd", "rate": "1/minute"},
]
FULL = {"tokens": 60_000, "input": 60_000, "output": 60_000, "spend": 1_000_000}
PRICES = {"small": {"usd_per_million": {"input": 2, "cached": 0.5, "cache_write": 2.5, "output": 10}}}


def since(left: dict[str, int]) -> dict[str, int]:
    """What was used of the four units."""
    return {name: FULL[name] - left[name] for name in FULL}


def answering(document: Any, status: int = 200) -> Upstream:
    """An app that answers with a JSON document."""
    return Upstream(json.dumps(document).encode(), status=status)


# Kinds


async def test_a_token_bucket_is_exact_at_any_polling_rate() -> None:
    """60 a minute, burst 5, polled every 0.1 s for 20 s: 5 at once, then one a second: 5 + 19 by 19.9 s."""
    guarded = Guarded(Upstream(), policy({"name": "r", "rate": "60/minute", "burst": 5}))
    admitted = 0
    for _ in range(200):
        admitted += (await guarded.post(CHAT)).status == 200
        guarded.clock.advance(0.1)
    assert admitted == 24


async def test_a_bucket_whose_period_does_not_divide() -> None:
    """7 in 10 s is one each 1.428571… s: a burst of 7, then by 10 s exactly 7 more, not one µs earlier."""
    guarded = Guarded(Upstream(), policy({"name": "r", "rate": "7 per 10 seconds"}))
    for _ in range(7):
        assert (await guarded.post(CHAT)).status == 200
    guarded.clock.advance(1.428571)
    assert (await guarded.post(CHAT)).status == 429
    guarded.clock.advance(0.000001)
    assert (await guarded.post(CHAT)).status == 200
    guarded.clock.advance(10 - 1.428572)
    assert [(await guarded.post(CHAT)).status for _ in range(7)] == [200] * 6 + [429]


async def test_a_window_never_holds_more_than_its_amount() -> None:
    """3 an hour in panes of 3 minutes: what is taken at 0:00 is whole until 1:00 and gone by 1:03."""
    guarded = Guarded(Upstream(), policy({"name": "w", "window": "3/hour"}))
    assert [(await guarded.post(CHAT)).status for _ in range(4)] == [200, 200, 200, 429]
    guarded.clock.advance(3599)
    assert (await guarded.post(CHAT)).status == 429
    guarded.clock.advance(181)
    assert (await guarded.post(CHAT)).status == 200


async def test_a_budget_restarts_with_the_month_in_utc() -> None:
    clock = FakeClock(int(datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC).timestamp()) * 1_000_000)
    guarded = Guarded(Upstream(), policy({"name": "b", "budget": "2/month"}), store=CountingStore(clock))
    assert [(await guarded.post(CHAT)).status for _ in range(3)] == [200, 200, 429]
    clock.advance(0.999999)
    assert (await guarded.post(CHAT)).status == 429
    clock.advance(0.000001)
    assert [(await guarded.post(CHAT)).status for _ in range(3)] == [200, 200, 429]
    assert "2026-03-01T00:00:00Z" in (await guarded.post(CHAT)).body.decode()


async def test_a_slot_is_held_during_a_stream_and_given_back_after() -> None:
    held: list[dict[str, int]] = []

    async def look() -> None:
        held.append(await guarded.left())

    guarded = Guarded(Upstream(b"a", look, b"b"), policy({"name": "slots", "concurrency": 2}))
    assert (await guarded.post(CHAT)).status == 200
    assert held == [{"slots": 1}]
    assert await guarded.left() == {"slots": 2}


@pytest.mark.parametrize("pieces", [(RuntimeError("before"),), (b"a", RuntimeError("after")), (asyncio.CancelledError(),),
                                    (b"a", asyncio.CancelledError()), (b"a", OSError("gone"))])  # fmt: skip
async def test_a_slot_comes_back_however_it_ends(pieces: tuple[Any, ...]) -> None:
    guarded = Guarded(Upstream(*pieces), policy({"name": "slots", "concurrency": 1}))
    for _ in range(3):
        with pytest.raises(type(pieces[-1])):
            await guarded.post(CHAT)
    assert await guarded.left() == {"slots": 1}


async def test_a_slot_comes_back_when_the_server_cancels() -> None:
    waiting = asyncio.Event()

    async def wait() -> None:
        waiting.set()
        await asyncio.Event().wait()

    guarded = Guarded(Upstream(b"a", wait), policy({"name": "slots", "concurrency": 1}))
    task = asyncio.create_task(guarded.post(CHAT))
    await waiting.wait()
    assert (await guarded.post(CHAT)).status == 429
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await guarded.left() == {"slots": 1}


async def test_an_hour_long_stream_keeps_its_lease_and_its_reservation() -> None:
    """Unrenewed it would be lost in 30 s. What it reserved refills meanwhile; its 5,000 tokens are owed at the end."""
    seen: list[tuple[int, int]] = []

    async def an_hour() -> None:
        for _ in range(360):
            guarded.clock.advance(10)
            await guarded.guardrail.renew()
        seen.append((len(guarded.guardrail.keeper()._open), (await guarded.left())["slots"]))
        assert (await guarded.post(CHAT, chat())).status == 429

    said, used = {"choices": [{"delta": {"content": "x"}}]}, {"choices": [], "usage": chat_usage(100, 4900)}
    answer = events(said, used, b"[DONE]")
    guarded = Guarded(
        Upstream(answer[0], an_hour, *answer[1:], headers=SSE), policy(TOKENS, {"name": "slots", "concurrency": 1})
    )
    assert (await guarded.post(CHAT, chat(stream=True))).status == 200
    assert seen == [(1, 0)]
    assert await guarded.left() == {"tokens": 6000 - (5000 - 1124), "slots": 1}
    guarded.clock.advance(31)


async def test_unrenewed_it_is_lost() -> None:
    async def a_while() -> None:
        guarded.clock.advance(30.000001)
        assert (await guarded.left())["slots"] == 1

    guarded = Guarded(Upstream(b"a", a_while), policy({"name": "slots", "concurrency": 1}))
    await guarded.post(CHAT)


# Dimensions, conditions, replacements


async def test_several_dimensions_and_models_that_are_not_listed() -> None:
    """2 a minute for each account and model; unlisted ones share `other`, whatever they are called."""
    limit = {"name": "r", "per": ["account", "model"], "rate": "2/minute"}
    models = {"small": {}, "large": {"names": ["large-*"]}}
    guarded = Guarded(Upstream(), policy(limit, models=models))

    async def ask(model: Any, key: tuple[bytes, bytes] = KEY) -> int:
        return (await guarded.post(CHAT, {"model": model}, key, JSON)).status

    assert [await ask("small") for _ in range(3)] == [200, 200, 429]
    assert [await ask(model) for model in ("large-1", "large-2", "large-")] == [200, 200, 429]
    assert [await ask(model) for model in ("invented", "", "other", "large")] == [200, 200, 429, 429]
    assert [await ask("small", OTHER_KEY) for _ in range(3)] == [200, 200, 429]
    fields = {step.field for bill in guarded.bills for entry in bill.entries for step in entry.steps}
    assert len(fields) == 3
    assert max(map(len, fields)) <= 64


async def test_when_and_replaces() -> None:
    limits = [
        {"name": "requests", "rate": "1/minute"},
        {"name": "gold", "replaces": "requests", "when": {"tier": "gold"}, "rate": "3/minute"},
        {"name": "reads", "when": {"method": ["GET"]}, "rate": "9/minute"},
        {"name": "chat", "when": {"route": "/v1/**"}, "rate": "8/minute"},
    ]
    guarded = Guarded(Upstream(), policy(*limits))
    assert await guarded.left(path="/v1/x") == {"requests": 1, "chat": 8}
    assert await guarded.left(path="/v1/x", method="GET") == {"requests": 1, "reads": 9, "chat": 8}
    assert await guarded.left(path="/x") == {"requests": 1}
    await guarded.post(CHAT)
    account = guarded.app.scopes[0]["state"]["guardrail"].subject.account
    from guardrail_mw.stores.base import Change

    await guarded.store.remember(account, [Change("set", "tier", "gold")])
    assert [(await guarded.post(CHAT)).status for _ in range(4)] == [200, 200, 200, 429]
    assert await guarded.left(path="/v1/x") == {"gold": 0, "chat": 4}


async def test_a_shadow_limit_never_refuses_and_lets_the_others_charge() -> None:
    guarded = Guarded(
        Upstream(), policy({"name": "s", "rate": "1/minute", "shadow": True}, {"name": "r", "rate": "3/minute"})
    )
    assert [(await guarded.post(CHAT)).status for _ in range(4)] == [200, 200, 200, 429]
    assert await guarded.left() == {"s": 0, "r": 0}


async def test_keep_refuses_strangers_first() -> None:
    """10 a minute, 30% kept: strangers are shed once 3 are left, and the authenticated take those."""
    capacity = {"name": "capacity", "per": [], "rate": "10/minute", "keep": "30%"}
    guarded = Guarded(Upstream(), policy(capacity))
    nobody = ((b"x-other", b"1"),)
    assert [(await guarded.post(CHAT, None, *nobody)).status for _ in range(8)] == [200] * 7 + [503]
    assert [(await guarded.post(CHAT)).status for _ in range(4)] == [200] * 3 + [503]


async def test_a_shared_refusal_is_remembered_for_a_second_at_most() -> None:
    """1 in 10 s: the second request asks the store, those within a second do not, the one after it does."""
    guarded = Guarded(
        Upstream(), policy({"name": "capacity", "per": [], "rate": "1 per 10 seconds"}, {"name": "r", "rate": "9/minute"})
    )
    statuses = [(await guarded.post(CHAT)).status for _ in range(5)]
    assert statuses == [200, 503, 503, 503, 503]
    assert len(guarded.bills) == 2
    answer = await guarded.post(CHAT)
    assert answer.field("ratelimit") is None, "how the caller's own limit stands was not asked"
    guarded.clock.advance(0.999999)
    assert (await guarded.post(CHAT)).status == 503
    assert len(guarded.bills) == 2
    guarded.clock.advance(0.000001)
    assert (await guarded.post(CHAT)).status == 503
    assert len(guarded.bills) == 3
    guarded.clock.advance(9)
    assert (await guarded.post(CHAT)).status == 200
    assert (await guarded.left())["r"] == 8, "the refused ones were not charged on it, and the first has refilled"


async def test_the_memory_of_a_refusal_ends_with_its_wait() -> None:
    guarded = Guarded(Upstream(), policy({"name": "capacity", "per": [], "rate": "10/second", "burst": 1}))
    assert [(await guarded.post(CHAT)).status for _ in range(3)] == [200, 503, 503]
    guarded.clock.advance(0.1)
    assert (await guarded.post(CHAT)).status == 200


# Reserving and settling


def chat_usage(prompt: int, completion: int, **details: Any) -> Any:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **details}


# Of 1,000 input tokens 600 are cached; 200 of output. usd: 400 × 2 + 600 × 0.5 + 200 × 10 = 3,100 micro-dollars.
USED = {"tokens": 1200, "input": 1000, "output": 200, "spend": 3100}
DETAILS = {"cached_tokens": 600}
RESPONSE = {"input_tokens": 1000, "input_tokens_details": DETAILS, "output_tokens": 200}
MESSAGE = {"input_tokens": 400, "cache_read_input_tokens": 600, "cache_creation_input_tokens": 0, "output_tokens": 200}
SHAPES: dict[str, tuple[str, Any]] = {
    "chat": (CHAT, {"choices": [], "usage": chat_usage(1000, 200, prompt_tokens_details=DETAILS)}),
    "completions": ("/v1/completions", {"choices": [{"text": "x"}],
                                        "usage": chat_usage(1000, 200, prompt_tokens_details=DETAILS)}),
    "responses": ("/v1/responses", {"object": "response", "output": [], "usage": RESPONSE}),
    "messages": ("/v1/messages", {"type": "message", "content": [], "usage": MESSAGE}),
    "chat stream": (CHAT, [{"choices": [{"delta": {"content": "x"}}], "usage": None},
                           {"choices": [], "usage": chat_usage(1000, 200, prompt_tokens_details=DETAILS)}, b"[DONE]"]),
    "usage in the finish chunk": (CHAT, [{"choices": [{"delta": {"content": "x"}}]},
                                         {"choices": [{"delta": {}, "finish_reason": "stop"}],
                                          "usage": chat_usage(1000, 200, prompt_tokens_details=DETAILS)}, b"[DONE]"]),
    "responses stream": ("/v1/responses", [{"type": "response.created", "response": {"usage": None}},
                                           {"type": "response.output_text.delta", "delta": "x"},
                                           {"type": "response.completed", "response": {"usage": RESPONSE}}]),
    "messages stream": ("/v1/messages", [{"type": "message_start", "message": {"usage": {**MESSAGE, "output_tokens": 1}}},
                                         {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x"}},
                                         {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 200}},
                                         {"type": "message_stop"}]),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
async def test_what_was_reserved_becomes_what_was_used(shape: str) -> None:
    """Reserved: 400 characters / 4 and the cap of 50: 150 tokens, 100 × 2 + 50 × 10 = 700 micro-dollars."""
    path, document = SHAPES[shape]
    streamed = isinstance(document, list)
    app = Upstream(*events(*document), headers=SSE) if streamed else answering(document)
    reserved: list[dict[str, int]] = []

    async def look(_scope: Any) -> None:
        reserved.append(since(await guarded.left(path=path)))

    app.before = look
    guarded = Guarded(app, policy(*FOUR_UNITS, models=PRICES))
    answer = await guarded.post(path, chat(400, max_tokens=50, stream=streamed))
    assert answer.status == 200
    assert reserved == [{"tokens": 150, "input": 100, "output": 50, "spend": 700}]
    assert since(await guarded.left(path=path)) == USED
    await guarded.guardrail.drain()
    assert len(guarded.bills) == 1


async def test_embeddings_reserve_no_output_and_are_charged_by_the_item() -> None:
    """Three inputs of 40 characters: 30 tokens; 36 were used; 36 × 2 micro-dollars."""
    app = answering({"data": [], "usage": {"prompt_tokens": 36, "total_tokens": 36}})
    guarded = Guarded(app, policy(*FOUR_UNITS, {"name": "requests", "rate": "5/minute"}, models=PRICES))
    body = {"model": "small", "input": ["x" * 40] * 3}
    assert (await guarded.post("/v1/embeddings", body)).status == 200
    assert [step.cost for step in guarded.bills[0].entries[0].steps] == [30, 30, 0, 60, 3]  # type: ignore[union-attr]
    left = await guarded.left()
    assert since(left) == {"tokens": 36, "input": 36, "output": 0, "spend": 72}
    assert left["requests"] == 2
    answer = await guarded.post("/v1/embeddings", {**body, "input": ["x"] * 3})
    assert answer.status == 429
    answer = await guarded.post("/v1/embeddings", {**body, "input": ["x"] * 6})
    assert (answer.status, answer.json["error"]["code"]) == (400, "exceeds_limit")
    assert (await guarded.left())["requests"] == 1, "what never fits counts as one request"


async def test_a_model_without_a_price_costs_as_the_dearest() -> None:
    guarded = Guarded(answering({"usage": chat_usage(100, 100)}), policy(*FOUR_UNITS, models=PRICES))
    await guarded.post(CHAT, {"model": "unheard-of", "messages": []})
    assert since(await guarded.left())["spend"] == 100 * 2 + 100 * 10


async def test_dollars_are_rounded_up_once() -> None:
    """One token at 0.3 and one at 0.3 dollars a million are 0.6 micro-dollars: 1, not 2."""
    prices = {"small": {"usd_per_million": {"input": 0.3, "output": 0.3}}}
    guarded = Guarded(answering({"usage": chat_usage(1, 1)}), policy(*FOUR_UNITS, models=prices))
    await guarded.post(CHAT, chat(4, max_tokens=1))
    assert since(await guarded.left())["spend"] == 1


async def test_a_4xx_keeps_the_request_and_returns_its_tokens() -> None:
    app = answering({"error": {}}, status=404)
    guarded = Guarded(app, policy(TOKENS, {"name": "requests", "rate": "5/minute"}))
    assert (await guarded.post(CHAT, chat())).status == 404
    assert await guarded.left() == {"tokens": 6000, "requests": 4}


@pytest.mark.parametrize("status", [500, 502, 503, 529])
async def test_a_5xx_costs_nothing(status: int) -> None:
    limits = [
        TOKENS,
        {"name": "requests", "rate": "5/minute"},
        {"name": "w", "window": "5/hour"},
        {"name": "b", "budget": "5/day"},
    ]
    guarded = Guarded(answering({}, status=status), policy(*limits))
    assert (await guarded.post(CHAT, chat())).status == status
    assert await guarded.left() == {"tokens": 6000, "requests": 5, "w": 5, "b": 5}


async def test_an_exception_after_the_first_byte_pays_what_was_sent() -> None:
    """Prompt 100, and three events of one token each."""
    sent = events(*({"choices": [{"delta": {"content": "x"}}]} for _ in range(3)))
    guarded = Guarded(
        Upstream(*sent, RuntimeError("broken"), headers=SSE), policy(TOKENS, {"name": "requests", "rate": "5/minute"})
    )
    with pytest.raises(RuntimeError):
        await guarded.post(CHAT, chat(400, stream=True))
    assert await guarded.left() == {"tokens": 6000 - 103, "requests": 4}


@pytest.mark.parametrize("ending", ["cancelled", "send fails"])
@pytest.mark.parametrize(("text", "output"), [("x", 20), ("x" * 40, 200)])
async def test_who_hangs_up_pays_the_prompt_and_what_was_sent(ending: str, text: str, output: int) -> None:
    """Twenty events: a token each, or their characters / 4 where that is more."""
    one = events({"choices": [{"delta": {"content": text}}]})[0]

    async def cut() -> None:
        raise asyncio.CancelledError if ending == "cancelled" else OSError("gone")

    guarded = Guarded(Upstream(*[one] * 20, cut, headers=SSE), policy(TOKENS, {"name": "requests", "rate": "5/minute"}))
    with pytest.raises((asyncio.CancelledError, OSError)):
        await guarded.post(CHAT, chat(400, stream=True))
    assert await guarded.left() == {"tokens": 6000 - 100 - output, "requests": 4}


async def test_who_hangs_up_before_the_first_byte_pays_the_prompt() -> None:
    guarded = Guarded(Upstream(asyncio.CancelledError()), policy(TOKENS, {"name": "requests", "rate": "5/minute"}))
    with pytest.raises(asyncio.CancelledError):
        await guarded.post(CHAT, chat(400))
    assert await guarded.left() == {"tokens": 5900, "requests": 4}


async def test_what_was_underestimated_is_owed() -> None:
    """6,000 a minute, 9,000 used: 3,000 owed, which takes 30 s; then 1,124 must be there: 11.24 s more."""
    guarded = Guarded(answering({"usage": chat_usage(1000, 8000)}), policy(TOKENS))
    assert (await guarded.post(CHAT, chat(400))).status == 200
    answer = await guarded.post(CHAT, chat(400))
    assert answer.status == 429
    assert answer.field("ratelimit") == '"tokens";r=0;t=42'
    assert 41_240 <= int(answer.field("retry-after-ms") or 0) <= 51_550
    guarded.clock.advance(41.239999)
    assert (await guarded.post(CHAT, chat(400))).status == 429
    guarded.clock.advance(0.000001)
    assert (await guarded.post(CHAT, chat(400))).status == 200


async def test_an_estimate_above_the_burst_reserves_the_burst() -> None:
    guarded = Guarded(answering({"usage": chat_usage(5, 5)}), policy(TOKENS))
    assert (await guarded.post(CHAT, chat(400_000))).status == 200
    assert guarded.bills[0].entries[0].steps[0].cost == 6000  # type: ignore[union-attr]
    assert await guarded.left() == {"tokens": 5990}


async def test_strict_reserves_all_and_refuses_what_never_fits() -> None:
    """A cap of 5,000 and a prompt of 100: 5,100 of 6,000; 6,000 and 100 can never fit."""
    for document in (policy({**TOKENS, "strict": True}), policy({**TOKENS, "strict": True}, reserve={"strict": True})):
        guarded = Guarded(answering({"usage": chat_usage(5, 5)}), document)
        assert (await guarded.post(CHAT, chat(400, max_tokens=5000))).status == 200
        assert guarded.bills[0].entries[0].steps[0].cost == 5100  # type: ignore[union-attr]
        answer = await guarded.post(CHAT, chat(400, max_tokens=6000))
        assert (answer.status, answer.json["error"]["code"]) == (400, "exceeds_limit")
        assert await guarded.left() == {"tokens": 5990}
    likely = Guarded(answering({}), policy(TOKENS))
    await likely.post(CHAT, chat(400, max_tokens=6000))
    assert likely.bills[0].entries[0].steps[0].cost == 1124  # type: ignore[union-attr]


async def test_one_account_holds_a_tenth_of_what_is_everyones() -> None:
    """100,000 a minute for all: 10,000 an account in open reservations; ten of 1,024 and their prompts are too many."""
    capacity = {"name": "capacity", "per": [], "unit": "tokens", "rate": "100000/minute"}
    started, going_on = asyncio.Semaphore(0), asyncio.Event()

    async def wait() -> None:
        started.release()
        await going_on.wait()

    guarded = Guarded(Upstream(wait, json.dumps({"usage": chat_usage(1, 1)}).encode()), policy(capacity))
    tasks = [asyncio.create_task(guarded.post(CHAT, chat(400))) for _ in range(8)]
    for _ in range(8):
        await started.acquire()
    answer = await guarded.post(CHAT, chat(400 * 10))
    assert answer.status == 429, "8 × 1,124 = 8,992; 1,000 + 1,024 more is over 10,000"
    assert "capacity" in answer.body.decode()
    others = asyncio.create_task(guarded.post(CHAT, chat(4000), OTHER_KEY, JSON))
    await started.acquire()
    going_on.set()
    assert [answer.status for answer in await asyncio.gather(*tasks, others)] == [200] * 9
    assert (await guarded.post(CHAT, chat(4000))).status == 200
    assert await guarded.left() == {"capacity": 100_000 - 10 * 2}


# Adding


@pytest.mark.parametrize("metered", [True, False])
async def test_the_app_adds_what_only_it_knows(metered: bool) -> None:
    async def add(scope: Any) -> None:
        exchange = scope["state"]["guardrail"]
        await exchange.add("requests", 2)
        await exchange.add("tokens", 500)
        await exchange.add("usd", 250_000)
        await exchange.add("output_tokens", 0)
        with pytest.raises(ValueError, match="unknown unit"):
            await exchange.add("images", 1)
        for bad in (-1, 1.5, True, "1"):
            with pytest.raises(ValueError, match="whole number"):
                await exchange.add("tokens", bad)

    app = answering({"usage": chat_usage(100, 10)})
    app.before = add
    limits = [
        *FOUR_UNITS,
        {"name": "requests", "rate": "5/minute"},
        {"name": "w", "window": "9/hour"},
        {"name": "b", "budget": "9/day"},
    ]
    guarded = Guarded(app, policy(*limits, models=PRICES))
    path = CHAT if metered else "/other"
    assert (await guarded.post(path, chat(400, max_tokens=10))).status == 200
    left = await guarded.left()
    if metered:
        assert since(left) == {"tokens": 610, "input": 100, "output": 10, "spend": 250_300}
    else:
        assert since(left) == {"tokens": 500, "input": 0, "output": 0, "spend": 250_000}
    assert (left["requests"], left["w"], left["b"]) == (2, 6, 6)


async def test_what_is_added_beyond_the_limit_is_owed_and_then_refuses() -> None:
    """Unmetered routes in debt are refused, others pass at no cost."""

    async def add(scope: Any) -> None:
        await scope["state"]["guardrail"].add("tokens", 7000)

    app = Upstream()
    guarded = Guarded(app, policy(TOKENS))
    assert (await guarded.post("/other")).status == 200
    app.before = add
    assert (await guarded.post("/other")).status == 200
    assert (await guarded.post("/other")).status == 429
    guarded.clock.advance(10)
    assert (await guarded.post("/other")).status == 200


# Reloading


async def test_a_receipt_settles_on_the_plan_that_it_was_charged_on() -> None:
    """Charged under the old policy's limit; the reload drops it for another, which is not touched."""
    old, new = (
        policy(TOKENS),
        policy({"name": "tokens", "unit": "tokens", "rate": "9000/minute"}, {"name": "more", "rate": "5/minute"}),
    )

    async def reload(_scope: Any) -> None:
        guarded.guardrail.apply(load(new))
        assert (await guarded.left())["tokens"] == 9000

    app = answering({"usage": chat_usage(100, 1900)})
    app.before = reload
    guarded = Guarded(app, old)
    assert (await guarded.post(CHAT, chat())).status == 200
    assert await guarded.left() == {"tokens": 9000, "more": 5}
    guarded.guardrail.apply(load(old))
    assert await guarded.left() == {"tokens": 4000}


async def test_a_limit_that_did_not_change_goes_on_after_a_reload() -> None:
    guarded = Guarded(Upstream(), policy({"name": "r", "rate": "3/minute"}))
    await guarded.post(CHAT)
    guarded.guardrail.apply(load(policy({"name": "new", "rate": "9/minute"}, {"name": "r", "rate": "3/minute"})))
    assert await guarded.left() == {"new": 9, "r": 2}


async def test_room_for_bodies_follows_the_policy_that_runs() -> None:
    """256 MiB are taken; the reload allows 512."""
    guarded = Guarded(answering({}), policy(TOKENS))
    guarded.middleware._budget.used = 256 * 1024 * 1024
    assert (await guarded.post(CHAT, chat())).status == 503
    guarded.guardrail.apply(load(policy(TOKENS, inspect={"budget": "512MiB"})))
    assert (await guarded.post(CHAT, chat())).status == 200


async def test_what_refused_a_batch_may_have_room_for_one() -> None:
    """Three of five are taken: a batch of three is refused, and nothing of that is remembered."""
    document = policy({"name": "all", "per": [], "rate": "5/minute"}, TOKENS)
    guarded = Guarded(answering({}), document)
    three = {"model": "small", "input": ["x"] * 3}
    assert [(await guarded.post("/v1/embeddings", three)).status for _ in range(2)] == [200, 503]
    assert (await guarded.post("/v1/embeddings", {**three, "input": "x"})).status == 200
