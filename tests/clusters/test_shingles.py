"""Texts known again: what makes no difference, what does, and what it costs at most."""

from __future__ import annotations

import itertools
import random
import re
import unicodedata
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Literal, NamedTuple

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


class Anchors(NamedTuple):
    """What a key's anchors are, said once more: as regular expressions."""

    dense: re.Pattern[bytes]
    sparse: re.Pattern[bytes]
    dense_unspaced: re.Pattern[bytes]
    sparse_unspaced: re.Pattern[bytes]

    @classmethod
    def of(cls, key: bytes) -> Anchors:
        """Sets drawn from the key, until they find as many anchors in the sample as is usual."""
        digester = Digester(key)
        values = (digester.key(SHINGLE, b"anchors %d" % block) for block in itertools.count())
        bits = (value >> place & 1 for value in values for place in range(BITS))
        sample = shingles._SAMPLE
        while True:
            letters = ["taoiswbcmhpfdlerngyuvkjqxz", *[" etaoinshrdlucmwfgypbvkjxqz0"] * 6]
            sets = [drawn_set(each, bits) for each in letters]
            dense, sparse = (len(re.findall(b" (?=%b)" % b"".join(sets[:many]), sample)) for many in (3, 5))
            if 3 / 32 <= dense / sample.count(b" ") <= 5 / 32 and 3 / 128 <= sparse / sample.count(b" ") <= 5 / 128:
                spaced = [b"".join(sets[1:many]) + b".{%d}[^ ]{0,36}" % (29 - many) for many in (3, 5)]
                unspaced = [b"".join(sets[1:many]) + b".{%d}" % (13 - many) for many in (5, 7)]
                every = [b" " + sets[0] + b"(?=(%b))" % each for each in spaced]
                every += [sets[0] + b"(?=(%b))" % each for each in unspaced]
                return cls(*[re.compile(each, re.DOTALL) for each in every])

    def pieces(self, normal: bytes) -> tuple[list[bytes], list[bytes]]:
        """Behind anchors that count in long texts, and in a short one behind others; each once, 32 at either end."""
        spaced = normal.count(b" ", 0, 512) * 24 > min(512, len(normal))
        few = (self.sparse if spaced else self.sparse_unspaced).findall(normal)
        many = (self.dense if spaced else self.dense_unspaced).findall(normal) if len(normal) < LONG else []
        once = list(dict.fromkeys(few)), [each for each in dict.fromkeys(many) if each not in few]
        few, many = (each if len(each) <= 64 else each[:32] + each[-32:] for each in once)
        return few, many


def drawn_set(letters: str, bits: Iterator[int]) -> bytes:
    """Of each two letters one, and half of the bytes above ASCII."""
    chosen = "".join([letters[place + next(bits)] for place in range(0, len(letters), 2)])
    return b"[%b%b]" % (chosen.encode(), b"".join([b"\\x%02x" % byte for byte in range(128, 255) if next(bits)]))


ORACLE = Anchors.of(KEY)

SCRIPTS = (
    PROSE,
    "aaaa eeee oooo tttt    ",
    "съешь ещё этих мягких булок да выпей чаю ",
    "".join(map(chr, range(0x4E00, 0x4F00))),
    "".join(map(chr, range(0x3040, 0x30A0))) + "\uff0c\u3002",
    "äöüßéèà naive cafe — “x” ",
    "ab \0\xa0\u0301",
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


@given(
    st.text(
        st.sampled_from("aZ 9\xe9\xd7\xb7\xadжйЁ你\uff0c\uff8a\u0301\u0323\u05b0\u2014\u2003\ufe0f\ufdfa\U0001f600é"),
        max_size=200,
    )
)
def test_each_character_is_a_byte(text: str) -> None:
    """The long way, said character by character; of what is beyond the first plane both halves are dropped."""
    found = bytearray()
    for start in range(0, len(text), 64):
        for each in unicodedata.normalize("NFKD", text[start : start + 64]):
            number = ord(each)
            sign = number < 0x100 and not each.isalnum()
            if number >= 0x80 and (sign or 0x300 <= number < 0x370 or 0x2000 <= number < 0x2C00 or number >> 8 == 0xFE):
                found.append(255)
            elif number > 0xFFFF:
                found += b"\xff\xff"
            else:
                found.append(number if number < 0x80 else number & 0xFF | 0x80)
    assert shingles._folded(text) == found


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


@given(st.sampled_from(SCRIPTS), st.integers(0, 3_200), st.randoms(use_true_random=False), st.text(max_size=40))
def test_pieces_stand_behind_the_anchors(script: str, size: int, drawn: random.Random, besides: str) -> None:
    """As regular expressions find them: with blanks and without, short and long, at the very end."""
    text = "".join(drawn.choices(script, k=size)) + besides
    few, many, _ = SHINGLER.pieces(text)
    seen = text if len(text) <= WINDOW else f"{text[: WINDOW // 2]}\n{text[-WINDOW // 2 :]}"
    assert (few, many) == ORACLE.pieces(normalise(seen))


@pytest.mark.parametrize("seed", range(12))
def test_each_keys_pieces_stand_behind_its_anchors(seed: int) -> None:
    key = b"%032d" % seed
    shingler, oracle = Shingler(Digester(key)), Anchors.of(key)
    for text in (PROSE[:2_800], PROSE[3_000:4_200], TEMPLATE, TEMPLATE.replace(" ", ""), "中文" * 700, ""):
        assert shingler.pieces(text)[:2] == oracle.pieces(normalise(text))
    for begin in range(0, 4_000, 97):
        text = PROSE[begin : begin + 50 + begin % 60]
        assert shingler.pieces(text)[:2] == oracle.pieces(normalise(text))


def test_another_key_finds_other_shingles() -> None:
    other = Shingler(Digester(b"another key of 32 bytes, no less"))
    text = TEMPLATE + words(1)
    assert not set(shingles_of(text, other)) & of(text)
    assert other._anchors._table != SHINGLER._anchors._table


def test_two_processes_find_the_same() -> None:
    assert shingles_of(PROSE, Shingler(Digester(KEY))) == shingles_of(PROSE)


@pytest.mark.parametrize("seed", range(24))
def test_every_key_finds_about_as_many(seed: int) -> None:
    """Prose of some 2,700 words has an anchor in eight, and in 32; no key is blind, and none sees everything."""
    shingler = Shingler(Digester(b"%032d" % seed))
    normal = normalise(PROSE[:LONGEST])
    count = normal.count(b" ")
    few, many = shingler._anchors.pieces(normal, long=False)
    assert 1 / 20 < len(few + many) / count < 1 / 4
    assert 1 / 200 < len(few) / count < 1 / 12


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
    found = {normal[each.start() + 1 :][:5].decode() for each in ORACLE.sparse.finditer(normal)}
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

        @staticmethod
        def is_normalized(form: Literal["NFKD"], text: str) -> bool:
            """It only looks: for this form the answer is never that it must be tried."""
            return unicodedata.is_normalized(form, text)

    monkeypatch.setattr(shingles, "unicodedata", Decomposing)
    normalise("a" + "\u0301\u0316" * 50_000)
    assert max(sizes) == 64
    assert sum(sizes) == LONGEST


@given(st.text(max_size=400))
def test_any_text_is_read(text: str) -> None:
    found = shingles_of(text)
    assert list(found) == sorted(found)
    assert 0 <= SHINGLER.pieces(text).text < 1 << 32
