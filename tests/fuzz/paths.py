"""Paths: none leads to a lesser route than the one that any reading of it leads to, and globs mean what they say.

Input: the method and the root path on the first line, or `glob` and two globs, then the path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final
from urllib.parse import unquote

from guardrail_mw.asgi.edge import own_path
from guardrail_mw.engine.routes import Router
from guardrail_mw.policy import Policy, load, paths

from .base import Target, head, within

EXEMPT: Final = ("/health", "/public/**")
ROUTES: Final[list[dict[str, Any]]] = [
    {"path": list(EXEMPT), "exempt": True},
    {"path": "/v1/models/**", "dialect": "openai", "limits": ["few"]},
    {"path": "/v1/*/items", "limits": ["some"]},
    {"path": "/v1/messages/**", "dialect": "anthropic"},
    {"path": ["/v1/**", "/generate"], "dialect": "openai", "methods": ["POST", "GET"]},
]
LIMITS: Final = [{"name": name, "per": ["account"], "rate": "9/minute"} for name in ("few", "some", "all")]
READINGS: Final = 256
"""Ways to read one path that are followed."""


@cache
def policy() -> Policy:
    """Two exempt routes among others."""
    return load({"version": 1, "routes": ROUTES, "limits": LIMITS}, environ={})


def check(data: bytes) -> None:
    """One path."""
    line, rest = head(data)
    with within(1):
        if line.startswith("glob "):
            globs(line.split(" ")[1:3], rest.decode("utf-8", "replace"))
            return
        method, _, root = line.partition(" ")
        path = rest.decode("utf-8", "surrogateescape")
        own = own_path({"path": path, "root_path": root})
        if root and path != own:
            assert path in {root + own, root}, "another path than what is below the root"
        routed(own, method)


def routed(path: str, method: str) -> None:
    """The route holds all that any reading of the path would: exempt only what all of them are, limits of each."""
    router = Router(policy(), lambda limits: "all" in limits)
    route = router.find(path, method)
    again = router.find(path, method)
    assert (again.exempt, again.limits, again.index) == (route.exempt, route.limits, route.index), "another the second time"
    if route.exempt:
        assert method in {"GET", "HEAD"}
        for reading in readings(path):
            bare = reading.rstrip("/") or "/"  # a slash at the end leads nowhere else
            assert any(matches(glob, bare) for glob in EXEMPT), f"exempt, and to some app it is {reading!r}"
    as_written, tidied = first(path, method), first(tidy(path), method)
    if as_written is None and path == tidy(path) + "/":  # what no route names is the route without its slash
        as_written = tidied
    if not route.exempt:
        for index in {as_written, tidied} - {0}:
            named = ROUTES[index].get("limits") if index is not None else None
            wanted = frozenset(named if isinstance(named, list) else ("few", "some", "all"))
            assert route.limits >= wanted, f"without the limits of route {index}"
    metered = method == "POST" and {as_written, tidied} & {1, 3, 4}
    assert route.metered or not metered or route.exempt, "answers are not read, though a reading's are"


def first(path: str, method: str) -> int | None:
    """The first route that matches, by a matcher that shares nothing with ours."""
    for index, each in enumerate(ROUTES):
        named = each["path"]
        given = each.get("methods")
        if isinstance(given, list) and method not in given:
            continue
        if any(matches(glob, path) for glob in ([named] if isinstance(named, str) else list(named))):
            return index
    return None


def tidy(path: str) -> str:
    """As an app reads it that decodes once more, turns backslashes, resolves dots and drops empty segments."""
    kept: list[str] = []
    for segment in unquote(path).replace("\\", "/").split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in {"", "."}:
            kept.append(segment)
    return "/" + "/".join(kept)


def _resolved(path: str) -> str:
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if len(kept) > 1:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    return "/".join(kept) or "/"


def readings(path: str) -> set[str]:
    """Every path that apps may take this one for: decoded, dots resolved, slashes joined, dropped or turned, in any order."""
    found, waiting = {path}, [path]
    steps = (
        unquote,
        _resolved,
        lambda each: re.sub("/+", "/", each),
        lambda each: each.replace("\\", "/"),
        lambda each: each.rstrip("/") or "/",
    )
    while waiting and len(found) < READINGS:
        reading = waiting.pop()
        for step in steps:
            other = step(reading)
            if other not in found:
                found.add(other)
                waiting.append(other)
    return found


def matches(glob: str, path: str) -> bool:
    """Whether a glob matches, segment by segment."""
    if path and not path.startswith("/"):
        return False
    return _segments(glob.split("/")[1:], path.split("/")[1:])


def _segments(globs: Sequence[str], segments: Sequence[str]) -> bool:
    """Dynamic programming: `reach` has the places in `segments` that the globs so far may lead to."""
    reach = {0}
    for glob in globs:
        if glob == "**":
            reach = {place for start in reach for place in range(start, len(segments) + 1)}
        else:
            reach = {start + 1 for start in reach if start < len(segments) and _within(glob, segments[start])}
    return len(segments) in reach


def _within(glob: str, segment: str) -> bool:
    if glob == "*":
        return segment != ""
    reach = {0}
    for character in glob:
        if character == "*":
            reach = set(range(min(reach), len(segment) + 1)) if reach else reach
        else:
            reach = {place + 1 for place in reach if segment[place : place + 1] == character}
    return len(segment) in reach


def globs(pair: Sequence[str], path: str) -> None:
    """A glob that is sound matches what it says it does, and covers another only where it matches all that the other does."""
    good = [each for each in pair if paths.trouble(each) is None]
    for glob in good:
        matched = paths.compile_glob(glob).fullmatch(path) is not None
        assert matched is matches(glob, path), f"{glob} {'matches' if matched else 'does not match'} {path!r}"
    if len(good) == 2 and paths.covers(*good) and matches(good[1], path):
        assert matches(good[0], path), f"{good[0]} does not cover {good[1]}"


DRESSED: Final = (
    "/health", "/health/", "//health", "/health/.", "/health/../v1/x", "/public", "/public/x",
    "/public/../v1/chat/completions", "/public/%2e%2e/v1/x", "/public/..%2fv1/x", "/public/%252e%252e/v1/x",
    "/public\\..\\v1", "/public/x/%2e%2e%5c..%5cv1/x", "/v1//models", "/v1/models/../chat", "/v1/x/items", "/v1/%2fitems",
    "/v1/messages/", "/generate", "", "*", "/", "/..", "/public/..", "/\udcff", "/public/a;b/..;/v1", "/public/%00",
    "/healthx", "/HEALTH", "/./health", "/%68ealth", "/public/\u2024\u2024/v1", "/public//", "/public/%",
)  # fmt: skip
GLOBS: Final = (
    "/a/*/b",
    "/a/**",
    "/**/z",
    "/a/**/m/**",
    "/a*b*c",
    "/**",
    "/*",
    "/a/*",
    "/a/b*",
    "/a/*b",
    "/",
    "/a/**/b*/*c",
)


def seeds() -> Iterator[bytes]:
    """Paths in disguise under each method, and pairs of globs."""
    for path in DRESSED:
        text = path.encode("utf-8", "surrogateescape")
        for asked in ("GET", "POST", "GET /v1", "HEAD /public", "QUERY"):
            yield asked.encode() + b"\n" + text
    for one in GLOBS:
        for two in GLOBS:
            yield f"glob {one} {two}\n/a/x/b".encode()
    for path in ("/a", "/a/", "/a//b", "/abc", "/a/m/m/z", "/a\nb", "/a/bb/cc"):
        yield f"glob /a/**/m/** /**/z\n{path}".encode()
        yield f"glob /a*b*c /a/**/b*/*c\n{path}".encode()


WORDS: Final = (
    b"/health", b"/public/", b"/v1/", b"/v1/models/", b"/v1/messages/", b"/..", b"/.", b"//", b"%2e", b"%2f", b"%5c",
    b"\\", b"%25", b"%252e", b"items", b"**", b"/*", b"*", b"GET\n", b"POST\n", b"GET /v1\n", b"glob ", b"%c0%ae", b"%00",
    b"\xff",
)  # fmt: skip

TARGET: Final = Target("path", check, seeds, WORDS, 512)
