"""What the transports do with a challenge, and what they leave alone."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import coroutine
from typing import Any

import anyio
import httpx
import httpx2
import pytest

from guardrail_mw.client import AsyncSolvingTransport, SolvingTransport, async_http_client, http_client
from guardrail_mw.client.puzzle import ChallengeError, Puzzle, solve
from guardrail_mw.client.transport import _at_once

from .server import SLOW, Guarded

pytestmark = pytest.mark.anyio

KEY = {"authorization": "Bearer sk-one"}


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What the log says."""
    caplog.set_level(logging.INFO, "guardrail_mw.client")
    said: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    ear = Ear()
    logging.getLogger("guardrail_mw.client").addHandler(ear)
    yield said
    logging.getLogger("guardrail_mw.client").removeHandler(ear)


def counts(server: Guarded) -> tuple[int, int]:
    """Requests to the model, and answers."""
    return len(server.asked), len(server.answered)


def test_a_problem_document(server: Guarded) -> None:
    with http_client() as client:
        assert client.get(f"{server.url}/other", headers=KEY).status_code == 200
        assert client.get(f"{server.url}/health").json() == {"solves": "altcha"}
    assert counts(server) == (2, 1)


def test_the_request_is_left_as_it_was(server: Guarded) -> None:
    with http_client() as client:
        response = client.post(f"{server.url}/other", json={"a": 1})
    assert {"guardrail-solve", "cookie"} & set(response.request.headers) == set()
    assert response.request.content == b'{"a":1}'


def test_a_challenge_in_the_place_of_one_that_was_spent(server: Guarded) -> None:
    server.spent = 1
    with http_client() as client:
        assert client.get(f"{server.url}/other", headers=KEY).status_code == 200
    assert counts(server) == (2, 2)


def test_a_third_one_is_not_begun(server: Guarded, warnings: list[str]) -> None:
    server.spent = 2
    with http_client() as client:
        response = client.get(f"{server.url}/other", headers=KEY)
    assert (response.status_code, response.json()["code"]) == (403, "challenge_required")
    assert counts(server) == (1, 2)
    assert warnings == ["The answer to a challenge was refused: 403"] * 2


def test_the_second_403_is_passed_on(server: Guarded) -> None:
    """Cleared, and challenged at once again: it is sent again once, not for ever."""
    server.lasts = 0
    with http_client() as client:
        response = client.get(f"{server.url}/other", headers=KEY)
    assert (response.status_code, response.json()["code"]) == (403, "challenge_required")
    assert counts(server) == (2, 1)


def test_a_403_is_as_if_nobody_had_read_it(server: Guarded) -> None:
    server.satisfied = False
    server.compress = True
    with http_client() as client, client.stream("GET", f"{server.url}/other") as response:
        assert response.headers["content-encoding"] == "gzip"
        raw = b"".join(response.iter_raw())
        assert len(raw) == int(response.headers["content-length"])
    with http_client() as client, client.stream("GET", f"{server.url}/other") as response:
        assert response.read().startswith(b'{"status": 403')


def test_cookies_of_answers_are_kept(server: Guarded) -> None:
    """Of the refusal, too: without its `device` the answer would be worth nothing."""
    server.device = True
    with http_client(cookies={"mine": "1"}) as client:
        first = client.get(f"{server.url}/other").json()["cookie"].split("; ")
        second = client.get(f"{server.url}/other").json()["cookie"].split("; ")
    assert sorted(each.partition("=")[0] for each in first) == ["clearance", "device", "mine"]
    assert sorted(second) == sorted(first)
    assert counts(server) == (3, 1)
    assert server.answered[0].cookies == {"device": "d1"}


def test_another_server_gets_nothing(server: Guarded, warnings: list[str]) -> None:
    port = server.url.rpartition(":")[2]
    for endpoint in (
        f"http://localhost:{port}/.guardrail/challenge",
        f"//localhost:{port}/.guardrail/challenge",
        f"https://127.0.0.1:{port}/.guardrail/challenge",
        "http://127.0.0.1/.guardrail/challenge",
        f"http://127.0.0.1:{port}@localhost:{port}/.guardrail/challenge",
        "javascript:alert(1)",
        "file:///etc/passwd",
    ):
        server.endpoint = endpoint
        with http_client() as client:
            assert client.get(f"{server.url}/other", headers=KEY).status_code == 403
        said = warnings.pop()
        assert said.startswith("A challenge wants its answer sent to another server. If '"), endpoint
    assert counts(server) == (7, 0)


def test_a_server_that_is_listed_gets_it(server: Guarded) -> None:
    port = server.url.rpartition(":")[2]
    server.endpoint = f"http://LOCALHOST:{port}/.guardrail/challenge"
    with http_client(origins=[f"http://localhost:{port}/"]) as client:
        assert client.get(f"{server.url}/other", headers=KEY).status_code == 200
    assert server.answered[0].headers["host"] == f"localhost:{port}"


def test_the_request_s_own_server_written_out(server: Guarded) -> None:
    server.endpoint = f"{server.url}/.guardrail/challenge"
    with http_client() as client:
        assert client.get(f"{server.url}/other", headers=KEY).status_code == 200


@pytest.mark.parametrize("endpoint", ["http://[::1/", "http://a.example:x/", "http://u:p@{host}/.guardrail/challenge"])
def test_a_url_that_is_none(server: Guarded, warnings: list[str], endpoint: str) -> None:
    server.endpoint = endpoint.format(host=server.url.partition("://")[2])
    with http_client() as client:
        assert client.get(f"{server.url}/other", headers=KEY).status_code == 403
    assert counts(server) == (1, 0)
    assert warnings[0].startswith("A challenge has no usable URL.")


@pytest.mark.parametrize(
    ("origins", "error"),
    [
        ("https://guard.example", TypeError), (["guard.example"], ValueError), (["https://"], ValueError),
        (["https://guard.example/challenge"], ValueError), (["https://u@guard.example"], ValueError), (["ftp://x"], ValueError),
    ],
)  # fmt: skip
def test_origins_that_are_none(origins: Any, error: type[Exception]) -> None:
    for make in (http_client, async_http_client):
        with pytest.raises(error, match="origin"):
            make(origins=origins)


def test_absurd_work_is_not_begun(server: Guarded, warnings: list[str]) -> None:
    server.change = lambda challenge: challenge["parameters"].update(cost=10**9)
    with http_client() as client:
        assert client.get(f"{server.url}/other", headers=KEY).status_code == 403
    assert counts(server) == (1, 0)
    assert warnings == ["A challenge is too hard. It takes 16,000,000,000 rounds on average, and hardest is 30,000,000."]


def test_hardest_is_the_caller_s(server: Guarded) -> None:
    for hardest, status in ((799, 403), (800, 200)):
        with http_client(hardest=hardest) as client:
            assert client.get(f"{server.url}/other", headers=KEY).status_code == status


@pytest.mark.parametrize("kind", ["hcaptcha", None, 7])
def test_what_is_for_persons_is_left_to_them(server: Guarded, kind: Any, warnings: list[str]) -> None:
    server.change = lambda challenge: challenge.update(type=kind)
    with http_client() as client:
        assert client.get(f"{server.url}/other", headers=KEY).status_code == 403
    assert counts(server) == (1, 0)
    assert warnings == []


@pytest.mark.parametrize(
    ("status", "body", "media"),
    [
        (403, b"<html>", "text/html"), (403, b"{", "application/json"), (403, b'{"error": {}}', "application/json"),
        (429, b'{"challenge": {"type": "altcha"}}', "application/json"), (401, b"{}", "application/json"),
    ],
)  # fmt: skip
def test_other_refusals_are_passed_on(status: int, body: bytes, media: str) -> None:
    sent = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        return httpx2.Response(status, content=body, headers={"content-type": media})

    with httpx2.Client(transport=SolvingTransport(httpx2.MockTransport(answer))) as client:
        response = client.get("http://models.example/")
    assert (response.status_code, response.content, len(sent)) == (status, body, 1)


def test_a_coding_that_cannot_be_undone_is_passed_on() -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(403, stream=httpx2.ByteStream(b"no gzip"), headers=headers))
    with (
        httpx2.Client(transport=SolvingTransport(transport)) as client,
        client.stream("GET", "http://a.example/") as response,
    ):
        assert b"".join(response.iter_raw()) == b"no gzip"


class Watched(httpx2.ByteStream):
    """A body that tells whether it was read and closed."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.told: list[str] = []

    def __iter__(self) -> Iterator[bytes]:
        self.told.append("read")
        return super().__iter__()

    def close(self) -> None:
        self.told.append("closed")


def test_an_answer_of_the_model_is_not_touched() -> None:
    bodies = [Watched(b'{"challenge": {"type": "altcha"}}') for _ in range(2)]
    left = iter(zip((200, 403), bodies, strict=True))

    def answer(_: httpx2.Request) -> httpx2.Response:
        status, stream = next(left)
        return httpx2.Response(status, stream=stream, headers={"content-type": "application/json"})

    transport = SolvingTransport(httpx2.MockTransport(answer))
    whole = transport.handle_request(httpx2.Request("GET", "http://models.example/"))
    assert whole.stream is bodies[0]
    assert bodies[0].told == []
    transport.handle_request(httpx2.Request("GET", "http://models.example/"))
    assert bodies[1].told == ["read", "closed"]


def test_a_stream_is_not_sent_again(server: Guarded, warnings: list[str]) -> None:
    def parts() -> Iterator[bytes]:
        yield b"one"
        yield b"two"

    with http_client() as client:
        response = client.post(f"{server.url}/other", content=parts(), headers=KEY)
    assert (response.status_code, response.json()["code"]) == (403, "challenge_required")
    assert (counts(server), server.bodies) == ((1, 0), [b"onetwo"])
    assert warnings == ["A challenge was not solved: the request's body is a stream that cannot be sent again."]


async def test_a_stream_is_not_sent_again_async(server: Guarded) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"one"

    async with async_http_client() as client:
        response = await client.post(f"{server.url}/other", content=parts(), headers=KEY)
    assert (response.status_code, counts(server)) == (403, (1, 0))


def test_a_large_upload_is_not_kept(server: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardrail_mw.client.course._KEPT", 1000)
    with http_client() as client:
        for size, status in ((2000, 403), (500, 200)):
            response = client.post(f"{server.url}/other", files={"file": ("a", b"." * size)}, headers=KEY)
            assert response.status_code == status
    assert counts(server) == (3, 1)


def test_no_time_no_work(server: Guarded, warnings: list[str]) -> None:
    with http_client(longest=0) as client:
        assert client.get(f"{server.url}/other", headers=KEY).status_code == 403
    assert counts(server) == (1, 0)
    assert warnings[-1].startswith("A challenge was not solved in time.")


def test_a_short_timeout_of_the_request_holds(server: Guarded, warnings: list[str]) -> None:
    server.change = lambda challenge: challenge.update(parameters=dict(SLOW))
    with http_client(timeout=httpx2.Timeout(20, read=0.3)) as client:
        assert client.get(f"{server.url}/other", headers=KEY).status_code == 403
    assert counts(server) == (1, 0)
    assert warnings == ["A challenge was not solved in time. It takes 26,214,400 rounds on average."]


def test_the_answer_has_the_request_s_timeouts(server: Guarded) -> None:
    seen: dict[str, Any] = {}

    class Noted(httpx2.HTTPTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            seen[request.url.path] = request.extensions["timeout"]
            return super().handle_request(request)

    timeout = httpx2.Timeout(20, connect=3, pool=None)
    with httpx2.Client(transport=SolvingTransport(Noted()), timeout=timeout) as client:
        client.get(f"{server.url}/other", headers=KEY)
    assert seen["/other"] == {"connect": 3, "read": 20, "write": 20, "pool": None}
    answered = seen["/.guardrail/challenge"]
    assert answered["connect"] == 3
    assert 0 < answered["read"] < 20
    assert answered["pool"] == answered["write"] == answered["read"]


def test_an_answer_that_does_not_arrive(server: Guarded, warnings: list[str]) -> None:
    class Cut(httpx2.HTTPTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            if request.url.path == "/.guardrail/challenge":
                raise httpx2.ConnectError("cut")
            return super().handle_request(request)

    with httpx2.Client(transport=SolvingTransport(Cut())) as client:
        assert client.get(f"{server.url}/other", headers=KEY).status_code == 403
    assert warnings == ["The answer to a challenge could not be sent: ConnectError('cut')"]


async def test_twenty_at_once_solve_one(server: Guarded) -> None:
    """All are challenged before the first has solved."""
    server.meeting = 20
    async with async_http_client() as client:
        asked = [client.get(f"{server.url}/other", headers=KEY) for _ in range(20)]
        assert [response.status_code for response in await asyncio.gather(*asked)] == [200] * 20
    assert counts(server) == (40, 1)


def test_eight_threads_solve_one(server: Guarded) -> None:
    server.meeting = 8
    with http_client() as client, ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda _: client.get(f"{server.url}/other", headers=KEY), range(8))
        assert [response.status_code for response in found] == [200] * 8
    assert counts(server) == (16, 1)


async def test_each_credential_solves_its_own(server: Guarded) -> None:
    server.meeting = 3
    async with async_http_client() as client:
        keys = [{"authorization": "a"}, {"authorization": "b"}, {"x-api-key": "a"}]
        asked = [client.get(f"{server.url}/other", headers=key) for key in keys]
        assert [response.status_code for response in await asyncio.gather(*asked)] == [200] * 3
    assert counts(server) == (6, 3)


async def test_whoever_relied_in_vain_solves(server: Guarded) -> None:
    """Two accounts that one key hides: the second is sent once more when the first is cleared, challenged again, and solves."""
    server.meeting = 2
    async with async_http_client() as client:

        async def ask(account: str) -> int:
            return (await client.get(f"{server.url}/other", headers={**KEY, "x-account": account})).status_code

        assert list(await asyncio.gather(ask("a"), ask("b"))) == [200, 200]
    assert counts(server) == (2 + 1 + 1 + 1, 2)


async def test_the_loop_goes_on_meanwhile_and_a_hang_up_ends_it(server: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: queue.SimpleQueue[str] = queue.SimpleQueue()

    def watched(puzzle: Puzzle, **options: Any) -> str:
        try:
            return solve(puzzle, **options)
        except ChallengeError as error:
            ended.put(str(error))
            raise

    monkeypatch.setattr("guardrail_mw.client.transport.solve", watched)
    server.change = lambda challenge: challenge.update(parameters=dict(SLOW))
    async with async_http_client() as client:
        task = asyncio.create_task(client.get(f"{server.url}/other", headers=KEY))
        assert await asyncio.to_thread(server.challenged.wait, 10)
        for _ in range(20):
            assert (await client.get(f"{server.url}/health")).status_code == 200
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert "Nobody waits" in await asyncio.to_thread(ended.get, timeout=10)
    assert counts(server) == (1, 0)


async def test_who_waits_for_others_waits_no_longer_than_it_would(server: Guarded, warnings: list[str]) -> None:
    transport = AsyncSolvingTransport(httpx2.AsyncHTTPTransport(), longest=0.01)
    request = httpx2.Request("GET", f"{server.url}/other", headers=KEY)
    turn = transport._turns.of(request, anyio.Lock)
    async with turn.lock, transport:
        asked = asyncio.create_task(transport.handle_async_request(request))  # a lock knows whose it is
        assert (await asked).status_code == 403
    assert counts(server) == (1, 0)
    assert warnings == ["A challenge was not solved in time: others were before it."]


def test_a_thread_waits_no_longer_either(server: Guarded, warnings: list[str]) -> None:
    transport = SolvingTransport(httpx2.HTTPTransport(), longest=0.01)
    request = httpx2.Request("GET", f"{server.url}/other", headers=KEY)
    turn = transport._turns.of(request, threading.Lock)
    with turn.lock, transport:
        assert transport.handle_request(request).status_code == 403
    assert counts(server) == (1, 0)
    assert warnings == ["A challenge was not solved in time: others were before it."]


def test_a_turn_is_forgotten(server: Guarded) -> None:
    transport = SolvingTransport(httpx2.HTTPTransport())
    with httpx2.Client(transport=transport) as client:
        for number in range(3):
            client.get(f"{server.url}/other", headers={"authorization": str(number)})
    assert len(transport._turns._turns) == 0


def test_httpx_of_older_sdks(server: Guarded) -> None:
    with httpx.Client(transport=SolvingTransport(httpx.HTTPTransport())) as client:  # type: ignore[arg-type]
        assert client.get(f"{server.url}/other").status_code == 200
        server.satisfied = False
        server.lasts = 0
        server.endpoint = "//elsewhere.example/"
        response = client.get(f"{server.url}/other", headers=KEY)
    assert (response.status_code, response.json()["code"]) == (403, "challenge_required")
    assert counts(server) == (3, 1)


async def test_httpx_of_older_sdks_async(server: Guarded) -> None:
    transport = AsyncSolvingTransport(httpx.AsyncHTTPTransport())  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport) as client:  # type: ignore[arg-type]
        assert (await client.get(f"{server.url}/other")).status_code == 200
    assert counts(server) == (2, 1)


def test_a_request_of_nobody_s() -> None:
    with pytest.raises(TypeError, match="httpx2 or of httpx was expected"):
        SolvingTransport(httpx2.MockTransport(lambda _: httpx2.Response(200))).handle_request(object())  # type: ignore[arg-type]


def test_a_step_that_waits_is_a_mistake() -> None:
    @coroutine
    def waiting() -> Generator[None, None, None]:
        yield

    with pytest.raises(RuntimeError, match="waited for an event loop"):
        _at_once(waiting())
