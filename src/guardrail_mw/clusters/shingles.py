"""Pieces of a text that show where it came from, and nothing of what it says: a keyed sample, anchored in the text.

A text is brought into one form: without case, white space, punctuation, accents and invisible characters, each digit a 0, letters
that look like Latin ones as these. An *anchor* is a word whose first letters are in sets drawn from the key, one word in eight;
what follows it, some six words, is a *shingle*. So the same piece gives the same shingle wherever it stands and whatever
surrounds it, and who does not have the key cannot tell which words to change. Of long texts only a quarter of the anchors
counts; their shingles are in those of short texts too, and come before all others, so that a template is known again in both.
Where a script has no blanks every character may be an anchor, and a shingle is twelve characters.

The work is done by a few C functions, on 3 KB of a message at most: what is in them may cost some times as much as English does,
and no more.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol
from zlib import crc32

from guardrail_mw.algorithms.keys import BITS, SHINGLE, SYSTEM
from guardrail_mw.clusters.anchors import Anchors

__all__ = ["KEPT", "LONGEST", "WINDOW", "Keys", "Pieces", "Shingler", "normalise"]

KEPT: Final = 16
"""Shingles that a text is known by: those with the lowest digests."""
LONGEST: Final = 16_384
"""Characters of a system prompt that are looked at: half of them its beginning, half its end."""
WINDOW: Final = 3_072
"""Characters of a message that are looked at, likewise: what is the same in many stands before what is not, or after it."""
LONG: Final = 1_536
"""Characters, once it is normal, from which on only a quarter of a text's anchors counts."""
MOST: Final = 64
"""Shingles of a text that are compared, of either kind. A usual one has half as many."""

_FEW: Final = 100
_CHUNK: Final = 64
"""Characters that are decomposed at a time: sorting a run of accents takes the square of its length."""
_HIGHER: Final = 1 << BITS - 1
"""Of a shingle's digest: set where its anchor does not count in long texts."""


class Keys(Protocol):
    """Makes keys of evidence: `identity.digest.Digester`."""

    def key(self, code: int, value: str | bytes) -> int:
        """The key of one value."""
        ...

    def keys(self, code: int, values: Iterable[bytes]) -> list[int]:
        """Those of several."""
        ...


class Pieces(NamedTuple):
    """A text's shingles as they stand in it, each once."""

    few: list[bytes]
    """Those whose anchors count in long texts."""
    many: list[bytes]
    """The others; none of a long text."""
    text: int
    """Tells the text from others: 32 bits."""


class Shingler:
    """Knows texts again. One for a process; may be used from several threads.

    Args:
        keys: also says which words are anchors.
    """

    __slots__ = ("_anchors", "_keys")

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._anchors = Anchors(keys, _SAMPLE)

    def whole(self, text: str) -> int:
        """The key of a system prompt, all of it."""
        return self._keys.key(SYSTEM, normalise(text))

    def pieces(self, text: str) -> Pieces:
        """A text's shingles, in the normal form."""
        size = 0
        if len(text) > WINDOW:
            size = len(text)
            text = f"{text[: WINDOW // 2]}\n{text[-WINDOW // 2 :]}"
        normal = normalise(text)
        few, many = self._anchors.pieces(normal, long=len(normal) >= LONG)
        return Pieces(_distinct(few), _distinct(many), crc32(normal, size))

    def keys(self, few: Sequence[bytes], many: Sequence[bytes]) -> tuple[int, ...]:
        """The keys of a text's shingles, or of some of them: at most `KEPT`, the lowest first."""
        found = [key & ~_HIGHER for key in self._keys.keys(SHINGLE, few)] if few else []
        if many:
            found += [key | _HIGHER for key in self._keys.keys(SHINGLE, many)]
        found.sort()
        return tuple(found[:KEPT])


def normalise(text: str) -> bytes:
    """A text in the form that is compared: one byte a character, a blank before each word; see above."""
    if len(text) > LONGEST:
        text = text[: LONGEST // 2] + text[-LONGEST // 2 :]
    try:
        raw = _bytes(text)
    except UnicodeEncodeError:  # half a pair, which is no text, and slow to go around
        raw = _bytes(text.encode("ascii", "ignore").decode())
    pieces = raw.split(b"  ")
    if len(pieces) > 1:  # there are few runs of blanks, or it is quicker to take all words apart
        words = filter(None, map(bytes.strip, pieces)) if len(pieces) < _FEW else raw.split()
        raw = b" ".join([b"", *words])
    return raw.rstrip(b" ")


def _bytes(text: str) -> bytes:
    """A byte a character, a blank first, runs of blanks as they are. Raises UnicodeEncodeError where there is half a pair."""
    if text.isascii():
        return (b" " + text.encode()).translate(_PLAIN, _DROPPED)
    if _is_western(text[:_CHUNK].encode()) and _is_western(text.encode()):
        return (" " + text).encode("latin-1", "ignore").translate(_WESTERN, _PUNCTUATION + _SIGNS)
    return (b" " + _folded(text)).translate(_PLAIN, _DROPPED)


def _is_western(raw: bytes) -> bool:
    """Whether a text has, besides Latin-1, only characters that are dropped: dashes, curled quotes, arrows, emoji.

    A quick way for most of what is written in English, German or French; `_folded` comes to the same, but for letters that are
    not another with an accent (ß, æ, ø) and for fractions.
    """
    if raw.translate(None, _COMMON):
        return False
    return not any([lead in raw and unlike.search(raw) is not None for lead, unlike in _UNLIKE])


def _folded(text: str) -> bytes:
    """A byte a character: what is not ASCII keeps the lower half of its number, with the highest bit set.

    Characters that are not seen (accents and others that combine, variation selectors), signs (U+2000 to U+2BFF, those of
    Latin-1) and those beyond the first plane become 255, which is dropped.
    """
    wide = text.encode("utf-16-le")
    if not unicodedata.is_normalized("NFKD", text):
        wide = _decomposed(text).encode("utf-16-le")
    low, high = wide[::2], wide[1::2]
    number = int.from_bytes
    marks = number(high.translate(_MARK), "little")
    merged = number(low, "little") | marks
    seen = _COMBINES in high, bool((merged ^ marks) & _UPPER)  # the upper half of Latin-1 has no mark
    for (page, dropped), there in zip(_PAGES, seen, strict=True):
        if there:
            merged |= number(high.translate(page), "little") & number(low.translate(dropped), "little")
    return merged.to_bytes(len(low), "little")


def _decomposed(text: str) -> str:
    pieces = []
    size = 0
    for start in range(0, len(text), _CHUNK):
        pieces.append(unicodedata.normalize("NFKD", text[start : start + _CHUNK]))
        size += len(pieces[-1])
        if size > 2 * LONGEST:  # one character can become eighteen
            break
    return "".join(pieces)


def _lookalikes() -> Iterator[tuple[int, int]]:
    """What letters of other alphabets look like, small and capital, by the bytes that `_folded` makes of them."""
    alike = "аaеeоoрpсcуyхxіiјjѕsһhкkԁdԛqԝwІiЈjЅsοoαaνvιiκk"  # noqa: RUF001 - which is the point; Greek behind Cyrillic
    for place in range(len(alike) - 2, -1, -2):
        yield ord(alike[place]) & 0xFF | 0x80, ord(alike[place + 1])


def _plain() -> bytes:
    table = bytearray(range(256))
    for capital in (*range(ord("A"), ord("Z") + 1), *range(0x90, 0xB0)):  # Latin, and those of Cyrillic and Greek
        table[capital] = capital + 32
    for byte in b"0123456789":
        table[byte] = ord("0")
    for byte in b"\t\n\v\f\r\x1c\x1d\x1e\x1f":
        table[byte] = ord(" ")
    for byte, letter in _lookalikes():
        table[byte] = letter
        if 0xB0 <= byte < 0xD0:  # noqa: PLR2004 - and their capitals
            table[byte - 32] = letter
    return bytes(table)


def _western() -> bytes:
    """As `_PLAIN`, but that what is above 127 is Latin-1: letters without their accents."""
    table = bytearray(_PLAIN)
    for byte in range(0x80, 0x100):
        plain = ord(unicodedata.normalize("NFKD", chr(byte))[0])
        table[byte] = _PLAIN[plain if plain < 0x80 else plain & 0xFF | 0x80]  # noqa: PLR2004
    for byte, letter in zip("ßæðøþ".encode("latin-1"), b"saeot", strict=True):
        table[byte] = letter
        table[byte & 0xDF] = letter
    return bytes(table)


_NOTHING: Final = 0xFF
_PLAIN: Final = _plain()
_WESTERN: Final = _western()
_PUNCTUATION: Final = bytes([byte for byte in range(0x80) if not chr(byte).isalnum() and not chr(byte).isspace()])
_DROPPED: Final = _PUNCTUATION + bytes([_NOTHING])
_SIGNS: Final = bytes([byte for byte in range(0x80, 0x100) if not chr(byte).isalnum() and _WESTERN[byte] != ord(" ")])
"""Of Latin-1, the soft hyphen among them."""
_COMMON: Final = bytes([*range(0xC0), 0xC2, 0xC3, 0xE2, 0xEF, 0xF0])
"""In UTF-8: ASCII, what stands behind a lead, Latin-1, and leads of which some are signs only."""
_UNLIKE: Final = (
    # blanks, and letters in circles, above or below the line
    (
        b"\xe2",
        re.compile(rb"\xe2(?:\x80[\x80-\x8a\xa8\xa9\xaf]|\x81[\x9f\xb0-\xbf]|\x82[\x80-\x9f]|[\x84\x85\x91-\x93\xb0-\xbf])"),
    ),
    (b"\xef", re.compile(rb"\xef(?!\xb8[\x80-\x8f])")),  # all but variation selectors
    (b"\xf0", re.compile(rb"\xf0(?!\x9f[^\x84-\x87])")),  # all but emoji
)
_COMBINES: Final = 3
_UPPER: Final = int.from_bytes(b"\x80" * (1 << 16), "little")
_MARK: Final = bytes(
    0 if high == 0 else _NOTHING if 0x20 <= high < 0x2C or high == 0xFE or 0xD8 <= high < 0xE0 else 0x80  # noqa: PLR2004
    for high in range(256)
)
_PAGES: Final = tuple(
    (
        bytes(_NOTHING if high == page else 0 for high in range(256)),
        bytes(_NOTHING if low in drop else 0 for low in range(256)),
    )
    for page, drop in ((_COMBINES, bytes(range(0x70))), (0, _SIGNS))  # U+0300 to U+036F combine
)


def _distinct(found: list[bytes]) -> list[bytes]:
    """Each once, and no more than are compared: of the beginning and of the end."""
    once = list(dict.fromkeys(found))
    return once if len(once) <= MOST else once[: MOST // 2] + once[-MOST // 2 :]


_SAMPLE: Final = normalise(
    "The people who came to the market that morning had not been told what it would be like. There was a man with his two "
    "daughters, an old woman from the other side of the river, and some students that nobody knew. They all wanted to see how "
    "the new machine works, and whether it can really do in an hour what takes a good hand the whole day. Please explain the "
    "following text in your own words, then write a short summary for children. If you are not sure about something, say so; do "
    "not make it up. Which of these three methods would you choose, and why? Given a list of numbers, return the largest one "
    "that is smaller than the average of them all. We have been working on this problem since last year, but could never find "
    "enough time for it. I think there may be an error in the second function, because when I call it with an empty string I get "
    "no answer at all. Before you begin, look at each step of the plan and check that nothing important is missing. Most "
    "countries change their laws only after long public discussion, even where everybody agrees from the start. You should use "
    "simple language, keep each paragraph under five lines, and give at least one example from everyday life. Could somebody "
    "help me with the third question? It asks for the shortest path between two points when some roads are closed. Her brother "
    "left school early and went to sea; he wrote home every month until the war. Under these conditions the pressure rises "
    "slowly, so that most of the water stays where it is. Translate the sentence below into French and tell me what is unusual "
    "about its grammar. Our company sells small parts for large engines, and we would like to know which customers are likely to "
    "come back. Both answers are right as far as they go, yet neither says what really happened to the money."
)
"""Of how often letters stand at the beginning of words."""
