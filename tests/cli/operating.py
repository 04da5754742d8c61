"""Servers for the commands that operators use: one on a shared store, or one whose port is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from guardrail_mw.console.app import app

from ..asgi.kit import Guarded, Upstream  # noqa: TID252 - the kit of the pipeline's tests

TOKEN = "t" * 32
POLICY = """\
version: 1
mode: enforce
identity: {sources: [{use: api_key, with: {headers: [authorization, x-api-key], trust: gateway}}]}
routes: [{path: /v1/**, dialect: openai}]
limits:
  - {name: requests, per: [account], rate: 60/minute, burst: 2}
  - {name: wide, replaces: requests, when: {tier: plus}, per: [account], rate: 60/minute}
  - {name: network, per: [network], rate: 600/minute}
velocity: [{name: attempts, count: attempts, per: account, over: 10m}]
risk: {scorers: [{use: velocity, with: {attempts: {from: 0, full: 10}}}]}
friction:
  ladder: [{at: 25, do: delay, with: {seconds: 0.5}}, {at: 90, do: deny}]
"""
SECRETS = {"GUARDRAIL_ID_KEY": "i" * 32, "GUARDRAIL_KEYS": "k" * 32}


class Port:
    """An operator's port, which notes what it is asked."""

    def __init__(self, guarded: Guarded) -> None:
        self.app: Any = app(guarded.guardrail, TOKEN, clock=guarded.clock)
        self.asked: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        self.asked.append(f"{scope['method']} {scope['path']}")
        await self.app(scope, receive, send)


@contextmanager
def port(monkeypatch: pytest.MonkeyPatch, document: Any) -> Iterator[tuple[Guarded, Port]]:
    """A guarded app whose operator's port is asked instead of the network."""
    guarded = Guarded(Upstream(), document, environ=SECRETS)
    asked = Port(guarded)
    real = httpx2.AsyncClient

    def client(**options: Any) -> httpx2.AsyncClient:
        return real(transport=httpx2.ASGITransport(asked), **options)

    monkeypatch.setattr("httpx2.AsyncClient", client)
    monkeypatch.setenv("GUARDRAIL_OPERATOR_URL", "http://operator.test:9900")
    monkeypatch.setenv("GUARDRAIL_OPERATOR_TOKEN", TOKEN)
    yield guarded, asked
