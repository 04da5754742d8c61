"""Prompts: system prompts, families of templates and free words, in several scripts; a pure function of small numbers.

Words are invented. Their frequencies follow Zipf's law (rank to the power of -1), which real text does closely enough for
what is measured here: which sequences of words two accounts share by chance.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from guardrail_mw.simulate.world.arrays import Column, Ints, mix, unit

__all__ = ["LANGUAGES", "Texts"]

_VOCABULARY: Final = 20_000
_SYLLABLES: Final = {
    "en": [
        "ba",
        "con",
        "der",
        "el",
        "for",
        "in",
        "ly",
        "men",
        "no",
        "per",
        "qui",
        "re",
        "sta",
        "ti",
        "un",
        "ver",
        "win",
        "yo",
    ],
    "es": ["ca", "ción", "de", "es", "gue", "la", "llo", "ma", "ña", "or", "pre", "ra", "sa", "te", "ver", "zo"],
    "ru": ["ба", "во", "ги", "да", "ен", "жи", "ка", "ла", "мо", "на", "ост", "пре", "ра", "ств", "ты", "хо"],  # noqa: RUF001
    "ar": ["با", "تي", "جو", "حا", "در", "را", "سي", "عل", "في", "قا", "كو", "لم", "مي", "نو"],
    "hi": ["का", "खे", "गो", "चा", "जी", "टे", "ता", "दि", "नि", "पा", "मा", "रा", "ले", "वा", "सी", "हो"],
}
_HAN: Final = (0x4E00, 3000)
LANGUAGES: Final = ("en", "zh", "ru", "es", "ar", "hi")
_MOST_WORDS: Final = 600
"""Words of a message at most: about 4 KB of Latin text. Longer inputs are counted, not written."""
_WORDS_A_TOKEN: Final = 0.7
_FREE: Final = -1
_KEPT: Final = 5_000
"""System prompts and templates that are kept once they are made."""
_T = TypeVar("_T")
_PHRASED: Final = 50
"""Of a thousand free messages, so many are what everybody says: hello, go on, thanks. An assumption."""
_PHRASES: Final = 200


@lru_cache(maxsize=len(LANGUAGES))
def _vocabulary(language: str) -> list[str]:
    """The words of a language, the most frequent first; frequent ones are short, as real ones are."""
    rng = np.random.default_rng(LANGUAGES.index(language))
    if language == "zh":
        first, many = _HAN
        singles = [chr(first + int(code)) for code in rng.permutation(many)]
        pairs = rng.integers(0, many, (_VOCABULARY, 2))
        return (singles[:300] + [singles[a] + singles[b] for a, b in pairs])[:_VOCABULARY]
    syllables = _SYLLABLES[language]
    words: dict[str, None] = {}
    while len(words) < _VOCABULARY:
        length = 1 + int(len(words) > 12) + int(rng.integers(0, 2 + (len(words) > 500)))  # noqa: PLR2004
        words["".join(syllables[int(each)] for each in rng.integers(0, len(syllables), length))] = None
    return list(words)


def _zipf(seed: int, n: int) -> list[int]:
    """Ranks of `n` words: the logarithm of a rank is even, which is Zipf's law with exponent 1."""
    u = unit(mix(np.arange(n), seed))
    ranks: list[int] = (np.exp(u * np.log(_VOCABULARY)).astype(np.int64) - 1).tolist()
    return ranks


class Texts:
    """System prompts and families of messages; batches carry their numbers."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._systems: Column[np.int32] = Column(np.int32)
        """Language in the lowest 3 bits, then words."""
        self._language: Column[np.uint8] = Column(np.uint8)
        self._variants: Column[np.int32] = Column(np.int32)
        """Templates of a family; -1: free text."""
        self._shape: Column[np.int32] = Column(np.int32)
        """Fixed words, slots and words a slot: 12, 8 and 8 bits."""
        self._paraphrase: Column[np.float32] = Column(np.float32)
        """The share of words replaced; 2: all are written anew."""
        self._prompts: dict[int, str] = {}
        self._templates: dict[int, list[int]] = {}

    @property
    def families(self) -> int:
        """How many there are."""
        return len(self._variants)

    def systems(self, languages: NDArray[Any], words: NDArray[Any]) -> int:
        """Many new system prompts; the first one's number."""
        return self._systems.add((words << 3 | languages).astype(np.int32))

    def system(self, language: str, words: int) -> int:
        """A new system prompt."""
        return self._systems.add(np.array([words << 3 | LANGUAGES.index(language)], np.int32))

    def free(self, language: str) -> int:
        """A family of free text."""
        return self._new(np.array([LANGUAGES.index(language)]), np.array([_FREE]), np.array([0]), np.array([0.0]))

    def family(self, language: str, *, variants: int, fixed: int, slots: int, words: int) -> int:
        """A new family of templates, none of whose words are replaced."""
        shape = fixed | slots << 12 | words << 20
        return self._new(np.array([LANGUAGES.index(language)]), np.array([variants]), np.array([shape]), np.array([0.0]))

    def many(
        self,
        languages: NDArray[Any],
        variants: NDArray[Any],
        shapes: tuple[NDArray[Any], ...],
        paraphrase: NDArray[Any],
    ) -> int:
        """Many new families; the first one's number. `shapes`: fixed words, slots, words a slot."""
        fixed, slots, words = shapes
        return self._new(
            languages, variants, np.minimum(fixed, 4000) | slots << 12 | np.minimum(words, 255) << 20, paraphrase
        )

    def _new(self, *columns: NDArray[Any]) -> int:
        language, variants, shape, paraphrase = columns
        self._language.add(language)
        self._variants.add(variants)
        self._shape.add(shape)
        return self._paraphrase.add(paraphrase)

    def prompt(self, system: int) -> str:
        """The text of a system prompt; the same for all who send it. Empty for -1."""
        if system < 0:
            return ""
        if (known := self._prompts.get(system)) is not None:
            return known
        code = int(self._systems[system])
        text = _sentence(LANGUAGES[code & 7], _zipf(self._seed * 31 + system, code >> 3))
        _remember(self._prompts, system, text)
        return text

    def variants(self, family: NDArray[Any], words: NDArray[Any]) -> Ints:
        """Which template of its family each message fills in; -1 where all of its words are its own."""
        many = self._variants.all[family]
        own = (many == _FREE) | (self._paraphrase.all[family] > 0)
        return np.where(own, -1, mix(words, 1) % np.maximum(many, 1).astype(np.uint64)).astype(np.int32)

    def message(self, family: int, words: int, tokens: int) -> str:
        """The text of a user's last message.

        Args:
            family: what `family` or `free` gave.
            words: the seed of its free part: a batch's `words`.
            tokens: how long free text is, about.
        """
        language = LANGUAGES[int(self._language[family])]
        variants = int(self._variants[family])
        length = max(3, min(_MOST_WORDS, int(tokens * _WORDS_A_TOKEN)))
        if variants == _FREE:
            phrase = int(self.phrases(np.array([family]), np.array([words], np.uint64))[0])
            if phrase >= 0:
                return _sentence(language, _zipf(1_000_000 + phrase, 1 + phrase % 5))
            return _sentence(language, _zipf(words, length))
        shape, paraphrase = int(self._shape[family]), float(self._paraphrase[family])
        if paraphrase > 1:
            return _sentence(language, _zipf(words, max(20, shape & 0xFFF)))
        return _sentence(language, self._filled(family, words, shape, paraphrase))

    def phrases(self, family: NDArray[Any], words: NDArray[Any]) -> Ints:
        """Which of what everybody says each message is; -1 where it is none of it. A phrase of a language is one text."""
        said = (self._variants.all[family] == _FREE) & (mix(words, 3) % np.uint64(1000) < _PHRASED)
        return np.where(said, (_PHRASES ** unit(mix(words, 4))).astype(np.int64) - 1, -1).astype(np.int32)

    def _fixed(self, family: int, variant: int, length: int) -> list[int]:
        """The words of a template that stay."""
        place = family << 12 | variant
        if (known := self._templates.get(place)) is None:
            known = _zipf(self._seed * 17 + family * 1_000_003 + variant, length)
            _remember(self._templates, place, known)
        return known.copy()

    def _filled(self, family: int, words: int, shape: int, paraphrase: float) -> list[int]:
        variant = int(mix(words, 1)) % int(self._variants[family])
        ranks = self._fixed(family, variant, shape & 0xFFF)
        if paraphrase:
            other = unit(mix(np.arange(len(ranks)), words ^ 5))
            synonyms = _zipf(words ^ 9, len(ranks))
            ranks = [new if change < paraphrase else old for old, new, change in zip(ranks, synonyms, other, strict=True)]
        slots, most = shape >> 12 & 255, shape >> 20
        step = len(ranks) // (slots + 1) if slots else 0
        for slot in range(slots, 0, -1):
            seed = int(mix(words, 100 + slot))
            ranks[slot * step : slot * step] = _zipf(seed, 1 + seed % max(most, 1))
        return ranks


def _remember(known: dict[int, _T], name: int, value: _T) -> None:
    """In a dict that forgets its oldest."""
    known[name] = value
    if len(known) > _KEPT:
        del known[next(iter(known))]


def _sentence(language: str, ranks: list[int]) -> str:
    words = _vocabulary(language)
    return ("" if language == "zh" else " ").join([words[rank] for rank in ranks])
