"""Everybody's clients: requests as the SDKs shape them, through the middleware, over HTTP's own objects in one process."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

import httpx2

from guardrail_mw.cli.demo.tally import refused_by
from guardrail_mw.client.clients import async_http_client
from guardrail_mw.simulate.caller import Callers

if TYPE_CHECKING:
    from guardrail_mw.asgi.middleware import GuardrailMiddleware
    from guardrail_mw.cli.demo.walk.scene import Scene
    from guardrail_mw.simulate.clock import WorldClock
    from guardrail_mw.simulate.world.batch import Batch

__all__ = ["Answer", "Clients", "What", "what"]

What: TypeAlias = Literal["served", "challenged", "solved", "verify", "limited", "refused", "failed"]
_SERVER: Final = "https://api.service.example"
_CODES: Final[dict[str, What]] = {"challenge_required": "challenged", "verification_required": "verify"}
_SOLVE: Final = 3
"""Of five of the campaign's clients, how many solve a challenge."""
_LIMITED: Final = frozenset({429, 503, 529})


class Answer(NamedTuple):
    """One of those that a call had."""

    what: What
    by: str = ""
    """The limit that refused."""


def what(path: str, status: int, body: bytes) -> Answer:
    """What an answer is to whoever gets it."""
    if path.startswith("/.guardrail/"):
        return Answer("solved" if status == HTTPStatus.OK else "failed")
    if status < HTTPStatus.BAD_REQUEST:
        return Answer("served")
    if status in _LIMITED:
        return Answer("limited", refused_by(body))
    return Answer(_CODES.get(_code(body), "refused"))


def _code(body: bytes) -> str:
    """Why it was refused, in either dialect."""
    try:
        error = json.loads(body).get("error", {})
        return str(error.get("code") or error.get("details", {}).get("error_code") or "")
    except (ValueError, AttributeError):
        return ""


class _Line(httpx2.AsyncBaseTransport):
    """An account's way to the server, from wherever it is; remembers the answers."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.address = ""
        self.answers: list[Answer] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it."""
        response = await httpx2.ASGITransport(self._app, client=(self.address, 40000)).handle_async_request(request)
        body = await response.aread() if response.status_code >= HTTPStatus.BAD_REQUEST else b""
        self.answers.append(what(request.url.path, response.status_code, body))
        return response


class Clients:
    """Of every account one. Three in five of the campaign's solve challenges (`guardrail_mw.client`); no other needs to.

    Args:
        app: the guarded server.
        scene: who they are.
        clock: the demo's.
    """

    def __init__(self, app: GuardrailMiddleware, scene: Scene, clock: WorldClock) -> None:
        self._app, self._scene = app, scene
        self._callers = Callers(app.guardrail, scene.world, clock, exact=True)
        self._lines: dict[int, tuple[_Line, httpx2.AsyncClient]] = {}
        theirs = [row for row in range(len(scene.world.accounts)) if scene.side(row) == "campaign"]
        self._solvers = {row for number, row in enumerate(theirs) if number % 5 < _SOLVE}

    async def call(self, batch: Batch, i: int) -> list[Answer]:
        """Make a call; the answers that it had, the last one last."""
        facts = self._callers.facts(batch, i)
        line, client = self._client(int(batch.account[i]))
        line.address, line.answers = facts.peer, []
        await client.post(_SERVER + facts.path, headers=facts.headers, content=self._scene.world.body(batch, i))
        return line.answers

    def _client(self, account: int) -> tuple[_Line, httpx2.AsyncClient]:
        known = self._lines.get(account)
        if known is None:
            line = _Line(self._app)
            client = async_http_client(transport=line) if account in self._solvers else httpx2.AsyncClient(transport=line)
            known = self._lines[account] = line, client
        return known

    async def close(self) -> None:
        """Hang up."""
        for _, client in self._lines.values():
            await client.aclose()
