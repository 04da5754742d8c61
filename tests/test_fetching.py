"""What is fetched from elsewhere, over loopback: whole and within bounds, or not at all."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from guardrail_mw import fetching
from guardrail_mw.fetching import NoAnswerError, UnfitAnswerError, fetch

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def serving(answer: bytes | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that sends this, whatever it is asked (None: nothing at all); its URL, and what it was asked."""
    asked: list[bytes] = []
    over = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        asked.append(head + await reader.readexactly(int(length or 0)))
        if answer is None:
            await over.wait()
        else:
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys?a=1", asked
    finally:
        over.set()
        server.close()
        await server.wait_closed()


def http(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def test_what_is_sent_and_what_comes() -> None:
    async with serving(http(b"{}", "X-Two: 2", status="404 Not Found")) as (url, asked):
        found = await fetch(
            "POST", url, deadline=9, longest=2, headers={"accept": "text/plain", "x-one": "1"}, content=b"a=b"
        )
    assert (found.status, found.ok, found.body, found.headers.get("x-two")) == (404, False, b"{}", "2")
    head, _, body = asked[0].partition(b"\r\n\r\n")
    sent = head.decode().lower().split("\r\n")
    assert sent[0] == "post /keys?a=1 http/1.1"
    assert {"accept: text/plain", "accept-encoding: identity", "user-agent: guardrail_mw", "x-one: 1"} <= set(sent)
    assert body == b"a=b"


@pytest.mark.parametrize(("status", "ok"), [("200 OK", True), ("299 Odd", True), ("302 Found", False)])
async def test_a_redirect_is_an_answer_like_another(status: str, *, ok: bool) -> None:
    async with serving(http(b"", "location: /elsewhere", status=status)) as (url, asked):
        found = await fetch("GET", url, deadline=9, longest=0)
    assert (found.status, found.ok, len(asked)) == (int(status[:3]), ok, 1)


@pytest.mark.parametrize(
    ("answer", "text", "kind"),
    [
        (http(b"123"), "more than 2 bytes", "too long"),
        (http(b"12345", status="500 Oops"), "more than 2 bytes", "too long"),
        (http(gzip.compress(b""), "content-encoding: gzip"), "a compressed answer, which was not asked for", "compressed"),
    ],
)
async def test_what_is_not_read(answer: bytes, text: str, kind: str) -> None:
    async with serving(answer) as (url, _):
        with pytest.raises(UnfitAnswerError) as caught:
            await fetch("GET", url, deadline=9, longest=2)
    assert (str(caught.value), caught.value.kind) == (text, kind)


@pytest.mark.parametrize(
    ("answer", "kind"), [(b"", "RemoteProtocolError"), (b"220 smtp\r\n\r\n", "RemoteProtocolError"), (None, "TimeoutError")]
)
async def test_no_answer(answer: bytes | None, kind: str) -> None:
    async with serving(answer) as (url, _):
        with pytest.raises(NoAnswerError) as caught:
            await fetch("GET", url, deadline=0.05 if answer is None else 9, longest=2)
    assert (caught.value.kind, type(caught.value)) == (kind, NoAnswerError)
    if answer is None:
        assert str(caught.value) == "no whole answer within 0.05 s"


@pytest.mark.parametrize(
    ("url", "kind"),
    [("http://127.0.0.1:9/", "ConnectError"), ("ftp://x", "UnsupportedProtocol"), ("http://x:y", "InvalidURL")],
)
async def test_nobody_to_ask(url: str, kind: str) -> None:
    with pytest.raises(NoAnswerError) as caught:
        await fetch("GET", url, deadline=9, longest=2)
    assert caught.value.kind == kind


async def test_certificates_are_loaded_once() -> None:
    """It takes longer than all the rest of a call, and the event loop stands still meanwhile."""
    fetching._context.cache_clear()
    async with serving(http(b"{}")) as (url, asked):
        for _ in range(3):
            await fetch("GET", url, deadline=9, longest=2)
    assert (len(asked), fetching._context.cache_info().misses) == (3, 1)
