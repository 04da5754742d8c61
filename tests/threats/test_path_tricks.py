"""No way of writing a path leads to a lesser route, and no method to a lesser charge."""

from __future__ import annotations

import pytest

from .kit import CHAT, JSON, KEY, Guarded, Upstream, chat, policy, scope_of

pytestmark = pytest.mark.anyio

REQUESTS = {"name": "requests", "rate": "100/minute"}
TOKENS = {"name": "tokens", "unit": "tokens", "rate": "100000/minute"}
ROUTES = [
    {"path": ["/health", "/public/**"], "exempt": True},
    {"path": "/v1/models/**", "dialect": "openai", "limits": []},
    {"path": "/v1/messages/**", "dialect": "anthropic"},
    {"path": "/v1/**", "dialect": "openai"},
]
DRESSED = [
    "/public/../v1/chat/completions",
    "/public/./../v1/chat/completions",
    "/public/x/../../v1/chat/completions",
    "//v1/chat/completions",
    "/v1//chat/completions",
    "/v1/./chat/completions",
    "/v1/chat/completions/",
    "/v1/chat/completions//",
    "/v1/chat/completions/.",
    "/v1/models/../chat/completions",
    "/v1/models/%2e%2e/chat/completions",
    "/v1/models/..%2fchat/completions",
    "/v1/models\\..\\chat/completions",
    "/public/%2e%2e%2fv1%2fchat/completions",
    "/../v1/chat/completions",
    "///public/..//v1/chat/completions",
    "/health/../v1/chat/completions",
    "/v1/chat/completions/x/..",
]


@pytest.mark.parametrize("path", DRESSED)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_a_path_in_disguise_pays_as_much(path: str, method: str) -> None:
    guarded = Guarded(Upstream(), {**policy(REQUESTS, TOKENS), "routes": ROUTES})
    await guarded.get(path, KEY, method=method)
    assert (await guarded.left())["requests"] == 99


@pytest.mark.parametrize("path", DRESSED)
async def test_and_is_counted_in_tokens(path: str) -> None:
    app = Upstream(b'{"usage": {"prompt_tokens": 600, "completion_tokens": 400}}')
    guarded = Guarded(app, {**policy(REQUESTS, TOKENS), "routes": ROUTES})
    await guarded.post(path, chat(400))
    assert await guarded.left() == {"requests": 99, "tokens": 99_000}


@pytest.mark.parametrize("path", ["//health", "/health/.", "/public/../health", "/HEALTH", "/health\x00", "/health;x"])
async def test_exempt_is_only_what_is_written_as_the_policy_writes_it(path: str) -> None:
    guarded = Guarded(Upstream(), {**policy(REQUESTS), "routes": ROUTES})
    await guarded.get(path, KEY)
    assert (await guarded.left())["requests"] == 99


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "get", "G\x00ET", ""])
async def test_exempt_is_only_what_reads(method: str) -> None:
    guarded = Guarded(Upstream(), {**policy(REQUESTS), "routes": ROUTES})
    await guarded.get("/health", KEY, method=method)
    assert (await guarded.left())["requests"] == 99


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS", "QUERY", "post", "POST\n", "X" * 70_000])
async def test_whatever_the_method_a_metered_route_charges_a_request(method: str) -> None:
    guarded = Guarded(Upstream(), {**policy(REQUESTS), "routes": ROUTES})
    answer = await guarded.get(CHAT, KEY, JSON, method=method)
    assert answer.status == 200
    assert (await guarded.left())["requests"] == 99


async def test_a_root_path_is_taken_off_once_and_only_where_it_ends() -> None:
    guarded = Guarded(Upstream(), {**policy(REQUESTS), "routes": ROUTES})
    for number, path in enumerate(["/v1/public/x", "/v1/v1/public/x", "/v1x/public/x", "/public"], 1):
        await guarded.get(path, KEY, root_path="/v1" if number < 4 else "/pub")
    assert (await guarded.left())["requests"] == 98  # /v1x is not below /v1; the first and the last are free


async def test_a_path_that_means_nothing_is_guarded() -> None:
    guarded = Guarded(Upstream(), {**policy(REQUESTS), "routes": ROUTES})
    for path in ("", "*", "/", "/..", "/.", "\\v1\\chat", "/\ud800", "/v1/\u2024\u2024/x", "/" + "a/" * 50_000):
        await guarded.ask(scope_of("/", "GET", (KEY,)) | {"path": path}, b"")
    assert (await guarded.left())["requests"] == 91
