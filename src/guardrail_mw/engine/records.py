"""Records of cases and appeals, found as operators name them: by as much of an id as no other begins with."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from guardrail_mw.engine.accounts import MisuseError
from guardrail_mw.engine.appeals import APPEAL
from guardrail_mw.engine.ground import CASE
from guardrail_mw.stores.base import Files

__all__ = ["APPEALED", "MOST", "VERIFIED", "Kind", "MissingError", "every", "find"]

MOST: Final = 5_000
"""Records that are looked through for a list; the latest made of them."""
_AT_ONCE: Final = 50
_PAGE: Final = 500
_ID: Final = re.compile(r"[0-9a-f]{1,24}")
_SHOWN: Final = 5


class MissingError(MisuseError):
    """There is no such case or appeal.

    Args:
        argument: `case` or `appeal`.
        text: why; may be shown to whoever asked.
    """


class Kind(NamedTuple):
    """A kind of record."""

    argument: str
    drawer: str
    mark: str
    """A field that every whole record has: one that was shredded while somebody wrote has it no more."""


VERIFIED: Final = Kind("case", CASE, "account")
APPEALED: Final = Kind("appeal", APPEAL, "subject")


async def every(files: Files, kind: Kind, most: int | None = MOST) -> tuple[dict[str, Mapping[str, str]], bool]:
    """Records by their names, the latest made first, and whether there are more than `most`."""
    names = await _names(files, kind, None if most is None else most + 1)
    kept, found = names[:most], []
    for start in range(0, len(kept), _AT_ONCE):
        found += await asyncio.gather(*[files.pull(kind.drawer, each) for each in kept[start : start + _AT_ONCE]])
    whole: dict[str, Mapping[str, str]] = {
        name: fields for name, fields in zip(kept, found, strict=True) if fields is not None and kind.mark in fields
    }
    return whole, len(names) > len(kept)


async def find(files: Files, kind: Kind, text: object) -> tuple[str, Mapping[str, str]]:
    """A record by its name, or by as much of it as no other begins with.

    Raises:
        MisuseError: it is none, or how several begin.
        MissingError: there is no such record.
    """
    wanted = text.strip().lower() if isinstance(text, str) else ""
    listed = f"`guardrail-mw {kind.argument}s list` has them all."
    if _ID.fullmatch(wanted) is None:
        raise MisuseError(kind.argument, f"is not the id of one: those are of 0-9 and a-f. {listed}")
    fields = await files.pull(kind.drawer, wanted)
    if fields is not None and kind.mark in fields:
        return wanted, fields
    names = [each for each in await _names(files, kind, None) if each.startswith(wanted)]
    if len(names) > 1:
        some = ", ".join(names[:_SHOWN])
        raise MisuseError(kind.argument, f"{wanted!r} is how several begin: {some}. Write more of it.")
    fields = await files.pull(kind.drawer, names[0]) if names else None
    if fields is None or kind.mark not in fields:
        raise MissingError(kind.argument, f"{wanted!r} is not there. {listed}")
    return names[0], fields


async def _names(files: Files, kind: Kind, most: int | None) -> list[str]:
    seen: dict[str, None] = {}
    after = ""
    while most is None or len(seen) < most:
        names = [each for each in await files.listed(kind.drawer, _PAGE, after) if each not in seen]
        if not names:
            break
        seen |= dict.fromkeys(names)
        after = names[-1]
    return list(seen)[:most]
