"""Over a real connection: what is said of a body's length, and when, opens no second request and no way round."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from ..integration.serving import Stage, staged  # noqa: TID252 - a uvicorn whose app tests exchange
from .kit import policy

LIMITS = (
    {"name": "requests", "budget": "4/day"},
    {"name": "tokens", "unit": "tokens", "budget": "100000/day"},
)
END = b"Connection: close\r\n"
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-one\r\nContent-Type: application/json\r\n"
BODY = b'{"model":"small","messages":[]}'
SMUGGLED = b"GET /v1/secret HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-two\r\n\r\n"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with staged() as found:
        yield found


class App:
    """Notes what it was asked and given."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes]] = []
        self.headers: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        self.seen.append((scope["path"], body))
        self.headers = scope["headers"]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


def talk(stage: Stage, *pieces: bytes, leave: bool = False) -> list[int]:
    """Send the pieces, the last asking for an end or (`leave`) followed by one; the statuses of what came back."""
    where = urlsplit(stage.url)
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=10) as connection:
        answer = b""
        with suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
            if leave:
                connection.shutdown(socket.SHUT_WR)
            while more := connection.recv(65536):
                answer += more
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d+)", answer) if found != b"100"]


@pytest.fixture
def app(stage: Stage) -> App:
    app = App()
    stage.guard(policy(*LIMITS, inspect={"max_body": "1KB"}), app)
    return app


def sized(body: bytes, length: int | None = None) -> bytes:
    return HEAD + END + b"Content-Length: %d\r\n\r\n" % (len(body) if length is None else length) + body


def chunked(*chunks: bytes) -> bytes:
    return (
        HEAD
        + END
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in (*chunks, b""))
    )


def test_a_body_in_chunks_is_the_same_body(stage: Stage, app: App) -> None:
    assert talk(stage, chunked(*[BODY[at : at + 3] for at in range(0, len(BODY), 3)])) == [200]
    assert app.seen == [("/v1/chat/completions", BODY)]


def test_a_body_that_hides_a_request_stays_a_body(stage: Stage, app: App) -> None:
    """Refused before or after it was read, nothing of it is taken for a request."""
    talk(stage, sized(BODY + SMUGGLED))
    talk(stage, sized(b" " * 2000 + SMUGGLED))
    talk(stage, HEAD.replace(b"sk-one", b"sk-one, sk-two") + END + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED)
    for _ in range(4):
        talk(stage, sized(SMUGGLED))
    assert app.seen == []


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 31\r\nContent-Length: 5\r\n",
        b"Content-Length: 31\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 0x1f\r\n",
    ],
)
def test_lengths_that_differ_open_no_second_request(stage: Stage, app: App, lines: bytes) -> None:
    talk(stage, HEAD + END + lines + b"\r\n" + SMUGGLED, leave=True)
    assert "/v1/secret" not in [path for path, _ in app.seen]


def test_a_body_shorter_than_it_said_is_a_request(stage: Stage, app: App) -> None:
    """Whatever the app makes of a client that is gone, it was charged first."""
    for _ in range(6):
        talk(stage, sized(BODY, 1000), leave=True)
    assert len(app.seen) <= 4


def test_a_length_that_is_too_long_is_refused_unread(stage: Stage, app: App) -> None:
    assert talk(stage, sized(b"", 10**15))[:1] == [413]
    assert talk(stage, sized(b" " * 5000))[:1] == [413]
    assert talk(stage, chunked(b" " * 5000))[:1] == [413]
    assert app.seen == []


def test_expect_is_answered_only_where_the_body_is_wanted(stage: Stage, app: App) -> None:
    expecting = sized(BODY).replace(b"Content-Length", b"Expect: 100-continue\r\nContent-Length")
    assert talk(stage, expecting)[-1:] == [200]
    assert app.seen == [("/v1/chat/completions", BODY)]


def test_our_names_in_any_case_do_not_arrive(stage: Stage, app: App) -> None:
    forged = b"X-Guardrail-Decision: forged\r\nX-GUARDRAIL: a\r\nx_guardrail_x: b\r\nX_Guardrail-Subject: c\r\n"
    assert talk(stage, HEAD + END + forged + b"Content-Length: 2\r\n\r\n{}") == [200]
    assert not [name for name, _ in app.headers if b"guardrail" in name.lower()]


def test_credentials_in_two_cases_are_two(stage: Stage, app: App) -> None:
    assert talk(stage, HEAD + END + b"AUTHORIZATION: Bearer sk-two\r\nContent-Length: 2\r\n\r\n{}") == [400]
    assert app.seen == []


def test_requests_in_one_go_are_charged_one_by_one(stage: Stage, app: App) -> None:
    statuses = talk(stage, sized(BODY).replace(END, b"") * 7 + sized(BODY))
    assert len(app.seen) == 4
    assert statuses.count(429) == 4
    assert json.loads(app.seen[0][1])["model"] == "small"
