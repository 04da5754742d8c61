"""One http request: what passes untouched, what is refused and how, in each mode and dialect."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest

from guardrail_mw.engine import Engine
from guardrail_mw.values import Deny

from .kit import HANG_UP, JSON, KEY, OTHER_KEY, Answer, Guarded, Upstream, chat, policy, scope_of

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
PLAIN = "/other"
DIALECTS = {CHAT: "openai", MESSAGES: "anthropic", PLAIN: "problem"}
REQUESTS = {"name": "requests", "rate": "2/minute"}
TOKENS = {"name": "tokens", "unit": "tokens", "rate": "100000/minute"}
TWO_KEYS = ((b"authorization", b"Bearer one"), (b"x-api-key", b"two"))


def code_of(path: str, answer: Answer) -> str:
    """The machine-readable reason, where each dialect has it; and that the body has the dialect's shape."""
    body = answer.json
    match DIALECTS[path]:
        case "openai":
            assert set(body) == {"error"}
            assert {"message", "type", "param", "code", "decision"} <= set(body["error"])
            assert body["error"]["decision"] == answer.decision
            return str(body["error"]["code"])
        case "anthropic":
            assert body["type"] == "error"
            assert body["error"]["details"]["decision"] == answer.decision
            return str(body["error"]["details"]["error_code"])
        case _:
            assert answer.field("content-type") == "application/problem+json"
            assert body["status"] == answer.status
            assert body["decision"] == answer.decision
            return str(body["code"])


# Passing on


async def test_a_body_is_replayed_as_it_came() -> None:
    body = json.dumps(chat()).encode()
    pieces = [body[:1], b"", body[1:30], body[30:]]
    got: list[Any] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        while True:
            got.append(await receive())
            if got[-1]["type"] == "http.disconnect":
                break
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    guarded = Guarded(app, policy(TOKENS))
    answer = await guarded.ask(scope_of(CHAT, headers=(KEY, JSON)), *pieces)
    assert answer.status == 204
    assert got == [
        *({"type": "http.request", "body": piece, "more_body": index < 3} for index, piece in enumerate(pieces)),
        {"type": "http.disconnect"},
    ]


async def test_a_body_is_not_read_where_no_rule_needs_it() -> None:
    """The app gets the very first message first; the request was charged before any body was there."""
    guarded = Guarded(Upstream(), policy(REQUESTS))
    charged: list[int] = []

    async def receive() -> Any:
        charged.append(len(guarded.bills))
        return {"type": "http.request", "body": b"not JSON"}

    assert (await guarded.ask(scope_of(CHAT, headers=(KEY,)), receive=receive)).status == 200
    assert charged == [1]


@pytest.mark.parametrize("limits", [(REQUESTS,), (REQUESTS, TOKENS)])
async def test_an_answer_passes_chunk_by_chunk_before_the_next_is_made(limits: tuple[Any, ...]) -> None:
    steps: list[str] = []
    sent: list[Any] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for number in range(3):
            steps.append(f"made {number}")
            await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def send(message: Any) -> None:
        sent.append(message)
        if message["type"] == "http.response.body":
            steps.append("sent " + message["body"].decode().strip())
        await asyncio.sleep(0)

    await Guarded(app, policy(*limits)).ask(scope_of(CHAT, headers=(KEY, JSON)), json.dumps(chat()).encode(), send=send)
    assert steps == ["made 0", "sent data: 0", "made 1", "sent data: 1", "made 2", "sent data: 2", "sent "]
    assert [message.get("body") for message in sent[1:]] == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n", b""]


async def test_body_messages_and_extensions_pass_as_they_are() -> None:
    early = {"type": "http.response.debug", "info": {}}
    body = {"type": "http.response.body", "body": b"x", "more_body": False, "theirs": 1}
    trailers = {"type": "http.response.trailers", "headers": [(b"a", b"b")], "more_trailers": False}

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send(early)
        await send({"type": "http.response.start", "status": 200, "trailers": True})
        await send(body)
        await send(trailers)

    answer = await Guarded(app, policy(REQUESTS)).post(CHAT)
    assert answer.messages[0] is early
    assert answer.messages[1]["trailers"] is True
    assert answer.messages[2] is body
    assert answer.messages[3] is trailers


async def test_headers_may_be_any_iterable() -> None:
    """ASGI asks for an iterable, so an iterator that can be read once will do, in both directions."""
    theirs = [
        (b"content-type", b"text/plain"),
        (b"x-ratelimit-limit-requests", b"9"),
        (b"set-cookie", b"a"),
        (b"set-cookie", b"b"),
    ]
    seen: list[Any] = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        seen.extend(scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": iter(theirs)})
        await send({"type": "http.response.body"})

    guarded = Guarded(app, policy(REQUESTS))
    answer = await guarded.ask(scope_of(CHAT) | {"headers": iter([KEY, (b"x-other", b"1")])})
    assert seen == [KEY, (b"x-other", b"1")]
    assert [value for name, value in answer.headers if name == b"set-cookie"] == [b"a", b"b"]
    assert answer.field("content-type") == "text/plain"
    assert answer.field("x-ratelimit-limit-requests") == "2"


async def test_what_pretends_to_come_from_us_is_stripped() -> None:
    for mode in ("enforce", "shadow"):
        for path in (CHAT, "/health"):
            app = Upstream()
            guarded = Guarded(app, policy(REQUESTS, mode=mode))
            forged = (
                (b"x-guardrail-decision", b"1"),
                (b"x-guardrail", b"2"),
                (b"x_guardrail_account", b"3"),
                (b"x-guard", b"4"),
            )
            await guarded.get(path, KEY, *forged)
            assert app.scopes[0]["headers"] == [KEY, (b"x-guard", b"4")]


async def test_the_app_finds_subject_decision_and_readings() -> None:
    app = Upstream()
    guarded = Guarded(app, policy(REQUESTS, {"name": "slots", "concurrency": 3}))
    answer = await guarded.post(CHAT)
    exchange = app.scopes[0]["state"]["guardrail"]
    assert exchange.id == exchange.decision.id == answer.decision
    assert exchange.subject.account.startswith("a:")
    assert exchange.authenticated
    assert [(each.name, each.remaining, each.reset) for each in exchange.readings] == [
        ("requests", 1, 30_000_000),
        ("slots", 2, 0),
    ]
    assert "sk-one" not in repr([exchange.subject.account, exchange.id, exchange.readings])


async def test_a_scope_without_state_gets_one() -> None:
    app = Upstream()
    scope = scope_of(CHAT, headers=(KEY,))
    del scope["state"]
    await Guarded(app, policy(REQUESTS)).ask(scope)
    assert "guardrail" in app.scopes[0]["state"]


# Headers of an admitted answer


async def test_rate_fields_of_an_admitted_answer() -> None:
    """2 a minute: one left, the bucket full again 30 s from now; 00:00:30 on the first of January 2026."""
    answer = await Guarded(Upstream(), policy(REQUESTS)).post(CHAT)
    assert answer.field("ratelimit-policy") == '"requests";q=2;w=60'
    assert answer.field("ratelimit") == '"requests";r=1;t=30'
    assert answer.field("x-ratelimit-limit-requests") == "2"
    assert answer.field("x-ratelimit-remaining-requests") == "1"
    assert answer.field("x-ratelimit-reset-requests") == "30s"
    answer = await Guarded(Upstream(), policy(REQUESTS)).post(MESSAGES)
    assert answer.field("anthropic-ratelimit-requests-remaining") == "1"
    assert answer.field("anthropic-ratelimit-requests-reset") == "2026-01-01T00:00:30Z"
    assert answer.field("x-ratelimit-limit-requests") is None
    answer = await Guarded(Upstream(), policy(REQUESTS)).post(PLAIN)
    assert answer.field("ratelimit") == '"requests";r=1;t=30'
    assert answer.field("x-ratelimit-limit-requests") is None
    answer = await Guarded(Upstream(), policy(REQUESTS, headers=[])).post(CHAT)
    assert {name for name, _ in answer.headers} == {b"content-type", b"x-guardrail-decision"}


async def test_limits_of_everyone_and_in_shadow_are_not_shown() -> None:
    limits = [{"name": "capacity", "per": [], "rate": "5/minute"}, {"name": "trial", "rate": "1/minute", "shadow": True}]
    answer = await Guarded(Upstream(), policy(*limits)).post(CHAT)
    assert {name for name, _ in answer.headers} == {b"content-type", b"x-guardrail-decision"}


async def test_ours_replace_theirs_and_the_request_id_stays() -> None:
    theirs = [(b"x-ratelimit-limit-requests", b"9"), (b"x-guardrail-decision", b"theirs"), (b"x-request-id", b"req_1")]
    answer = await Guarded(Upstream(headers=theirs), policy(REQUESTS)).post(CHAT)
    assert answer.field("x-ratelimit-limit-requests") == "2"
    assert answer.decision != "theirs"
    assert answer.field("x-request-id") == "req_1"


# Refusing


@pytest.mark.parametrize("path", DIALECTS)
async def test_a_limit_refuses_in_the_dialect_of_the_route(path: str) -> None:
    """2 a minute, both taken at 0 s: the next is there in 30 s, plus at most a quarter of jitter."""
    guarded = Guarded(Upstream(), policy(REQUESTS))
    for _ in range(2):
        assert (await guarded.post(path)).status == 200
    answer = await guarded.post(path)
    assert answer.status == 429
    assert code_of(path, answer) in {"rate_limited", "rate_limit_exceeded"}
    assert 30_000 <= int(answer.field("retry-after-ms") or 0) <= 37_500
    assert 30 <= int(answer.field("retry-after") or 0) <= 38
    assert answer.field("x-should-retry") == "true"
    assert answer.field("cache-control") == "no-store"
    assert answer.field("ratelimit") == '"requests";r=0;t=30'
    assert "requests" in answer.body.decode()
    assert guarded.app.calls == 2
    guarded.clock.advance(29.999999)
    assert (await guarded.post(path)).status == 429
    guarded.clock.advance(0.000001)
    assert (await guarded.post(path)).status == 200


@pytest.mark.parametrize("path", DIALECTS)
async def test_a_spent_budget_is_not_to_be_retried(path: str) -> None:
    guarded = Guarded(Upstream(), policy({"name": "month", "budget": "1/month"}))
    assert (await guarded.post(path)).status == 200
    answer = await guarded.post(path)
    assert answer.status == 429
    assert answer.field("retry-after") is answer.field("retry-after-ms") is None
    assert answer.field("x-should-retry") == "false"
    assert "2026-02-01T00:00:00Z" in answer.body.decode()


@pytest.mark.parametrize(("path", "status"), [(CHAT, 503), (MESSAGES, 529), (PLAIN, 503)])
async def test_a_limit_of_everyone_sheds(path: str, status: int) -> None:
    guarded = Guarded(Upstream(), policy({"name": "capacity", "per": [], "rate": "1/second"}))
    assert (await guarded.post(path)).status == 200
    answer = await guarded.post(path)
    assert answer.status == status
    assert code_of(path, answer) == "overloaded"
    assert answer.field("x-should-retry") == "true"


@pytest.mark.parametrize("path", DIALECTS)
async def test_an_injected_deny_is_a_403_and_everything_charged_goes_back(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = [
        REQUESTS,
        {"name": "tokens", "unit": "tokens", "rate": "9000/minute"},
        {"name": "window", "window": "5/hour"},
        {"name": "month", "budget": "7/month"},
        {"name": "slots", "concurrency": 3},
        {"name": "all", "per": [], "unit": "tokens", "rate": "90000/minute"},
    ]
    guarded = Guarded(Upstream(), policy(*limits))
    before = await guarded.left(path=path)
    monkeypatch.setattr(
        Engine, "decide", lambda _engine, exchange: Deny(exchange.id, "denied", 403, "The request was refused.", ("test",))
    )
    answer = await guarded.post(path, chat())
    assert answer.status == 403
    assert code_of(path, answer) == "denied"
    assert answer.field("x-should-retry") == "false"
    assert answer.field("retry-after") is None
    assert "The request was refused." in answer.body.decode()
    assert guarded.app.calls == 0
    assert len(guarded.bills) == 1
    assert before == await guarded.left(path=path)
    assert before == {"requests": 2, "tokens": 9000, "window": 5, "month": 7, "slots": 3, "all": 90000}


async def test_a_refusal_of_head_has_no_body() -> None:
    guarded = Guarded(Upstream(), policy({"name": "requests", "rate": "1/minute"}))
    assert (await guarded.get(CHAT, method="HEAD")).status == 200
    answer = await guarded.get(CHAT, method="HEAD")
    assert answer.status == 429
    assert answer.body == b""
    assert int(answer.field("content-length") or 0) > 0


BAD_BODIES = {
    "not JSON": (b"{", 400),
    "a list": (b"[]", 400),
    "not UTF-8": (b'{"model": "\xff"}', 400),
    "a key twice": (b'{"max_tokens": 1, "max_tokens": 9}', 400),
    "a negative cap": (b'{"max_tokens": -1}', 400),
    "a cap that is no number": (b'{"max_tokens": "9"}', 400),
    "n that is a float": (b'{"n": 1.5}', 400),
    "too deep": (b'{"a":' * 70 + b"1" + b"}" * 70, 400),
    "NaN": (b'{"temperature": NaN}', 400),
    "half a surrogate": (b'{"model": "\\ud800"}', 400),
    "a byte order mark": (b"\xef\xbb\xbf{}", 400),
    "too long": (b'{"model": "' + b"x" * 2000 + b'"}', 413),
}
BAD_HEADERS = {
    "gzip": ((b"content-encoding", b"gzip"), 415),
    "two content types": ((b"content-type", b"text/plain"), 400),
    "announced too long": ((b"content-length", b"99999999999999999999999"), 413),
}
METERED = [{"path": "/v1/messages/**", "dialect": "anthropic"}, {"path": "/v1/**", "dialect": "openai"},
           {"path": "/other", "metered": True}]  # fmt: skip


@pytest.mark.parametrize("path", DIALECTS)
@pytest.mark.parametrize("what", [*BAD_BODIES, *BAD_HEADERS])
async def test_bad_bodies_are_4xx_in_the_routes_dialect_and_pass_in_shadow(path: str, what: str) -> None:
    body, status = BAD_BODIES[what] if what in BAD_BODIES else (b"{}", BAD_HEADERS[what][1])
    extra = (BAD_HEADERS[what][0],) if what in BAD_HEADERS else ()
    document = policy(REQUESTS, TOKENS, inspect={"max_body": "1KB"}, routes=METERED)
    guarded = Guarded(Upstream(), document)
    answer = await guarded.post(path, body, KEY, JSON, *extra)
    assert answer.status == status
    assert code_of(path, answer)
    assert answer.field("x-should-retry") == "false"
    assert guarded.app.calls == 0
    assert await guarded.left() == {"requests": 1, "tokens": 100_000}, "it counts as one request"
    statuses = [(await guarded.post(path, body, KEY, JSON, *extra)).status for _ in range(2)]
    assert statuses == [status, 429], "that it is one too many is said first"

    shadow = Guarded(Upstream(), {**document, "mode": "shadow"})
    answer = await shadow.post(path, body, KEY, JSON, *extra)
    assert answer.status == 200
    assert shadow.app.bodies == [body]
    exchange = shadow.app.scopes[0]["state"]["guardrail"]
    assert exchange.would.status == status
    assert exchange.id == answer.decision
    assert await shadow.left() == {"requests": 1, "tokens": 100_000}


@pytest.mark.parametrize("path", DIALECTS)
async def test_bad_credentials_are_4xx_and_pass_in_shadow_as_their_network(path: str) -> None:
    cases = [
        (TWO_KEYS, 400, "ambiguous_credential"),
        (((b"authorization", b"Bearer a b"),), 400, "ambiguous_credential"),
        (((b"authorization", b"Bearer " + b"x" * 9000),), 431, "credential_too_large"),
    ]
    for headers, status, code in cases:
        guarded = Guarded(Upstream(), policy(REQUESTS))
        answer = await guarded.post(path, None, *headers)
        assert (answer.status, code_of(path, answer)) == (status, code)
        assert guarded.app.calls == 0
        assert guarded.bills == []
        shadow = Guarded(Upstream(), policy(REQUESTS, mode="shadow"))
        assert (await shadow.post(path, None, *headers)).status == 200
        (bill,) = shadow.bills
        assert bill.payer.startswith("n:")
        assert shadow.app.scopes[0]["headers"] == list(headers)


@pytest.mark.parametrize("path", DIALECTS)
async def test_an_unknown_key_is_a_401(path: str) -> None:
    listed = {"use": "api_key", "with": {"trust": "keys", "keys": ["0" * 64]}}
    document = policy(REQUESTS) | {"identity": {"sources": [listed]}}
    answer = await Guarded(Upstream(), document).post(path)
    assert (answer.status, code_of(path, answer)) == (401, "invalid_api_key")
    assert answer.field("www-authenticate") is not None
    shadow = Guarded(Upstream(), document | {"mode": "shadow"})
    assert (await shadow.post(path)).status == 200


# Shadow


async def test_shadow_charges_and_tells_nobody() -> None:
    limits = [REQUESTS, {"name": "slots", "concurrency": 1}, {"name": "capacity", "per": [], "rate": "1/minute"}]
    guarded = Guarded(Upstream(), policy(*limits, mode="shadow"))
    for number in range(4):
        answer = await guarded.post(CHAT)
        assert answer.status == 200
        assert {name for name, _ in answer.headers} == {b"content-type", b"x-guardrail-decision"}
        exchange = guarded.app.scopes[-1]["state"]["guardrail"]
        assert exchange.would is None if number == 0 else exchange.would.status == 503
    assert await guarded.left() == {"requests": 1, "slots": 1, "capacity": 0}


async def test_shadow_has_no_room_for_a_body_and_charges_all_the_same() -> None:
    guarded = Guarded(Upstream(), policy(REQUESTS, TOKENS, mode="shadow"))
    guarded.middleware._budget.used = 256 * 1024 * 1024
    answer = await guarded.post(CHAT, chat())
    assert answer.status == 200
    assert guarded.app.bodies == [json.dumps(chat()).encode()]
    assert guarded.app.scopes[0]["state"]["guardrail"].would.code == "overloaded"
    assert (await guarded.left())["requests"] == 1
    assert guarded.middleware._budget.used == 256 * 1024 * 1024


@pytest.mark.parametrize(("path", "status"), [(CHAT, 503), (MESSAGES, 529)])
async def test_enforce_has_no_room_for_a_body(path: str, status: int) -> None:
    guarded = Guarded(Upstream(), policy(REQUESTS, TOKENS))
    guarded.middleware._budget.used = 256 * 1024 * 1024
    answer = await guarded.post(path, chat())
    assert (answer.status, code_of(path, answer)) == (status, "overloaded")
    assert guarded.bills == []
    assert guarded.middleware._budget.used == 256 * 1024 * 1024


async def test_the_budget_for_bodies_is_given_back_whatever_happens() -> None:
    for pieces in ((b"{}",), (RuntimeError("broken"),), (asyncio.CancelledError(),)):
        guarded = Guarded(Upstream(*pieces), policy(TOKENS))
        with suppress(RuntimeError, asyncio.CancelledError):
            await guarded.post(CHAT, chat())
        assert guarded.middleware._budget.used == 0


# Routes


async def test_exempt_is_only_reading() -> None:
    guarded = Guarded(Upstream(), policy(REQUESTS))
    for method in ("GET", "HEAD"):
        for _ in range(5):
            answer = await guarded.get("/health", method=method)
            assert answer.status == 200
            assert answer.headers == [JSON]
    assert guarded.bills == []
    for method in ("POST", "OPTIONS", "DELETE", "get"):
        answer = await guarded.get("/health", method=method)
        assert answer.decision
    assert len(guarded.bills) == 4


async def test_cors_preflights_are_free() -> None:
    guarded = Guarded(Upstream(), policy({"name": "requests", "rate": "1/minute"}))
    asked = (b"access-control-request-method", b"POST")
    for _ in range(3):
        assert (await guarded.get(CHAT, asked, (b"origin", b"https://x.example"), method="OPTIONS")).status == 200
    assert guarded.bills == []
    assert (await guarded.get(CHAT, KEY, method="OPTIONS")).status == 200
    assert (await guarded.get(CHAT, KEY, method="OPTIONS")).status == 429
    assert (await guarded.get(CHAT, KEY, asked, method="GET")).status == 429


async def test_the_first_route_that_matches_wins_whole() -> None:
    routes = [
        {"path": "/v1/a", "dialect": "anthropic", "limits": ["few"]},
        {"path": "/v1/**", "dialect": "openai"},
    ]
    limits = [{"name": "few", "rate": "1/minute"}, {"name": "many", "rate": "9/minute"}]
    guarded = Guarded(Upstream(), policy(*limits, routes=routes))
    assert (await guarded.post("/v1/a", {})).field("ratelimit-policy") == '"few";q=1;w=60'
    assert (await guarded.post("/v1/a", {})).json["type"] == "error"
    assert "error" in (await guarded.post("/v1/b", {})).json


async def test_what_matches_no_route_is_guarded_in_the_problem_dialect() -> None:
    guarded = Guarded(Upstream(), policy({"name": "requests", "rate": "1/minute"}))
    assert (await guarded.get("/anything/else")).status == 200
    answer = await guarded.get("/")
    assert (answer.status, answer.json["title"]) == (429, "Quota exceeded")


async def test_rules_match_the_path_below_the_root() -> None:
    guarded = Guarded(Upstream(), policy(REQUESTS))
    cases = {
        ("/api/health", "/api"): True,
        ("/health", "/api"): True,  # a server that leaves the root out of the path
        ("/health", ""): True,
        ("/api/health", ""): False,
        ("/apihealth", "/api"): False,
        ("/api", "/api"): False,
    }
    for (path, root), free in cases.items():
        before = len(guarded.bills)
        await guarded.get(path, root_path=root)
        assert (len(guarded.bills) == before) is free, (path, root)
    app = Upstream()
    scope = scope_of("/api/v1/x", headers=(KEY,), root_path="/api")
    await Guarded(app, policy(REQUESTS)).ask(scope)
    assert (app.scopes[0]["path"], app.scopes[0]["root_path"]) == ("/api/v1/x", "/api")


TRICKS = [
    "//v1/chat/completions",
    "/v1//chat/completions",
    "/v1/./chat/completions",
    "/v1/models/../chat/completions",
    "/health/../v1/chat/completions",
    "/v1/chat/completions/",
    "/v1/chat/completions//",
    "/../v1/chat/completions",
    "v1/chat/completions",
    "/v1/chat/completions/.",
]


@pytest.mark.parametrize("path", TRICKS)
async def test_no_way_of_writing_a_path_leads_to_a_lesser_route(path: str) -> None:
    """Each is read as what it would be tidied up to: metered, charged, and never exempt."""
    guarded = Guarded(Upstream(), policy(REQUESTS, {"name": "tokens", "unit": "tokens", "rate": "5000/minute"}))
    answer = await guarded.post(path, chat(400, max_tokens=100))
    assert answer.status == 200
    (bill,) = guarded.bills
    assert [step.cost for entry in bill.entries for step in entry.steps] == [1, 200]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/v1/files/../models", "GET"),  # an app that takes paths as they come serves files here
        ("/v1/models/../files", "GET"),
        ("/nowhere/../v1/models", "GET"),
        ("/v1/files/../../health", "GET"),
        ("//health", "GET"),
        ("/health/.", "GET"),
        ("/./health", "HEAD"),
        ("/%68ealth", "GET"),  # encoded twice: decoded once by the server
        ("/health\x00", "GET"),
        ("/health/x", "GET"),
        ("/Health", "GET"),
    ],
)
async def test_where_a_path_can_be_read_in_two_ways_both_routes_limits_hold(path: str, method: str) -> None:
    guarded = Guarded(Upstream(), policy(REQUESTS))
    await guarded.get(path, method=method)
    (bill,) = guarded.bills
    assert len(bill.entries[0].steps) == 1, "the lesser route has no limits"


async def test_a_path_with_a_leading_dot_is_itself() -> None:
    routes = [{"path": "/.well-known/**", "exempt": True}, {"path": "/well-known/**", "limits": []}]
    guarded = Guarded(Upstream(), policy(REQUESTS, routes=routes))
    await guarded.get("/.well-known/openid-configuration")
    assert guarded.bills == []
    await guarded.get("/.hidden")
    assert len(guarded.bills) == 1


async def test_a_route_written_with_a_slash_at_its_end_matches() -> None:
    guarded = Guarded(Upstream(), policy(REQUESTS, routes=[{"path": "/status/", "exempt": True}]))
    await guarded.get("/status/")
    assert guarded.bills == []
    await guarded.get("/status")
    assert len(guarded.bills) == 1


async def test_two_keys_are_two_accounts_and_one_key_in_either_header_is_one() -> None:
    guarded = Guarded(Upstream(), policy({"name": "requests", "rate": "1/minute"}))
    assert (await guarded.post(CHAT, None, KEY)).status == 200
    assert (await guarded.post(CHAT, None, OTHER_KEY)).status == 200
    assert (await guarded.post(CHAT, None, (b"x-api-key", b"sk-one"))).status == 429


# Endings


async def test_an_exception_of_the_apps_goes_on_and_costs_nothing() -> None:
    guarded = Guarded(Upstream(RuntimeError("broken")), policy(REQUESTS, {"name": "slots", "concurrency": 1}))
    for _ in range(4):
        with pytest.raises(RuntimeError, match="broken"):
            await guarded.post(CHAT)
    assert await guarded.left() == {"requests": 2, "slots": 1}


@pytest.mark.parametrize("ending", [ConnectionError(HANG_UP), 500, 503, 499, 400])
async def test_who_hangs_up_pays_though_the_app_fails(ending: Exception | int) -> None:
    """An app that notices the disconnect and raises, or whose framework makes an error of that, has not failed."""

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        if isinstance(ending, Exception):
            raise ending
        await send({"type": "http.response.start", "status": ending, "headers": [JSON]})
        await send({"type": "http.response.body", "body": b'{"error": "a long text that is no answer"}'})

    guarded = Guarded(app, policy(REQUESTS, {"name": "tokens", "unit": "tokens", "rate": "5000/minute"}))
    with suppress(ConnectionError):
        await guarded.post(CHAT, chat(400))
    assert await guarded.left() == {"requests": 1, "tokens": 4900}


@pytest.mark.parametrize(
    ("status", "kept"), [(500, {"requests": 2, "tokens": 5000}), (404, {"requests": 1, "tokens": 5000})]
)
async def test_who_waits_for_an_error_and_then_leaves_has_not_hung_up(status: int, kept: dict[str, int]) -> None:
    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": status, "headers": [JSON]})
        await send({"type": "http.response.body", "body": b"{}"})
        assert (await receive())["type"] == "http.disconnect"

    guarded = Guarded(app, policy(REQUESTS, {"name": "tokens", "unit": "tokens", "rate": "5000/minute"}))
    assert (await guarded.post(CHAT, chat(400))).status == status
    assert await guarded.left() == kept
