"""The port itself: it opens with the guarded server and closes with it, and one worker has it."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx2
import pytest

from guardrail_mw import Guardrail, GuardrailMiddleware
from guardrail_mw.console import Console
from guardrail_mw.console.server import AGAIN
from guardrail_mw.testing.processes import free_port

from .kit import TOKEN

pytestmark = pytest.mark.anyio

HEADERS = {"authorization": f"Bearer {TOKEN}"}


def document(port: int, host: str = "127.0.0.1") -> dict[str, Any]:
    return {"version": 1, "mode": "enforce", "console": {"listen": f"{host}:{port}", "token": TOKEN}}


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(headers=HEADERS, trust_env=False) as client:
        yield client


def refuses(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


async def opened(guardrail: Guardrail) -> str:
    """The port's URL, once it listens."""
    console: Console = guardrail._console
    async with asyncio.timeout(10):
        await console.serving.wait()
    return console.address.url


async def test_it_opens_with_the_guarded_app_and_closes_with_it(client: httpx2.AsyncClient) -> None:
    port = free_port()
    guardrail = Guardrail(document(port), environ={})
    assert refuses(port)
    await guardrail.start()
    try:
        url = await opened(guardrail)
        assert url == f"http://127.0.0.1:{port}"
        assert (await client.get(f"{url}/v1/mode")).json()["mode"] == "enforce"
        assert (await client.get(f"{url}/v1/mode", headers={"authorization": "Bearer x"})).status_code == 401
        head = await client.head(f"{url}/live")
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "17")
        assert "server" not in head.headers
    finally:
        await guardrail.close()
    assert refuses(port)
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert not [name for name in names if "console" in name]


async def test_servers_without_lifespan_open_it_with_the_first_request(client: httpx2.AsyncClient) -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    judged = {"risk": {"scorers": [{"use": "automation"}]}}  # a policy that judges records every decision
    guardrail = Guardrail(document(free_port()) | judged, environ={})
    guarded = httpx2.AsyncClient(
        transport=httpx2.ASGITransport(GuardrailMiddleware(app, guardrail)), base_url="http://guarded", trust_env=False
    )
    async with guarded:
        decision = (await guarded.get("/anything")).headers["x-guardrail-decision"]
        url = await opened(guardrail)
        assert (await client.get(f"{url}/v1/decisions/{decision}")).json()["id"] == decision
        # It is not part of the guarded app: there its paths are the app's.
        assert (await guarded.get("/v1/mode")).content == b""
    await guardrail.close()


async def test_one_worker_has_it_and_another_takes_over(
    client: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    first, second = Guardrail(document(port), environ={}), Guardrail(document(port), environ={})
    looked, go = asyncio.Event(), asyncio.Event()
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)
        looked.set()
        await go.wait()
        go.clear()

    waiting = Console(second, pause=pause)
    await first.start()
    url = await opened(first)
    with caplog.at_level(logging.INFO, "guardrail_mw.operators"):
        task = asyncio.create_task(waiting.run())
        for _ in range(3):
            await looked.wait()
            looked.clear()
            go.set()
        await looked.wait()
    assert not waiting.serving.is_set()
    assert waits == [AGAIN] * 4
    assert [record.message for record in caplog.records if "is taken" in record.message] == [
        f"The operator's port {url} is taken, by another worker it seems: this one waits."
    ]
    await first.close()
    go.set()
    async with asyncio.timeout(10):
        await waiting.serving.wait()
    assert (await client.get(f"{url}/live")).status_code == 200
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert refuses(port)


async def test_a_port_that_cannot_be_had_is_logged_once_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    guardrail = Guardrail(document(free_port(), "192.0.2.1"), environ={})  # no address of this machine
    looked = asyncio.Semaphore(0)

    async def pause(_seconds: float) -> None:
        looked.release()
        await asyncio.sleep(0)

    task = asyncio.create_task(Console(guardrail, pause=pause).run())
    for _ in range(5):
        await looked.acquire()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [record.levelname for record in caplog.records if "cannot be had" in record.message] == ["ERROR"]
    assert "EADDRNOTAVAIL" in caplog.text


async def test_beyond_this_machine_it_warns(caplog: pytest.LogCaptureFixture) -> None:
    guardrail = Guardrail(document(free_port(), "0.0.0.0"), environ={})  # noqa: S104 - what is warned of
    await guardrail.start()
    await opened(guardrail)
    await guardrail.close()
    assert "in plain HTTP. Put TLS in front." in caplog.text


async def test_an_answer_under_way_does_not_hold_the_shutdown_up() -> None:
    """A client that sends half a request and waits."""
    guardrail = Guardrail(document(free_port()), environ={})
    await guardrail.start()
    await opened(guardrail)
    reader, writer = await asyncio.open_connection(*guardrail._console.address)
    body = json.dumps({"mode": "off"}).encode()
    head = f"PUT /v1/mode HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n"
    writer.write(head.encode() + f"content-length: {len(body)}\r\n\r\n".encode() + body[:-1])
    await writer.drain()
    async with asyncio.timeout(5):
        await guardrail.close()
        with suppress(ConnectionResetError):
            await reader.read()
    writer.close()
    assert guardrail.engine.mode == "enforce"


def test_a_loop_that_ends_without_a_word_closes_it_too() -> None:
    """Servers without lifespan: nobody calls `close`. The next loop of the process opens it again."""
    port = free_port()
    guardrail = Guardrail(document(port), environ={})

    async def life() -> None:
        await guardrail.start()
        await opened(guardrail)

    for _ in range(2):
        guardrail._console.serving = asyncio.Event()
        asyncio.run(life())
        assert refuses(port)


async def test_a_policy_without_the_section_has_none() -> None:
    guardrail = Guardrail({"version": 1}, environ={})
    assert guardrail._console is None
    with pytest.raises(ValueError, match="no `console` section"):
        Console(guardrail)
