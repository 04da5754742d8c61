"""A stand-in for the three services' `siteverify`, on loopback, as they document it: forms in, JSON out, tokens once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

__all__ = ["Service", "serving"]


class Service:
    """One service.

    Args:
        secret: the only one that it knows.
    """

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.tokens: dict[str, dict[str, Any]] = {}
        """What it says of each token that was given."""
        self.used: dict[str, str] = {}
        """Tokens that were judged, and under which idempotency key."""
        self.calls: list[dict[str, str]] = []
        self.broken: list[bytes | None] = []
        """What it sends instead, call after call; None hangs up."""
        self.url = ""

    def judge(self, fields: dict[str, str]) -> dict[str, Any]:
        """As it answers."""
        if fields.get("secret") != self.secret:
            return {"success": False, "error-codes": ["invalid-input-secret"]}
        token = fields.get("response", "")
        known = self.tokens.get(token)
        if known is None:
            return {"success": False, "error-codes": ["invalid-input-response"]}
        key = fields.get("idempotency_key", "")
        if token in self.used and (not key or self.used[token] != key):
            return {"success": False, "error-codes": ["timeout-or-duplicate"]}
        self.used[token] = key
        return {"success": True, "error-codes": [], "challenge_ts": "2026-01-01T00:00:00Z", **known}

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request of HTTP/1.1."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(int(line.partition(":")[2]) for line in head.splitlines() if line.startswith("content-length:"))
        assert "content-type: application/x-www-form-urlencoded" in head
        fields = dict(parse_qsl((await reader.readexactly(length)).decode()))
        self.calls.append(fields)
        body: bytes | None = json.dumps(self.judge(fields)).encode()
        if self.broken:
            body = self.broken.pop(0)
        if body is not None:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % len(body))
            writer.write(b"connection: close\r\n\r\n" + body)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def serving(service: Service) -> AsyncIterator[Service]:
    """Let it serve on a free port of loopback."""
    server = await asyncio.start_server(service.handle, "127.0.0.1", 0)
    service.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/siteverify"
    try:
        yield service
    finally:
        server.close()
        await server.wait_closed()
