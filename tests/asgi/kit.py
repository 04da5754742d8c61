"""An app, a client and policies for tests of the pipeline, all in one process and on a clock that stands still."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from guardrail_mw import Guardrail, GuardrailMiddleware
from guardrail_mw.stores.base import Bill, Entry, Receipt, Settlement
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.values import Estimate, Facts, Subject

Message = dict[str, Any]
Headers = list[tuple[bytes, bytes]]

KEY = (b"authorization", b"Bearer sk-one")
OTHER_KEY = (b"authorization", b"Bearer sk-two")
JSON = (b"content-type", b"application/json")
HANG_UP = "hang up"
"""In a script: the client goes away here."""

ROUTES = [
    {"path": ["/health", "/ping"], "exempt": True},
    {"path": "/v1/messages/**", "dialect": "anthropic"},
    {"path": "/v1/models", "dialect": "openai", "limits": []},
    {"path": "/v1/**", "dialect": "openai"},
]


def identity(trust: str = "gateway") -> Message:
    """Keys in the usual headers."""
    return {"sources": [{"use": "api_key", "with": {"headers": ["authorization", "x-api-key"], "trust": trust}}]}


def policy(*limits: Any, mode: str = "enforce", trust: str = "gateway", **rest: Any) -> Message:
    """A policy with the usual routes. `per` is the account unless a limit says otherwise."""
    each = [{"per": ["account"], **limit} for limit in limits]
    return {"version": 1, "mode": mode, "identity": identity(trust), "routes": ROUTES, "limits": each, **rest}


class CountingStore(MemoryStore):
    """A memory store that notes what it is asked, and can be out of order."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock=clock)
        self.clock = clock
        self.bills: list[Bill] = []
        self.settled: list[Settlement] = []
        self.failure: Exception | None = None

    async def charge(self, bill: Bill) -> Receipt:
        """One round trip."""
        self.bills.append(bill)
        if self.failure is not None:
            raise self.failure
        return await super().charge(bill)

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Noted and carried out."""
        self.settled += settlements
        super().settle(settlements)


class Answer(NamedTuple):
    """What a client got."""

    status: int
    headers: Headers
    body: bytes
    messages: list[Message]

    def field(self, name: str) -> str | None:
        """A header's value; that it stands there once is part of the assertion."""
        found = [value for key, value in self.headers if key == name.encode()]
        assert len(found) <= 1, (name, found)
        return found[0].decode() if found else None

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def decision(self) -> str:
        """The id that every answer carries."""
        found = self.field("x-guardrail-decision")
        assert found is not None
        return found


class Upstream:
    """The app behind: notes what reached it, and answers by its script.

    A piece of the answer's body is bytes, an exception to raise, or a coroutine function to await.
    """

    def __init__(self, *pieces: Any, status: int = 200, headers: Iterable[tuple[bytes, bytes]] = (JSON,)) -> None:
        self.pieces = pieces or (b"{}",)
        self.status = status
        self.headers = list(headers)
        self.scopes: list[Message] = []
        self.bodies: list[bytes] = []
        self.before: Callable[[Message], Any] | None = None

    @property
    def calls(self) -> int:
        """Requests that came through."""
        return len(self.scopes)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["type"] == "http":
            self.bodies.append(await _whole(receive))
            if self.before is not None:
                await self.before(scope)
            await self._answer(send)

    async def _answer(self, send: Any) -> None:
        begun = False
        for piece in self.pieces:
            if isinstance(piece, BaseException):
                raise piece
            if callable(piece):
                await piece()
                continue
            if not begun:
                begun = True
                await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if not begun:
            await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _whole(receive: Any) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return body
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return body


def scope_of(path: str, method: str = "POST", headers: Iterable[tuple[bytes, bytes]] = (), **rest: Any) -> Message:
    """An http scope as uvicorn makes it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": list(headers),
        "client": ("198.51.100.7", 50000),
        "server": ("127.0.0.1", 80),
        "state": {},
        **rest,
    }


class Guarded:
    """An app behind the middleware, with a client that calls it."""

    def __init__(
        self,
        app: Any,
        document: Mapping[str, Any],
        *,
        store: Any = None,
        clock: FakeClock | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.clock = clock or getattr(store, "clock", None) or FakeClock()
        self.store: Any = store if store is not None else CountingStore(self.clock)
        self.app: Any = app
        self.guardrail = Guardrail(document, store=self.store, clock=self.clock, environ=environ or {})
        self.middleware = GuardrailMiddleware(app, self.guardrail)

    @property
    def bills(self) -> list[Bill]:
        """What the store was asked to charge."""
        bills: list[Bill] = self.store.bills
        return bills

    async def post(self, path: str, body: Any = None, *headers: tuple[bytes, bytes], **scope: Any) -> Answer:
        """POST JSON with the first key, or the headers given."""
        return await self.ask(scope_of(path, "POST", headers or (KEY, JSON), **scope), _encoded(body))

    async def get(self, path: str, *headers: tuple[bytes, bytes], method: str = "GET", **scope: Any) -> Answer:
        """GET with the first key, or the headers given."""
        return await self.ask(scope_of(path, method, headers or (KEY,), **scope), b"")

    async def ask(self, scope: Message, *chunks: bytes, receive: Any = None, send: Any = None) -> Answer:
        """One request; its body in pieces."""
        messages: list[Any] = []
        waiting: list[Message] = [
            {"type": "http.request", "body": chunk, "more_body": index + 1 < len(chunks)}
            for index, chunk in enumerate(chunks)
        ]

        async def coming() -> Any:
            return waiting.pop(0) if waiting else {"type": "http.disconnect"}

        async def going(message: Any) -> None:
            messages.append(message)

        await self.middleware(scope, receive or coming, send or going)
        begun: Message = {"status": 0, "headers": []}
        start = next((each for each in messages if each["type"] == "http.response.start"), begun)
        body = b"".join(each.get("body", b"") for each in messages if each["type"] == "http.response.body")
        return Answer(start["status"], list(start["headers"]), body, messages)

    async def left(
        self, *headers: tuple[bytes, bytes], path: str = "/v1/chat/completions", method: str = "POST"
    ) -> dict[str, int]:
        """What is left of each limit, by name, for who presents these headers; charges nothing."""
        return await left(self.guardrail, headers or (KEY,), path, method)


async def left(
    guardrail: Guardrail,
    headers: Iterable[tuple[bytes, bytes]] = (KEY,),
    path: str = "/v1/chat/completions",
    method: str = "POST",
    peer: str = "198.51.100.7",
) -> dict[str, int]:
    """What is left of each limit, by name, for who presents these headers; charges nothing."""
    engine = guardrail.engine
    facts = Facts(method, path, list(headers), peer=peer)
    exchange = engine.begin(engine.router.find(path, method), facts)
    subject = engine.identify(facts)
    assert isinstance(subject, Subject)
    for _ in range(2):
        tariff = engine.plan(exchange, subject)
        receipt = await guardrail.store.peek(engine._bill(exchange, subject, tariff)._replace(entries=_free(tariff)))
        if receipt.standing is not None:
            engine._standings.put(subject.candidate, receipt.standing)
    return {slot.limit.name: reading.remaining for slot, reading in tariff.shape.read(receipt.readings) if not slot.share}


def _free(tariff: Any) -> Any:
    """A tariff's entries at no cost, so that looking at them tells what is left."""
    entries = tariff.entries(Estimate(), lambda _limit, _estimate: 0)
    return tuple(
        Entry(entry.home, tuple(step._replace(cost=0) if "cost" in step._fields else step for step in entry.steps))
        for entry in entries
    )


def _encoded(body: Any) -> bytes:
    if body is None:
        return b""
    if isinstance(body, bytes):
        return body
    return json.dumps(body).encode()


def chat(characters: int = 400, **rest: Any) -> Message:
    """A chat request whose prompt is estimated at characters / 4 tokens."""
    return {"model": "small", "messages": [{"role": "user", "content": "x" * characters}], **rest}


def events(*each: Any) -> list[bytes]:
    """Server-sent events, one a piece."""
    return [b"data: " + (one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n\n" for one in each]
