"""No way of writing a path leads to a lesser route, and no method to a lesser charge."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

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


HOSTS = [
    [b"x/health?"],
    [b"x/health#"],
    [b"/health"],
    [b"x/health?", b"api.example"],
    [b"api.example", b"x/health?"],
    [b"x:80/health?"],
    [b"u@x/health#"],
    [b"x/public/"],
    [b"x/.guardrail/live?"],
    [b""],
]
"""A path rebuilt from the first of each is another, or none at all."""


def with_hosts(hosts: list[bytes], path: str = CHAT, method: str = "GET") -> dict[str, Any]:
    return scope_of(path, method, (KEY, *[(b"host", host) for host in hosts]))


@pytest.mark.parametrize("host", [b"x/health?", b"x/health#", b"x:80/health?", b"u@x/health#"])
def test_a_path_rebuilt_from_such_a_host_is_the_exempt_one(host: bytes) -> None:
    """What the tests below send does mislead whoever puts a URL together from `Host`, as Starlette did up to 1.0."""
    assert URL(f"http://{host.decode()}{CHAT}").path == "/health"


@pytest.mark.parametrize("hosts", HOSTS, ids=repr)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_no_host_leads_to_another_route(hosts: list[bytes], method: str) -> None:
    app = Upstream()
    guarded = Guarded(app, {**policy(REQUESTS), "routes": ROUTES})
    assert (await guarded.ask(with_hosts(hosts, method=method), b"")).status == 200
    assert app.calls == 1
    assert (await guarded.left())["requests"] == 99


@pytest.mark.parametrize("hosts", [[b"x/v1/chat?"], [b"x/v1/chat#"], [b"/v1"]], ids=repr)
async def test_nor_does_one_make_an_exempt_route_pay(hosts: list[bytes]) -> None:
    guarded = Guarded(Upstream(), {**policy(REQUESTS), "routes": ROUTES})
    await guarded.ask(with_hosts(hosts, "/health"), b"")
    assert (await guarded.left())["requests"] == 100


@pytest.mark.parametrize("hosts", HOSTS, ids=repr)
async def test_whatever_path_a_starlette_app_believes_in_the_route_that_answers_pays(hosts: list[bytes]) -> None:
    """Its router reads the scope as ours does; `request.url` is put together from `Host`, and was fooled up to 1.0."""

    async def complete(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"completed at {request.url.path}")

    async def health(_: Request) -> PlainTextResponse:
        return PlainTextResponse("healthy")

    app = Starlette(routes=[Route(CHAT, complete), Route("/health", health)])
    guarded = Guarded(app, {**policy(REQUESTS), "routes": ROUTES})
    answer = await guarded.ask(with_hosts(hosts), b"")
    assert answer.status == 200
    assert answer.body.startswith(b"completed at ")
    assert (await guarded.left())["requests"] == 99
    assert (await guarded.ask(with_hosts([b"api.example"], "/health"), b"")).body == b"healthy"
    assert (await guarded.left())["requests"] == 99
