"""Trimming: what goes, what stays, and that the body that came is never touched."""

from __future__ import annotations

import copy
import json
from typing import Any, get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from guardrail_mw.friction.trim import KEYS, Trimmed, Trimmer, TrimSettings

CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
MESSAGES, BATCHES, EMBEDDINGS = "/v1/messages", "/v1/messages/batches", "/v1/embeddings"


def trim(body: dict[str, Any], path: str = CHAT, **settings: Any) -> Trimmed:
    """What becomes of a body, which must not change itself."""
    before = copy.deepcopy(body)
    found = Trimmer(TrimSettings.model_validate(settings)).trim(body, path)
    assert body == before
    return found


def rewritten(body: dict[str, Any], path: str = CHAT, *names: Any) -> dict[str, Any] | None:
    return trim(body, path, rewrite=list(names)).body


def refused(body: dict[str, Any], path: str, *names: Any) -> tuple[str, ...]:
    return trim(body, path, refuse=list(names)).refused


def test_what_asks_for_nothing_goes_as_it_came() -> None:
    body = {
        "model": "m",
        "messages": [],
        "logprobs": False,
        "n": 1,
        "stream": False,
        "reasoning_effort": "high",
        "top_logprobs": 0,
    }
    everything = ["logprobs", "reasoning", "n", "stream"]
    assert trim(body, rewrite=everything) == Trimmed(None)
    assert trim(body, refuse=[*everything, "batch"]) == Trimmed(None)
    assert trim({**body, "max_tokens": 10}, refuse=[*everything, "batch", {"max_tokens": 10}]) == Trimmed(None)


def test_the_usual_is_logprobs_n_and_reasoning() -> None:
    body = {"model": "m", "n": 4, "logprobs": True, "top_logprobs": 20, "stream": True, "max_tokens": 9999}
    assert trim(body) == Trimmed({"model": "m", "n": 1, "stream": True, "max_tokens": 9999}, ("logprobs", "n"))
    assert Trimmer(TrimSettings()).names == ("logprobs", "n", "reasoning")


def test_the_order_of_keys_stays() -> None:
    body = {"n": 2, "model": "m", "messages": []}
    assert json.dumps(trim(body).body) == '{"n": 1, "model": "m", "messages": []}'


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"logprobs": True, "top_logprobs": 5}, CHAT),
        ({"logprobs": True}, CHAT),
        ({"logprobs": 0}, COMPLETIONS),  # the chosen token's
        ({"logprobs": "5"}, COMPLETIONS),  # some apps read it as a number
        ({"prompt_logprobs": 0}, COMPLETIONS),  # vLLM: the prompt's own
        ({"top_logprobs": 3}, RESPONSES),
        ({"include": ["message.output_text.logprobs"]}, RESPONSES),
        ({"return_logprob": True, "logprob_start_len": 0, "top_logprobs_num": 2}, CHAT),  # SGLang
        ({"n_probs": 10}, CHAT),  # llama.cpp
    ],
)
def test_logprobs(body: dict[str, Any], path: str) -> None:
    assert rewritten({"model": "m", **body}, path, "logprobs") == {"model": "m"}
    assert refused(body, path, "logprobs") == ("logprobs",)


def test_what_else_is_included_stays() -> None:
    body = {"include": ["web_search_call.results", "message.output_text.logprobs", "reasoning.encrypted_content"]}
    assert rewritten(body, RESPONSES, "logprobs") == {"include": ["web_search_call.results", "reasoning.encrypted_content"]}
    assert rewritten(body, RESPONSES, "logprobs", "reasoning") == {"include": ["web_search_call.results"]}


@pytest.mark.parametrize(
    ("body", "after"),
    [
        ({"reasoning": {"effort": "high", "summary": "auto"}}, {"reasoning": {"effort": "high"}}),
        ({"reasoning": {"summary": "detailed"}}, {}),
        ({"reasoning": {"generate_summary": "concise"}}, {}),
        ({"reasoning_effort": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": {"effort": "low"}}),
        ({"include": ["reasoning.encrypted_content"]}, {}),
        ({"include_reasoning": True}, {"include_reasoning": False}),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, {"thinking": {"type": "disabled"}}),
        ({"thinking": {"type": "adaptive", "display": "summarized"}}, {"thinking": {"type": "disabled"}}),
        ({"thinking": True}, {"thinking": {"type": "disabled"}}),
    ],
)
def test_reasoning_loses_its_traces_and_keeps_its_effort(body: dict[str, Any], after: dict[str, Any]) -> None:
    assert rewritten(body, RESPONSES, "reasoning") == after
    assert refused(body, RESPONSES, "reasoning") == ("reasoning",)


@pytest.mark.parametrize(
    "body",
    [
        {"thinking": {"type": "disabled"}},
        {"include_reasoning": False},
        {"reasoning": {"effort": "high"}},
        {"reasoning": {"effort": "high", "summary": None}},
        {"reasoning_effort": "high", "output_config": {"effort": "high"}},
        {"include": "reasoning.encrypted_content"},  # no list: the app's to refuse
    ],
)
def test_effort_alone_is_no_trace(body: dict[str, Any]) -> None:
    assert trim(body, RESPONSES, rewrite=["reasoning"]) == Trimmed(None)


def test_what_is_an_error_without_thinking_goes_with_it() -> None:
    kept = {"type": "clear_tool_uses_20250919"}
    body = {"thinking": {"type": "adaptive"}, "context_management": {"edits": [{"type": "clear_thinking_20251015"}, kept]}}
    assert rewritten(body, MESSAGES, "reasoning") == {
        "thinking": {"type": "disabled"},
        "context_management": {"edits": [kept]},
    }


def test_an_app_that_sends_traces_unasked_is_told_not_to() -> None:
    settings = {"rewrite": ["reasoning"], "include_reasoning": False}
    assert trim({"model": "m"}, CHAT, **settings) == Trimmed({"model": "m", "include_reasoning": False}, ("reasoning",))
    assert trim({"model": "m", "include_reasoning": False}, CHAT, **settings) == Trimmed(None)
    assert trim({"model": "m"}, MESSAGES, **settings) == Trimmed(None)
    assert trim({"model": "m"}, CHAT, rewrite=["reasoning"]) == Trimmed(None)


@pytest.mark.parametrize("body", [{"n": 2}, {"n": 1, "best_of": 8}, {"n": "3"}, {"n": 8, "best_of": 8}])
def test_one_answer(body: dict[str, Any]) -> None:
    assert rewritten(body, COMPLETIONS, "n") == dict.fromkeys(body, 1)
    assert refused(body, COMPLETIONS, "n") == ("n",)


def test_what_no_app_takes_is_the_app_s_to_refuse() -> None:
    assert rewritten({"n": 0, "max_tokens": 0}, COMPLETIONS, "n", {"max_tokens": 5}) is None


def test_no_stream_and_none_of_its_options() -> None:
    body = {"stream": True, "stream_options": {"include_usage": True}}
    assert rewritten(body, CHAT, "stream") == {"stream": False}
    assert rewritten({"stream_options": {}}, CHAT, "stream") is None


@pytest.mark.parametrize(
    ("body", "after"),
    [
        ({"max_tokens": 5000}, {"max_tokens": 1000}),
        ({"max_tokens": 10, "max_completion_tokens": 5000}, {"max_tokens": 10, "max_completion_tokens": 1000}),
        ({"max_output_tokens": 1001}, {"max_output_tokens": 1000}),
        ({"n_predict": -1}, {"n_predict": 1000}),  # without end
        ({"max_tokens": 2000, "min_tokens": 1500}, {"max_tokens": 1000, "min_tokens": 1000}),
        ({"max_tokens": "5000"}, {"max_tokens": 1000}),
    ],
)
def test_a_cap_on_the_output(body: dict[str, Any], after: dict[str, Any]) -> None:
    assert rewritten(body, CHAT, {"max_tokens": 1000}) == after
    assert refused(body, CHAT, {"max_tokens": 1000}) == ("max_tokens",)
    assert rewritten(after, CHAT, {"max_tokens": 1000}) is None


@pytest.mark.parametrize(
    ("path", "put"),
    [
        (CHAT, {"max_completion_tokens": 1000}),
        (f"{CHAT}/", {"max_completion_tokens": 1000}),
        (RESPONSES, {"max_output_tokens": 1000}),
        (COMPLETIONS, None),  # sixteen by itself
        (MESSAGES, None),  # an error by itself
        (EMBEDDINGS, None),
    ],
)
def test_where_an_answer_has_no_end_the_cap_is_put_in(path: str, put: dict[str, Any] | None) -> None:
    found = trim({"model": "m"}, path, rewrite=[{"max_tokens": 1000}])
    assert found.body == (None if put is None else {"model": "m", **put})
    assert refused({"model": "m"}, path, {"max_tokens": 1000}) == (() if put is None else ("max_tokens",))


@pytest.mark.parametrize(
    ("cap", "budget", "thinking"),
    [
        (2000, 4000, {"type": "enabled", "budget_tokens": 1999}),
        (2000, 1999, {"type": "enabled", "budget_tokens": 1999}),
        (1025, 4000, {"type": "enabled", "budget_tokens": 1024}),
        (1024, 4000, {"type": "disabled"}),  # a budget is 1024 at least, and below the cap
    ],
)
def test_a_thinking_budget_stays_below_the_cap(cap: int, budget: int, thinking: dict[str, Any]) -> None:
    body = {"max_tokens": 8000, "thinking": {"type": "enabled", "budget_tokens": budget}}
    assert rewritten(body, MESSAGES, {"max_tokens": cap}) == {"max_tokens": cap, "thinking": thinking}


@pytest.mark.parametrize(
    ("body", "path", "batch"),
    [
        ({"prompt": ["a", "b"]}, COMPLETIONS, True),
        ({"prompt": [[1, 2], [3]]}, COMPLETIONS, True),
        ({"prompt": [1, 2, 3]}, COMPLETIONS, False),
        ({"prompt": ["a"]}, COMPLETIONS, False),
        ({"input": ["a", "b"]}, EMBEDDINGS, True),
        ({"input": [{"role": "user"}, {"role": "user"}]}, RESPONSES, False),
        ({"requests": []}, BATCHES, True),
        ({"input_file_id": "f"}, "/v1/batches/", True),
    ],
)
def test_batches(body: dict[str, Any], path: str, batch: bool) -> None:
    assert refused(body, path, "batch") == (("batch",) if batch else ())


def test_the_requests_of_a_batch_are_trimmed_each() -> None:
    body = {
        "requests": [
            {"custom_id": "a", "params": {"max_tokens": 9, "thinking": {"type": "adaptive"}}},
            {"custom_id": "b", "params": {"max_tokens": 5000}},
            {"custom_id": "c"},
            "d",
        ]
    }
    found = trim(body, BATCHES, rewrite=["reasoning", {"max_tokens": 1000}])
    assert found.names == ("reasoning", "max_tokens")
    assert found.body == {
        "requests": [
            {"custom_id": "a", "params": {"max_tokens": 9, "thinking": {"type": "disabled"}}},
            {"custom_id": "b", "params": {"max_tokens": 1000}},
            {"custom_id": "c"},
            "d",
        ]
    }


def test_a_refusal_names_everything_and_rewrites_nothing() -> None:
    found = trim({"n": 2, "stream": True, "logprobs": True}, CHAT, rewrite=["logprobs"], refuse=["n", "stream"])
    assert found == Trimmed(None, (), ("n", "stream"))
    assert trim({"logprobs": True}, CHAT, rewrite=["logprobs"], refuse=["n", "stream"]) == Trimmed({}, ("logprobs",))


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"rewrite": ["batch"]}, "rewrite.0"),
        ({"rewrite": ["n", "n"]}, "rewrite.1"),
        ({"rewrite": ["n"], "refuse": ["stream", "n"]}, "refuse.1"),
        ({"refuse": [{"max_tokens": 1}, {"max_tokens": 2}]}, "refuse.1"),
    ],
)
def test_settings_that_mean_nothing(settings: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TrimSettings.model_validate(settings)
    assert [each.path for each in caught.value.errors()[0]["ctx"]["problems"]] == [place]


@pytest.mark.parametrize(
    "settings", [{"rewrite": []}, {"rewrite": ["temperature"]}, {"refuse": [{"max_tokens": 0}]}, {"drop": 1}]
)
def test_settings_that_are_none(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TrimSettings.model_validate(settings)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=8) | st.sampled_from(["messages", "model", "tools"]), JSON, max_size=5))
def test_what_has_none_of_the_keys_goes_as_it_came(body: dict[str, Any]) -> None:
    assume(KEYS.isdisjoint(body))
    everything = ["logprobs", "reasoning", "n", "stream", {"max_tokens": 10}]
    assert trim(body, MESSAGES, rewrite=everything, refuse=["batch"]) == Trimmed(None)


@given(
    st.dictionaries(st.sampled_from(sorted(KEYS)), JSON, max_size=6),
    st.sampled_from([CHAT, COMPLETIONS, RESPONSES, MESSAGES]),
)
def test_whatever_stands_there_what_was_trimmed_need_not_be_again(body: dict[str, Any], path: str) -> None:
    settings = {"rewrite": ["logprobs", "reasoning", "n", "stream", {"max_tokens": 10}]}
    found = trim(body, path, **settings)
    if found.body is not None:
        assert trim(found.body, path, **settings) == Trimmed(None)
        assert trim(found.body, path, refuse=settings["rewrite"]).refused == ()


def test_the_vendors_still_call_them_so() -> None:
    """The names are the SDKs' own; one that is renamed would pass untrimmed."""
    from anthropic.types import MessageCreateParams
    from openai.types.chat import completion_create_params as chat

    chats = chat.CompletionCreateParamsNonStreaming.__annotations__
    assert {"logprobs", "top_logprobs", "n", "max_tokens", "max_completion_tokens", "stream_options"} <= chats.keys()
    messages = get_args(MessageCreateParams)[0].__annotations__
    assert {"thinking", "max_tokens"} <= messages.keys()
