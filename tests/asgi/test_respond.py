"""Refusals as servers send them and as the official SDKs read them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from guardrail_mw.asgi.dialects.anthropic import ANTHROPIC
from guardrail_mw.asgi.dialects.base import Dialect
from guardrail_mw.asgi.dialects.openai import OPENAI
from guardrail_mw.asgi.dialects.problem import PROBLEM
from guardrail_mw.asgi.respond import close_turn, refusal, send_refusal
from guardrail_mw.values import Deny, Refusal

pytestmark = pytest.mark.anyio

NOW = 1_767_225_600_000_000
SECOND = 1_000_000
ID = "0123456789abcdef01234567"


def limited(until: int, *, kind: Any = "token_bucket", **more: Any) -> Deny:
    """A 429."""
    refused = Refusal("tokens", kind, "tokens", "9/minute", until, shared=False)
    return Deny(ID, "rate_limited", 429, "Too many requests.", refusal=refused, **{"retry": True, **more})


CAPACITY = Refusal("capacity", "token_bucket", "requests", "2/second", 500_000, shared=True)
SHED = Deny(ID, "overloaded", 503, "Overloaded.", refusal=CAPACITY, retry=True)
DOWN = Deny(ID, "unavailable", 503, "Unavailable.", retry=True)
RISK = Deny(ID, "denied", 403, "Denied.")
TOKEN = Deny(ID, "invalid_token", 401, "The token is invalid.")
BAD = Deny(ID, "duplicate_key", 400, "A key twice.")


def fields(deny: Deny, dialect: Dialect = OPENAI, **how: Any) -> dict[str, str]:
    """The headers by name; none may stand twice."""
    headers = refusal(deny, dialect, **how).headers
    named = {name.decode(): value.decode() for name, value in headers}
    assert len(named) == len(headers)
    return named


class TestRetry:
    @pytest.mark.parametrize(
        ("wait", "random", "seconds", "milliseconds"),
        [
            (0, 0.0, "1", "1"),
            (1, 0.0, "1", "1"),
            (1_500_000, 0.0, "2", "1500"),
            (1_500_001, 0.0, "2", "1501"),
            (1_500_000, 0.5, "2", "1688"),  # 1.5 s + half of a quarter of it, up
            (100_000, 0.999, "1", "200"),  # at least 100 ms of spread: 199.9, up
            (60 * SECOND, 0.0, "60", "60000"),
            (59 * SECOND, 0.999, "60", "60000"),
        ],
    )
    def test_the_wait_upwards(self, wait: int, random: float, seconds: str, milliseconds: str) -> None:
        named = fields(limited(wait), random=random)
        assert (named["retry-after"], named["retry-after-ms"]) == (seconds, milliseconds)
        assert named["x-should-retry"] == "true"

    @pytest.mark.parametrize(
        "deny",
        [
            limited(60 * SECOND + 1),
            limited(SECOND, kind="budget"),
            limited(SECOND, retry=False),
            limited(SECOND, wait=61 * SECOND),
            RISK,
            TOKEN,
            BAD,
            Deny(ID, "denied", 403, "x", retry=True, wait=1),
        ],
    )
    def test_no_time_where_it_is_not_worth_waiting(self, deny: Deny) -> None:
        named = fields(deny)
        assert named["x-should-retry"] == "false"
        assert "retry-after" not in named
        assert "retry-after-ms" not in named

    def test_load_is_shed_with_a_time_where_one_is_known(self) -> None:
        assert fields(SHED)["retry-after-ms"] == "500"
        assert refusal(SHED, OPENAI).status == refusal(SHED, PROBLEM).status == 503
        assert refusal(SHED, ANTHROPIC).status == 529
        assert fields(SHED, ANTHROPIC)["retry-after-ms"] == "500"
        named = fields(DOWN)
        assert named["x-should-retry"] == "true"
        assert "retry-after" not in named


def test_every_refusal_is_named_and_not_stored() -> None:
    for deny in (limited(1), SHED, DOWN, RISK, TOKEN, BAD):
        for dialect in (OPENAI, ANTHROPIC, PROBLEM):
            named = fields(deny, dialect, extra_headers=[(b"ratelimit", b'"a";r=0')])
            assert named["x-guardrail-decision"] == ID
            assert named["cache-control"] == "no-store"
            assert named["ratelimit"] == '"a";r=0'
            answer = refusal(deny, dialect)
            assert named["content-length"] == str(len(answer.body))


def test_a_401_says_how_to_authenticate() -> None:
    assert fields(TOKEN)["www-authenticate"] == 'Bearer error="invalid_token"'
    assert fields(Deny(ID, "invalid_credential", 401, "x"))["www-authenticate"] == "Bearer"
    own = Deny(ID, "invalid_token", 401, "x", headers=((b"WWW-Authenticate", b"DPoP"),))
    assert [value for name, value in refusal(own, OPENAI).headers if name.lower() == b"www-authenticate"] == [b"DPoP"]
    assert "www-authenticate" not in fields(RISK)


class TestSending:
    async def sent(self, scope: dict[str, Any], deny: Deny, *received: dict[str, Any]) -> list[Any]:
        waiting, messages = list(received), []

        async def receive() -> Any:
            return waiting.pop(0)

        async def send(message: Any) -> None:
            messages.append(message)

        await send_refusal(scope, receive, send, deny, OPENAI, [(b"x", b"y")], random=0.0, now=NOW)
        assert not waiting
        return messages

    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
    async def test_http(self, method: str) -> None:
        answer = refusal(RISK, OPENAI, [(b"x", b"y")], now=NOW)
        body = b"" if method == "HEAD" else answer.body
        assert await self.sent({"type": "http", "method": method}, RISK) == [
            {"type": "http.response.start", "status": 403, "headers": answer.headers},
            {"type": "http.response.body", "body": body, "more_body": False},
        ]
        assert (b"content-length", b"%d" % len(answer.body)) in answer.headers

    async def test_a_socket_gets_the_response_where_the_server_can(self) -> None:
        scope = {"type": "websocket", "extensions": {"websocket.http.response": {}}}
        answer = refusal(RISK, OPENAI, [(b"x", b"y")], now=NOW)
        assert await self.sent(scope, RISK, {"type": "websocket.connect"}) == [
            {"type": "websocket.http.response.start", "status": 403, "headers": answer.headers},
            {"type": "websocket.http.response.body", "body": answer.body, "more_body": False},
        ]

    @pytest.mark.parametrize("extensions", [{}, {"extensions": None}, {"extensions": {"other": {}}}])
    async def test_a_socket_is_closed_where_it_cannot(self, extensions: dict[str, Any]) -> None:
        assert await self.sent({"type": "websocket", **extensions}, RISK, {"type": "websocket.connect"}) == [
            {"type": "websocket.close", "code": 1008, "reason": ID}
        ]

    async def test_a_socket_that_is_gone_gets_nothing(self) -> None:
        assert await self.sent({"type": "websocket"}, RISK, {"type": "websocket.disconnect", "code": 1006}) == []

    @pytest.mark.parametrize(("deny", "code"), [(limited(1), 1013), (SHED, 1013), (DOWN, 1013), (RISK, 1008), (TOKEN, 1008)])
    async def test_turns(self, deny: Deny, code: int) -> None:
        messages: list[Any] = []

        async def send(message: Any) -> None:
            messages.append(message)

        await close_turn(send, deny)
        assert messages == [{"type": "websocket.close", "code": code, "reason": ID}]


def transport(deny: Deny, dialect: Dialect, then: Any = None) -> tuple[httpx2.MockTransport, list[Any]]:
    """A server that refuses the first request, and every one unless there is something to answer `then`."""
    seen: list[Any] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        if len(seen) > 1 and then is not None:
            return httpx2.Response(200, json=then)
        answer = refusal(deny, dialect, now=NOW)
        return httpx2.Response(answer.status, headers=answer.headers, content=answer.body)

    return httpx2.MockTransport(handle), seen


def ask_openai(deny: Deny, retries: int = 0, then: Any = None) -> tuple[Callable[[], Any], list[Any]]:
    """A question to such a server, and the requests that it saw."""
    served, seen = transport(deny, OPENAI, then)

    def ask() -> Any:
        with openai.OpenAI(
            api_key="k", base_url="http://guarded/v1", max_retries=retries, http_client=httpx2.Client(transport=served)
        ) as client:
            return client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])

    return ask, seen


def ask_anthropic(deny: Deny, retries: int = 0, then: Any = None) -> tuple[Callable[[], Any], list[Any]]:
    """Likewise."""
    served, seen = transport(deny, ANTHROPIC, then)

    def ask() -> Any:
        with anthropic.Anthropic(
            api_key="k", base_url="http://guarded", max_retries=retries, http_client=httpx2.Client(transport=served)
        ) as client:
            return client.messages.create(model="m", max_tokens=5, messages=[{"role": "user", "content": "hi"}])

    return ask, seen


class TestOpenAI:
    @pytest.mark.parametrize(
        ("deny", "kind", "code"),
        [
            (limited(SECOND), openai.RateLimitError, "rate_limit_exceeded"),
            (limited(SECOND, kind="budget"), openai.RateLimitError, "insufficient_quota"),
            (SHED, openai.InternalServerError, "overloaded"),
            (DOWN, openai.InternalServerError, "unavailable"),
            (RISK, openai.PermissionDeniedError, "denied"),
            (TOKEN, openai.AuthenticationError, "invalid_token"),
            (BAD, openai.BadRequestError, "duplicate_key"),
            (Deny(ID, "x", 422, "Nope."), openai.UnprocessableEntityError, "x"),
            (Deny(ID, "body_too_large", 413, "Too large."), openai.APIStatusError, "body_too_large"),
        ],
    )
    def test_errors(self, deny: Deny, kind: type[openai.APIStatusError], code: str) -> None:
        ask, seen = ask_openai(deny)
        with pytest.raises(openai.APIStatusError) as caught:
            ask()
        assert type(caught.value) is kind
        assert deny.message in caught.value.message
        assert caught.value.code == code
        assert caught.value.param is None
        assert isinstance(caught.value.body, dict)
        assert caught.value.body["decision"] == ID
        assert len(seen) == 1

    def test_it_waits_as_long_as_told_and_comes_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        then = {"id": "c", "object": "chat.completion", "choices": [], "model": "m"}
        ask, seen = ask_openai(limited(1_500_000), 2, then)
        slept: list[float] = []
        monkeypatch.setattr("time.sleep", slept.append)
        assert ask().id == "c"
        assert slept == [1.5]
        assert len(seen) == 2

    @pytest.mark.parametrize("deny", [limited(61 * SECOND), limited(SECOND, kind="budget"), RISK, TOKEN])
    def test_it_does_not_come_back_where_that_is_useless(self, deny: Deny, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("time.sleep", pytest.fail)
        ask, seen = ask_openai(deny, 5)
        with pytest.raises(openai.APIStatusError):
            ask()
        assert len(seen) == 1


class TestAnthropic:
    @pytest.mark.parametrize(
        ("deny", "kind", "type_"),
        [
            (limited(SECOND), anthropic.RateLimitError, "rate_limit_error"),
            (limited(SECOND, kind="budget"), anthropic.RateLimitError, "rate_limit_error"),
            (SHED, anthropic.InternalServerError, "overloaded_error"),
            (DOWN, anthropic.InternalServerError, "api_error"),
            (RISK, anthropic.PermissionDeniedError, "permission_error"),
            (TOKEN, anthropic.AuthenticationError, "authentication_error"),
            (BAD, anthropic.BadRequestError, "invalid_request_error"),
            (Deny(ID, "body_too_large", 413, "Too large."), anthropic.APIStatusError, "request_too_large"),
        ],
    )
    def test_errors(self, deny: Deny, kind: type[anthropic.APIStatusError], type_: str) -> None:
        ask, seen = ask_anthropic(deny)
        with pytest.raises(kind) as caught:
            ask()
        body: Any = caught.value.body
        assert deny.message in str(caught.value)
        assert deny.message in body["error"]["message"]
        assert body["error"]["type"] == type_
        assert body["error"]["details"]["error_code"] == deny.code
        assert body["error"]["details"]["decision"] == ID
        assert len(seen) == 1

    def test_load_that_is_shed_is_529(self) -> None:
        ask, _ = ask_anthropic(SHED)
        with pytest.raises(anthropic.InternalServerError) as caught:
            ask()
        assert caught.value.status_code == 529

    def test_it_waits_as_long_as_told_and_comes_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        then = {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "m", "usage": {}}
        ask, seen = ask_anthropic(limited(1_500_000), 2, then)
        slept: list[float] = []
        monkeypatch.setattr("time.sleep", slept.append)
        assert ask().id == "m"
        assert slept == [1.5]
        assert len(seen) == 2

    @pytest.mark.parametrize("deny", [limited(61 * SECOND), limited(SECOND, kind="budget"), RISK, TOKEN])
    def test_it_does_not_come_back_where_that_is_useless(self, deny: Deny, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("time.sleep", pytest.fail)
        ask, seen = ask_anthropic(deny, 5)
        with pytest.raises(anthropic.APIStatusError):
            ask()
        assert len(seen) == 1


def test_bodies_are_json() -> None:
    for dialect in (OPENAI, ANTHROPIC, PROBLEM):
        assert json.loads(refusal(limited(1), dialect).body)
