"""Who comes in, and what is said to who does not."""

from __future__ import annotations

import logging

import pytest

from guardrail_mw.console.gate import PER_MINUTE

from .kit import BEARER, TOKEN, Operated, problem

pytestmark = pytest.mark.anyio

WRONG = (b"authorization", b"Bearer " + TOKEN[:-1].encode() + b"x")
PATHS = ["/openapi.json", "/metrics", "/v1/mode", "/v1/decisions", "/v1/accounts/a:12345678", "/nowhere", "/"]


@pytest.mark.parametrize("path", PATHS)
async def test_nothing_is_told_without_the_token_not_even_what_there_is(path: str) -> None:
    answer = await Operated().at("GET", path, None, (b"accept", b"*/*"))
    assert problem(answer) == (401, "no_token")
    assert answer.field("www-authenticate") == 'Bearer realm="guardrail operator"'


@pytest.mark.parametrize(
    "shown",
    [
        WRONG[1],
        b"Bearer " + TOKEN.encode() + b"x",
        b"Bearer " + TOKEN[:-1].encode(),
        b"Bearer",
        b"Bearer ",
        b"",
        TOKEN.encode(),
        b"Basic " + TOKEN.encode(),
        b"Bearer " + TOKEN.upper().encode(),
        b"Bearer \xff\x00",
        b"Bearer " + TOKEN.encode() + b" " + TOKEN.encode(),
    ],
)
async def test_a_wrong_token_is_refused(shown: bytes) -> None:
    answer = await Operated().at("GET", "/v1/mode", None, (b"authorization", shown))
    assert problem(answer) == (401, "invalid_token")
    assert answer.field("www-authenticate") == 'Bearer realm="guardrail operator", error="invalid_token"'


async def test_two_tokens_are_none() -> None:
    assert problem(await Operated().at("GET", "/v1/mode", None, BEARER, BEARER)) == (401, "invalid_token")
    assert problem(await Operated().at("GET", "/v1/mode", None, WRONG, BEARER)) == (401, "invalid_token")


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER"])
async def test_the_token_is_let_in_however_its_scheme_is_written(scheme: bytes) -> None:
    shown = (b"authorization", scheme + b"  " + TOKEN.encode())
    assert (await Operated().at("GET", "/v1/mode", None, shown)).status == 200


async def test_an_act_without_the_token_does_nothing() -> None:
    operated = Operated()
    answer = await operated.at("PUT", "/v1/mode", {"mode": "off"}, (b"content-type", b"application/json"))
    assert answer.status == 401
    assert await operated.see("/v1/mode") == {**await operated.see("/v1/mode"), "mode": "enforce", "switches": {}}


async def test_live_needs_no_token_and_only_live() -> None:
    operated = Operated()
    answer = await operated.at("GET", "/live", None, (b"accept", b"*/*"))
    assert (answer.status, answer.json) == (200, {"status": "live"})
    assert (await operated.at("HEAD", "/live", None, (b"accept", b"*/*"))).status == 200
    for near in ("/live/", "//live", "/Live", "/live/../v1/mode"):
        assert (await operated.at("GET", near, None, (b"accept", b"*/*"))).status == 401


@pytest.mark.parametrize("path", ["/live", "/v1/mode", "/nowhere"])
async def test_no_answer_is_kept_or_guessed_at(path: str) -> None:
    answer = await Operated().at("GET", path)
    assert answer.field("cache-control") == "no-store"
    assert answer.field("x-content-type-options") == "nosniff"


async def test_after_ten_failures_an_address_is_told_so_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    operated = Operated()
    with caplog.at_level(logging.WARNING, "guardrail_mw.operators"):
        codes = [problem(await operated.at("GET", "/v1/mode", None, WRONG)) for _ in range(PER_MINUTE + 3)]
    assert codes == [(401, "invalid_token")] * 10 + [(429, "too_many_failures")] * 3
    assert len([each for each in caplog.records if each.name == "guardrail_mw.operators"]) == 10
    assert "127.0.0.1" in caplog.text
    assert TOKEN[10:20] not in caplog.text
    assert operated.guardrail.counts.read()["console.refused"] == 13
    answer = await operated.at("GET", "/v1/mode", None, WRONG)
    assert answer.field("retry-after") == "6"
    assert answer.field("connection") == "close"
    assert (await operated.at("GET", "/v1/mode", None, WRONG, peer="127.0.0.2")).status == 401
    operated.clock.advance(6)
    assert (await operated.at("GET", "/v1/mode", None, WRONG)).status == 401
    assert (await operated.at("GET", "/v1/mode", None, WRONG)).status == 429


async def test_nobody_locks_the_operator_out() -> None:
    operated = Operated()
    for _ in range(50):
        await operated.at("GET", "/v1/mode", None, WRONG)
    assert (await operated.at("GET", "/v1/mode")).status == 200


async def test_a_peer_without_an_address_has_a_budget_too() -> None:
    operated = Operated()
    said: list[int] = []

    async def send(message: dict[str, int]) -> None:
        said.extend([message["status"]] if "status" in message else [])

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": "/v1/mode", "headers": [WRONG], "client": None}
    for _ in range(11):
        await operated.port(scope, receive, send)
    assert said == [401] * 10 + [429]


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
async def test_what_is_no_request_is_not_answered(kind: str) -> None:
    async def never(*_: object) -> None:
        raise AssertionError("nobody may ask or answer")

    await Operated().port({"type": kind, "path": "/v1/mode", "headers": [BEARER]}, never, never)
