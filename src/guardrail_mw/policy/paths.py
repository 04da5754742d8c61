"""Paths of routes: `*` is anything within a segment, `**` is any number of segments, none included."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

__all__ = ["compile_glob", "covers", "trouble"]

MAX_STARS: Final = 2
"""Of each kind in one path: enough for any route, and few enough to be read."""

_ANY_SEGMENTS: Final = "(?:/[^/]*+)*?"
_SEGMENT_END: Final = r"(?=/|\Z)"


def trouble(path: str) -> tuple[str, str] | None:
    """What is wrong with a path, and what to do; None when it is sound."""
    segments = path.split("/")
    if not path.startswith("/"):
        return "does not begin with `/`.", f"Write /{path}." if path.isprintable() and len(path) < 100 else "Begin with `/`."  # noqa: PLR2004
    if any(mark in path for mark in "?#%\\") or not path.isprintable() or " " in path:
        return "has a character that no decoded path has.", "Write the path alone, decoded: no query, no %-escapes."
    if any("**" in segment and segment != "**" for segment in segments):
        return "has a `**` that is not a segment of its own.", "Write /x/** for /x and all below it."
    if "" in segments[1:-1] or {".", ".."} & set(segments):
        return "has an empty or dotted segment.", "Write the path as the app receives it."
    if segments.count("**") > MAX_STARS or path.replace("**", "").count("*") > MAX_STARS:
        return f"has more than {MAX_STARS} stars of a kind.", "Write a simpler path, or several."
    return None


@cache
def compile_glob(path: str) -> re.Pattern[str]:
    """What matches a route's path, by `fullmatch`. `/x/**` matches `/x` too.

    Matching takes time in proportion to what a client sends: what stands between two stars is taken where it first occurs, for
    no later place leaves more room for the rest, and atomic groups forget the others.
    """
    blocks: list[list[str]] = [[]]
    for segment in path.split("/")[1:]:
        if segment == "**":
            blocks.append([])
        else:
            blocks[-1].append(_segment(segment))
    first, *rest = ["".join(f"/{segment}" for segment in block) for block in blocks]
    if not rest:
        return re.compile(first, re.DOTALL)
    *middle, last = rest
    pattern = first + "".join(f"(?>{_ANY_SEGMENTS}{block}{_SEGMENT_END})" for block in middle if block)
    return re.compile(pattern + (_ANY_SEGMENTS + last if last else "(?:/.*)?"), re.DOTALL)


def _segment(segment: str) -> str:
    if segment == "*":
        return "[^/]++"
    first, *rest = [re.escape(part) for part in segment.split("*")]
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>[^/]*?{part})" for part in middle) + f"[^/]*{last}{_SEGMENT_END}"


def covers(first: str, then: str) -> bool:
    """Whether every request that `then` matches is matched by `first`; may miss some, never errs the other way."""
    if first == then:
        return True
    if first.endswith("/**") and "*" not in first[:-3]:
        return then == first[:-3] or then.startswith(first[:-2])
    return "*" not in then and compile_glob(first).fullmatch(then) is not None
