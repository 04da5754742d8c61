"""Prompts: what two messages of a family share, and what they do not."""

from __future__ import annotations

import numpy as np
import pytest

from guardrail_mw.simulate.world.texts import LANGUAGES, Texts


def shingles(text: str, width: int = 6) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[i : i + width]) for i in range(max(1, len(words) - width + 1))}


def shared(first: str, second: str) -> float:
    return len(shingles(first) & shingles(second)) / len(shingles(first))


@pytest.fixture
def texts() -> Texts:
    return Texts(3)


def family(texts: Texts, paraphrase: float) -> int:
    shapes = tuple(np.array([each]) for each in (80, 1, 10))
    return texts.many(np.array([0]), np.array([1]), shapes, np.array([paraphrase]))


def test_the_same_numbers_give_the_same_text_in_any_world_of_the_seed() -> None:
    one, two = Texts(3), Texts(3)
    assert one.message(family(one, 0.1), 77, 500) == two.message(family(two, 0.1), 77, 500)
    assert one.prompt(one.system("en", 40)) == two.prompt(two.system("en", 40))
    other = Texts(4)
    assert other.prompt(other.system("en", 40)) != one.prompt(0)


def test_a_template_stays_but_for_its_slot(texts: Texts) -> None:
    template = family(texts, 0)
    assert 0.8 < shared(texts.message(template, 11, 500), texts.message(template, 12, 500)) < 1


def test_the_more_is_paraphrased_the_less_is_shared(texts: Texts) -> None:
    figures = []
    for share in (0.05, 0.3):
        template = family(texts, share)
        pairs = [(texts.message(template, seed, 500), texts.message(template, seed + 1000, 500)) for seed in range(30)]
        figures.append(sum(shared(first, second) for first, second in pairs) / 30)
    # Six words stay in both with (1 - share) ** 12: 0.54 and 0.014; the slot takes a little of it.
    assert figures[0] == pytest.approx(0.54, abs=0.1)
    assert figures[1] == pytest.approx(0.014, abs=0.02)


def test_a_rewrite_shares_no_six_words(texts: Texts) -> None:
    template = family(texts, 2.0)
    assert shared(texts.message(template, 11, 500), texts.message(template, 12, 500)) == 0


def test_strangers_share_no_six_words(texts: Texts) -> None:
    free = texts.free("en")
    pairs = [shared(texts.message(free, seed, 400), texts.message(free, seed + 500, 400)) for seed in range(20, 60)]
    assert sum(each > 0.5 for each in pairs) <= 2  # both said hello, or so
    assert sum(each == 0 for each in pairs) >= 36


def test_what_everybody_says_is_said_by_many(texts: Texts) -> None:
    free = texts.free("en")
    messages = [texts.message(free, seed, 400) for seed in range(4000)]
    short = [each for each in messages if len(each.split()) <= 5]
    assert len(short) / 4000 == pytest.approx(0.05, abs=0.015)
    assert len(set(short)) < len(short) / 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_its_script(texts: Texts, language: str) -> None:
    text = texts.message(texts.free(language), 5, 200)
    ranges = {"zh": (0x4E00, 0x9FFF), "ru": (0x400, 0x4FF), "ar": (0x600, 0x6FF), "hi": (0x900, 0x97F)}
    low, high = ranges.get(language, (0x20, 0x17F))
    assert all(low <= ord(letter) <= high for letter in text.replace(" ", ""))


def test_long_prompts_are_cut(texts: Texts) -> None:
    assert len(texts.message(texts.free("en"), 5, 100_000).split()) == 600


def test_no_system_prompt_is_no_text(texts: Texts) -> None:
    assert texts.prompt(-1) == ""


def test_variants_name_the_template_that_is_filled_in(texts: Texts) -> None:
    bank = texts.family("en", variants=3, fixed=30, slots=0, words=0)
    free, changed = texts.free("en"), family(texts, 0.2)
    words = np.arange(60, dtype=np.uint64)
    variants = texts.variants(np.full(60, bank), words)
    messages = [texts.message(bank, seed, 100) for seed in range(60)]
    assert len(set(messages)) == 3
    assert len(set(zip(messages, variants.tolist(), strict=True))) == 3
    assert texts.variants(np.array([free, changed]), words[:2]).tolist() == [-1, -1]


def test_templates_that_were_forgotten_are_made_again_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardrail_mw.simulate.world.texts._KEPT", 1)
    texts = Texts(3)
    first, second = texts.system("en", 20), texts.system("ru", 20)
    before = texts.prompt(first)
    assert texts.prompt(second) != before
    assert texts.prompt(first) == before
