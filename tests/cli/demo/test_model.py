"""The example model: the same prompt, the same answer, and usage that adds up."""

from __future__ import annotations

import pytest

from guardrail_mw.cli.demo.model import MODELS, answer, texts, tokens_of, vector


def test_the_same_prompt_brings_the_same_answer_and_another_another() -> None:
    assert answer("demo-small", "Hello") == answer("demo-small", "Hello")
    assert answer("demo-small", "Hello").text != answer("demo-small", "Goodbye").text


@pytest.mark.parametrize("model", MODELS)
def test_every_word_is_a_token_and_the_cap_is_kept(model: str) -> None:
    whole = answer(model, "Hello")
    assert whole.output == len(whole.text.split())
    assert not whole.cut
    cut = answer(model, "Hello", 3)
    assert (cut.output, cut.cut) == (3, True)
    assert whole.text.startswith(cut.text)
    assert answer(model, "Hello", whole.output) == whole


def test_a_token_is_four_characters_rounded_up() -> None:
    assert [tokens_of("x" * length) for length in (0, 1, 4, 5)] == [0, 1, 1, 2]


def test_an_unknown_model_is_no_model() -> None:
    with pytest.raises(KeyError):
        answer("gpt", "Hello")


def test_texts_of_messages_parts_and_lists() -> None:
    content = [{"type": "text", "text": "b"}, {"type": "image_url", "image_url": {"url": "no"}}]
    assert list(texts([{"role": "user", "content": "a"}, {"role": "user", "content": content}, "c", 4, None])) == [
        "a",
        "b",
        "c",
    ]


def test_a_vector_is_fixed_and_bounded() -> None:
    assert vector("a") == vector("a") != vector("b")
    assert all(-1 <= each <= 1 for each in vector("a"))
