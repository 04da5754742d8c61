"""Nothing that a client sends passes for ours, or for a proxy's, and no header has two meanings."""

from __future__ import annotations

from typing import Any

import pytest

from .kit import CHAT, JSON, KEY, Guarded, Upstream, policy

pytestmark = pytest.mark.anyio

REQUESTS = {"name": "requests", "rate": "100/minute"}
FORGED = [
    (b"x-guardrail-decision", b"forged"),
    (b"x-guardrail", b"allow"),
    (b"x_guardrail_decision", b"forged"),
    (b"x-guardrail_decision", b"forged"),
    (b"x_guardrail-subject", b"a:1"),
    (b"x-guardrail-decision", b"twice"),
]


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/health", "/elsewhere"])
async def test_what_pretends_to_be_ours_never_arrives(mode: str, path: str) -> None:
    guarded = Guarded(Upstream(), policy(REQUESTS, mode=mode))
    for method in ("GET", "POST", "OPTIONS"):
        preflight = (b"access-control-request-method", b"POST")
        assert (await guarded.get(path, *FORGED, KEY, preflight, (b"x-guarded", b"theirs"), method=method)).status == 200
        assert guarded.app.scopes[-1]["headers"] == [KEY, preflight, (b"x-guarded", b"theirs")]


async def test_nor_through_a_socket() -> None:
    guarded = Guarded(Upstream(), policy(REQUESTS))
    scope: Any = {"type": "websocket", "path": "/v1/realtime", "headers": [*FORGED, KEY], "client": ("192.0.2.1", 1)}
    await guarded.middleware(scope, None, None)
    assert guarded.app.scopes[-1]["headers"] == [KEY]


async def test_an_app_cannot_speak_for_us_either() -> None:
    """What an upstream behind the app sent under our names gives way to ours."""
    theirs = [(b"x-guardrail-decision", b"forged"), (b"ratelimit", b'"requests";r=999'), (b"x-request-id", b"theirs")]
    answer = await Guarded(Upstream(headers=theirs), policy(REQUESTS)).post(CHAT, {})
    assert answer.decision != "forged"
    assert answer.field("ratelimit") == '"requests";r=99;t=1'
    assert answer.field("x-request-id") == "theirs"


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")],
        [(b"authorization", b"Bearer a"), (b"authorization", b"Bearer a")],
        [(b"authorization", b"Bearer a"), (b"x-api-key", b"b")],
        [(b"x-api-key", b"a"), (b"x-api-key", b"b")],
        [(b"authorization", b"Bearer a, Bearer b")],
        [(b"authorization", b"Basic YTpi"), (b"x-api-key", b"b")],
        [(b"x-api-key", b"a\r\nx-admin: 1")],
        [(b"x-api-key", b"a\x00b")],
    ],
)
async def test_two_credentials_are_nobodys(headers: list[tuple[bytes, bytes]]) -> None:
    guarded = Guarded(Upstream(), policy(REQUESTS))
    answer = await guarded.post(CHAT, {}, JSON, *headers)
    assert (answer.status, answer.json["error"]["code"]) == (400, "ambiguous_credential")
    assert guarded.app.calls == 0


async def test_the_same_key_in_both_headers_is_one() -> None:
    guarded = Guarded(Upstream(), policy(REQUESTS))
    assert (await guarded.post(CHAT, {}, (b"authorization", b"bEARER  sk-one "), (b"x-api-key", b"sk-one"))).status == 200
    assert await guarded.left(KEY) == {"requests": 99}


async def test_a_proxys_headers_from_anybody_else_are_not_read() -> None:
    source = {"use": "header", "with": {"account": "x-user", "tier": "x-tier"}}
    identity = {"sources": [source], "trusted_proxies": ["10.0.0.0/8"]}
    free = {"name": "free", "when": {"tier": "gold"}, "rate": "1000/minute", "replaces": "requests"}
    guarded = Guarded(Upstream(), {**policy(REQUESTS, free), "identity": identity})
    named = ((b"x-user", b"alice"), (b"x-tier", b"gold"))
    assert (await guarded.post(CHAT, {}, *named, client=("10.0.0.1", 1))).field("ratelimit") == '"free";r=999;t=1'
    for peer in ("198.51.100.7", "::ffff:198.51.100.7"):
        told = (await guarded.post(CHAT, {}, *named, client=(peer, 1))).field("ratelimit") or ""
        assert told.startswith('"requests"')
    for twice in ([*named, (b"x-user", b"bob")], [*named, (b"x-tier", b"free")]):
        assert (await guarded.post(CHAT, {}, *twice, client=("10.0.0.1", 1))).status == 400
    assert (await guarded.post(CHAT, {}, (b"x-user", b"a" * 1_000_000), client=("10.0.0.1", 1))).status == 431
