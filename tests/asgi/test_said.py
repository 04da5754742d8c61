"""What of a body is the system prompt, and what the user has just said; nothing is read where nobody asks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail_mw.asgi.inspect import estimate, inspect
from guardrail_mw.asgi.prompt import LONGEST, said
from guardrail_mw.values import Content

USER = {"role": "user", "content": "first"}
ASSISTANT = {"role": "assistant", "content": "answer"}
CALLING = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": "{}"}}]}


def text(*parts: str, kind: str = "text") -> list[dict[str, str]]:
    return [{"type": kind, "text": part} for part in parts]


@pytest.mark.parametrize(
    ("document", "system", "last"),
    [
        # OpenAI, chat completions
        ({"messages": [USER]}, "", "first"),
        ({"messages": [{"role": "system", "content": "Be brief."}, USER]}, "Be brief.", "first"),
        ({"messages": [{"role": "developer", "content": text("Be", "brief.")}, USER]}, "Be\nbrief.", "first"),
        ({"messages": [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}, USER]}, "a\nb", "first"),
        ({"messages": [USER, ASSISTANT, {"role": "user", "content": text("second", "part")}]}, "", "second\npart"),
        ({"messages": [USER, {"role": "system", "content": "late"}]}, "", ""),
        ({"messages": [USER, CALLING, {"role": "tool", "tool_call_id": "c1", "content": "42"}]}, "", ""),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}, *text("what?")]}]},
            "",
            "what?",
        ),
        # OpenAI, completions
        ({"prompt": "once upon"}, "", "once upon"),
        ({"prompt": ["one", "two"]}, "", "one"),
        ({"prompt": [[1, 2], [3]]}, "", ""),
        ({"prompt": [1, 2]}, "", ""),
        # OpenAI, responses
        ({"instructions": "Be brief.", "input": "hello"}, "Be brief.", "hello"),
        ({"input": [{"role": "user", "content": text("hello", kind="input_text")}]}, "", "hello"),
        ({"input": [{"type": "message", "role": "user", "content": "hello"}]}, "", "hello"),
        (
            {"input": [{"role": "developer", "content": "d"}, {"role": "user", "content": "u"}], "instructions": "i"},
            "i\nd",
            "u",
        ),
        ({"input": [USER, {"type": "function_call_output", "call_id": "c1", "output": "42"}]}, "", ""),
        # Anthropic, messages
        ({"system": "Be brief.", "messages": [USER]}, "Be brief.", "first"),
        ({"system": text("Be", "brief."), "messages": [USER]}, "Be\nbrief.", "first"),
        ({"messages": [USER, {"role": "assistant", "content": "{"}]}, "", "first"),
        ({"messages": [USER, CALLING, {"role": "user", "content": [{"type": "tool_result", "content": "42"}]}]}, "", ""),
        (
            {"messages": [USER, {"role": "user", "content": [{"type": "tool_result", "content": "42"}, *text("go on")]}]},
            "",
            "",
        ),
        # of wrong types, and of none
        ({}, "", ""),
        ({"messages": []}, "", ""),
        ({"messages": None, "system": None}, "", ""),
        ({"messages": [None]}, "", ""),
        ({"messages": [[USER]]}, "", ""),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "", ""),
        ({"messages": [{"role": "user", "content": {"text": "x"}}]}, "", ""),
        ({"messages": [{"role": {"user": 1}, "content": [{"type": ["text"], "text": "x"}]}]}, "", ""),
        ({"messages": [{"role": "user", "content": [{"type": {}, "text": "x"}, {"type": [], "text": "y"}]}]}, "", ""),
        (
            {"messages": [{"role": "user", "content": [["x"], 5, None, {"type": "text"}, {"type": "text", "text": 5}]}]},
            "",
            "",
        ),
        ({"messages": [{"role": "user", "content": ["x", {"text": "y"}]}]}, "", "x\ny"),
        ({"system": 5, "instructions": ["a", 5], "messages": [USER]}, "a", "first"),
        ({"messages": [{"role": "user", "content": ""}]}, "", ""),
    ],
)
def test_what_was_said(document: dict[str, Any], system: str, last: str) -> None:
    assert said(document) == (system, last)


def test_of_long_texts_the_beginning_and_the_end() -> None:
    half = LONGEST // 2
    long = "a" * half + "b" * 1_000_000 + "c" * half
    assert said({"system": long, "messages": [{"role": "user", "content": long}]}) == ("a" * half + "c" * half,) * 2
    many = text(*(f"{number:05}" for number in range(10_000)))
    lines = said({"messages": [{"role": "user", "content": many}]})[1].split("\n")
    assert lines == [f"{number:05}" for number in (*range(32), *range(9_968, 10_000))]


def test_many_messages_are_not_all_looked_at() -> None:
    """Neither a thousand system prompts nor a thousand beginnings of an answer hide the rest of the work from anybody."""
    instructing = [{"role": "system", "content": f"s{number}"} for number in range(1_000)]
    assert said({"messages": instructing})[0] == "\n".join(f"s{number}" for number in range(16))
    assert said({"messages": [USER, *[ASSISTANT] * 1_000]})[1] == ""


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["messages", "input", "role", "content", "type", "text", "system"]), inner)
        ),
    )
)
def test_any_document_is_read(value: Any) -> None:
    for name in ("messages", "input", "prompt", "system", "instructions"):
        system, last = said({name: value})
        assert isinstance(system, str)
        assert isinstance(last, str)


class Reader:
    """Stands for the collector: keeps what it was given."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def __call__(self, system: str, last: str) -> Content:
        self.asked.append((system, last))
        return Content(system=len(self.asked))


def test_content_comes_with_the_estimate_where_it_is_wanted() -> None:
    body = json.dumps({"model": "m", "system": "s", "messages": [USER], "max_tokens": 7}).encode()
    reader = Reader()
    plain, found = inspect([], body), inspect([], body, content=reader)
    assert plain.content is None
    assert found.content is not None
    assert (found.content.system, reader.asked) == (1, [("s", "first")])
    assert found._replace(content=None) == plain


def test_a_batch_is_known_by_its_first_request() -> None:
    requests = [{"params": {"system": s, "messages": [{"role": "user", "content": s * 2}]}} for s in "ab"]
    reader = Reader()
    found = estimate(json.dumps({"requests": requests}).encode(), path="/v1/messages/batches", content=reader)
    assert (reader.asked, found.items, found.content is not None) == ([("a", "aa")], 2, True)


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/moderations/", "/tokenize"])
def test_what_generates_nothing_is_not_read(path: str) -> None:
    reader = Reader()
    assert estimate(b'{"input": "a document"}', path=path, content=reader).content is None
    assert estimate(b"", content=reader).content is None
    assert inspect([(b"content-type", b"audio/wav")], b"RIFF", content=reader).content is None
    assert reader.asked == []
