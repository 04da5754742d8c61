"""One socket through the pipeline: charged as a request when it opens, and again for each message that the client sends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrail_mw.asgi.edge import Edge, facts_of, own_path
from guardrail_mw.values import Deny, Subject

if TYPE_CHECKING:
    from guardrail_mw.asgi.types import Message, Receive, Scope, Send
    from guardrail_mw.engine import Engine, Exchange
    from guardrail_mw.engine.core import Outcome

__all__ = ["WebSocket"]

_HANDSHAKE = "GET"
_SWITCHED = 101


class WebSocket(Edge):
    """Guards sockets."""

    async def __call__(self, engine: Engine, scope: Scope, receive: Receive, send: Send) -> None:
        """Guard one socket."""
        path = own_path(scope)
        exchange = engine.begin(engine.router.find(path, _HANDSHAKE), facts_of(scope, path, "websocket"))
        found = await self.identify(exchange)
        if not isinstance(found, Subject):
            await self.refuse(exchange, found, scope, receive, send)
            return
        try:
            deny = await self._decide(exchange, found)
            if deny is None:
                with self.held(exchange):
                    await self.slow(exchange)
        except BaseException:  # cancelled, most likely: the app never heard of it
            self.abandon(exchange)
            raise
        if deny is not None:
            await self.refuse(exchange, deny, scope, receive, send)
            return
        scope.setdefault("state", {})["guardrail"] = exchange
        await self._pass(exchange, _Turns(self, exchange, receive, send), scope)

    async def _decide(self, exchange: Exchange, subject: Subject) -> Deny | None:
        """Charge, score, decide. There are no parameters to trim on a socket: that rung lets it pass."""
        engine = exchange.engine
        deny = await engine.charge(exchange, engine.plan(exchange, subject))
        waiting = engine.score(exchange) if deny is None else None
        if waiting is not None:
            await waiting
        return self.obey(exchange, deny)

    async def _pass(self, exchange: Exchange, turns: _Turns, scope: Scope) -> None:
        receipt = exchange.receipt
        keeper = self.guardrail.keeper() if receipt is not None and receipt.open else None
        if keeper is not None:
            keeper.hold(exchange)
        crashed = False
        try:
            await self.app(scope, turns.receive, turns.send)
        except Exception:
            crashed = True
            raise
        finally:
            if keeper is not None:
                keeper.release(exchange)
            outcome: Outcome = "failed" if crashed and not turns.accepted else "answered"
            exchange.engine.settle(exchange, outcome)
            exchange.engine.record(exchange, outcome, status=_SWITCHED if turns.accepted else 0)

    async def turn(self, exchange: Exchange) -> Deny | None:
        """Charge one message of the client's: all limits but the slots, which the socket holds."""
        subject = exchange.subject
        if subject is None:
            return None
        engine = self.guardrail.engine  # a socket outlives policies: each turn is charged on the one that runs
        if engine.mode == "off":
            return None
        turn = engine.begin(engine.router.find(exchange.facts.path, _HANDSHAKE), exchange.facts)
        turn.turn = True
        try:
            deny = await self._decide(turn, subject)
            if deny is None:
                await self.slow(turn)
        except BaseException:
            self.abandon(turn)
            raise
        if deny is not None:
            engine.cancel(turn)
        else:
            engine.settle(turn, "answered")
        engine.record(turn, "answered" if deny is None else "denied", status=0)
        return deny


class _Turns:
    """Stands between the app and the server."""

    def __init__(self, edge: WebSocket, exchange: Exchange, receive: Receive, send: Send) -> None:
        self._edge = edge
        self._exchange = exchange
        self._receive = receive
        self._send = send
        self._closed: Message | None = None
        """What the app is told once a turn was refused, however often it asks: what the client had sent by then is not heard."""
        self._uncharged: Message | None = None
        """What was received but not charged yet. Whoever gives up waiting (`wait_for`) gets it next time."""
        self.accepted = False

    async def receive(self) -> Message:
        """For the app: the client's messages, until one is refused; then the socket is closed and the app told so."""
        if self._closed is not None:
            return dict(self._closed)
        message = self._uncharged or await self._receive()
        if message["type"] != "websocket.receive":
            return message
        self._uncharged = message
        deny = await self._edge.turn(self._exchange)
        self._uncharged = None
        if deny is None:
            return message
        self._closed = told = {"type": "websocket.disconnect", "code": 1006, "reason": deny.id}
        told["code"] = await self._edge.close_turn(self._send, deny)
        return dict(told)

    async def send(self, message: Message) -> None:
        """For the app: passes on, as it is, until the socket was closed over a refused turn."""
        if self._closed is not None:
            return
        if message["type"] == "websocket.accept":
            self.accepted = True
        await self._send(message)
