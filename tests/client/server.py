"""A model server that asks for proof of work, as the protocol has it: Starlette on a real uvicorn, with the altcha library."""

from __future__ import annotations

import asyncio
import gzip
import json
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import altcha
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

__all__ = ["SLOW", "Guarded", "guarded"]

SECRET = "not a secret"  # noqa: S105
ALGORITHM = "PBKDF2/SHA-256"
MESSAGE = "Solve the challenge, then send the request again."

SLOW: Mapping[str, Any] = {
    "algorithm": ALGORITHM, "cost": 400, "keyLength": 32, "keyPrefix": "0000", "nonce": "00" * 16, "salt": "01" * 16,
}  # fmt: skip
"""None of its first 20,000 tries is an answer, which is two seconds of a core; 26,214,400 rounds on average."""

COMPLETION = {
    "id": "c1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello."}}],
}  # fmt: skip
MESSAGES = {
    "id": "m1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn", "stop_sequence": None,
    "content": [{"type": "text", "text": "Hello."}], "usage": {"input_tokens": 1, "output_tokens": 2},
}  # fmt: skip


@dataclass(slots=True)
class Guarded:
    """What the server does, and what it was sent."""

    url: str
    cost: int = 50
    prefix: str = "0"
    endpoint: str = "/.guardrail/challenge"
    """The URL in the challenge."""
    lasts: int = 1_000_000
    """Requests that a clearance is good for."""
    spent: int = 0
    """Answers, from now on, that are taken for spent ones: the next challenge comes with the refusal."""
    satisfied: bool = True
    """Whether a right answer clears."""
    meeting: int = 0
    """Requests that must have arrived before the first of them is challenged; later ones are at once."""
    change: Callable[[dict[str, Any]], object] = dict
    """What is done to a challenge object before it is sent."""
    compress: bool = False
    device: bool = False
    """Whether a 403 sets a cookie without which its answer is worth nothing."""
    go: threading.Event = field(default_factory=threading.Event)
    """Set, a stream goes on after its first words."""
    challenged: threading.Event = field(default_factory=threading.Event)
    """Set once a challenge was sent."""
    asked: list[Request] = field(default_factory=list)
    """Requests to the model."""
    bodies: list[bytes] = field(default_factory=list)
    answered: list[Request] = field(default_factory=list)
    """Answers that came in."""
    _cleared: dict[str, int] = field(default_factory=dict)
    _cases: dict[str, str] = field(default_factory=dict)
    _arrived: Any = None

    def reset(self) -> None:
        """As it was at first."""
        fresh = Guarded(self.url)
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))

    def challenge(self, whose: str) -> dict[str, Any]:
        """A new one, for somebody."""
        case = secrets.token_urlsafe(12)
        self._cases[case] = whose
        made = altcha.create_challenge(
            ALGORITHM, self.cost, key_prefix=self.prefix, data={"case": case}, hmac_secret=SECRET, expires_at=4_000_000_000
        )
        found = {
            "type": "altcha", "url": self.endpoint, "expires_at": "2096-10-02T07:06:40Z", "case": case, **made.to_dict(),
        }  # fmt: skip
        self.change(found)
        return found

    def whose(self, request: Request) -> str:
        """The account that is to be cleared: a credential, or a cookie."""
        return (
            request.headers.get("x-account")
            or request.headers.get("authorization")
            or request.headers.get("x-api-key")
            or f"cookie {request.cookies.get('clearance')}"
        )

    async def admit(self, request: Request) -> Response | None:
        """Take note of a request; what it is refused with, if it is."""
        self.asked.append(request)
        self.bodies.append(await request.body())
        whose = self.whose(request)
        if self._cleared.get(whose, 0) > 0:
            self._cleared[whose] -= 1
            return None
        if self.meeting:
            self._arrived = self._arrived or asyncio.Barrier(self.meeting)
            await self._arrived.wait()
            self.meeting = 0
        return self.refuse(request, whose)

    def refuse(self, request: Request, whose: str) -> Response:
        """403 in the route's dialect."""
        challenge = self.challenge(whose)
        error: dict[str, Any] = {"message": MESSAGE, "type": "permission_error", "code": "challenge_required"}
        media = "application/json"
        body: dict[str, Any]
        if request.url.path == "/v1/messages":
            body = {"type": "error", "error": {**error, "details": {"challenge": challenge}}}
        elif request.url.path.startswith("/v1/"):
            body = {"error": {**error, "param": None, "challenge": challenge}}
        else:
            media = "application/problem+json"
            body = {"status": 403, "detail": MESSAGE, "code": "challenge_required", "challenge": challenge}
        raw = json.dumps(body).encode()
        headers = {"x-should-retry": "false"}
        if self.compress:
            raw, headers = gzip.compress(raw), headers | {"content-encoding": "gzip"}
        response = Response(raw, 403, headers, media)
        if self.device:
            response.set_cookie("device", "d1")
        self.challenged.set()
        return response

    async def answer(self, request: Request) -> Response:
        """The challenge endpoint."""
        self.answered.append(request)
        document = json.loads(await request.body())
        whose = self._cases.pop(document["case"])
        payload = altcha.Payload.from_base64(document["answer"])
        right = altcha.verify_solution(document["answer"], SECRET).verified
        assert payload.challenge.parameters.data == {"case": document["case"]}
        if self.spent:
            self.spent -= 1
            again = {"challenge": self.challenge(whose)}
            return JSONResponse(
                {"status": 403, "code": "challenge_spent", **again}, 403, media_type="application/problem+json"
            )
        if not (right and self.satisfied) or (self.device and request.cookies.get("device") != "d1"):
            return JSONResponse({"status": 403, "code": "challenge_failed"}, 403, media_type="application/problem+json")
        response = JSONResponse({"cleared": True, "expires_at": "2096-10-02T07:06:40Z"})
        if whose.startswith("cookie "):
            name = secrets.token_urlsafe(6)
            whose = f"cookie {name}"
            response.set_cookie("clearance", name, httponly=True)
        self._cleared[whose] = self.lasts
        return response

    async def completions(self, request: Request) -> Response:
        """OpenAI's chat API."""
        if refusal := await self.admit(request):
            return refusal
        if not json.loads(self.bodies[-1]).get("stream"):
            return JSONResponse(COMPLETION)
        return StreamingResponse(self._words(), media_type="text/event-stream")

    async def _words(self) -> AsyncIterator[str]:
        for word in ("Hel", "lo."):
            choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
            chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
            yield f"data: {json.dumps(chunk)}\n\n"
            await asyncio.to_thread(self.go.wait, 20)
        yield "data: [DONE]\n\n"

    async def messages(self, request: Request) -> Response:
        """Anthropic's API."""
        return await self.admit(request) or JSONResponse(MESSAGES)

    async def transcriptions(self, request: Request) -> Response:
        """OpenAI's API for uploads."""
        return await self.admit(request) or JSONResponse({"text": str(len(self.bodies[-1]))})

    async def other(self, request: Request) -> Response:
        """Whatever else there is, in RFC 9457's dialect."""
        return await self.admit(request) or JSONResponse({"cookie": request.headers.get("cookie")})

    async def health(self, request: Request) -> Response:
        """Nobody is challenged here."""
        return JSONResponse({"solves": request.headers.get("guardrail-solve")})

    async def go_on(self, request: Request) -> Response:
        """Whoever streams is to go on."""
        self.go.set()
        return Response()

    def app(self) -> Starlette:
        """All of it."""
        return Starlette(
            routes=[
                Route("/health", self.health),
                Route("/go", self.go_on),
                Route("/.guardrail/challenge", self.answer, methods=["POST"]),
                Route("/v1/chat/completions", self.completions, methods=["POST"]),
                Route("/v1/messages", self.messages, methods=["POST"]),
                Route("/v1/audio/transcriptions", self.transcriptions, methods=["POST"]),
                Route("/other", self.other, methods=["GET", "POST"]),
            ]
        )


@contextmanager
def guarded() -> Iterator[Guarded]:
    """One that listens until the end."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        found = Guarded(f"http://127.0.0.1:{listener.getsockname()[1]}")
        server = uvicorn.Server(uvicorn.Config(found.app(), lifespan="off", log_config=None, timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="uvicorn", daemon=True)
        thread.start()
        try:
            yield found
        finally:
            server.should_exit = True
            thread.join(10)
    assert not thread.is_alive(), "the server did not stop"
