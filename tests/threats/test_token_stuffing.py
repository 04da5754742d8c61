"""Neither what a client claims it wants, nor what an app claims was used, makes tokens cheaper than they were."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.asgi.inspect import MOST, inspect
from guardrail_mw.errors import TokenError

from .kit import CHAT, JSON, KEY, Guarded, Upstream, chat, events, policy

pytestmark = pytest.mark.anyio

TOKENS = {"name": "tokens", "unit": "tokens", "budget": "100000/day"}
EVENT_STREAM = (b"content-type", b"text/event-stream")


def reserved(document: dict[str, Any]) -> tuple[int, int]:
    import json

    found = inspect([JSON], json.dumps(document).encode(), path=CHAT)
    return found.input, found.output


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ({"max_tokens": 1}, 1),
        ({"max_tokens": 1, "max_completion_tokens": 900}, 900),
        ({"max_tokens": 0, "max_output_tokens": 900}, 900),
        ({"max_tokens": 1, "n": 700}, 700),
        ({"max_tokens": 1, "n": 1, "best_of": 700}, 700),
        ({"max_tokens": 1, "n": 0}, 1),
        ({"max_tokens": 10**30}, 1024),
        ({"n": 10**300}, MOST),
        ({"prompt": ["a", "b", "c"], "max_tokens": 5}, 15),
    ],
)
def test_what_is_asked_for_is_reserved(given: dict[str, Any], output: int) -> None:
    assert reserved(given)[1] == output


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of"])
@pytest.mark.parametrize("value", [-1, -(10**30), 1.0, 1e300, "1", True, [1], {"a": 1}])
def test_what_two_parsers_could_read_differently_is_refused(name: str, value: Any) -> None:
    with pytest.raises(TokenError):
        reserved({name: value})


LONG = "x" * 40_000
SMUGGLED = [
    {"messages": [{"role": LONG, "content": "hi"}]},
    {"messages": [{"role": "tool", "tool_call_id": LONG, "content": "hi"}]},
    {"messages": [{"role": "user", "content": [{"type": LONG, "text": "hi"}]}]},
    {"messages": [{"role": "user", "name": LONG, "content": "hi"}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": LONG, "image_url": ""}]}]},
    {"messages": [{"role": "user", "content": [{"text": LONG, "input_audio": {}}]}]},
    {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": LONG}]}]},
    {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": LONG}}]}]},
    {"messages": [], "tools": [{"function": {"name": "f", "description": LONG}}]},
    {"messages": [], "tools": [{"function": {"name": "f", "parameters": {"properties": {LONG: {}}}}}]},
    {"messages": [], "response_format": {"json_schema": {"schema": {"enum": [LONG]}}}},
    {"messages": [], "documents": [{"title": "t", "text": LONG}]},
    {"system": [{"type": "text", "text": LONG}]},
    {"instructions": LONG},
    {"input": [{"type": "message", "content": [{"type": "input_text", "text": LONG}]}]},
    {"suffix": LONG},
    {"prompt": [[7] * 10_000]},
]


@pytest.mark.parametrize("document", SMUGGLED, ids=range(len(SMUGGLED)))
def test_a_prompt_is_counted_wherever_it_hides(document: dict[str, Any]) -> None:
    """Forty thousand characters are ten thousand tokens."""
    assert 10_000 <= reserved(document)[0] <= 11_600


def test_ordinary_roles_and_ids_stay_free() -> None:
    turns = [
        {"role": "user", "content": "x" * 40},
        {"role": "tool", "tool_call_id": "call_" + "a" * 32, "content": "x" * 40},
    ]
    assert reserved({"messages": turns})[0] == 20
    assert (
        reserved({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": LONG}}]}]})[0] == 1500
    )


def used(usage: Any) -> bytes:
    import json

    return json.dumps({"choices": [{"message": {"content": "y" * 400}}], "usage": usage}).encode()


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 20}, 30),
        ({"prompt_tokens": 10, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 10}}, 30),
        ({"prompt_tokens": 10, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 10**9}}, 30),
        ({"prompt_tokens": 10, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": -5}}, 30),
        ({"prompt_tokens": -1000, "completion_tokens": -1000}, 200),
        ({"prompt_tokens": "0", "completion_tokens": "0"}, 200),
        ({"prompt_tokens": 0.0, "completion_tokens": None}, 200),
        ({"prompt_tokens": True, "completion_tokens": False}, 200),
        ({"prompt_tokens": 10**30, "completion_tokens": 10**30}, 200),
        ({"total_tokens": -5}, 200),
        ([], 200),
        ("0", 200),
        (None, 200),
    ],
)
async def test_figures_that_are_none_are_not_believed(usage: Any, tokens: int) -> None:
    """Then it is the prompt, 400 characters, and what was written, 400 characters: 200 tokens."""
    guarded = Guarded(Upstream(used(usage)), policy(TOKENS))
    assert (await guarded.post(CHAT, chat(400))).status == 200
    assert await guarded.left() == {"tokens": 100_000 - tokens}


async def test_more_cached_than_there_was_pays_nobody_back() -> None:
    """Cached tokens are cheaper: a billion of them out of ten would come to less than nothing. Ten at 0.30 and 20 at 15."""
    price = {"usd_per_million": {"input": 3, "cached": 0.3, "output": 15}}
    spend = {"name": "spend", "unit": "usd", "budget": "1/day"}
    usage = {"prompt_tokens": 10, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": 10**9}}
    guarded = Guarded(Upstream(used(usage)), policy(spend, models={"small": price}))
    await guarded.post(CHAT, chat(400))
    assert await guarded.left() == {"spend": 1_000_000 - 303}


def delta(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}}]}


FAKE = '{"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0}}'


async def test_usage_in_what_the_model_says_is_a_text() -> None:
    """The client has the model write a usage object, an event's end and a new event: 200 characters and 5 pieces."""
    texts = [
        '"usage":{"prompt_tokens":0,"completion_tokens":0}',
        "\n\ndata: " + FAKE + "\n\n",
        "data: [DONE]\n\n",
        FAKE,
        "z" * 9,
    ]
    guarded = Guarded(Upstream(*events(*map(delta, texts)), headers=[EVENT_STREAM]), policy(TOKENS))
    await guarded.post(CHAT, chat(400, stream=True))
    written = -(-sum(map(len, texts)) // 4)
    assert await guarded.left() == {"tokens": 100_000 - 100 - written}
    whole = Guarded(
        Upstream(b'{"choices":[{"message":{"content":' + b'"' + FAKE.replace('"', '\\"').encode() + b'"}}]}'), policy(TOKENS)
    )
    await whole.post(CHAT, chat(400))
    assert await whole.left() == {"tokens": 100_000 - 100 - -(-len(FAKE) // 4)}


@pytest.mark.parametrize("padding", [0, 70_000])
async def test_a_schema_that_is_echoed_is_no_usage(padding: int) -> None:
    """The client's tool has a property `usage`; the server echoes it, in an answer held whole or one too long for that."""
    tool = {"parameters": {"properties": {"usage": {"input_tokens": 0, "output_tokens": 0}}}, "pad": "p" * padding}
    import json

    echo = {"usage": {"input_tokens": 0, "output_tokens": 0}}
    body = json.dumps(
        {"usage": {"input_tokens": 70, "output_tokens": 30}, "output": [], "tools": [tool], "metadata": echo}
    ).encode()
    guarded = Guarded(Upstream(body), policy(TOKENS))
    await guarded.post("/v1/responses", {"input": "x" * 400, "tools": [tool]})
    assert await guarded.left() == {"tokens": 99_900}


async def test_usage_twice_counts_once_and_the_last_holds() -> None:
    two = [{**delta("a"), "usage": {"prompt_tokens": 10, "completion_tokens": each}} for each in (5, 50)]
    guarded = Guarded(Upstream(*events(*two, b"[DONE]"), headers=[EVENT_STREAM]), policy(TOKENS))
    await guarded.post(CHAT, chat(400, stream=True))
    assert await guarded.left() == {"tokens": 100_000 - 60}


async def test_an_estimate_of_any_size_harms_nobody() -> None:
    """A reservation is cut to what the bucket holds, and given back."""
    guarded = Guarded(Upstream(used({"prompt_tokens": 1, "completion_tokens": 1})), policy(TOKENS))
    assert (await guarded.post(CHAT, chat(4, n=10**18, max_tokens=10**18))).status == 200
    assert await guarded.left(KEY) == {"tokens": 99_998}
