"""Texts known again: what makes no difference, what does, and what it costs at most."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail_mw.algorithms.keys import BITS, SHINGLE, SYSTEM, code_of
from guardrail_mw.clusters import shingles
from guardrail_mw.clusters.shingles import KEPT, LONG, LONGEST, MOST, WINDOW, Shingler, normalise
from guardrail_mw.identity.digest import Digester

KEY = b"0123456789abcdef0123456789abcdef"
SHINGLER = Shingler(Digester(KEY))
HIGHER = 1 << BITS - 1
DOCS = Path(__file__).parents[2] / "docs" / "explanation"
PROSE = " ".join(page.read_text() for page in sorted(DOCS.glob("*.md"))).encode("ascii", "ignore").decode()
WORDS = re.findall(r"[a-z]{2,}", PROSE)
TEMPLATE = (
    "You are a careful examiner. Read the question below, think about it step by step, and write down every step of your "
    "reasoning before you give the answer; do not leave out what seems obvious. Then say how sure you are, on a scale of ten, "
    "and which other answers you have considered. If the question cannot be answered, explain what is missing. Question: "
)


def words(seed: int, count: int = 60) -> str:
    """Free text: words of prose in any order."""
    return " ".join(random.Random(seed).choices(WORDS, k=count))


def shingles_of(text: str, shingler: Shingler = SHINGLER) -> tuple[int, ...]:
    few, many, _ = shingler.pieces(text)
    return shingler.keys(few, many)


def of(text: str) -> set[int]:
    return set(shingles_of(text))


# One form


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("", b""),
        (" \t\n", b""),
        ("?!", b""),
        ("Hello,  World!\r\n\tOn 12:30", b" hello world on 0000"),
        ("\n\n\n a  b   c    ", b" a b c"),
        ("don't — stop…", b" dont stop"),
        ("“quoted” ‘text’", b" quoted text"),  # noqa: RUF001 - as it is written
        ("naïve café", b" naive cafe"),
        ("nai\u0308ve cafe\u0301", b" naive cafe"),
        ("ÉÈ ß Ø", b" ee s o"),
        ("ＡＢＣ１", b" abc0"),  # noqa: RUF001 - full width
        ("ﬁne ② ℝ", b" fine 0 r"),  # noqa: RUF001
        ("a\u00a0b\u3000c\u2003d", b" a b c d"),
        ("he\u200bl\u2060lo wo\u00adrld \ufeffx", b" hello world x"),
        ("❤\ufe0f ok 😀 go", b" ok go"),
        ("𝐡𝐞𝐥𝐥𝐨 ⓗⓔⓛⓛⓞ", b" hello hello"),  # noqa: RUF001
        ("p\u0430ssw\u043erd", b" password"),  # two of them Cyrillic
        ("\u0410\u0412\u0421 sc\u043ere", b" a\xb2c score"),  # Cyrillic capitals; the second is a V
        ("\u03bfmicr\u03bfn", b" omicron"),  # Greek
        ("half\ud800 a pair", b" half a pair"),
    ],
)
def test_the_form_that_is_compared(text: str, normal: bytes) -> None:
    assert normalise(text) == normal


def test_each_script_keeps_its_words_apart() -> None:
    """Their letters are other bytes, one for each, and small letters are as capitals."""
    one, two = "съешь ещё этих мягких булок", "выпей же чаю скорее дорогой"
    assert normalise(one) != normalise(two)
    assert normalise(one).count(b" ") == 5
    assert normalise(one.upper()) == normalise(one)
    assert len(normalise("我们今天讨论")) == 7
    assert len(set(normalise("我们今天讨论"))) == 7


@given(st.text(st.characters(max_codepoint=0xFF, exclude_categories=["Cc"], exclude_characters="ßÆæØøÞþÐð¼½¾×÷")))
def test_the_quick_way_comes_to_the_same(text: str) -> None:
    western = text + "é—"  # not ASCII, and nothing that the long way is needed for
    assert shingles._is_western(western.encode())
    slow = (b" " + shingles._folded(western)).translate(shingles._PLAIN, shingles._DROPPED)
    assert normalise(western) == re.sub(rb" +", b" ", slow).rstrip(b" ")


@given(st.text(max_size=200))
def test_what_is_normal_stays_so(text: str) -> None:
    normal = normalise(text)
    assert b"  " not in normal
    assert not normal or (normal.startswith(b" ") and not normal.endswith(b" "))
    assert not re.search(rb"[A-Z1-9\t\n!-/:-@\[-`{-~]", normal)


# Shingles


def test_a_shingle_by_hand() -> None:
    """Each is 28 characters behind a word's first and the rest of the word, digested; the anchor decides the highest bit."""
    text = TEMPLATE + words(1, 40)
    assert len(normalise(text)) < LONG
    normal = normalise(text)
    pieces = {}
    for found in re.finditer(rb"(?= [^ ](.{28}[^ ]*))", normal):
        raw = blake2b(digest_size=8, key=KEY, person=b"key")
        raw.update(bytes([SHINGLE]) + len(found[1]).to_bytes(4, "big") + found[1])
        digest = int.from_bytes(raw.digest(), "big") >> 64 - BITS
        pieces[digest & ~HIGHER] = found[1]
    found_keys = shingles_of(text)
    assert {code_of(key) for key in found_keys} == {SHINGLE}
    assert len(found_keys) >= 8
    assert list(found_keys) == sorted(set(found_keys))
    assert {key & HIGHER - 1 for key in found_keys} <= pieces.keys()


def test_what_makes_no_difference() -> None:
    text = TEMPLATE + words(1)
    expected = of(text)
    assert len(expected) >= 8
    assert of(text.upper()) == expected
    assert of(text.replace(" ", "  \n")) == expected
    assert of(re.sub(r"[.,;:?]", "", text)) == expected
    assert of(text.replace("question", "question\u200b").replace("answer", "ans\u00adwer")) == expected
    assert of("".join(letter + "\u0301" if letter in "aeo" else letter for letter in text)) == expected
    twins = str.maketrans("aeopcx", "\u0430\u0435\u043e\u0440\u0441\u0445")
    assert of(text.translate(twins)) == expected
    drawn = random.Random(7)
    assert of("".join(letter.translate(twins) if drawn.random() < 0.1 else letter for letter in text)) == expected


def test_figures_are_all_alike() -> None:
    numbered = [f"{TEMPLATE} Case {number:04} of 31 May: {words(3)}" for number in (17, 9_988)]
    assert of(numbered[0]) == of(numbered[1])


def test_a_template_is_known_wherever_it_stands() -> None:
    """Most of what the short texts share is their template's; the free parts share nothing."""
    alone = of(TEMPLATE)
    assert len(alone) >= 4
    for seed in range(20):
        assert len(of(TEMPLATE + words(seed)) & of(words(seed + 100, 30) + "\n\n" + TEMPLATE + words(seed + 200))) >= 2
        assert not of(words(seed)) & of(words(seed + 1_000))


def test_a_template_is_known_in_long_texts_by_what_short_ones_show_first() -> None:
    """Of what a long text shows nothing has the highest bit, and a short one has all of that too, before anything else."""
    piece = PROSE[2_000:3_400]
    assert len(normalise(piece)) < LONG
    short = [key for key in shingles_of(piece) if not key & HIGHER]
    long = set(shingles_of(piece + " " + words(5, 400)))
    assert len(short) >= 3
    assert not [key for key in long if key & HIGHER]
    lowest = [key for key in short if key < max(long)]
    assert set(lowest[:-1]) <= long


def test_a_few_changed_words_leave_most() -> None:
    """Of ten texts with one word in twenty changed two thirds of the shingles stay: each stands on some six words."""
    drawn = random.Random(11)
    kept = whole = 0
    for seed in range(10):
        text = words(seed, 110).split()
        changed = [word if drawn.random() >= 0.05 else "changed" for word in text]
        before, after = of(" ".join(text)), of(" ".join(changed))
        kept += len(before & after)
        whole += len(before)
    assert whole >= 100
    assert 0.55 <= kept / whole <= 0.9


def test_another_key_finds_other_shingles() -> None:
    other = Shingler(Digester(b"another key of 32 bytes, no less"))
    text = TEMPLATE + words(1)
    assert not set(shingles_of(text, other)) & of(text)
    assert other._dense.pattern != SHINGLER._dense.pattern


def test_two_processes_find_the_same() -> None:
    assert shingles_of(PROSE, Shingler(Digester(KEY))) == shingles_of(PROSE)


@pytest.mark.parametrize("seed", range(24))
def test_every_key_finds_about_as_many(seed: int) -> None:
    """Prose of some 2,700 words has an anchor in eight, and in 32; no key is blind, and none sees everything."""
    shingler = Shingler(Digester(b"%032d" % seed))
    normal = normalise(PROSE[:LONGEST])
    count = normal.count(b" ")
    assert 1 / 20 < len(shingler._dense.findall(normal)) / count < 1 / 4
    assert 1 / 200 < len(shingler._sparse.findall(normal)) / count < 1 / 12


def test_scripts_without_blanks_have_shingles() -> None:
    drawn = random.Random(3)
    signs = [chr(number) for number in range(0x4E00, 0x5600)]
    fixed, free = "".join(drawn.choices(signs, k=200)), ["".join(drawn.choices(signs, k=100)) for _ in range(4)]
    common = of(free[0] + fixed + free[1]) & of(free[2] + fixed + free[3])
    assert len(common) >= 3
    assert not of(free[0] * 2) & of(free[2] * 2)


def test_a_system_prompt_is_one_key() -> None:
    assert SHINGLER.whole("You are  helpful.\n") == SHINGLER.whole("you are helpful")
    assert SHINGLER.whole("You are helpful") != SHINGLER.whole("You are harmless")
    assert code_of(SHINGLER.whole("x")) == SYSTEM
    assert SHINGLER.whole("x" * 20_000) == SHINGLER.whole("x" * 30_000)
    assert SHINGLER.whole("x" * 20_000 + "y") != SHINGLER.whole("x" * 20_001)


def test_of_a_long_message_the_beginning_and_the_end_are_looked_at() -> None:
    half = WINDOW // 2
    begin, end = (words(seed, 2_000)[:half] for seed in (1, 2))
    expected = of(f"{begin}\n{end}")
    assert len(expected) >= 5
    assert of(begin + words(3, 5_000) + end) == expected
    texts = [SHINGLER.pieces(begin + "x" * (1_000 + more) + end).text for more in (0, 0, 1)]
    assert (texts[0] == texts[1], texts[0] == texts[2]) == (True, False)


def test_messages_are_told_from_others() -> None:
    one = SHINGLER.pieces(TEMPLATE + "What is 12 + 7?").text
    assert SHINGLER.pieces(TEMPLATE + "what is  13 + 9").text == one
    assert SHINGLER.pieces(TEMPLATE + "What is a prime?").text != one


# What it costs at most


class Counting:
    """Digests, and how many at once."""

    def __init__(self) -> None:
        self.most = 0

    def key(self, code: int, value: str | bytes) -> int:
        return Digester(KEY).key(code, value)

    def keys(self, code: int, values: Iterable[bytes]) -> list[int]:
        every = list(values)
        self.most = max(self.most, len(every))
        return Digester(KEY).keys(code, every)


def hostile() -> dict[str, str]:
    """Texts that cost more than others."""
    normal = normalise(PROSE)
    found = {normal[each.start() + 1 :][:5].decode() for each in SHINGLER._sparse.finditer(normal)}
    anchors = sorted(anchor for anchor in found if anchor.isalpha())
    drawn = random.Random(1)
    every = [anchors[0] + "".join(drawn.choices("abcdefgh", k=5)) for _ in range(9_000)]
    return {
        "only anchors": " ".join(every),
        "no blank": "a" * 100_000,
        "only blanks": " " * 100_000,
        "single letters": "a " * 50_000,
        "accents": "a" + "\u0301\u0316" * 50_000,
        "eighteen each": "\ufdfa" * 100_000,
        "half pairs": "\ud800" * 100_000,
        "emoji": "\U0001f600" * 50_000,
        "anchors without end": anchors[0] * 30_000,
        "base64": "".join(drawn.choices("ABCDEFGHabcdefgh0123+/", k=100_000)),
        "NUL": "\0" * 100_000,
    }


HOSTILE = hostile()


@pytest.mark.parametrize("name", HOSTILE)
def test_the_work_is_bounded(name: str) -> None:
    """Whatever stands in 100,000 characters: 16 KB of a system prompt, 3 KB of a message, and 64 of its pieces."""
    normal = normalise(HOSTILE[name])
    assert len(normal) <= 2 * LONGEST + 2_000
    counting = Counting()
    found = shingles_of(HOSTILE[name], Shingler(counting))
    assert counting.most == MOST if name == "only anchors" else counting.most <= MOST
    assert len(found) <= KEPT


def test_runs_of_accents_are_decomposed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sorting them takes the square of their number: 16,384 took 0.4 s at once."""
    sizes = []

    class Decomposing:
        @staticmethod
        def normalize(form: Literal["NFKD"], text: str) -> str:
            sizes.append(len(text))
            return unicodedata.normalize(form, text)

    monkeypatch.setattr(shingles, "unicodedata", Decomposing)
    normalise("a" + "\u0301\u0316" * 50_000)
    assert max(sizes) == 64
    assert sum(sizes) == LONGEST


def test_patterns_have_nothing_to_go_back_to() -> None:
    """Every piece of them has one length, but for the rest of a word, which is bounded: no text makes them slow."""
    for pattern in (SHINGLER._dense, SHINGLER._sparse, SHINGLER._dense_unspaced, SHINGLER._sparse_unspaced):
        bare = re.sub(rb"\[[^\]]*\]", b"x", pattern.pattern)
        assert re.fullmatch(rb" ?x\(\?=\((x+)\.\{\d+\}(x\{0,36\})?\)\)", bare), bare


@given(st.text(max_size=400))
def test_any_text_is_read(text: str) -> None:
    found = shingles_of(text)
    assert list(found) == sorted(found)
    assert 0 <= SHINGLER.pieces(text).text < 1 << 32
