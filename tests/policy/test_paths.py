"""Paths of routes."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail_mw.policy import RouteSettings
from guardrail_mw.policy.paths import compile_glob, covers, trouble


@pytest.mark.parametrize(
    ("glob", "hits", "misses"),
    [
        ("/health", ["/health"], ["/health/", "/healthz", "/Health", "/x/health", ""]),
        ("/v1/**", ["/v1", "/v1/", "/v1/a", "/v1/a/b", "/v1/a\nb"], ["/v1a", "/v2", "/"]),
        ("/v1/*", ["/v1/a", "/v1/a.b"], ["/v1", "/v1/", "/v1/a/b"]),
        ("/v1/*/chat", ["/v1/x/chat"], ["/v1/chat", "/v1/x/y/chat"]),
        ("/v1/**/chat", ["/v1/chat", "/v1/x/chat", "/v1/x/y/chat"], ["/v1/chatty", "/v1x/chat"]),
        ("/m-*.json", ["/m-.json", "/m-a.json"], ["/m-a/b.json", "/m-aXjson"]),
        ("/**", ["", "/", "/a/b"], []),
        ("/a+(b)", ["/a+(b)"], ["/aab"]),
    ],
)
def test_stars(glob: str, hits: list[str], misses: list[str]) -> None:
    pattern = compile_glob(glob)
    assert trouble(glob) is None
    assert [path for path in hits if not pattern.fullmatch(path)] == []
    assert [path for path in misses if pattern.fullmatch(path)] == []


@pytest.mark.parametrize(
    "path",
    [
        "v1",
        "",
        "/v1?x",
        "/v1#x",
        "/a%20b",
        "/a b",
        "/a//b",
        "/a/../b",
        "/./a",
        "/v1**",
        "/**/**/**",
        "/*/*/*",
        "\\a",
        "/a\n",
    ],
)
def test_paths_that_match_nothing_real(path: str) -> None:
    found = trouble(path)
    assert found is not None
    assert all(found)


@given(st.text(alphabet="/*ab", max_size=8), st.text(alphabet="/ab", max_size=10))
def test_covered_means_never_reached(glob: str, path: str) -> None:
    first, then = "/a/**", f"/{glob}"
    if trouble(then) is None and covers(first, then) and compile_glob(then).fullmatch(path):
        assert compile_glob(first).fullmatch(path)


def naive(glob: list[str], path: list[str]) -> bool:
    """The meaning, tried out in full."""
    if not glob:
        return not path
    if glob[0] == "**":
        return any(naive(glob[1:], path[skipped:]) for skipped in range(len(path) + 1))
    return bool(path) and _within(glob[0], path[0]) and naive(glob[1:], path[1:])


def _within(glob: str, text: str) -> bool:
    if glob == "*":
        return text != ""
    head, star, tail = glob.partition("*")
    if not star:
        return glob == text
    rest = text.removeprefix(head) if text.startswith(head) else None
    return rest is not None and any(_ends(tail, rest[skipped:]) for skipped in range(len(rest) + 1))


def _ends(glob: str, text: str) -> bool:
    return _within(glob, text) if glob != "*" else True


segments = st.sampled_from(["a", "b", "*", "**", "a*", "*a", "a*b", "*a*", "*a*b", "a*a", "aa"])


@given(st.lists(segments, min_size=1, max_size=5), st.lists(st.text(alphabet="ab", max_size=4), max_size=6))
def test_stars_mean_what_trying_them_out_says(glob: list[str], path: list[str]) -> None:
    written = "/" + "/".join(glob)
    if trouble(written) is None:
        matched = compile_glob(written).fullmatch("".join(f"/{each}" for each in path)) is not None
        assert matched is naive(glob, path)


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        ("/**/x/**/y", "/x" * 200_000),
        ("/v1/*a*b", "/v1/" + "a" * 200_000),
        ("/**/a*a/**/b*b", "/" + "a/" * 200_000 + "c"),
        ("/**/*a*/**/y", "/" + "b" * 200_000),
    ],
)
def test_matching_takes_time_in_proportion(glob: str, path: str) -> None:
    """Tried out in full these take from half a minute on; a server that lets so long a path in must not stand still."""
    pattern = compile_glob(glob)
    started = time.process_time()
    assert pattern.fullmatch(path) is None
    assert time.process_time() - started < 5


def test_a_route_matches_by_method_too() -> None:
    route = RouteSettings.model_validate({"path": ["/a", "/b/**"], "methods": ["GET"]})
    assert route.matches("/b/c", "GET")
    assert not route.matches("/b/c", "POST")
    assert not route.matches("/c", "GET")
    assert route.label == "/a"


@pytest.mark.parametrize(
    ("settings", "method", "metered", "proof"),
    [
        ({"dialect": "openai"}, "POST", True, True),
        ({"dialect": "anthropic"}, "GET", False, False),
        ({}, "POST", False, False),
        ({"metered": True}, "GET", True, True),
        ({"dialect": "openai", "proves": False}, "POST", True, False),
        ({"dialect": "openai", "metered": False}, "POST", False, False),
        ({"proves": True}, "GET", False, True),
    ],
)
def test_what_is_metered_proves(settings: dict[str, object], method: str, metered: bool, proof: bool) -> None:
    route = RouteSettings.model_validate({"path": "/x", **settings})
    assert (route.is_metered(method), route.is_proof(method)) == (metered, proof)
