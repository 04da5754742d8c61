"""Under real servers, in processes of their own: streams, sockets, refusals, workers, a policy that is bad."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from guardrail_mw.testing.processes import HOST, free_port

from ..asgi.kit import policy  # noqa: TID252 - the kit of the pipeline's tests

pytestmark = pytest.mark.anyio

KEY = {"authorization": "Bearer sk-one"}
HERE = Path(__file__).parent
COMMANDS = {
    "uvicorn": ["uvicorn", "served:app", "--host", HOST, "--port", "{port}", "--app-dir", str(HERE)],
    "uvicorn without lifespan": [
        "uvicorn", "served:app", "--host", HOST, "--port", "{port}", "--app-dir", str(HERE), "--lifespan", "off",
    ],
    "hypercorn": ["hypercorn", "served:app", "--bind", f"{HOST}:{{port}}"],
    "granian": ["granian", "served:app", "--interface", "asgi", "--host", HOST, "--port", "{port}", "--ws"],
}  # fmt: skip
LIMITS = [{"name": "requests", "rate": "4/hour"}, {"name": "slots", "concurrency": 9}]
UNGUARDED = [{"path": ["/release/*", "/ready"], "exempt": True}, {"path": "/v1/**", "dialect": "openai"}]

UNREAD = 10_000
"""Bytes of a body that a refusal leaves unread: hypercorn and granian reset the connection over a megabyte."""


class Running:
    """A server, and what it has said so far."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self.said = ""
        self._more = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.said += line.decode(errors="replace")
            self._more.set()

    async def heard(self, text: str) -> None:
        """Until it has said that."""
        while text not in self.said:
            self._more.clear()
            await asyncio.wait_for(self._more.wait(), 10)

    async def ready(self) -> None:
        """Until it takes connections."""
        while self.process.returncode is None:
            with socket.socket() as probe:
                probe.setblocking(False)
                try:
                    await asyncio.wait_for(asyncio.get_running_loop().sock_connect(probe, (HOST, self.port)), 1)
                except OSError:
                    await asyncio.sleep(0.02)
                else:
                    return
        raise AssertionError(f"the server ended: {self.said}")

    async def stop(self) -> str:
        """End it; what it said."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), 10)
            except TimeoutError:
                os.killpg(self.process.pid, signal.SIGKILL)
                await self.process.wait()
        await self._reading
        return self.said


@asynccontextmanager
async def running(server: str, folder: Path, document: Any, *more: str) -> AsyncIterator[Running]:
    """The app on a server, under a policy that the environment names."""
    file = folder / "policy.yaml"
    file.write_text(json.dumps(document))
    port = free_port()
    command = [part.format(port=port) for part in COMMANDS[server]]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *command, *more,
        cwd=HERE, env={**os.environ, "GUARDRAIL_POLICY": str(file), "PYTHONPATH": str(HERE)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    found = Running(process, port)
    try:
        await asyncio.wait_for(found.ready(), 30)
        yield found
    finally:
        await found.stop()


@pytest.mark.parametrize("server", COMMANDS)
async def test_streams_sockets_and_refusals(server: str, tmp_path: Path) -> None:
    """Four an hour: a stream, and a socket with two turns; the fifth is refused however it comes."""
    async with running(server, tmp_path, policy(*LIMITS, routes=UNGUARDED)) as found:
        async with httpx.AsyncClient(base_url=found.url, headers=KEY, timeout=20) as client:
            async with client.stream("GET", "/v1/stream/a") as answer:
                assert answer.status_code == 200
                assert answer.headers["x-ratelimit-remaining-requests"] == "3"
                pieces = answer.aiter_bytes()
                assert await anext(pieces) == b"data: first\n\n", "it came before the second was made"
                assert (await client.get("/release/a")).status_code == 200
                assert [piece async for piece in pieces] == [b"data: last\n\n"]
            async with connect(f"ws://{HOST}:{found.port}/v1/talk", additional_headers=KEY) as talk:
                for text in ("a", "b"):
                    await talk.send(text)
                    assert await talk.recv() == text.upper()
                await talk.send("c")
                with pytest.raises(ConnectionClosedError) as closed:
                    await talk.recv()
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1013
                assert len(closed.value.rcvd.reason) == 24
            refused = await client.get("/v1/stream/b")
            assert refused.status_code == 429
            assert refused.json()["error"]["decision"] == refused.headers["x-guardrail-decision"]
            head = await client.head("/v1/stream/b")
            assert (head.status_code, head.content) == (429, b"")
            posted = await client.post("/v1/chat/completions", content=b"x" * UNREAD)
            assert posted.status_code == 429, "refused before its body was read"
        with pytest.raises(InvalidStatus) as unopened:
            async with connect(f"ws://{HOST}:{found.port}/v1/talk", additional_headers=KEY):
                pass
        response = unopened.value.response
        assert response.status_code == 429, "all three offer to answer a refused socket"
        assert len(response.headers["x-guardrail-decision"]) == 24
    assert "Traceback" not in found.said


@pytest.mark.parametrize(
    ("server", "more"),
    [
        ("uvicorn", ()),
        ("uvicorn", ("--workers", "2")),
        pytest.param("hypercorn", ("--workers", "2"), marks=pytest.mark.slow),
        pytest.param("granian", ("--workers", "2"), marks=pytest.mark.slow),
    ],
)
async def test_memory_under_several_workers_warns(server: str, more: tuple[str, ...], tmp_path: Path) -> None:
    async with (
        running(server, tmp_path, policy(*LIMITS, routes=UNGUARDED), *more) as found,
        httpx.AsyncClient(base_url=found.url, timeout=20) as client,
    ):
        assert (await client.get("/release/x")).status_code == 200
    assert ("one of several workers" in found.said) is bool(more), found.said


async def test_a_bad_policy_stops_the_start_with_all_problems(tmp_path: Path) -> None:
    document = policy({"name": "r", "rate": "0/minute"}) | {"mode": "enforced"}
    with pytest.raises(AssertionError, match="the server ended") as caught:
        async with running("uvicorn", tmp_path, document):
            pass
    assert "2 problems in the policy" in str(caught.value)


async def test_a_policy_that_changes_is_obeyed_without_a_restart(tmp_path: Path) -> None:
    """The server runs without lifespan; the first request starts what watches the file."""
    before, after = (policy({"name": "r", "rate": rate}, routes=UNGUARDED) for rate in ("9/hour", "7/hour"))
    async with (
        running("uvicorn without lifespan", tmp_path, before) as found,
        httpx.AsyncClient(base_url=found.url, headers=KEY, timeout=20) as client,
    ):

        async def limit() -> str:
            return (await client.get("/v1/x")).headers["x-ratelimit-limit-requests"]

        assert [await limit() for _ in range(2)] == ["9", "9"], "by the second what the first began is on its way"
        (tmp_path / "policy.yaml").write_text(json.dumps(after))
        found.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(10):
            while await limit() == "9":
                pass
        (tmp_path / "policy.yaml").write_text("version: 2")
        await found.heard("was refused")
        assert await limit() == "7"
