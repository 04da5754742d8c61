"""Records that outlive accounts: what may name one, and the memory store's. There everything is done under the store's lock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import Change
from guardrail_mw.stores.remembering import combine

__all__ = ["ROOM", "Drawers", "check", "fits"]

ROOM = 64_000_000
"""Characters that a process keeps at most."""
EACH = 500
"""What a record counts for besides its own."""
_SECOND = 1_000_000
_DRAWER = re.compile(r"[a-z][a-z0-9-]{0,31}")
_NAME = re.compile(r"[!-~]{1,200}")
_WHOLE = re.compile(r"-?[0-9]{1,15}")


def fits(drawer: str, name: str) -> bool:
    """Whether there can be such a record."""
    return bool(_DRAWER.fullmatch(drawer) and _NAME.fullmatch(name))


def check(drawer: str, name: str, changes: Sequence[Change]) -> None:
    """See that a store can file this.

    Raises:
        ValueError: it cannot; says what is wrong.
    """
    if not _DRAWER.fullmatch(drawer):
        raise ValueError(f"A drawer is a word of at most 32 small letters, not {drawer!r}.")
    for text in (name, *[each.field for each in changes]):
        if not _NAME.fullmatch(text):
            raise ValueError(
                f"Names and fields of records are 1 to 200 printable ASCII characters, no blanks, not {text!r}."
            )
    for each in changes:
        each.value.encode()
        if each.op in {"add", "max"} and not _WHOLE.fullmatch(each.value):
            raise ValueError(f"{each.op!r} takes a whole number of at most 15 digits, not {each.value!r}.")


class _Record(NamedTuple):
    fields: dict[str, str]
    until: int
    size: int


class Drawers:
    """The records, in the order in which they were made.

    Args:
        room: characters of names, fields and texts that are kept at most, each record counting for 500 more. Where there is no
            room, those whose time is over go; where that is not enough, nothing new is kept, for none may be forgotten early.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._held = 0
        self._drawers: dict[str, dict[str, _Record]] = {}
        self._looked = 0
        """µs when those whose time was over were last looked for."""

    def file(self, drawer: str, name: str, changes: Sequence[Change], until: int, now: int) -> dict[str, str]:
        """See `Files.file`."""
        check(drawer, name, changes)
        kept = self._find(drawer, name, now)
        fields = dict(kept.fields) if kept is not None else {}
        for each in changes:
            after = combine(each, fields.get(each.field))
            if after is None:
                fields.pop(each.field, None)
            else:
                fields[each.field] = after
        size = EACH + len(name) + sum([len(field) + len(text) for field, text in fields.items()])
        if kept is not None:
            until = max(until, kept.until)
        if until <= now:
            return fields
        more = size - (kept.size if kept is not None else 0)
        if more > 0:
            self._make_room(more, now)
        self._drawers.setdefault(drawer, {})[name] = _Record(fields, until, size)
        self._held += more
        return dict(fields)

    def pull(self, drawer: str, name: str, now: int) -> dict[str, str] | None:
        """See `Files.pull`."""
        kept = self._find(drawer, name, now)
        return dict(kept.fields) if kept is not None else None

    def listed(self, drawer: str, most: int, after: str, now: int) -> list[str]:
        """See `Files.listed`."""
        self._sweep(drawer, now)
        names = list(reversed(self._drawers.get(drawer, {})))
        start = names.index(after) + 1 if after in names else 0
        return names[start : start + max(most, 0)]

    def shred(self, drawer: str, name: str, now: int) -> bool:
        """See `Files.shred`."""
        if self._find(drawer, name, now) is None:
            return False
        self._drop(drawer, name)
        return True

    def _find(self, drawer: str, name: str, now: int) -> _Record | None:
        kept = self._drawers.get(drawer, {}).get(name)
        if kept is not None and kept.until <= now:
            self._drop(drawer, name)
            return None
        return kept

    def _drop(self, drawer: str, name: str) -> None:
        self._held -= self._drawers[drawer].pop(name).size

    def _sweep(self, drawer: str, now: int) -> None:
        over = [name for name, kept in self._drawers.get(drawer, {}).items() if kept.until <= now]
        for name in over:
            self._drop(drawer, name)

    def _make_room(self, more: int, now: int) -> None:
        if self._held + more <= self._room:
            return
        if now >= self._looked + _SECOND:  # looking through all of them takes a while
            self._looked = now
            for drawer in self._drawers:
                self._sweep(drawer, now)
        if self._held + more > self._room:
            raise StoreError(
                "The store holds as many records as it may.", f"{self._held} of {self._room} characters are taken."
            )
