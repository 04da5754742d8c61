"""The long way: each call as a request to a guarded app, with its scope, headers and JSON, answered as a model server answers.

Slow, so it is for tests: what it decides must be what the short way decides.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from guardrail_mw.asgi.middleware import GuardrailMiddleware
from guardrail_mw.simulate.caller import DELAYED, SERVED, TRIMMED, Callers, Seen, standing_of
from guardrail_mw.simulate.codes import ASKED, CHALLENGED, DENIED, LIMITED
from guardrail_mw.values import Delay, Trim

if TYPE_CHECKING:
    from guardrail_mw.engine import Exchange, Guardrail
    from guardrail_mw.simulate.clock import WorldClock
    from guardrail_mw.simulate.world.batch import Batch
    from guardrail_mw.simulate.world.world import World

__all__ = ["WiredCallers"]

_CODES = {"challenge_required": CHALLENGED, "verification_required": ASKED}


class WiredCallers(Callers):
    """Everybody who calls, through ASGI."""

    def __init__(self, guardrail: Guardrail, world: World, clock: WorldClock, **_: Any) -> None:
        super().__init__(guardrail, world, clock, exact=True)
        self._guarded = GuardrailMiddleware(self._answer, guardrail)
        self._call_now: tuple[int, int] = (0, 0)

    async def batch(self, batch: Batch) -> Seen:
        """Make a batch's calls."""
        return self.seen([await self._request(batch, i) for i in range(len(batch))])

    async def _request(self, batch: Batch, i: int) -> tuple[int, str, str]:
        self._clock.move(int(batch.at[i]))
        facts, body = self.facts(batch, i), self.world.body(batch, i)
        self._call_now = int(batch.input[i]), int(batch.output[i])
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "https",
            "path": facts.path,
            "raw_path": facts.path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [*facts.headers, (b"content-length", str(len(body)).encode())],
            "client": (facts.peer, 40000),
            "server": ("api.service.example", 443),
        }
        said: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            said.append(message)

        await self._guarded(scope, receive, send)
        exchange: Exchange = scope["state"]["guardrail"]
        return (_code(said, exchange), *standing_of(exchange))

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        """The model server behind: says how many tokens it has read and written."""
        await receive()
        given, made = self._call_now
        if scope["path"].endswith("messages"):
            usage = {"input_tokens": given, "output_tokens": made}
            document: dict[str, Any] = {"type": "message", "role": "assistant", "content": [], "usage": usage}
        else:
            usage = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
            choice = {"index": 0, "message": {"role": "assistant", "content": "."}, "finish_reason": "stop"}
            document = {"object": "chat.completion", "choices": [choice], "usage": usage}
        head = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]}
        await send(head)
        await send({"type": "http.response.body", "body": json.dumps(document).encode(), "more_body": False})


def _code(said: list[dict[str, Any]], exchange: Exchange) -> int:
    """What a client makes of an answer; a delay and a trim it may not notice, so those are the exchange's own."""
    status = said[0]["status"]
    if status == HTTPStatus.OK:
        decision = exchange.decision
        return TRIMMED if isinstance(decision, Trim) else DELAYED if isinstance(decision, Delay) else SERVED
    body = json.loads(b"".join(message.get("body", b"") for message in said[1:]))
    error = body.get("error", body)
    for name in (error.get("code"), error.get("type")):
        if name in _CODES:
            return _CODES[name]
    return LIMITED if status in {429, 503, 529, 400} else DENIED
