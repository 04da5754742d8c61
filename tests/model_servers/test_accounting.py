"""The accounting finds what does not agree. Figures are worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from . import accounting
from .accounting import Call, Figures, Gap, Refused
from .kit import Part

PART = Part(
    name="none",
    title="None",
    package="none",
    requirements=(),
    example="none",
    mounted="",
    serve=(),
    calls=("models", "chat", "chat_stream", "chat_broken", "messages_broken"),
    silent=("chat_stream",),
    key="",
    model="m",
    endless=100,
)
SAID = {"prompt_tokens": 50, "completion_tokens": 7, "total_tokens": 57, "prompt_tokens_details": {"cached_tokens": 30}}
CALL = Call("chat", "sync", "d1", SAID, deltas=0, characters=20, asked=41)
STREAM = Call("chat_stream", "sync", "d1", None, deltas=9, characters=30, asked=41)
BROKEN = Call("chat_broken", "sync", "d1", None, deltas=3, characters=9, asked=41)


def event(call: Call, used: Figures | None, *, complete: bool = True, **more: Any) -> dict[str, Any]:
    """The event of a call; 41 characters are estimated at 11 tokens."""
    figures = None if used is None else {**used._asdict(), "complete": complete}
    common = {"id": call.decision, "account": "a:1", "decision": "allow", "status": 200, "estimate": {"input": 11}}
    return {**common, "used": figures, **more}


@pytest.mark.parametrize(
    ("kind", "said", "expected"),
    [
        ("chat", SAID, Figures(20, 30, 0, 7)),
        ("completions", {"prompt_tokens": 5, "completion_tokens": 6, "prompt_tokens_details": None}, Figures(5, 0, 0, 6)),
        ("embeddings", {"prompt_tokens": 8, "total_tokens": 8}, Figures(8, 0, 0, 0)),
        (
            "responses_stream",
            {"input_tokens": 9, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 4}},
            Figures(5, 4, 0, 2),
        ),
        (
            "messages",
            {"input_tokens": 9, "output_tokens": 2, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3},
            Figures(9, 4, 3, 2),
        ),
    ],
)
def test_every_vendors_words(kind: str, said: dict[str, Any], expected: Figures) -> None:
    assert accounting.reported(kind, said) == expected


def test_zeros_for_a_text_are_no_report() -> None:
    none = {"prompt_tokens": 0, "completion_tokens": 0}
    assert accounting.said(replace(STREAM, said=none)) is None
    assert accounting.said(replace(STREAM, said=none, deltas=0, characters=0)) == Figures(0, 0, 0, 0)


@pytest.mark.parametrize(
    ("call", "used", "complete"),
    [
        (CALL, Figures(20, 30, 0, 7), True),
        (STREAM, Figures(11, 0, 0, 9), False),
        (replace(STREAM, characters=41), Figures(11, 0, 0, 11), False),  # 41 / 4, up: more than the deltas
        (BROKEN, Figures(11, 0, 0, 3), False),
        (BROKEN, Figures(11, 0, 0, 99), False),  # more had been sent than was read
        (replace(BROKEN, kind="messages_broken", said={"input_tokens": 6, "output_tokens": 1}), Figures(6, 0, 0, 3), False),
        (replace(CALL, kind="models", said=None, asked=0), None, False),
    ],
)
def test_what_agrees(call: Call, used: Figures | None, complete: bool) -> None:
    assert accounting.checked(call, event(call, used, complete=complete), PART) == []


@pytest.mark.parametrize(
    ("call", "used", "complete", "wrong"),
    [
        (CALL, Figures(50, 0, 0, 7), True, "settled (50, 0, 0, 7), not (20, 30, 0, 7)"),
        (CALL, Figures(20, 30, 0, 7), False, "complete is False"),
        (replace(CALL, asked=45), Figures(20, 30, 0, 7), True, "estimated 11 of input, not 12"),
        (STREAM, Figures(11, 0, 0, 10), False, "settled (11, 0, 0, 10), not (11, 0, 0, 9)"),
        (replace(CALL, kind="chat_stream"), Figures(20, 30, 0, 7), True, "came with usage"),
        (replace(CALL, said=None, deltas=9), Figures(11, 0, 0, 9), False, "came without usage"),
        (BROKEN, Figures(11, 0, 0, 2), False, "settled 2 of output: 3 were seen, all would be 100"),
        (BROKEN, Figures(11, 0, 0, 100), False, "settled 100 of output: 3 were seen, all would be 100"),
        (BROKEN, Figures(0, 0, 0, 3), False, "settled (0, 0, 0) of input, not (11, 0, 0)"),
        (BROKEN, Figures(11, 0, 0, 3), True, "passes for complete"),
        (replace(CALL, kind="models", said=None), Figures(1, 0, 0, 0), False, "for a list of models"),
    ],
)
def test_what_does_not_agree(call: Call, used: Figures, complete: bool, wrong: str) -> None:
    (found,) = accounting.checked(call, event(call, used, complete=complete), PART)
    assert wrong in found


def test_a_call_that_left_no_event_or_was_refused() -> None:
    assert accounting.checked(CALL, None, PART) == ["no event"]
    denied = event(CALL, Figures(20, 30, 0, 7), decision="deny", status=429)
    assert accounting.checked(CALL, denied, PART) == ["deny, 429"]


def ledger(tokens: int, dollars: int) -> list[dict[str, Any]]:
    """Two calls of an account and one of another, and the last call, which reserved 35 tokens and 400 micro-dollars."""
    limits = [
        {"name": "requests", "cost": 1, "remaining": 80},
        {"name": "tokens", "cost": 35, "remaining": 50_000_000 - tokens - 35},
        {"name": "spend", "cost": 400, "remaining": 5_000_000_000 - dollars - 400},
    ]
    mine = [event(CALL, Figures(20, 30, 0, 7)), event(STREAM, Figures(11, 0, 4, 9), complete=False)]
    other = event(CALL, Figures(1000, 0, 0, 1000), account="n:1")
    models = event(CALL, None)
    return [other, *mine, models, event(CALL, Figures(1, 0, 0, 1), limits=limits)]


def test_budgets_miss_what_was_settled() -> None:
    # 20 + 30 + 7 and 11 + 4 + 9 tokens; 3 × (20 + 11 + 4) + 1 × 30 + 15 × (7 + 9) micro-dollars
    assert accounting.balance(ledger(81, 375)) == []
    assert accounting.balance(ledger(80, 375)) == ["tokens: 80 are missing from the limit, 81 were settled"]
    assert accounting.balance(ledger(81, 376)) == ["spend: 376 are missing from the limit, 375 were settled"]


def test_a_balance_of_nothing_shows_nothing() -> None:
    last = ledger(0, 0)[-1]
    assert accounting.balance([last]) == ["the account of the last call used nothing before"]


ERROR = {"message": "Rate limit reached. Limit: requests. d2", "code": "rate_limit_exceeded", "limit": "requests"}
REFUSED = Refused("openai.RateLimitError", 429, {"error": ERROR}, {"x-guardrail-decision": "d2", "retry-after": "40"})
DENIED = {"d2": {"decision": "deny", "status": 429, "used": None}}


def test_a_refusal() -> None:
    assert accounting.refusal(REFUSED, DENIED, "openai") == []
    for faulty in (
        replace(REFUSED, error="openai.APIStatusError"),
        replace(REFUSED, status=503),
        replace(REFUSED, body={"error": {**ERROR, "limit": "tokens"}}),
        replace(REFUSED, body={"detail": "Too many requests"}),
        replace(REFUSED, headers={"x-guardrail-decision": "d2", "retry-after": "0"}),
        replace(REFUSED, headers={"retry-after": "40"}),
    ):
        assert accounting.refusal(faulty, DENIED, "openai") != []
    assert accounting.refusal(REFUSED, {}, "openai") != []


def test_gaps() -> None:
    stream = replace(STREAM, decision="d1", prompt="prose", text="a b c")
    whole = replace(CALL, decision="d2", prompt="prose", text="a b c")
    events = {"d1": event(stream, Figures(11, 0, 0, 9)), "d2": event(whole, Figures(20, 30, 0, 7))}
    assert accounting.gaps([CALL, stream, whole], events, PART) == [Gap("chat_stream", "prose", 11, 50, 9, 7)]
    other = replace(whole, text="something else")
    assert accounting.gaps([stream, other], events, PART) == [Gap("chat_stream", "prose", 11, 50, 9, None)]
    assert accounting.gaps([stream], events, PART) == []
