"""Over real connections: a trimmed body is what the app gets, whole, and what comes behind it on the connection is the next."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from ..integration.serving import Stage, staged  # noqa: TID252 - a uvicorn whose app tests exchange
from .kit import policy

HEAD = b"POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-one\r\nContent-Type: application/json\r\n"
CHAT = b"/v1/chat/completions"
ATTEMPTS = {"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}
RISK = {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 0, "full": 1}}}]}
TRIM = {"at": 20, "do": "trim"}
WANTED = {
    "model": "small",
    "messages": [{"role": "user", "content": "\u00e4\u2028\U0001f600" * 10}],
    "n": 4,
    "logprobs": True,
}
SMUGGLED = b"GET /v1/secret HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-two\r\n\r\n"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with staged() as found:
        yield found


class App:
    """Notes what it was given, and answers what it understood."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[bytes, bytes], bytes]] = []
        self.after: list[str] = []
        """What it was told once the body was whole."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            assert message["type"] == "http.request"
            body += message["body"]
            more = message["more_body"]
        self.seen.append((scope["path"], dict(scope["headers"]), body))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})


class Client:
    """One connection that is kept open."""

    def __init__(self, stage: Stage) -> None:
        where = urlsplit(stage.url)
        self.socket = socket.create_connection((where.hostname or "", where.port or 0), timeout=10)
        self.file = self.socket.makefile("rb")

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.socket.sendall(piece)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next answer on the connection."""
        status = int(self.file.readline().split()[1])
        headers = {}
        while (line := self.file.readline()) not in {b"\r\n", b""}:
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, self.file.read(int(headers["content-length"]))

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@pytest.fixture
def client(stage: Stage) -> Iterator[Client]:
    found = Client(stage)
    yield found
    found.close()


def guard(stage: Stage, *limits: Any) -> App:
    app = App()
    rules = [{"name": "requests", "rate": "1000/minute"}, *limits]
    stage.guard(policy(*rules, velocity=[ATTEMPTS], risk=RISK, friction={"ladder": [TRIM]}), app)
    return app


def encoded(path: bytes, body: bytes, *, chunked: bool) -> bytes:
    if not chunked:
        return HEAD % path + b"Content-Length: %d\r\n\r\n" % len(body) + body
    chunks = [body[at : at + 50] for at in range(0, len(body), 50)]
    return (
        HEAD % path
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in (*chunks, b""))
    )


TOKENS = {"name": "tokens", "unit": "tokens", "rate": "10000000/minute"}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("limits", [(), (TOKENS,)], ids=["unread", "read"])
def test_what_the_app_gets_is_the_trimmed_body_and_its_length(
    stage: Stage, client: Client, limits: Any, *, chunked: bool
) -> None:
    app = guard(stage, *limits)
    for path in (CHAT, b"/other", CHAT):
        client.send(encoded(path, json.dumps(WANTED, indent=2).encode(), chunked=chunked))
        status, headers, body = client.answer()
        assert (status, headers["x-guardrail-trimmed"]) == (200, "logprobs, n")
        where, told, got = app.seen[-1]
        assert (where.encode(), body) == (path, got)
        assert int(told[b"content-length"]) == len(got)
        assert b"transfer-encoding" not in told
        assert json.loads(got) == {**{name: WANTED[name] for name in ("model", "messages")}, "n": 1}
    assert len(app.seen) == 3


@pytest.mark.parametrize("chunked", [False, True])
def test_requests_in_one_go_each_get_their_own_body(stage: Stage, client: Client, *, chunked: bool) -> None:
    """What is shorter for the app than it came takes nothing from the next one, and leaves nothing to it."""
    app = guard(stage, TOKENS)
    bodies = [{"model": "small", "messages": [], "n": number + 1, "user": "x" * 40 * number} for number in range(6)]
    client.send(b"".join(encoded(CHAT, json.dumps(each).encode(), chunked=chunked) for each in bodies))
    answers = [client.answer() for _ in bodies]
    assert [status for status, _, _ in answers] == [200] * 6
    assert [json.loads(body) for _, _, body in answers] == [each | {"n": 1} for each in bodies]
    assert [headers.get("x-guardrail-trimmed") for _, headers, _ in answers] == [None] + ["n"] * 5
    assert len(app.seen) == 6


def test_what_follows_a_trimmed_body_is_no_request(stage: Stage, client: Client) -> None:
    """A request hidden in a prompt, or behind the end of the object, stays a body."""
    app = guard(stage)
    hidden = json.dumps({"n": 4, "messages": SMUGGLED.decode()}).encode()
    client.send(encoded(CHAT, hidden, chunked=False), encoded(CHAT, hidden, chunked=True))
    assert [client.answer()[0] for _ in range(2)] == [200, 200]
    client.send(encoded(CHAT, b'{"n":4}' + SMUGGLED, chunked=False))
    client.answer()
    assert {path.encode() for path, _, _ in app.seen} == {CHAT}


def test_a_body_in_pieces_is_trimmed_as_a_whole(stage: Stage, client: Client) -> None:
    app = guard(stage)
    raw = encoded(CHAT, json.dumps(WANTED).encode(), chunked=False)
    client.send(*[raw[at : at + 9] for at in range(0, len(raw), 9)])
    status, headers, _ = client.answer()
    assert (status, headers["x-guardrail-trimmed"]) == (200, "logprobs, n")
    assert json.loads(app.seen[-1][2])["n"] == 1


def test_a_large_body_is_trimmed_too(stage: Stage, client: Client) -> None:
    """Beyond what is parsed on the loop; and prompts of any script arrive as they were."""
    app = guard(stage, TOKENS)
    large = {**WANTED, "messages": [{"role": "user", "content": '\u00e4\U0001f600\\"\n' * 20_000}]}
    client.send(encoded(CHAT, json.dumps(large).encode(), chunked=False))
    status, headers, body = client.answer()
    assert (status, headers["x-guardrail-trimmed"]) == (200, "logprobs, n")
    assert json.loads(body)["messages"] == large["messages"]
    assert int(app.seen[-1][1][b"content-length"]) == len(body)


def test_a_refused_request_leaves_the_connection_usable(stage: Stage, client: Client) -> None:
    """Its body was read, or is thrown away: the next one is not taken for the rest of it."""
    app = App()
    rung = {**TRIM, "with": {"refuse": ["n"]}}
    limits = [{"name": "requests", "rate": "1000/minute"}]
    stage.guard(policy(*limits, velocity=[ATTEMPTS], risk=RISK, friction={"ladder": [rung]}), app)
    client.send(encoded(CHAT, json.dumps(WANTED).encode(), chunked=True))
    status, _, body = client.answer()
    assert (status, json.loads(body)["error"]["code"]) == (403, "parameters_refused")
    client.send(encoded(CHAT, b'{"messages":[]}', chunked=False))
    assert client.answer()[0] == 200
    assert [body for _, _, body in app.seen] == [b'{"messages":[]}']
