"""Nobody who has no token keeps the operator out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from guardrail_mw import Guardrail
from guardrail_mw.console.server import AT_ONCE, Console
from guardrail_mw.testing.processes import free_port

pytestmark = pytest.mark.anyio

TOKEN = "operators-0123456789-abcdefghijklmnop"  # noqa: S105 - made up
LINE = b"GET /v1/mode HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize("said", [b"", LINE])
async def test_idle_connections_do_not_lock_the_operator_out(said: bytes) -> None:
    port = free_port()
    document = {"version": 1, "mode": "enforce", "console": {"listen": f"127.0.0.1:{port}", "token": TOKEN}}
    guardrail = Guardrail(document, environ={})
    await guardrail.start()
    console: Console = guardrail._console
    held: list[Any] = []
    try:
        async with asyncio.timeout(10):
            await console.serving.wait()
            for _ in range(AT_ONCE + 1):
                held.append(await asyncio.open_connection("127.0.0.1", port))
                held[-1][1].write(said)
            # All are closed for us but the 64 latest: the first of them is told.
            while await held[0][0].read(4096):
                pass
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            held.append((reader, writer))
            writer.write(LINE + b"authorization: Bearer %s\r\n\r\n" % TOKEN.encode())
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    finally:
        for _, writer in held:
            writer.close()
        await guardrail.close()
