"""What of a request is evidence that the store has not been told of: the collector, one for a process."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final
from zlib import crc32

from guardrail_mw.algorithms.keys import (
    AGENT,
    BITS,
    DEVICE_SEEN,
    NETWORK,
    NETWORK_WIDE,
    SHINGLE,
    SYSTEM,
    TLS,
)
from guardrail_mw.clusters.shingles import KEPT, Shingler
from guardrail_mw.recent import Recent
from guardrail_mw.values import Content

if TYPE_CHECKING:
    from guardrail_mw.clock import Clock
    from guardrail_mw.clusters.shingles import Keys
    from guardrail_mw.values import Subject

__all__ = ["ACCOUNTS", "A_DAY", "DAY", "PLACES", "Collector"]

DAY: Final = 86_400_000_000
"""µs."""
PLACES: Final = 1 << 20
"""Of each table. They hold what some 500,000 accounts and values have to do with each other, in 18 MiB."""
MOST_PLACES: Final = 1 << 24
ACCOUNTS: Final = 16_384
"""Accounts in a generation, of which there are two, whose shingles are known."""
PROMPTS: Final = 4_096
"""System prompts in a generation whose keys are known."""

A_DAY: Final = {NETWORK: 12, NETWORK_WIDE: 8, SYSTEM: 8, DEVICE_SEEN: 4, TLS: 4, AGENT: 4}
"""Values of a kind that are written of an account in a day. A store keeps 64 of an account: who shows another agent, prompt or
address with each request must not push out what is worth more."""

_SHOWN: Final = (1 << 20) - 1
_MESSAGE: Final = (1 << 16) - 1
_WHOLE: Final = (1 << 64) - 1
_TAG: Final = _WHOLE & ~0xFF
_ODD: Final = 0x9E37_79B9_7F4A_7C15
"""2^64 divided by the golden ratio: spreads what differs little (Knuth, The Art of Computer Programming 6.4)."""
_PRIME: Final = (1 << 61) - 1


class Collector:
    """Says which keys to write with a charge, each once a day and account, as far as this process knows.

    An engine asks it so::

        estimate = inspect(…, content=collector.read)           # where the policy wants content; None otherwise
        edges = collector.edges(subject, estimate.content)       # once the account is known to be proved
        receipt = await store.charge(bill._replace(edges=edges))
        if receipt.records:
            collector.noted(subject, edges)                       # else they come again with the next request

    What was written is forgotten at midnight UTC, so that the store learns the day on which evidence was last seen; and when
    another takes its place in a table of fixed size: then it is written once more, which changes nothing.

    A piece of a message is digested once it stood in two different messages, whoever sent them, and its key is written once
    the account has sent it in two such: so what somebody writes once never leaves the process, not even as a digest. A message
    that is sent again word for word is not another. Of each account the 16 lowest count; what is above them is not sent again. Of
    what a client can change with each request only so many values a day are written (`A_DAY`), the first ones.

    May be used from several threads: the worst that a race can do is to write a key once more.

    Args:
        content: whether messages are evidence.
        keys: makes the keys: `Resolver.digester`.
        clock: for the day.
        places: of each table, a power of two up to 2^24, at 18 bytes; the more accounts, the more.
        accounts: whose shingles are known, in a generation.
    """

    __slots__ = ("_clock", "_kept", "_many", "_met", "_places", "_prompts", "_shingler", "_shown", "_written", "read")

    def __init__(self, *, content: bool, keys: Keys, clock: Clock, places: int = PLACES, accounts: int = ACCOUNTS) -> None:
        if places & places - 1 or not 2 <= places <= MOST_PLACES:  # noqa: PLR2004 - a place and its neighbour
            raise ValueError(f"expected a power of two from 2 to {MOST_PLACES} for places, got {places}")
        self._clock = clock
        self._places = places - 1
        self._shingler = Shingler(keys)
        self._prompts: Recent[int, int] = Recent(PROMPTS)
        self._kept: Recent[int, array[int]] = Recent(accounts)
        """Shingles of an account that were written, the lowest first."""
        self._written = array("Q", bytes(8 * places))
        """Of what was written today: 56 bits of a hash of account and key, and the day's lowest 8."""
        self._shown = array("I", bytes(4 * (_SHOWN + 1)))
        """Of pieces of text, whoever sent them: 12 bits of a hash, and 16 of that of the message in which each stood first."""
        self._met = array("I", bytes(4 * places))
        """Of account and shingle: 16 bits of a hash, and 16 of the message in which the account first sent it."""
        self._many = array("H", bytes(2 * places))
        """Of account and kind: how many values were written today, behind the day's lowest 8 bits."""
        self.read: Callable[[str, str], Content | None] | None = self._read if content else None
        """Makes evidence of a system prompt and a message; None where the policy does not want it."""

    def edges(self, subject: Subject, content: Content | None = None, more: Sequence[int] = ()) -> tuple[int, ...]:
        """The keys that have yet to be written for this subject's account; empty for the anonymous.

        Args:
            subject: with its evidence.
            content: from `read`, once for a request.
            more: keys besides: of a move to a new model.
        """
        if not subject.candidate:
            return ()
        day = self._clock.now() // DAY
        if subject.noted == day and content is None and not more:
            return ()
        who = _number(subject.candidate)
        found: list[int] = []
        if subject.noted != day:
            found = self._unwritten(who, subject.evidence, day)
            if not found:
                subject.noted = day
        if more:
            found += self._unwritten(who, more, day)
        if content is not None:
            if content.system:
                found += self._unwritten(who, (content.system,), day)
            if content.shingles:
                found += self._again(who, content, day)
        return tuple(found)

    def noted(self, subject: Subject, edges: Sequence[int]) -> None:
        """The store has these keys of the subject's account: not again today."""
        who = _number(subject.candidate)
        day = self._clock.now() // DAY & 0xFF
        table, many, places = self._written, self._many, self._places
        for key in edges:
            mixed = (who ^ key) * _ODD & _WHOLE
            place, tag = mixed >> 40 & places, mixed & _TAG | day
            held = table[place]
            if held & 0xFF == day and held != tag and (table[place ^ 1] & 0xFF != day or mixed & 1):
                place ^= 1
            table[place] = tag
            code = key >> BITS
            if code == SHINGLE:
                self._keep(who, key)
            elif code in A_DAY:
                place = ((who ^ code << BITS) * _ODD & _WHOLE) >> 40 & places
                shown = many[place]
                many[place] = day << 8 | min(255, (shown & 0xFF) + 1 if shown >> 8 == day else 1)

    def _read(self, system: str, last: str) -> Content | None:
        """What of a system prompt and the user's last message is evidence, in digests; None where there is nothing."""
        if not system and not last:
            return None
        whole = 0
        if system:
            known = hash(system)
            whole = self._prompts.get(known) or 0
            if not whole:
                whole = self._shingler.whole(system)
                self._prompts.put(known, whole)
        if not last:
            return Content(whole)
        few, many, text = self._shingler.pieces(last)
        message = text & _MESSAGE or 1
        few = self._repeated(few, message)
        if many:
            many = self._repeated(many, message)
        return Content(whole, self._shingler.keys(few, many) if few or many else (), message)

    def _repeated(self, pieces: Sequence[bytes], message: int) -> list[bytes]:
        """Those that stood in another message before, whoever sent it; of the others this message is noted as the first."""
        shown = self._shown
        found = []
        for piece in pieces:
            hashed = crc32(piece)
            tag = hashed >> 20 << 16
            first = shown[hashed & _SHOWN] ^ tag  # the message, where the piece is known
            if not 0 < first <= _MESSAGE:
                shown[hashed & _SHOWN] = tag | message
            elif first != message:
                found.append(piece)
        return found

    def _unwritten(self, who: int, keys: Sequence[int], day: int) -> list[int]:
        table, many, places, day = self._written, self._many, self._places, day & 0xFF
        found = []
        for key in keys:
            mixed = (who ^ key) * _ODD & _WHOLE
            place, tag = mixed >> 40 & places, mixed & _TAG | day
            if table[place] == tag or table[place ^ 1] == tag:
                continue
            code = key >> BITS
            most = A_DAY.get(code)
            if most is not None:
                shown = many[((who ^ code << BITS) * _ODD & _WHOLE) >> 40 & places]
                if shown >> 8 == day and shown & 0xFF >= most:
                    continue
            found.append(key)
        return found

    def _again(self, who: int, content: Content, day: int) -> list[int]:
        """Of a message's shingles, those that its account has sent before, and that are among its lowest."""
        kept = self._kept.get(who) or _NONE
        highest = kept[-1] if len(kept) >= KEPT else _WHOLE
        found = []
        for key in content.shingles:
            if key > highest:
                break  # and so are those behind it
            if key in kept or self._meets(who, key, content.message):
                found.append(key)
        return self._unwritten(who, found, day) if found else found

    def _meets(self, who: int, key: int, message: int) -> bool:
        """Whether the account has sent this shingle before, in another message; else this one is noted as its first."""
        mixed = (who ^ key) * _ODD & _WHOLE
        place, tag = mixed >> 8 & self._places, mixed >> 32 & 0xFFFF
        entry = self._met[place]
        if entry and entry >> 16 == tag:
            return entry & 0xFFFF != message
        self._met[place] = tag << 16 | message
        return False

    def _keep(self, who: int, key: int) -> None:
        kept = self._kept.get(who)
        if kept is None:
            kept = array("Q")
            self._kept.put(who, kept)
        place = bisect_left(kept, key)
        if place == len(kept) or kept[place] != key:
            kept.insert(place, key)
            del kept[KEPT:]


_NONE: Final = array("Q")


def _number(account: str) -> int:
    """An account in tables, the same in every process: its name is a digest, so that it is as good as drawn."""
    return int.from_bytes(account.encode(), "little") % _PRIME
