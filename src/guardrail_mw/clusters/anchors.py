"""Anchors: the places of a text where a piece begins, as a key has drawn them.

Whether a place is one hangs on what stands there and behind it, each in a set of its own. Bit k of a byte says that it is in set
k, and a text is one long number: shifted by nine bits, the next byte's next bit stands under this one's. So three shifts ask all
places at once, in a time that hangs on how long the text is and on nothing that is in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Final

from guardrail_mw.algorithms.keys import BITS, SHINGLE

if TYPE_CHECKING:
    from guardrail_mw.clusters.shingles import Keys

__all__ = ["Anchors"]

_FIRST: Final = "taoiswbcmhpfdlerngyuvkjqxz"
_OTHER: Final = " etaoinshrdlucmwfgypbvkjxqz0"
"""Letters by how often words begin with them, and how often they follow: of two that stand together each set has one, so that
every key finds about as many anchors."""
_BLANK: Final = b" "
_SEEN: Final = 512
"""Bytes by which a text is known to have blanks, or not."""
_FEW: Final = 24
"""Bytes to a blank, where it has: a quarter as many blanks as English has."""
_LOWEST: Final = int.from_bytes(b"\1" * (1 << 16), "little")
"""Of each byte, in the longest text that is looked through."""
_SECOND: Final = _LOWEST << 1
_BEGINNING: Final = _LOWEST & (1 << 8 * _SEEN) - 1


class Anchors:
    """A key's.

    Where there are blanks between words an anchor is a blank with what follows it: five bytes in sets of their own, where it
    counts in long texts, else three. That is one word in 32, and one in eight. Where a script has no blanks every place may be
    one: seven bytes, or five.

    Args:
        keys: says what the sets are; they hang on nothing else.
        sample: usual words, in the normal form. Not each key can make `the` an anchor: drawn again is what finds many more
            anchors in them than others do, or many fewer.
    """

    __slots__ = ("_table",)

    def __init__(self, keys: Keys, sample: bytes) -> None:
        words, bits = sample.count(_BLANK), _bits(keys)
        while True:
            sets = [_BLANK, _set(_FIRST, bits), *[_set(_OTHER, bits) for _ in range(6)]]
            self._table = bytes([sum([1 << k for k, each in enumerate(sets) if byte in each]) for byte in range(256)])
            few, many = (each.bit_count() for each in _behind_blanks(self._chains(sample)[1]))
            if words * 3 <= many * 32 <= words * 5 and words * 3 <= few * 128 <= words * 5:
                return

    def pieces(self, text: bytes, *, long: bool) -> tuple[list[bytes], list[bytes]]:
        """What stands behind a text's anchors: behind those that count in long texts, and in a short one behind the others.

        A piece is 28 characters behind a word's first, and the rest of the word that they end in; without blanks it is twelve
        characters behind the anchor's first.

        Args:
            text: in the normal form.
            long: whether it is a long one.
        """
        blanks, chains = self._chains(text)
        spaced = blanks * _FEW > min(_SEEN, len(text))
        few, many = _behind_blanks(chains) if spaced else _anywhere(chains)
        cut = _words if spaced else _signs
        return cut(text, few), [] if long else cut(text, few ^ many)

    def _chains(self, text: bytes) -> tuple[int, int]:
        """Blanks at its beginning; and a byte for each of the text's: its bit k where four from set k on hold the next four."""
        found = int.from_bytes(text.translate(self._table), "little")
        blanks = (found & _BEGINNING).bit_count()
        found &= found >> 9
        return blanks, found & found >> 18


def _behind_blanks(chains: int) -> tuple[int, int]:
    """The anchors that count in long texts, and all: the lowest bit of each blank that is one."""
    return chains & chains >> 18 & _LOWEST, chains & _LOWEST  # sets 0 to 5, 0 to 3


def _anywhere(chains: int) -> tuple[int, int]:
    """Likewise, of a text without blanks: the second bit of an anchor's first character."""
    return chains & chains >> 27 & _SECOND, chains & chains >> 9 & _SECOND  # sets 1 to 7, 1 to 5


def _words(text: bytes, anchors: int) -> list[bytes]:
    blank, mark, last = text.find, anchors.to_bytes(len(text), "little").find, len(text) - 30
    found = []
    at = mark(1)
    while 0 <= at <= last:
        end = blank(_BLANK, at + 30, at + 66)
        found.append(text[at + 2 : end if end >= 0 else at + 66])
        at = mark(1, at + 1)
    return found


def _signs(text: bytes, anchors: int) -> list[bytes]:
    mark, last = anchors.to_bytes(len(text), "little").find, len(text) - 13
    found = []
    at = mark(2)
    while 0 <= at <= last:
        found.append(text[at + 1 : at + 13])
        at = mark(2, at + 1)
    return found


def _bits(keys: Keys) -> Iterator[int]:
    """As many bits as are asked for, that hang on the key alone."""
    for block in count():
        value = keys.key(SHINGLE, b"anchors %d" % block)
        for place in range(BITS):
            yield value >> place & 1


def _set(letters: str, bits: Iterator[int]) -> bytes:
    """A set of bytes: of each two letters one, and half of what is not ASCII."""
    chosen = "".join([letters[place + next(bits)] for place in range(0, len(letters), 2)])
    return chosen.encode() + bytes([byte for byte in range(128, 255) if next(bits)])
