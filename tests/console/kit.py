"""A guarded app, and an operator before its port; both in this process, on a clock that stands still."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from guardrail_mw.console.app import app
from guardrail_mw.testing.clock import FakeClock

from ..asgi.kit import KEY, Answer, Guarded, Upstream, chat, policy, scope_of  # noqa: TID252 - the kit of the pipeline's tests

__all__ = ["BEARER", "CHAT", "JSON", "KEY", "LADDER", "LIMITS", "TOKEN", "WHY", "Answer", "Operated", "client", "problem"]

TOKEN = "operators-0123456789-abcdefghijklmnop"  # noqa: S105 - made up
BEARER = (b"authorization", b"Bearer " + TOKEN.encode())
JSON = (b"content-type", b"application/json")
CHAT = "/v1/chat/completions"
WHY = "as agreed"
LIMITS = [
    {"name": "requests", "rate": "3/minute"},
    {"name": "daily", "budget": "100/day", "shadow": True},
    {"name": "more", "replaces": "requests", "when": {"tier": "partner"}, "rate": "30/minute"},
]
LADDER = [{"at": 50, "do": "delay", "with": {"seconds": 0.5}}, {"at": 95, "do": "deny", "name": "shut"}]
SCORER = {"use": "automation"}


class Operated(Guarded):
    """A guarded app with an operator's port."""

    def __init__(self, *, mode: str = "enforce", store: Any = None, **rest: Any) -> None:
        rest = {"friction": {"ladder": LADDER}, "risk": {"scorers": [SCORER]}, **rest}
        limits = rest.pop("limits", LIMITS)
        super().__init__(Upstream(), policy(*limits, mode=mode, **rest), store=store, clock=None if store else FakeClock())
        self.port = app(self.guardrail, TOKEN, clock=self.clock)

    async def chats(self, times: int = 1) -> Answer:
        """So many requests by the first key; the last answer."""
        answers = [await self.post(CHAT, chat()) for _ in range(times)]
        return answers[-1]

    async def account(self) -> str:
        """The account of the first key, from a decision about it."""
        await self.chats()
        return self.guardrail.recorder.latest(1)[0]["account"]  # type: ignore[no-any-return]

    async def at(
        self,
        method: str,
        path: str,
        body: Any = None,
        *headers: tuple[bytes, bytes],
        peer: str = "127.0.0.1",
        raw: list[bytes] | None = None,
    ) -> Answer:
        """Ask the port, with the token unless other headers are given."""
        path, _, query = path.partition("?")
        fields = headers or ((BEARER,) if body is None and raw is None else (BEARER, JSON))
        scope = scope_of(path, method, fields, query_string=query.encode(), client=(peer, 50_000))
        chunks = raw if raw is not None else [b"" if body is None else json.dumps(body).encode()]
        guarded, self.middleware = self.middleware, self.port  # type: ignore[assignment]
        try:
            return await self.ask(scope, *chunks)
        finally:
            self.middleware = guarded

    async def see(self, path: str) -> Any:
        """What a GET answers, which succeeds."""
        answer = await self.at("GET", path)
        assert answer.status == 200, answer.body
        assert answer.field("content-type") == "application/json"
        return answer.json

    async def do(self, path: str, method: str = "POST", **body: Any) -> Any:
        """What an act answers, which succeeds."""
        answer = await self.at(method, path, body)
        assert answer.status == 200, answer.body
        return answer.json


@asynccontextmanager
async def client(operated: Operated) -> AsyncIterator[httpx2.AsyncClient]:
    """What asks the port with the token, as the command line does."""
    transport, headers = httpx2.ASGITransport(operated.port), {"authorization": f"Bearer {TOKEN}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://operator", headers=headers, trust_env=False) as made:
        yield made


def problem(answer: Answer) -> tuple[int, str]:
    """Status and code of an answer in RFC 9457's shape."""
    assert answer.field("content-type") == "application/problem+json"
    told = answer.json
    assert told["type"] == "about:blank"
    assert told["status"] == answer.status
    assert told["title"]
    assert told["detail"]
    return answer.status, told["code"]
