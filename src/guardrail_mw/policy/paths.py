"""Paths of routes: `*` is anything within a segment, `**` is any number of segments, none included."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

__all__ = ["compile_glob", "covers", "trouble"]

MAX_STARS: Final = 2
"""Of each kind in one path: matching stays quadratic in what a client may send, at the worst."""


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
    """What matches a route's path, by `fullmatch`. `/x/**` matches `/x` too."""
    pattern = ""
    for segment in path.split("/")[1:]:
        inside = "[^/]*".join(re.escape(part) for part in segment.split("*"))
        if segment == "*":
            inside = "[^/]+"
        pattern += "(?:/.*)?" if segment == "**" else f"/{inside}"
    return re.compile(pattern, re.DOTALL)


def covers(first: str, then: str) -> bool:
    """Whether every request that `then` matches is matched by `first`; may miss some, never errs the other way."""
    if first == then:
        return True
    if first.endswith("/**") and "*" not in first[:-3]:
        return then == first[:-3] or then.startswith(first[:-2])
    return "*" not in then and compile_glob(first).fullmatch(then) is not None
